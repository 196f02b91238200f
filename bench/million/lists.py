"""Measures lists: deep pages, the cost of policies, and filters without an index."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from statistics import median

from bench.figures import Bar, Line
from bench.million import person_named
from bench.million.rpc_client import Arguments, as_sql, client_of
from bench.plans import keep_plans
from bench.rounds import interleave, ratios
from bench.stack import BenchStack
from local.people import Person
from local.stack import Say

DEPTH = 100_000
ROUNDS = 9
FILTER_ROUNDS = 3
REQUESTS = 25
AT_DEPTH = """
select desk_private.wire_time(created_at) || '_' || id from desk.support_tickets
where deleted_at is null and (%(customer)s::uuid is null or customer_id = %(customer)s::uuid)
order by created_at desc, id desc offset %(depth)s limit 1
"""
# A filter without an index reads many rows and drops them. A capped count may scan the table.
DROPPED_ROWS = re.compile(r"Rows Removed by (?:Filter|Index Recheck): \d{6,}")


def measure_lists(target: BenchStack, say: Say) -> list[Line]:
    """Returns ratios as medians of rounds; each round has 25 requests over one connection to PostgREST."""
    agent, customer = person_named(target, "agent-1"), person_named(target, "customer-0")
    filters = _filters(agent)
    say("lists, deep pages")
    lines = [_deep(target, agent, "agent", None), _deep(target, customer, "customer", customer)]
    say("lists with and without policies")
    lines.append(_policies(target, agent, "no filter, agent", {}, 1.3))
    lines.append(_policies(target, customer, "no filter, customer", {}, 1.15))
    people = {"agent": agent, "customer": customer}
    filtered = [
        _policies(target, person, f"{name}, {role}", arguments, None)
        for role, person in people.items()
        for name, arguments in filters.items()
    ]
    say("plans of all lists")
    return [*lines, *filtered, _without_index(target, people, filters)]


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


def _deep(target: BenchStack, person: Person, role: str, customer: Person | None) -> Line:
    pages: dict[str, Arguments] = {
        "first page": {},
        "deep page": {"cursor": cursor_at(target, DEPTH, customer)},
    }
    rounds = _rounds(target, person, {name: ("list_tickets", page) for name, page in pages.items()}, ROUNDS)
    for name, page in pages.items():
        keep_plans(
            target.stack.database,
            f"list {role}, {name}",
            "authenticated",
            person,
            as_sql("list_tickets", page),
        )
    return _ratio(f"list, {DEPTH:,} rows deep / first page, {role}", rounds, "deep page", "first page", 1.2)


def cursor_at(target: BenchStack, depth: int, customer: Person | None) -> str:
    """Returns the cursor after `depth` tickets of a customer, or of all."""
    with target.stack.database.connect() as connection:
        parameters = {"customer": customer and str(customer.id), "depth": depth}
        [[cursor]] = connection.execute(AT_DEPTH, parameters)
    return str(cursor)


def _policies(target: BenchStack, person: Person, what: str, filters: Arguments, bar: float | None) -> Line:
    sides = {"RLS": ("list_tickets", filters), "none": ("list_tickets_without_rls", filters)}
    rounds = _rounds(target, person, sides, FILTER_ROUNDS if filters else ROUNDS)
    return _ratio(f"list under RLS / without, {what}", rounds, "RLS", "none", bar)


def _rounds(
    target: BenchStack, person: Person, sides: Mapping[str, tuple[str, Arguments]], count: int
) -> dict[str, list[float]]:
    client = client_of(target, person)

    def measure(rpc: str, arguments: Arguments) -> float:
        return median(client.time_call(rpc, arguments) for _ in range(REQUESTS))

    measures = {name: partial(measure, *side) for name, side in sides.items()}
    for warm_up in measures.values():
        warm_up()
    rounds = interleave(count, measures, say=lambda line: None)
    return {name: [times[name] for times in rounds] for name in sides}


def _ratio(what: str, rounds: dict[str, list[float]], above: str, below: str, bar: float | None) -> Line:
    ratio, samples = ratios(rounds[above], rounds[below])
    detail = f"{above} {median(rounds[above]):.1f} ms : {below} {median(rounds[below]):.1f} ms"
    return Line(what, ratio, "x", Bar("at most", bar) if bar else None, detail, samples, minor=bar is None)


def _without_index(target: BenchStack, people: dict[str, Person], filters: dict[str, Arguments]) -> Line:
    missed = [
        f"{role}, {name}"
        for role, person in people.items()
        for name, arguments in filters.items()
        if DROPPED_ROWS.search(
            keep_plans(
                target.stack.database,
                f"list {role}, {name}",
                "authenticated",
                person,
                as_sql("list_tickets", arguments),
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
