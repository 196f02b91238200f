"""Lets pages of the allowed origins call (Fetch standard, CORS protocol)."""

from collections.abc import Iterable

from starlette.datastructures import Headers

from shared.config import config

REQUEST_HEADERS = (
    "authorization, content-type, idempotency-key, x-ticket-token, x-request-id, apikey, x-client-info"
)
RESPONSE_HEADERS = "X-Request-Id, Retry-After"


def reply_headers(headers: Headers) -> dict[str, str]:
    """Returns the headers of any response; for other origins none, so that the browser withholds it."""
    origin = headers.get("origin")
    if origin is None or origin not in config().allowed_origins:
        return {"Vary": "Origin"}
    return {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": RESPONSE_HEADERS,
    }


def preflight_headers(headers: Headers, methods: Iterable[str]) -> dict[str, str]:
    """Returns the headers of the response to a preflight."""
    allowed = ", ".join(methods)
    response = reply_headers(headers) | {"Allow": allowed}
    if "Access-Control-Allow-Origin" in response:
        response |= {
            "Access-Control-Allow-Methods": allowed,
            "Access-Control-Allow-Headers": REQUEST_HEADERS,
            "Access-Control-Max-Age": "3600",
        }
    return response
