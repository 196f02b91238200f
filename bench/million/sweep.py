"""The sweep: 10,000 due of a million open tickets, then of two million."""

import json
import time
from dataclasses import dataclass
from statistics import median

from bench.desk import Desk
from bench.figures import Bar, Line, NotMeasured
from bench.million import FOLDER, run_script, settle
from bench.million.asking import Asking, call_of
from bench.peer import CODE, run_python
from bench.plans import keep_plans
from bench.processes import cpu_seconds
from local.stack import Say
from shared.sla_sweep import BATCH

ROUNDS = 5
DUE = 10_000
ARGUMENTS = {"batch": BATCH}


def measure_sweep(desk: Desk, say: Say) -> list[Line]:
    """10,000 tickets due, in the batches that sla-sweep asks for: clocks, tickets, events and news for staff."""
    run_script(desk, "people", say)
    run_script(desk, "open", say, tickets=1_000_000)
    settle(desk)
    one = _both(desk, 1, say)
    nothing = Asking(desk, desk.stack.keys.role_token("service_role")).milliseconds("sweep", ARGUMENTS)
    loop = _loop(desk, say)
    run_script(desk, "open", say, tickets=1_000_000)
    settle(desk)
    two = _both(desk, ROUNDS + 2, say)
    _make_due(desk, 2 * ROUNDS + 3, spread=True)
    keep_plans(desk.stack.database, "sweep", "service_role", None, call_of("sweep", ARGUMENTS))
    return [
        _line("sweep, 10,000 due of 1,000,000 open", one[True], Bar("at most", 3)),
        _line("sweep, 10,000 due of 2,000,000 open", two[True], None),
        _added("sweep, what twice the open tickets add", one[True], two[True], Bar("below", 15)),
        _added("the same, where those due were filed within hours", one[False], two[False], None),
        Line("sweep, nothing due", nothing, "ms"),
        loop,
    ]


def _both(desk: Desk, first: int, say: Say) -> dict[bool, list["Sweep"]]:
    """Rounds in which the tickets that are due are spread over all others, and rounds in which they are not."""
    return {spread: _rounds(desk, first, say, spread=spread) for spread in (True, False)}


@dataclass(frozen=True)
class Sweep:
    """How long one took, and how long PostgreSQL's processes computed for it; in seconds."""

    taken: float
    cpu: float


def _rounds(desk: Desk, first: int, say: Say, *, spread: bool) -> list[Sweep]:
    asking = Asking(desk, desk.stack.keys.role_token("service_role"))
    postgres = desk.process("postgres")
    sweeps = []
    # The first one is not counted: it fills the caches.
    for number in range(first, first + ROUNDS + 1):
        _make_due(desk, number, spread=spread)
        begun, used = time.perf_counter(), cpu_seconds(postgres)
        breached = _swept(asking)
        sweeps.append(Sweep(time.perf_counter() - begun, cpu_seconds(postgres) - used))
        if breached != DUE:
            raise RuntimeError(f"the sweep found {breached} breaches of {DUE}")
        say(f"sweep: {sweeps[-1].taken:.2f} s, CPU {sweeps[-1].cpu:.2f} s")
    return sweeps[1:]


def _swept(asking: Asking) -> int:
    """What sla-sweep does: batch after batch until there is no more."""
    breached, more = 0, True
    while more:
        batch = asking.answer("sweep", ARGUMENTS)
        breached, more = breached + len(batch["escalated"]), batch["more"]
    return breached


def _loop(desk: Desk, say: Say) -> Line:
    """The same work, without a clock, an event or news, as a loop over mapped objects: for the curious."""
    run_script(desk, "loop", say)
    say("the loop")
    url = desk.stack.database.url().replace("postgresql:", "postgresql+psycopg:", 1)
    found = json.loads(run_python(CODE / "loop.py", env={"DATABASE_URL": url}, seconds=600))
    if found["escalated"] != DUE:
        raise NotMeasured(f"the loop found {found['escalated']} late tickets of {DUE}")
    with desk.stack.database.connect() as connection:
        connection.execute("drop table public.loop_tickets")
    detail = f"no clocks, events or news; its process took {found['megabytes']:,.0f} MB"
    return Line(
        "a loop over objects (SQLModel) in its place, 10,000 late of 1,000,000",
        found["seconds"],
        "s",
        None,
        detail,
    )


def _make_due(desk: Desk, number: int, *, spread: bool) -> None:
    with desk.stack.database.connect() as connection:
        connection.execute((FOLDER / "due.sql").read_bytes(), {"round": number, "spread": spread})
        connection.execute("vacuum private.ticket_clocks")


def _seconds(sweeps: list[Sweep]) -> float:
    return median(each.taken for each in sweeps)


def _added(what: str, one: list[Sweep], two: list[Sweep], bar: Bar | None) -> Line:
    detail = f"1,000,000: {_seconds(one):.2f} s; 2,000,000: {_seconds(two):.2f} s"
    return Line(what, 100 * (_seconds(two) / _seconds(one) - 1), "%", bar, detail)


def _line(what: str, sweeps: list[Sweep], bar: Bar | None) -> Line:
    taken = tuple(each.taken for each in sweeps)
    cpu = median(each.cpu for each in sweeps)
    detail = f"{min(taken):.2f} to {max(taken):.2f} s; CPU of PostgreSQL {cpu:.2f} s"
    return Line(what, median(taken), "s", bar, detail, taken)
