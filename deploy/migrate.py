"""python -m deploy.migrate: brings the database at DATABASE_URL up to date, or copies the migrations elsewhere.

The history is the desk's own: desk_private.migrations. The official CLI keeps one history per project, and stops
at migrations that it does not know. In a shared project the app's push would fail after the desk's.
What the CLI has applied in a project of the desk's own counts as applied.

The files stand in supabase/migrations, where the CLI looks for them. What ships them stands here, in deploy.
"""

import argparse
import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import psycopg

from deploy.table import ROOT, DeployError

Connection = psycopg.Connection[tuple[object, ...]]
MIGRATIONS = ROOT / "supabase" / "migrations"
# The number is arbitrary. A lock of one transaction also works behind a pooler.
LOCK = "select pg_advisory_xact_lock(7361940125)"
# A waiting DDL statement blocks all later queries on a table of the app: give up early.
HASTE = "set local lock_timeout = '10s'"
HISTORY = """
create schema if not exists desk_private;
create table if not exists desk_private.migrations (
  version text primary key,
  name text not null,
  sha256 text not null,
  applied_at timestamptz not null default now()
);
comment on table desk_private.migrations is
  'The migrations of the desk that are applied. Written by `make migrate`.';
"""
RECORD = "insert into desk_private.migrations (version, name, sha256) values (%s, %s, %s)"


class MigrationError(DeployError):
    """The database could not be brought up to date."""


class Migration(NamedTuple):
    """A file of the folder: <version>_<name>.sql."""

    version: str
    name: str
    sha256: str
    path: Path


def apply_migrations(connection: Connection, folder: Path = MIGRATIONS) -> int:
    """Applies what the history lacks, in order, each file in one transaction; returns how many.

    Expects an autocommit connection. Raises MigrationError naming the file, of which nothing stays.
    """
    migrations = read_migrations(folder)
    with connection.transaction():
        connection.execute(LOCK)
        connection.execute(HISTORY)
        _adopt(connection, migrations)
        _require_consistent(migrations, _applied(connection))
    return sum(_apply(connection, migration) for migration in migrations)


def read_migrations(folder: Path) -> list[Migration]:
    """Returns the migrations of a folder, in order of their versions."""
    migrations = []
    for path in sorted(folder.glob("*_*.sql")):
        version, _, name = path.stem.partition("_")
        migrations.append(Migration(version, name, hashlib.sha256(path.read_bytes()).hexdigest(), path))
    return migrations


def run_file(connection: Connection, path: Path) -> None:
    """Runs a file of SQL in the current transaction; MigrationError names the line that failed."""
    try:
        connection.execute(path.read_bytes())
    except psycopg.Error as error:
        raise MigrationError(f"{path}: {_describe(error, path)}") from error


def copy_migrations(target: Path, folder: Path = MIGRATIONS) -> int:
    """Copies the migrations into the folder of a project with one history; returns how many were new."""
    if not target.is_dir():
        raise MigrationError(f"{target} is not a folder")
    copied = 0
    for migration in read_migrations(folder):
        file, content = target / migration.path.name, migration.path.read_bytes()
        if not file.exists():
            file.write_bytes(content)
            copied += 1
        elif file.read_bytes() != content:
            raise MigrationError(f"{file} differs from the desk's own: put it back, and change nothing in it")
    return copied


def _applied(connection: Connection) -> dict[str, str]:
    """Returns the hash of each version in the history."""
    rows = connection.execute("select version, sha256 from desk_private.migrations").fetchall()
    return {str(version): str(sha256) for version, sha256 in rows}


def _adopt(connection: Connection, migrations: list[Migration]) -> None:
    """Records what the official CLI has applied. The CLI has no hashes, so the file's own is trusted."""
    known = "select to_regclass('supabase_migrations.schema_migrations'), to_regnamespace('desk')"
    if None in (connection.execute(known).fetchone() or ()):
        return
    pushed = set(connection.execute("select version, name from supabase_migrations.schema_migrations"))
    for version, name, sha256, _ in migrations:
        if (version, name) in pushed:
            connection.execute(f"{RECORD} on conflict do nothing", (version, name, sha256))


def _require_consistent(migrations: list[Migration], applied: Mapping[str, str]) -> None:
    last = max(applied, default="")
    for version, _, sha256, path in migrations:
        if version not in applied and version < last:
            raise MigrationError(
                f"{path.name} comes before {last}, which is applied: give it a later version"
            )
        if applied.get(version, sha256) != sha256:
            raise MigrationError(
                f"{path.name} was changed after it was applied: undo that, and write a new one"
            )


def _apply(connection: Connection, migration: Migration) -> bool:
    """Applies one file, unless a concurrent runner has; returns whether it did."""
    version, name, sha256, path = migration
    with connection.transaction():
        connection.execute(LOCK)
        if version in _applied(connection):
            return False
        connection.execute(HASTE)
        run_file(connection, path)
        connection.execute(RECORD, (version, name, sha256))
    return True


def _describe(error: psycopg.Error, path: Path) -> str:
    """Formats an error of PostgreSQL with its line in the file."""
    diag = error.diag
    position = int(diag.statement_position or 0)
    line = path.read_text()[:position].count("\n") + 1
    parts = [
        f"line {line}" if position else None,
        str(diag.message_primary or error),
        diag.message_detail,
        diag.context,
    ]
    return "; ".join(part for part in parts if part)


def main(arguments: list[str], env: Mapping[str, str]) -> int:
    """Migrates or copies; returns the exit status and prints the reason of a failure."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.migrate", description="Bring a database up to date."
    )
    parser.add_argument("--copy", metavar="FOLDER", type=Path, help="copy the files there, and apply nothing")
    options = parser.parse_args(arguments)
    try:
        if options.copy:
            print(f"{copy_migrations(options.copy)} migrations copied to {options.copy}")
            return 0
        url = env.get("DATABASE_URL")
        if not url:
            raise MigrationError("DATABASE_URL is not set: the connection string of the role postgres")
        with psycopg.connect(url, autocommit=True, connect_timeout=10, prepare_threshold=None) as connection:
            applied = apply_migrations(connection)
        print(f"{applied} migrations applied" if applied else "The database is up to date")
        return 0
    except (DeployError, psycopg.Error) as error:
        print(f"Stopped: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
