"""Measures the sides of a comparison in turns, so that a noisy minute affects all of them."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import TypeVar

from local.stack import Say

T = TypeVar("T")


def interleave(count: int, sides: Mapping[str, Callable[[], T]], say: Say) -> list[dict[str, T]]:
    """Runs `count` rounds of every side; each round starts with another side."""
    names = list(sides)
    rounds = []
    for number in range(count):
        first = number % len(names)
        say(f"round {number + 1} of {count}: {', '.join(names)}")
        rounds.append({name: sides[name]() for name in names[first:] + names[:first]})
    return rounds


def ratios(above: Sequence[float], below: Sequence[float]) -> tuple[float, tuple[float, ...]]:
    """Returns the median ratio and all ratios. Only figures of the same round are divided."""
    values = tuple(a / b for a, b in zip(above, below, strict=True))
    return median(values), values
