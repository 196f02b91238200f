"""Forwards outbox rows to Linear, all or those of one ticket, and polls Linear for changes."""

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
    """Holds the id of the ticket to dispatch; empty for a drain of all rows."""

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
    """Polls Linear. A failed poll is logged, stops no drain and is repeated a minute later."""
    try:
        async with _heeding(call):
            return {"learned": await poll(call.rpc, linear)}
    except Refused as refused:
        logs.unpolled(refused.reason)
        return {"learned": 0, "poll": refused.reason}


def _sender(call: Call, linear: Linear, desk_url: str) -> Send:
    """Returns the sender of a row. It pauses every instance when a limit of Linear is nearly used up."""

    async def send(row: Row) -> dict[str, Any] | None:
        async with _heeding(call):
            result = await forward(row, linear, desk_url)
        if linear.is_scarce:
            await call.rpc("pause_linear", {"seconds": BREATHER_SECONDS})
        return result

    return send


@asynccontextmanager
async def _heeding(call: Call) -> AsyncIterator[None]:
    """Pauses every instance until a rate limit is reset."""
    try:
        yield
    except RateLimited as refused:
        await call.rpc("pause_linear", {"seconds": refused.seconds})
        raise


@cache
def _linear(config: LinearConfig) -> Linear:
    """Returns the process's client."""
    return Linear(config.authorization, url=config.url)


linear_forward = endpoint("linear-forward", {"POST /": forward_tickets}, private=True)
