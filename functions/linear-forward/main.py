"""Forwards to Linear what waits in the outbox, or at once the one ticket it is asked for, and learns what has changed there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

from shared import logs
from shared.config import LinearConfig, linear_config
from shared.http.call import Call
from shared.http.endpoint import Answer, endpoint
from shared.linear.client import Linear, RateLimited, Refused
from shared.linear.forwarding import forward
from shared.linear.polling import poll
from shared.outbox import Row, Send, drain, send_batch
from shared.requests.fields import Id
from shared.requests.parsing import Body

# Cloud Scheduler calls again a minute later, so a long backlog may be left to the next call.
SECONDS = 45
BREATHER_SECONDS = 60


class Wanted(Body):
    """The id of the one ticket that somebody waits for; nothing, for all that waits."""

    ticket: Id | None = None


async def forward_tickets(call: Call) -> Answer:
    wanted = call.body(Wanted, may_be_empty=True).ticket
    config = linear_config()
    if config is None:
        return {"linear": "off"}
    linear = _linear(config)
    send = _sender(call, linear, config.desk_url)
    if wanted is not None:
        return await _forward_one(call, wanted, send)
    learned = await _learned(call, linear)
    return await drain(call.rpc, "claim_linear", send, SECONDS) | learned


async def _forward_one(call: Call, ticket: str, send: Send) -> dict[str, Any]:
    claimed, outcomes = await send_batch(call.rpc, "claim_linear", {"ticket": ticket, "batch": 1}, send)
    known: dict[str, Any] = claimed["known"]
    for issue in (outcome.result for outcome in outcomes if outcome.result):
        known |= {
            "linear": "created",
            "issue_id": issue["issue_id"],
            "issue_identifier": issue["identifier"],
            "issue_url": issue["url"],
        }
    return known


async def _learned(call: Call, linear: Linear) -> dict[str, Any]:
    """A poll that fails is made again a minute later; what waits goes out all the same."""
    try:
        async with _heeding(call):
            return {"learned": await poll(call.rpc, linear)}
    except Refused as refused:
        logs.unpolled(refused.reason)
        return {"learned": 0, "poll": refused.reason}


def _sender(call: Call, linear: Linear, desk_url: str) -> Send:
    """Sending a row, and a breather for every instance when little is left of a limit."""

    async def send(row: Row) -> dict[str, Any] | None:
        async with _heeding(call):
            result = await forward(row, linear, desk_url)
        if linear.is_scarce:
            await call.rpc("pause_linear", {"seconds": BREATHER_SECONDS})
        return result

    return send


@asynccontextmanager
async def _heeding(call: Call) -> AsyncIterator[None]:
    """A rate limit keeps every instance away until its reset."""
    try:
        yield
    except RateLimited as refused:
        await call.rpc("pause_linear", {"seconds": refused.seconds})
        raise


@cache
def _linear(config: LinearConfig) -> Linear:
    """One for the life of the process."""
    return Linear(config.authorization, url=config.url)


linear_forward = endpoint("linear-forward", {"POST /": forward_tickets}, private=True)
