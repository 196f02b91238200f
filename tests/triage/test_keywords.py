"""Holds a team's keywords to their category and priority, in any sentence."""

import pytest

from shared.triage.verdict import Message, triage

# Category, priority, and the keywords that a team wrote down. Urgency names no category.
KEYWORDS = {
    ("security_concern", "urgent"): ("unauthorized", "fraud", "hacked", "suspicious", "security concern"),
    ("banking_issue", "high"): (
        "transfer failed",
        "deposit",
        "withdrawal",
        "account locked",
        "balance wrong",
    ),
    ("account_access", "high"): ("cannot login", "locked out", "forgot password", "account access"),
    ("app_error", "medium"): ("error", "crash", "bug", "failed", "exception", "not working"),
    (None, "high"): ("urgent", "critical", "emergency", "asap", "immediately"),
}
FRAMES = (
    "{}",
    "I think: {}.",
    "{}!",
    "My problem is {} since yesterday, please help",
    "hello there, i have a question about my account, {}",
)


@pytest.mark.parametrize(
    ("text", "category", "priority"),
    [
        (frame.format(keyword), category, priority)
        for (category, priority), keywords in KEYWORDS.items()
        for keyword in keywords
        for frame in FRAMES
    ],
)
def test_a_keyword_decides_in_every_frame(text: str, category: str | None, priority: str) -> None:
    verdict = triage([Message("customer", text)])
    assert (verdict.escalate, verdict.category, verdict.priority) == (True, category, priority)


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("I get an error when I upload a photo", "app_error"),
        ("The upload failed", "app_error"),
        ("The page fails to load", "app_error"),
        ("Error 404", "app_error"),
        ("error code 500", "app_error"),
        ("login failed", "app_error"),
        ("app freezes", "app_error"),
        ("it is broken", "app_error"),
        ("the website is down", "app_error"),
        ("my deposits are missing", "banking_issue"),
        ("2FA code does not arrive", "account_access"),
        ("Two-factor codes do not arrive", "account_access"),
        ("refund please", "transaction_error"),
    ],
)
def test_a_plain_sentence_gets_the_category_of_its_keyword(text: str, category: str) -> None:
    verdict = triage([Message("customer", text)])
    assert (verdict.escalate, verdict.category) == (True, category)
    assert verdict.priority != "urgent"


@pytest.mark.parametrize(
    "text",
    [
        "can you help me immediately",
        "The calendar integration shows wrong dates",
        "I love this app",
        "Customer wants a refund of the ticket to the concert",
        "The quokka bit me",
        "My tulips do not grow this year",
        "The gearbox of my tractor makes noises",
    ],
)
def test_another_trade_gets_no_guess(text: str) -> None:
    verdict = triage([Message("customer", text)])
    assert verdict.category in (None, "transaction_error" if "refund" in text else None)
    assert verdict.priority != "urgent"
