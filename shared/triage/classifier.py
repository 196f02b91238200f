"""Classifies a text with a linear model over words and pairs of neighbours.

`make train` writes the model, triage.model.

The file: a line of JSON (see Model), then for each of n features, little-endian, its key (uint32, the CRC-32 of its text,
ascending), then for each its idf (uint8, in steps of IDF_STEP), then for each its weights (int8 per category, in steps of the
category's `scales`).
"""

import json
import math
import sys
import zlib
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from shared.triage.tokens import Token, is_punctuation, tokenize

FILE = Path(__file__).with_name("triage.model")
IDF_STEP = 1 / 16
# Bounds the work; the subject stands at the beginning.
MAX_CLASSIFIED_CHARS = 1_000


class Model(NamedTuple):
    categories: tuple[str, ...]
    bias: Sequence[float]  # per category, as the weights after calibration
    scales: Sequence[float]  # per category
    unknown_idf: float  # idf of a word without a feature, which counts in the length
    rule_weight: float  # what a trigger adds to its category
    abstain: float  # below this confidence there is no category
    security_precision: float  # precision of the triggers of security
    figures: dict[str, Any]  # its measurements
    keys: "array[int]"
    idf: bytes
    weights: "array[int]"


class Feature(NamedTuple):
    """Holds the place of a known feature and what it adds to each category."""

    start: int
    end: int
    adds: list[float]


@cache
def load_model() -> Model:
    """Reads the shipped model, once."""
    return unpack(FILE.read_bytes())


def unpack(file: bytes) -> Model:
    """Parses the file of a model."""
    line, _, rest = file.partition(b"\n")
    header = json.loads(line)
    count = header.pop("features")
    keys, weights = array("I"), array("b")
    keys.frombytes(rest[: 4 * count])
    if sys.byteorder == "big":
        keys.byteswap()
    weights.frombytes(rest[5 * count :])
    header["categories"] = tuple(header["categories"])
    return Model(**header, keys=keys, idf=rest[4 * count : 5 * count], weights=weights)


def features_of(text: str) -> Iterator[tuple[str, int, int]]:
    """Yields words and pairs of neighbours, the text's ends as empty words: (feature, start, end)."""
    words = [word for word in tokenize(text[:MAX_CLASSIFIED_CHARS]) if not is_punctuation(word.text)]
    yield from words
    edge = Token("", 0, 0)
    for left, right in zip([edge, *words], [*words, edge], strict=True):
        yield f"{left.text} {right.text}", left.start if left.text else right.start, right.end or left.end


def feature_hash(feature: str) -> int:
    return zlib.crc32(feature.encode("utf-8", "surrogatepass"))


def feature_index(model: Model, feature: str) -> int | None:
    """Returns the row of a feature, or None if the model has none."""
    key = feature_hash(feature)
    row = bisect_left(model.keys, key)
    return row if row < len(model.keys) and model.keys[row] == key else None


def featurize(model: Model, text: str) -> list[Feature]:
    """Returns the known features of a text, scaled to unit length: sublinear counts times idf.

    Returns none if the model knows less than half of the words: another language, or another subject.
    """
    features = list(features_of(text))
    counts = Counter(feature for feature, _, _ in features)
    places = {feature: (start, end) for feature, start, end in reversed(features)}
    squares, rows, known_words = 0.0, [], 0
    for feature, count in counts.items():
        row = feature_index(model, feature)
        if row is not None:
            known_words += 1 if " " not in feature else 0
            value = (1 + math.log(count)) * model.idf[row] * IDF_STEP
            rows.append((row, value, places[feature]))
        else:
            # Unknown words lengthen the vector, and so weaken the known ones. Most pairs are unknown: not counted.
            value = 0 if " " in feature else (1 + math.log(count)) * model.unknown_idf
        squares += value * value
    if known_words * 2 < sum(" " not in feature for feature in counts):
        return []
    width = len(model.categories)
    length = math.sqrt(squares) or 1.0
    return [
        Feature(
            start,
            end,
            [
                weight * scale * value / length
                for weight, scale in zip(
                    model.weights[row * width : (row + 1) * width], model.scales, strict=True
                )
            ],
        )
        for row, value, (start, end) in rows
    ]


def probabilities(logits: Sequence[float]) -> list[float]:
    """Returns the softmax of logits."""
    highest = max(logits)
    exponentials = [math.exp(logit - highest) for logit in logits]
    total = sum(exponentials)
    return [value / total for value in exponentials]
