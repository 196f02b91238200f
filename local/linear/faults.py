"""Injects faults: rules by which calls and webhooks fail, seeded randomness, and counters."""

import random
from collections import Counter
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from local.linear.records import Row


class Rule(BaseModel):
    """Describes one fault.

    Faults of calls:
    - `delay`: responds `seconds` late
    - `drop`: closes the connection without a response
    - `server_error`: responds with `status`, as an `html` page on request
    - `ratelimited`: responds RATELIMITED with a reset in `seconds`, for the limit `scope`
    - `auth`, `forbidden`, `feature_not_accessible`, `usage_limit`, `lock_timeout`, `internal`:
      respond with that error of Linear's
    - `malformed`: responds with truncated JSON
    - `error_status`: gives errors that occur anyway this HTTP `status`

    With `committed` the call takes effect, and only its response is lost.

    Faults of webhooks: `webhook_lost`, `webhook_duplicated`,
    and `webhook_delayed` by `seconds`, so that later ones arrive first.
    """

    model_config = ConfigDict(extra="forbid")

    kind: Literal[
        "delay",
        "drop",
        "server_error",
        "ratelimited",
        "auth",
        "forbidden",
        "feature_not_accessible",
        "usage_limit",
        "lock_timeout",
        "internal",
        "malformed",
        "error_status",
        "webhook_lost",
        "webhook_duplicated",
        "webhook_delayed",
    ]
    probability: Annotated[float, Field(ge=0, le=1)] = 1
    # Restricts the rule to a root field, like issueCreate, or to a webhook's type, like Issue.
    operation: str | None = None
    # Restricts how often the rule applies.
    times: int | None = None
    committed: bool = False
    seconds: Annotated[float, Field(ge=0, le=86_400)] = 1
    status: Annotated[int, Field(ge=200, le=599)] = 503
    html: bool = False
    scope: Literal["requests", "complexity", "endpoint"] = "requests"


class Plan(BaseModel):
    """Configures the fake's faults and limits."""

    model_config = ConfigDict(extra="forbid")

    rules: list[Rule] = []
    # The same seed gives the same faults for the same sequence of calls.
    seed: int | None = None
    # None: the stack's setting.
    requests_per_hour: Annotated[int, Field(ge=1)] | None = None
    # The seconds of a minute between a webhook's attempts; None: the stack's setting.
    minute: Annotated[float, Field(gt=0)] | None = None


class Faults:
    """Applies a plan."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.injected: Counter[str] = Counter()
        self.webhooks: Counter[str] = Counter()
        self.apply(Plan())

    def apply(self, plan: Plan) -> None:
        """Replaces the plan and resets the counters."""
        self.plan = plan
        self._random = random.Random(plan.seed)
        self._times_left = [rule.times for rule in plan.rules]
        for counter in (self.calls, self.injected, self.webhooks):
            counter.clear()

    def for_call(self, operations: list[str]) -> Rule | None:
        """Counts a call and returns its fault."""
        self.calls.update(operations)
        return self._draw(operations, webhook=False)

    def for_webhook(self, kind: str) -> Rule | None:
        """Returns a webhook's fault."""
        return self._draw([kind], webhook=True)

    def report(self) -> Row:
        """Returns the plan and the counters."""
        return {
            "plan": self.plan.model_dump(),
            "calls": self.calls,
            "injected": self.injected,
            "webhooks": self.webhooks,
        }

    def _draw(self, names: list[str], *, webhook: bool) -> Rule | None:
        for index, rule in enumerate(self.plan.rules):
            left = self._times_left[index]
            if rule.kind.startswith("webhook_") != webhook or left == 0:
                continue
            if rule.operation is not None and rule.operation not in names:
                continue
            if self._random.random() < rule.probability:
                self._times_left[index] = None if left is None else left - 1
                self.injected[rule.kind] += 1
                return rule
        return None
