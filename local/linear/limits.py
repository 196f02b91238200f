"""Enforces Linear's hourly limits of requests and of complexity, and reports them in headers.

Linear's buckets leak evenly; these are refilled once an hour, which is stricter at the end of a burst.
"""

import time
from dataclasses import dataclass

from local.linear.errors import LinearError, rate_limited

HOUR_S = 3600
REQUESTS_PER_HOUR = 2_500
COMPLEXITY_PER_HOUR = 3_000_000
MAX_QUERY_COMPLEXITY = 10_000


@dataclass
class Budget:
    """Counts against a limit until the hour is over."""

    limit: int
    used: int = 0
    reset_at: float = 0.0

    def spend(self, points: int) -> bool:
        """Adds points; returns False beyond the limit."""
        if time.time() >= self.reset_at:
            self.used, self.reset_at = 0, time.time() + HOUR_S
        self.used += points
        return self.used <= self.limit

    def headers(self, name: str) -> dict[str, str]:
        """Returns the budget's headers."""
        return rate_limit_headers(name, self.limit, max(self.limit - self.used, 0), self.reset_at)


class Limits:
    """Holds the budgets of each key."""

    def __init__(self, requests_per_hour: int = REQUESTS_PER_HOUR) -> None:
        self._requests_per_hour = requests_per_hour
        self._budgets: dict[str, tuple[Budget, Budget]] = {}

    def spend(
        self, key: str, points: int, requests_per_hour: int | None = None
    ) -> tuple[dict[str, str], LinearError | None]:
        """Counts a request; returns the response's headers, and an error beyond a limit.

        `requests_per_hour` overrides the limit for this request.
        """
        new = (Budget(self._requests_per_hour), Budget(COMPLEXITY_PER_HOUR))
        requests, complexity = self._budgets.setdefault(key, new)
        requests.limit = requests_per_hour or self._requests_per_hour
        within = [requests.spend(1), complexity.spend(points)]
        headers = {
            "X-Complexity": str(points),
            **requests.headers("Requests"),
            **complexity.headers("Complexity"),
        }
        if points > MAX_QUERY_COMPLEXITY:
            message = f"Query is too complex: {points} points of {MAX_QUERY_COMPLEXITY}."
            return headers, LinearError("Query too complex", message)
        return headers, None if all(within) else rate_limited(requests.limit)

    def reset(self) -> None:
        """Refills every budget."""
        self._budgets.clear()


def rate_limit_headers(name: str, limit: int, remaining: int, reset_at: float) -> dict[str, str]:
    """Returns a limit's three headers; the reset is in milliseconds."""
    values = {"Limit": limit, "Remaining": remaining, "Reset": int(reset_at * 1000)}
    return {f"X-RateLimit-{name}-{part}": str(value) for part, value in values.items()}
