"""Answers without data: refusals, and what a fault makes of an answer."""

import time
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from local.linear import refusals
from local.linear.faults import Rule
from local.linear.limits import COMPLEXITY, HOUR, REQUESTS, told
from local.linear.refusals import Refusal

REFUSE: dict[str, Callable[[], Refusal]] = {
    "auth": refusals.unauthenticated,
    "forbidden": refusals.forbidden,
    "feature_not_accessible": refusals.feature_not_accessible,
    "usage_limit": refusals.usage_limit_exceeded,
    "lock_timeout": refusals.lock_timeout,
    "internal": refusals.internal_error,
}
BROKEN_PAGE = (
    "<!doctype html><html><head><title>Bad gateway</title></head><body><h1>Bad gateway</h1></body></html>"
)


def refused(refusal: Refusal, status: int | None = None, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"errors": [refusal.as_error()]}, status or refusal.status, headers)


def spoilt(rule: Rule, request: Request, names: list[str]) -> Response:
    """An answer that says less than the truth, or none."""
    if rule.kind == "drop":
        request.scope["cycle"].transport.abort()
        return Response()
    if rule.kind == "server_error" and rule.html:
        return Response(BROKEN_PAGE, rule.status, media_type="text/html")
    if rule.kind == "server_error":
        return JSONResponse({"error": "Service unavailable"}, rule.status)
    if rule.kind == "malformed":
        return Response('{"data": {"issueCreate": {"succ', media_type="application/json")
    if rule.kind == "ratelimited":
        return _limited(rule, names)
    return refused(REFUSE[rule.kind]())


def _limited(rule: Rule, names: list[str]) -> Response:
    budgets = {"requests": (REQUESTS, HOUR), "complexity": (COMPLEXITY, HOUR)}
    headers: dict[str, str] = {}
    for scope, (limit, seconds) in budgets.items():
        spent = scope == rule.scope
        ends = time.time() + (rule.seconds if spent else seconds)
        headers |= told(f"X-RateLimit-{scope.title()}", limit, 0 if spent else limit // 2, ends)
    if rule.scope == "endpoint":
        headers |= told("X-RateLimit-Endpoint-Requests", 100, 0, time.time() + rule.seconds)
        headers["X-RateLimit-Endpoint-Name"] = names[0]
    return refused(refusals.rate_limited(REQUESTS), 400, headers)
