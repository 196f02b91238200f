"""Measures by stratified five-fold: shared.triage decides each fold with a model trained on the others."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import f1_score, precision_recall_fscore_support
from sklearn.model_selection import StratifiedKFold

from shared.triage.classifier import Model, unpack
from shared.triage.rules import load_rules
from shared.triage.verdict import Message, Verdict, decide
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


def cross_validate(rows: Sequence[Example]) -> list[Verdict]:
    """Returns a verdict for every row, by a model that was not trained on it."""
    labels = [row.category for row in rows]
    verdicts: dict[int, Verdict] = {}
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=SEED).split(labels, labels):
        model = unpack(learn([rows[i] for i in train]))
        verdicts |= dict(zip(test, decide_all(model, [rows[i] for i in test]), strict=True))
    return [verdicts[i] for i in range(len(rows))]


def decide_all(model: Model, rows: Sequence[Example]) -> list[Verdict]:
    """Returns the verdict of a model on every row."""
    return [decide([Message("customer", row.text)], load_rules(), model) for row in rows]


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


def measure(rows: Sequence[Example], verdicts: Sequence[Verdict]) -> Figures:
    """Adds calibration error and share of escalations by category to the figures."""
    right = [verdict.category == row.category for row, verdict in zip(rows, verdicts, strict=True)]
    return figures(rows, [verdict.category or "" for verdict in verdicts]) | {
        "ece": calibration_error([verdict.confidence for verdict in verdicts], right),
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
