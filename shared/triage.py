"""Whether a conversation with the assistant needs a person, and what it is about."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from shared.rules import NOT_CATEGORIES, Match, Rules, matches, rules

# What bounds the work: of the customer's messages the latest, of each its beginning, and so much in all.
MOST_MESSAGES = 200
LONGEST_MESSAGE = 4_000
MOST_TEXT = 100_000
MOST_REASONS = 20
LONGEST_SUBJECT = 120
# What a message counts against the one after it.
FADING = 0.8
NORMAL_PRIORITY = "medium"
PRIORITIES = ("low", "medium", "high", "urgent")


class Said(NamedTuple):
    """One message; only what the customer said is read."""

    role: str
    text: str


class Reason(NamedTuple):
    """Words as they stand in that message of the conversation, and the category or marker that they point to."""

    message: int
    words: str
    points_to: str


class Verdict(NamedTuple):
    """`category` is None where nothing points to one; `confidence` is the chance, 0 to 1, that it is right."""

    escalate: bool
    category: str | None
    priority: str
    confidence: float
    reasons: tuple[Reason, ...]
    suggested_subject: str


class _Found(NamedTuple):
    message: int
    match: Match
    weight: float
    words: str


def triage(conversation: Sequence[Said]) -> Verdict:
    """Read the customer's messages, the latest counting most."""
    known = rules()
    found = _still_true(known, _read(conversation))
    scores: dict[str, float] = defaultdict(float)
    for one in found:
        scores[one.match.points_to] += one.weight
    category = _category(known, scores)
    reasons = tuple(
        Reason(one.message, one.words, one.match.points_to)
        for one in sorted(found, key=lambda one: (one.match.points_to != category, -one.weight))
    )
    return Verdict(
        escalate=bool(found),
        category=category,
        priority=_priority(known, category, scores),
        confidence=scores[category] / sum(scores.values()) if category else 0.0,
        reasons=reasons[:MOST_REASONS],
        suggested_subject=_subject(known, category, reasons),
    )


def _latest(conversation: Sequence[Said]) -> list[tuple[int, str]]:
    """The customer's messages that are read, the latest first."""
    read, room = [], MOST_TEXT
    for index in range(len(conversation) - 1, -1, -1):
        role, text = conversation[index]
        if role != "customer":
            continue
        read.append((index, text[: min(LONGEST_MESSAGE, room)]))
        room -= len(read[-1][1])
        if room <= 0 or len(read) == MOST_MESSAGES:
            break
    return read


def _read(conversation: Sequence[Said]) -> list[_Found]:
    """All matches, the latest message first."""
    return [
        _Found(index, match, FADING**age, text[match.start : match.end])
        for age, (index, text) in enumerate(_latest(conversation))
        for match in matches(text)
    ]


def _still_true(known: Rules, found: Sequence[_Found]) -> list[_Found]:
    """Without what the customer says is over, security apart."""
    over = max(
        ((one.message, one.match.start) for one in found if one.match.points_to == "settled"),
        default=(-1, -1),
    )
    return [
        one
        for one in found
        if one.match.points_to != "settled"
        and (one.match.points_to == known.always or (one.message, one.match.start) > over)
    ]


def _category(known: Rules, scores: dict[str, float]) -> str | None:
    if known.always in scores:
        return known.always
    candidates = [name for name in scores if name not in NOT_CATEGORIES]
    return max(candidates, key=lambda name: scores[name], default=None)


def _priority(known: Rules, category: str | None, scores: dict[str, float]) -> str:
    named = [known.targets[name].priority for name in ("urgent", "human") if name in scores]
    own = known.targets[category].priority if category else NORMAL_PRIORITY
    return max([own, *named], key=PRIORITIES.index)


def _subject(known: Rules, category: str | None, reasons: Sequence[Reason]) -> str:
    """Like "Account security issue - hacked"."""
    if not reasons:
        return "Support request"
    about = category or reasons[0].points_to
    words = " ".join(reasons[0].words.split())
    return f"{known.targets[about].subject} - {words}"[:LONGEST_SUBJECT]
