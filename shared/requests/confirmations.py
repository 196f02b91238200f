"""What somebody is told who has filed a ticket or given feedback."""

from typing import Any

# By issue_type; {} is when the SLA policy of the ticket promises a first response.
FILED = {
    "ai_transfer": "We've passed your conversation on to our team. A person typically responds {}.",
    "bug": "Thank you for reporting this bug. We'll investigate and get back to you.",
    "chatbot": "Thank you for flagging this answer. We'll look into the conversation.",
    "contact": "We've received your message.",
    "other": "Thank you for your report. We'll look into it and get back to you.",
    "support": "Your support ticket has been created. We typically respond {}.",
    "webhook": "The ticket has been created. We typically respond {}.",
}
# By the category of feedback.
THANKS = {
    "feature_request": "Thanks for the feature request! We review all suggestions for our roadmap.",
    "improvement": "Thanks for the suggestion! We review all ideas for making things better.",
    "complaint": "We're sorry that this didn't go well. Thank you for telling us: we'll look into it.",
    "praise": "Thank you for the kind words! We'll pass them on to the team.",
    "other": "Thank you for your feedback! We read all of it.",
}


def receipt(filed: dict[str, Any]) -> dict[str, Any]:
    """The answer to who filed a ticket, made of what the store answered."""
    ticket = {name: value for name, value in filed.items() if name != "first_response_minutes"}
    message = FILED[filed["issue_type"]].format(_respond(filed["first_response_minutes"]))
    return ticket | {"message": message, "error": None}


def thanks(given: dict[str, Any]) -> dict[str, Any]:
    """The answer to who gave feedback, made of what the store answered."""
    return {
        "feedback_id": given["feedback_id"],
        "message": THANKS[given["category"]],
        "created_at": given["created_at"],
        "error": None,
    }


def _respond(minutes: int | None) -> str:
    """What the SLA policy of the ticket promises, in the coarsest unit that is exact."""
    if minutes is None:
        return "as soon as we can"
    count, unit = (minutes // 60, "hour") if minutes % 60 == 0 else (minutes, "minute")
    return f"within {count} {unit}{'' if count == 1 else 's'}"
