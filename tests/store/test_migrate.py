"""Tests the runner of migrations: its history, order, hashes and concurrent runs."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from deploy.migrate import MIGRATIONS, MigrationError, apply_migrations, copy_migrations
from local.postgres import Database
from local.process import ROOT

HISTORY = "select version from desk_private.migrations order by version"


@pytest.fixture(scope="module")
def server(database_with: Callable[..., AbstractContextManager[Database]]) -> Iterator[Database]:
    """Yields a database before its first migration."""
    with database_with("granted", migrated=False) as database:
        yield database


@pytest.fixture
def empty(server: Database) -> Iterator[Database]:
    """Yields the same database, and drops the schemas of the test afterwards."""
    yield server
    with server.connect() as connection:
        connection.execute("drop schema if exists desk, desk_private, notes cascade")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Makes a folder with two migrations."""
    (tmp_path / "20260101000000_notes.sql").write_text("create schema notes; create table notes.a (id int);")
    (tmp_path / "20260101000002_more.sql").write_text("create table notes.b (id int);")
    return tmp_path


def run(database: Database | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"]} | ({"DATABASE_URL": database.url()} if database else {})
    command = [sys.executable, "-m", "deploy.migrate", *arguments]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)


def test_the_program_applies_everything_once(empty: Database) -> None:
    files = len(list(MIGRATIONS.glob("*.sql")))
    assert run(empty).stdout == f"{files} migrations applied\n"
    assert run(empty).stdout == "The database is up to date\n"
    with empty.connect() as connection:
        assert len(connection.execute(HISTORY).fetchall()) == files


def test_without_a_database_it_says_what_is_missing() -> None:
    stopped = run(None)
    assert stopped.returncode == 1
    assert "DATABASE_URL is not set" in stopped.stderr


def test_an_applied_file_that_was_changed_is_refused_by_name(empty: Database, folder: Path) -> None:
    with empty.connect() as connection:
        apply_migrations(connection, folder)
        (folder / "20260101000000_notes.sql").write_text("create schema notes;")
        (folder / "20260101000003_third.sql").write_text("create table notes.c (id int);")
        with pytest.raises(MigrationError, match=r"20260101000000_notes\.sql was changed"):
            apply_migrations(connection, folder)
        assert connection.execute("select to_regclass('notes.c')").fetchone() == (None,)


def test_a_file_that_comes_too_late_is_refused_by_name(empty: Database, folder: Path) -> None:
    with empty.connect() as connection:
        apply_migrations(connection, folder)
        (folder / "20260101000001_between.sql").write_text("create table notes.c (id int);")
        with pytest.raises(MigrationError, match=r"20260101000001_between\.sql comes before 20260101000002"):
            apply_migrations(connection, folder)


def test_a_database_that_is_ahead_of_the_checkout_is_left_alone(empty: Database, folder: Path) -> None:
    with empty.connect() as connection:
        apply_migrations(connection, folder)
        (folder / "20260101000002_more.sql").unlink()
        assert apply_migrations(connection, folder) == 0


def test_two_runners_at_once_apply_each_file_once(empty: Database) -> None:
    def migrate(_: int) -> int:
        with empty.connect() as connection:
            return apply_migrations(connection)

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(migrate, range(4))) == len(list(MIGRATIONS.glob("*.sql")))


def test_a_migration_does_not_hold_a_busy_app_up(
    empty: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.migrate.HASTE", "set local lock_timeout = '100ms'")
    (folder / "20260101000003_third.sql").write_text(
        "create table notes.people (id uuid references auth.users);"
    )
    with empty.connect() as app, app.transaction(), empty.connect() as connection:
        app.execute("lock table auth.users in row exclusive mode")
        with pytest.raises(MigrationError, match="lock timeout"):
            apply_migrations(connection, folder)


def test_the_files_go_into_another_projects_folder(tmp_path: Path) -> None:
    names = sorted(file.name for file in MIGRATIONS.glob("*.sql"))
    (tmp_path / "20200101000000_theirs.sql").write_text("select 1;")
    assert run(None, "--copy", str(tmp_path)).stdout.startswith(f"{len(names)} migrations copied")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["20200101000000_theirs.sql", *names]
    assert copy_migrations(tmp_path) == 0
    (tmp_path / names[0]).write_text("select 2;")
    with pytest.raises(MigrationError, match=f"{names[0]} differs"):
        copy_migrations(tmp_path)
