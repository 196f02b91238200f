"""Cleans and shortens text for lines, titles and mails."""

import re

# Control characters, and those that turn the direction of what follows them: neither has a place in a text.
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def one_line(text: str) -> str:
    """A name or a subject: a line break in it would begin a header of its own, or a sentence of ours."""
    return " ".join(UNPRINTABLE.sub(" ", text).split())


def cut(line: str, longest: int) -> str:
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def printable(text: str) -> str:
    return UNPRINTABLE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
