"""Installs the desk into the project of a running app as the docs say, uses it, and removes it without a trace."""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from local.auth.keys import Keys, load_keys
from local.gateway import run_gateway
from local.people import PROFILE
from local.ports import free_ports
from local.postgres import Database, binaries
from local.postgrest import run_postgrest
from local.process import ROOT

CLI = ROOT / "tests" / "node_modules" / ".bin" / "supabase"
APP = Path(__file__).with_name("busy_project.sql")
INSTALLING = ROOT / "docs" / "existing-app.md"
REMOVING = ROOT / "docs" / "removing.md"
EMAIL = "you@example.com"  # the address in the docs

# What a project consists of, as text; %(without)s are schemas that are left out.
THEIRS = "not (n.nspname = any (%(without)s)) and n.nspname !~ '^pg_(toast|temp)' and n.nspname <> 'information_schema'"
CATALOG = {
    "schemas": f"select n.nspname, n.nspowner::regrole, n.nspacl from pg_namespace n where {THEIRS}",
    "relations": f"""
        select n.nspname, c.relname, c.relkind, c.relowner::regrole, c.relacl, c.relrowsecurity, c.reloptions,
          pg_get_viewdef(c.oid) from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where {THEIRS} and n.nspname <> 'pg_catalog'""",
    "columns": f"""
        select n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attacl,
          pg_get_expr(d.adbin, d.adrelid)
        from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
        left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where {THEIRS} and n.nspname <> 'pg_catalog' and a.attnum > 0 and not a.attisdropped""",
    "constraints": f"""
        select n.nspname, k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid)
        from pg_constraint k join pg_namespace n on n.oid = k.connamespace where {THEIRS}""",
    "indexes": f"""
        select n.nspname, pg_get_indexdef(i.indexrelid) from pg_index i
        join pg_class c on c.oid = i.indrelid join pg_namespace n on n.oid = c.relnamespace
        where {THEIRS} and n.nspname <> 'pg_catalog'""",
    "functions": f"""
        select n.nspname, p.oid::regprocedure, p.proowner::regrole, p.proacl, pg_get_functiondef(p.oid)
        from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where {THEIRS} and n.nspname <> 'pg_catalog' and p.prokind = 'f'""",
    "triggers": f"""
        select n.nspname, pg_get_triggerdef(g.oid), g.tgenabled from pg_trigger g
        join pg_class c on c.oid = g.tgrelid join pg_namespace n on n.oid = c.relnamespace
        left join pg_class o on o.oid = g.tgconstrrelid left join pg_namespace m on m.oid = o.relnamespace
        join pg_proc f on f.oid = g.tgfoid
        where {THEIRS} and not (coalesce(m.nspname, '') = any (%(without)s))
          and not (f.pronamespace::regnamespace::text = any (%(without)s))""",
    "policies": f"""
        select n.nspname, c.relname, p.polname, p.polcmd, p.polpermissive, p.polroles::regrole[],
          pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)
        from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace
        where {THEIRS}""",
    "types": f"""
        select n.nspname, t.typname, t.typtype from pg_type t join pg_namespace n on n.oid = t.typnamespace
        where {THEIRS} and n.nspname <> 'pg_catalog'""",
    "publications": "select pubname, puballtables, pubowner::regrole from pg_publication",
    "published": """
        select pubname, schemaname, tablename from pg_publication_tables
        where not (schemaname::text = any (%(without)s))""",
    "roles": """
        select rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolbypassrls from pg_roles""",
    "members": "select roleid::regrole, member::regrole, admin_option from pg_auth_members",
    "settings": "select setdatabase, setrole::regrole, setconfig from pg_db_role_setting",
    "default rights": """
        select defaclrole::regrole, defaclnamespace::regnamespace, defaclobjtype, defaclacl from pg_default_acl""",
    "extensions": "select extname, extversion, extnamespace::regnamespace from pg_extension",
    "event triggers": "select evtname, evtevent, evtfoid::regprocedure, evtenabled from pg_event_trigger",
    "their settings": "select * from private.settings",
    "their pages": "select * from public.settings",
    "their history": "select version, name from supabase_migrations.schema_migrations",
}
DESK = ("desk", "desk_private")
Catalog = dict[str, list[str]]


