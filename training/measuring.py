"""Figures: plain stratified five-fold, each fold judged by shared.triage itself with a model learned from the others."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import f1_score, precision_recall_fscore_support
from sklearn.model_selection import StratifiedKFold

from shared.triage.classifier import Model, unpack
from shared.triage.rules import rules
from shared.triage.verdict import Said, Verdict, judge
from training.learning import learn
from training.rows import Row

FOLDS = 5
SEED = 0
BINS = 10
SECURITY = "security_concern"
QUESTION = "feature_question"
# Plain keyword matching by substrings, to compare with; the first list that matches decides, and what none matches is a question.
KEYWORDS = {
    SECURITY: ("unauthorized", "fraud", "hacked", "suspicious", "security concern"),
    "banking_issue": ("transfer failed", "deposit", "withdrawal", "account locked", "balance wrong"),
    "account_access": ("cannot login", "locked out", "forgot password", "account access"),
    "app_error": ("error", "crash", "bug", "failed", "exception", "not working"),
}

Figures = dict[str, Any]


def held_out(rows: Sequence[Row]) -> list[Verdict]:
    """A verdict for every row, by a model that has not seen it."""
    labels = [row.category for row in rows]
    verdicts: dict[int, Verdict] = {}
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=SEED).split(labels, labels):
        learned = unpack(learn([rows[i] for i in train]))
        verdicts |= dict(zip(test, judged(learned, [rows[i] for i in test]), strict=True))
    return [verdicts[i] for i in range(len(rows))]


def judged(learned: Model, rows: Sequence[Row]) -> list[Verdict]:
    return [judge([Said("customer", row.text)], rules(), learned) for row in rows]


def by_keywords(text: str) -> str:
    said = text.lower()
    return next((name for name, words in KEYWORDS.items() if any(word in said for word in words)), QUESTION)


def figures(rows: Sequence[Row], guesses: Sequence[str]) -> Figures:
    """Macro-F1 over the categories of the rows, and precision, recall, F1 and number of rows of each."""
    names = sorted({row.category for row in rows})
    labels = [row.category for row in rows]
    each = precision_recall_fscore_support(labels, guesses, labels=names, zero_division=0)
    return {
        "macro_f1": round(
            float(f1_score(labels, guesses, labels=names, average="macro", zero_division=0)), 4
        ),
        "categories": {
            name: [
                round(float(each[0][i]), 3),
                round(float(each[1][i]), 3),
                round(float(each[2][i]), 3),
                int(each[3][i]),
            ]
            for i, name in enumerate(names)
        },
    }


def figures_of(rows: Sequence[Row], verdicts: Sequence[Verdict]) -> Figures:
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
    """Expected calibration error in ten bins: how far confidence is from the share that is right."""
    bins = np.minimum((np.array(confidences) * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, np.array(right, float) - np.array(confidences), minlength=BINS)
    return round(float(np.abs(gaps).sum() / len(right)), 4)
