"""Recognises what a message to the companion asks to file. The phrases are data: companion.toml."""

import tomllib
from functools import cache
from pathlib import Path

from shared.triage.rules import DEFAULT_LANGUAGE, LANGUAGES, Language, build_language, matches
from shared.triage.verdict import MAX_MESSAGE_CHARS

WISHES = Path(__file__).with_name("companion.toml")


def find_wish(message: str) -> str | None:
    """Returns what the message asks to file: bug, or a category of feedback."""
    wishes = matches(message[:MAX_MESSAGE_CHARS], _wishes())
    return next((match.points_to for match in wishes if not match.is_denied), None)


@cache
def _wishes() -> Language:
    table = tomllib.loads(WISHES.read_text())
    english = tomllib.loads((LANGUAGES / f"{DEFAULT_LANGUAGE}.toml").read_text())["language"]
    return build_language(table | {"language": english | {"questions": table["questions"]}})
