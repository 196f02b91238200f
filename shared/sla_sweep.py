"""Runs the SLA sweep in batches until no clock is due or the time is up."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic_core import from_json

BATCH = 1000
COUNTERS = ("warned", "breached", "closed", "recalculated", "pruned")

Sweep = Callable[[dict[str, Any]], Awaitable[bytes]]


async def run_sweep(sweep: Sweep, seconds: float) -> dict[str, Any]:
    """Sweeps for up to `seconds`; returns the sums of all batches. `more`: clocks are still due."""
    until = time.monotonic() + seconds
    counters: dict[str, Any] = dict.fromkeys(COUNTERS, 0) | {"escalated": [], "more": True}
    while counters["more"] and time.monotonic() < until:
        batch = from_json(await sweep({"batch": BATCH}))
        for name in (*COUNTERS, "escalated"):
            counters[name] += batch[name]
        counters["more"] = batch["more"]
    return counters
