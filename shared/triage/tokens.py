"""Text as words: folded for comparing, with the place where each stands."""

import re
import unicodedata
from typing import NamedTuple

# Soft hyphens and joiners are invisible: inside a word they are a part of it.
_INVISIBLE = "\u00ad\u200b\u200c\u200d\u2060"
_LETTER = rf"[\w{_INVISIBLE}]"
_APOSTROPHES = "'\u2019\u2018\u02bc\uff07`\u00b4"
_TOKEN = re.compile(rf"{_LETTER}+(?:[{_APOSTROPHES}]{_LETTER}+)*|[.,;:!?()\n]+")
_PLAIN = str.maketrans(dict.fromkeys(_APOSTROPHES, "'") | dict.fromkeys(_INVISIBLE, ""))


class Word(NamedTuple):
    """Folded text and where it stands, [start, end) in the original; a stop is a run of punctuation."""

    text: str
    start: int
    end: int


def words_of(text: str) -> list[Word]:
    return [Word(fold(found[0]), found.start(), found.end()) for found in _TOKEN.finditer(text)]


def fold(word: str) -> str:
    """One spelling for upper case, full width, ligatures, curly apostrophes."""
    if word.isascii():
        return word.lower().replace("`", "'")
    return unicodedata.normalize("NFKC", word.translate(_PLAIN)).casefold()


def is_stop(word: str) -> bool:
    """Whether it is punctuation, where a clause ends."""
    return not (word[:1].isalnum() or word[:1] == "_")


def inflections(word: str) -> set[str]:
    """Its regular English forms: hack, hacks, hacked, hacking."""
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
