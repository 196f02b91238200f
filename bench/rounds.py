"""Rounds: the sides of a comparison take turns, so that a noisy minute hits all of them."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import TypeVar

from local.stack import Say

T = TypeVar("T")


def interleaved(count: int, sides: Mapping[str, Callable[[], T]], say: Say) -> list[dict[str, T]]:
    """`count` rounds of every side in turn, each round beginning with another side."""
    names = list(sides)
    rounds = []
    for number in range(count):
        first = number % len(names)
        say(f"round {number + 1} of {count}: {', '.join(names)}")
        rounds.append({name: sides[name]() for name in names[first:] + names[:first]})
    return rounds


def ratios(above: Sequence[float], below: Sequence[float]) -> tuple[float, tuple[float, ...]]:
    """The median of the rounds' ratios, and the ratios: only figures of one round are divided."""
    each = tuple(a / b for a, b in zip(above, below, strict=True))
    return median(each), each
