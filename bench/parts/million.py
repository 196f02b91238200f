"""A million tickets: lists, full text, single tickets and the sweep."""

from bench.desk import running_desk
from bench.figures import Line
from bench.million import fill, growth, run_script, single
from bench.million.lists import measure_lists
from bench.million.search import measure_search
from bench.million.sweep import measure_sweep
from local.stack import Say

TICKETS = 1_000_000


def measure(say: Say) -> list[Line]:
    """What is read and written on desks of four sizes, then the sweep on one of its own: there every ticket is open."""
    grown: dict[int, growth.Times] = {}
    with running_desk() as small, running_desk() as desk:
        fill(small, 1_000, say)
        fill(desk, 100_000, say)
        grown[100_000] = growth.measure_one(desk, 100_000, say)
        singles = single.measure({1_000: small, 100_000: desk}, say)
    with running_desk() as small, running_desk() as desk:
        fill(small, 10_000, say)
        grown[10_000] = growth.measure_one(small, 10_000, say)
        fill(desk, TICKETS, say)
        run_script(desk, "without_rls", say)
        grown[TICKETS] = growth.measure_one(desk, TICKETS, say)
        lines = growth.lines(grown) + measure_lists(desk, say)
        lines += measure_search(desk, "", say)
        run_script(desk, "burst", say)
        lines += measure_search(desk, ", after a burst without the word", say)
        # Last on these desks, because it writes.
        singles += single.measure({10_000: small, TICKETS: desk}, say)
    with running_desk() as desk:
        lines += measure_sweep(desk, say)
    return lines + singles
