"""Finds the triggers of rules.toml in a text, in any inflection."""

import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from shared.triage.tokens import Token, inflections, is_punctuation, tokenize

TABLE = Path(__file__).with_name("rules.toml")
MAX_GAP = 4
# More matches of one trigger in a text change nothing, and would cost time.
MAX_REPETITIONS = 50
# A negation denies the trigger that begins at most this many words after it.
MAX_NEGATION_DISTANCE = 4
RESOLVED, IGNORE = "resolved", "ignore"
NOT_CATEGORIES = {"urgent", "human", RESOLVED, IGNORE}


class Slot(NamedTuple):
    """Holds the alternatives of one word of a phrase; `gap` other words may stand before it."""

    words: frozenset[str]
    gap: int


class Trigger(NamedTuple):
    slots: tuple[Slot, ...]
    points_to: str
    is_topic: bool
    has_negation: bool


class Match(NamedTuple):
    """Holds the place of a trigger, [start, end) in the text, and whether a negation denies it."""

    start: int
    end: int
    points_to: str
    is_denied: bool


class Target(NamedTuple):
    """Holds the settings of what triggers point to: a category, 'urgent' or 'human'."""

    priority: str
    subject: str
    escalate_at: float  # the confidence from which the classifier escalates without a trigger


class Rules(NamedTuple):
    always_escalate: str
    targets: dict[str, Target]
    starts: dict[str, list[Trigger]]  # by each form of the first word
    questions: dict[str, list[Trigger]]
    denials: frozenset[str]
    negation_ends: frozenset[str]
    stop_words: frozenset[str]

    @property
    def categories(self) -> list[str]:
        return [name for name in self.targets if name not in NOT_CATEGORIES]


@cache
def load_rules() -> Rules:
    """Reads rules.toml, once."""
    return build_rules(tomllib.loads(TABLE.read_text()))


def build_rules(table: dict[str, Any]) -> Rules:
    """Builds the rules of a table as rules.toml has it."""
    language = table["language"]
    tables = {name: rows for name, rows in table.items() if isinstance(rows, dict) and "triggers" in rows}
    triggers = [
        _trigger(row["words"], name, language, is_topic=row.get("topic", False))
        for name, rows in tables.items()
        for row in rows["triggers"]
    ]
    return Rules(
        always_escalate=table["always_escalate"],
        targets={
            name: Target(rows["priority"], rows["subject"], rows.get("escalate_at", float("inf")))
            for name, rows in tables.items()
            if "priority" in rows
        },
        starts=_by_first_word(triggers),
        questions=_by_first_word(_trigger(words, "question", language) for words in language["questions"]),
        denials=_denials(language),
        negation_ends=frozenset(
            form for word in language["negation_ends"] for form in _forms(word, language)
        ),
        stop_words=_with_and_without_apostrophe(language["stop_words"]),
    )


def matches(text: str, rules: Rules | None = None) -> list[Match]:
    """Returns the triggers of a text in its order, without those inside a longer match."""
    rules, tokens = rules or load_rules(), tokenize(text)
    return [
        Match(
            tokens[at].start,
            tokens[end - 1].end,
            trigger.points_to,
            _is_denied(rules, tokens, at, end, trigger),
        )
        for at, end, trigger in _outermost(list(_find(rules.starts, tokens)))
        if not (trigger.is_topic and _is_asked(rules, tokens, at))
    ]


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


def _outermost(spans: list[tuple[int, int, Trigger]]) -> list[tuple[int, int, Trigger]]:
    """Removes spans inside longer ones, and those that a span of [ignore] covers, by one sweep."""
    kept, reach, before = [], 0, (-1, -1)
    is_hidden = False
    for at, end, trigger in sorted(spans, key=lambda span: (span[0], -span[1], span[2].points_to != IGNORE)):
        if (at, end) != before:
            is_hidden, before = end <= reach, (at, end)
            reach = max(reach, end)
        is_hidden = is_hidden or trigger.points_to == IGNORE
        if not is_hidden:
            kept.append((at, end, trigger))
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


def _is_denied(rules: Rules, tokens: Sequence[Token], at: int, end: int, trigger: Trigger) -> bool:
    if trigger.has_negation:
        return False
    if any(word.text in rules.denials for word in tokens[at:end]):
        return True
    for word in reversed(tokens[max(0, at - MAX_NEGATION_DISTANCE) : at]):
        if word.text in rules.denials:
            return True
        if word.text in rules.negation_ends or is_punctuation(word.text):
            return False
    return False


def _is_asked(rules: Rules, tokens: Sequence[Token], at: int) -> bool:
    """Returns true if the sentence begins as a how-to question."""
    begin = at
    while begin and not is_punctuation(tokens[begin - 1].text):
        begin -= 1
    return any(_find(rules.questions, tokens[begin:at]))


def _by_first_word(triggers: Any) -> dict[str, list[Trigger]]:
    starts: dict[str, list[Trigger]] = {}
    for trigger in triggers:
        for word in trigger.slots[0].words:
            starts.setdefault(word, []).append(trigger)
    return starts


def _trigger(phrase: str, points_to: str, language: dict[str, Any], is_topic: bool = False) -> Trigger:
    slots, gap = [], 0
    for part in phrase.split():
        if part == "..":
            gap = MAX_GAP
            continue
        slots.append(Slot(_alternatives(part, language), gap))
        gap = 0
    says_no = any(slot.words & _negations(language) for slot in slots)
    return Trigger(tuple(slots), points_to, is_topic, says_no)


def _alternatives(part: str, language: dict[str, Any]) -> frozenset[str]:
    forms: set[str] = set()
    for word in part.split("|"):
        forms |= SPECIAL[word](language) if word in SPECIAL else _forms(word, language)
    return frozenset(forms)


def _forms(word: str, language: dict[str, Any]) -> set[str]:
    return inflections(word) | set(language["irregular"].get(word, ()))


def _negations(language: dict[str, Any]) -> frozenset[str]:
    return _with_and_without_apostrophe(language["negations"])


def _denials(language: dict[str, Any]) -> frozenset[str]:
    return _negations(language) - _with_and_without_apostrophe(language["inability"])


def _with_and_without_apostrophe(words: Sequence[str]) -> frozenset[str]:
    """Adds the spellings without an apostrophe."""
    return frozenset(words) | {word.replace("'", "") for word in words}


SPECIAL = {"NOT": _negations, "DENIED": _denials}
