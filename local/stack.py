"""The whole stack: what is started, in which order, with what."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from deploy.migrate import Connection, apply_migrations
from local.auth import accounts
from local.auth.gotrue import run_auth
from local.auth.keys import Keys, load_keys, write_private
from local.functions import run_functions
from local.gateway import run_gateway
from local.linear.run import fake_settings, run_linear
from local.mail import mail_settings, run_mail
from local.ports import Ports, free_ports
from local.postgres import Database, DefaultPrivileges, make_platform, run_postgres
from local.postgrest import run_postgrest
from local.process import Part
from local.seed import apply_seed

DEMO_PEOPLE = ("customer@example.com", "other@example.com", "agent@example.com", "admin@example.com")
DEMO_PASSWORD = "password"
WEB_ORIGINS = "http://localhost:3002,http://localhost:5173,http://localhost:5174"
DECISIONS = """
select desk_private.set_setting('conversation_link',
    '"http://localhost:5173/conversations/{domain_id}/{session_id}"'),
  desk_private.set_setting('conversation_hosts', '["localhost"]');
update desk.ticket_categories set linear_team = 'ENG' where slug in ('chatbot', 'bug', 'other');
update desk.ticket_categories set linear_label = initcap(slug) where slug in ('chatbot', 'bug');
"""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """What differs between `make run` and the stack of the tests."""

    home: Path
    ports: Ports
    default_privileges: DefaultPrivileges = "granted"
    durable: bool = True
    demo: bool = True
    # False: people who sign up confirm by a mailed link.
    autoconfirm: bool = True
    # How many seconds a minute of the scheduler takes; None: nobody calls by schedule.
    minute: float | None = 5
    # What the double of Linear grants a key in an hour.
    linear_requests: int = 2_500
    # LINEAR_API_URL and so on of a Linear of one's own; empty: the double is started.
    linear: Mapping[str, str] = field(default_factory=dict)

    @property
    def keys_file(self) -> Path:
        """Where the project's keys are kept."""
        return self.home / "keys.json"


@dataclass(frozen=True)
class Stack:
    """Where everything is, for those who use it."""

    settings: Settings
    keys: Keys
    postgrest_port: int
    metadata_port: int

    @property
    def supabase_url(self) -> str:
        """Where the official clients connect to."""
        return f"http://127.0.0.1:{self.settings.ports.supabase}"

    @property
    def functions_url(self) -> str:
        """Where the functions are."""
        return f"http://127.0.0.1:{self.settings.ports.functions}"

    @property
    def rest_url(self) -> str:
        """PostgREST without the gateway: it takes tokens, but no keys."""
        return f"http://127.0.0.1:{self.postgrest_port}"

    @property
    def auth_url(self) -> str:
        """Auth, which is also the issuer of its tokens."""
        return f"{self.supabase_url}/auth/v1"

    @property
    def linear_url(self) -> str:
        """Where a person looks at the issues: the double's page, or Linear."""
        double = f"http://127.0.0.1:{self.settings.ports.linear}"
        return self.settings.linear["LINEAR_API_URL"] if self.settings.linear else double

    @property
    def database(self) -> Database:
        """The database, for whoever may log in."""
        return Database(self.settings.ports.database, self.keys.database_password)

    @property
    def environment(self) -> dict[str, str]:
        """What `.local/env` holds and functions may be given."""
        return {
            "SUPABASE_URL": self.supabase_url,
            "SUPABASE_ANON_KEY": self.keys.publishable,
            "SUPABASE_SECRET_KEY": self.keys.secret,
            "SUPABASE_DB_SCHEMA": "desk",
            "DATABASE_URL": self.database.url(),
            "POSTGREST_URL": self.rest_url,
            "FUNCTIONS_URL": self.functions_url,
            "INTAKE_SECRET": self.keys.intake_secret,
            "ALLOWED_ORIGINS": WEB_ORIGINS,
            "PARTNER_SECRETS": f"demo={self.keys.partner_secret}",
            "GCE_METADATA_HOST": f"127.0.0.1:{self.metadata_port}",
            **mail_settings(self.settings.ports.mail),
            **(self.settings.linear or fake_settings(self.keys, self.settings.ports.linear)),
        }


