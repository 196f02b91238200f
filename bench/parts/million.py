"""A million tickets: lists, full text and the sweep."""

from bench.desk import running_desk
from bench.figures import Line
from bench.million import run_script, settle
from bench.million.lists import measure_lists
from bench.million.search import measure_search
from bench.million.sweep import measure_sweep
from deploy.local.stack import Say


def measure(say: Say) -> list[Line]:
    """On one desk what is read, on a second one the sweep: there every ticket is open."""
    with running_desk() as desk:
        for script in ("people", "tickets", "without_rls"):
            run_script(desk, script, say)
        settle(desk)
        lines = measure_lists(desk, say)
        lines += measure_search(desk, "", say)
        run_script(desk, "burst", say)
        lines += measure_search(desk, ", after a burst without the word", say)
    with running_desk() as desk:
        lines += measure_sweep(desk, say)
    return lines
