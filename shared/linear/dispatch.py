"""Asks linear-forward to send a new ticket at once, so that create-ticket can answer with its issue.

Only linear-forward holds Linear's key. It stands behind Cloud Run's IAM, so a dispatch first gets an identity
token from the metadata server. A failure here loses nothing: the next drain sends the ticket within a minute.
"""

import asyncio
import time
from typing import Any

from pydantic_core import from_json, to_json
from pyreqwest.exceptions import PyreqwestError

from shared.config import config
from shared.store import client

# Counted from the request's arrival; after it, create-ticket answers that the issue is queued.
DISPATCH_TIMEOUT_S = 3.0
# After a timeout, dispatching stops for a while: otherwise every create-ticket would wait for a slow
# forwarder.
DISPATCH_BACKOFF_S = 15.0
# Google's identity tokens last an hour.
IDENTITY_TTL_S = 1800.0
IDENTITY_PATH = "/computeMetadata/v1/instance/service-accounts/default/identity"
ISSUE_FIELDS = ("linear", "issue_id", "issue_identifier", "issue_url")

_identity: tuple[float, str] = (0.0, "")
_paused_until = 0.0


async def dispatch_now(ticket: dict[str, Any], arrived: float) -> dict[str, Any]:
    """Returns the ticket's Linear fields: with its issue if forwarding finished in time, else queued.

    `ticket` is create-ticket's answer, `arrived` the request's arrival by time.monotonic(). Raises nothing.
    """
    global _paused_until
    fields = {name: ticket[name] for name in ISSUE_FIELDS}
    url = config().linear_forward_url
    if url is None or fields["linear"] != "queued" or time.monotonic() < _paused_until:
        return fields
    try:
        async with asyncio.timeout_at(
            asyncio.get_running_loop().time() + arrived + DISPATCH_TIMEOUT_S - time.monotonic()
        ):
            answer = await _request_forwarding(url, ticket["ticket_id"])
    except TimeoutError:
        _paused_until = time.monotonic() + DISPATCH_BACKOFF_S
        return fields
    except (PyreqwestError, ValueError):
        return fields
    return fields | {name: answer[name] for name in ISSUE_FIELDS if name in answer}


async def _request_forwarding(url: str, ticket_id: str) -> dict[str, Any]:
    headers = {
        "Authorization": f"Bearer {await _identity_token(config().linear_forward_audience or url)}",
        "Content-Type": "application/json",
    }
    request = client().post(url).headers(headers).body_bytes(to_json({"ticket": ticket_id}))
    response = await request.build().send()
    answer = from_json((await response.bytes()).to_bytes())
    return answer if response.status == 200 and isinstance(answer, dict) else {}


async def _identity_token(audience: str) -> str:
    """Returns this function's identity token for an audience; raises ValueError without one."""
    global _identity
    expires, token = _identity
    if time.monotonic() >= expires:
        request = client().get(f"http://{config().metadata_host}{IDENTITY_PATH}")
        request = request.query({"audience": audience, "format": "full"}).headers(
            {"Metadata-Flavor": "Google"}
        )
        response = await request.build().send()
        token = (await response.bytes()).to_bytes().decode("ascii")
        if response.status != 200:
            raise ValueError("no identity token")
        _identity = (time.monotonic() + IDENTITY_TTL_S, token)
    return token
