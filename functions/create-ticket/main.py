"""Files a ticket of any kind, feedback, or a contact form that nobody is signed in to."""

from typing import Any

from pydantic_core import from_json

from shared.errors import Invalid
from shared.http.call import Call
from shared.http.contact_form import intake_arguments
from shared.http.endpoint import Answer, endpoint
from shared.linear.dispatch import dispatch_now
from shared.requests.confirmations import receipt, thanks
from shared.requests.tickets import AnyTicket, Contact, CreateTicket, Feedback, Unsigned

# The arguments of a ticket that an unsigned contact form has.
CONTACT = ("subject", "description", "category", "requester_name", "requester_email")


async def file_payload(call: Call) -> Answer:
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
    return _receipt(ticket, filed) | await dispatch_now(filed, call.arrived)


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
    return thanks(from_json(await call.rpc("create_feedback", arguments, feedback.came_from)))


def _receipt(ticket: AnyTicket, filed: dict[str, Any]) -> dict[str, Any]:
    # Callers who say ticket_type read ticket_type.
    echoed = {"ticket_type": filed["category"]} if ticket.ticket_type else {}
    return receipt(filed) | echoed


create_ticket = endpoint("create-ticket", {"POST /": file_payload}, anonymous=("POST /",))
