"""Measures calls on single tickets, a bulk change and filing for a customer, by number of tickets."""

import itertools
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median
from typing import Any

from bench.figures import Bar, Line
from bench.million import person_named
from bench.million.rpc_client import Arguments, client_of
from bench.rounds import interleave, ratios
from bench.stack import BenchStack
from local.stack import Say

ROUNDS = 9
REQUESTS = 25
BULK = 20
BAR = Bar("at most", 1.3)
# Random tickets, so that their place in the table does not matter; tickets.sql gives these statuses clocks.
TICKETS = """
select ticket_number from desk.support_tickets where deleted_at is null
and status in ('open', 'in_progress') order by md5(id::text) limit 2000
"""


def measure(targets: Mapping[int, BenchStack], say: Say) -> list[Line]:
    """Returns a line per call: the time with more tickets against that with fewer.

    `targets` are two, by their number of tickets; they take turns, and a round is the median of 25 requests.
    """
    small, large = sorted(targets)
    say(f"single tickets, at {large:,} and {small:,}")
    calls = {size: _calls(target) for size, target in targets.items()}
    lines = []
    for what in calls[small]:
        turns = {str(size): partial(_round, calls[size][what]) for size in targets}
        rounds = interleave(ROUNDS + 1, turns, say=lambda line: None)[1:]
        above, below = ([times[str(size)] for times in rounds] for size in (large, small))
        ratio, samples = ratios(above, below)
        detail = f"{median(above):.1f} ms : {median(below):.1f} ms"
        lines.append(Line(f"{what}: {large:,} tickets / {small:,}", ratio, "x", BAR, detail, samples))
    return lines


def _round(call: Callable[[], float]) -> float:
    return median(call() for _ in range(REQUESTS))


def _calls(target: BenchStack) -> dict[str, Callable[[], float]]:
    """Returns the calls by name; every call takes other tickets."""
    with target.stack.database.connect() as connection:
        open_tickets = [str(number) for (number,) in connection.execute(TICKETS)]
    client, tickets, numbers = (
        client_of(target, person_named(target, "agent-1")),
        itertools.cycle(open_tickets),
        itertools.count(),
    )

    def changes() -> dict[str, Any]:
        """Returns changes unlike all earlier ones, so that none is idle; a category also changes indexes."""
        number = next(numbers)
        return {"category": CATEGORIES[number % len(CATEGORIES)], "resolution": f"Tried {number} times."}

    def bulk() -> list[str]:
        return list(itertools.islice(tickets, BULK))

    arguments: dict[str, tuple[str, Callable[[], Arguments]]] = {
        "open one ticket": ("get_ticket", lambda: {"ticket": next(tickets)}),
        "reply": ("add_message", lambda: {"ticket": next(tickets), "body": "We are looking into it."}),
        "change": ("update_ticket", lambda: {"ticket": next(tickets), "changes": changes()}),
        f"change {BULK} at once": ("update_tickets", lambda: {"tickets": bulk(), "changes": changes()}),
        "file for a customer": ("create_ticket", lambda: FILED),
    }
    return {
        what: lambda rpc=rpc, make=make: client.time_call(rpc, make())  # type: ignore[misc]
        for what, (rpc, make) in arguments.items()
    }


CATEGORIES = ("billing", "account", "technical")
FILED = {
    "issue_type": "support",
    "subject": "Filed on the phone",
    "description": "They called.",
    "customer": "customer-19999@example.com",
}
