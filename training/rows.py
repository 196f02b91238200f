"""Reads the rows to train on: text and category."""

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

# Five folds with three inner folds each need this many rows of a category.
MIN_ROWS = 10
CATEGORY = r"[a-z][a-z0-9_]{0,49}"


class RowsError(Exception):
    """Says in a sentence why the files are invalid."""


class Example(NamedTuple):
    """Holds a labelled text; its intent is finer than the category, or the same."""

    text: str
    category: str
    intent: str


def read_rows(path: Path, intents: Path | None = None) -> list[Example]:
    """Reads a CSV with the columns text and category; raises RowsError.

    The CSV `intents` (intent, category) maps its categories to ours. Rows are sorted, so that their order in
    the file does not change the model.
    """
    rows = [Example(text, category, category) for text, category in _columns(path, "text", "category")]
    if intents:
        names = dict(_columns(intents, "intent", "category"))
        unknown = sorted({row.category for row in rows} - set(names))
        if unknown:
            raise RowsError(f"{intents} does not say what {', '.join(unknown[:5])} is")
        rows = [Example(row.text, names[row.category], row.category) for row in rows]
    counts = Counter(row.category for row in rows)
    if len(counts) < 2:
        raise RowsError(f"{path} must have two categories or more")
    scarce = sorted(category for category, count in counts.items() if count < MIN_ROWS)
    if scarce:
        raise RowsError(
            f"{path} must have at least {MIN_ROWS} rows of each category; too few of {', '.join(scarce)}"
        )
    return sorted(rows)


def digest_of(rows: Iterable[Example]) -> str:
    """Returns a hash of the rows."""
    return hashlib.sha256(repr([tuple(row) for row in rows]).encode()).hexdigest()


def _columns(path: Path, *names: str) -> list[tuple[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = csv.DictReader(file)
            if not set(names) <= set(lines.fieldnames or ()):
                raise RowsError(f"{path} must have the columns {' and '.join(names)}")
            values_by_line = [tuple((line[name] or "").strip() for name in names) for line in lines]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RowsError(f"{path} cannot be read as CSV in UTF-8: {error}") from None
    for number, values in enumerate(values_by_line, start=2):
        if not all(values):
            raise RowsError(f"{path}: row {number} is missing its {' or '.join(names)}")
    return [(first, second) for first, second in values_by_line]
