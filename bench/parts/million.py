"""A million tickets: lists, full text and the sweep."""

from bench.desk import running_desk
from bench.figures import Line
from bench.million import fill, growth, run_script
from bench.million.lists import measure_lists
from bench.million.search import measure_search
from bench.million.sweep import measure_sweep
from local.stack import Say

TICKETS = 1_000_000


def measure(say: Say) -> list[Line]:
    """What is read on desks of three sizes, then the sweep on one of its own: there every ticket is open."""
    grown = growth.measure_small(say)
    with running_desk() as desk:
        fill(desk, TICKETS, say)
        run_script(desk, "without_rls", say)
        grown[TICKETS] = growth.measure_one(desk, TICKETS, say)
        lines = growth.lines(grown) + measure_lists(desk, say)
        lines += measure_search(desk, "", say)
        run_script(desk, "burst", say)
        lines += measure_search(desk, ", after a burst without the word", say)
    with running_desk() as desk:
        lines += measure_sweep(desk, say)
    return lines
