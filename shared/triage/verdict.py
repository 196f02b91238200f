"""Whether a conversation with the assistant needs a person, and what it is about."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from shared.choices import PRIORITIES
from shared.triage.classifier import LONGEST_TEXT, Model, model, probabilities, read, row_of
from shared.triage.rules import SETTLED, Match, Rules, matches, rules
from shared.triage.tokens import is_stop, words_of

# What bounds the work: of the customer's messages the latest, of each its beginning, and so much in all;
# the classifier reads the last few, for it is calibrated on single messages.
MOST_MESSAGES = 200
LONGEST_MESSAGE = 4_000
MOST_TEXT = 100_000
MOST_LEARNED = 5
MOST_REASONS = 20
MOST_TELLING = 3
LONGEST_SUBJECT = 120
# What a message counts against the one after it.
FADING = 0.8
FORGOTTEN = 0.1
# A trigger about which the classifier knows nothing has no measured chance: more likely right than not.
BY_RULES_ALONE = 0.6
# What the classifier must know to call a person by itself, of words that are not small; half of it may be strange besides.
FEWEST_KNOWN = 2
NORMAL_PRIORITY = "medium"


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


class _Part(NamedTuple):
    """A message from a place on, and what it counts."""

    message: int
    begin: int
    text: str
    weight: float
    told: set[str]  # its words that can say what it is about


class _Read(NamedTuple):
    """What a conversation says, by the rules and by the classifier."""

    found: list[_Found]
    learned: list[Reason]  # the most telling first
    scores: dict[str, float]  # by what triggers point to
    chances: dict[str, float]  # by category
    denied: set[str]
    is_known: bool  # whether the classifier knows enough of it to call a person by itself


def triage(conversation: Sequence[Said]) -> Verdict:
    """Read the customer's messages, the latest counting most."""
    return judge(conversation, rules(), model())


