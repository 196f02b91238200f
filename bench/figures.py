"""Holds figures and their bars, and stores the figures of each part in a file."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from local.process import ROOT

FOLDER = ROOT / "build" / "bench"


@dataclass(frozen=True)
class Bar:
    """Holds the bound that a figure must meet."""

    kind: Literal["at least", "at most", "below"]
    value: float

    def is_met(self, value: float) -> bool:
        """Compares the measured figure, never a rounded one."""
        if self.kind == "at least":
            return value >= self.value
        return value < self.value if self.kind == "below" else value <= self.value


@dataclass(frozen=True)
class Line:
    """Holds one line of the table.

    `value` is in `unit`: "x" for a ratio, else ms, s, %, /s, MB. `detail` has both sides of a ratio in
    absolute figures. `samples` are the values of the rounds, with `value` as their median; only the JSON has
    them. docs/performance.md leaves `minor` lines out.
    """

    what: str
    value: float
    unit: str = "x"
    bar: Bar | None = None
    detail: str = ""
    samples: tuple[float, ...] = ()
    minor: bool = False

    @property
    def better(self) -> Literal["more", "less"]:
        """Tells whether more or less is better."""
        more = self.bar.kind == "at least" if self.bar else self.unit == "/s"
        return "more" if more else "less"


@dataclass(frozen=True)
class Result:
    """Holds the lines of one part; `missing` says why there are none."""

    part: str
    title: str
    lines: tuple[Line, ...] = ()
    missing: str = ""
    measured: str = field(default_factory=lambda: datetime.now(UTC).date().isoformat())
    machine: str = ""

    @property
    def missed(self) -> list[Line]:
        """Lists the lines that miss their bar."""
        return [line for line in self.lines if line.bar and not line.bar.is_met(line.value)]


class Skipped(Exception):
    """Says what is missing for a part to be measured."""


class NotMeasured(Exception):
    """Says why a measurement is invalid: its subject did not behave correctly."""


def save(result: Result) -> None:
    """Writes build/bench/<part>.json and replaces the result of an earlier run."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    facts = asdict(result)
    for entry, line in zip(facts["lines"], result.lines, strict=True):
        entry["met"] = line.bar.is_met(line.value) if line.bar else None
    (FOLDER / f"{result.part}.json").write_text(json.dumps(facts, indent=2) + "\n")


def load(parts: Iterable[str]) -> list[Result]:
    """Reads the results of these parts; skips parts that have not been run."""
    files = [FOLDER / f"{part}.json" for part in parts]
    return [_result(file) for file in files if file.exists()]


def _result(file: Path) -> Result:
    facts: dict[str, Any] = json.loads(file.read_text())
    lines = tuple(_line(line) for line in facts.pop("lines"))
    return Result(**facts, lines=lines)


def _line(facts: dict[str, Any]) -> Line:
    del facts["met"]
    bar = Bar(**facts["bar"]) if facts["bar"] else None
    return Line(**facts | {"bar": bar, "samples": tuple(facts["samples"])})
