"""Where an assistant hands over: what a conversation needs, a ticket made of it, and what people ask the companion to file."""

from typing import Any

from pydantic_core import from_json

from shared.http.call import Call
from shared.http.endpoint import Answer, endpoint
from shared.requests.companion import Chat
from shared.requests.confirmations import receipt, thanks
from shared.requests.conversations import Analysis, Transfer, judged, said
from shared.triage.verdict import Verdict
from shared.triage.wishes import wish_of

FOR_A_PERSON = "This sounds like something for a person. Shall I pass our conversation on to our team?"
WHAT_I_FILE = "I can file something for you: say “report bug”, “I have feedback” or “feature request”, and what it is about."


async def transfer(call: Call) -> Answer:
    conversation = call.body(Transfer)
    verdict = await judged(said(conversation.conversation_history))
    filed = await call.rpc("create_transfer", conversation.arguments(verdict), conversation.came_from)
    return receipt(from_json(filed)) | {"triage": _told(verdict)}


async def analyze(call: Call) -> Answer:
    return _told(await judged(said(call.body(Analysis).messages)))


async def answer_companion(call: Call) -> Answer:
    chat = call.body(Chat)
    wish = wish_of(chat.message)
    return await _file(call, chat, wish) if wish else await _advise(chat)


async def _file(call: Call, chat: Chat, wish: str) -> Answer:
    arguments = {"description": chat.description, "idempotency_key": call.idempotency_key or chat.key}
    if wish == "bug":
        filed = await call.rpc("create_ticket", arguments | {"issue_type": "bug", "subject": chat.subject})
        return {"filed": "bug"} | receipt(from_json(filed))
    given = await call.rpc("create_feedback", arguments | {"category": wish})
    return {"filed": "feedback", "category": wish} | thanks(from_json(given))


async def _advise(chat: Chat) -> Answer:
    verdict = await judged(chat.conversation)
    message = f"{FOR_A_PERSON} {WHAT_I_FILE}" if verdict.escalate else WHAT_I_FILE
    return {"filed": None, "message": message, "triage": _told(verdict)}


def _told(verdict: Verdict) -> dict[str, Any]:
    return verdict._asdict() | {"reasons": [reason._asdict() for reason in verdict.reasons]}


ai_escalation = endpoint(
    "ai-escalation",
    {"POST /": transfer, "POST /analyze": analyze, "POST /companion": answer_companion},
)
