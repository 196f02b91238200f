"""A request: through the function, and the ways without it."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from statistics import median

from bench.figures import Bar, Line
from bench.load import LoadResult, Request, bearer, load
from bench.processes import cpu_seconds, memory_megabytes
from bench.rounds import interleave, ratios
from bench.stack import BenchStack, run_bench_stack
from local.people import Person
from local.stack import Say

PEOPLE = 320
TICKETS_EACH = 25
ROUNDS = {16: 5, 1: 3}
LOAD_S = 4.0
TICKET = {
    "subject": "The order shows the wrong delivery address",
    "description": "Since this morning the order page shows my former address,"
    " although my profile has the new one. " * 3,
    "category": "technical",
}
EXISTING_TICKETS = """
insert into desk.support_tickets (customer_id, issue_type, category, subject, description, created_at)
select id, 'support', 'technical', 'Subject ' || n, repeat('words of a ticket ', 20),
  now() - n * interval '1 hour'
from auth.users, generate_series(1, %s) as n
"""
# A bare table of tickets: the same columns, checks, indexes and foreign keys, but no trigger, policy or
# function. A sequence gives the numbers.
BARE_TABLE = """
create table desk.bare_tickets (like desk.support_tickets including all);
create sequence desk.bare_numbers;
alter table desk.bare_tickets
  alter ticket_number set default 'SUP-' || nextval('desk.bare_numbers'),
  add foreign key (customer_id) references auth.users (id) on delete set null,
  add foreign key (category) references desk.ticket_categories (slug) on update cascade,
  add foreign key (assigned_to) references desk.support_agents (user_id) on delete set null;
grant select, insert on desk.bare_tickets to authenticated;
grant usage on sequence desk.bare_numbers to authenticated;
grant usage on schema desk_private to authenticated;
grant execute on function desk_private.is_email(text) to authenticated;
notify pgrst, 'reload schema'
"""
# The fields of the RPC's answer.
RETURNED = "?select=id,ticket_number,issue_type,status,priority,category,created_at"


@dataclass(frozen=True)
class Side:
    """Describes one side of a comparison: address, requests, and the processes that serve them."""

    url: str
    requests: Sequence[Request]
    processes: dict[str, int]


@dataclass(frozen=True)
class Turn:
    """Holds one side's turn in a round; CPU in milliseconds a request, by process."""

    load: LoadResult
    cpu: dict[str, float]


def measure(say: Say) -> list[Line]:
    """Measures with 16 clients and with one; returns ratios first, then each side's absolute figures."""
    with run_bench_stack() as target, ExitStack() as started:
        sides = _sides(target, started)
        say(f"{PEOPLE} people, {TICKETS_EACH} tickets each; warming up")
        for side in sides.values():
            load(side.url, side.requests, clients=16, seconds=2)
        turns_by_clients = {clients: _rounds(sides, clients, say) for clients in ROUNDS}
        memory = {name: _function_memory(side) for name, side in sides.items()}
    busy = turns_by_clients[16]
    lines = [
        _ratio(busy, "create-ticket", "create RPC", Bar("at least", 0.7)),
        _ratio(busy, "create RPC", "bare insert", Bar("at least", 0.7)),
        _ratio(busy, "list-tickets", "list RPC", Bar("at least", 0.7)),
        _ratio(busy, "create-ticket", "empty function"),
        _ratio(busy, "list-tickets", "empty function"),
    ]
    for clients, turns in turns_by_clients.items():
        lines += [_absolute(turns[name], name, clients, memory[name]) for name in turns]
    return lines


