"""Sends an outbox row to Linear, idempotently.

An issue has its ticket's id and a comment its message's. A repeated creation is therefore answered with a
conflict; the object is read back and counts as sent. Text of people stands in a fenced block, where it can
neither format, mention anyone nor end the block.
"""

import re
from typing import Any

from pydantic import BaseModel

from shared.config import ticket_url
from shared.linear.client import DuplicateId, InvalidInput, Linear
from shared.linear.models import Issue
from shared.outbox import Row, Undelivered
from shared.text import cut, one_line, printable

# Linear numbers priorities from 1, the most urgent.
PRIORITIES = {"urgent": 1, "high": 2, "medium": 3, "low": 4}
MAX_ISSUE_TITLE = 255
FENCES = re.compile(r"`{3,}")
AUTHORS = {"customer": "The customer", "agent": "The desk"}


class NewIssue(BaseModel):
    """Parses the frozen payload of a row of the kind `issue`."""

    ticket_id: str
    ticket_number: str
    team: str
    label: str | None
    priority: str
    subject: str
    issue_type: str
    category: str
    description: str
    context: dict[str, Any]
    requester_name: str | None
    requester_email: str | None
    attachments: list[str]


class NewComment(BaseModel):
    """Parses the frozen payload of a row of the kind `comment`."""

    ticket_id: str
    message_id: str
    author: str
    author_name: str | None
    body: str
    attachments: list[str]


async def forward(row: Row, linear: Linear, desk_url: str) -> dict[str, Any] | None:
    """Sends one row; returns the facts of the issue if they changed. Raises Undelivered."""
    try:
        return await _send(row, linear, desk_url)
    except InvalidInput:
        # The cache of teams, states and labels may be stale: retry without it before the row becomes a dead
        # letter.
        linear.forget()
        return await _send(row, linear, desk_url)


async def _send(row: Row, linear: Linear, desk_url: str) -> dict[str, Any] | None:
    match row.kind:
        case "issue":
            return (await _create_issue(NewIssue.model_validate(row.payload), linear)).facts()
        case "comment":
            await _create_comment(NewComment.model_validate(row.payload), linear)
        case "link":
            await _link(row.payload, linear, desk_url)
        case "state":
            return (await _move(row.payload, linear)).facts()
        case _:
            raise Undelivered(f"no row of the kind {row.kind} is known", permanent=False)
    return None


async def _create_issue(new: NewIssue, linear: Linear) -> Issue:
    team = await linear.team(new.team)
    labels = [await linear.label(new.label, team.id)] if new.label else []
    try:
        return await linear.create_issue(
            id=new.ticket_id,
            teamId=team.id,
            title=title_of(new),
            description=description_of(new),
            priority=PRIORITIES[new.priority],
            labelIds=labels,
        )
    except DuplicateId:
        return await linear.issue(new.ticket_id)


async def _create_comment(new: NewComment, linear: Linear) -> None:
    try:
        await linear.create_comment(new.message_id, new.ticket_id, comment_of(new))
    except DuplicateId:
        await linear.require_comment(new.message_id)


async def _link(payload: dict[str, Any], linear: Linear, desk_url: str) -> None:
    number = payload["ticket_number"]
    await linear.attach(payload["ticket_id"], ticket_url(desk_url, number), number, "Ticket in the desk")


async def _move(payload: dict[str, Any], linear: Linear) -> Issue:
    team = await linear.team(payload["team"])
    return await linear.move_issue(payload["ticket_id"], team.state(payload["target_state"]))


def title_of(new: NewIssue) -> str:
    """Returns the title of an issue, on one line. Titles have no markdown to escape."""
    return cut(f"[{new.ticket_number}] {one_line(new.subject)}", MAX_ISSUE_TITLE)


def description_of(new: NewIssue) -> str:
    """Returns the description of an issue, as markdown."""
    reporter = " ".join(filter(None, (new.requester_name, new.requester_email)))
    sections = {"Reported by": reporter, "Description": new.description}
    sections |= {
        _heading(field): _as_text(value) for field, value in new.context.items() if value is not None
    }
    sections |= {"Attachments": "\n".join(new.attachments)}
    summary = f"**{new.ticket_number}** · {new.issue_type} · {escape_markdown(new.category)} · {new.priority}"
    blocks = [f"**{heading}**\n\n{fenced_block(text)}" for heading, text in sections.items() if text]
    return "\n\n".join([summary, *blocks])


def comment_of(new: NewComment) -> str:
    """Returns the body of a comment, as markdown."""
    author = AUTHORS.get(new.author, new.author)
    message = "\n".join(filter(None, (new.author_name, new.body)))
    attachments = "\n\nAttachments:\n" + "\n".join(new.attachments) if new.attachments else ""
    return f"**{author}** replied:\n\n{fenced_block(message + attachments)}"


def fenced_block(text: str) -> str:
    """Wraps text in a block whose fence is longer than any fence inside it."""
    clean = printable(text)
    longest = max((len(fence) for fence in FENCES.findall(clean)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}text\n{clean}\n{fence}"


def escape_markdown(text: str) -> str:
    """Escapes markdown in text that stands inside a line, on one line."""
    return re.sub(r"([\\`*_{}\[\]()#+!|<>~@-])", r"\\\1", one_line(text))


def _heading(field: str) -> str:
    return escape_markdown(field.replace("_", " ").capitalize())


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
