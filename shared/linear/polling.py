"""What has changed in Linear since the last time: a webhook that was lost is made good here, a minute later."""

from pydantic_core import from_json

from shared.linear.client import Linear
from shared.outbox import Rpc


async def poll(rpc: Rpc, linear: Linear) -> int:
    """How many things were news. The mark of what is known moves only when all pages have been learned."""
    turn = from_json(await rpc("begin_linear_poll", {}))
    if turn["since"] is None:
        return 0
    learned = 0
    for ask, name in ((linear.changed_issues, "issues"), (linear.new_comments, "comments")):
        after = None
        while True:
            found, page = await ask(turn["since"], turn["teams"], after)
            known = [each.known() for each in found]
            learned += from_json(await rpc("learn_linear", {name: known}))["applied"] if known else 0
            after = page.end
            if not page.has_next or after is None:
                break
    await rpc("learn_linear", {"known_until": turn["until"]})
    return learned
