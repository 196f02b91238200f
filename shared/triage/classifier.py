"""A linear model over words and pairs of neighbours, learned by `make train`, in triage.model.

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

from shared.triage.tokens import Word, is_stop, words_of

FILE = Path(__file__).with_name("triage.model")
IDF_STEP = 1 / 16
# The beginning says what it is about, and the work is bounded.
LONGEST_TEXT = 1_000


class Model(NamedTuple):
    categories: tuple[str, ...]
    bias: Sequence[float]  # per category, as the weights after calibration
    scales: Sequence[float]  # per category
    unknown_idf: float  # what a word that it never saw counts in the length
    rule_weight: float  # what a trigger of the rules adds to its category
    abstain: float  # below this confidence there is no category
    trust: float  # how often the words of security are right
    figures: dict[str, Any]  # how it was measured
    keys: "array[int]"
    idf: bytes
    weights: "array[int]"


class Feature(NamedTuple):
    """One that the model knows, with where it stands and what it adds to each category."""

    start: int
    end: int
    adds: list[float]


@cache
def model() -> Model:
    return unpack(FILE.read_bytes())


def unpack(file: bytes) -> Model:
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
    """Words, and pairs of neighbours with the ends of the text as words of their own: (feature, start, end)."""
    words = [word for word in words_of(text[:LONGEST_TEXT]) if not is_stop(word.text)]
    yield from words
    edge = Word("", 0, 0)
    for left, right in zip([edge, *words], [*words, edge], strict=True):
        yield f"{left.text} {right.text}", left.start if left.text else right.start, right.end or left.end


def key_of(feature: str) -> int:
    return zlib.crc32(feature.encode("utf-8", "surrogatepass"))


def row_of(known: Model, feature: str) -> int | None:
    """Its row, or None if it was never seen."""
    key = key_of(feature)
    row = bisect_left(known.keys, key)
    return row if row < len(known.keys) and known.keys[row] == key else None


def read(known: Model, text: str) -> list[Feature]:
    """The features of a text of unit length, as the model was trained: sublinear counts times idf.

    None where most words are strange: another language, or nothing that it learned about.
    """
    found = list(features_of(text))
    counts = Counter(feature for feature, _, _ in found)
    places = {feature: (start, end) for feature, start, end in reversed(found)}
    squares, rows, familiar = 0.0, [], 0
    for feature, count in counts.items():
        row = row_of(known, feature)
        if row is not None:
            familiar += 1 if " " not in feature else 0
            value = (1 + math.log(count)) * known.idf[row] * IDF_STEP
            rows.append((row, value, places[feature]))
        else:
            # The stranger a text is, the less its familiar words say; pairs are strange too often to count.
            value = 0 if " " in feature else (1 + math.log(count)) * known.unknown_idf
        squares += value * value
    if familiar * 2 < sum(" " not in feature for feature in counts):
        return []
    width = len(known.categories)
    length = math.sqrt(squares) or 1.0
    return [
        Feature(
            start,
            end,
            [
                weight * scale * value / length
                for weight, scale in zip(
                    known.weights[row * width : (row + 1) * width], known.scales, strict=True
                )
            ],
        )
        for row, value, (start, end) in rows
    ]


def probabilities(logits: Sequence[float]) -> list[float]:
    highest = max(logits)
    exponentials = [math.exp(logit - highest) for logit in logits]
    total = sum(exponentials)
    return [each / total for each in exponentials]
