"""A million tickets: lists, full text, single tickets and the sweep."""

from bench.figures import Line
from bench.million import fill, growth, run_script, single
from bench.million.lists import measure_lists
from bench.million.search import measure_search
from bench.million.sweep import measure_sweep
from bench.stack import run_bench_stack
from local.stack import Say

TICKETS = 1_000_000


def measure(say: Say) -> list[Line]:
    """Measures reads and writes at four sizes, then the sweep on a stack with only open tickets."""
    times: dict[int, growth.Times] = {}
    with run_bench_stack() as small, run_bench_stack() as target:
        fill(small, 1_000, say)
        fill(target, 100_000, say)
        times[100_000] = growth.measure_one(target, 100_000, say)
        singles = single.measure({1_000: small, 100_000: target}, say)
    with run_bench_stack() as small, run_bench_stack() as target:
        fill(small, 10_000, say)
        times[10_000] = growth.measure_one(small, 10_000, say)
        fill(target, TICKETS, say)
        run_script(target, "without_rls", say)
        times[TICKETS] = growth.measure_one(target, TICKETS, say)
        lines = growth.lines(times) + measure_lists(target, say)
        lines += measure_search(target, "", say)
        run_script(target, "burst", say)
        lines += measure_search(target, ", after a burst without the word", say)
        # Last on these desks, because it writes.
        singles += single.measure({10_000: small, TICKETS: target}, say)
    with run_bench_stack() as target:
        lines += measure_sweep(target, say)
    return lines + singles
