"""How lists and full text grow with the tickets: 10,000, 100,000, a million."""

from statistics import median

from bench.desk import Desk
from bench.figures import Line
from bench.million import somebody
from bench.million.asking import Arguments, asking_as, call_of
from bench.million.lists import cursor_at
from bench.plans import keep_plans
from local.stack import Say

REQUESTS = 25
ASKED: dict[str, Arguments] = {
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


def measure_one(desk: Desk, size: int, say: Say) -> Times:
    """Milliseconds of each request, by what and by whom; the deep page begins a tenth of all tickets further on."""
    say(f"growth, at {size:,} tickets")
    times = {}
    for who, name in PEOPLE.items():
        person = somebody(desk, name)
        deep = cursor_at(desk, size // 10, person if who == "customer" else None)
        asking = asking_as(desk, person)
        for what, usual in ASKED.items():
            arguments = {"cursor": deep} if what == "list, deep page" else usual
            asking.answer("list_tickets", arguments)
            times[f"{what}, {who}"] = median(
                asking.milliseconds("list_tickets", arguments) for _ in range(REQUESTS)
            )
            call = call_of("list_tickets", arguments)
            keep_plans(desk.stack.database, f"{size} {what}, {who}", "authenticated", person, call)
    return times


def lines(found: dict[int, Times]) -> list[Line]:
    """A line for each request: the largest desk's time against the smallest's."""
    smallest, largest = min(found), max(found)
    return [
        Line(
            f"{what}: {largest:,} tickets / {smallest:,}",
            found[largest][what] / found[smallest][what],
            detail="; ".join(f"{size:,}: {times[what]:.1f} ms" for size, times in sorted(found.items())),
        )
        for what in found[largest]
    ]
