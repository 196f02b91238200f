"""Takes signed webhooks: what happened to an issue in Linear, and what other systems have for the desk."""

from pydantic import ValidationError

from shared.call import Call
from shared.endpoint import Answer, endpoint
from shared.errors import Invalid, Malformed
from shared.issues import LinearEvent
from shared.signatures import require_linear, require_recent

ROUTES = ("POST /linear",)


@endpoint(*ROUTES, anonymous=ROUTES)
async def receive_webhook(call: Call) -> Answer:
    require_linear(call.raw_body, call.request.headers)
    try:
        event = LinearEvent.model_validate_json(call.raw_body)
    except ValidationError:
        raise Malformed("This is no event of Linear.") from None
    require_recent(event.sent_at_ms)
    delivery = call.request.headers.get("linear-delivery", "")
    if not 1 <= len(delivery) <= 255:
        raise Invalid.at("Linear-Delivery", "must name the delivery")
    news = event.news()
    if not news:
        return {"applied": 0, "duplicate": False}
    call.as_service = True
    return await call.rpc("receive_linear", {"delivery": delivery, **news})
