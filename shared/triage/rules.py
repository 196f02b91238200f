"""The table of triggers in rules.toml: which words, in any inflection, point to what."""

import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from shared.triage.tokens import Word, inflections, is_stop, words_of

TABLE = Path(__file__).with_name("rules.toml")
GAP = 4
# How far before a trigger a negation still denies it.
NEGATION_REACHES = 4
SETTLED, NOTHING = "settled", "nothing"
NOT_CATEGORIES = {"urgent", "human", SETTLED, NOTHING}


class Slot(NamedTuple):
    """One word of a phrase; with a gap, others may stand before it."""

    words: frozenset[str]
    gap: int


class Trigger(NamedTuple):
    slots: tuple[Slot, ...]
    points_to: str
    is_topic: bool
    has_negation: bool


class Match(NamedTuple):
    """A trigger found, [start, end) in the message's text; denied: somebody says that it is not so."""

    start: int
    end: int
    points_to: str
    is_denied: bool


class Target(NamedTuple):
    """What triggers point to: a category, 'urgent' or 'human'."""

    priority: str
    subject: str
    alone: float  # from which confidence the classifier calls a person by itself


class Rules(NamedTuple):
    always: str
    targets: dict[str, Target]
    starts: dict[str, list[Trigger]]  # by each form of the first word
    questions: dict[str, list[Trigger]]
    denials: frozenset[str]
    barriers: frozenset[str]
    small: frozenset[str]

    @property
    def categories(self) -> list[str]:
        return [name for name in self.targets if name not in NOT_CATEGORIES]


@cache
def rules() -> Rules:
    return load(tomllib.loads(TABLE.read_text()))


def load(table: dict[str, Any]) -> Rules:
    language = table["language"]
    tables = {name: rows for name, rows in table.items() if isinstance(rows, dict) and "triggers" in rows}
    triggers = [
        _trigger(row["words"], name, language, is_topic=row.get("topic", False))
        for name, rows in tables.items()
        for row in rows["triggers"]
    ]
    return Rules(
        always=table["always"],
        targets={
            name: Target(rows["priority"], rows["subject"], rows.get("alone", float("inf")))
            for name, rows in tables.items()
            if "priority" in rows
        },
        starts=_by_first_word(triggers),
        questions=_by_first_word(_trigger(words, "question", language) for words in language["questions"]),
        denials=_denials(language),
        barriers=frozenset(form for word in language["barriers"] for form in _forms(word, language)),
        small=_spelled(language["small"]),
    )


def matches(text: str, known: Rules | None = None) -> list[Match]:
    """What the text says, in its order, without what is inside a longer match."""
    known, words = known or rules(), words_of(text)
    found = list(_found(known.starts, words))
    spans = {(at, end, trigger.points_to == NOTHING) for at, end, trigger in found}
    return [
        Match(words[at].start, words[end - 1].end, trigger.points_to, _denied(known, words, at, end, trigger))
        for at, end, trigger in found
        if trigger.points_to != NOTHING
        and not any(a <= at and end <= b and (hides or (a, b) != (at, end)) for a, b, hides in spans)
        and not (trigger.is_topic and _asked(known, words, at))
    ]


def _found(starts: dict[str, list[Trigger]], words: Sequence[Word]) -> Iterator[tuple[int, int, Trigger]]:
    for at, word in enumerate(words):
        for trigger in starts.get(word.text, ()):
            end = _follow(trigger.slots, words, at)
            if end:
                yield at, end, trigger


def _follow(slots: Sequence[Slot], words: Sequence[Word], at: int) -> int | None:
    """Where the phrase that begins at that word ends."""
    for slot in slots[1:]:
        for step in range(1, slot.gap + 2):
            if at + step >= len(words) or is_stop(words[at + step].text):
                return None
            if words[at + step].text in slot.words:
                at += step
                break
        else:
            return None
    return at + 1


def _denied(known: Rules, words: Sequence[Word], at: int, end: int, trigger: Trigger) -> bool:
    if trigger.has_negation:
        return False
    if any(word.text in known.denials for word in words[at:end]):
        return True
    for word in reversed(words[max(0, at - NEGATION_REACHES) : at]):
        if word.text in known.denials:
            return True
        if word.text in known.barriers or is_stop(word.text):
            return False
    return False


def _asked(known: Rules, words: Sequence[Word], at: int) -> bool:
    """Whether the sentence begins by asking how something is done."""
    begin = at
    while begin and not is_stop(words[begin - 1].text):
        begin -= 1
    return any(_found(known.questions, words[begin:at]))


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
            gap = GAP
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
    return _spelled(language["negations"])


def _denials(language: dict[str, Any]) -> frozenset[str]:
    return _negations(language) - _spelled(language["inability"])


def _spelled(words: Sequence[str]) -> frozenset[str]:
    """People leave the apostrophe out."""
    return frozenset(words) | {word.replace("'", "") for word in words}


SPECIAL = {"NOT": _negations, "DENIED": _denials}
