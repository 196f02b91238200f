"""Detects the language of a text by its stop words and triggers."""

import re
import tomllib
from functools import cache

from shared.triage.rules import DEFAULT_LANGUAGE, LANGUAGES, language_codes, load_language
from shared.triage.tokens import normalize, tokenize

UNKNOWN = "unknown"
# Stop words of languages without triggers: they keep a text from being taken for a language nearby.
OTHERS = LANGUAGES / "others.toml"
MAX_DETECTED_WORDS = 60
# The share of words by which a text is taken for the default language, without a look at the others.
PLAIN_SHARE = 0.6
# Words of many languages, such as "no", detect none.
MIN_SCORE = 0.34
# A text of this many words, none of which any language has, is in an unknown one.
MIN_UNKNOWN_WORDS = 3
# Latin letters that no language with triggers has, apart from French ligatures.
_FOREIGN_LETTER = re.compile("[\u0100-\u0151\u0154-\u0177\u0179-\u024f]")
_LAST_LATIN = "\u024f"


def detect(text: str) -> str | None:
    """Returns the code of a text's language, UNKNOWN for one without triggers, or None if in doubt."""
    if _is_foreign_script(text):
        return UNKNOWN
    words = _words(text)
    if not words:
        return None
    if len(words) > 2 and _share(words) >= PLAIN_SHARE:
        return DEFAULT_LANGUAGE
    languages, neutral = _languages(), _other_words()["neutral"]
    scores: dict[str, float] = {}
    for word in words:
        if word in neutral:
            continue
        speakers = languages.get(word, ())
        for code in speakers:
            scores[code] = scores.get(code, 0) + 1 / len(speakers)
    if not scores:
        is_unknown = len(words) >= MIN_UNKNOWN_WORDS or bool(_FOREIGN_LETTER.search(text))
        return UNKNOWN if is_unknown else None
    # On a tie the languages with triggers come first, in their order.
    best = max(scores, key=lambda code: (round(scores[code], 6), -_order(code)))
    if scores[best] < MIN_SCORE:
        return None
    return best if best in language_codes() else UNKNOWN


def _is_foreign_script(text: str) -> bool:
    """Returns true if most letters are not Latin."""
    if text.isascii():
        return False
    letters = [letter for letter in normalize(text) if letter.isalpha()]
    return 2 * sum(letter > _LAST_LATIN for letter in letters) > len(letters)


def _words(text: str) -> list[str]:
    """Returns the first words of a text; elided ones without their article."""
    words: list[str] = []
    for token in tokenize(text[: MAX_DETECTED_WORDS * 10]):
        elided, _, rest = token.text.partition("'")
        if len(elided) == 1 and len(rest) > 1 and rest not in ("ll", "ve", "re"):
            words += [f"{elided}'", rest]
        elif token.text.replace("'", "").isalpha():
            words.append(token.text)
    return words[:MAX_DETECTED_WORDS]


def _share(words: list[str]) -> float:
    known = load_language().words
    return sum(word in known for word in words) / len(words)


def _order(code: str) -> int:
    codes = language_codes()
    return codes.index(code) if code in codes else len(codes)


@cache
def _other_words() -> dict[str, frozenset[str]]:
    """Returns the words of others.toml by language, and the neutral ones."""
    return {
        code: frozenset(normalize(word) for word in words.split())
        for code, words in tomllib.loads(OTHERS.read_text()).items()
    }


@cache
def _languages() -> dict[str, tuple[str, ...]]:
    """Returns the languages of every word."""
    languages: dict[str, list[str]] = {}
    for code in language_codes():
        for word in load_language(code).words:
            languages.setdefault(word, []).append(code)
    for code, words in _other_words().items():
        for word in words:
            languages.setdefault(word, []).append(code)
    return {word: tuple(codes) for word, codes in languages.items()}
