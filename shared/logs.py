"""Writes one JSON line per request to stdout, in Cloud Logging's shape and without personal data."""

import re
from collections.abc import Mapping
from traceback import StackSummary, extract_tb
from typing import Any

from pydantic_core import to_json

from shared.config import cloud_project, cloud_revision
from shared.errors import Internal, Problem

CLOUD_TRACE = re.compile(r"([0-9a-f]{32})(/.*)?")
# Error Reporting groups and counts only entries of this type.
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
    """Logs an answered request. `route` is empty if none matched; the headers' names are in lower case."""
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
    """Logs a failed attempt at an outbox row. The reason must hold no personal data."""
    line = {
        "severity": "ERROR" if outcome == "dead" else "WARNING",
        "message": f"outbox row {row}, {kind}: {outcome}",
        "attempt": attempt,
        "reason": reason,
        "logging.googleapis.com/labels": _labels(kind=kind, outcome=outcome),
    }
    _write(line)


def unpolled(reason: str) -> None:
    """Logs a failed poll of Linear; the next run polls again."""
    _write({"severity": "WARNING", "message": "linear: not polled", "reason": reason})


def located(error: Exception) -> str:
    """Describes an exception by its type and our line. Its text may quote a person and is left out."""
    frames = [frame for frame in _frames(error) if "site-packages" not in frame.filename]
    where = f" at {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""
    return type(error).__name__ + where


def _event(function: str, error: BaseException) -> dict[str, Any]:
    """Builds the fields of an error event: a traceback of places, without values."""
    lines = [f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}' for frame in _frames(error)]
    trace = ["Traceback (most recent call last):", *lines, type(error).__name__]
    context = {"service": function, "version": cloud_revision()}
    return {"@type": ERROR_EVENT, "message": "\n".join(trace), "serviceContext": context}


def _frames(error: BaseException) -> StackSummary:
    return extract_tb(error.__traceback__)


def _labels(**labels: object) -> dict[str, str]:
    """Formats the labels that log entries are counted by. Cloud Logging accepts only text."""
    return {name: str(value) for name, value in labels.items() if value}


def _write(line: dict[str, Any]) -> None:
    print(to_json(line).decode(), flush=True)


def _severity(status: int) -> str:
    if status >= 500:
        return "ERROR"
    return "WARNING" if status >= 400 else "INFO"


def _trace(headers: Mapping[str, str]) -> dict[str, str]:
    """Returns the trace that Google's front end or the caller began, as Cloud Logging names it."""
    cloud, parent = headers.get("x-cloud-trace-context", ""), headers.get("traceparent", "")
    match = CLOUD_TRACE.fullmatch(cloud) or TRACEPARENT.fullmatch(parent)
    if not match:
        return {}
    project = cloud_project()
    return {"logging.googleapis.com/trace": f"projects/{project}/traces/{match[1]}" if project else match[1]}
