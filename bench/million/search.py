"""Measures full text for common, rare and absent words."""

from statistics import median, quantiles

from bench.figures import Bar, Line
from bench.million import person_named
from bench.million.rpc_client import Arguments, as_sql, client_of
from bench.plans import keep_plans
from bench.processes import cpu_seconds
from bench.stack import BenchStack
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


def measure_search(target: BenchStack, when: str, say: Say) -> list[Line]:
    """Returns p95 and worst time over all words, by role; `when` labels lines after the burst."""
    words: dict[str, Arguments] = {name: {"q": q} for name, q in WORDS.items()}
    lines = []
    for role in PEOPLE:
        say(f"full text as {role}{when}")
        lines += _lines(
            f"full text, {role}{when}",
            *_times(target, role, words, when),
            Bar("at most", 50),
            Bar("at most", 250),
        )
        lines += _lines(
            f"full text with filters, {role}{when}", *_times(target, role, FILTERED, when), None, None
        )
    return lines


def _times(
    target: BenchStack, role: str, queries: dict[str, Arguments], when: str
) -> tuple[dict[str, list[float]], float]:
    """Returns milliseconds of first and second pages by query, and PostgreSQL's CPU time a request."""
    postgres = target.process("postgres")
    used = 0.0
    person = person_named(target, PEOPLE[role])
    client = client_of(target, person)
    times = {}
    for name, arguments in queries.items():
        client.call("list_tickets", arguments)
        second = client.call("list_tickets", arguments)["next_cursor"]
        pages = [arguments, {**arguments, "cursor": second}] if second else [arguments]
        before = cpu_seconds(postgres)
        times[name] = [client.time_call("list_tickets", page) for _ in range(REQUESTS) for page in pages]
        used += cpu_seconds(postgres) - before
        call = as_sql("list_tickets", arguments)
        keep_plans(target.stack.database, f"search {role}, {name}{when}", "authenticated", person, call)
    return times, 1000 * used / sum(map(len, times.values()))


def _lines(
    what: str, times: dict[str, list[float]], cpu: float, p95: Bar | None, worst: Bar | None
) -> list[Line]:
    samples = [time for by_query in times.values() for time in by_query]
    slowest = max(times, key=lambda name: max(times[name]))
    typical = max(times, key=lambda name: median(times[name]))
    detail = (
        f"median {median(samples):.1f} ms; slowest: {typical}, {median(times[typical]):.1f} ms;"
        f" CPU of PostgreSQL {cpu:.1f} ms"
    )
    return [
        Line(f"{what}: p95", quantiles(samples, n=20)[-1], "ms", p95, detail, minor=p95 is None),
        Line(f"{what}: worst", max(samples), "ms", worst, slowest, minor=worst is None),
    ]
