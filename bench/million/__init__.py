"""A desk with many tickets: the SQL that fills it, and who asks."""

import hashlib
from pathlib import Path
from uuid import UUID

from bench.desk import Desk
from local.people import Person
from local.postgres import SUPERUSER
from local.stack import Say

FOLDER = Path(__file__).parent


def run_script(desk: Desk, name: str, say: Say, **settings: object) -> None:
    """Run <name>.sql as one transaction, with bench.<setting> set."""
    say(f"{name}.sql")
    with desk.stack.database.connect() as connection, connection.transaction():
        for setting, value in {
            "statement_timeout": 0,
            "work_mem": "128MB",
            "maintenance_work_mem": "512MB",
        }.items():
            connection.execute(f"set local {setting} = '{value}'")
        for setting, value in settings.items():
            connection.execute(f"set local bench.{setting} = '{value}'")
        connection.execute((FOLDER / f"{name}.sql").read_bytes())


def fill(desk: Desk, tickets: int, say: Say) -> None:
    """People and so many tickets, as an hour later."""
    run_script(desk, "people", say)
    run_script(desk, "tickets", say, tickets=tickets)
    settle(desk)


def settle(desk: Desk) -> None:
    """What autovacuum and the checkpointer would have done by and by."""
    with desk.stack.database.connect(SUPERUSER) as connection:
        connection.execute("set statement_timeout = 0")
        for table in (
            "public.support_tickets",
            "private.ticket_search",
            "private.ticket_clocks",
            "public.ticket_events",
        ):
            connection.execute(f"vacuum analyze {table}".encode())
        connection.execute("analyze public.support_agents, public.customer_branches")
        connection.execute("checkpoint")


def somebody(desk: Desk, name: str) -> Person:
    """Who is called that in people.sql: customer-0 with 120,000 tickets, customer-77 with 44, agent-1, agent-46 of a branch."""
    digest = hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
    return desk.person(UUID(digest), f"{name}@example.com")
