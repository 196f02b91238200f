"""The stack of the tests, on free ports and temporary data, and a fresh cast for every test."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from psycopg import sql

from deploy.migrate import Connection, apply_migrations
from deploy.setup import __main__ as setup
from local.functions import load_functions, run_function
from local.people import PROFILE, Client, NewPerson, Person, RunningStack
from local.ports import Ports, free_ports
from local.postgres import Database, DefaultPrivileges, make_platform, run_postgres
from local.stack import Settings, run_stack
from tests.deploy.google.google_apis import PROJECT, Cloud, Result, SetUp, key_file, serving
from tests.deploy.google.project import Project
from tests.linear import Linear
from tests.payloads import file

HERE = Path(__file__).parent
FIRST = ("local", "store")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Parts that list everybody or everything come first, tests of what the others have left come last."""

    def place(item: pytest.Item) -> int:
        if item.get_closest_marker("last"):
            return 2
        return 0 if item.path.relative_to(HERE).parts[0] in FIRST else 1

    items.sort(key=place)


@pytest.fixture(scope="session")
def stack() -> Iterator[RunningStack]:
    """Everything that `make run` runs, but for the demo people."""
    with TemporaryDirectory(prefix="supadesk-") as home:
        settings = Settings(
            Path(home), Ports.free(), durable=False, demo=False, minute=None, linear_requests=1_000_000
        )
        with run_stack(settings, say=lambda line: None) as (running, _):
            yield RunningStack(running)


@pytest.fixture
def db(stack: RunningStack) -> Iterator[Connection]:
    """The database as postgres; each statement commits."""
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def person(stack: RunningStack, db: Connection) -> NewPerson:
    """Make somebody new: columns go to auth.users for customers, to support_agents for the others."""

    def make(role: str = "customer", email: str | None = None, **columns: Any) -> Person:
        user_id = uuid4()
        email = email or f"{role}-{user_id.hex[:12]}@example.com"
        now = datetime.now(UTC)
        names = {"id": user_id, "email": email, "aud": "authenticated", "role": "authenticated"}
        user = {**names, "created_at": now, "updated_at": now, "email_confirmed_at": now}
        _insert(db, ("auth", "users"), user | (columns if role == "customer" else {}))
        if role != "customer":
            _insert(db, ("desk", "support_agents"), {"user_id": user_id, "role": role} | columns)
        is_anonymous = bool(columns.get("is_anonymous"))
        return Person(user_id, email, stack.token(user_id, email, is_anonymous=is_anonymous))

    return make


@pytest.fixture
def customer(person: NewPerson) -> Person:
    """Signs in a customer, who files tickets."""
    return person()


@pytest.fixture
def other(person: NewPerson) -> Person:
    """A customer too, whom the first one's tickets are no business of."""
    return person()


@pytest.fixture
def agent(person: NewPerson) -> Person:
    """Signs in an agent, who answers tickets."""
    return person("agent", display_name="Agent")


@pytest.fixture
def admin(person: NewPerson) -> Person:
    """Signs in an admin."""
    return person("admin", display_name="Admin")


@pytest.fixture
def api(stack: RunningStack) -> Iterator[Client]:
    """The functions as somebody calls them; None is a person who is not signed in."""
    with ExitStack() as clients:

        def client(person: Person | None) -> httpx.Client:
            headers = {"Authorization": f"Bearer {person.token}"} if person else {}
            return clients.enter_context(_client(stack.functions_url, headers))

        yield client


@pytest.fixture
def ticket(api: Client, customer: Person) -> str:
    """The number of a ticket that the customer has filed."""
    return str(file(api(customer))["ticket_number"])


@pytest.fixture
def rest(stack: RunningStack) -> Iterator[Client]:
    """PostgREST behind the gateway as somebody's own client calls it."""
    with ExitStack() as clients:

        def client(person: Person | None) -> httpx.Client:
            headers = {"apikey": stack.anon_key, **PROFILE}
            if person:
                headers["Authorization"] = f"Bearer {person.token}"
            return clients.enter_context(_client(f"{stack.supabase_url}/rest/v1", headers))

        yield client


