"""Models the payloads of create-ticket, one for each issue type."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    ConfigDict,
    Discriminator,
    Field,
    ValidationInfo,
    computed_field,
    field_serializer,
    field_validator,
)

from shared.choices import FeedbackCategory
from shared.requests.arguments import Feeds, InContext
from shared.requests.fields import (
    MAX_DESCRIPTION,
    MAX_SUBJECT,
    Attachments,
    Context,
    Description,
    Email,
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
    path_prefix: ClassVar[str] = "payload."

    reporter_name: Maybe[Name] = Field(None, serialization_alias="requester_name")
    reporter_email: Maybe[Email] = Field(None, serialization_alias="requester_email")


class Ticket(Payload):
    """Holds the fields of every issue type. ticket_type is an older name of category."""

    issue_type: str
    category: Maybe[Short] = None
    ticket_type: Maybe[Short] = Field(None, serialization_alias="category")
    priority: Maybe[Priority] = None

    @field_validator("ticket_type")
    @classmethod
    def _require_one_category(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value and info.data.get("category") not in (None, value):
            raise ValueError("must not differ from category, its newer name")
        return value

    def arguments(self) -> dict[str, Any]:
        arguments = super().arguments()
        context = arguments.pop("context", None) or {}
        for name in [name for name in arguments if name.startswith("context.")]:
            value = arguments.pop(name)
            if value is not None:
                context[name.removeprefix("context.")] = value
        return arguments | {"context": context}


class Chatbot(Ticket):
    issue_type: Literal["chatbot"]
    domain_id: Annotated[InContext[Short], Feeds("subject")]
    session_id: InContext[Short]
    conversation_link: InContext[Maybe[WebAddress]] = None
    selected_message_content: Annotated[InContext[Long], Feeds("description")]
    issue_subtype: InContext[Literal["accurate_but_not_ok", "not_accurate"]]
    expected_answer: InContext[Maybe[Long]] = None

    @computed_field
    def subject(self) -> str:
        fault = "not accurate" if self.issue_subtype == "not_accurate" else "accurate but not OK"
        return f"An answer was {fault} in {self.domain_id}"[:MAX_SUBJECT]

    @computed_field
    def description(self) -> str:
        description = f"The assistant said:\n\n{self.selected_message_content}"
        if self.expected_answer:
            description += f"\n\nExpected instead:\n\n{self.expected_answer}"
        return description[:MAX_DESCRIPTION]


class Other(Ticket):
    issue_type: Literal["other"]
    title: Annotated[Subject, Field(max_length=200, serialization_alias="subject")]
    description: Description


class Bug(Ticket):
    issue_type: Literal["bug"]
    description: Annotated[Description, Feeds("subject")]
    steps_to_reproduce: InContext[Maybe[Long]] = None
    expected_behavior: InContext[Maybe[Long]] = None
    actual_behavior: InContext[Maybe[Long]] = None
    device_info: InContext[Maybe[Short]] = None
    app_version: InContext[Maybe[Short]] = None
    screenshot_urls: Attachments | None = Field(None, serialization_alias="attachments")

    @computed_field
    def subject(self) -> str:
        return as_subject(self.description)


class Support(Ticket):
    """A ticket proper; an agent may file it for a customer, named by id or e-mail address."""

    issue_type: Literal["support"]
    subject: Subject
    description: Description
    attachments: Attachments | None = None
    error_details: InContext[Maybe[LongOrJson]] = None
    context: Context | None = None
    customer: Maybe[Short] = None


class Contact(Ticket):
    """A contact form; the only kind that nobody has to sign in for. user_email is another name of email."""

    issue_type: Literal["contact"]
    priority: None = None
    email: Maybe[Email] = Field(None, serialization_alias="requester_email")
    user_email: Maybe[Email] = Field(None, serialization_alias="requester_email")
    name: Maybe[Name] = Field(None, serialization_alias="requester_name")
    subject: Maybe[Subject] = None
    description: Description

    @field_serializer("subject")
    def _default_subject(self, subject: str | None) -> str:
        category = self.category or self.ticket_type
        return subject or (f"Contact form: {category}" if category else "Contact form")


class Feedback(Payload):
    reporter_name: Maybe[Name] = Field(None, exclude=True)
    reporter_email: Maybe[Email] = Field(None, exclude=True)
    issue_type: Annotated[Literal["feedback"], Field(exclude=True)]
    category: FeedbackCategory
    description: Description
    rating: Rating | None = None
    feature_name: Maybe[Annotated[Short, Field(max_length=100)]] = None
    would_recommend: bool | None = None


AnyTicket = Chatbot | Other | Bug | Support | Contact


class CreateTicket(Body):
    payload: Annotated[AnyTicket | Feedback, Discriminator("issue_type")]


class Unsigned(Body):
    """Reads the issue type alone, before anything else is validated: only contact needs no sign-in."""

    model_config = ConfigDict(extra="ignore")

    payload: Any = None

    @property
    def is_contact(self) -> bool:
        return isinstance(self.payload, dict) and self.payload.get("issue_type") == "contact"
