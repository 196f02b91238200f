"""Warns of due clocks, escalates breaches, closes long resolved tickets and prunes old rows."""

from shared.http.call import Call
from shared.http.endpoint import Answer, endpoint
from shared.sla_sweep import run_sweep

# Cloud Scheduler calls again a minute later, so a long backlog may be left to the next call.
RUN_S = 45


async def sweep(call: Call) -> Answer:
    return await run_sweep(lambda arguments: call.rpc("sweep", arguments), RUN_S)


sla_sweep = endpoint("sla-sweep", {"POST /": sweep}, private=True)
