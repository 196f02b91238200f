"""Decides whether a conversation with the assistant needs a person, and names its category.

The triggers decide first. The classifier decides between triggers, or without one if it is sure.
"""

from collections import defaultdict
from collections.abc import Sequence
from operator import mul
from typing import NamedTuple

from shared.choices import PRIORITIES
from shared.triage.classifier import (
    MAX_CLASSIFIED_CHARS,
    Model,
    chances_of,
    direction_of,
    featurize,
    is_known,
    load_model,
)
from shared.triage.languages import UNKNOWN, detect
from shared.triage.rules import (
    DEFAULT_LANGUAGE,
    IGNORE,
    MARKERS,
    RESOLVED,
    Match,
    Rules,
    load_language,
    load_rules,
    scan,
)
from shared.triage.tokens import is_punctuation, normalize, tokenize

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


class Candidate(NamedTuple):
    """Holds a category and the chance, 0 to 1, that it is right."""

    category: str
    confidence: float


class Verdict(NamedTuple):
    """Holds the decision; `category` is None unless sure. `confidence` is that of the first candidate."""

    escalate: bool
    category: str | None
    priority: str
    confidence: float
    candidates: tuple[Candidate, ...]
    language: str | None
    reasons: tuple[Reason, ...]
    suggested_subject: str


class _Trigger(NamedTuple):
    message: int
    match: Match
    weight: float
    words: str


class _Text(NamedTuple):
    """Holds what is read of a message of the customer; the latest has age 0."""

    message: int
    text: str
    age: int
    language: str
    matches: list[Match]


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
    language: str | None
    is_known: bool  # the classifier knows enough words to decide alone


def triage(conversation: Sequence[Message]) -> Verdict:
    """Decides on a conversation by the shipped rules and model; the latest messages count most."""
    return decide(conversation, load_rules(), load_model())


def decide(conversation: Sequence[Message], rules: Rules, model: Model) -> Verdict:
    """Decides on a conversation by the given rules and model."""
    findings = _find(conversation, rules, model)
    category = _category(findings, rules, model)
    candidates = _candidates(findings, category, rules, model)
    reasons = _reasons(findings, category)
    return Verdict(
        escalate=bool(findings.scores)
        or findings.language == UNKNOWN
        or (category is not None and _is_sure(findings, category, rules)),
        category=category,
        priority=_priority(rules, category, findings.scores),
        confidence=candidates[0].confidence if candidates else 0.0,
        candidates=candidates,
        language=findings.language,
        reasons=reasons,
        suggested_subject=_subject(rules, category, reasons),
    )


def classify(text: str, model: Model) -> tuple[Candidate, ...]:
    """Returns the categories of one message in the order of the classifier's confidence, without rules."""
    vectors = [feature.vector for feature in featurize(model, text)]
    if not vectors:
        return ()
    chances, _ = chances_of(model, [sum(column) for column in zip(*vectors, strict=True)])
    ordered = sorted(zip(model.categories, chances, strict=True), key=lambda pair: -pair[1])
    return tuple(Candidate(name, round(chance, 4)) for name, chance in ordered)


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
    texts, language = _texts(conversation)
    triggers = [
        _Trigger(message, match, RECENCY_DECAY**age, text[match.start : match.end])
        for message, text, age, _, matches in texts
        for match in matches
        if not match.is_denied and match.points_to != IGNORE
    ]
    resolved_at = max(
        ((trigger.message, trigger.match.end) for trigger in triggers if trigger.match.points_to == RESOLVED),
        default=(-1, 0),
    )
    triggers = [trigger for trigger in triggers if _is_current(trigger, resolved_at, rules)]
    scores: dict[str, float] = defaultdict(float)
    for trigger in triggers:
        scores[trigger.match.points_to] += trigger.weight
    parts = _classified_parts(texts, resolved_at, model)
    chances, reasons = _classify(parts, model)
    return _Findings(triggers, reasons, scores, chances, language, _knows_enough(parts, model))


def _texts(conversation: Sequence[Message]) -> tuple[list[_Text], str | None]:
    """Returns the customer's messages with their triggers, the latest first, and its language.

    A message of doubtful language is read in that of the one before it.
    """
    latest = _latest(conversation)
    languages: dict[int, str] = {}
    language: str | None = None
    for message, text in reversed(latest):
        language = detect(text) or language
        languages[message] = language or DEFAULT_LANGUAGE
    texts = [
        _Text(message, text, age, code, [] if code == UNKNOWN else scan(text, load_language(code)))
        for age, (message, text) in enumerate(latest)
        for code in [languages[message]]
    ]
    return texts, language


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


