"""Models the requests of ai-escalation: conversations with an assistant, as chat systems store them.

Keys are camelCase or snake_case. A message's fields go by several names, and its other fields are ignored.
Prompts and the answers of tools are left out.
"""

import asyncio
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, field_serializer

from shared.requests.fields import Context, Description, Maybe, Moment, Priority, Short, Stored, as_subject
from shared.requests.parsing import Body, EitherCase, aliases
from shared.triage.verdict import Message as TriageMessage
from shared.triage.verdict import Verdict, triage

MAX_TRIAGE_NOTE = 1000
AUTHORS = dict.fromkeys(("customer", "user", "human"), "customer") | dict.fromkeys(
    ("ai", "assistant", "bot", "model"), "ai"
)
IGNORED_ROLES = ("system", "developer", "tool", "function")


def _author(role: str) -> str:
    """Returns customer or ai, or "" for a role to ignore."""
    key = role.casefold()
    if key not in AUTHORS and key not in IGNORED_ROLES:
        raise ValueError(
            f"must be one of {', '.join(AUTHORS)}, or of {', '.join(IGNORED_ROLES)}, which are left out"
        )
    return AUTHORS.get(key, "")


class Message(Body):
    model_config = ConfigDict(extra="ignore")

    author: Annotated[str, AfterValidator(_author), aliases("role", "sender", "sender_type", "senderType")]
    body: Annotated[
        Maybe[Description], aliases("content", "text", "message", "body", "message_content", "messageContent")
    ]
    said_at: Annotated[
        Maybe[Moment], aliases("timestamp", "said_at", "saidAt", "created_at", "createdAt")
    ] = None

    @property
    def has_text(self) -> bool:
        return bool(self.author and self.body)


def _require_text(messages: list[Message]) -> list[Message]:
    if not any(message.has_text for message in messages):
        raise ValueError("must hold something that the customer or the assistant said")
    return messages


Messages = Annotated[list[Message], Field(max_length=500)]
Summary = Annotated[str, Field(min_length=1, max_length=9000), Stored]


def triage_messages(messages: list[Message]) -> list[TriageMessage]:
    """Converts a conversation for triage; empty messages keep their places, because reasons count them."""
    return [TriageMessage(message.author, message.body or "") for message in messages]


async def decide_in_thread(conversation: list[TriageMessage]) -> Verdict:
    """Triages in a thread: a long conversation must not block other requests."""
    return await asyncio.to_thread(triage, conversation)


class Analysis(Body):
    messages: Annotated[Messages, Field(min_length=1)]


class Transfer(EitherCase):
    """Models a hand-over. An agent may send one on behalf of a customer, named by id or e-mail address."""

    conversation_id: Short
    summary_of_issue: Annotated[Summary, Field(serialization_alias="summary")]
    category: Maybe[Short] = None
    priority: Maybe[Priority] = None
    conversation_history: Annotated[
        Messages, Field(min_length=1, serialization_alias="transcript"), AfterValidator(_require_text)
    ]
    suggested_resolution: Maybe[Summary] = Field(None, serialization_alias="suggestion")
    # One key less than a context has: the conversation's id becomes one.
    customer_context: Annotated[Context, Field(max_length=39)] | None = Field(
        None, serialization_alias="context"
    )
    customer: Maybe[Short] = None

    @field_serializer("conversation_history")
    def _spoken(self, messages: list[Message]) -> list[dict[str, Any]]:
        return [message.model_dump(exclude_none=True) for message in messages if message.has_text]

    def triaged_arguments(self, verdict: Verdict) -> dict[str, Any]:
        """Returns the RPC's arguments; the sender's priority and category take precedence over triage.

        The subject is the sender's too, unless triage is sure of a category and the sender names no other.
        """
        is_recognised = verdict.category is not None and self.category in (None, verdict.category)
        subject = verdict.suggested_subject if is_recognised else self.summary_of_issue
        return self.arguments() | {
            "subject": as_subject(subject),
            "priority": self.priority or verdict.priority,
            "recognised": verdict.category,
            "findings": _findings(verdict),
        }


def _findings(verdict: Verdict) -> str | None:
    """Quotes the words that triage decided on."""
    quotes = [f"“{reason.words}” ({reason.points_to})" for reason in verdict.reasons]
    return f"Recognised: {', '.join(dict.fromkeys(quotes))}"[:MAX_TRIAGE_NOTE] if quotes else None
