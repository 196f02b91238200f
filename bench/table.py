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
    """Formats one table of all parts, without minor lines unless `whole`. Rounds the unfavourable way."""
    results = list(results)
    rows = [row for result in results for row in _rows(result, whole)]
    machines = sorted({f"{result.measured}, {result.machine}" for result in results})
    return "\n".join([*HEAD, *rows, "", f"Measured {'; '.join(machines)}."]) + "\n"


def put_between_markers(text: str, table: str) -> str:
    """Replaces the text between the markers by the table; raises ValueError without markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"there is no {BEGIN} followed by {END}")
    return f"{before}{BEGIN}\n\n{table}\n{END}{after}"


def format_figure(value: float, unit: str, better: str) -> str:
    """Formats a figure with three significant digits, rounded to the worse side."""
    digits = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    digits = max(digits, 2) if unit == "x" else digits
    scale = 10**digits
    towards = math.floor if better == "more" else math.ceil
    # Round to decimals first, or the binary form of 0.07 would become 0.08.
    exact = towards(round(value * scale, 9)) / scale
    return f"{exact:,.{digits}f}{'' if unit in ('%', '/s') else ' '}{unit}"


def _rows(result: Result, whole: bool) -> list[str]:
    head = f"| **{result.title}** | | | | {result.missing} |"
    return [head, *(_row(line) for line in result.lines if whole or not line.minor)]


def _row(line: Line) -> str:
    figure = format_figure(line.value, line.unit, line.better)
    bar = f"{SYMBOLS[line.bar.kind]} {line.bar.value:g} {line.unit}" if line.bar else ""
    met = "" if line.bar is None else "yes" if line.bar.is_met(line.value) else "**no**"
    return f"| {line.what} | {figure} | {bar} | {met} | {line.detail} |"


def write() -> None:
    """Writes the results of the last runs to build/bench/table.md."""
    (FOLDER / "table.md").write_text(markdown(load(PARTS)))


if __name__ == "__main__":
    write()
    PAGE.write_text(put_between_markers(PAGE.read_text(), markdown(load(PARTS), whole=False)))