def _classified_parts(texts: Sequence[_Text], resolved_at: tuple[int, int], model: Model) -> list[_Part]:
    """Returns what the classifier reads: the latest messages since "it works now", without small talk."""
    parts: list[_Part] = []
    for message, text, _, code, matches in texts[:MAX_CLASSIFIED_MESSAGES]:
        # The classifier was trained on one language.
        if code != DEFAULT_LANGUAGE or message < resolved_at[0]:
            continue
        begin = resolved_at[1] if message == resolved_at[0] else 0
        text = _without(text, [match.clause for match in matches])
        text = _without(text, [(match.start, match.end) for match in matches if match.points_to in MARKERS])
        words = _content_words(text[begin:])
        if any(is_known(model, word) for word in words):
            # Small talk after a message takes no weight from it.
            parts.append(_Part(message, begin, text, RECENCY_DECAY ** len(parts), words))
    return parts


def _without(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """Blanks spans that say nothing of the subject: silenced clauses, calls for a person. Places stay."""
    for start, end in spans:
        if end:
            text = text[:start] + " " * (end - start) + text[end:]
    return text


def _content_words(text: str) -> set[str]:
    words = {token.text for token in tokenize(text[:MAX_CLASSIFIED_CHARS]) if not is_punctuation(token.text)}
    return words - load_language().stop_words


def _knows_enough(parts: Sequence[_Part], model: Model) -> bool:
    words = {word for part in parts for word in part.content_words}
    known = sum(is_known(model, word) for word in words)
    return known >= MIN_KNOWN_WORDS and 2 * (len(words) - known) <= known


def _classify(parts: Sequence[_Part], model: Model) -> tuple[dict[str, float], list[Reason]]:
    """Returns the chances of categories, and the words that raise the likeliest most."""
    words: list[tuple[Reason, list[float]]] = []
    for index, begin, text, weight, content_words in parts:
        for start, end, vector in featurize(model, text[begin:]):
            quote = text[begin + start : begin + end]
            reason = Reason(index, quote if normalize(quote) in content_words else "", "")
            words.append((reason, [weight * value for value in vector]))
    if not words:
        return {}, []
    chances, intents = chances_of(
        model, [sum(column) for column in zip(*(vector for _, vector in words), strict=True)]
    )
    place = max(range(len(chances)), key=chances.__getitem__)
    direction = direction_of(model, place, intents)
    strength = [(sum(map(mul, direction, vector)), reason) for reason, vector in words if reason.words]
    strongest = sorted(strength, key=lambda entry: (-entry[0], entry[1].message))[:MAX_CLASSIFIER_REASONS]
    reasons = [reason._replace(points_to=model.categories[place]) for value, reason in strongest if value > 0]
    return dict(zip(model.categories, chances, strict=True)), list(dict.fromkeys(reasons))


def _category(findings: _Findings, rules: Rules, model: Model) -> str | None:
    """Decides by security's triggers, then the other triggers, then the classifier if it is sure."""
    if rules.always_escalate in findings.scores:
        return rules.always_escalate
    triggered = [name for name in findings.scores if name in rules.categories]
    if triggered:
        # The classifier decides between those about equally frequent.
        least = max(findings.scores[name] for name in triggered) / 2
        close = [name for name in triggered if findings.scores[name] >= least]
        return max(close, key=lambda name: (findings.chances.get(name, 0.0), findings.scores[name]))
    if not findings.chances or not findings.is_known:
        return None
    likeliest = max(findings.chances, key=lambda name: findings.chances[name])
    threshold = rules.targets[likeliest].escalate_at if likeliest in rules.targets else model.abstain
    sure_at = min(threshold, model.abstain)
    return likeliest if findings.chances[likeliest] >= sure_at else None


def _candidates(
    findings: _Findings, category: str | None, rules: Rules, model: Model
) -> tuple[Candidate, ...]:
    """Returns the categories in order: that of the triggers first, then by the classifier's confidence."""
    chances = dict(findings.chances)
    first = category if category in findings.scores else None
    if first:
        measured = model.security_precision if first == rules.always_escalate else RULE_ONLY_CONFIDENCE
        chance = chances.pop(first, 0.0)
        confidence = max(chance, measured)
        # The others share what is left.
        share = (1 - confidence) / (1 - chance) if chance < 1 else 0.0
        chances = {name: value * share for name, value in chances.items()}
        chances[first] = confidence
    ordered = sorted(chances, key=lambda name: (name != first, -chances[name]))
    return tuple(Candidate(name, round(chances[name], 4)) for name in ordered)


def _is_sure(findings: _Findings, category: str, rules: Rules) -> bool:
    """Returns true if the classifier's confidence suffices to escalate without a trigger."""
    target = rules.targets.get(category)
    return target is not None and findings.chances.get(category, 0.0) >= target.escalate_at


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
