"""Lets agents and admins change tickets, decide escalations, review feedback and retry dead letters."""

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

# Half of the function's timeout of 30 s: an agent waits for the response, and can ask again.
SWEEP_S = 15


async def change_ticket(call: Call) -> Answer:
    return await call.rpc("update_ticket", _ticket(call) | call.body(TicketChange).arguments())


async def delete_ticket(call: Call) -> Answer:
    return await call.rpc("delete_ticket", _ticket(call))


async def request_escalation(call: Call) -> Answer:
    return await call.rpc("request_escalation", _ticket(call) | call.body(EscalationRequest).arguments())


async def decide_escalation(call: Call) -> Answer:
    decision = call.body(EscalationDecision).arguments()
    return await call.rpc("decide_escalation", {"escalation": call.path["id"]} | decision)


async def review_feedback(call: Call) -> Answer:
    review = call.body(FeedbackReview).arguments()
    return await call.rpc("review_feedback", {"feedback": call.path["id"]} | review)


async def change_tickets(call: Call) -> Answer:
    answer = from_json(await call.rpc("update_tickets", call.body(BulkChange).arguments()))
    return {"outcomes": [_outcome(**outcome) for outcome in answer["outcomes"]]}


async def check_slas(call: Call) -> Answer:
    return await run_sweep(lambda arguments: call.rpc("sweep", arguments), SWEEP_S)


async def list_dead_letters(call: Call) -> Answer:
    return await call.rpc("list_dead_letters", {})


async def retry_dead_letter(call: Call) -> Answer:
    return await call.rpc("retry_dead_letter", {"id": _number(call.path["id"])})


def _ticket(call: Call) -> dict[str, Any]:
    """Leaves out the ticket's access token: agents are signed in."""
    return {"ticket": call.ticket["ticket"]}


def _outcome(ticket: str, ok: bool, **detail: Any) -> dict[str, Any]:
    """Describes one ticket's outcome as PATCH would have answered it, error or not."""
    if ok:
        return {"ticket": ticket, "success": True, **detail["result"]}
    body = raised(detail["sqlstate"], detail["message"], detail["details"] or {}).body(request_id="")
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
