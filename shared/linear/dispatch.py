"""create-ticket asks linear-forward to forward the ticket that it has just filed, while somebody waits for the answer.

Only linear-forward holds Linear's key. It stands behind Cloud Run's IAM, so this asks the metadata server for an identity
token first. Whatever goes wrong here costs nobody anything: the ticket waits in the outbox, and goes out a minute later.
"""

import asyncio
import time
from typing import Any

from pydantic_core import from_json, to_json
from pyreqwest.exceptions import PyreqwestError

from shared.config import config
from shared.store import client

# Since the request arrived: what is not known by then is told as queued.
PATIENCE_SECONDS = 3.0
# A forwarder that has let somebody wait in vain is not asked again at once, or everybody would wait.
REST_SECONDS = 15.0
TOKEN_KEPT_SECONDS = 1800.0
TOKEN_PATH = "/computeMetadata/v1/instance/service-accounts/default/identity"
KNOWN = ("linear", "issue_id", "issue_identifier", "issue_url")

_token: tuple[float, str] = (0.0, "")
_rests_until = 0.0


async def dispatch_now(ticket: dict[str, Any], arrived: float) -> dict[str, Any]:
    """What Linear knows of the ticket now: its issue where forwarding took no longer than somebody waits."""
    global _rests_until
    known = {name: ticket[name] for name in KNOWN}
    url = config().linear_forward_url
    if url is None or known["linear"] != "queued" or time.monotonic() < _rests_until:
        return known
    try:
        async with asyncio.timeout_at(
            asyncio.get_running_loop().time() + arrived + PATIENCE_SECONDS - time.monotonic()
        ):
            answer = await _ask(url, ticket["ticket_id"])
    except TimeoutError:
        _rests_until = time.monotonic() + REST_SECONDS
        return known
    except (PyreqwestError, ValueError):
        return known
    return known | {name: answer[name] for name in KNOWN if name in answer}


async def _ask(url: str, ticket_id: str) -> dict[str, Any]:
    headers = {
        "Authorization": f"Bearer {await _identity(config().linear_forward_audience or url)}",
        "Content-Type": "application/json",
    }
    request = client().post(url).headers(headers).body_bytes(to_json({"ticket": ticket_id}))
    response = await request.build().send()
    answer = from_json((await response.bytes()).to_bytes())
    return answer if response.status == 200 and isinstance(answer, dict) else {}


async def _identity(audience: str) -> str:
    """The token that says who this function is; Google's own lasts an hour."""
    global _token
    kept_until, token = _token
    if time.monotonic() >= kept_until:
        request = client().get(f"http://{config().metadata_host}{TOKEN_PATH}")
        request = request.query({"audience": audience, "format": "full"}).headers(
            {"Metadata-Flavor": "Google"}
        )
        response = await request.build().send()
        token = (await response.bytes()).to_bytes().decode("ascii")
        if response.status != 200:
            raise ValueError("no identity token")
        _token = (time.monotonic() + TOKEN_KEPT_SECONDS, token)
    return token
