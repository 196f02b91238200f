"""What ai-escalation takes: conversations with an assistant, as whoever leads them keeps them.

Keys are camelCase or snake_case. Roles, contents and times of messages go by several names, and what else a message holds is
passed over: it is copied out of another system. Prompts and the answers of tools are no part of what was said.
"""

import asyncio
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field

from shared.requests.fields import Context, Description, Maybe, Moment, Priority, Short, Stored, as_subject
from shared.requests.parsing import Body, EitherCase, named
from shared.triage.verdict import Said, Verdict, triage

LONGEST_FINDINGS = 1000
AUTHORS = dict.fromkeys(("customer", "user", "human"), "customer") | dict.fromkeys(
    ("ai", "assistant", "bot", "model"), "ai"
)
UNSPOKEN = ("system", "developer", "tool", "function")


def _author(role: str) -> str:
    """customer, ai, or what is blank for the roles that nobody speaks in."""
    known = role.casefold()
    if known not in AUTHORS and known not in UNSPOKEN:
        raise ValueError(
            f"must be one of {', '.join(AUTHORS)}, or of {', '.join(UNSPOKEN)}, which are left out"
        )
    return AUTHORS.get(known, "")


class Message(Body):
    model_config = ConfigDict(extra="ignore")

    author: Annotated[str, AfterValidator(_author), named("role", "sender", "sender_type", "senderType")]
    body: Annotated[
        Maybe[Description], named("content", "text", "message", "body", "message_content", "messageContent")
    ]
    said_at: Annotated[Maybe[Moment], named("timestamp", "said_at", "saidAt", "created_at", "createdAt")] = (
        None
    )

    @property
    def is_said(self) -> bool:
        return bool(self.author and self.body)


def _with_something_said(messages: list[Message]) -> list[Message]:
    if not any(message.is_said for message in messages):
        raise ValueError("must hold something that the customer or the assistant said")
    return messages


Messages = Annotated[list[Message], Field(max_length=500)]
Summary = Annotated[str, Field(min_length=1, max_length=9000), Stored]


def said(messages: list[Message]) -> list[Said]:
    """The conversation as triage reads it: each message in its place, also those that say nothing."""
    return [Said(message.author, message.body or "") for message in messages]


async def judged(conversation: list[Said]) -> Verdict:
    """In a thread: the longest conversations take a while, and others are not to wait for them."""
    return await asyncio.to_thread(triage, conversation)


class Analysis(Body):
    messages: Annotated[Messages, Field(min_length=1)]


class Transfer(EitherCase):
    """An agent may send one on behalf of a customer, named by id or e-mail address."""

    conversation_id: Short
    summary_of_issue: Summary
    category: Maybe[Short] = None
    priority: Maybe[Priority] = None
    conversation_history: Annotated[Messages, Field(min_length=1), AfterValidator(_with_something_said)]
    suggested_resolution: Maybe[Summary] = None
    # The conversation's id joins these in the ticket's context.
    customer_context: Annotated[Context, Field(max_length=39)] | None = None
    customer: Maybe[Short] = None

    def arguments(self, verdict: Verdict) -> dict[str, Any]:
        """What the store files; the sender's category and priority come before what was recognised."""
        transcript = [message for message in self.conversation_history if message.is_said]
        return {
            "conversation_id": self.conversation_id,
            "subject": as_subject(verdict.suggested_subject if verdict.reasons else self.summary_of_issue),
            "summary": self.summary_of_issue,
            "category": self.category,
            "priority": self.priority or verdict.priority,
            "transcript": [message.model_dump(exclude_none=True) for message in transcript],
            "suggestion": self.suggested_resolution,
            "recognised": verdict.category,
            "findings": _findings(verdict),
            "context": self.customer_context,
            "customer": self.customer,
        }

    def came_from(self, argument: str) -> str:
        name, dot, rest = argument.partition(".")
        sent_as = {
            "conversation_id": "conversationId",
            "summary": "summaryOfIssue",
            "suggestion": "suggestedResolution",
            "transcript": "conversationHistory",
            "context": "customerContext",
        }
        return f"{sent_as.get(name, name)}{dot}{rest}"


def _findings(verdict: Verdict) -> str | None:
    """Why triage thinks so, in the words of the customer."""
    found = [f"“{reason.words}” ({reason.points_to})" for reason in verdict.reasons]
    return f"Recognised: {', '.join(dict.fromkeys(found))}"[:LONGEST_FINDINGS] if found else None
