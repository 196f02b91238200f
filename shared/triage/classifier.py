"""Classifies a text with a linear model over words, their characters, and pairs of neighbours.

Features are hashed into the rows of a table. A text is the sum of its rows over the square root of their number; a matrix turns
that into intents, and the chances of intents add up to those of categories. `make train` writes the model, triage.model.

The file: a line of JSON (see Model), then the CRC-32 of every known word (uint32, ascending), then the table (int8, `buckets` rows
of `width`), then the matrix (float32, a row of `width` for each intent). Numbers are little-endian.
"""

import json
import math
import sys
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cache
from operator import add, mul
from pathlib import Path
from typing import Any, NamedTuple

from shared.triage.tokens import is_punctuation, tokenize

FILE = Path(__file__).with_name("triage.model")
# Bounds the work; the subject stands at the beginning.
MAX_CLASSIFIED_CHARS = 1_000
MAX_WORD_CHARS = 24
SPELLING_LENGTHS = (2, 3, 4, 5)


class Model(NamedTuple):
    categories: tuple[str, ...]
    intents: Sequence[int]  # the category of each
    bias: Sequence[float]  # per intent
    width: int
    abstain: float  # below this confidence there is no category
    security_precision: float  # precision of the triggers of security
    figures: dict[str, Any]  # its measurements
    words: "array[int]"
    table: "array[int]"
    matrix: Sequence[Sequence[float]]  # per intent


class Feature(NamedTuple):
    """Holds the place of a word and its part of the text's vector."""

    start: int
    end: int
    vector: list[float]


@cache
def load_model() -> Model:
    """Reads the shipped model, once."""
    return unpack(FILE.read_bytes())


def unpack(file: bytes) -> Model:
    """Parses the file of a model."""
    line, _, rest = file.partition(b"\n")
    header = json.loads(line)
    count, size = 4 * header.pop("words"), header.pop("buckets") * header["width"]
    words, table, numbers = array("I"), array("b"), array("f")
    words.frombytes(rest[:count])
    table.frombytes(rest[count : count + size])
    numbers.frombytes(rest[count + size :])
    if sys.byteorder == "big":
        words.byteswap()
        numbers.byteswap()
    width = header["width"]
    matrix = [list(numbers[at : at + width]) for at in range(0, len(numbers), width)]
    header["categories"] = tuple(header["categories"])
    return Model(**header, words=words, table=table, matrix=matrix)


def features_of(text: str) -> Iterator[tuple[int, int, list[str]]]:
    """Yields (start, end, features) of each word: itself, its spelling, and the pair with the word before.

    The ends of the text count as empty words.
    """
    words = [token for token in tokenize(text[:MAX_CLASSIFIED_CHARS]) if not is_punctuation(token.text)]
    before = ""
    for place, token in enumerate(words):
        pairs = [f"{before} {token.text}"]
        if place == len(words) - 1:
            pairs.append(f"{token.text} ")
        yield token.start, token.end, [token.text, *_spelling(token.text), *pairs]
        before = token.text


def _spelling(word: str) -> list[str]:
    """Returns the character n-grams of a word between its edges."""
    edged = f"<{word[:MAX_WORD_CHARS]}>"
    return [
        "#" + edged[at : at + length]
        for length in SPELLING_LENGTHS
        if length < len(edged)
        for at in range(len(edged) - length + 1)
    ]


def feature_hash(feature: str) -> int:
    return zlib.crc32(feature.encode("utf-8", "surrogatepass"))


def is_known(model: Model, word: str) -> bool:
    """Returns true for a word of the training rows."""
    key = feature_hash(word)
    place = bisect_left(model.words, key)
    return place < len(model.words) and model.words[place] == key


def featurize(model: Model, text: str) -> list[Feature]:
    """Returns the words of a text with their parts of its vector.

    Returns none if the model knows less than half of the words: another language, or another subject.
    """
    words = list(features_of(text))
    distinct = {features[0] for _, _, features in words}
    if 2 * sum(is_known(model, word) for word in distinct) < len(distinct):
        return []
    length = math.sqrt(sum(len(features) for _, _, features in words)) or 1.0
    width, table = model.width, model.table
    buckets = len(table) // width
    parts = []
    for start, end, features in words:
        places = [feature_hash(feature) % buckets * width for feature in features]
        rows = [table[place : place + width] for place in places]
        parts.append(Feature(start, end, [total / length for total in map(sum, zip(*rows, strict=True))]))
    return parts


def chances_of(model: Model, vector: Sequence[float]) -> tuple[list[float], list[float]]:
    """Returns the chances of categories, and of intents."""
    logits = [bias + sum(map(mul, vector, row)) for bias, row in zip(model.bias, model.matrix, strict=True)]
    intents = probabilities(logits)
    categories = [0.0] * len(model.categories)
    for category, chance in zip(model.intents, intents, strict=True):
        categories[category] += chance
    return categories, intents


def direction_of(model: Model, category: int, intents: Sequence[float]) -> list[float]:
    """Returns the direction that raises a category's chance most: its likely intents against the others."""
    own = sum(chance for name, chance in zip(model.intents, intents, strict=True) if name == category)
    direction = [0.0] * model.width
    for name, chance, row in zip(model.intents, intents, model.matrix, strict=True):
        factor = chance / max(own, 1e-9) if name == category else -chance / max(1 - own, 1e-9)
        direction = list(map(add, direction, [factor * value for value in row]))
    return direction


def probabilities(logits: Sequence[float]) -> list[float]:
    """Returns the softmax of logits."""
    highest = max(logits)
    exponentials = [math.exp(logit - highest) for logit in logits]
    total = sum(exponentials)
    return [value / total for value in exponentials]
