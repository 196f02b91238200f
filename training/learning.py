"""Trains a model and packs it into a file."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.sparse import csr_matrix, diags
from sklearn.model_selection import StratifiedKFold

from shared.triage.classifier import feature_hash, features_of
from shared.triage.rules import load_rules, matches
from training.rows import Example

SEED = 0
INNER_FOLDS = 3
# Chosen on plain five-fold of BANKING77. The table takes BUCKETS x WIDTH bytes.
BUCKETS = 10_922
WIDTH = 24
EPOCHS = 40
MIN_STEPS = 300
BATCH = 128
LEARNING_RATE = 0.02
DROPOUT = 0.8
# The share of the loss that asks for the right category, beside the right intent.
CATEGORY_LOSS = 0.6
MOMENTUM, SQUARES = 0.9, 0.99
# A missed security concern costs more than a false one.
SECURITY_ODDS = 2.0
# A word of fewer rows is not known.
MIN_WORD_ROWS = 3
# Below this confidence a category without a trigger is a guess.
ABSTAIN = 0.8

Array = Any


class LinearModel(NamedTuple):
    """Holds a model in floats; a text is a row of feature counts over the square root of their sum."""

    categories: list[str]
    intents: Array  # (intents,) the category of each
    words: Array  # hashes, ascending
    table: Array  # (buckets, width)
    matrix: Array  # (width, intents)
    bias: Array  # (intents,)


class Calibration(NamedTuple):
    """Holds the temperature of the logits and the precision of security's triggers."""

    temperature: float
    security_precision: float


def learn(rows: Sequence[Example]) -> bytes:
    """Trains a model on all rows; returns its file without figures. Inner folds decide the temperature."""
    return pack(fit(rows), calibrate(rows))


def calibrate(rows: Sequence[Example]) -> Calibration:
    """Finds the temperature with the least log loss on inner folds."""
    labels = np.array([row.category for row in rows])
    names = sorted(set(labels))
    truth = np.searchsorted(names, labels)
    folds = []
    for train, test in StratifiedKFold(INNER_FOLDS, shuffle=True, random_state=SEED).split(labels, labels):
        model = fit([rows[i] for i in train])
        folds.append((model, logits(model, [rows[i].text for i in test]), truth[test]))

    def loss(temperature: float) -> float:
        losses = [
            -np.log(chances(model, values * temperature)[np.arange(len(right)), right] + 1e-12)
            for model, values, right in folds
        ]
        return float(np.concatenate(losses).mean())

    best = minimize_scalar(loss, bounds=(0.1, 3), method="bounded")
    return Calibration(round(float(best.x), 3), _security_precision(rows))


def fit(rows: Sequence[Example]) -> LinearModel:
    """Fits table and matrix by Adam, with dropout of features, to intents and categories at once."""
    intents, labels = np.unique([row.intent for row in rows], return_inverse=True)
    category_of = {row.intent: row.category for row in rows}
    categories = sorted(set(category_of.values()))
    groups = np.array([categories.index(category_of[name]) for name in intents])
    counts = _counts([row.text for row in rows])
    # Only buckets with a feature are trained; the others stay zero.
    used = np.unique(counts.indices)
    texts = _scaled(counts)[:, used]
    rng = np.random.default_rng(SEED)
    values = [
        (rng.standard_normal((len(used), WIDTH)) * 0.1).astype(np.float32),
        (rng.standard_normal((WIDTH, len(intents))) / math.sqrt(WIDTH)).astype(np.float32),
        np.zeros(len(intents), np.float32),
    ]
    batches = math.ceil(len(rows) / BATCH)
    epochs = max(EPOCHS, math.ceil(MIN_STEPS / batches))
    means, squares = ([np.zeros_like(value) for value in values] for _ in range(2))
    step = 0
    for _ in range(epochs):
        order = rng.permutation(len(rows))
        for start in range(0, len(rows), BATCH):
            step += 1
            chosen = order[start : start + BATCH]
            gradients = _gradients(values, _dropout(texts[chosen], rng), labels[chosen], groups)
            rate = LEARNING_RATE * (1 - step / (epochs * batches)) + 1e-5
            for value, gradient, mean, square in zip(values, gradients, means, squares, strict=True):
                mean += (1 - MOMENTUM) * (gradient - mean)
                square += (1 - SQUARES) * (gradient * gradient - square)
                root = np.sqrt(square / (1 - SQUARES**step)) + 1e-8
                value -= rate * (mean / (1 - MOMENTUM**step)) / root
    table = np.zeros((BUCKETS, WIDTH), np.float32)
    table[used] = values[0]
    return LinearModel(categories, groups, _words([row.text for row in rows]), table, values[1], values[2])


