"""One JSON line per request on stdout, as Cloud Logging reads it; nothing that a person wrote is in it."""

import re
from collections.abc import Mapping
from traceback import StackSummary, extract_tb
from typing import Any

from pydantic_core import to_json

from shared.config import cloud_project, cloud_revision
from shared.errors import Internal, Problem

CLOUD_TRACE = re.compile(r"([0-9a-f]{32})(/.*)?")
# As Error Reporting knows what it shall group and count.
ERROR_EVENT = "type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent"
TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*")


def request(
    function: str,
    request_id: str,
    method: str,
    route: str,
    headers: Mapping[str, str],
    status: int,
    milliseconds: float,
    problem: Problem | None,
) -> None:
    line = {
        "severity": _severity(status),
        "message": f"{function} {route or method} {status}",
        "request_id": request_id,
        "function": function,
        "route": route or None,
        "status": status,
        "milliseconds": round(milliseconds, 1),
        "logging.googleapis.com/labels": _labels(function=function, route=route, status=status),
    }
    if problem:
        line |= {"code": problem.code} | ({"reason": problem.reason} if problem.reason else {})
    if isinstance(problem, Internal):
        line |= _event(function, problem.__cause__ or problem)
    _write(line | _trace(headers))


def undelivered(row: int, kind: str, attempt: int, outcome: str, reason: str | None) -> None:
    """A row of the outbox that did not leave; the reason was made for this: it names nobody."""
    line = {
        "severity": "ERROR" if outcome == "dead" else "WARNING",
        "message": f"outbox row {row}, {kind}: {outcome}",
        "attempt": attempt,
        "reason": reason,
        "logging.googleapis.com/labels": _labels(kind=kind, outcome=outcome),
    }
    _write(line)


def unpolled(reason: str) -> None:
    """Linear could not be asked what has changed; the next call asks again."""
    _write({"severity": "WARNING", "message": "linear: not polled", "reason": reason})


def located(error: Exception) -> str:
    """The exception's type and our line it came through; its text stays out, for it may quote a person."""
    frames = [frame for frame in _frames(error) if "site-packages" not in frame.filename]
    where = f" at {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""
    return type(error).__name__ + where


def _event(function: str, error: BaseException) -> dict[str, Any]:
    """What makes a line an error event: where it happened, in the shape of a traceback, and none of the values."""
    places = [f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}' for frame in _frames(error)]
    trace = ["Traceback (most recent call last):", *places, type(error).__name__]
    context = {"service": function, "version": cloud_revision()}
    return {"@type": ERROR_EVENT, "message": "\n".join(trace), "serviceContext": context}


def _frames(error: BaseException) -> StackSummary:
    return extract_tb(error.__traceback__)


def _labels(**labels: object) -> dict[str, str]:
    """What log entries are counted and searched by; Cloud Logging takes text only."""
    return {name: str(value) for name, value in labels.items() if value}


def _write(line: dict[str, Any]) -> None:
    print(to_json(line).decode(), flush=True)


def _severity(status: int) -> str:
    if status >= 500:
        return "ERROR"
    return "WARNING" if status >= 400 else "INFO"


def _trace(headers: Mapping[str, str]) -> dict[str, str]:
    """The trace that Google's front end or the caller began, by the name Cloud Logging has for it."""
    cloud, parent = headers.get("x-cloud-trace-context", ""), headers.get("traceparent", "")
    found = CLOUD_TRACE.fullmatch(cloud) or TRACEPARENT.fullmatch(parent)
    if not found:
        return {}
    project = cloud_project()
    return {"logging.googleapis.com/trace": f"projects/{project}/traces/{found[1]}" if project else found[1]}