def _sides(target: BenchStack, started: ExitStack) -> dict[str, Side]:
    people = target.people(PEOPLE)
    with target.stack.database.connect() as connection:
        connection.execute(EXISTING_TICKETS, (TICKETS_EACH,))
        connection.execute(BARE_TABLE)
        connection.execute("vacuum analyze")
    create, create_part = started.enter_context(target.function("create-ticket"))
    lists, lists_part = started.enter_context(target.function("list-tickets"))
    empty, empty_part = started.enter_context(target.empty_function())
    store = {"PostgREST": target.process("postgrest"), "PostgreSQL": target.process("postgres")}
    rest = target.stack.rest_url
    filings = filing_requests(people)
    return {
        "create-ticket": Side(create, filings, {"function": create_part.process.pid, **store}),
        "create RPC": Side(
            rest, _requests(people, "POST", "/rpc/create_ticket", {"issue_type": "support", **TICKET}), store
        ),
        "bare insert": Side(rest, [_bare_insert(person) for person in people], store),
        "list-tickets": Side(
            lists, _requests(people, "GET", "/"), {"function": lists_part.process.pid, **store}
        ),
        "list RPC": Side(rest, _requests(people, "POST", "/rpc/list_tickets", {}), store),
        "empty function": Side(empty, filings, {"function": empty_part.process.pid}),
    }


def filing_requests(people: Sequence[Person]) -> list[Request]:
    """Builds each person's request to create-ticket."""
    return _requests(people, "POST", "/", {"payload": {"issue_type": "support", **TICKET}})


def _requests(people: Sequence[Person], method: str, path: str, body: object = None) -> list[Request]:
    return [Request(method, path, bearer(person), body) for person in people]


def _bare_insert(person: Person) -> Request:
    """Builds the insert of the row that the RPC would write for this person."""
    row = {"customer_id": str(person.id), "requester_email": person.email, "issue_type": "support"}
    headers = {
        **bearer(person),
        "Prefer": "return=representation",
        "Accept": "application/vnd.pgrst.object+json",
    }
    return Request("POST", "/bare_tickets" + RETURNED, headers, row | TICKET | {"priority": "medium"})


def _rounds(sides: dict[str, Side], clients: int, say: Say) -> dict[str, list[Turn]]:
    turns: dict[str, Callable[[], Turn]] = {
        name: partial(_turn, side, clients) for name, side in sides.items()
    }
    say(f"{clients} client{'s' if clients > 1 else ''}")
    rounds = interleave(ROUNDS[clients], turns, say)
    return {name: [turns_of_round[name] for turns_of_round in rounds] for name in sides}


def _turn(side: Side, clients: int) -> Turn:
    before = {name: cpu_seconds(pid) for name, pid in side.processes.items()}
    result = load(side.url, side.requests, clients=clients, seconds=LOAD_S)
    used = {name: cpu_seconds(pid) - before[name] for name, pid in side.processes.items()}
    return Turn(result, {name: 1000 * seconds / result.sent for name, seconds in used.items()})


def _function_memory(side: Side) -> float | None:
    pid = side.processes.get("function")
    return memory_megabytes(pid) if pid else None


def _ratio(turns: dict[str, list[Turn]], above: str, below: str, bar: Bar | None = None) -> Line:
    rates = {name: [turn.load.per_second for turn in turns[name]] for name in (above, below)}
    ratio, samples = ratios(rates[above], rates[below])
    detail = f"{median(rates[above]):,.0f}/s : {median(rates[below]):,.0f}/s"
    return Line(f"{above} / {below}, 16 clients", ratio, "x", bar, detail, samples)


def _absolute(turns: list[Turn], name: str, clients: int, memory: float | None) -> Line:
    rates = tuple(turn.load.per_second for turn in turns)
    cpu = {part: median(turn.cpu[part] for turn in turns) for part in turns[0].cpu}
    p50, p99 = median(turn.load.p50 for turn in turns), median(turn.load.p99 for turn in turns)
    used = ", ".join(f"{part} {milliseconds:.2f}" for part, milliseconds in cpu.items())
    detail = f"p50 {p50:.1f} ms, p99 {p99:.1f} ms; CPU ms: {used}" + (f"; {memory:.0f} MB" if memory else "")
    return Line(
        f"{name}, {clients} client{'s' if clients > 1 else ''}", median(rates), "/s", None, detail, rates
    )
