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
RUN_S = 45
BACKOFF_S = 60


class ForwardRequest(Body):
    """Names the one ticket to forward at once, or none for all ready rows."""

    ticket: Id | None = None


async def forward_tickets(call: Call) -> Answer:
    ticket = call.body(ForwardRequest, may_be_empty=True).ticket
    config = linear_config()
    if config is None:
        return {"linear": "off"}
    linear = _linear(config)
    send = _sender(call, linear, config.desk_url)
    if ticket is not None:
        return await _forward_one(call, ticket, send)
    polled = await _poll(call, linear)
    return await drain(call.rpc, "claim_linear", send, RUN_S) | polled


async def _forward_one(call: Call, ticket: str, send: Send) -> dict[str, Any]:
    claimed, outcomes = await send_batch(call.rpc, "claim_linear", {"ticket": ticket, "batch": 1}, send)
    issue: dict[str, Any] = claimed["known"]
    for created in (outcome.result for outcome in outcomes if outcome.result):
        issue |= {
            "linear": "created",
            "issue_id": created["issue_id"],
            "issue_identifier": created["identifier"],
            "issue_url": created["url"],
        }
    return issue


async def _poll(call: Call, linear: Linear) -> dict[str, Any]:
    """Polls Linear. A failure does not stop the sending, and the next call polls again."""
    try:
        async with _pause_if_limited(call):
            return {"learned": await poll(call.rpc, linear)}
    except Refused as refused:
        logs.unpolled(refused.reason)
        return {"learned": 0, "poll": refused.reason}


def _sender(call: Call, linear: Linear, desk_url: str) -> Send:
    """Returns the sender of a row, which pauses all instances when little is left of a rate limit."""

    async def send(row: Row) -> dict[str, Any] | None:
        async with _pause_if_limited(call):
            result = await forward(row, linear, desk_url)
        if linear.is_scarce:
            await call.rpc("pause_linear", {"seconds": BACKOFF_S})
        return result

    return send


@asynccontextmanager
async def _pause_if_limited(call: Call) -> AsyncIterator[None]:
    """Pauses all instances until the reset of an exceeded rate limit."""
    try:
        yield
    except RateLimited as refused:
        await call.rpc("pause_linear", {"seconds": refused.seconds})
        raise


@cache
def _linear(config: LinearConfig) -> Linear:
    """Creates the client once per process."""
    return Linear(config.authorization, url=config.url)


linear_forward = endpoint("linear-forward", {"POST /": forward_tickets}, private=True)
