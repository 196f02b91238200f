"""Splits text into tokens: normalized words and punctuation, with their places."""

import re
import unicodedata
from typing import NamedTuple

# Soft hyphens and joiners are invisible: inside a word they are a part of it.
_INVISIBLE = "\u00ad\u200b\u200c\u200d\u2060"
_LETTER = rf"[\w{_INVISIBLE}]"
_APOSTROPHES = "'\u2019\u2018\u02bc\uff07`\u00b4"
# An abbreviation with dots is one word: a.s.a.p.
_TOKEN = re.compile(
    rf"(?<!\w)(?:[a-zA-Z]\.){{2,}}(?:[a-zA-Z](?!\w))?|{_LETTER}+(?:[{_APOSTROPHES}]{_LETTER}+)*|[.,;:!?()\n]+"
)
_PLAIN = str.maketrans(dict.fromkeys(_APOSTROPHES, "'") | dict.fromkeys(_INVISIBLE, ""))

_ACCENT = re.compile("[\u0300-\u036f]")
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})


class Token(NamedTuple):
    """Holds normalized text and its place, [start, end) in the original: a word or a run of punctuation."""

    text: str
    start: int
    end: int


def tokenize(text: str) -> list[Token]:
    """Returns the tokens of a text, in its order."""
    if text.isascii():
        # Lower case keeps the places of ASCII, so that one call normalizes all.
        lowered = text.lower().replace("`", "'")
        return [Token(_without_dots(match[0]), *match.span()) for match in _TOKEN.finditer(lowered)]
    return [Token(normalize(match[0]), *match.span()) for match in _TOKEN.finditer(text)]


def normalize(word: str) -> str:
    """Returns one spelling for upper case, full width, ligatures, accents, curly apostrophes."""
    if word.isascii():
        return _without_dots(word.lower().replace("`", "'"))
    plain = unicodedata.normalize("NFKC", word.translate(_PLAIN)).casefold()
    return _without_dots(_ACCENT.sub("", unicodedata.normalize("NFD", plain)))


def without_umlauts(word: str) -> str:
    """Spells German umlauts as ASCII does: ae, oe, ue."""
    return word.translate(_UMLAUTS)


def _without_dots(word: str) -> str:
    return word.replace(".", "") if "." in word and word[:1].isalpha() else word


def is_punctuation(word: str) -> bool:
    """Returns true for punctuation, where a clause ends."""
    return not (word[:1].isalnum() or word[:1] == "_")


def inflections(word: str) -> set[str]:
    """Returns the regular English forms of a word: hack, hacks, hacked, hacking."""
    if len(word) < 3 or not word.isalpha():
        return {word}
    forms = {word, word + "s", word + "ed", word + "ing"}
    if word.endswith(("s", "x", "z", "ch", "sh")):
        forms.add(word + "es")
    if word.endswith("e"):
        forms |= {word + "d", word[:-1] + "ing"}
    if word.endswith("y"):
        forms |= {word[:-1] + "ies", word[:-1] + "ied"}
    if re.search(r"[^aeiou][aeiou][bdglmnprt]$", word):
        forms |= {word + word[-1] + "ed", word + word[-1] + "ing"}
    return forms
