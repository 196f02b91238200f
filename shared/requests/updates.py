"""Models the requests of admin-update: changes of tickets, decisions on escalations, reviews of feedback."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from shared.choices import EscalationOutcome, FeedbackStatus
from shared.requests.fields import UUID, Description, Long, Maybe, Priority, Short, Status, Stored
from shared.requests.parsing import Body

CHANGEABLE = ("status", "priority", "category", "assigned_to", "resolution")


def _assignee(text: str) -> str:
    if text not in ("me", "auto") and not UUID.fullmatch(text):
        raise ValueError("must be the id of an agent, me, auto or null")
    return text


Note = Annotated[str, Field(min_length=1, max_length=2000), Stored]


class Change(Body):
    """Changes the fields that are sent; null removes an assignment or a resolution."""

    status: Status | None = None
    priority: Priority | None = None
    category: Short | None = None
    assigned_to: Annotated[str, AfterValidator(_assignee)] | None = None
    resolution: Description | None = None
    note: Maybe[Description] = None
    notify_customer: bool = True

    @field_validator("status", "priority", "category", mode="before")
    @classmethod
    def _refuse_null(cls, value: object, info: ValidationInfo) -> object:
        if value is None:
            raise ValueError("must not be null: leave it out to keep it")
        return value

    def arguments(self) -> dict[str, Any]:
        changes = {name: getattr(self, name) for name in CHANGEABLE if name in self.model_fields_set}
        return {"changes": changes, "note": self.note, "notify_customer": self.notify_customer}


class TicketChange(Change):
    expected_version: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None

    def arguments(self) -> dict[str, Any]:
        return super().arguments() | {"expected_version": self.expected_version}


class BulkChange(Change):
    tickets: Annotated[list[Short], Field(min_length=1, max_length=100)]

    def arguments(self) -> dict[str, Any]:
        return super().arguments() | {"tickets": self.tickets}


class EscalationRequest(Body):
    reason: Note
    target_priority: Priority | None = None


class EscalationDecision(Body):
    status: Annotated[EscalationOutcome, Field(serialization_alias="decision")]
    note: Maybe[Note] = None


class FeedbackReview(Body):
    status: FeedbackStatus | None = None
    admin_response: Maybe[Long] = None
