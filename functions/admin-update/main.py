"""What agents and admins do to tickets: change one or a hundred, decide escalations, review feedback, check SLAs."""

from typing import Any

from pydantic_core import from_json

from shared.errors import NotFound, raised
from shared.http.call import Call
from shared.http.endpoint import Answer, endpoint
from shared.requests.updates import (
    BulkChange,
    EscalationDecision,
    EscalationRequest,
    FeedbackReview,
    TicketChange,
)
from shared.sla_sweep import run_sweep

# The function's timeout is 30 s; who asks on demand would rather hear soon, and ask again for more.
SWEEP_SECONDS = 15


async def change_ticket(call: Call) -> Answer:
    return await call.rpc("update_ticket", _ticket(call) | call.body(TicketChange).arguments())


async def delete_ticket(call: Call) -> Answer:
    return await call.rpc("delete_ticket", _ticket(call))


async def request_escalation(call: Call) -> Answer:
    return await call.rpc("request_escalation", _ticket(call) | call.body(EscalationRequest).model_dump())


async def decide_escalation(call: Call) -> Answer:
    decision = call.body(EscalationDecision).arguments()
    return await call.rpc("decide_escalation", {"escalation": call.path["id"]} | decision)


async def review_feedback(call: Call) -> Answer:
    review = call.body(FeedbackReview).model_dump()
    return await call.rpc("review_feedback", {"feedback": call.path["id"]} | review)


async def change_tickets(call: Call) -> Answer:
    answer = from_json(await call.rpc("update_tickets", call.body(BulkChange).arguments()))
    return {"outcomes": [_outcome(**outcome) for outcome in answer["outcomes"]]}


async def check_slas(call: Call) -> Answer:
    return await run_sweep(lambda arguments: call.rpc("sweep", arguments), SWEEP_SECONDS)


async def list_dead_letters(call: Call) -> Answer:
    return await call.rpc("list_dead_letters", {})


async def retry_dead_letter(call: Call) -> Answer:
    return await call.rpc("retry_dead_letter", {"id": _number(call.path["id"])})


def _ticket(call: Call) -> dict[str, Any]:
    """Agents are signed in: a ticket's own token has no say here."""
    return {"ticket": call.ticket["ticket"]}


def _outcome(ticket: str, ok: bool, **told: Any) -> dict[str, Any]:
    """One ticket's outcome: as PATCH answers it, or the error that PATCH would have answered with."""
    if ok:
        return {"ticket": ticket, "success": True, **told["result"]}
    body = raised(told["sqlstate"], told["message"], told["details"] or {}).body(request_id="")
    return {"ticket": ticket, **{name: body[name] for name in body if name != "request_id"}}


def _number(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > 18:
        raise NotFound("There is no such dead letter.")
    return int(text)


admin_update = endpoint(
    "admin-update",
    {
        "PATCH /{ticket}": change_ticket,
        "DELETE /{ticket}": delete_ticket,
        "POST /{ticket}/escalations": request_escalation,
        "PATCH /escalations/{id}": decide_escalation,
        "PATCH /feedback/{id}": review_feedback,
        "POST /bulk": change_tickets,
        "POST /sla-check": check_slas,
        "GET /dead-letters": list_dead_letters,
        "POST /dead-letters/{id}/retry": retry_dead_letter,
    },
)
