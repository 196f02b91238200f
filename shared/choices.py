"""Lists the values of statuses, priorities and the like. The database's CHECKs hold the same ones."""

from typing import Literal, get_args

Status = Literal["open", "in_progress", "waiting_on_customer", "resolved", "closed"]
# From the least urgent to the most urgent.
Priority = Literal["low", "medium", "high", "urgent"]
EscalationOutcome = Literal["approved", "denied"]
FeedbackCategory = Literal["feature_request", "improvement", "complaint", "praise", "other"]
FeedbackStatus = Literal["received", "reviewed", "planned", "done", "declined"]

STATUSES: tuple[str, ...] = get_args(Status)
PRIORITIES: tuple[str, ...] = get_args(Priority)
