"""Mail by Resend's HTTP API (resend.com/docs/api-reference), which sends once per Idempotency-Key for 24 hours."""

import asyncio
import time
from typing import Annotated, Any

import httpx
from pydantic import BaseModel, Field, ValidationError

from shared.mail.message import Mail
from shared.outbox import Undelivered

URL = "https://api.resend.com/emails"
SECONDS = 15.0
# What a team may ask for without having been granted more.
PER_SECOND = 2
QUOTA_PAUSE = 3600
LONGEST_PAUSE = 6 * 3600
# The mail is refused, and would be again.
PERMANENT = (400, 413, 422, 451)
# Refused like a mail, but what is wrong is our set-up, and once it is mended the mail can go.
OURS = ("invalid_from_address", "invalid_access", "invalid_region", "invalid_idempotency_key")


class Accepted(BaseModel):
    id: str


class Refusal(BaseModel):
    """Its message stays out: it may quote an address."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z_]{1,60}$")] = "unnamed"


class Resend:
    def __init__(self, api_key: str, *, url: str = URL) -> None:
        self._url = url
        self._client = httpx.AsyncClient(headers={"Authorization": f"Bearer {api_key}"}, timeout=SECONDS)
        self._next = 0.0

    async def send(self, mail: Mail) -> None:
        await self._pace()
        try:
            answer = await self._client.post(
                self._url, json=_email(mail), headers={"Idempotency-Key": mail.key}
            )
        except httpx.HTTPError as error:
            raise Undelivered(f"resend: {type(error).__name__}", permanent=False) from None
        if answer.is_success:
            _require_accepted(answer)
        else:
            _refuse(answer)

    async def _pace(self) -> None:
        """Wait for this request's turn."""
        now = time.monotonic()
        turn = max(now, self._next)
        self._next = turn + 1 / PER_SECOND
        await asyncio.sleep(turn - now)


def _email(mail: Mail) -> dict[str, Any]:
    email = {
        "from": str(mail.sender),
        "to": [str(mail.to)],
        "subject": mail.subject,
        "text": mail.text,
        "html": mail.html,
        "headers": dict(mail.headers),
    }
    return email | ({"reply_to": [str(mail.reply_to)]} if mail.reply_to else {})


def _require_accepted(answer: httpx.Response) -> None:
    try:
        Accepted.model_validate_json(answer.content)
    except ValidationError:
        # Something between us and Resend may have answered; the key makes asking again safe.
        raise Undelivered(f"resend: {answer.status_code} without an id", permanent=False) from None


def _refuse(answer: httpx.Response) -> None:
    try:
        name = Refusal.model_validate_json(answer.content).name
    except ValidationError:
        name = "unreadable"
    # The key has been used with another body: an earlier version of this code has sent this very mail.
    if (answer.status_code, name) == (409, "invalid_idempotent_request"):
        return
    permanent = answer.status_code in PERMANENT and name not in OURS
    reason = f"resend: {answer.status_code} {name}"
    raise Undelivered(reason, permanent=permanent, retry_after=_pause(answer, name))


def _pause(answer: httpx.Response, name: str) -> int | None:
    asked = answer.headers.get("retry-after", "")
    if asked.isascii() and asked.isdecimal():
        return min(int(asked[:9]), LONGEST_PAUSE)
    return QUOTA_PAUSE if name.endswith("_quota_exceeded") else None
