"""Takes signed webhooks: what happened to an issue in Linear, and what other systems have for the desk."""

from pydantic import ValidationError
from pydantic_core import from_json

from shared.errors import Invalid, Malformed
from shared.http.call import Call
from shared.http.endpoint import Answer, Handler, endpoint
from shared.http.signatures import require_linear, require_partner, require_recent
from shared.linear.models import LinearEvent
from shared.requests.confirmations import receipt, thanks
from shared.requests.conversations import judged, said
from shared.requests.partners import CompanionEvent, Envelope, TicketEvent, TransferEvent, came_from


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
    by = {"integration": require_partner(call.raw_body, call.request.headers)}
    call.as_service = True
    match call.body(Envelope).type:
        case "ticket":
            return await _file_ticket(call, by)
        case "ai_transfer":
            return await _file_transfer(call, by)
        case "companion":
            return await _file_wish(call, by)


async def _file_ticket(call: Call, by: dict[str, str]) -> Answer:
    ticket = call.body(TicketEvent).data
    return receipt(from_json(await call.rpc("receive_ticket", ticket.arguments() | by, came_from)))


async def _file_transfer(call: Call, by: dict[str, str]) -> Answer:
    transfer = call.body(TransferEvent).data
    verdict = await judged(said(transfer.conversation_history))
    arguments = transfer.arguments(verdict) | by
    filed = await call.rpc("receive_transfer", arguments, lambda name: came_from(transfer.came_from(name)))
    return receipt(from_json(filed))


async def _file_wish(call: Call, by: dict[str, str]) -> Answer:
    request = call.body(CompanionEvent).data
    if request.ticket_type == "bug":
        return receipt(from_json(await call.rpc("receive_ticket", request.arguments() | by, came_from)))
    return thanks(from_json(await call.rpc("receive_feedback", request.arguments() | by, came_from)))


HANDLERS: dict[str, Handler] = {"POST /linear": take_linear_event, "POST /tickets": take_partner_event}
receive_webhook = endpoint("receive-webhook", HANDLERS, anonymous=HANDLERS)