@contextmanager
def run_stack(settings: Settings, say: Say) -> Iterator[tuple[Stack, list[Part]]]:
    """Everything, until the block is left."""
    settings.ports.require_free()
    rest_port, auth_port, metadata_port = free_ports(3)
    stack = Stack(settings, load_keys(settings.keys_file), rest_port, metadata_port)
    home, database, ports = settings.home, stack.database, settings.ports
    upstreams = {"/rest/v1": stack.rest_url, "/auth/v1": f"http://127.0.0.1:{auth_port}"}
    with ExitStack() as started:
        postgres = started.enter_context(run_postgres(home, database, durable=settings.durable))
        # The Python parts need no database to start, and importing them takes longer than all the rest.
        functions = started.enter_context(
            run_functions(home, stack.environment, ports.functions, minute=settings.minute)
        )
        mail = started.enter_context(run_mail(home, ports.mail))
        auth = started.enter_context(
            run_auth(
                home,
                database,
                settings.keys_file,
                stack.auth_url,
                auth_port,
                mail_port=settings.ports.mail,
                autoconfirm=settings.autoconfirm,
            )
        )
        gateway = started.enter_context(
            run_gateway(home, "supabase-gateway", upstreams, ports.supabase, settings.keys_file)
        )
        linear = [] if settings.linear else [started.enter_context(_run_linear(stack))]
        with _step(say, "PostgreSQL"):
            postgres.wait()
            make_platform(database, settings.default_privileges)
        prepare(stack, say)
        postgrest = started.enter_context(run_postgrest(home, database, stack.keys, rest_port))
        wait_for([postgrest, auth, gateway, mail, *linear, *functions], say)
        write_private(home / "env", "".join(f"{name}={value}\n" for name, value in stack.environment.items()))
        yield stack, [postgres, postgrest, auth, gateway, mail, *linear, *functions]


def _run_linear(stack: Stack) -> AbstractContextManager[Part]:
    settings = stack.settings
    return run_linear(
        settings.home,
        stack.keys,
        settings.ports.linear,
        stack.functions_url,
        requests_per_hour=settings.linear_requests,
        minute=settings.minute or 60,
    )


def wait_for(parts: Iterable[Part], say: Say) -> None:
    """Return when all of them answer."""
    for part in parts:
        with _step(say, part.name):
            part.wait()


def watch(parts: Iterable[Part]) -> None:
    """Never return: raise as soon as one of them has ended."""
    parts = list(parts)
    while True:
        for part in parts:
            part.check()
        time.sleep(0.2)


def prepare(stack: Stack, say: Say) -> None:
    """Bring the database up to date."""
    with stack.database.connect() as connection:
        with _step(say, "migrations"):
            apply_migrations(connection)
            set_intake_secret(connection, stack.keys.intake_secret)
            _configure(connection)
        if stack.settings.demo:
            with _step(say, "demo people and data"):
                _add_demo_people(stack.database)
                apply_seed(connection)


def set_intake_secret(connection: Connection, secret: str) -> None:
    """Tell the database by which secret it knows create-ticket; it keeps only the hash."""
    hashed = "encode(sha256(convert_to(%s, 'UTF8')), 'hex')"
    statement = f"select desk_private.set_setting('intake_secret_sha256', to_jsonb({hashed}))"
    connection.execute(statement, (secret,))


def _configure(connection: Connection) -> None:
    """Decides what an operator decides for a project of their own, unless it has been decided here."""
    undecided = "select desk_private.setting('conversation_link') = 'null'"
    if connection.execute(undecided).fetchone() == (True,):
        connection.execute(DECISIONS)


def _add_demo_people(database: Database) -> None:
    with accounts.connect(database.url("supabase_auth_admin")) as connection:
        for email in DEMO_PEOPLE:
            if accounts.find_user_by_email(connection, email) is None:
                accounts.add_user(connection, accounts.NewUser(email, DEMO_PASSWORD))


@contextmanager
def _step(say: Say, what: str) -> Iterator[None]:
    begun = time.monotonic()
    yield
    say(f"  {what:<24}{time.monotonic() - begun:5.1f} s")
