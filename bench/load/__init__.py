"""Load from many clients at once, made by autocannon in a process of its own."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.figures import NotMeasured
from local.people import Person
from local.process import necessities

SCRIPT = Path(__file__).with_name("load.mjs")


@dataclass(frozen=True)
class Ask:
    """One request; a body is sent as JSON."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None


@dataclass(frozen=True)
class Load:
    """What came of it; times are in milliseconds as the clients saw them."""

    per_second: float
    sent: int
    p50: float
    p99: float


def load(url: str, asks: Sequence[Ask], *, clients: int, seconds: float) -> Load:
    """Send the requests again and again over `clients` connections, each in its own share of them; NotMeasured on any failure."""
    if len(asks) < clients:
        raise ValueError(f"{clients} clients need {clients} requests or more")
    order = {"url": url, "connections": clients, "seconds": seconds, "requests": [_wire(ask) for ask in asks]}
    command = ["node", str(SCRIPT)]
    ran = subprocess.run(
        command,
        input=json.dumps(order),
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        env=necessities(),
    )
    if ran.returncode != 0:
        raise NotMeasured(f"the load generator failed: {ran.stderr[-500:]}")
    found = json.loads(ran.stdout)
    if found["errors"] or set(found["statuses"]) - {"200", "201"} or not found["sent"]:
        raise NotMeasured(f"{url}{asks[0].path} answered {found['statuses']}, {found['errors']} errors")
    times = found["milliseconds"]
    return Load(found["sent"] / found["seconds"], found["sent"], times["p50"], times["p99"])


def bearer(person: Person) -> dict[str, str]:
    """The header that says who asks."""
    return {"Authorization": f"Bearer {person.token}"}


def _wire(ask: Ask) -> dict[str, Any]:
    body = {} if ask.body is None else {"body": json.dumps(ask.body)}
    kind = {} if ask.body is None else {"Content-Type": "application/json"}
    return {"method": ask.method, "path": ask.path, "headers": kind | ask.headers, **body}
