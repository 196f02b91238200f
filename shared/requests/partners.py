"""Models the webhooks of partners: tickets, conversations and companion requests, each for a named user.

`{"type": …, "timestamp"?: …, "data": {…}}`, by Standard Webhooks; `user` is an id or an e-mail address.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from shared.choices import FeedbackCategory
from shared.requests.arguments import Feeds
from shared.requests.conversations import Transfer
from shared.requests.fields import (
    Attachments,
    Context,
    Description,
    Maybe,
    Priority,
    Short,
    Subject,
    as_subject,
)
from shared.requests.parsing import Body, EitherCase, aliases


class Envelope(Body):
    """Reads the type of a webhook alone."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["ticket", "ai_transfer", "companion"]


class PartnerTicket(EitherCase):
    path_prefix: ClassVar[str] = "data."

    external_id: Short
    user: Annotated[Short, Field(serialization_alias="customer")]
    subject: Subject
    description: Description
    category: Maybe[Short] = None
    priority: Maybe[Priority] = None
    context: Context | None = None
    attachments: Attachments | None = None

    def arguments(self) -> dict[str, Any]:
        return super().arguments() | {"issue_type": "webhook"}


class PartnerTransfer(Transfer):
    """A conversation as ai-escalation takes it; its id is what makes it one."""

    path_prefix: ClassVar[str] = "data."

    customer: Annotated[Short, aliases("user")]


class CompanionRequest(EitherCase):
    """What somebody asked their companion to pass on, in their words."""

    path_prefix: ClassVar[str] = "data."

    external_id: Short
    user: Annotated[Short, Field(serialization_alias="customer")]
    ticket_type: Annotated[Literal["bug", "feedback"], Field(exclude=True)]
    description: Annotated[Description, Feeds("subject")]
    category: Maybe[FeedbackCategory] = None

    def arguments(self) -> dict[str, Any]:
        sent = super().arguments()
        category = sent.pop("category")
        if self.ticket_type == "feedback":
            return sent | {"category": category or "other"}
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
