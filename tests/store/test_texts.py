"""The store's own checks of texts, addresses and URLs agree with those of the functions."""

import sys
from typing import Any

import pytest

from deploy.migrate import Connection
from shared.text import INVISIBLE, UNPRINTABLE, is_blank

EVERY = [chr(n) for n in range(1, sys.maxunicode + 1) if not 0xD800 <= n <= 0xDFFF]
CHECKED = {
    "blank": ("desk_private.is_blank(chr(n))", is_blank),
    "unprintable": (
        "chr(n) ~ ('[' || desk_private.unprintable() || ']')",
        lambda letter: UNPRINTABLE.search(letter) is not None,
    ),
    "invisible": (
        "chr(n) ~ ('[' || desk_private.invisible() || ']')",
        lambda letter: INVISIBLE.search(letter) is not None,
    ),
}


@pytest.mark.parametrize("what", CHECKED)
def test_every_character_is_the_same_to_both(what: str, db: Connection) -> None:
    condition, of_python = CHECKED[what]
    rows = db.execute(
        f"select n from generate_series(1, {sys.maxunicode}) n"
        f" where case when n not between 55296 and 57343 then {condition} end"
    ).fetchall()
    assert {int(str(n)) for (n,) in rows} == {ord(letter) for letter in EVERY if of_python(letter)}


@pytest.mark.parametrize("text", ["\u200b", "\u2060 \ufeff", "\u3164", "\u202e\t\u00ad", "\u00a0", "\u2800"])
def test_an_invisible_text_is_a_blank_one(text: str, db: Connection) -> None:
    row: Any = db.execute("select desk_private.text_problem('subject', %s, 255)", [text]).fetchone()
    assert row[0][0]["message"] == "is required and must not be blank"


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://files.example.com/1?a=b#c", True),
        ("https://münchen.example/größe", True),
        ("https://files.example.com/\U0001f468\u200d\U0001f469", True),
        ("https://a\u202egpj.exe", False),
        ("https://a\u200bb.example/", False),
        ("https://a\u00adb.example/", False),
        ("https://example.com/\u202egpj.exe", False),
        ("https://example.com/\u2060", False),
    ],
)
def test_a_url_hides_nothing(url: str, good: bool, db: Connection) -> None:
    assert db.execute("select desk_private.is_web_url(%s)", [url]).fetchone() == (good,)


@pytest.mark.parametrize(
    ("address", "good"),
    [
        ("ada@example.com", True),
        ("jürgen@münchen.example", True),
        ("a\u200bda@example.com", False),
        ("a\u00adda@example.com", False),
        ("ada@exam\u202eple.com", False),
        ("ada@example.com\u2060", False),
    ],
)
def test_an_address_hides_nothing(address: str, good: bool, db: Connection) -> None:
    assert db.execute("select desk_private.is_email(%s)", [address]).fetchone() == (good,)
