"""The sweep: 10,000 due of a million open tickets, then of two million."""

import time
from statistics import median

from bench.desk import Desk
from bench.figures import Bar, Line
from bench.million import FOLDER, run_script, settle
from bench.million.asking import Asking, call_of
from bench.plans import keep_plans
from deploy.local.stack import Say
from shared.sweeping import BATCH

ROUNDS = 5
DUE = 10_000
ARGUMENTS = {"batch": BATCH}


def measure_sweep(desk: Desk, say: Say) -> list[Line]:
    """10,000 tickets due, in the batches that sla-sweep asks for: clocks, tickets, events and news for staff."""
    run_script(desk, "people", say)
    run_script(desk, "open", say, tickets=1_000_000)
    settle(desk)
    one = _rounds(desk, 1, say)
    nothing = Asking(desk, desk.stack.keys.role_token("service_role")).milliseconds("sweep", ARGUMENTS)
    run_script(desk, "open", say, tickets=1_000_000)
    settle(desk)
    two = _rounds(desk, ROUNDS + 2, say)
    _make_due(desk, 2 * ROUNDS + 3)
    keep_plans(desk.stack.database, "sweep", "service_role", None, call_of("sweep", ARGUMENTS))
    more = 100 * (median(two) / median(one) - 1)
    detail = f"1,000,000: {median(one):.2f} s; 2,000,000: {median(two):.2f} s"
    return [
        Line(
            "sweep, 10,000 due of 1,000,000 open",
            median(one),
            "s",
            Bar("at most", 3),
            _range(one),
            tuple(one),
        ),
        Line("sweep, 10,000 due of 2,000,000 open", median(two), "s", None, _range(two), tuple(two)),
        Line("sweep, what twice the open tickets add", more, "%", Bar("below", 15), detail),
        Line("sweep, nothing due", nothing, "ms"),
    ]


def _rounds(desk: Desk, first: int, say: Say) -> list[float]:
    asking = Asking(desk, desk.stack.keys.role_token("service_role"))
    times = []
    # The first one is not counted: it fills the caches.
    for number in range(first, first + ROUNDS + 1):
        _make_due(desk, number)
        begun = time.perf_counter()
        breached = _swept(asking)
        times.append(time.perf_counter() - begun)
        if breached != DUE:
            raise RuntimeError(f"the sweep found {breached} breaches of {DUE}")
        say(f"sweep: {times[-1]:.2f} s")
    return times[1:]


def _swept(asking: Asking) -> int:
    """What sla-sweep does: batch after batch until there is no more."""
    breached, more = 0, True
    while more:
        batch = asking.answer("sweep", ARGUMENTS)
        breached, more = breached + len(batch["escalated"]), batch["more"]
    return breached


def _make_due(desk: Desk, number: int) -> None:
    with desk.stack.database.connect() as connection:
        connection.execute((FOLDER / "due.sql").read_bytes(), {"round": number})
        connection.execute("vacuum private.ticket_clocks")


def _range(times: list[float]) -> str:
    return f"{min(times):.2f} to {max(times):.2f} s"
