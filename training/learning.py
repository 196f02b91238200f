"""Trains a model and packs it into a file."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.sparse import csr_matrix, diags
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from shared.triage.classifier import IDF_STEP, feature_hash, features_of
from shared.triage.rules import load_rules, matches
from training.rows import Example

SEED = 0
INNER_FOLDS = 3
# Inverse regularisation; the best of 10, 30 and 100 on plain five-fold of BANKING77.
INVERSE_REGULARIZATION = 30.0
# Compared on the inner folds.
RULE_WEIGHTS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
# The features with the greatest weights are kept; 11 bytes each for six categories.
MAX_FEATURES = 20_000
# Only a third of the guesses below this were right.
ABSTAIN = 0.4

Array = Any


class LinearModel(NamedTuple):
    """Holds a linear model in floats; `keys` ascend."""

    categories: list[str]
    keys: Array  # (features,)
    idf: Array  # (features,) in steps
    unknown_idf: float
    weights: Array  # (features, categories)
    bias: Array  # (categories,)


class Calibration(NamedTuple):
    """Holds the factors that turn logits into confidence."""

    temperature: float
    rule_weight: float
    security_precision: float


def learn(rows: Sequence[Example]) -> bytes:
    """Trains a model on all rows; returns its file without figures. Inner folds decide every parameter."""
    texts, labels = [row.text for row in rows], np.array([row.category for row in rows])
    calibration = calibrate(texts, labels)
    return pack(fit(texts, labels), calibration)


def calibrate(texts: Sequence[str], labels: Array) -> Calibration:
    """Finds the temperature and rule weight with the least log loss on inner folds."""
    unseen, names = _held_out(texts, labels), np.unique(labels)
    triggers = _triggers(texts, list(names))

    indices = np.searchsorted(names, labels)

    def loss(temperature: float, rule_weight: float) -> float:
        return _log_loss(unseen * temperature + triggers * rule_weight, indices)

    candidates = [
        (minimize_scalar(loss, bounds=(0.1, 3), args=(weight,), method="bounded"), weight)
        for weight in RULE_WEIGHTS
    ]
    best, rule_weight = min(candidates, key=lambda pair: (round(pair[0].fun, 6), pair[1]))
    return Calibration(
        round(float(best.x), 3), rule_weight, _security_precision(triggers, labels, list(names))
    )


def fit(texts: Sequence[str], labels: Array) -> LinearModel:
    """Fits a logistic regression over the features of texts, and keeps the strongest features."""
    vectorizer = CountVectorizer(analyzer=_keys)
    counts = vectorizer.fit_transform(texts)
    document_counts = np.bincount(counts.indices, minlength=counts.shape[1])
    steps = np.rint((np.log((1 + len(texts)) / (1 + document_counts)) + 1) / IDF_STEP).clip(1, 255)
    regression = LogisticRegression(C=INVERSE_REGULARIZATION, class_weight="balanced", max_iter=300)
    regression.fit(_unit(counts, steps, 0), labels)
    weights, bias = regression.coef_.T, regression.intercept_
    if weights.shape[1] == 1:
        weights, bias = np.hstack([-weights, weights]), np.array([-bias[0], bias[0]])
    keys = np.array(sorted(vectorizer.vocabulary_))
    kept = np.sort(np.argsort(-(np.abs(weights).max(1) * steps), kind="stable")[:MAX_FEATURES])
    return LinearModel(
        [str(name) for name in regression.classes_],
        keys[kept],
        steps[kept].astype(np.uint8),
        float(steps.max()) * IDF_STEP,
        weights[kept],
        bias,
    )


def logits(model: LinearModel, texts: Sequence[str]) -> Array:
    """Computes the sums of shared.triage.classifier for many texts at once, (texts, categories)."""
    rows = {int(key): row for row, key in enumerate(model.keys)}
    known = CountVectorizer(analyzer=_keys, vocabulary=rows).transform(texts)
    words = CountVectorizer(analyzer=_words).fit(texts)
    unknown = [column for word, column in words.vocabulary_.items() if feature_hash(word) not in rows]
    counts = words.transform(texts)[:, unknown].tocsr().astype(float)
    counts.data = ((1 + np.log(counts.data)) * model.unknown_idf) ** 2
    return _unit(known, model.idf, np.asarray(counts.sum(1)).ravel()) @ model.weights + model.bias


def pack(model: LinearModel, calibration: Calibration) -> bytes:
    """Packs a calibrated model with 8-bit weights, in the format of shared.triage.classifier."""
    weights = model.weights * calibration.temperature
    scales = np.abs(weights).max(0).clip(1e-9) / 127
    header = {
        "abstain": ABSTAIN,
        "bias": [round(float(value), 5) for value in model.bias * calibration.temperature],
        "categories": model.categories,
        "features": len(model.keys),
        "figures": {},
        "rule_weight": calibration.rule_weight,
        "security_precision": calibration.security_precision,
        "scales": [round(float(scale), 7) for scale in scales],
        "unknown_idf": model.unknown_idf,
    }
    return b"".join(
        [
            json.dumps(header).encode() + b"\n",
            model.keys.astype("<u4").tobytes(),
            model.idf.tobytes(),
            np.rint(weights / scales).astype(np.int8).tobytes(),
        ]
    )


def _held_out(texts: Sequence[str], labels: Array) -> Array:
    values = np.zeros((len(texts), len(np.unique(labels))))
    folds = StratifiedKFold(INNER_FOLDS, shuffle=True, random_state=SEED)
    for train, test in folds.split(texts, labels):
        model = fit([texts[i] for i in train], labels[train])
        values[test] = logits(model, [texts[i] for i in test])
    return values


def _keys(text: str) -> list[int]:
    return [feature_hash(feature) for feature, _, _ in features_of(text)]


def _security_precision(triggers: Array, labels: Array, names: list[str]) -> float:
    """Returns the precision of the security rules, smoothed."""
    always = load_rules().always_escalate
    if always not in names:
        return 0.5
    right = labels[triggers[:, names.index(always)] > 0] == always
    return round((int(right.sum()) + 1) / (len(right) + 2), 3)


def _words(text: str) -> list[str]:
    return [feature for feature, _, _ in features_of(text) if " " not in feature]


def _triggers(texts: Sequence[str], names: list[str]) -> Array:
    """Returns (texts, categories), 1 where a trigger points to the category."""
    hits = np.zeros((len(texts), len(names)))
    for row, text in enumerate(texts):
        for name in {match.points_to for match in matches(text) if not match.is_denied} & set(names):
            hits[row, names.index(name)] = 1
    return hits


def _unit(counts: csr_matrix, steps: Array, unknown_squares: Any) -> csr_matrix:
    """Scales rows to length 1: sublinear counts times idf. Unknown words count in the length."""
    values = counts.astype(float)
    values.data = 1 + np.log(values.data)
    values = values @ diags(steps.astype(float) * IDF_STEP)
    lengths = np.sqrt(np.asarray(values.multiply(values).sum(1)).ravel() + unknown_squares)
    return diags(1 / np.where(lengths == 0, 1, lengths)) @ values


def _log_loss(values: Array, indices: Array) -> float:
    """Returns the mean log loss of logits. scikit-learn's function is slower, because it checks its input."""
    lowered = values - values.max(1, keepdims=True)
    return float(np.mean(np.log(np.exp(lowered).sum(1)) - lowered[np.arange(len(indices)), indices]))
