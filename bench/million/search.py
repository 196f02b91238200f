"""Full text, for words that everybody uses, some, few and nobody."""

from statistics import median, quantiles

from bench.desk import Desk
from bench.figures import Bar, Line
from bench.million import somebody
from bench.million.asking import Arguments, asking_as, call_of
from bench.plans import keep_plans
from bench.processes import cpu_seconds
from local.stack import Say

REQUESTS = 15
WORDS = {
    "common": "invoice",
    "often": "payment",
    "medium": "shipment",
    "medium, rarer": "refund",
    "seldom": "voucher",
    "rare": "chargeback",
    "absent": "nonexistent",
    "two common": "invoice payment",
    "common and medium": "invoice refund",
    "a phrase": '"payment refund"',
    "either": "payment OR refund",
    "one without the other": "invoice -payment",
}
FILTERED: dict[str, Arguments] = {
    "open": {"q": "invoice", "status": ["open"]},
    "open and urgent": {"q": "invoice", "status": ["open"], "priority": ["urgent"]},
    "closed": {"q": "refund", "status": ["closed"]},
    "escalated": {"q": "payment", "escalated": True},
    "assigned to me": {"q": "invoice", "assigned_to": "me"},
    "category that never says it": {"q": "invoice", "category": ["selling"]},
    "oldest first": {"q": "invoice", "sort": "created_at"},
    "last changed first": {"q": "invoice", "sort": "-updated_at"},
}
PEOPLE = {
    "agent": "agent-1",
    "agent of a branch": "agent-46",
    "customer with 120,000 tickets": "customer-0",
    "customer with 44": "customer-77",
}


def measure_search(desk: Desk, when: str, say: Say) -> list[Line]:
    """p95 and worst over all words, for each who asks; `when` tells the burst from before."""
    words: dict[str, Arguments] = {name: {"q": q} for name, q in WORDS.items()}
    lines = []
    for who in PEOPLE:
        say(f"full text as {who}{when}")
        lines += _lines(
            f"full text, {who}{when}",
            *_times(desk, who, words, when),
            Bar("at most", 50),
            Bar("at most", 250),
        )
        lines += _lines(
            f"full text with filters, {who}{when}", *_times(desk, who, FILTERED, when), None, None
        )
    return lines


def _times(
    desk: Desk, who: str, asked: dict[str, Arguments], when: str
) -> tuple[dict[str, list[float]], float]:
    """Milliseconds of every request, first and second pages alike, by what was asked; and PostgreSQL's CPU for one of them."""
    postgres = desk.process("postgres")
    used = 0.0
    person = somebody(desk, PEOPLE[who])
    asking = asking_as(desk, person)
    times = {}
    for name, arguments in asked.items():
        asking.answer("list_tickets", arguments)
        second = asking.answer("list_tickets", arguments)["next_cursor"]
        pages = [arguments, {**arguments, "cursor": second}] if second else [arguments]
        before = cpu_seconds(postgres)
        times[name] = [asking.milliseconds("list_tickets", page) for _ in range(REQUESTS) for page in pages]
        used += cpu_seconds(postgres) - before
        call = call_of("list_tickets", arguments)
        keep_plans(desk.stack.database, f"search {who}, {name}{when}", "authenticated", person, call)
    return times, 1000 * used / sum(map(len, times.values()))


def _lines(
    what: str, times: dict[str, list[float]], cpu: float, p95: Bar | None, worst: Bar | None
) -> list[Line]:
    every = [each for of_one in times.values() for each in of_one]
    slowest = max(times, key=lambda name: max(times[name]))
    typical = max(times, key=lambda name: median(times[name]))
    detail = f"median {median(every):.1f} ms; slowest: {typical}, {median(times[typical]):.1f} ms; CPU of PostgreSQL {cpu:.1f} ms"
    return [
        Line(f"{what}: p95", quantiles(every, n=20)[-1], "ms", p95, detail, minor=p95 is None),
        Line(f"{what}: worst", max(every), "ms", worst, slowest, minor=worst is None),
    ]
