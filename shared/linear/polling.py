"""Polls Linear for changes since the watermark, so that a lost webhook does no harm."""

from pydantic_core import from_json

from shared.linear.client import Linear
from shared.outbox import Rpc


async def poll(rpc: Rpc, linear: Linear) -> int:
    """Stores Linear's changes and returns their number; raises Refused.

    The watermark advances only after the last page, so that an interrupted poll is repeated.
    """
    window = from_json(await rpc("begin_linear_poll", {}))
    if window["since"] is None:
        return 0
    applied = 0
    for read_page, name in ((linear.changed_issues, "issues"), (linear.new_comments, "comments")):
        after = None
        while True:
            changes, page = await read_page(window["since"], window["teams"], after)
            facts = [change.facts() for change in changes]
            applied += from_json(await rpc("learn_linear", {name: facts}))["applied"] if facts else 0
            after = page.end
            if not page.has_next or after is None:
                break
    await rpc("learn_linear", {"known_until": window["until"]})
    return applied
