"""Receives signed webhooks: changes of Linear's issues, and tickets, transfers and feedback of partners."""

from pydantic import ValidationError
from pydantic_core import from_json

from shared.errors import Invalid, Malformed
from shared.http.call import Call
from shared.http.endpoint import Answer, Handler, endpoint
from shared.http.signatures import require_linear, require_partner, require_recent
from shared.linear.models import LinearEvent
from shared.requests.confirmations import confirm_feedback, confirm_ticket
from shared.requests.conversations import decide_in_thread, triage_messages
from shared.requests.partners import CompanionEvent, Envelope, TicketEvent, TransferEvent


async def take_linear_event(call: Call) -> Answer:
    require_linear(call.raw_body, call.request.headers)
    try:
        event = LinearEvent.model_validate_json(call.raw_body)
    except ValidationError:
        raise Malformed("This is no event of Linear.") from None
    require_recent(event.sent_at_ms)
    delivery = call.request.headers.get("linear-delivery", "")
    if not 1 <= len(delivery) <= 255:
        raise Invalid.at("Linear-Delivery", "must name the delivery")
    changes = event.changes()
    if not changes:
        return {"applied": 0, "duplicate": False}
    call.as_service = True
    return await call.rpc("receive_linear", {"delivery": delivery, **changes})


async def take_partner_event(call: Call) -> Answer:
    sender = {"integration": require_partner(call.raw_body, call.request.headers)}
    call.as_service = True
    match call.body(Envelope).type:
        case "ticket":
            return await _file_ticket(call, sender)
        case "ai_transfer":
            return await _file_transfer(call, sender)
        case "companion":
            return await _file_wish(call, sender)


async def _file_ticket(call: Call, sender: dict[str, str]) -> Answer:
    ticket = call.body(TicketEvent).data
    stored = await call.rpc("receive_ticket", ticket.arguments() | sender, ticket.request_path)
    return confirm_ticket(from_json(stored))


async def _file_transfer(call: Call, sender: dict[str, str]) -> Answer:
    transfer = call.body(TransferEvent).data
    verdict = await decide_in_thread(triage_messages(transfer.conversation_history))
    arguments = transfer.triaged_arguments(verdict) | sender
    return confirm_ticket(from_json(await call.rpc("receive_transfer", arguments, transfer.request_path)))


async def _file_wish(call: Call, sender: dict[str, str]) -> Answer:
    request = call.body(CompanionEvent).data
    is_bug = request.ticket_type == "bug"
    name, confirm = ("receive_ticket", confirm_ticket) if is_bug else ("receive_feedback", confirm_feedback)
    return confirm(from_json(await call.rpc(name, request.arguments() | sender, request.request_path)))


HANDLERS: dict[str, Handler] = {"POST /linear": take_linear_event, "POST /tickets": take_partner_event}
receive_webhook = endpoint("receive-webhook", HANDLERS, anonymous=HANDLERS)
