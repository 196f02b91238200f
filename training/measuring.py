"""Measures by stratified five-fold: shared.triage decides each fold with a model trained on the others."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.metrics import f1_score, precision_recall_fscore_support
from sklearn.model_selection import StratifiedKFold

from shared.triage.classifier import Model, unpack
from shared.triage.rules import load_rules
from shared.triage.verdict import Candidate, Message, Verdict, classify, decide
from training.learning import learn
from training.rows import Example

FOLDS = 5
SEED = 0
BINS = 10
SECURITY = "security_concern"
QUESTION = "feature_question"
# The baseline: plain substrings. The first list that matches decides; without a match it is a question.
KEYWORDS = {
    SECURITY: ("unauthorized", "fraud", "hacked", "suspicious", "security concern"),
    "banking_issue": ("transfer failed", "deposit", "withdrawal", "account locked", "balance wrong"),
    "account_access": ("cannot login", "locked out", "forgot password", "account access"),
    "app_error": ("error", "crash", "bug", "failed", "exception", "not working"),
}

Figures = dict[str, Any]


class Decision(NamedTuple):
    """Holds what the classifier says of a row alone, and what triage decides."""

    candidates: tuple[Candidate, ...]
    verdict: Verdict


def cross_validate(rows: Sequence[Example]) -> list[Decision]:
    """Returns a decision for every row, by a model that was not trained on it."""
    labels = [row.category for row in rows]
    decisions: dict[int, Decision] = {}
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=SEED).split(labels, labels):
        model = unpack(learn([rows[i] for i in train]))
        decisions |= dict(zip(test, decide_all(model, [rows[i] for i in test]), strict=True))
    return [decisions[i] for i in range(len(rows))]


def decide_all(model: Model, rows: Sequence[Example]) -> list[Decision]:
    """Returns the decision of a model on every row."""
    return [
        Decision(classify(row.text, model), decide([Message("customer", row.text)], load_rules(), model))
        for row in rows
    ]


def guess_by_keywords(text: str) -> str:
    """Returns the category that plain keyword matching names."""
    lowered = text.lower()
    return next(
        (name for name, words in KEYWORDS.items() if any(word in lowered for word in words)), QUESTION
    )


def figures(rows: Sequence[Example], guesses: Sequence[str]) -> Figures:
    """Returns macro-F1, and by category precision, recall, F1 and number of rows."""
    names = sorted({row.category for row in rows})
    labels = [row.category for row in rows]
    scores = precision_recall_fscore_support(labels, guesses, labels=names, zero_division=0)
    return {
        "macro_f1": round(
            float(f1_score(labels, guesses, labels=names, average="macro", zero_division=0)), 4
        ),
        "categories": {
            name: [
                round(float(scores[0][i]), 3),
                round(float(scores[1][i]), 3),
                round(float(scores[2][i]), 3),
                int(scores[3][i]),
            ]
            for i, name in enumerate(names)
        },
    }


def measure(rows: Sequence[Example], decisions: Sequence[Decision]) -> Figures:
    """Measures the classifier's first candidates, and the categories and escalations of triage."""
    first = [decision.candidates[0] if decision.candidates else Candidate("", 0.0) for decision in decisions]
    right = [candidate.category == row.category for row, candidate in zip(rows, first, strict=True)]
    verdicts = [decision.verdict for decision in decisions]
    named = [(row, verdict) for row, verdict in zip(rows, verdicts, strict=True) if verdict.category]
    return figures(rows, [candidate.category for candidate in first]) | {
        "ece": calibration_error([candidate.confidence for candidate in first], right),
        "named": round(len(named) / len(rows), 3),
        "named_precision": round(
            sum(verdict.category == row.category for row, verdict in named) / max(len(named), 1), 3
        ),
        "escalated": {
            name: round(
                float(
                    np.mean(
                        [v.escalate for row, v in zip(rows, verdicts, strict=True) if row.category == name]
                    )
                ),
                3,
            )
            for name in sorted({row.category for row in rows})
        },
    }


def calibration_error(confidences: Sequence[float], right: Sequence[bool]) -> float:
    """Returns the expected calibration error in ten bins, between confidence and share of right ones."""
    bins = np.minimum((np.array(confidences) * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, np.array(right, float) - np.array(confidences), minlength=BINS)
    return round(float(np.abs(gaps).sum() / len(right)), 4)
