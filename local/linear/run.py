"""Runs the fake as a part of the stack."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from local.auth.keys import Keys
from local.ports import answering
from local.process import ROOT, Part, running

REAL_URL = "https://api.linear.app/graphql"


@contextmanager
def run_linear(
    home: Path, keys: Keys, port: int, functions_url: str, *, requests_per_hour: int, minute: float
) -> Iterator[Part]:
    """Runs the fake in a process of its own; `minute` is the seconds of a minute between webhook attempts."""
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


def fake_settings(keys: Keys, port: int) -> dict[str, str]:
    """Returns the functions' settings for the fake."""
    return {
        "LINEAR_API_URL": f"http://127.0.0.1:{port}/graphql",
        "LINEAR_API_KEY": keys.linear_key,
        "LINEAR_WEBHOOK_SECRET": keys.linear_webhook_secret,
    }


def real_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the functions' settings for the real Linear; empty without LINEAR_API_KEY."""
    if not environment.get("LINEAR_API_KEY"):
        return {}
    own = {name: value for name, value in environment.items() if name.startswith("LINEAR_")}
    return {"LINEAR_API_URL": REAL_URL, "LINEAR_WEBHOOK_SECRET": "", **own}
