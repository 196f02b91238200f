"""What partners send receive-webhook: tickets, conversations, and what people told a companion, each for a named user.

`{"type": …, "timestamp"?: …, "data": {…}}`, as Standard Webhooks has it; `user` is an id or an e-mail address.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict

from shared.requests.conversations import Transfer
from shared.requests.fields import (
    Attachments,
    Context,
    Description,
    FeedbackCategory,
    Maybe,
    Priority,
    Short,
    Subject,
    as_subject,
)
from shared.requests.parsing import Body, EitherCase, named


class Envelope(Body):
    """Just enough to know what it is."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["ticket", "ai_transfer", "companion"]


class PartnerTicket(EitherCase):
    external_id: Short
    user: Short
    subject: Subject
    description: Description
    category: Maybe[Short] = None
    priority: Maybe[Priority] = None
    context: Context | None = None
    attachments: Attachments | None = None

    def arguments(self) -> dict[str, Any]:
        sent = self.model_dump(exclude={"user"})
        return sent | {"customer": self.user, "issue_type": "webhook"}


class PartnerTransfer(Transfer):
    """A conversation as ai-escalation takes it; its id is what makes it one."""

    customer: Annotated[Short, named("user")]


class CompanionRequest(EitherCase):
    """What somebody asked their companion to pass on, in their words."""

    external_id: Short
    user: Short
    ticket_type: Literal["bug", "feedback"]
    description: Description
    category: Maybe[FeedbackCategory] = None

    def arguments(self) -> dict[str, Any]:
        sent = {"external_id": self.external_id, "customer": self.user, "description": self.description}
        if self.ticket_type == "feedback":
            return sent | {"category": self.category or "other"}
        return sent | {"issue_type": "bug", "subject": as_subject(self.description)}


class TicketEvent(Body):
    type: Literal["ticket"]
    timestamp: str | None = None
    data: PartnerTicket


class TransferEvent(Body):
    type: Literal["ai_transfer"]
    timestamp: str | None = None
    data: PartnerTransfer


class CompanionEvent(Body):
    type: Literal["companion"]
    timestamp: str | None = None
    data: CompanionRequest


def came_from(argument: str) -> str:
    """Where in the body an argument of the store stood."""
    return "data." + {"customer": "user"}.get(argument, argument)
