"""One ticket opened, answered and changed, twenty changed at once, a customer found: at every size of the desk."""

import itertools
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median
from typing import Any

from bench.desk import Desk
from bench.figures import Bar, Line
from bench.million import somebody
from bench.million.asking import Arguments, asking_as
from bench.rounds import interleaved, ratios
from local.stack import Say

ROUNDS = 9
REQUESTS = 25
BULK = 20
BAR = Bar("at most", 1.3)
# Spread over the whole table, so that where a ticket lies in it does not matter. Those have clocks in tickets.sql.
TICKETS = """
select ticket_number from public.support_tickets where deleted_at is null and status in ('open', 'in_progress')
order by md5(id::text) limit 2000
"""


def measure(desks: Mapping[int, Desk], say: Say) -> list[Line]:
    """Returns a line for each call of an agent on PostgREST: the larger desk's time against the smaller's.

    `desks` are two, by their number of tickets; they take turns, and a round is the median of 25 requests.
    """
    small, large = sorted(desks)
    say(f"single tickets, at {large:,} and {small:,}")
    calls = {size: _calls(desk) for size, desk in desks.items()}
    lines = []
    for what in calls[small]:
        turns = {str(size): partial(_round, calls[size][what]) for size in desks}
        rounds = interleaved(ROUNDS + 1, turns, say=lambda line: None)[1:]
        above, below = ([each[str(size)] for each in rounds] for size in (large, small))
        ratio, each = ratios(above, below)
        detail = f"{median(above):.1f} ms : {median(below):.1f} ms"
        lines.append(Line(f"{what}: {large:,} tickets / {small:,}", ratio, "x", BAR, detail, each))
    return lines


def _round(call: Callable[[], float]) -> float:
    return median(call() for _ in range(REQUESTS))


def _calls(desk: Desk) -> dict[str, Callable[[], float]]:
    """Returns the calls, each of them every time on other tickets."""
    with desk.stack.database.connect() as connection:
        found = [str(number) for (number,) in connection.execute(TICKETS)]
    asking, tickets, numbers = (
        asking_as(desk, somebody(desk, "agent-1")),
        itertools.cycle(found),
        itertools.count(),
    )

    def changes() -> dict[str, Any]:
        """Differs from every earlier one, so that no change is idle; a status or category moves more indexes."""
        number = next(numbers)
        return {"category": CATEGORIES[number % len(CATEGORIES)], "resolution": f"Tried {number} times."}

    def several() -> list[str]:
        return list(itertools.islice(tickets, BULK))

    arguments: dict[str, tuple[str, Callable[[], Arguments]]] = {
        "open one ticket": ("get_ticket", lambda: {"ticket": next(tickets)}),
        "reply": ("add_message", lambda: {"ticket": next(tickets), "body": "We are looking into it."}),
        "change": ("update_ticket", lambda: {"ticket": next(tickets), "changes": changes()}),
        f"change {BULK} at once": ("update_tickets", lambda: {"tickets": several(), "changes": changes()}),
        "file for a customer": ("create_ticket", lambda: FILED),
    }
    return {
        what: lambda rpc=rpc, given=given: asking.milliseconds(rpc, given())  # type: ignore[misc]
        for what, (rpc, given) in arguments.items()
    }


CATEGORIES = ("billing", "account", "technical")
FILED = {
    "issue_type": "support",
    "subject": "Filed on the phone",
    "description": "They called.",
    "customer": "customer-19999@example.com",
}
