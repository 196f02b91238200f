"""Finds the triggers of a language in a text. What they point to is in rules.toml."""

import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from shared.triage.tokens import Token, inflections, is_punctuation, normalize, tokenize, without_umlauts

TABLE = Path(__file__).with_name("rules.toml")
LANGUAGES = Path(__file__).with_name("languages")
DEFAULT_LANGUAGE = "en"
MAX_GAP = 4
# More matches of one trigger in a text change nothing, and would cost time.
MAX_REPETITIONS = 50
# A negation denies the trigger that begins at most this many words after it.
MAX_NEGATION_DISTANCE = 4
RESOLVED, IGNORE = "resolved", "ignore"
MARKERS = {"urgent", "human"}


class Slot(NamedTuple):
    """Holds the alternatives of one word of a phrase; `gap` other words may stand before it."""

    words: frozenset[str]
    gap: int


class Trigger(NamedTuple):
    slots: tuple[Slot, ...]
    points_to: str
    is_topic: bool
    is_bare: bool  # matches only a text of this phrase and stop words
    has_negation: bool


class Match(NamedTuple):
    """Holds the place of a trigger, [start, end) in the text, and whether a negation denies it."""

    start: int
    end: int
    points_to: str
    is_denied: bool
    clause: tuple[int, int] = (0, 0)  # of a denied or ignored match


class Target(NamedTuple):
    """Holds the settings of what triggers point to: a category, 'urgent' or 'human'."""

    priority: str
    subject: str
    escalate_at: float  # the confidence from which the classifier escalates without a trigger


class Language(NamedTuple):
    starts: dict[str, list[Trigger]]  # by each form of the first word
    questions: dict[str, list[Trigger]]
    denials: frozenset[str]
    negation_ends: frozenset[str]
    conjunctions: frozenset[str]
    stop_words: frozenset[str]
    elisions: tuple[str, ...]
    words: frozenset[str]  # all of its words here, by which it is detected


class Rules(NamedTuple):
    always_escalate: str
    targets: dict[str, Target]

    @property
    def categories(self) -> list[str]:
        return [name for name in self.targets if name not in MARKERS]


@cache
def load_rules() -> Rules:
    """Reads rules.toml, once."""
    table = tomllib.loads(TABLE.read_text())
    return Rules(
        table["always_escalate"],
        {
            name: Target(rows["priority"], rows["subject"], rows.get("escalate_at", float("inf")))
            for name, rows in table.items()
            if isinstance(rows, dict)
        },
    )


@cache
def language_codes() -> tuple[str, ...]:
    """Returns the codes of the languages that have a file, the default one first."""
    codes = sorted(file.stem for file in LANGUAGES.glob("[a-z][a-z].toml"))
    return (DEFAULT_LANGUAGE, *(code for code in codes if code != DEFAULT_LANGUAGE))


@cache
def load_language(code: str = DEFAULT_LANGUAGE) -> Language:
    """Reads the file of a language, once."""
    return build_language(tomllib.loads((LANGUAGES / f"{code}.toml").read_text()))


def build_language(table: dict[str, Any]) -> Language:
    """Builds the triggers of a table as the files in languages/ have it."""
    language = table["language"]
    triggers = [
        _trigger(row, name, language)
        for name, rows in table.items()
        if isinstance(rows, dict) and "triggers" in rows
        for row in rows["triggers"]
    ]
    stop_words = _spellings(language["stop_words"])
    conjunctions = _spellings(language["conjunctions"])
    phrases = frozenset(word for trigger in triggers for slot in trigger.slots for word in slot.words)
    return Language(
        starts=_by_first_word(triggers),
        questions=_by_first_word(
            _trigger({"words": words}, "question", language) for words in language["questions"]
        ),
        denials=_denials(language),
        negation_ends=conjunctions
        | frozenset(form for word in language["negation_ends"] for form in _forms(word, language)),
        conjunctions=conjunctions,
        stop_words=stop_words,
        elisions=tuple(language.get("elisions", ())),
        words=stop_words | phrases | _negations(language),
    )


def matches(text: str, language: Language | None = None) -> list[Match]:
    """Returns the triggers of a text in its order, without those inside a longer match."""
    return [match for match in scan(text, language or load_language()) if match.points_to != IGNORE]


def scan(text: str, language: Language) -> list[Match]:
    """Returns the triggers of a text like matches(), with those of [ignore]."""
    tokens = tokenize(text)
    if language.elisions:
        tokens = [_without_elision(token, language.elisions) for token in tokens]
    found = []
    for at, end, trigger in _find(language.starts, tokens):
        is_denied = _is_denied(language, tokens, at, end, trigger)
        if trigger.points_to == IGNORE and is_denied:
            continue
        if trigger.is_bare and not _is_bare(language, tokens, at, end):
            continue
        found.append((at, end, trigger, is_denied))
    return [
        Match(
            tokens[at].start,
            tokens[end - 1].end,
            trigger.points_to,
            is_denied,
            _clause(language, tokens, at, end) if is_denied or trigger.points_to == IGNORE else (0, 0),
        )
        for at, end, trigger, is_denied in _outermost(found)
        if not (trigger.is_topic and _is_asked(language, tokens, at))
    ]


def _without_elision(token: Token, elisions: tuple[str, ...]) -> Token:
    """Removes an elided article or pronoun: l'argent, n'arrive."""
    elided, apostrophe, rest = token.text.partition("'")
    return token._replace(text=rest) if apostrophe and rest and elided in elisions else token


