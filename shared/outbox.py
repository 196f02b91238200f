"""The drain: what waits in the outbox is claimed by lease, sent, and settled, until nothing is left.

A row whose lease was lost meanwhile, because its sender was too slow or died, is somebody else's by then; settling it
does nothing. So every row is sent at least once, and what makes that once is up to its vendor: each of them gets a
key that is the same at every attempt.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NamedTuple

from pydantic_core import from_json

from shared import logs
from shared.errors import Problem

BATCH = 20
AT_ONCE = 5
# One attempt; a batch takes at most BATCH / AT_ONCE of them, which the lease has to outlast.
SEND_SECONDS = 20
LEASE_SECONDS = 300
SETTLE_PAUSES = (0.2, 1.0, 3.0)


class Row(NamedTuple):
    """A leased row, its payload frozen."""

    id: int
    lease_token: str
    kind: str
    attempt: int
    payload: dict[str, Any]


class Undelivered(Exception):
    """Why a row was not sent. The reason is kept with the row: no address and nobody's words are in it."""

    def __init__(self, reason: str, *, permanent: bool, retry_after: int | None = None) -> None:
        self.reason = reason
        self.permanent = permanent
        self.retry_after = retry_after
        super().__init__(reason)


class Outcome(NamedTuple):
    """What became of a row, by the names that settle_outbox has for it."""

    outcome: str
    error: str | None = None
    retry_after_seconds: int | None = None
    result: dict[str, Any] | None = None


TOO_LATE = Outcome("retry", "its lease was nearly over")

Rpc = Callable[[str, Mapping[str, Any]], Awaitable[bytes]]
# What the vendor answered, where the database keeps something of it.
Send = Callable[[Row], Awaitable[dict[str, Any] | None]]


async def drain(rpc: Rpc, claim: str, send: Send, seconds: float) -> dict[str, Any]:
    """Send what the RPC `claim` hands out; begins no further batch once `seconds` are over."""
    until = time.monotonic() + seconds
    total = {"sent": 0, "retried": 0, "dead": 0, "skipped": 0}
    while time.monotonic() < until:
        claimed, outcomes = await send_batch(rpc, claim, {"batch": BATCH}, send)
        total["skipped"] += claimed["skipped"]
        if not outcomes and not claimed["skipped"]:
            return total | {"more": False}
        for name, outcome in (("sent", "done"), ("retried", "retry"), ("dead", "dead")):
            total[name] += [each.outcome for each in outcomes].count(outcome)
        # The vendor seems to be down: the others keep their place and their attempts.
        if outcomes and all(outcome.outcome == "retry" for outcome in outcomes):
            break
    return total | {"more": True}


async def send_batch(
    rpc: Rpc, claim: str, arguments: Mapping[str, Any], send: Send
) -> tuple[dict[str, Any], list[Outcome]]:
    """One batch: what the RPC `claim` answered, and what became of each row of it."""
    last_start = time.monotonic() + LEASE_SECONDS - SEND_SECONDS
    claimed = from_json(await rpc(claim, {**arguments, "lease_seconds": LEASE_SECONDS}))
    return claimed, await _delivered(rpc, [Row(**row) for row in claimed["rows"]], send, last_start)


async def _delivered(rpc: Rpc, rows: Iterable[Row], send: Send, last_start: float) -> list[Outcome]:
    room = asyncio.Semaphore(AT_ONCE)

    async def deliver(row: Row) -> Outcome:
        async with room:
            # An instance may have stood still for minutes: what it leased then is somebody else's by now.
            outcome = await _attempted(row, send) if time.monotonic() < last_start else TOO_LATE
        await _settle(rpc, row, outcome)
        return outcome

    # Whatever happens to one, the others are sent and settled before anybody hears of it.
    results = await asyncio.gather(*map(deliver, rows), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [result for result in results if isinstance(result, Outcome)]


async def _attempted(row: Row, send: Send) -> Outcome:
    try:
        async with asyncio.timeout(SEND_SECONDS):
            return Outcome("done", result=await send(row))
    except Undelivered as failure:
        outcome = Outcome("dead" if failure.permanent else "retry", failure.reason, failure.retry_after)
    except TimeoutError:
        outcome = Outcome("retry", f"no answer within {SEND_SECONDS} s")
    except Exception as error:
        # Ours to mend; once that is done, the row goes out like any other.
        outcome = Outcome("retry", logs.located(error))
    logs.undelivered(row.id, row.kind, row.attempt, outcome.outcome, outcome.error)
    return outcome


async def _settle(rpc: Rpc, row: Row, outcome: Outcome) -> None:
    """Several attempts: what is sent and not settled is sent again when its lease is over."""
    settled = {"row_id": row.id, "token": row.lease_token, **outcome._asdict()}
    for pause in SETTLE_PAUSES:
        try:
            await rpc("settle_outbox", settled)
        except Problem as problem:
            if problem.permanent:
                raise
            await asyncio.sleep(pause)
        else:
            return
    await rpc("settle_outbox", settled)
