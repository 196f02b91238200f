"""Generates load from many clients with autocannon, in its own process."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.figures import NotMeasured
from local.people import PROFILE, Person
from local.process import necessities

SCRIPT = Path(__file__).with_name("load.mjs")


@dataclass(frozen=True)
class Request:
    """Describes one request; its body is sent as JSON."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None


@dataclass(frozen=True)
class LoadResult:
    """Holds a run's rate and count, and the clients' times in milliseconds."""

    per_second: float
    sent: int
    p50: float
    p99: float


def load(url: str, requests: Sequence[Request], *, clients: int, seconds: float) -> LoadResult:
    """Repeats the requests, divided over `clients` connections; raises NotMeasured for a failure."""
    if len(requests) < clients:
        raise ValueError(f"{clients} clients need {clients} requests or more")
    order = {
        "url": url,
        "connections": clients,
        "seconds": seconds,
        "requests": [_as_json(request) for request in requests],
    }
    command = ["node", str(SCRIPT)]
    process = subprocess.run(
        command,
        input=json.dumps(order),
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        env=necessities(),
    )
    if process.returncode != 0:
        raise NotMeasured(f"the load generator failed: {process.stderr[-500:]}")
    report = json.loads(process.stdout)
    if report["errors"] or set(report["statuses"]) - {"200", "201"} or not report["sent"]:
        raise NotMeasured(f"{url}{requests[0].path} answered {report['statuses']}, {report['errors']} errors")
    times = report["milliseconds"]
    return LoadResult(report["sent"] / report["seconds"], report["sent"], times["p50"], times["p99"])


def bearer(person: Person) -> dict[str, str]:
    """Returns the headers with a person's token, and with the desk's schema, which functions ignore."""
    return {"Authorization": f"Bearer {person.token}", **PROFILE}


def _as_json(request: Request) -> dict[str, Any]:
    body = {} if request.body is None else {"body": json.dumps(request.body)}
    kind = {} if request.body is None else {"Content-Type": "application/json"}
    return {"method": request.method, "path": request.path, "headers": kind | request.headers, **body}
