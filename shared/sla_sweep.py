"""The SLA sweep as functions run it: batch after batch, until nothing is due or the time is up."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic_core import from_json

BATCH = 1000
COUNTED = ("warned", "breached", "closed", "recalculated", "pruned")

Sweep = Callable[[dict[str, Any]], Awaitable[bytes]]


async def swept(sweep: Sweep, seconds: float) -> dict[str, Any]:
    """What all batches did together; `more` when `seconds` were over before the work was."""
    until = time.monotonic() + seconds
    total: dict[str, Any] = dict.fromkeys(COUNTED, 0) | {"escalated": [], "more": True}
    while total["more"] and time.monotonic() < until:
        batch = from_json(await sweep({"batch": BATCH}))
        for name in (*COUNTED, "escalated"):
            total[name] += batch[name]
        total["more"] = batch["more"]
    return total
