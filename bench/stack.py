"""Runs the stack to measure: the local stack on free ports and temporary data, with many people.

PostgreSQL runs as a normal server does: fsync, full_page_writes and synchronous_commit on, and initdb's own
sizes (shared_buffers 128 MB). Linear, mail and the schedule are off, and quotas do not limit.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

from deploy.table import Function
from local.functions import environment, load_functions, run_function, serving_command
from local.people import Person, RunningStack
from local.ports import Ports, answering, free_ports
from local.process import Part, running
from local.stack import Settings, Stack, run_stack

EMPTY = Path(__file__).with_name("empty") / "main.py"
PEOPLE = """
insert into auth.users (id, email, aud, role, created_at, email_confirmed_at)
select id, 'person-' || id || '@example.com', 'authenticated', 'authenticated', now(), now()
from (select gen_random_uuid() as id from generate_series(1, %s)) as new
returning id, email
"""


@dataclass(frozen=True)
class BenchStack:
    """Holds a running stack and the folder of its parts."""

    home: Path
    stack: Stack

    def people(self, count: int) -> list[Person]:
        """Creates customers, each with a token for the whole run."""
        with self.stack.database.connect() as connection:
            rows = connection.execute(PEOPLE, (count,)).fetchall()
        return [self.person(UUID(str(user)), str(email)) for user, email in rows]

    def person(self, user: UUID, email: str) -> Person:
        """Returns an existing user with a token for the whole run."""
        token = RunningStack(self.stack).token(user, email, exp=int(time.time()) + 24 * 3600)
        return Person(user, email, token)

    def agent(self, role: str = "agent") -> Person:
        """Creates an agent or admin."""
        [person] = self.people(1)
        with self.stack.database.connect() as connection:
            connection.execute(
                "insert into desk.support_agents (user_id, role, display_name) values (%s, %s, 'Agent')",
                (person.id, role),
            )
        return person

    @contextmanager
    def function(self, name: str) -> Iterator[tuple[str, Part]]:
        """Runs one function in its own process; yields its address and its part.

        The local gateways are not part of a deployment, so load and PostgREST reach the function directly.
        """
        [function] = [function for function in load_functions() if function.name == name]
        [port] = free_ports(1)
        with run_function(self.home / f"{name}-{port}", function, self.environment(function), port) as part:
            part.wait()
            yield f"http://127.0.0.1:{port}", part

    def environment(self, function: Function) -> dict[str, str]:
        """Returns a function's variables: no linear-forward, and a legacy key, which needs no gateway."""
        values = self.stack.environment | {"SUPABASE_SECRET_KEY": self.stack.keys.legacy_key("service_role")}
        variables = environment(function, values) | {"POSTGREST_URL": self.stack.rest_url}
        variables.pop("LINEAR_FORWARD_URL", None)
        return variables

    @contextmanager
    def empty_function(self) -> Iterator[tuple[str, Part]]:
        """Runs an empty async function in the same way."""
        [port] = free_ports(1)
        command = serving_command(EMPTY, "empty", port)
        ready = answering(port, "/robots.txt", status=404)
        with running("empty", command, home=self.home, env={}, ready=ready) as part:
            part.wait()
            yield f"http://127.0.0.1:{port}", part

    def process(self, name: str) -> int:
        """Returns the process id of a part of the stack: postgres, postgrest, …"""
        return int((self.home / "run" / f"{name}.pid").read_text())


@contextmanager
def run_bench_stack() -> Iterator[BenchStack]:
    """Runs a stack for the duration of a block."""
    with TemporaryDirectory(prefix="supadesk-bench-") as folder:
        home = Path(folder)
        settings = Settings(home, Ports.free(), durable=True, demo=False, minute=None)
        with run_stack(settings, say=lambda line: None) as (stack, _):
            with stack.database.connect() as connection:
                connection.execute("update desk_private.quota_limits set most = 10000")
            yield BenchStack(home, stack)
