"""Which pages of other origins may call, and what they may send and see (Fetch standard, CORS protocol)."""

from collections.abc import Iterable

from starlette.datastructures import Headers

from shared.config import config

SENT = "authorization, content-type, idempotency-key, x-ticket-token, x-request-id, apikey, x-client-info"
SEEN = "X-Request-Id, Retry-After"


def reply_headers(headers: Headers) -> dict[str, str]:
    """For any answer; an origin that is not on the list gets nothing, and its browser keeps the answer."""
    origin = headers.get("origin")
    if origin is None or origin not in config().allowed_origins:
        return {"Vary": "Origin"}
    return {
        "Vary": "Origin",
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": SEEN,
    }


def preflight_headers(headers: Headers, methods: Iterable[str]) -> dict[str, str]:
    allowed = ", ".join(methods)
    answer = reply_headers(headers) | {"Allow": allowed}
    if "Access-Control-Allow-Origin" in answer:
        answer |= {
            "Access-Control-Allow-Methods": allowed,
            "Access-Control-Allow-Headers": SENT,
            "Access-Control-Max-Age": "3600",
        }
    return answer