@dataclass(frozen=True)
class App:
    """Holds the project of an app, with the checkout of its migrations."""

    database: Database
    checkout: Path
    keys: Keys

    def push(self, name: str, statements: str) -> str:
        """Writes a migration of the app and pushes it with the official CLI."""
        (self.checkout / "supabase" / "migrations" / name).write_text(statements)
        line = [
            str(CLI),
            "db",
            "push",
            "--yes",
            f"--workdir={self.checkout}",
            f"--remote={self.database.url()}",
        ]
        done = subprocess.run(line, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def catalog(self, *without: str) -> Catalog:
        """Returns the catalog as text, without the named schemas."""
        with self.database.connect("supabase_admin") as connection:
            # Names are written in full only where the search path does not have them.
            connection.execute("set search_path = ''")
            found = {
                what: connection.execute(query, {"without": list(without)}).fetchall()
                for what, query in CATALOG.items()
            }
        return {what: sorted(map(str, rows)) for what, rows in found.items()}

    def sign_up(self, email: str) -> UUID:
        """Makes an account as Auth does."""
        account = uuid4()
        columns = "(id, email, aud, role, email_confirmed_at)"
        with self.database.connect("supabase_auth_admin") as connection:
            row = f"insert into auth.users {columns} values (%s, %s, 'authenticated', 'authenticated', now())"
            connection.execute(row, (account, email))
        return account

    def profile(self, account: UUID) -> tuple[object, ...] | None:
        """Returns what the app's own trigger made of an account."""
        with self.database.connect() as connection:
            query = "select name from public.profiles where id = %s"
            return connection.execute(query, (account,)).fetchone()

    def token(self, account: UUID) -> str:
        """Returns an access token of the account."""
        claims = {"sub": str(account), "role": "authenticated", "aud": "authenticated"}
        return self.keys.sign({**claims, "exp": int(time.time()) + 600, "email": EMAIL})

    @contextmanager
    def api(self, home: Path, schemas: str) -> Iterator[dict[str, str]]:
        """Serves the Data API with these schemas exposed; yields the variables of its callers."""
        home.mkdir(exist_ok=True)
        rest_port, port = free_ports(2)
        upstreams = {"/rest/v1": f"http://127.0.0.1:{rest_port}"}
        with (
            run_postgrest(home, self.database, self.keys, rest_port, schemas) as rest,
            run_gateway(home, "gateway", upstreams, port, self.checkout / "keys.json") as gateway,
        ):
            rest.wait()
            gateway.wait()
            yield {"SUPABASE_URL": f"http://127.0.0.1:{port}", "SUPABASE_ANON_KEY": self.keys.publishable}


@pytest.fixture(scope="module")
def app(
    database_with: Callable[..., AbstractContextManager[Database]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[App]:
    """Yields the project of an app, as its own migrations made it."""
    checkout = tmp_path_factory.mktemp("app")
    (checkout / "supabase" / "migrations").mkdir(parents=True)
    (checkout / "supabase" / "config.toml").write_text('project_id = "app"\n')
    with database_with("granted", migrated=False) as database:
        app = App(database, checkout, load_keys(checkout / "keys.json"))
        app.push("20250101000000_app.sql", APP.read_text())
        yield app


def blocks(page: Path, language: str) -> list[str]:
    """Returns the code blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def block(page: Path, language: str, containing: str) -> str:
    [found] = [text for text in blocks(page, language) if containing in text]
    return found


def paste(commands: str, env: dict[str, str], typed: str = "") -> str:
    """Runs commands in the checkout, as a reader of the page pastes them."""
    path = f"{binaries()}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-e", "-c", commands],
        cwd=ROOT,
        env={"PATH": path, "HOME": os.environ.get("HOME", "/"), **env},
        input=typed,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def get(env: dict[str, str], path: str, token: str, headers: dict[str, str]) -> httpx.Response:
    headers = {"apikey": env["SUPABASE_ANON_KEY"], "Authorization": f"Bearer {token}", **headers}
    return httpx.get(f"{env['SUPABASE_URL']}/rest/v1{path}", headers=headers, trust_env=False)


def test_the_desk_moves_in_works_and_leaves_without_a_trace(app: App, tmp_path: Path) -> None:
    me = app.sign_up(EMAIL)
    before = app.catalog()

    # docs/existing-app.md, step by step.
    migrated = paste(block(INSTALLING, "sh", "make migrate"), {}, typed=app.database.url() + "\n")
    assert "migrations applied" in migrated
    assert app.catalog(*DESK) == before
    with app.api(tmp_path / "unexposed", "public") as env:
        refused = get(env, "/support_tickets", app.token(me), PROFILE)
        assert (refused.status_code, refused.json()["code"]) == (406, "PGRST106")
    with app.database.connect() as connection:
        connection.execute(block(INSTALLING, "sql", "support_agents").encode())
    customer = app.sign_up("customer@example.com")
    with app.api(tmp_path / "exposed", "public,desk") as env:
        own = env | {"TOKEN": app.token(customer)}
        filed = json.loads(paste(block(INSTALLING, "sh", "rpc/create_ticket"), own))
        mine: list[dict[str, Any]] = json.loads(paste(block(INSTALLING, "sh", "select=ticket_number"), own))
        assert mine == [{"ticket_number": filed["ticket_number"], "subject": "Hello"}]
        # The admin sees it; the app's own table of the same name is still the one without a profile.
        seen = get(env, "/support_tickets?select=subject", app.token(me), PROFILE)
        assert seen.json() == [{"subject": "Hello"}]
        assert "desk" not in get(env, "/notifications", app.token(me), {}).text

    # The app goes on: its accounts, its triggers, its own pushes.
    assert app.profile(customer) == ("customer",)
    assert "20250102000000_more.sql" in app.push(
        "20250102000000_more.sql", "create table public.more (id int);"
    )
    with app.database.connect("supabase_auth_admin") as connection:
        connection.execute("delete from auth.users where id = %s", (customer,))
    with app.database.connect() as connection:
        query = "select count(*), count(customer_id) from desk.support_tickets"
        assert connection.execute(query).fetchone() == (1, 0)
    meanwhile = app.catalog(*DESK)

    # docs/removing.md: PostgREST does not expose the schema any more.
    paste(block(REMOVING, "sh", "remove.sql"), {"DATABASE_URL": app.database.url()})
    with app.database.connect() as connection:
        left = connection.execute(block(REMOVING, "sql", "pg_namespace").encode())
        assert left.fetchall() == []
    assert app.catalog() == meanwhile
    assert app.profile(me) == ("you",)
    assert "20250103000000_most.sql" in app.push(
        "20250103000000_most.sql", "create table public.most (id int);"
    )


def test_what_leans_on_the_desk_stops_its_removal_and_is_named(app: App) -> None:
    remove = (ROOT / "supabase" / "remove.sql").read_bytes()
    paste("make migrate", {"DATABASE_URL": app.database.url()})
    with app.database.connect() as connection:
        connection.execute("create view public.open_tickets as select id from desk.support_tickets")
        connection.execute("""
            create policy agents on public.settings for update
            using (exists (select from desk.support_agents a where a.user_id = auth.uid()))""")
        with pytest.raises(psycopg.errors.RaiseException, match=r"policy agents.*view open_tickets"):
            connection.execute(remove)
        connection.execute("rollback")
        assert connection.execute("select to_regclass('desk.support_tickets') is null").fetchone() == (False,)
        connection.execute("drop policy agents on public.settings; drop view public.open_tickets")
        connection.execute(remove)
        # The second time there is nothing to remove.
        connection.execute(remove)
        assert connection.execute("select to_regnamespace('desk')").fetchone() == (None,)


def test_a_schema_that_is_still_exposed_is_not_removed(app: App) -> None:
    with app.database.connect("supabase_admin") as connection:
        connection.execute("alter role authenticator set pgrst.db_schemas = 'public, desk'")
    with app.database.connect() as connection:
        with pytest.raises(psycopg.errors.RaiseException, match="still among the exposed schemas"):
            connection.execute((ROOT / "supabase" / "remove.sql").read_bytes())
        connection.execute("rollback")
    with app.database.connect("supabase_admin") as connection:
        connection.execute("alter role authenticator reset pgrst.db_schemas")


def test_a_schema_of_the_apps_own_that_is_called_desk_is_left_alone(app: App) -> None:
    with app.database.connect() as connection:
        connection.execute("create schema desk; create table desk.furniture (id int)")
        before = app.catalog("desk_private")
        stopped = subprocess.run(
            ["make", "migrate"],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "DATABASE_URL": app.database.url()},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert stopped.returncode != 0
        assert 'schema "desk" already exists' in stopped.stderr
        with pytest.raises(psycopg.errors.RaiseException, match="the schema desk is another one"):
            connection.execute((ROOT / "supabase" / "remove.sql").read_bytes())
        connection.execute("rollback")
        assert app.catalog("desk_private") == before
        connection.execute("drop schema desk cascade; drop schema desk_private cascade")
