"""Words the confirmations of filed tickets and of feedback."""

from typing import Any

from shared.choices import FeedbackCategory

# By issue type; {} is the time of the first response by the ticket's SLA policy.
TICKET_SENTENCES = {
    "ai_transfer": "We've passed your conversation on to our team. A person typically responds {}.",
    "bug": "Thank you for reporting this bug. We'll investigate and get back to you.",
    "chatbot": "Thank you for flagging this answer. We'll look into the conversation.",
    "contact": "We've received your message.",
    "other": "Thank you for your report. We'll look into it and get back to you.",
    "support": "Your support ticket has been created. We typically respond {}.",
    "webhook": "The ticket has been created. We typically respond {}.",
}
# By the category of feedback.
FEEDBACK_SENTENCES: dict[FeedbackCategory, str] = {
    "feature_request": "Thanks for the feature request! We review all suggestions for our roadmap.",
    "improvement": "Thanks for the suggestion! We review all ideas for making things better.",
    "complaint": "We're sorry that this didn't go well. Thank you for telling us: we'll look into it.",
    "praise": "Thank you for the kind words! We'll pass them on to the team.",
    "other": "Thank you for your feedback! We read all of it.",
}


def confirm_ticket(stored: dict[str, Any]) -> dict[str, Any]:
    """Returns the response to a filed ticket, from the store's response."""
    ticket = dict(stored)
    time = _response_time(ticket.pop("first_response_minutes"), ticket.pop("in_working_time"))
    message = TICKET_SENTENCES[stored["issue_type"]].format(time)
    return ticket | {"message": message, "error": None}


def confirm_feedback(stored: dict[str, Any]) -> dict[str, Any]:
    """Returns the response to feedback, from the store's response."""
    return {
        "feedback_id": stored["feedback_id"],
        "message": FEEDBACK_SENTENCES[stored["category"]],
        "created_at": stored["created_at"],
        "error": None,
    }


def _response_time(minutes: int | None, in_working_time: bool) -> str:
    """Words the target of the SLA policy, in the largest exact unit."""
    if minutes is None:
        return "as soon as we can"
    count, unit = (minutes // 60, "hour") if minutes % 60 == 0 else (minutes, "minute")
    kind = "working " if in_working_time else ""
    return f"within {count} {kind}{unit}{'' if count == 1 else 's'}"
