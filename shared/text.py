"""Cleans and shortens text for lines, titles and mails."""

import re

# Control characters and those that change the direction of the text after them.
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def one_line(text: str) -> str:
    """Returns the text as one line. A line break in a name or subject could inject a header or a sentence."""
    return " ".join(UNPRINTABLE.sub(" ", text).split())


def cut(line: str, max_length: int) -> str:
    """Shortens a line to `max_length` characters, with an ellipsis at its end."""
    return line if len(line) <= max_length else line[: max_length - 1].rstrip() + "…"


def printable(text: str) -> str:
    """Returns the text without unprintable characters; line breaks become line feeds."""
    return UNPRINTABLE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
