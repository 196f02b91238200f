"""Applies the demo data once, recorded where the official CLI records it."""

import hashlib
from pathlib import Path

from deploy.migrate import Connection, run_file
from local.process import ROOT

SEED = ROOT / "supabase" / "seed.sql"
HISTORY = """
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.seed_files
  (path text not null primary key, hash text not null);
"""


def apply_seed(connection: Connection, path: Path = SEED) -> bool:
    """Runs the seed unless it is recorded; returns whether it ran."""
    name = path.relative_to(ROOT).as_posix()
    with connection.transaction():
        connection.execute(HISTORY)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        record = "insert into supabase_migrations.seed_files values (%s, %s) on conflict do nothing"
        if connection.execute(record, (name, digest)).rowcount == 0:
            return False
        run_file(connection, path)
    return True
