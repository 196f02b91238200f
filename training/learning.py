"""From rows to the bytes of a model."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.sparse import csr_matrix, diags
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from shared.triage.classifier import IDF_STEP, features_of, key_of
from shared.triage.rules import matches, rules
from training.rows import Row

SEED = 0
INNER_FOLDS = 3
# How little the weights are held back; of 10, 30 and 100 it did best on plain five-fold of BANKING77.
STRENGTH = 30.0
# Tried on the inner folds of whatever is learned from.
RULE_WEIGHTS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
# The features with the greatest weights stay; 11 bytes each for six categories.
MOST_FEATURES = 20_000
# Guesses below this were right in one of three: they are no category.
ABSTAIN = 0.4

Array = Any


class Linear(NamedTuple):
    """A linear model in floats; `keys` ascend."""

    categories: list[str]
    keys: Array  # (features,)
    idf: Array  # (features,) in steps
    unknown_idf: float
    weights: Array  # (features, categories)
    bias: Array  # (categories,)


class Calibration(NamedTuple):
    temperature: float
    rule_weight: float
    trust: float


def learn(rows: Sequence[Row]) -> bytes:
    """A model's file, without figures; everything that is chosen is chosen on folds inside these rows."""
    texts, labels = [row.text for row in rows], np.array([row.category for row in rows])
    calibration = calibrate(texts, labels)
    return pack(fit(texts, labels), calibration)


def calibrate(texts: Sequence[str], labels: Array) -> Calibration:
    """The temperature and weight of the rules with the least log loss on inner folds."""
    unseen, names = _held_out(texts, labels), np.unique(labels)
    triggers = _triggers(texts, list(names))

    places = np.searchsorted(names, labels)

    def loss(temperature: float, rule_weight: float) -> float:
        return _log_loss(unseen * temperature + triggers * rule_weight, places)

    found = [
        (minimize_scalar(loss, bounds=(0.1, 3), args=(weight,), method="bounded"), weight)
        for weight in RULE_WEIGHTS
    ]
    best, rule_weight = min(found, key=lambda each: (round(each[0].fun, 6), each[1]))
    return Calibration(round(float(best.x), 3), rule_weight, _trust(triggers, labels, list(names)))


def fit(texts: Sequence[str], labels: Array) -> Linear:
    vectorizer = CountVectorizer(analyzer=_keys)
    counts = vectorizer.fit_transform(texts)
    in_how_many = np.bincount(counts.indices, minlength=counts.shape[1])
    steps = np.rint((np.log((1 + len(texts)) / (1 + in_how_many)) + 1) / IDF_STEP).clip(1, 255)
    learned = LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=300)
    learned.fit(_unit(counts, steps, 0), labels)
    weights, bias = learned.coef_.T, learned.intercept_
    if weights.shape[1] == 1:
        weights, bias = np.hstack([-weights, weights]), np.array([-bias[0], bias[0]])
    keys = np.array(sorted(vectorizer.vocabulary_))
    kept = np.sort(np.argsort(-(np.abs(weights).max(1) * steps), kind="stable")[:MOST_FEATURES])
    return Linear(
        [str(name) for name in learned.classes_],
        keys[kept],
        steps[kept].astype(np.uint8),
        float(steps.max()) * IDF_STEP,
        weights[kept],
        bias,
    )


def logits(model: Linear, texts: Sequence[str]) -> Array:
    """What shared.triage.classifier adds up, for many at once."""
    rows = {int(key): row for row, key in enumerate(model.keys)}
    known = CountVectorizer(analyzer=_keys, vocabulary=rows).transform(texts)
    words = CountVectorizer(analyzer=_words).fit(texts)
    unknown = [column for word, column in words.vocabulary_.items() if key_of(word) not in rows]
    counts = words.transform(texts)[:, unknown].tocsr().astype(float)
    counts.data = ((1 + np.log(counts.data)) * model.unknown_idf) ** 2
    return _unit(known, model.idf, np.asarray(counts.sum(1)).ravel()) @ model.weights + model.bias


def pack(model: Linear, calibration: Calibration) -> bytes:
    weights = model.weights * calibration.temperature
    scales = np.abs(weights).max(0).clip(1e-9) / 127
    header = {
        "abstain": ABSTAIN,
        "bias": [round(float(each), 5) for each in model.bias * calibration.temperature],
        "categories": model.categories,
        "features": len(model.keys),
        "figures": {},
        "rule_weight": calibration.rule_weight,
        "trust": calibration.trust,
        "scales": [round(float(each), 7) for each in scales],
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
    found = np.zeros((len(texts), len(np.unique(labels))))
    folds = StratifiedKFold(INNER_FOLDS, shuffle=True, random_state=SEED)
    for train, test in folds.split(texts, labels):
        model = fit([texts[i] for i in train], labels[train])
        found[test] = logits(model, [texts[i] for i in test])
    return found


def _keys(text: str) -> list[int]:
    return [key_of(feature) for feature, _, _ in features_of(text)]


def _trust(triggers: Array, labels: Array, names: list[str]) -> float:
    """How often the words of security are right."""
    always = rules().always
    if always not in names:
        return 0.5
    right = labels[triggers[:, names.index(always)] > 0] == always
    return round((int(right.sum()) + 1) / (len(right) + 2), 3)


def _words(text: str) -> list[str]:
    return [feature for feature, _, _ in features_of(text) if " " not in feature]


def _triggers(texts: Sequence[str], names: list[str]) -> Array:
    """(texts, categories), 1 where a trigger points to the category."""
    found = np.zeros((len(texts), len(names)))
    for row, text in enumerate(texts):
        for name in {match.points_to for match in matches(text) if not match.is_denied} & set(names):
            found[row, names.index(name)] = 1
    return found


def _unit(counts: csr_matrix, steps: Array, squares_besides: Any) -> csr_matrix:
    """Rows of length 1: sublinear counts times idf, with what is unknown counted in the length."""
    values = counts.astype(float)
    values.data = 1 + np.log(values.data)
    values = values @ diags(steps.astype(float) * IDF_STEP)
    lengths = np.sqrt(np.asarray(values.multiply(values).sum(1)).ravel() + squares_besides)
    return diags(1 / np.where(lengths == 0, 1, lengths)) @ values


def _log_loss(values: Array, places: Array) -> float:
    """The mean over rows of what the logits lose at the right place; scikit-learn's own checks cost most of a small training."""
    lowered = values - values.max(1, keepdims=True)
    return float(np.mean(np.log(np.exp(lowered).sum(1)) - lowered[np.arange(len(places)), places]))
