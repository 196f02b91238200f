"""The table of functions, as deployment reads it: see the head of functions.toml for what each key means."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "deploy" / "functions.toml"


@dataclass(frozen=True)
class Function:
    """One row; what it does not say of itself comes from the defaults."""

    name: str
    summary: str
    is_private: bool
    region: str
    timeout: int
    secrets: tuple[str, ...]
    one_of: tuple[str, ...]
    schedule: str | None
    time_zone: str
    invokers: tuple[str, ...]


def read_table(path: Path = TABLE) -> list[Function]:
    """Every function, in the order of the file."""
    table = tomllib.loads(path.read_text())
    return [_function(name, table["defaults"] | row) for name, row in table["functions"].items()]


def _function(name: str, row: dict[str, Any]) -> Function:
    return Function(
        name=name,
        summary=row["summary"],
        is_private=row["access"] == "private",
        region=row["region"],
        timeout=row["timeout"],
        secrets=tuple(row.get("secrets", ())),
        one_of=tuple(row.get("one_of", ())),
        schedule=row.get("schedule"),
        time_zone=row["time_zone"],
        invokers=tuple(row.get("invokers", ())),
    )
