"""The rows to learn from: text and category."""

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

# Five folds, with three inside each of them, want this many.
FEWEST_ROWS = 10
CATEGORY = r"[a-z][a-z0-9_]{0,49}"


class RowsError(Exception):
    """What is wrong with the files, in a sentence."""


class Row(NamedTuple):
    text: str
    category: str


def read_rows(path: Path, intents: Path | None = None) -> list[Row]:
    """Rows of a CSV with the columns text and category; `intents` (intent, category) says what its categories are called here.

    Sorted, so that the order of a file makes no other model. Raises RowsError.
    """
    rows = [Row(text, category) for text, category in _columns(path, "text", "category")]
    if intents:
        names = dict(_columns(intents, "intent", "category"))
        unknown = sorted({row.category for row in rows} - set(names))
        if unknown:
            raise RowsError(f"{intents} does not say what {', '.join(unknown[:5])} is")
        rows = [Row(row.text, names[row.category]) for row in rows]
    counts = Counter(row.category for row in rows)
    if len(counts) < 2:
        raise RowsError(f"{path} must have two categories or more")
    scarce = sorted(category for category, count in counts.items() if count < FEWEST_ROWS)
    if scarce:
        raise RowsError(
            f"{path} must have at least {FEWEST_ROWS} rows of each category; too few of {', '.join(scarce)}"
        )
    return sorted(rows)


def digest_of(rows: Iterable[Row]) -> str:
    """The same rows have the same one."""
    return hashlib.sha256(repr([tuple(row) for row in rows]).encode()).hexdigest()


def _columns(path: Path, *names: str) -> list[tuple[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.DictReader(file)
            if not set(names) <= set(lines.fieldnames or ()):
                raise RowsError(f"{path} must have the columns {' and '.join(names)}")
            found = [tuple((line[name] or "").strip() for name in names) for line in lines]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RowsError(f"{path} cannot be read as CSV in UTF-8: {error}") from None
    for number, values in enumerate(found, start=2):
        if not all(values):
            raise RowsError(f"{path}: row {number} is missing its {' or '.join(names)}")
    return [(first, second) for first, second in found]
