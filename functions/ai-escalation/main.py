"""Files conversations with an assistant as tickets, triages them, and answers messages to the companion."""

from typing import Any

from pydantic_core import from_json

from shared.http.call import Call
from shared.http.endpoint import Answer, endpoint
from shared.requests.companion import Chat
from shared.requests.confirmations import confirm_feedback, confirm_ticket
from shared.requests.conversations import Analysis, Transfer, decide_in_thread, triage_messages
from shared.triage.verdict import Verdict
from shared.triage.wishes import find_wish

ESCALATION_OFFER = "This sounds like something for a person. Shall I pass our conversation on to our team?"
COMPANION_HELP = (
    "I can file something for you: say “report bug”, “I have feedback” or “feature request”,"
    " and what it is about."
)


async def transfer(call: Call) -> Answer:
    conversation = call.body(Transfer)
    verdict = await decide_in_thread(triage_messages(conversation.conversation_history))
    arguments = conversation.triaged_arguments(verdict)
    stored = await call.rpc("create_transfer", arguments, conversation.request_path)
    return confirm_ticket(from_json(stored)) | {"triage": _describe(verdict)}


async def analyze(call: Call) -> Answer:
    messages = call.body(Analysis).messages
    await call.rpc("begin_analysis", {})
    return _describe(await decide_in_thread(triage_messages(messages)))


async def answer_companion(call: Call) -> Answer:
    chat = call.body(Chat)
    wish = find_wish(chat.message)
    return await _file(call, chat, wish) if wish else await _advise(call, chat)


async def _file(call: Call, chat: Chat, wish: str) -> Answer:
    arguments = {"description": chat.description, "idempotency_key": call.idempotency_key or chat.key}
    if wish == "bug":
        stored = await call.rpc("create_ticket", arguments | {"issue_type": "bug", "subject": chat.subject})
        return {"filed": "bug"} | confirm_ticket(from_json(stored))
    stored = await call.rpc("create_feedback", arguments | {"category": wish})
    return {"filed": "feedback", "category": wish} | confirm_feedback(from_json(stored))


async def _advise(call: Call, chat: Chat) -> Answer:
    await call.rpc("begin_analysis", {})
    verdict = await decide_in_thread(chat.conversation)
    message = f"{ESCALATION_OFFER} {COMPANION_HELP}" if verdict.escalate else COMPANION_HELP
    return {"filed": None, "message": message, "triage": _describe(verdict)}


def _describe(verdict: Verdict) -> dict[str, Any]:
    return verdict._asdict() | {
        "candidates": [candidate._asdict() for candidate in verdict.candidates],
        "reasons": [reason._asdict() for reason in verdict.reasons],
    }


ai_escalation = endpoint(
    "ai-escalation",
    {"POST /": transfer, "POST /analyze": analyze, "POST /companion": answer_companion},
)
