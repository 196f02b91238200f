"""Models the answers of the functions for the OpenAPI document. Keys may be added, never removed."""

from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field

from shared.choices import EscalationOutcome, FeedbackStatus, Priority, Status

Author = Literal["customer", "agent", "ai", "system"]
Number = str


class Success(BaseModel):
    success: Literal[True]


class FieldProblem(BaseModel):
    """Names an invalid field by its dotted path in the request, and says what it must be."""

    path: str
    message: str


class Problem(BaseModel):
    """Describes an error of any route; `stale_version` adds the `current` row."""

    success: Literal[False]
    error: str
    code: str = Field(pattern="^[a-z_]+$")
    fields: list[FieldProblem]
    request_id: str


class TicketReference(Success):
    ticket_id: UUID
    ticket_number: Number


class LinearIssue(BaseModel):
    linear: Literal["created", "queued", "off"]
    issue_id: str | None
    issue_identifier: str | None
    issue_url: str | None


class TicketConfirmation(TicketReference, LinearIssue):
    """Confirms a ticket; `access_token` opens one of an anonymous contact form."""

    issue_type: str
    status: Status
    priority: Priority
    category: str
    message: str
    created_at: datetime
    error: None
    access_token: str = ""


class FeedbackConfirmation(Success):
    feedback_id: UUID
    message: str
    created_at: datetime
    error: None


class Reason(BaseModel):
    """Names the words of a message, counted from 0, and what they point to."""

    message: int
    words: str
    points_to: str


class Candidate(BaseModel):
    """Names a category with the chance that it is right."""

    category: str
    confidence: float = Field(ge=0, le=1)


class Verdict(BaseModel):
    """Holds triage's decision. `category` is null unless sure; `language` is "unknown" where a person must read."""

    escalate: bool
    category: str | None
    priority: Priority
    confidence: float = Field(ge=0, le=1)
    candidates: list[Candidate]
    language: str | None
    reasons: list[Reason]
    suggested_subject: str


class AnalysisResult(Success, Verdict):
    pass


class TransferConfirmation(TicketConfirmation):
    subject: str
    triage: Verdict


class BugFiled(TicketConfirmation):
    filed: Literal["bug"]


class FeedbackFiled(FeedbackConfirmation):
    filed: Literal["feedback"]
    category: str


class Advice(Success):
    filed: None
    message: str
    triage: Verdict


class TicketSummary(BaseModel):
    ticket_id: UUID
    ticket_number: Number
    issue_type: str
    category: str
    subject: str
    status: Status
    priority: Priority
    assigned_to: UUID | None
    escalated: bool
    created_at: datetime
    updated_at: datetime
    last_response_at: datetime | None


class TicketPage(Success):
    tickets: list[TicketSummary]
    total: int = Field(ge=0, le=10_000)
    total_is_capped: bool
    next_cursor: str | None


class TicketMessage(BaseModel):
    message_id: UUID
    author: Author
    author_name: str | None
    body: str
    is_internal: bool
    is_transcript: bool
    said_at: datetime | None
    created_at: datetime
    attachments: list[dict[str, Any]]


class TimelineEvent(BaseModel):
    type: str
    at: datetime
    actor: str


class TicketDetail(Success, TicketSummary):
    description: str
    resolution: str | None
    context: dict[str, str | float | bool | None]
    resolved_at: datetime | None
    closed_at: datetime | None
    version: int
    sla: dict[str, Any] | None
    linear: LinearIssue
    messages: list[TicketMessage]
    messages_before: UUID | None
    attachments: list[dict[str, Any]]
    timeline: list[TimelineEvent]
    timeline_before: int | None
    escalations: list[dict[str, Any]]
    metrics: dict[str, Any]


class CategoryName(BaseModel):
    category: str
    name: str
    description: str | None


class CategoryNames(Success):
    categories: list[CategoryName]


class TicketStatistics(Success):
    from_day: date = Field(alias="from")
    to_day: date = Field(alias="to")
    time_zone: str
    total: dict[str, Any]
    by_day: list[dict[str, Any]]
    by_category: list[dict[str, Any]]
    by_priority: list[dict[str, Any]]
    by_agent: list[dict[str, Any]]


class MessageAdded(TicketReference):
    message_id: UUID
    author: Author
    is_internal: bool
    status: Status
    created_at: datetime


class RatingGiven(TicketReference):
    rating: int = Field(ge=1, le=5)
    comment: str | None
    created_at: datetime


class TicketClosed(TicketReference):
    status: Literal["closed"]
    closed_at: datetime


class EscalationState(TicketReference):
    escalation_id: UUID
    reason: str
    status: Literal["pending", EscalationOutcome]
    priority: Priority
    target_priority: Priority
    requested_by: Author
    created_at: datetime
    decided_at: datetime | None


class TicketRow(TicketSummary):
    resolution: str | None
    resolved_at: datetime | None
    closed_at: datetime | None
    version: int


class TicketChanged(Success, TicketRow):
    pass


class BulkOutcome(BaseModel):
    """Holds the answer or the error that PATCH would have given for this ticket."""

    ticket: str
    success: bool


class BulkResult(Success):
    outcomes: list[BulkOutcome]


class TicketDeleted(TicketReference):
    deleted_at: datetime


class FeedbackState(Success):
    feedback_id: UUID
    category: str
    description: str
    rating: int | None
    status: FeedbackStatus
    admin_response: str | None
    reviewed_at: datetime | None
    created_at: datetime


class SweepCounters(Success):
    """Counts tickets; with `more`, clocks are still due and a further call continues."""

    warned: int
    breached: int
    closed: int
    recalculated: int
    pruned: int
    escalated: list[str]
    more: bool


class DeadLetters(Success):
    dead_letters: list[dict[str, Any]]


class RetriedDeadLetter(Success):
    id: int
    state: Literal["pending"]


class LinearWebhookResult(Success):
    applied: int
    duplicate: bool
