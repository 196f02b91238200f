"""Builds responses without data: errors, and the effects of faults."""

import time
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from local.linear import errors
from local.linear.errors import LinearError
from local.linear.faults import Rule
from local.linear.limits import COMPLEXITY_PER_HOUR, HOUR_S, REQUESTS_PER_HOUR, rate_limit_headers

ERRORS: dict[str, Callable[[], LinearError]] = {
    "auth": errors.unauthenticated,
    "forbidden": errors.forbidden,
    "feature_not_accessible": errors.feature_not_accessible,
    "usage_limit": errors.usage_limit_exceeded,
    "lock_timeout": errors.lock_timeout,
    "internal": errors.internal_error,
}
ERROR_PAGE = (
    "<!doctype html><html><head><title>Bad gateway</title></head><body><h1>Bad gateway</h1></body></html>"
)


def error_response(
    error: LinearError, status: int | None = None, headers: dict[str, str] | None = None
) -> Response:
    return JSONResponse({"errors": [error.entry()]}, status or error.status, headers)


def fault_response(rule: Rule, request: Request, operations: list[str]) -> Response:
    """Returns the response of a fault: an error, a truncated body, or none."""
    if rule.kind == "drop":
        request.scope["cycle"].transport.abort()
        return Response()
    if rule.kind == "server_error" and rule.html:
        return Response(ERROR_PAGE, rule.status, media_type="text/html")
    if rule.kind == "server_error":
        return JSONResponse({"error": "Service unavailable"}, rule.status)
    if rule.kind == "malformed":
        return Response('{"data": {"issueCreate": {"succ', media_type="application/json")
    if rule.kind == "ratelimited":
        return _rate_limited(rule, operations)
    return error_response(ERRORS[rule.kind]())


def _rate_limited(rule: Rule, operations: list[str]) -> Response:
    limits = {"requests": REQUESTS_PER_HOUR, "complexity": COMPLEXITY_PER_HOUR}
    headers: dict[str, str] = {}
    for scope, limit in limits.items():
        is_spent = scope == rule.scope
        reset = time.time() + (rule.seconds if is_spent else HOUR_S)
        headers |= rate_limit_headers(scope.title(), limit, 0 if is_spent else limit // 2, reset)
    if rule.scope == "endpoint":
        headers |= rate_limit_headers("Endpoint-Requests", 100, 0, time.time() + rule.seconds)
        headers["X-RateLimit-Endpoint-Name"] = operations[0]
    return error_response(errors.rate_limited(REQUESTS_PER_HOUR), 400, headers)
