"""What goes wrong on demand: rules by which calls and webhooks fail, dice that can be thrown again, and counters."""

import random
from collections import Counter
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Row = dict[str, object]


class Rule(BaseModel):
    """One thing that goes wrong.

    Calls: `delay` answers `seconds` late; `drop` closes the connection without an answer; `server_error` answers `status`,
    as a page of `html` if wanted; `ratelimited` answers RATELIMITED with a reset in `seconds` (of the budget `scope`);
    `auth`, `forbidden`, `feature_not_accessible`, `usage_limit`, `lock_timeout` and `internal` refuse as Linear does;
    `malformed` answers half of a JSON text; `error_status` gives what is refused anyway that HTTP `status`. With `committed`
    the call is carried out all the same, and only its answer is lost.

    Webhooks: `webhook_lost`, `webhook_duplicated`, and `webhook_delayed` by `seconds`, so that others overtake it.
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
    # Only calls of this name, like issueCreate, or webhooks of this type, like Issue.
    operation: str | None = None
    # Only so often.
    times: int | None = None
    committed: bool = False
    seconds: Annotated[float, Field(ge=0, le=86_400)] = 1
    status: Annotated[int, Field(ge=200, le=599)] = 503
    html: bool = False
    scope: Literal["requests", "complexity", "endpoint"] = "requests"


class Plan(BaseModel):
    """Everything that can be set about the double."""

    model_config = ConfigDict(extra="forbid")

    rules: list[Rule] = []
    # The same seed throws the same dice for the same sequence of calls.
    seed: int | None = None
    # None: what the stack says.
    requests_per_hour: Annotated[int, Field(ge=1)] | None = None
    # How many seconds a minute takes between the attempts to deliver a webhook; None: as many as the stack says.
    minute: Annotated[float, Field(gt=0)] | None = None


class Faults:
    """The plan at work."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.injected: Counter[str] = Counter()
        self.webhooks: Counter[str] = Counter()
        self.follow(Plan())

    def follow(self, plan: Plan) -> None:
        """From now on; the counters start anew."""
        self.plan = plan
        self._dice = random.Random(plan.seed)
        self._left = [rule.times for rule in plan.rules]
        for counter in (self.calls, self.injected, self.webhooks):
            counter.clear()

    def for_call(self, operations: list[str]) -> Rule | None:
        """What goes wrong with a call, which is counted."""
        self.calls.update(operations)
        return self._draw(operations, webhook=False)

    def for_webhook(self, kind: str) -> Rule | None:
        """What goes wrong with a webhook."""
        return self._draw([kind], webhook=True)

    def told(self) -> Row:
        """The plan and what has come of it."""
        return {
            "plan": self.plan.model_dump(),
            "calls": self.calls,
            "injected": self.injected,
            "webhooks": self.webhooks,
        }

    def _draw(self, names: list[str], *, webhook: bool) -> Rule | None:
        for place, rule in enumerate(self.plan.rules):
            if rule.kind.startswith("webhook_") != webhook or self._left[place] == 0:
                continue
            if rule.operation is not None and rule.operation not in names:
                continue
            if self._dice.random() < rule.probability:
                left = self._left[place]
                self._left[place] = None if left is None else left - 1
                self.injected[rule.kind] += 1
                return rule
        return None