def logits(model: LinearModel, texts: Sequence[str]) -> Array:
    """Computes the logits of intents for many texts at once, (texts, intents)."""
    return _scaled(_counts(texts)) @ model.table @ model.matrix + model.bias


def chances(model: LinearModel, values: Array) -> Array:
    """Sums the chances of intents into those of categories, (texts, categories)."""
    of_category = model.intents[:, None] == np.arange(len(model.categories))
    return _softmax(values + _security_bias(model)) @ of_category


def pack(model: LinearModel, calibration: Calibration) -> bytes:
    """Packs a calibrated model with an 8-bit table, in the format of shared.triage.classifier."""
    scales = np.abs(model.table).max(0).clip(1e-9) / 127
    bias = model.bias * calibration.temperature + _security_bias(model)
    header = {
        "abstain": ABSTAIN,
        "bias": [round(float(value), 4) for value in bias],
        "buckets": BUCKETS,
        "categories": model.categories,
        "figures": {},
        "intents": [int(value) for value in model.intents],
        "security_precision": calibration.security_precision,
        "width": WIDTH,
        "words": len(model.words),
    }
    # The table's scales go into the matrix.
    matrix = (model.matrix * scales[:, None] * calibration.temperature).T
    return b"".join(
        [
            json.dumps(header).encode() + b"\n",
            model.words.astype("<u4").tobytes(),
            np.rint(model.table / scales).astype(np.int8).tobytes(),
            np.ascontiguousarray(matrix).astype("<f4").tobytes(),
        ]
    )


def _gradients(values: Sequence[Array], texts: csr_matrix, labels: Array, groups: Array) -> list[Array]:
    """Returns the gradients of the log loss of intents and categories."""
    table, matrix, bias = values
    vectors = texts @ table
    chance = _softmax(vectors @ matrix + bias)
    target = np.zeros_like(chance)
    target[np.arange(len(labels)), labels] = 1
    # The right category may be any of its intents, in proportion to their chances.
    within = chance * (groups[labels][:, None] == groups)
    within /= within.sum(1, keepdims=True)
    error = (chance - (1 - CATEGORY_LOSS) * target - CATEGORY_LOSS * within) / len(labels)
    return [texts.T @ (error @ matrix.T), vectors.T @ error, error.sum(0)]


def _dropout(texts: csr_matrix, rng: np.random.Generator) -> csr_matrix:
    texts = texts.copy()
    texts.data *= (rng.random(texts.nnz) > DROPOUT) / np.float32(1 - DROPOUT)
    return texts


def _counts(texts: Sequence[str]) -> csr_matrix:
    """Counts the hashed features of texts, (texts, buckets)."""
    buckets = [
        [feature_hash(feature) % BUCKETS for _, _, features in features_of(text) for feature in features]
        for text in texts
    ]
    ends = np.cumsum([0, *map(len, buckets)])
    places = np.fromiter(chain.from_iterable(buckets), np.int32, ends[-1])
    counts = csr_matrix((np.ones(len(places), np.float32), places, ends), shape=(len(texts), BUCKETS))
    counts.sum_duplicates()
    return counts


def _scaled(counts: csr_matrix) -> csr_matrix:
    lengths = np.sqrt(np.asarray(counts.sum(1)).ravel())
    return (diags(1 / np.where(lengths == 0, 1, lengths)) @ counts).tocsr().astype(np.float32)


def _words(texts: Sequence[str]) -> Array:
    """Returns the hashes of the words of at least MIN_WORD_ROWS texts, ascending."""
    counts = Counter(
        word for text in texts for word in {feature_hash(features[0]) for _, _, features in features_of(text)}
    )
    return np.array(sorted(word for word, count in counts.items() if count >= MIN_WORD_ROWS))


def _softmax(values: Array) -> Array:
    exponentials = np.exp(values - values.max(1, keepdims=True))
    return exponentials / exponentials.sum(1, keepdims=True)


def _security_bias(model: LinearModel) -> Array:
    security = load_rules().always_escalate
    return np.array(
        [math.log(SECURITY_ODDS) * (model.categories[group] == security) for group in model.intents],
        np.float32,
    )


def _security_precision(rows: Sequence[Example]) -> float:
    """Returns the precision of the security rules, smoothed."""
    always = load_rules().always_escalate
    if always not in {row.category for row in rows}:
        return 0.5
    hits = [
        row.category == always
        for row in rows
        if any(match.points_to == always and not match.is_denied for match in matches(row.text))
    ]
    return round((sum(hits) + 1) / (len(hits) + 2), 3)
