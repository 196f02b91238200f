"""Recognises what a message to the companion asks to file. The phrases are data: companion.toml."""

import tomllib
from functools import cache
from pathlib import Path

from shared.triage.rules import TABLE, Rules, load, matches
from shared.triage.verdict import LONGEST_MESSAGE

WISHES = Path(__file__).with_name("companion.toml")


def wish_of(message: str) -> str | None:
    """What the message asks to file: a bug, or feedback of a category."""
    found = matches(message[:LONGEST_MESSAGE], _wishes())
    return next((match.points_to for match in found if not match.is_denied), None)


@cache
def _wishes() -> Rules:
    told = tomllib.loads(WISHES.read_text())
    language = tomllib.loads(TABLE.read_text())["language"] | {"questions": told["questions"]}
    return load(told | {"always": "", "language": language})
