"""Cleans and shortens text: line breaks, controls, and what hides text or turns its direction.

Joiners (U+200C, U+200D), variation selectors and soft hyphens shape the text around them. They stay in texts, and
make no text of their own.
"""

import re

LINE_BREAK = re.compile(r"\r\n|[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
# Inside a character class. First the controls but for tab and line feed, then format characters by block.
CONTROLS = r"\x00-\x08\x0b-\x1f\x7f-\x9f"
DIRECTIONS = r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
HIDDEN = (
    r"\u115f\u1160\u180e\u200b\u2028\u2029\u2060-\u2065\u206a-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb"
    r"\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a\U000e0000-\U000e007f"
)
SHAPING = r"\u00ad\u034f\u17b4\u17b5\u180b-\u180d\u180f\u200c\u200d\u2800\ufe00-\ufe0f\U00016fe4\U000e0080-\U000e0fff"

UNPRINTABLE = re.compile(f"[{CONTROLS}{DIRECTIONS}{HIDDEN}]")
INVISIBLE = re.compile(f"[{CONTROLS}{DIRECTIONS}{HIDDEN}{SHAPING}]")
_VISIBLE = re.compile(rf"[^\s{CONTROLS}{DIRECTIONS}{HIDDEN}{SHAPING}]")
# England, Scotland and Wales are a black flag and the letters of a region, in tag characters.
_FLAG_OR_UNPRINTABLE = re.compile(
    "(\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f)|" + UNPRINTABLE.pattern
)


def is_blank(text: str) -> bool:
    """Returns whether the text is nothing but blanks and invisible characters."""
    return _VISIBLE.search(text) is None


def printable(text: str) -> str:
    """Returns the text without unprintable characters; line breaks become line feeds."""
    return _FLAG_OR_UNPRINTABLE.sub(r"\1", LINE_BREAK.sub("\n", text))


def one_line(text: str) -> str:
    """Returns the text as one line. A line break in a name or subject could inject a header or a sentence."""
    lines = printable(text).replace("\t", "\n").split("\n")
    return " ".join(filter(None, map(str.strip, lines)))


def cut(line: str, max_length: int) -> str:
    """Shortens a line to `max_length` characters, with an ellipsis at its end."""
    return line if len(line) <= max_length else line[: max_length - 1].rstrip() + "…"
