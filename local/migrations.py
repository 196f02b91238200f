"""Applies migrations and the seed, and records them where the official CLI does: the two can be mixed."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import psycopg

from local.process import ROOT, StackError

Connection = psycopg.Connection[tuple[object, ...]]
SUPABASE = ROOT / "supabase"
HISTORY = """
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (version text not null primary key);
alter table supabase_migrations.schema_migrations add column if not exists statements text[];
alter table supabase_migrations.schema_migrations add column if not exists name text;
create table if not exists supabase_migrations.seed_files
  (path text not null primary key, hash text not null);
"""


def apply_migrations(connection: Connection, folder: Path = SUPABASE / "migrations") -> int:
    """Apply what is not yet recorded, each file in a transaction of its own; returns how many."""
    connection.execute(HISTORY)
    recorded = "select version from supabase_migrations.schema_migrations"
    applied = {version for (version,) in connection.execute(recorded)}
    pending = [(version, name, path) for version, name, path in _files(folder) if version not in applied]
    for version, name, path in pending:
        _apply(connection, version, name, path)
    return len(pending)


def apply_seed(connection: Connection, path: Path = SUPABASE / "seed.sql") -> bool:
    """Run the seed unless it has been run before; says whether it was."""
    name = path.relative_to(ROOT).as_posix()
    with connection.transaction():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        record = "insert into supabase_migrations.seed_files values (%s, %s) on conflict do nothing"
        if connection.execute(record, (name, digest)).rowcount == 0:
            return False
        _run(connection, path)
    return True


def _files(folder: Path) -> Iterator[tuple[str, str, Path]]:
    for path in sorted(folder.glob("*.sql")):
        version, _, name = path.stem.partition("_")
        yield version, name, path


def _apply(connection: Connection, version: str, name: str, path: Path) -> None:
    with connection.transaction():
        _run(connection, path)
        columns = "schema_migrations (version, name, statements)"
        record = f"insert into supabase_migrations.{columns} values (%s, %s, %s)"
        connection.execute(record, (version, name, [path.read_text()]))


def _run(connection: Connection, path: Path) -> None:
    try:
        connection.execute(path.read_bytes())
    except psycopg.Error as error:
        raise StackError(f"{path}: {_describe(error, path)}") from error


def _describe(error: psycopg.Error, path: Path) -> str:
    """PostgreSQL's words, with the line they are about."""
    diag = error.diag
    line = (
        path.read_text()[: int(diag.statement_position)].count("\n") + 1 if diag.statement_position else None
    )
    told = [
        f"line {line}" if line else None,
        str(diag.message_primary or error),
        diag.message_detail,
        diag.context,
    ]
    return "; ".join(part for part in told if part)
