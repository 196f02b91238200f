"""The words of every mail. Who wants another tone or another language changes this module and no other."""

from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BaseModel, model_validator

from shared.config import ticket_url
from shared.mail.layout import Block, Button, Item, Items, Letter, Paragraph, Quote, isolated
from shared.text import one_line

Line = Annotated[str, AfterValidator(one_line)]


class Frozen(BaseModel):
    """JSON from the database, where null and a missing key are the same."""

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        return (
            {key: val for key, val in value.items() if val is not None} if isinstance(value, dict) else value
        )


class News(Frozen):
    """One line of a digest."""

    kind: str
    ticket_number: str
    subject: Line = ""
    status: str = ""
    priority: str = ""


class Payload(Frozen):
    """What the database froze for a mail: to the requester of a ticket, or a digest for staff."""

    to: str
    to_name: Line = ""
    ticket_id: str | None = None
    ticket_number: str = ""
    subject: Line | None = None
    access_token: str | None = None
    status: str | None = None
    decision: str | None = None
    agent_name: Line = "Our team"
    resolution: str | None = None
    body: str | None = None
    counts: dict[str, int] = {}
    items: list[News] = []


class Words(NamedTuple):
    """A headline and what follows the greeting; {number} and {agent} are filled in."""

    title: str
    text: str
    button: str = "Open your request"


# By kind, or by kind and what it came to.
TO_REQUESTER = {
    "created": Words(
        "We have your request",
        "Thank you for writing. Your request {number} has arrived, and a person will get back to you.",
    ),
    "created.answered": Words("We have your request", "Your request {number} has arrived. A first answer:"),
    "agent_replied": Words("{agent} replied", "{agent} replied to your request {number}:", "Answer"),
    "assigned": Words("{agent} is on it", "{agent} is now taking care of your request {number}."),
    "status_changed.open": Words("Open again", "Your request {number} is open again."),
    "status_changed.in_progress": Words("We are working on it", "We are working on your request {number}."),
    "status_changed.waiting_on_customer": Words(
        "We need your answer",
        "Before we can go on with your request {number}, we need an answer from you.",
        "Answer",
    ),
    "status_changed.resolved": Words(
        "This should be solved",
        "We believe that your request {number} is solved. If it is not, answer there and it opens again.",
    ),
    "status_changed.closed": Words(
        "Your request is closed",
        "Your request {number} is closed now. Should you still need help with it, answer there and it opens again.",
    ),
    "escalation_decided.approved": Words(
        "We are treating it as more urgent",
        "You asked us to treat your request {number} as more urgent. We agree, and have raised its priority.",
    ),
    "escalation_decided.denied": Words(
        "Its priority stays as it is",
        "You asked us to treat your request {number} as more urgent. We have looked at it again and"
        " leave its priority as it is; it keeps its place in the queue.",
    ),
}
# A database that is newer than this code.
OTHERWISE = Words("News about your request", "There is news about your request {number}.")
UNNAMED_SUBJECT = "Your request"
NEWS_SUBJECT = "News about {n} of your requests"
NEWS_STATUS = {
    "open": "open",
    "in_progress": "we are working on it",
    "waiting_on_customer": "we need your answer",
    "resolved": "this should be solved",
    "closed": "closed",
}

OWN_FOOTER = (
    "You get this mail because this request is yours. Please answer on its page and not by mail: then whoever works"
    " on it sees it."
)
STRANGER_FOOTER = (
    "Somebody gave this address in our contact form. If that was not you, please ignore this mail."
)
FIRST_MAIL = "To read on or to answer, open the link in our first mail about it: it is meant for you alone."

# How many of what, by kind, in the order of what matters most: for one, and for several.
COUNTED = {
    "breached": ("1 ticket has missed a deadline", "{n} tickets have missed a deadline"),
    "due_soon": ("1 ticket is due soon", "{n} tickets are due soon"),
    "escalation_requested": ("1 escalation waits for a decision", "{n} escalations wait for a decision"),
    "assigned": ("1 ticket was assigned to you", "{n} tickets were assigned to you"),
    "customer_replied": ("1 customer replied", "{n} customers' replies came in"),
    "created": ("1 new ticket came in", "{n} new tickets came in"),
}
HAPPENED = {
    "breached": "deadline missed",
    "due_soon": "due soon",
    "escalation_requested": "escalation requested",
    "assigned": "assigned to you",
    "customer_replied": "customer replied",
    "created": "new",
}
DIGEST_FOOTER = (
    "You get this mail because you work at the desk. What you have read there already is not in it."
)


