"""The double as a part of the stack."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from local.auth.keys import Keys
from local.ports import answering
from local.process import ROOT, Part, running

REAL = "https://api.linear.app/graphql"


@contextmanager
def run_linear(
    home: Path, keys: Keys, port: int, functions_url: str, *, requests_per_hour: int, minute: float
) -> Iterator[Part]:
    """The service in a process of its own; `minute` is how many seconds one takes between attempts to deliver."""
    env = {
        "PYTHONPATH": str(ROOT),
        "PORT": str(port),
        "DATA": str(home / "linear.sqlite"),
        "LINEAR_API_KEY": keys.linear_key,
        "LINEAR_WEBHOOK_SECRET": keys.linear_webhook_secret,
        "WEBHOOK_URL": f"{functions_url}/receive-webhook/linear",
        "REQUESTS_PER_HOUR": str(requests_per_hour),
        "MINUTE": str(minute),
    }
    command = [sys.executable, "-m", "local.linear"]
    with running("linear", command, home=home, env=env, ready=answering(port, "/control/faults")) as part:
        yield part


def double_settings(keys: Keys, port: int) -> dict[str, str]:
    """For functions that talk to the double."""
    return {
        "LINEAR_API_URL": f"http://127.0.0.1:{port}/graphql",
        "LINEAR_API_KEY": keys.linear_key,
        "LINEAR_WEBHOOK_SECRET": keys.linear_webhook_secret,
    }


def real_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """For functions that talk to the Linear whose key the developer's environment holds; empty if it holds none."""
    if not environment.get("LINEAR_API_KEY"):
        return {}
    given = {name: value for name, value in environment.items() if name.startswith("LINEAR_")}
    return {"LINEAR_API_URL": REAL, "LINEAR_WEBHOOK_SECRET": "", **given}
