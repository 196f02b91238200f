"""Measures the sweep with 10,000 due of a million open tickets, then of two million."""

import json
import time
from dataclasses import dataclass
from statistics import median

from bench.figures import Bar, Line, NotMeasured
from bench.million import FOLDER, run_script, settle
from bench.million.rpc_client import RpcClient, as_sql
from bench.peer import CODE, run_python
from bench.plans import keep_plans
from bench.processes import cpu_seconds
from bench.stack import BenchStack
from local.stack import Say
from shared.sla_sweep import BATCH

ROUNDS = 5
DUE = 10_000
ARGUMENTS = {"batch": BATCH}


def measure_sweep(target: BenchStack, say: Say) -> list[Line]:
    """Sweeps 10,000 due tickets in sla-sweep's batches, with clocks, events and staff news."""
    run_script(target, "people", say)
    run_script(target, "open", say, tickets=1_000_000)
    settle(target)
    one = _measure_both(target, 1, say)
    nothing = RpcClient(target, target.stack.keys.role_token("service_role")).time_call("sweep", ARGUMENTS)
    loop = _loop(target, say)
    run_script(target, "open", say, tickets=1_000_000)
    settle(target)
    two = _measure_both(target, ROUNDS + 2, say)
    _make_due(target, 2 * ROUNDS + 3, spread=True)
    keep_plans(target.stack.database, "sweep", "service_role", None, as_sql("sweep", ARGUMENTS))
    return [
        _line("sweep, 10,000 due of 1,000,000 open", one[True], Bar("at most", 3)),
        _line("sweep, 10,000 due of 2,000,000 open", two[True], None),
        _added("sweep, what twice the open tickets add", one[True], two[True], Bar("below", 15)),
        _added("the same, where those due were filed within hours", one[False], two[False], None),
        Line("sweep, nothing due", nothing, "ms"),
        loop,
    ]


def _measure_both(target: BenchStack, first: int, say: Say) -> dict[bool, list["SweepTime"]]:
    """Returns sweeps by whether due tickets are spread evenly over all tickets."""
    return {spread: _rounds(target, first, say, spread=spread) for spread in (True, False)}


@dataclass(frozen=True)
class SweepTime:
    """Holds the seconds of one sweep, and PostgreSQL's CPU seconds for it."""

    elapsed: float
    cpu: float


def _rounds(target: BenchStack, first: int, say: Say, *, spread: bool) -> list[SweepTime]:
    client = RpcClient(target, target.stack.keys.role_token("service_role"))
    postgres = target.process("postgres")
    sweeps = []
    # The first sweep only fills the caches.
    for number in range(first, first + ROUNDS + 1):
        _make_due(target, number, spread=spread)
        start, cpu_start = time.perf_counter(), cpu_seconds(postgres)
        breached = _run_sweep(client)
        sweeps.append(SweepTime(time.perf_counter() - start, cpu_seconds(postgres) - cpu_start))
        if breached != DUE:
            raise RuntimeError(f"the sweep found {breached} breaches of {DUE}")
        say(f"sweep: {sweeps[-1].elapsed:.2f} s, CPU {sweeps[-1].cpu:.2f} s")
    return sweeps[1:]


def _run_sweep(client: RpcClient) -> int:
    """Sweeps as sla-sweep does, in batches; returns the number of breaches."""
    breached, more = 0, True
    while more:
        batch = client.call("sweep", ARGUMENTS)
        breached, more = breached + len(batch["escalated"]), batch["more"]
    return breached


def _loop(target: BenchStack, say: Say) -> Line:
    """Measures the naive sweep, a loop over mapped objects without clocks, events or news, for comparison."""
    run_script(target, "loop", say)
    say("the loop")
    url = target.stack.database.url().replace("postgresql:", "postgresql+psycopg:", 1)
    report = json.loads(run_python(CODE / "loop.py", env={"DATABASE_URL": url}, seconds=600))
    if report["escalated"] != DUE:
        raise NotMeasured(f"the loop found {report['escalated']} late tickets of {DUE}")
    with target.stack.database.connect() as connection:
        connection.execute("drop table desk.loop_tickets")
    detail = f"no clocks, events or news; its process took {report['megabytes']:,.0f} MB"
    return Line(
        "a loop over objects (SQLModel) in its place, 10,000 late of 1,000,000",
        report["seconds"],
        "s",
        None,
        detail,
    )


def _make_due(target: BenchStack, number: int, *, spread: bool) -> None:
    with target.stack.database.connect() as connection:
        connection.execute((FOLDER / "due.sql").read_bytes(), {"round": number, "spread": spread})
        connection.execute("vacuum desk_private.ticket_clocks")


def _seconds(sweeps: list[SweepTime]) -> float:
    return median(sweep.elapsed for sweep in sweeps)


def _added(what: str, one: list[SweepTime], two: list[SweepTime], bar: Bar | None) -> Line:
    detail = f"1,000,000: {_seconds(one):.2f} s; 2,000,000: {_seconds(two):.2f} s"
    return Line(what, 100 * (_seconds(two) / _seconds(one) - 1), "%", bar, detail)


def _line(what: str, sweeps: list[SweepTime], bar: Bar | None) -> Line:
    elapsed = tuple(sweep.elapsed for sweep in sweeps)
    cpu = median(sweep.cpu for sweep in sweeps)
    detail = f"{min(elapsed):.2f} to {max(elapsed):.2f} s; CPU of PostgreSQL {cpu:.2f} s"
    return Line(what, median(elapsed), "s", bar, detail, elapsed)
