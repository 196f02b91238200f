"""Migrations: each once, whole or not at all, by the desk's own runner or by the official CLI."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from deploy.migrate import MigrationError, apply_migrations
from local.postgres import Database
from local.process import ROOT
from local.seed import apply_seed

CLI = ROOT / "tests" / "node_modules" / ".bin" / "supabase"
FIRST = "create table public.firsts (id int primary key); insert into public.firsts values (1), (2);"
SECOND = "create table public.seconds (id int references public.firsts);"
HISTORY = "select version, name from desk_private.migrations order by version"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two migrations."""
    (tmp_path / "20260101000000_firsts.sql").write_text(FIRST)
    (tmp_path / "20260101000001_second_of_all.sql").write_text(SECOND)
    return tmp_path


@pytest.fixture
def empty(database_with: Callable[..., AbstractContextManager[Database]]) -> Iterator[Database]:
    """A database as a hosted project begins."""
    with database_with("none", migrated=False) as database:
        yield database


def test_each_is_applied_once_and_recorded(empty: Database, folder: Path) -> None:
    with empty.connect() as connection:
        assert apply_migrations(connection, folder) == 2
        assert apply_migrations(connection, folder) == 0
        recorded = [("20260101000000", "firsts"), ("20260101000001", "second_of_all")]
        assert connection.execute(HISTORY).fetchall() == recorded


def test_a_broken_one_names_its_line_and_leaves_nothing(empty: Database, folder: Path) -> None:
    (folder / "20260101000002_broken.sql").write_text(
        "create table public.thirds (id int);\nselect no_such_thing;\n"
    )
    with empty.connect() as connection:
        with pytest.raises(
            MigrationError, match=r'20260101000002_broken\.sql: line 2; column "no_such_thing"'
        ):
            apply_migrations(connection, folder)
        assert connection.execute("select to_regclass('public.thirds')").fetchone() == (None,)
        assert len(connection.execute(HISTORY).fetchall()) == 2


@pytest.mark.parametrize(
    "forbidden",
    [
        "create table auth.mine (id int)",
        "create table storage.mine (id int)",
        "create table realtime.mine (id int)",
        "create function auth.uid() returns uuid language sql return null",
        "alter table auth.users add column mine int",
        "create role boss superuser",
        "select pg_read_file('/etc/passwd')",
    ],
)
def test_what_a_hosted_project_forbids_fails_here_too(
    empty: Database, tmp_path: Path, forbidden: str
) -> None:
    (tmp_path / "20260101000000_forbidden.sql").write_text(forbidden)
    with (
        empty.connect() as connection,
        pytest.raises(MigrationError, match=r"permission denied|must be owner|must be superuser"),
    ):
        apply_migrations(connection, tmp_path)


def test_what_a_hosted_project_allows_works_here_too(empty: Database, tmp_path: Path) -> None:
    (tmp_path / "20260101000000_allowed.sql").write_text(
        """
        create extension pg_trgm with schema extensions;
        create table public.profiles (id uuid primary key references auth.users on delete cascade);
        create function public.greet() returns trigger language plpgsql security definer set search_path = ''
          as $$ begin insert into public.profiles values (new.id); return new; end $$;
        create trigger greet after insert on auth.users for each row execute function public.greet();
        alter publication supabase_realtime add table public.profiles;
        set role authenticated;
        reset role;
        """
    )
    with empty.connect() as connection:
        assert apply_migrations(connection, tmp_path) == 1


def test_what_the_official_cli_has_applied_counts_as_applied(empty: Database) -> None:
    assert "Finished supabase db push" in _push(empty)
    with empty.connect() as connection:
        assert apply_migrations(connection) == 0
        pushed = "select version, name from supabase_migrations.schema_migrations order by version"
        by_cli = connection.execute(pushed).fetchall()
        assert connection.execute(HISTORY).fetchall() == by_cli
        assert apply_seed(connection) is False
        connection.execute("drop schema supabase_migrations, desk, desk_private cascade")
        assert apply_migrations(connection) == len(by_cli)
        assert apply_seed(connection) is True
        assert connection.execute(HISTORY).fetchall() == by_cli


def _push(database: Database) -> str:
    """Apply what is not yet applied, as somebody does by hand."""
    target = ["--workdir", str(ROOT), f"--remote={database.url()}"]
    command = [str(CLI), "db", "push", "--include-seed", "--yes", *target]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr
