"""What create-ticket takes: a kind of payload for each issue_type, which tells them apart.

Each knows the arguments of the RPC it becomes, and which of its fields an argument came from.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Discriminator, Field, ValidationInfo, field_validator

from shared.requests.fields import (
    LONGEST_DESCRIPTION,
    LONGEST_SUBJECT,
    Attachments,
    Context,
    Description,
    Email,
    FeedbackCategory,
    Long,
    LongOrJson,
    Maybe,
    Name,
    Priority,
    Rating,
    Short,
    Subject,
    WebAddress,
    as_subject,
)
from shared.requests.parsing import Body


class Payload(Body):
    reporter_name: Maybe[Name] = None
    reporter_email: Maybe[Email] = None

    def came_from(self, argument: str) -> str:
        """The field that an argument of the RPC was made from, as a path in the request."""
        return f"payload.{argument}"


class Ticket(Payload):
    """What any kind of ticket may say; ticket_type is an older name of category."""

    # Fields that travel in the ticket's context, and fields that an argument of another name is made of.
    in_context: ClassVar[tuple[str, ...]] = ()
    made_of: ClassVar[dict[str, str]] = {}

    issue_type: str
    category: Maybe[Short] = None
    ticket_type: Maybe[Short] = None
    priority: Maybe[Priority] = None

    @field_validator("ticket_type")
    @classmethod
    def _says_one_category(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value and info.data.get("category") not in (None, value):
            raise ValueError("must not differ from category, its newer name")
        return value

    def arguments(self) -> dict[str, Any]:
        return {
            "issue_type": self.issue_type,
            "category": self.category or self.ticket_type,
            "priority": self.priority,
            "context": {name: getattr(self, name) for name in self.in_context if getattr(self, name)},
            "requester_name": self.reporter_name,
            "requester_email": self.reporter_email,
        }

    def came_from(self, argument: str) -> str:
        name, dot, rest = argument.partition(".")
        if name == "context" and rest in self.in_context:
            return f"payload.{rest}"
        if name == "category" and self.ticket_type:
            return "payload.ticket_type"
        sent_as = self.made_of.get(name) or name.replace("requester_", "reporter_")
        return f"payload.{sent_as}{dot}{rest}"


class Chatbot(Ticket):
    in_context = (
        "domain_id",
        "session_id",
        "conversation_link",
        "selected_message_content",
        "issue_subtype",
        "expected_answer",
    )
    made_of: ClassVar = {"subject": "domain_id", "description": "selected_message_content"}

    issue_type: Literal["chatbot"]
    domain_id: Short
    session_id: Short
    conversation_link: Maybe[WebAddress] = None
    selected_message_content: Long
    issue_subtype: Literal["accurate_but_not_ok", "not_accurate"]
    expected_answer: Maybe[Long] = None

    def arguments(self) -> dict[str, Any]:
        fault = "not accurate" if self.issue_subtype == "not_accurate" else "accurate but not OK"
        description = f"The assistant said:\n\n{self.selected_message_content}"
        if self.expected_answer:
            description += f"\n\nExpected instead:\n\n{self.expected_answer}"
        return super().arguments() | {
            "subject": f"An answer was {fault} in {self.domain_id}"[:LONGEST_SUBJECT],
            "description": description[:LONGEST_DESCRIPTION],
        }


class Other(Ticket):
    made_of: ClassVar = {"subject": "title"}

    issue_type: Literal["other"]
    title: Annotated[Subject, Field(max_length=200)]
    description: Description

    def arguments(self) -> dict[str, Any]:
        return super().arguments() | {"subject": self.title, "description": self.description}


class Bug(Ticket):
    in_context = ("steps_to_reproduce", "expected_behavior", "actual_behavior", "device_info", "app_version")
    made_of: ClassVar = {"subject": "description", "attachments": "screenshot_urls"}

    issue_type: Literal["bug"]
    description: Description
    steps_to_reproduce: Maybe[Long] = None
    expected_behavior: Maybe[Long] = None
    actual_behavior: Maybe[Long] = None
    device_info: Maybe[Short] = None
    app_version: Maybe[Short] = None
    screenshot_urls: Attachments | None = None

    def arguments(self) -> dict[str, Any]:
        return super().arguments() | {
            "subject": as_subject(self.description),
            "description": self.description,
            "attachments": self.screenshot_urls,
        }


class Support(Ticket):
    """A ticket proper; an agent may file it for a customer, named by id or e-mail address."""

    in_context = ("error_details",)

    issue_type: Literal["support"]
    subject: Subject
    description: Description
    attachments: Attachments | None = None
    error_details: Maybe[LongOrJson] = None
    context: Context | None = None
    customer: Maybe[Short] = None

    def arguments(self) -> dict[str, Any]:
        common = super().arguments()
        return common | {
            "subject": self.subject,
            "description": self.description,
            "attachments": self.attachments,
            "context": (self.context or {}) | common["context"],
            "customer": self.customer,
        }


class Contact(Ticket):
    """A contact form; the only kind that nobody has to sign in for. user_email is another name of email."""

    issue_type: Literal["contact"]
    priority: None = None
    email: Maybe[Email] = None
    user_email: Maybe[Email] = None
    name: Maybe[Name] = None
    subject: Maybe[Subject] = None
    description: Description

    @property
    def email_field(self) -> str:
        sent = [name for name in ("email", "user_email", "reporter_email") if getattr(self, name)]
        return sent[0] if sent else "email"

    def arguments(self) -> dict[str, Any]:
        common = super().arguments()
        category = common["category"]
        return common | {
            "subject": self.subject or (f"Contact form: {category}" if category else "Contact form"),
            "description": self.description,
            "requester_name": self.name or self.reporter_name,
            "requester_email": getattr(self, self.email_field),
        }

    def came_from(self, argument: str) -> str:
        name_field = "name" if self.name else "reporter_name"
        sent_as = {"requester_email": self.email_field, "requester_name": name_field}
        return super().came_from(sent_as.get(argument, argument))


class Feedback(Payload):
    issue_type: Literal["feedback"]
    category: FeedbackCategory
    description: Description
    rating: Rating | None = None
    feature_name: Maybe[Annotated[Short, Field(max_length=100)]] = None
    would_recommend: bool | None = None

    def arguments(self) -> dict[str, Any]:
        return {
            "category": self.category,
            "description": self.description,
            "rating": self.rating,
            "feature_name": self.feature_name,
            "would_recommend": self.would_recommend,
        }


AnyTicket = Chatbot | Other | Bug | Support | Contact


class CreateTicket(Body):
    payload: Annotated[AnyTicket | Feedback, Discriminator("issue_type")]


class Unsigned(Body):
    """The least of the same that tells whether somebody who is not signed in may send it."""

    model_config = ConfigDict(extra="ignore")

    payload: Any = None

    @property
    def is_contact(self) -> bool:
        return isinstance(self.payload, dict) and self.payload.get("issue_type") == "contact"
