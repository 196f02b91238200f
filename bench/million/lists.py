"""Lists: deep pages, what the policies cost, and whether every filter has its index."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from statistics import median

from bench.desk import Desk
from bench.figures import Bar, Line
from bench.million import somebody
from bench.million.asking import Arguments, asking_as, call_of
from bench.plans import keep_plans
from bench.rounds import interleaved, ratios
from local.people import Person
from local.stack import Say

DEPTH = 100_000
ROUNDS = 9
ROUNDS_OF_A_FILTER = 3
REQUESTS = 25
AT_DEPTH = """
select private.wire_time(created_at) || '_' || id from public.support_tickets
where deleted_at is null and (%(customer)s::uuid is null or customer_id = %(customer)s::uuid)
order by created_at desc, id desc offset %(depth)s limit 1
"""
# A list whose filter has no index looks at a great many rows and drops them; a count that is capped may read a table as it lies.
LOST = re.compile(r"Rows Removed by (?:Filter|Index Recheck): \d{6,}")


def measure_lists(desk: Desk, say: Say) -> list[Line]:
    """Ratios are medians of rounds of 25 requests, each through one connection to PostgREST."""
    agent, customer = somebody(desk, "agent-1"), somebody(desk, "customer-0")
    filters = _filters(agent)
    say("lists, deep pages")
    lines = [_deep(desk, agent, "agent", None), _deep(desk, customer, "customer", customer)]
    say("lists with and without policies")
    lines.append(_policies(desk, agent, "no filter, agent", {}, 1.3))
    lines.append(_policies(desk, customer, "no filter, customer", {}, 1.15))
    people = {"agent": agent, "customer": customer}
    filtered = [
        _policies(desk, person, f"{name}, {who}", arguments, None)
        for who, person in people.items()
        for name, arguments in filters.items()
    ]
    say("plans of all lists")
    return [*lines, *filtered, _without_index(desk, people, filters)]


def _filters(agent: Person) -> dict[str, Arguments]:
    year_ago = (datetime.now(UTC) - timedelta(days=365)).isoformat()
    week_ago = (datetime.now(UTC) - timedelta(days=7)).isoformat()
    return {
        "status": {"status": ["open"]},
        "several statuses": {"status": ["open", "in_progress"]},
        "priority": {"priority": ["urgent"]},
        "category": {"category": ["billing"]},
        "assigned_to": {"assigned_to": str(agent.id)},
        "unassigned": {"assigned_to": "none"},
        "escalated": {"escalated": True},
        "created_after": {"created_after": week_ago},
        "created_before": {"created_before": year_ago},
        "context": {"context": {"order_id": "A-500000"}},
        "status and priority": {"status": ["open"], "priority": ["urgent"]},
        "status and assigned_to": {"status": ["in_progress"], "assigned_to": str(agent.id)},
        "category and escalated": {"category": ["selling"], "escalated": True},
        "oldest first": {"sort": "created_at"},
        "last changed first": {"sort": "-updated_at"},
    }


def _deep(desk: Desk, person: Person, who: str, customer: Person | None) -> Line:
    pages: dict[str, Arguments] = {
        "first page": {},
        "deep page": {"cursor": cursor_at(desk, DEPTH, customer)},
    }
    rounds = _rounds(desk, person, {name: ("list_tickets", page) for name, page in pages.items()}, ROUNDS)
    for name, page in pages.items():
        keep_plans(
            desk.stack.database, f"list {who}, {name}", "authenticated", person, call_of("list_tickets", page)
        )
    return _ratio(f"list, {DEPTH:,} rows deep / first page, {who}", rounds, "deep page", "first page", 1.2)


def cursor_at(desk: Desk, depth: int, customer: Person | None) -> str:
    """Where the list of a customer, or of all, goes on after so many tickets."""
    with desk.stack.database.connect() as connection:
        asked = {"customer": customer and str(customer.id), "depth": depth}
        [[cursor]] = connection.execute(AT_DEPTH, asked)
    return str(cursor)


def _policies(desk: Desk, person: Person, what: str, filters: Arguments, bar: float | None) -> Line:
    sides = {"RLS": ("list_tickets", filters), "none": ("list_tickets_without_rls", filters)}
    rounds = _rounds(desk, person, sides, ROUNDS_OF_A_FILTER if filters else ROUNDS)
    return _ratio(f"list under RLS / without, {what}", rounds, "RLS", "none", bar)


def _rounds(
    desk: Desk, person: Person, sides: Mapping[str, tuple[str, Arguments]], count: int
) -> dict[str, list[float]]:
    asking = asking_as(desk, person)

    def turn(rpc: str, arguments: Arguments) -> float:
        return median(asking.milliseconds(rpc, arguments) for _ in range(REQUESTS))

    turns = {name: partial(turn, *side) for name, side in sides.items()}
    for warm_up in turns.values():
        warm_up()
    rounds = interleaved(count, turns, say=lambda line: None)
    return {name: [each[name] for each in rounds] for name in sides}


def _ratio(what: str, rounds: dict[str, list[float]], above: str, below: str, bar: float | None) -> Line:
    ratio, each = ratios(rounds[above], rounds[below])
    detail = f"{above} {median(rounds[above]):.1f} ms : {below} {median(rounds[below]):.1f} ms"
    return Line(what, ratio, "x", Bar("at most", bar) if bar else None, detail, each, minor=bar is None)


def _without_index(desk: Desk, people: dict[str, Person], filters: dict[str, Arguments]) -> Line:
    missed = [
        f"{who}, {name}"
        for who, person in people.items()
        for name, given in filters.items()
        if LOST.search(
            keep_plans(
                desk.stack.database,
                f"list {who}, {name}",
                "authenticated",
                person,
                call_of("list_tickets", given),
            )
        )
    ]
    return Line(
        "filters without their index: lists that pass over 100,000 rows or more",
        len(missed),
        "",
        Bar("at most", 0),
        "; ".join(missed),
    )
