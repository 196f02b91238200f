"""Files tickets, feedback and anonymous contact forms."""

from typing import Any

from pydantic_core import from_json

from shared.errors import Invalid
from shared.http.call import Call
from shared.http.contact_form import intake_arguments
from shared.http.endpoint import Answer, endpoint
from shared.linear.dispatch import dispatch_now
from shared.requests.confirmations import confirm_feedback, confirm_ticket
from shared.requests.tickets import AnyTicket, Contact, CreateTicket, Feedback, Unsigned

# The arguments of a ticket that an anonymous contact form has.
CONTACT_ARGUMENTS = ("subject", "description", "category", "requester_name", "requester_email")


async def file_payload(call: Call) -> Answer:
    if call.person is None and not call.body(Unsigned).is_contact:
        call.require_person()
    payload = call.body(CreateTicket).payload
    if isinstance(payload, Feedback):
        return await _store_feedback(call, payload)
    if call.person is None and isinstance(payload, Contact):
        return await _file_contact(call, payload)
    return await _file_ticket(call, payload)


async def _file_ticket(call: Call, ticket: AnyTicket) -> Answer:
    arguments = ticket.arguments() | {"idempotency_key": call.idempotency_key}
    stored = from_json(await call.rpc("create_ticket", arguments, ticket.request_path))
    return _confirm(ticket, stored) | await dispatch_now(stored, call.arrived)


async def _file_contact(call: Call, form: Contact) -> Answer:
    key = call.idempotency_key
    arguments = form.arguments()
    if arguments["requester_email"] is None:
        raise Invalid.at("payload.email", "is required when nobody is signed in")
    intake = intake_arguments(call.request, key)
    arguments = {name: arguments[name] for name in CONTACT_ARGUMENTS} | intake | {"idempotency_key": key}
    stored = from_json(await call.rpc("create_contact", arguments, form.request_path))
    return _confirm(form, stored) | {"access_token": intake["access_token"]}


async def _store_feedback(call: Call, feedback: Feedback) -> Answer:
    arguments = feedback.arguments() | {"idempotency_key": call.idempotency_key}
    return confirm_feedback(from_json(await call.rpc("create_feedback", arguments, feedback.request_path)))


def _confirm(ticket: AnyTicket, stored: dict[str, Any]) -> dict[str, Any]:
    # Clients that send ticket_type also read it.
    older_name = {"ticket_type": stored["category"]} if ticket.ticket_type else {}
    return confirm_ticket(stored) | older_name


create_ticket = endpoint("create-ticket", {"POST /": file_payload}, anonymous=("POST /",))
