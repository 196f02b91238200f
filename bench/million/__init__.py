"""Fills a stack with many tickets, and names its people."""

import hashlib
from pathlib import Path
from uuid import UUID

from bench.stack import BenchStack
from local.people import Person
from local.postgres import SUPERUSER
from local.stack import Say

FOLDER = Path(__file__).parent


def run_script(target: BenchStack, name: str, say: Say, **settings: object) -> None:
    """Runs <name>.sql in one transaction, with bench.<setting> set."""
    say(f"{name}.sql")
    with target.stack.database.connect() as connection, connection.transaction():
        for setting, value in {
            "statement_timeout": 0,
            "work_mem": "128MB",
            "maintenance_work_mem": "512MB",
        }.items():
            connection.execute(f"set local {setting} = '{value}'")
        for setting, value in settings.items():
            connection.execute(f"set local bench.{setting} = '{value}'")
        connection.execute((FOLDER / f"{name}.sql").read_bytes())


def fill(target: BenchStack, tickets: int, say: Say) -> None:
    """Creates people and tickets, and settles the tables."""
    run_script(target, "people", say)
    run_script(target, "tickets", say, tickets=tickets)
    settle(target)


def settle(target: BenchStack) -> None:
    """Does the work that autovacuum and the checkpointer would do over time."""
    with target.stack.database.connect(SUPERUSER) as connection:
        connection.execute("set statement_timeout = 0")
        for table in (
            "desk.support_tickets",
            "desk_private.ticket_search",
            "desk_private.ticket_clocks",
            "desk.ticket_events",
        ):
            connection.execute(f"vacuum analyze {table}".encode())
        connection.execute("analyze desk.support_agents, desk.customer_branches")
        connection.execute("checkpoint")


def person_named(target: BenchStack, name: str) -> Person:
    """Returns a person of people.sql.

    customer-0 has 120,000 tickets and customer-77 has 44; agent-46 belongs to a branch, agent-1 does not.
    """
    digest = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
    return target.person(UUID(digest), f"{name}@example.com")
