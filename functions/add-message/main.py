"""Adds replies, internal notes, ratings and escalation requests to a ticket; closes a resolved one."""

from typing import Annotated

from pydantic import Field

from shared.http.call import Call
from shared.http.endpoint import Answer, Handler, endpoint
from shared.requests.fields import Attachments, Context, Description, Maybe, Rating, Short, Stored
from shared.requests.parsing import Body
from shared.requests.updates import EscalationRequest


class Reply(Body):
    """An agent may name a template, and the variables it needs beside the ticket's own, instead of a body."""

    body: Description | None = None
    is_internal: bool = False
    attachments: Attachments | None = None
    template: Short | None = None
    variables: Context | None = None


class Opinion(Body):
    rating: Rating
    comment: Maybe[Annotated[str, Field(max_length=2000), Stored]] = None


class Nothing(Body):
    pass


async def reply(call: Call) -> Answer:
    message = call.body(Reply).arguments() | {"idempotency_key": call.idempotency_key}
    return await call.rpc("add_message", call.ticket | message)


async def rate(call: Call) -> Answer:
    return await call.rpc("rate_ticket", call.ticket | call.body(Opinion).arguments())


async def close(call: Call) -> Answer:
    call.body(Nothing, may_be_empty=True)
    return await call.rpc("close_ticket", call.ticket)


async def request_escalation(call: Call) -> Answer:
    return await call.rpc("request_escalation", call.ticket | call.body(EscalationRequest).arguments())


HANDLERS: dict[str, Handler] = {
    "POST /{ticket}": reply,
    "POST /{ticket}/rating": rate,
    "POST /{ticket}/close": close,
    "POST /{ticket}/escalation": request_escalation,
}
add_message = endpoint("add-message", HANDLERS, anonymous=HANDLERS)
