"""The migrations with Supabase's official CLI, on a database as hosted projects have it."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from deploy.migrate import MIGRATIONS, apply_migrations
from local.ports import free_ports
from local.postgres import Database, make_platform, run_postgres
from local.process import ROOT

CLI = ROOT / "tests" / "node_modules" / ".bin" / "supabase"


@pytest.fixture(scope="module", params=["granted", "none"])
def fresh(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A project before its first migration, in both styles of default privileges."""
    database = Database(free_ports(1)[0], "password")
    with (
        TemporaryDirectory(prefix="supadesk-") as home,
        run_postgres(Path(home), database, durable=False) as part,
    ):
        part.wait()
        make_platform(database, request.param)
        yield database


def supabase(database: Database, *command: str) -> str:
    line = [str(CLI), *command, f"--remote={database.url()}"]
    done = subprocess.run(
        line, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_cli_and_the_local_runner_can_be_mixed(fresh: Database) -> None:
    files = sorted(MIGRATIONS.glob("*.sql"))
    pushed = supabase(fresh, "db", "push", "--yes")
    assert all(file.name in pushed for file in files)
    with fresh.connect() as connection:
        assert apply_migrations(connection) == 0


def test_the_advisors_have_nothing_to_say(fresh: Database) -> None:
    with fresh.connect() as connection:
        apply_migrations(connection)
    output = supabase(fresh, "db", "advisors", "--level", "info")
    found = json.loads(output[output.index("[\n") : output.rindex("\n]") + 2])
    # A fresh database has used no index yet.
    assert [lint["detail"] for lint in found if lint["name"] != "unused_index"] == []
