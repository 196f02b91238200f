"""Files a ticket of any kind, feedback, or a contact form that nobody is signed in to."""

from typing import Any

from pydantic_core import from_json

from shared.call import Call
from shared.endpoint import Answer, endpoint
from shared.errors import Invalid
from shared.handover import forwarded
from shared.intake import intake_arguments
from shared.payloads import AnyTicket, Contact, CreateTicket, Feedback, Unsigned

FILED = {
    "bug": "Thank you for reporting this bug. We'll investigate and get back to you.",
    "chatbot": "Thank you for flagging this answer. We'll look into the conversation.",
    "other": "Thank you for your report. We'll look into it and get back to you.",
    "contact": "We've received your message.",
}
FILED_SUPPORT = "Your support ticket has been created. We typically respond {}."
# The arguments of a ticket that an unsigned contact form has.
CONTACT = ("subject", "description", "category", "requester_name", "requester_email")
THANKS = {
    "feature_request": "Thanks for the feature request! We review all suggestions for our roadmap.",
    "improvement": "Thanks for the suggestion! We review all ideas for making things better.",
    "complaint": "We're sorry that this didn't go well. Thank you for telling us: we'll look into it.",
    "praise": "Thank you for the kind words! We'll pass them on to the team.",
    "other": "Thank you for your feedback! We read all of it.",
}


@endpoint("POST /", anonymous=("POST /",))
async def create_ticket(call: Call) -> Answer:
    if call.person is None and not call.body(Unsigned).is_contact:
        call.require_person()
    payload = call.body(CreateTicket).payload
    if isinstance(payload, Feedback):
        return await _give_feedback(call, payload)
    if call.person is None and isinstance(payload, Contact):
        return await _file_contact(call, payload)
    return await _file_ticket(call, payload)


async def _file_ticket(call: Call, ticket: AnyTicket) -> Answer:
    arguments = ticket.arguments() | {"idempotency_key": call.idempotency_key}
    filed = from_json(await call.rpc("create_ticket", arguments, ticket.came_from))
    return _receipt(ticket, filed) | await forwarded(filed, call.arrived)


async def _file_contact(call: Call, form: Contact) -> Answer:
    key = call.idempotency_key
    written = form.arguments()
    if written["requester_email"] is None:
        raise Invalid.at("payload.email", "is required when nobody is signed in")
    written = {name: written[name] for name in CONTACT}
    intake = intake_arguments(call.request, key)
    filed = from_json(
        await call.rpc("create_contact", written | intake | {"idempotency_key": key}, form.came_from)
    )
    return _receipt(form, filed) | {"access_token": intake["access_token"]}


async def _give_feedback(call: Call, feedback: Feedback) -> Answer:
    arguments = feedback.arguments() | {"idempotency_key": call.idempotency_key}
    given = from_json(await call.rpc("create_feedback", arguments, feedback.came_from))
    return {
        "feedback_id": given["feedback_id"],
        "message": THANKS[feedback.category],
        "created_at": given["created_at"],
        "error": None,
    }


def _receipt(ticket: AnyTicket, filed: dict[str, Any]) -> dict[str, Any]:
    respond = _respond(filed.pop("first_response_minutes"))
    message = FILED.get(ticket.issue_type) or FILED_SUPPORT.format(respond)
    # Callers who say ticket_type read ticket_type.
    echoed = {"ticket_type": filed["category"]} if ticket.ticket_type else {}
    return filed | echoed | {"message": message, "error": None}


def _respond(minutes: int | None) -> str:
    """What the SLA policy of the ticket promises, in the coarsest unit that is exact."""
    if minutes is None:
        return "as soon as we can"
    count, unit = (minutes // 60, "hour") if minutes % 60 == 0 else (minutes, "minute")
    return f"within {count} {unit}{'' if count == 1 else 's'}"
