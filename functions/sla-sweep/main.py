"""Warns of what is about to be missed, escalates what is, closes what has long been resolved, prunes what has aged."""

from shared.http.call import Call
from shared.http.endpoint import Answer, endpoint
from shared.sla_sweep import run_sweep

# Cloud Scheduler calls again a minute later, so a long backlog may be left to the next call.
SECONDS = 45


async def sweep(call: Call) -> Answer:
    return await run_sweep(lambda arguments: call.rpc("sweep", arguments), SECONDS)


sla_sweep = endpoint("sla-sweep", {"POST /": sweep}, private=True)
