"""Decides whether a conversation with the assistant needs a person, and names its category."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from shared.choices import PRIORITIES
from shared.triage.classifier import (
    MAX_CLASSIFIED_CHARS,
    Model,
    feature_index,
    featurize,
    load_model,
    probabilities,
)
from shared.triage.rules import RESOLVED, Match, Rules, load_rules, matches
from shared.triage.tokens import is_punctuation, tokenize

# Bounds of the work: the customer's latest messages, the beginning of each, and their sum.
MAX_MESSAGES = 200
MAX_MESSAGE_CHARS = 4_000
MAX_TOTAL_CHARS = 100_000
# The classifier is calibrated on single messages, so it reads only the last few.
MAX_CLASSIFIED_MESSAGES = 5
MAX_REASONS = 20
MAX_CLASSIFIER_REASONS = 3
MAX_SUGGESTED_SUBJECT = 120
# The weight of a message relative to the next one.
RECENCY_DECAY = 0.8
MIN_RECENCY = 0.1
# A trigger without a word in the model has no measured confidence: more likely right than wrong.
RULE_ONLY_CONFIDENCE = 0.6
# Known content words that the classifier needs to escalate alone; unknown ones may be half as many.
MIN_KNOWN_WORDS = 2
NORMAL_PRIORITY = "medium"


class Message(NamedTuple):
    """Holds one message; only those of the role `customer` are read."""

    role: str
    text: str


class Reason(NamedTuple):
    """Quotes words of a message of the conversation, with the category or marker that they point to."""

    message: int
    words: str
    points_to: str


class Verdict(NamedTuple):
    """Holds the decision. `confidence` is the chance, 0 to 1, that the category is right."""

    escalate: bool
    category: str | None
    priority: str
    confidence: float
    reasons: tuple[Reason, ...]
    suggested_subject: str


class _Trigger(NamedTuple):
    message: int
    match: Match
    weight: float
    words: str


class _Part(NamedTuple):
    """Holds the part of a message that the classifier reads, and its weight."""

    message: int
    begin: int
    text: str
    weight: float
    content_words: set[str]


class _Findings(NamedTuple):
    """Holds what the rules and the classifier find in a conversation."""

    triggers: list[_Trigger]
    classifier_reasons: list[Reason]  # the strongest first
    scores: dict[str, float]  # by target
    chances: dict[str, float]  # by category
    denied: set[str]
    is_known: bool  # the classifier knows enough words to escalate alone


def triage(conversation: Sequence[Message]) -> Verdict:
    """Decides on a conversation by the shipped rules and model; the latest messages count most."""
    return decide(conversation, load_rules(), load_model())


def decide(conversation: Sequence[Message], rules: Rules, model: Model) -> Verdict:
    """Decides on a conversation by the given rules and model."""
    findings = _find(conversation, rules, model)
    category, confidence = _category(findings, rules, model)
    reasons = _reasons(findings, category)
    return Verdict(
        escalate=bool(findings.scores) or _escalates_alone(findings, category, confidence, rules),
        category=category,
        priority=_priority(rules, category, findings.scores),
        confidence=round(confidence, 4),
        reasons=reasons,
        suggested_subject=_subject(rules, category, reasons),
    )


def _latest(conversation: Sequence[Message]) -> list[tuple[int, str]]:
    """Returns the customer's messages within the bounds, the latest first."""
    latest, room = [], MAX_TOTAL_CHARS
    for index in range(len(conversation) - 1, -1, -1):
        role, text = conversation[index]
        if role != "customer":
            continue
        latest.append((index, text[: min(MAX_MESSAGE_CHARS, room)]))
        room -= len(latest[-1][1])
        if room <= 0 or len(latest) == MAX_MESSAGES:
            break
    return latest


def _find(conversation: Sequence[Message], rules: Rules, model: Model) -> _Findings:
    latest = _latest(conversation)
    matched = [(index, text, age, matches(text, rules)) for age, (index, text) in enumerate(latest)]
    denied = {match.points_to for _, _, _, several in matched for match in several if match.is_denied}
    triggers = [
        _Trigger(index, match, RECENCY_DECAY**age, text[match.start : match.end])
        for index, text, age, several in matched
        for match in several
        if not match.is_denied
    ]
    resolved_at = max(
        ((trigger.message, trigger.match.end) for trigger in triggers if trigger.match.points_to == RESOLVED),
        default=(-1, 0),
    )
    triggers = [trigger for trigger in triggers if _is_current(trigger, resolved_at, rules)]
    scores: dict[str, float] = defaultdict(float)
    for trigger in triggers:
        scores[trigger.match.points_to] += trigger.weight
    parts = _classified_parts(latest, resolved_at, rules, model)
    evidence = _evidence(parts, model)
    logits = [
        bias + sum(adds[place] for _, adds in evidence) + model.rule_weight * min(1.0, scores.get(name, 0.0))
        for place, (name, bias) in enumerate(zip(model.categories, model.bias, strict=True))
    ]
    chances = dict(zip(model.categories, probabilities(logits), strict=True)) if evidence else {}
    return _Findings(
        triggers, _strongest(evidence, chances), scores, chances, denied, _knows_enough(parts, model)
    )