def judge(conversation: Sequence[Said], known: Rules, learned: Model) -> Verdict:
    said = _read(conversation, known, learned)
    category, confidence = _category(said, known, learned)
    reasons = _reasons(said, category)
    return Verdict(
        escalate=bool(said.scores) or _calls_a_person(said, category, confidence, known),
        category=category,
        priority=_priority(known, category, said.scores),
        confidence=round(confidence, 4),
        reasons=reasons,
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


def _read(conversation: Sequence[Said], known: Rules, learned: Model) -> _Read:
    latest = _latest(conversation)
    matched = [(index, text, age, matches(text, known)) for age, (index, text) in enumerate(latest)]
    denied = {match.points_to for _, _, _, found in matched for match in found if match.is_denied}
    found = [
        _Found(index, match, FADING**age, text[match.start : match.end])
        for index, text, age, several in matched
        for match in several
        if not match.is_denied
    ]
    over = max(
        ((one.message, one.match.end) for one in found if one.match.points_to == SETTLED), default=(-1, 0)
    )
    found = [one for one in found if _still_true(one, over, known)]
    scores: dict[str, float] = defaultdict(float)
    for one in found:
        scores[one.match.points_to] += one.weight
    learnable = _learnable(latest, over, known, learned)
    evidence = _evidence(learnable, learned)
    logits = [
        bias
        + sum(adds[place] for _, adds in evidence)
        + learned.rule_weight * min(1.0, scores.get(name, 0.0))
        for place, (name, bias) in enumerate(zip(learned.categories, learned.bias, strict=True))
    ]
    chances = dict(zip(learned.categories, probabilities(logits), strict=True)) if evidence else {}
    return _Read(found, _telling(evidence, chances), scores, chances, denied, _is_known(learnable, learned))


def _still_true(one: _Found, over: tuple[int, int], known: Rules) -> bool:
    """Whether the customer did not say later that it is over, which security never is."""
    if one.match.points_to == known.always:
        return True
    return (
        one.match.points_to != SETTLED and one.weight >= FORGOTTEN and (one.message, one.match.start) > over
    )


def _learnable(
    latest: Sequence[tuple[int, str]], over: tuple[int, int], known: Rules, learned: Model
) -> list[_Part]:
    """What the classifier reads: of the latest messages what was said since it was over, and is not small talk."""
    parts = [
        _Part(index, begin, text, FADING**age, _told(text[begin:], known))
        for age, (index, text) in enumerate(latest[:MOST_LEARNED])
        if index >= over[0]
        for begin in [over[1] if index == over[0] else 0]
    ]
    return [part for part in parts if any(row_of(learned, word) is not None for word in part.told)]


def _told(text: str, known: Rules) -> set[str]:
    words = {word.text for word in words_of(text[:LONGEST_TEXT]) if not is_stop(word.text)}
    return words - known.small


def _is_known(parts: Sequence[_Part], learned: Model) -> bool:
    told = {word for part in parts for word in part.told}
    familiar = sum(row_of(learned, word) is not None for word in told)
    return familiar >= FEWEST_KNOWN and 2 * (len(told) - familiar) <= familiar


def _evidence(parts: Sequence[_Part], learned: Model) -> list[tuple[Reason, list[float]]]:
    """Known words of what is read, and what each adds to each category."""
    found = []
    for index, begin, text, weight, _ in parts:
        for feature in read(learned, text[begin:]):
            words = text[begin + feature.start : begin + feature.end]
            found.append((Reason(index, words, ""), [weight * each for each in feature.adds]))
    return found


def _telling(evidence: Sequence[tuple[Reason, list[float]]], chances: dict[str, float]) -> list[Reason]:
    """The words that say most for the likeliest category."""
    if not chances:
        return []
    place, category = max(enumerate(chances), key=lambda each: chances[each[1]])
    best = sorted(
        (one for one in evidence if one[1][place] > 0), key=lambda one: (-one[1][place], one[0].message)
    )
    return [reason._replace(points_to=category) for reason, _ in best[:MOST_TELLING]]


def _category(said: _Read, known: Rules, learned: Model) -> tuple[str | None, float]:
    """The words of security first, then triggers that the classifier never met, then the classifier."""
    likeliest = max(said.chances, key=lambda name: said.chances[name], default=None)
    chance = said.chances[likeliest] if likeliest else 0.0
    if known.always in said.scores:
        return known.always, max(learned.trust, said.chances.get(known.always, 0.0))
    by_rules = [name for name in said.scores if name in known.categories]
    foremost = max(by_rules, key=lambda name: said.scores[name], default=None)
    triggers = [one.words for one in said.found if one.match.points_to == foremost]
    if foremost and (not likeliest or any(_is_unmet(words, learned) for words in triggers)):
        return foremost, max(BY_RULES_ALONE, said.chances.get(foremost, 0.0))
    return (likeliest, chance) if chance >= learned.abstain else (None, chance)


def _is_unmet(words: str, learned: Model) -> bool:
    """Whether the classifier cannot judge a trigger, whose first or last word was in nothing that it learned from."""
    told = [word.text for word in words_of(words) if not is_stop(word.text)]
    return any(row_of(learned, word) is None for word in (told[0], told[-1]))


def _calls_a_person(said: _Read, category: str | None, confidence: float, known: Rules) -> bool:
    """Whether the classifier is sure enough by itself, of what was not denied."""
    target = known.targets.get(category or "")
    return said.is_known and target is not None and category not in said.denied and confidence >= target.alone


def _reasons(said: _Read, category: str | None) -> tuple[Reason, ...]:
    """The triggers, then the words that told the classifier; those that point to the category first."""
    triggers = [
        Reason(one.message, one.words, one.match.points_to)
        for one in sorted(said.found, key=lambda one: (one.match.points_to != category, -one.weight))
    ]
    learned = said.learned if said.learned and said.learned[0].points_to == category else []
    return (*triggers[:MOST_REASONS], *(one for one in learned if one not in triggers))


def _priority(known: Rules, category: str | None, scores: dict[str, float]) -> str:
    """The highest of what was found."""
    named = [known.targets[name].priority for name in (category, *scores) if name in known.targets]
    return max(named, key=PRIORITIES.index, default=NORMAL_PRIORITY)


def _subject(known: Rules, category: str | None, reasons: Sequence[Reason]) -> str:
    """Like "Account security issue - hacked"."""
    if not reasons:
        return "Support request"
    about = known.targets.get(category or reasons[0].points_to)
    words = " ".join(reasons[0].words.split())
    return f"{about.subject if about else 'Support request'} - {words}"[:LONGEST_SUBJECT]