@pytest.fixture
def linear(stack: RunningStack, db: Connection) -> Iterator[Linear]:
    """Provides an empty fake of Linear, with an empty outbox before and after."""
    fake = Linear(stack.stack.linear_url, stack.keys.linear_key)

    def begin_anew() -> None:
        fake.reset()
        db.execute(
            "update desk_private.outbox set state = 'done', payload = null where channel = 'linear' and state <> 'done'"
        )
        db.execute(
            "update desk_private.linear_sync set paused_until = '-infinity', polled_at = '-infinity', known_until = now()"
        )

    begin_anew()
    yield fake
    begin_anew()


@pytest.fixture
def serve(stack: RunningStack, tmp_path: Path) -> Callable[..., AbstractContextManager[str]]:
    """Run one function more, with variables changed or, where None, left out; gives its address."""

    @contextmanager
    def run(name: str, **changes: str | None) -> Iterator[str]:
        [function] = [function for function in load_functions() if function.name == name]
        changed = {**stack.function_env(name), **changes}
        env = {variable: value for variable, value in changed.items() if value is not None}
        [port] = free_ports(1)
        with run_function(tmp_path / str(port), function, env, port) as part:
            part.wait()
            yield f"http://127.0.0.1:{port}"

    return run


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A Google Cloud project in which nothing is deployed, and gcloud signed in to it."""
    return Project.make(tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def database_with() -> Callable[..., AbstractContextManager[Database]]:
    """A database of its own, migrated or not, with one of the two styles of default privileges."""

    @contextmanager
    def run(default_privileges: DefaultPrivileges, migrated: bool = True) -> Iterator[Database]:
        database = Database(free_ports(1)[0], "password")
        with (
            TemporaryDirectory(prefix="supadesk-") as home,
            run_postgres(Path(home), database, durable=False) as part,
        ):
            part.wait()
            make_platform(database, default_privileges)
            if migrated:
                with database.connect() as connection:
                    apply_migrations(connection)
            yield database

    return run


@pytest.fixture
def cloud() -> Cloud:
    """A Google Cloud project in which nothing has been made yet."""
    return Cloud()


@pytest.fixture
def setup_env(cloud: Cloud, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Returns the environment for a set-up of that project."""
    with serving(cloud) as endpoint:
        credentials = tmp_path / "credentials.json"
        credentials.write_text(json.dumps(key_file(endpoint)))
        yield {
            "GOOGLE_CLOUD_PROJECT": PROJECT,
            "GOOGLE_API_ENDPOINT": endpoint + "/{service}",
            "GOOGLE_APPLICATION_CREDENTIALS": str(credentials),
            "SUPABASE_SECRET_KEY": "sb_secret_first",
            "RESEND_API_KEY": "re_first",
        }


@pytest.fixture
def set_up(
    setup_env: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> SetUp:
    """Set the project up, with arguments and with variables changed or, where None, left out."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", setup_env["GOOGLE_APPLICATION_CREDENTIALS"])
    monkeypatch.setattr(setup, "POLL_BACKOFF_S", 0.01)

    def run(*arguments: str, **changes: str | None) -> Result:
        env = {name: value for name, value in {**setup_env, **changes}.items() if value is not None}
        code = setup.main(list(arguments), env)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


def _client(url: str, headers: dict[str, str]) -> httpx.Client:
    return httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False)


def _insert(db: Connection, table: tuple[str, str], row: dict[str, Any]) -> None:
    names = sql.SQL(", ").join(map(sql.Identifier, row))
    places = sql.SQL(", ").join([sql.Placeholder()] * len(row))
    statement = sql.SQL("insert into {} ({}) values ({})").format(sql.Identifier(*table), names, places)
    db.execute(statement, list(row.values()))