def _is_current(trigger: _Trigger, resolved_at: tuple[int, int], rules: Rules) -> bool:
    """Returns false for a trigger before "it works now"; security is never resolved that way."""
    target = trigger.match.points_to
    if target == rules.always_escalate:
        return True
    return (
        target != RESOLVED
        and trigger.weight >= MIN_RECENCY
        and (trigger.message, trigger.match.start) > resolved_at
    )


def _classified_parts(
    latest: Sequence[tuple[int, str]], resolved_at: tuple[int, int], rules: Rules, model: Model
) -> list[_Part]:
    """Returns what the classifier reads: the latest messages since "it works now", without small talk."""
    parts = [
        _Part(index, begin, text, RECENCY_DECAY**age, _content_words(text[begin:], rules))
        for age, (index, text) in enumerate(latest[:MAX_CLASSIFIED_MESSAGES])
        if index >= resolved_at[0]
        for begin in [resolved_at[1] if index == resolved_at[0] else 0]
    ]
    return [
        part for part in parts if any(feature_index(model, word) is not None for word in part.content_words)
    ]


def _content_words(text: str, rules: Rules) -> set[str]:
    words = {token.text for token in tokenize(text[:MAX_CLASSIFIED_CHARS]) if not is_punctuation(token.text)}
    return words - rules.stop_words


def _knows_enough(parts: Sequence[_Part], model: Model) -> bool:
    words = {word for part in parts for word in part.content_words}
    known = sum(feature_index(model, word) is not None for word in words)
    return known >= MIN_KNOWN_WORDS and 2 * (len(words) - known) <= known


def _evidence(parts: Sequence[_Part], model: Model) -> list[tuple[Reason, list[float]]]:
    """Returns the known features of the parts, and what each adds to each category."""
    evidence = []
    for index, begin, text, weight, _ in parts:
        for feature in featurize(model, text[begin:]):
            words = text[begin + feature.start : begin + feature.end]
            evidence.append((Reason(index, words, ""), [weight * value for value in feature.adds]))
    return evidence


def _strongest(evidence: Sequence[tuple[Reason, list[float]]], chances: dict[str, float]) -> list[Reason]:
    """Returns the words with the greatest weight for the likeliest category."""
    if not chances:
        return []
    place, category = max(enumerate(chances), key=lambda entry: chances[entry[1]])
    best = sorted(
        (entry for entry in evidence if entry[1][place] > 0),
        key=lambda entry: (-entry[1][place], entry[0].message),
    )
    return [reason._replace(points_to=category) for reason, _ in best[:MAX_CLASSIFIER_REASONS]]


def _category(findings: _Findings, rules: Rules, model: Model) -> tuple[str | None, float]:
    """Decides by security's triggers, then triggers that the model does not know, then the classifier."""
    likeliest = max(findings.chances, key=lambda name: findings.chances[name], default=None)
    chance = findings.chances[likeliest] if likeliest else 0.0
    always = rules.always_escalate
    if always in findings.scores:
        return always, max(model.security_precision, findings.chances.get(always, 0.0))
    by_rules = [name for name in findings.scores if name in rules.categories]
    foremost = max(by_rules, key=lambda name: findings.scores[name], default=None)
    triggers = [trigger.words for trigger in findings.triggers if trigger.match.points_to == foremost]
    if foremost and (not likeliest or any(_is_unknown(words, model) for words in triggers)):
        return foremost, max(RULE_ONLY_CONFIDENCE, findings.chances.get(foremost, 0.0))
    return (likeliest, chance) if chance >= model.abstain else (None, chance)


def _is_unknown(words: str, model: Model) -> bool:
    """Returns true for a trigger whose first or last word has no feature: the classifier cannot judge it."""
    tokens = [token.text for token in tokenize(words) if not is_punctuation(token.text)]
    return any(feature_index(model, word) is None for word in (tokens[0], tokens[-1]))


def _escalates_alone(findings: _Findings, category: str | None, confidence: float, rules: Rules) -> bool:
    """Returns true if the classifier is sure of a category that no negation denies."""
    target = rules.targets.get(category or "")
    return (
        findings.is_known
        and target is not None
        and category not in findings.denied
        and confidence >= target.escalate_at
    )


def _reasons(findings: _Findings, category: str | None) -> tuple[Reason, ...]:
    """Returns the triggers, those of the category first, then the classifier's words."""
    triggers = [
        Reason(trigger.message, trigger.words, trigger.match.points_to)
        for trigger in sorted(
            findings.triggers, key=lambda trigger: (trigger.match.points_to != category, -trigger.weight)
        )
    ]
    words = findings.classifier_reasons
    words = words if words and words[0].points_to == category else []
    return (*triggers[:MAX_REASONS], *(reason for reason in words if reason not in triggers))


def _priority(rules: Rules, category: str | None, scores: dict[str, float]) -> str:
    """Returns the highest priority of the category and the triggers."""
    priorities = [rules.targets[name].priority for name in (category, *scores) if name in rules.targets]
    return max(priorities, key=PRIORITIES.index, default=NORMAL_PRIORITY)


def _subject(rules: Rules, category: str | None, reasons: Sequence[Reason]) -> str:
    """Returns a subject like "Account security issue - hacked"."""
    if not reasons:
        return "Support request"
    target = rules.targets.get(category or reasons[0].points_to)
    words = " ".join(reasons[0].words.split())
    return f"{target.subject if target else 'Support request'} - {words}"[:MAX_SUGGESTED_SUBJECT]
