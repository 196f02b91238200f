"""Writes the figures as a Markdown table, also into docs/performance.md (`python -m bench.table`)."""

import math
from collections.abc import Iterable

from bench.figures import FOLDER, Line, Result, load
from bench.parts import PARTS
from local.process import ROOT

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- make bench: begin -->", "<!-- make bench: end -->"
SYMBOLS = {"at least": "≥", "at most": "≤", "below": "<"}
HEAD = ("| What | Figure | Bar | Met | Measured |", "|---|---:|---:|---|---|")


def markdown(results: Iterable[Result], *, whole: bool = True) -> str:
    """One table of all parts, without minor lines if it is not to be whole; every figure is rounded against us."""
    results = list(results)
    rows = [row for result in results for row in _rows(result, whole)]
    machines = sorted({f"{result.measured}, {result.machine}" for result in results})
    return "\n".join([*HEAD, *rows, "", f"Measured {'; '.join(machines)}."]) + "\n"


def put_between_markers(text: str, table: str) -> str:
    """The text with the table in place of what stands between the markers; ValueError where they are missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"there is no {BEGIN} followed by {END}")
    return f"{before}{BEGIN}\n\n{table}\n{END}{after}"


def shown(value: float, unit: str, better: str) -> str:
    """The figure with three significant digits, the last one rounded to the worse side."""
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    digits = max(digits, 2) if unit == "x" else digits
    scale = 10**digits
    towards = math.floor if better == "more" else math.ceil
    # Taken as written, so that what is exactly 0.07 is not pushed to 0.08 by its binary form.
    exact = towards(round(value * scale, 9)) / scale
    return f"{exact:,.{digits}f}{'' if unit in ('%', '/s') else ' '}{unit}"


def _rows(result: Result, whole: bool) -> list[str]:
    head = f"| **{result.title}** | | | | {result.missing} |"
    return [head, *(_row(line) for line in result.lines if whole or not line.minor)]


def _row(line: Line) -> str:
    figure = shown(line.value, line.unit, line.better)
    bar = f"{SYMBOLS[line.bar.kind]} {line.bar.value:g} {line.unit}" if line.bar else ""
    met = "" if line.bar is None else "yes" if line.bar.is_met(line.value) else "**no**"
    return f"| {line.what} | {figure} | {bar} | {met} | {line.detail} |"


def write() -> None:
    """Put what the last runs found into build/bench/table.md."""
    (FOLDER / "table.md").write_text(markdown(load(PARTS)))


if __name__ == "__main__":
    write()
    PAGE.write_text(put_between_markers(PAGE.read_text(), markdown(load(PARTS), whole=False)))
