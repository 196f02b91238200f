"""A figure, the bar it is held to, and the files that the figures of each part are kept in."""

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
    """What a figure must reach, or may not exceed."""

    kind: Literal["at least", "at most", "below"]
    value: float

    def is_met(self, value: float) -> bool:
        """Decided on the figure as it was measured, never on a rounded one."""
        if self.kind == "at least":
            return value >= self.value
        return value < self.value if self.kind == "below" else value <= self.value


@dataclass(frozen=True)
class Line:
    """One line of the table.

    `value` is in `unit`: "x" for a ratio, else ms, s, %, /s, MB. `detail` is what a reader needs to check a ratio: both sides
    in absolute figures. `samples` are the values of the rounds whose median `value` is; they are in the JSON only. docs/performance.md has
    no room for lines that are `minor`.
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
        """Which way the figure is good."""
        more = self.bar.kind == "at least" if self.bar else self.unit == "/s"
        return "more" if more else "less"


@dataclass(frozen=True)
class Result:
    """What one part found; `missing` says why it found nothing."""

    part: str
    title: str
    lines: tuple[Line, ...] = ()
    missing: str = ""
    measured: str = field(default_factory=lambda: datetime.now(UTC).date().isoformat())
    machine: str = ""

    @property
    def missed(self) -> list[Line]:
        """The lines whose bar was not met."""
        return [line for line in self.lines if line.bar and not line.bar.is_met(line.value)]


class Skipped(Exception):
    """A part cannot be measured yet; the message says what is missing."""


class NotMeasured(Exception):
    """What was to be measured did not do what it should: a figure would be worth nothing."""


def save(result: Result) -> None:
    """Keep it in build/bench/<part>.json, in place of what an earlier run found."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    facts = asdict(result)
    for facts_of_line, line in zip(facts["lines"], result.lines, strict=True):
        facts_of_line["met"] = line.bar.is_met(line.value) if line.bar else None
    (FOLDER / f"{result.part}.json").write_text(json.dumps(facts, indent=2) + "\n")


def load(parts: Iterable[str]) -> list[Result]:
    """The results of these parts, of those that have been run."""
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