def subject_of(kind: str, payload: Payload) -> str:
    """The same for all mails of a ticket: some mail programs tell threads by it."""
    if kind == "digest":
        return _counted(payload)[0]
    if payload.items:
        return NEWS_SUBJECT.format(n=len(payload.items))
    return f"[{payload.ticket_number}] {payload.subject or UNNAMED_SUBJECT}"


def letter_of(kind: str, payload: Payload, desk_url: str) -> Letter:
    if kind == "digest":
        return _digest(payload, desk_url)
    return (_news if payload.items else _single)(kind, payload, desk_url)


def _single(kind: str, payload: Payload, desk_url: str) -> Letter:
    came_to = payload.status or payload.decision or ("answered" if payload.body else None)
    words = TO_REQUESTER.get(f"{kind}.{came_to}") or TO_REQUESTER.get(kind, OTHERWISE)
    filled_in = {"number": payload.ticket_number, "agent": isolated(payload.agent_name)}
    quoted = payload.body or payload.resolution
    blocks: list[Block] = [
        Paragraph(f"Hello {isolated(payload.to_name)}," if payload.to_name else "Hello,"),
        Paragraph(words.text.format(**filled_in)),
        *([Quote(quoted)] if quoted else []),
        _way_in(words.button, payload, desk_url),
    ]
    # An anonymous form says nothing here, not even its subject: it may have named anybody's address.
    footer = STRANGER_FOOTER if payload.subject is None else OWN_FOOTER
    return Letter(words.title.format(**filled_in), blocks, footer)


def _news(kind: str, payload: Payload, desk_url: str) -> Letter:
    """Lists changes of many requests of one requester."""
    items = [
        Item(
            number=news.ticket_number,
            title=news.subject,
            detail=NEWS_STATUS.get(news.status, news.status.replace("_", " ")),
            url=ticket_url(desk_url, news.ticket_number),
        )
        for news in payload.items
    ]
    blocks: list[Block] = [
        Paragraph(f"Hello {isolated(payload.to_name)}," if payload.to_name else "Hello,"),
        Paragraph("There is news about these requests:"),
        Items(items),
    ]
    return Letter(NEWS_SUBJECT.format(n=len(items)), blocks, OWN_FOOTER)


def _way_in(label: str, payload: Payload, desk_url: str) -> Block:
    """A link; an anonymous ticket opens with its token only, which the first mail alone carries."""
    url = ticket_url(desk_url, payload.ticket_number)
    if payload.subject is not None:
        return Button(label, url)
    if payload.access_token is None:
        return Paragraph(FIRST_MAIL)
    # A fragment stays in the browser: no server and no log gets to see it.
    return Button(label, f"{url}#token={payload.access_token}")


def _digest(payload: Payload, desk_url: str) -> Letter:
    first, *others = _counted(payload)
    also = f"Also: {'; '.join(others)}." if others else "This is what has come up since your last digest:"
    items = [
        Item(
            number=news.ticket_number,
            title=news.subject,
            detail=f"{HAPPENED.get(news.kind, 'news')} · {news.priority} priority · {news.status.replace('_', ' ')}",
            url=ticket_url(desk_url, news.ticket_number),
        )
        for news in payload.items
    ]
    unlisted = sum(payload.counts.values()) - len(items)
    blocks: list[Block] = [
        Paragraph(f"Hello {isolated(payload.to_name)}," if payload.to_name else "Hello,"),
        Paragraph(also),
        Items(items),
        *([Paragraph(f"And {unlisted:,} more, in your queue.")] if unlisted else []),
        Button("Open the queue", f"{desk_url}/tickets"),
    ]
    return Letter(first, blocks, DIGEST_FOOTER)


def _counted(payload: Payload) -> list[str]:
    known = [(COUNTED[kind], payload.counts[kind]) for kind in COUNTED if payload.counts.get(kind)]
    counted = [(one if n == 1 else several).format(n=f"{n:,}") for (one, several), n in known]
    return counted or ["News from the desk"]
