"""Drains the outbox: claims rows by lease, sends them and settles them.

When a lease expires, because its sender was slow or died, another sender takes the row; settling with the old
lease does nothing. So every row is sent at least once. Each vendor gets an idempotency key that is the same
at every attempt, which makes it once.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple

from pydantic_core import from_json

from shared import logs
from shared.errors import Problem

BATCH = 20
MAX_CONCURRENT = 5
# A batch takes at most BATCH / MAX_CONCURRENT attempts in a row; the lease must outlast them.
SEND_TIMEOUT_S = 20
LEASE_S = 300
SETTLE_BACKOFF_S = (0.2, 1.0, 3.0)


class Row(NamedTuple):
    """Holds a leased row with its frozen payload."""

    id: int
    lease_token: str
    kind: str
    attempt: int
    payload: dict[str, Any]


class Undelivered(Exception):
    """Says why a row was not sent; `permanent` if a retry cannot help, `retry_after` in seconds.

    The reason is stored with the row and logged, so it must hold no personal data.
    """

    def __init__(self, reason: str, *, permanent: bool, retry_after: int | None = None) -> None:
        self.reason = reason
        self.permanent = permanent
        self.retry_after = retry_after
        super().__init__(reason)


class Outcome(NamedTuple):
    """Holds the outcome of an attempt, as the arguments of settle_outbox."""

    outcome: str
    error: str | None = None
    retry_after_seconds: int | None = None
    result: dict[str, Any] | None = None


TOO_LATE = Outcome("retry", "its lease was nearly over")

Rpc = Callable[[str, Mapping[str, Any]], Awaitable[bytes]]
# Returns the part of the vendor's answer that the database stores, if any.
Send = Callable[[Row], Awaitable[dict[str, Any] | None]]


async def drain(rpc: Rpc, claim: str, send: Send, seconds: float) -> dict[str, Any]:
    """Sends the rows that the RPC `claim` leases; starts no batch after `seconds`.

    Returns the counters sent, retried, dead and skipped; `more`: rows may be left. Raises the store's
    Problems.
    """
    until = time.monotonic() + seconds
    counters = {"sent": 0, "retried": 0, "dead": 0, "skipped": 0}
    while time.monotonic() < until:
        claimed, outcomes = await send_batch(rpc, claim, {"batch": BATCH}, send)
        counters["skipped"] += claimed["skipped"]
        if not outcomes and not claimed["skipped"]:
            return counters | {"more": False}
        for name, outcome in (("sent", "done"), ("retried", "retry"), ("dead", "dead")):
            counters[name] += [attempt.outcome for attempt in outcomes].count(outcome)
        # The vendor seems to be down: leave the other rows without a wasted attempt.
        if outcomes and all(outcome.outcome == "retry" for outcome in outcomes):
            break
    return counters | {"more": True}


async def send_batch(
    rpc: Rpc, claim: str, arguments: Mapping[str, Any], send: Send
) -> tuple[dict[str, Any], list[Outcome]]:
    """Sends one batch; returns the answer of the RPC `claim` and the outcome of each row."""
    last_start = time.monotonic() + LEASE_S - SEND_TIMEOUT_S
    claimed = from_json(await rpc(claim, {**arguments, "lease_seconds": LEASE_S}))
    return claimed, await _deliver(rpc, [Row(**row) for row in claimed["rows"]], send, last_start)


async def _deliver(rpc: Rpc, rows: Iterable[Row], send: Send, last_start: float) -> list[Outcome]:
    slots = asyncio.Semaphore(MAX_CONCURRENT)

    async def deliver_row(row: Row) -> Outcome:
        async with slots:
            # An instance may have been frozen for minutes; another sender may hold the row now.
            outcome = await _attempt(row, send) if time.monotonic() < last_start else TOO_LATE
        await _settle(rpc, row, outcome)
        return outcome

    # A failure of one row is raised only after the other rows are sent and settled.
    results = await asyncio.gather(*map(deliver_row, rows), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if isinstance(result, Outcome)]


async def _attempt(row: Row, send: Send) -> Outcome:
    try:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            return Outcome("done", result=await send(row))
    except Undelivered as failure:
        outcome = Outcome("dead" if failure.permanent else "retry", failure.reason, failure.retry_after)
    except TimeoutError:
        outcome = Outcome("retry", f"no answer within {SEND_TIMEOUT_S} s")
    except Exception as error:
        # A bug of ours: the row stays and is sent once the bug is fixed.
        outcome = Outcome("retry", logs.located(error))
    logs.undelivered(row.id, row.kind, row.attempt, outcome.outcome, outcome.error)
    return outcome


async def _settle(rpc: Rpc, row: Row, outcome: Outcome) -> None:
    """Settles a row, with retries: an unsettled row is sent again when its lease expires."""
    arguments = {"row_id": row.id, "token": row.lease_token, **outcome._asdict()}
    for pause in SETTLE_BACKOFF_S:
        try:
            await rpc("settle_outbox", arguments)
        except Problem as problem:
            if problem.permanent:
                raise
            await asyncio.sleep(pause)
        else:
            return
    await rpc("settle_outbox", arguments)
