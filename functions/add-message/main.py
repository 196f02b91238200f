"""Adds to a ticket: a reply or an internal note, a rating, "solved, thanks", and the wish to escalate it."""

from typing import Annotated

from pydantic import Field

from shared.http.call import Call
from shared.http.endpoint import Answer, endpoint
from shared.requests.fields import Attachments, Context, Description, Maybe, Rating, Short, Stored
from shared.requests.parsing import Body
from shared.requests.updates import EscalationRequest

ROUTES = ("POST /{ticket}", "POST /{ticket}/rating", "POST /{ticket}/close", "POST /{ticket}/escalation")


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


@endpoint(*ROUTES, anonymous=ROUTES)
async def add_message(call: Call) -> Answer:
    match call.route:
        case "POST /{ticket}":
            reply = call.body(Reply).model_dump() | {"idempotency_key": call.idempotency_key}
            return await call.rpc("add_message", call.ticket | reply)
        case "POST /{ticket}/rating":
            return await call.rpc("rate_ticket", call.ticket | call.body(Opinion).model_dump())
        case "POST /{ticket}/escalation":
            return await call.rpc(
                "request_escalation", call.ticket | call.body(EscalationRequest).model_dump()
            )
        case _:
            call.body(Nothing, may_be_empty=True)
            return await call.rpc("close_ticket", call.ticket)