def _find(starts: dict[str, list[Trigger]], tokens: Sequence[Token]) -> Iterator[tuple[int, int, Trigger]]:
    """Yields (start, end, trigger) in the order of the text, of each trigger at most MAX_REPETITIONS."""
    words = {token.text for token in tokens}
    live = {
        word: possible
        for word in words & starts.keys()
        if (possible := [trigger for trigger in starts[word] if _is_possible(trigger, words)])
    }
    counts: Counter[int] = Counter()
    for at, token in enumerate(tokens):
        for trigger in live.get(token.text, ()):
            if counts[id(trigger)] == MAX_REPETITIONS:
                continue
            end = _follow(trigger.slots, tokens, at)
            if end:
                counts[id(trigger)] += 1
                yield at, end, trigger


def _is_possible(trigger: Trigger, words: set[str]) -> bool:
    return all(not slot.words.isdisjoint(words) for slot in trigger.slots)


def _outermost(spans: list[tuple[int, int, Trigger, bool]]) -> list[tuple[int, int, Trigger, bool]]:
    """Removes spans inside longer ones, and those that a span of [ignore] covers, by one sweep."""
    kept, reach, before = [], 0, (-1, -1)
    is_hidden = False
    for span in sorted(spans, key=lambda span: (span[0], -span[1], span[2].points_to != IGNORE)):
        at, end, trigger, _ = span
        if (at, end) != before:
            is_hidden, before = end <= reach, (at, end)
            reach = max(reach, end)
        if not is_hidden:
            kept.append(span)
        is_hidden = is_hidden or trigger.points_to == IGNORE
    return kept


def _follow(slots: Sequence[Slot], tokens: Sequence[Token], at: int) -> int | None:
    """Returns the end of the phrase that begins at that word, or None."""
    for slot in slots[1:]:
        for step in range(1, slot.gap + 2):
            if at + step >= len(tokens) or is_punctuation(tokens[at + step].text):
                return None
            if tokens[at + step].text in slot.words:
                at += step
                break
        else:
            return None
    return at + 1


def _is_denied(language: Language, tokens: Sequence[Token], at: int, end: int, trigger: Trigger) -> bool:
    if trigger.has_negation:
        return False
    if any(token.text in language.denials for token in tokens[at:end]):
        return True
    for token in reversed(tokens[max(0, at - MAX_NEGATION_DISTANCE) : at]):
        if token.text in language.denials:
            return True
        if token.text in language.negation_ends or is_punctuation(token.text):
            return False
    return False


def _is_bare(language: Language, tokens: Sequence[Token], at: int, end: int) -> bool:
    """Returns true if the text has only stop words and punctuation around the phrase."""
    return all(
        is_punctuation(token.text) or token.text in language.stop_words
        for token in (*tokens[:at], *tokens[end:])
    )


def _is_asked(language: Language, tokens: Sequence[Token], at: int) -> bool:
    """Returns true if the sentence begins as a how-to question."""
    begin = at
    while begin and not is_punctuation(tokens[begin - 1].text):
        begin -= 1
    return any(_find(language.questions, tokens[begin:at]))


def _clause(language: Language, tokens: Sequence[Token], at: int, end: int) -> tuple[int, int]:
    """Returns the place of the clause around a phrase: to the next punctuation or conjunction."""

    def ends_clause(token: Token) -> bool:
        return is_punctuation(token.text) or token.text in language.conjunctions

    while at and not ends_clause(tokens[at - 1]):
        at -= 1
    while end < len(tokens) and not ends_clause(tokens[end]):
        end += 1
    return tokens[at].start, tokens[end - 1].end


def _by_first_word(triggers: Any) -> dict[str, list[Trigger]]:
    starts: dict[str, list[Trigger]] = {}
    for trigger in triggers:
        for word in trigger.slots[0].words:
            starts.setdefault(word, []).append(trigger)
    return starts


def _trigger(row: dict[str, Any], points_to: str, language: dict[str, Any]) -> Trigger:
    slots, gap = [], 0
    for part in row["words"].split():
        if part == "..":
            gap = MAX_GAP
            continue
        slots.append(Slot(_alternatives(part, language), gap))
        gap = 0
    says_no = any(slot.words & _negations(language) for slot in slots)
    return Trigger(tuple(slots), points_to, row.get("topic", False), row.get("bare", False), says_no)


def _alternatives(part: str, language: dict[str, Any]) -> frozenset[str]:
    forms: set[str] = set()
    for word in part.split("|"):
        forms |= SPECIAL[word](language) if word in SPECIAL else _forms(word, language)
    return frozenset(forms)


def _forms(word: str, language: dict[str, Any]) -> set[str]:
    """Returns the inflections of a word: English ones, or by the language's endings for a stem with a star."""
    endings = language.get("endings")
    if endings is None:
        return inflections(word) | set(language["irregular"].get(word, ()))
    stem = word.removesuffix("*")
    return set(_spellings([stem + ending for ending in endings] if stem != word else [word]))


def _negations(language: dict[str, Any]) -> frozenset[str]:
    return _spellings(language["negations"])


def _denials(language: dict[str, Any]) -> frozenset[str]:
    return _negations(language) - _spellings(language["inability"])


def _spellings(words: Sequence[str]) -> frozenset[str]:
    """Adds what customers type instead: without apostrophes, with ae for ä."""
    normal = {normalize(word) for word in words}
    return frozenset(
        normal
        | {word.replace("'", "") for word in normal}
        | {normalize(without_umlauts(word)) for word in words}
    )


SPECIAL = {"NOT": _negations, "DENIED": _denials}
