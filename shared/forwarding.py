"""A row of the outbox on its way to Linear: what engineers read, and what makes that each of it exists once.

A ticket's id is its issue's id and a message's id its comment's, so what an earlier attempt may have done already is
answered with a conflict, read back, and taken for done. Everything that a person wrote stands in a fenced block: there it
can neither format, mention anybody, nor end the block.
"""

import re
from typing import Any

from pydantic import BaseModel

from shared.issues import Issue
from shared.letter import cut, one_line, printable
from shared.linear import Conflict, InvalidInput, Linear
from shared.outbox import Row, Undelivered
from shared.wording import ticket_url

# By our names for them; Linear counts from 1, the most urgent.
PRIORITIES = {"urgent": 1, "high": 2, "medium": 3, "low": 4}
LONGEST_TITLE = 255
FENCES = re.compile(r"`{3,}")
AUTHORS = {"customer": "The customer", "agent": "The desk"}


class NewIssue(BaseModel):
    """What the database froze of a ticket."""

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
    ticket_id: str
    message_id: str
    author: str
    author_name: str | None
    body: str
    attachments: list[str]


async def forward(row: Row, linear: Linear, desk_url: str) -> dict[str, Any] | None:
    """Send one row; what Linear then knows of the issue, where that has changed."""
    try:
        return await _sent(row, linear, desk_url)
    except InvalidInput:
        # What was kept of teams, states and labels may be out of date: once more without it, before it is for good.
        linear.forget()
        return await _sent(row, linear, desk_url)


async def _sent(row: Row, linear: Linear, desk_url: str) -> dict[str, Any] | None:
    match row.kind:
        case "issue":
            return (await _create_issue(NewIssue.model_validate(row.payload), linear)).known()
        case "comment":
            await _create_comment(NewComment.model_validate(row.payload), linear)
        case "link":
            await _link(row.payload, linear, desk_url)
        case "state":
            return (await _move(row.payload, linear)).known()
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
    except Conflict:
        return await linear.issue(new.ticket_id)


async def _create_comment(new: NewComment, linear: Linear) -> None:
    try:
        await linear.create_comment(new.message_id, new.ticket_id, comment_of(new))
    except Conflict:
        await linear.require_comment(new.message_id)


async def _link(payload: dict[str, Any], linear: Linear, desk_url: str) -> None:
    number = payload["ticket_number"]
    await linear.attach(payload["ticket_id"], ticket_url(desk_url, number), number, "Ticket in the desk")


async def _move(payload: dict[str, Any], linear: Linear) -> Issue:
    team = await linear.team(payload["team"])
    return await linear.move_issue(payload["ticket_id"], team.state(payload["target_state"]))


def title_of(new: NewIssue) -> str:
    """One line; a title knows no markdown."""
    return cut(f"[{new.ticket_number}] {one_line(new.subject)}", LONGEST_TITLE)


def description_of(new: NewIssue) -> str:
    reporter = " ".join(filter(None, (new.requester_name, new.requester_email)))
    told = {"Reported by": reporter, "Description": new.description}
    told |= {_heading(field): _shown(value) for field, value in new.context.items() if value is not None}
    told |= {"Attachments": "\n".join(new.attachments)}
    facts = f"**{new.ticket_number}** · {new.issue_type} · {fenceless(new.category)} · {new.priority}"
    blocks = [f"**{heading}**\n\n{fenced(text)}" for heading, text in told.items() if text]
    return "\n\n".join([facts, *blocks])


def comment_of(new: NewComment) -> str:
    author = AUTHORS.get(new.author, new.author)
    named = "\n".join(filter(None, (new.author_name, new.body)))
    attached = "\n\nAttachments:\n" + "\n".join(new.attachments) if new.attachments else ""
    return f"**{author}** replied:\n\n{fenced(named + attached)}"


def fenced(text: str) -> str:
    """Somebody's words as they are, in a block whose fence is longer than any inside."""
    clean = printable(text)
    longest = max((len(found) for found in FENCES.findall(clean)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}text\n{clean}\n{fence}"


def fenceless(text: str) -> str:
    """A few words of the desk's admins inside a line, every mark of markdown taken for itself."""
    return re.sub(r"([\\`*_{}\[\]()#+!|<>~@-])", r"\\\1", one_line(text))


def _heading(field: str) -> str:
    return fenceless(field.replace("_", " ").capitalize())


def _shown(value: object) -> str:
    return value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
