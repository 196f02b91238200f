"""Runs `make bench`: the named parts, or all except those that run only on request."""

import os
import sys
import time
from functools import partial
from types import ModuleType

from bench.figures import Line, NotMeasured, Result, Skipped, save
from bench.parts import ON_REQUEST, PARTS
from bench.table import SYMBOLS, format_figure, write
from local.process import StackError


def main(names: list[str]) -> int:
    """Runs parts one by one. A missed bar is printed and is not an error: the machine may have been busy."""
    if unknown := set(names) - set(PARTS):
        print(
            f"There is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}.", file=sys.stderr
        )
        return 2
    where = machine()
    results = [run(name, PARTS[name], where) for name in names or PARTS if names or name not in ON_REQUEST]
    write()
    missed = sum(len(result.missed) for result in results)
    print(
        f"\n{missed} bars missed. build/bench/table.md has all figures;"
        " `make figures` puts them into docs/performance.md."
    )
    return 1 if any(result.missing.startswith("failed") for result in results) else 0


def run(name: str, part: ModuleType, where: str) -> Result:
    """Measures one part, prints its lines and saves them."""
    title = (part.__doc__ or name).splitlines()[0].rstrip(".")
    print(f"\n{name}: {title}", flush=True)
    begun = time.monotonic()
    try:
        lines, missing = tuple(part.measure(partial(_say, begun))), ""
    except Skipped as reason:
        lines, missing = (), f"skipped: {reason}"
    except (NotMeasured, StackError) as failure:
        lines, missing = (), f"failed: {failure}"
    if missing:
        print(f"  {missing}", flush=True)
    result = Result(name, title, lines, missing, machine=where)
    save(result)
    for line in lines:
        print(f"  {format_line(line)}", flush=True)
    return result


def format_line(line: Line) -> str:
    """Formats a line of the table for the terminal."""
    bar = f"{SYMBOLS[line.bar.kind]} {line.bar.value:g}" if line.bar else ""
    met = "" if line.bar is None else "met" if line.bar.is_met(line.value) else "MISSED"
    figure = format_figure(line.value, line.unit, line.better)
    return f"{line.what:<60} {figure:>12} {bar:>8} {met:<7} {line.detail}"


def machine() -> str:
    """Describes the machine, as context for absolute figures. Call it before any load starts."""
    python = ".".join(map(str, sys.version_info[:3]))
    return f"{os.cpu_count()} cores (load {os.getloadavg()[1]:.1f} beforehand), Python {python}"


def _say(begun: float, text: str) -> None:
    print(f"  {time.monotonic() - begun:5.0f} s  {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
