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


@endpoint(
    "PATCH /{ticket}",
    "DELETE /{ticket}",
    "POST /{ticket}/escalations",
    "PATCH /escalations/{id}",
    "PATCH /feedback/{id}",
    "POST /bulk",
    "POST /sla-check",
    "GET /dead-letters",
    "POST /dead-letters/{id}/retry",
)
async def admin_update(call: Call) -> Answer:
    match call.route:
        case "PATCH /{ticket}":
            return await call.rpc("update_ticket", _ticket(call) | call.body(TicketChange).arguments())
        case "DELETE /{ticket}":
            return await call.rpc("delete_ticket", _ticket(call))
        case "POST /{ticket}/escalations":
            return await call.rpc(
                "request_escalation", _ticket(call) | call.body(EscalationRequest).model_dump()
            )
        case "PATCH /escalations/{id}":
            return await call.rpc(
                "decide_escalation",
                {"escalation": call.path["id"]} | call.body(EscalationDecision).arguments(),
            )
        case "PATCH /feedback/{id}":
            review = call.body(FeedbackReview).model_dump()
            return await call.rpc("review_feedback", {"feedback": call.path["id"]} | review)
        case "POST /bulk":
            return await _bulk(call)
        case "POST /sla-check":
            return await run_sweep(lambda arguments: call.rpc("sweep", arguments), SWEEP_SECONDS)
        case "GET /dead-letters":
            return await call.rpc("list_dead_letters", {})
        case _:
            return await call.rpc("retry_dead_letter", {"id": _number(call.path["id"])})


def _ticket(call: Call) -> dict[str, Any]:
    """Agents are signed in: a ticket's own token has no say here."""
    return {"ticket": call.ticket["ticket"]}


async def _bulk(call: Call) -> Answer:
    answer = from_json(await call.rpc("update_tickets", call.body(BulkChange).arguments()))
    return {"outcomes": [_outcome(**outcome) for outcome in answer["outcomes"]]}


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
