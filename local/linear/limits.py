"""How much a key may ask for: Linear's budgets of requests and of complexity, and the headers that tell what is left.

Linear's buckets leak evenly; these are emptied once an hour, which is stricter at the end of a burst.
"""

import time
from dataclasses import dataclass

from local.linear.refusals import Refusal, rate_limited

HOUR = 3600
REQUESTS = 2_500
COMPLEXITY = 3_000_000
LARGEST_QUERY = 10_000


@dataclass
class Budget:
    """What is left of one hour."""

    limit: int
    used: int = 0
    ends: float = 0.0

    def spend(self, points: int) -> bool:
        """Take this much, if it is there."""
        if time.time() >= self.ends:
            self.used, self.ends = 0, time.time() + HOUR
        self.used += points
        return self.used <= self.limit

    def headers(self, name: str) -> dict[str, str]:
        """The three headers; a point in time is in milliseconds."""
        remaining = max(self.limit - self.used, 0)
        return told(name, self.limit, remaining, self.ends)


class Limits:
    """The budgets of every key."""

    def __init__(self, requests: int = REQUESTS) -> None:
        self._requests = requests
        self._budgets: dict[str, tuple[Budget, Budget]] = {}

    def spend(
        self, key: str, points: int, requests: int | None = None
    ) -> tuple[dict[str, str], Refusal | None]:
        """Headers for the answer, and the refusal if nothing is left; `requests` is another limit for now."""
        calls, complexity = self._budgets.setdefault(key, (Budget(self._requests), Budget(COMPLEXITY)))
        calls.limit = requests or self._requests
        within = [calls.spend(1), complexity.spend(points)]
        headers = {
            "X-Complexity": str(points),
            **calls.headers("X-RateLimit-Requests"),
            **complexity.headers("X-RateLimit-Complexity"),
        }
        if points > LARGEST_QUERY:
            message = f"Query is too complex: {points} points of {LARGEST_QUERY}."
            return headers, Refusal("Query too complex", message)
        return headers, None if all(within) else rate_limited(calls.limit)

    def forget(self) -> None:
        """As if nobody had asked for anything."""
        self._budgets.clear()


def told(name: str, limit: int, remaining: int, ends: float) -> dict[str, str]:
    """What of a budget is left and until when it counts."""
    values = {"Limit": limit, "Remaining": remaining, "Reset": int(ends * 1000)}
    return {f"{name}-{what}": str(value) for what, value in values.items()}
