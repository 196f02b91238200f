"""Measures how lists and full text grow with 10,000, 100,000 and a million tickets."""

from statistics import median

from bench.figures import Line
from bench.million import person_named
from bench.million.lists import cursor_at
from bench.million.rpc_client import Arguments, as_sql, client_of
from bench.plans import keep_plans
from bench.stack import BenchStack
from local.stack import Say

REQUESTS = 25
QUERIES: dict[str, Arguments] = {
    "list, first page": {},
    "list, deep page": {},
    "list, status": {"status": ["open"]},
    "list, category": {"category": ["billing"]},
    "list, last changed first": {"sort": "-updated_at"},
    "full text, common": {"q": "invoice"},
    "full text, medium": {"q": "shipment"},
    "full text, rare": {"q": "chargeback"},
    "full text, absent": {"q": "nonexistent"},
}
PEOPLE = {"agent": "agent-1", "customer": "customer-0"}

Times = dict[str, float]


def measure_one(target: BenchStack, size: int, say: Say) -> Times:
    """Returns milliseconds by query and role. The deep page starts after a tenth of all tickets."""
    say(f"growth, at {size:,} tickets")
    times = {}
    for role, name in PEOPLE.items():
        person = person_named(target, name)
        deep = cursor_at(target, size // 10, person if role == "customer" else None)
        client = client_of(target, person)
        for what, default in QUERIES.items():
            arguments = {"cursor": deep} if what == "list, deep page" else default
            client.call("list_tickets", arguments)
            times[f"{what}, {role}"] = median(
                client.time_call("list_tickets", arguments) for _ in range(REQUESTS)
            )
            call = as_sql("list_tickets", arguments)
            keep_plans(target.stack.database, f"{size} {what}, {role}", "authenticated", person, call)
    return times


def lines(measured: dict[int, Times]) -> list[Line]:
    """Returns a line per query: the time with the most tickets against that with the fewest."""
    smallest, largest = min(measured), max(measured)
    return [
        Line(
            f"{what}: {largest:,} tickets / {smallest:,}",
            measured[largest][what] / measured[smallest][what],
            detail="; ".join(f"{size:,}: {times[what]:.1f} ms" for size, times in sorted(measured.items())),
        )
        for what in measured[largest]
    ]
