"""A payload of every kind as a form would send it, and how one is sent."""

from typing import Any

import httpx

PAYLOADS: dict[str, dict[str, Any]] = {
    "chatbot": {
        "issue_type": "chatbot",
        "domain_id": "shop",
        "session_id": "session 1/ä",
        "selected_message_content": "We deliver on Sundays.",
        "issue_subtype": "not_accurate",
        "expected_answer": "We do not.",
        "reporter_name": "Ada",
        "reporter_email": "ada@example.com",
    },
    "other": {
        "issue_type": "other",
        "title": "The menu jumps",
        "description": "It jumps when I scroll.",
        "reporter_name": "Ada",
        "reporter_email": "ada@example.com",
    },
    "bug": {
        "issue_type": "bug",
        "description": "The calendar shows wrong dates\nby one day",
        "steps_to_reproduce": "1. Open calendar",
        "expected_behavior": "The right dates",
        "actual_behavior": "Shifted by a day",
        "device_info": "iPhone 15 Pro, iOS 18.1",
        "app_version": "1.0.0",
        "screenshot_urls": ["https://files.example.com/1.png"],
    },
    "support": {
        "issue_type": "support",
        "category": "billing",
        "subject": "Charged twice",
        "description": "I was charged twice on January 5th.",
        "priority": "high",
        "attachments": ["https://files.example.com/bill.pdf", "http://localhost:9000/x"],
        "error_details": "E42",
        "context": {"order_id": "A-17", "merchant_id": 5, "vip": True, "note": None},
    },
    "contact": {"issue_type": "contact", "email": "ada@example.com", "description": "Do you ship?"},
    "feedback": {
        "issue_type": "feedback",
        "category": "feature_request",
        "description": "It would be great to track goals.",
        "rating": 4,
        "feature_name": "goals",
        "would_recommend": True,
    },
}
TICKETS = ("chatbot", "other", "bug", "support", "contact")


def send(
    client: httpx.Client, kind: str, headers: dict[str, str] | None = None, **changes: Any
) -> httpx.Response:
    """Send the payload of that kind, some fields changed or, where None, left out."""
    fields = {name: value for name, value in {**PAYLOADS[kind], **changes}.items() if value is not None}
    return client.post("/create-ticket", json={"payload": fields}, headers=headers)


def file(client: httpx.Client, kind: str = "other", **changes: Any) -> dict[str, Any]:
    """File a ticket: what create-ticket answered."""
    response = send(client, kind, **changes)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def detail(client: httpx.Client, ticket: str) -> dict[str, Any]:
    """The ticket with all that the caller may see of it."""
    response = client.get(f"/list-tickets/{ticket}")
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def every_message(client: httpx.Client, ticket: str) -> list[dict[str, Any]]:
    """Reads the whole conversation, page after page from the newest, in the order of its messages."""
    answer = detail(client, ticket)
    messages: list[dict[str, Any]] = answer["messages"]
    while cursor := answer["messages_before"]:
        answer = client.get(f"/list-tickets/{ticket}", params={"messages_before": cursor}).json()
        messages = answer["messages"] + messages
    return messages
