"""Tests the client of Resend: each answer, and the fate of the mail."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import respx

from shared.config import load_mail
from shared.mail.message import Mail, mail_of
from shared.mail.resend import LONGEST_PAUSE, PER_SECOND, QUOTA_PAUSE, URL, Resend
from shared.outbox import Row, Undelivered

ENV = {
    "MAIL_FROM": "Acme, Support <support@example.com>",
    "MAIL_REPLY_TO": "answers@example.com",
    "DESK_URL": "https://desk.example.com",
    "RESEND_API_KEY": "re_secret",
}
TICKET = "6ab5bb02-3c51-4d6c-9a30-0a2b3b5d6f11"
PAYLOAD = {
    "to": "ada@example.com",
    "to_name": "Ada",
    "ticket_id": TICKET,
    "ticket_number": "SUP-00042",
    "subject": "Charged twice",
}
MAIL: Mail = mail_of(Row(7, "lease", "created", 1, PAYLOAD), load_mail(ENV))


@pytest.fixture
def resend() -> Iterator[respx.Route]:
    with respx.mock() as router:
        yield router.post(URL)


def send(*mails: Mail) -> None:
    async def all_at_once() -> None:
        client = Resend("re_secret")
        await asyncio.gather(*map(client.send, mails))

    asyncio.run(all_at_once())


def failure(route: respx.Route, answer: httpx.Response | httpx.HTTPError) -> Undelivered:
    """Returns the reason why the mail did not leave, after this answer of Resend."""
    route.mock(side_effect=[answer])
    with pytest.raises(Undelivered) as caught:
        send(MAIL)
    return caught.value


def refusal(status: int, name: str, **headers: str) -> httpx.Response:
    body = {"statusCode": status, "name": name, "message": "ada@example.com is not to our liking"}
    return httpx.Response(status, json=body, headers=headers)


def test_a_mail_is_sent_with_its_key(resend: respx.Route) -> None:
    resend.respond(json={"id": "49a3999c-0ce1-4ea6-ab68-afcd6dc2e794"})
    send(MAIL)

    request = resend.calls.last.request
    assert request.headers["authorization"] == "Bearer re_secret"
    assert request.headers["idempotency-key"] == MAIL.key
    assert json.loads(request.content) == {
        "from": '"Acme, Support" <support@example.com>',
        "to": ["Ada <ada@example.com>"],
        "reply_to": ["answers@example.com"],
        "subject": "[SUP-00042] Charged twice",
        "text": MAIL.text,
        "html": MAIL.html,
        "headers": {
            "Auto-Submitted": "auto-generated",
            "X-Auto-Response-Suppress": "OOF, AutoReply",
            "Message-ID": f"<{TICKET}.7@example.com>",
            "In-Reply-To": f"<{TICKET}@example.com>",
            "References": f"<{TICKET}@example.com>",
        },
    }


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "validation_error"),
        (413, "payload_too_large"),
        (422, "validation_error"),
        (422, "missing_required_field"),
        (422, "invalid_parameter"),
        (451, "security_error"),
    ],
)
def test_a_mail_that_is_refused_as_such_is_not_tried_again(
    resend: respx.Route, status: int, name: str
) -> None:
    problem = failure(resend, refusal(status, name))
    assert problem.permanent
    assert problem.reason == f"resend: {status} {name}"


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (401, "missing_api_key"),
        (401, "restricted_api_key"),
        (403, "invalid_api_key"),
        (403, "validation_error"),  # the domain is not verified yet
        (422, "invalid_from_address"),
        (404, "not_found"),
        (409, "concurrent_idempotent_requests"),
        (429, "rate_limit_exceeded"),
        (500, "application_error"),
        (503, "service_unavailable"),
    ],
)
def test_a_mail_waits_where_resend_or_our_set_up_is_at_fault(
    resend: respx.Route, status: int, name: str
) -> None:
    problem = failure(resend, refusal(status, name))
    assert not problem.permanent
    assert problem.reason == f"resend: {status} {name}"


@pytest.mark.parametrize(
    "error", [httpx.ConnectError("no route"), httpx.ReadTimeout("slow"), httpx.RemoteProtocolError("gone")]
)
def test_a_mail_waits_while_resend_cannot_be_reached(resend: respx.Route, error: httpx.HTTPError) -> None:
    problem = failure(resend, error)
    assert not problem.permanent
    assert problem.reason == f"resend: {type(error).__name__}"


@pytest.mark.parametrize(
    ("name", "asked", "pause"),
    [
        ("rate_limit_exceeded", {"retry-after": "7"}, 7),
        ("rate_limit_exceeded", {}, None),
        ("rate_limit_exceeded", {"retry-after": "soon"}, None),
        ("rate_limit_exceeded", {"retry-after": "9" * 400}, LONGEST_PAUSE),
        ("daily_quota_exceeded", {}, QUOTA_PAUSE),
        ("monthly_quota_exceeded", {}, QUOTA_PAUSE),
        ("daily_quota_exceeded", {"retry-after": "120"}, 120),
    ],
)
def test_who_asked_too_much_waits_as_long_as_resend_says(
    resend: respx.Route, name: str, asked: dict[str, str], pause: int | None
) -> None:
    problem = failure(resend, refusal(429, name, **asked))
    assert not problem.permanent
    assert problem.retry_after == pause


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Bad gateway</html>",
        b"null",
        b"[]",
        b'{"name": 5}',
        b'{"name": "ada@example.com"}',
        b"\xff\xfe",
    ],
)
@pytest.mark.parametrize("status", [422, 500])
def test_an_error_that_cannot_be_read_is_told_by_its_status(
    resend: respx.Route, status: int, body: bytes
) -> None:
    problem = failure(resend, httpx.Response(status, content=body))
    assert problem.permanent == (status == 422)
    assert problem.reason == f"resend: {status} unreadable"


def test_an_error_without_a_name_is_told_by_its_status(resend: respx.Route) -> None:
    assert failure(resend, httpx.Response(500, json={"message": "?"})).reason == "resend: 500 unnamed"


@pytest.mark.parametrize("body", [b"", b"<html>Welcome to the hotel</html>", b"{}", b'{"id": null}'])
def test_a_success_without_an_id_is_none(resend: respx.Route, body: bytes) -> None:
    problem = failure(resend, httpx.Response(200, content=body))
    assert not problem.permanent
    assert problem.reason == "resend: 200 without an id"


def test_a_redirect_is_not_followed(resend: respx.Route) -> None:
    problem = failure(resend, httpx.Response(302, headers={"location": "https://elsewhere.example.com"}))
    assert not problem.permanent


def test_a_mail_that_was_sent_in_other_words_is_not_sent_again(resend: respx.Route) -> None:
    resend.mock(side_effect=[refusal(409, "invalid_idempotent_request")])
    send(MAIL)


def test_no_reason_names_an_address(resend: respx.Route) -> None:
    answers: list[Any] = [refusal(422, "validation_error"), refusal(500, "ada@example.com")]
    for answer in answers:
        assert "@" not in failure(resend, answer).reason


def test_requests_keep_to_the_rate_that_everybody_has(resend: respx.Route) -> None:
    resend.respond(json={"id": "1"})
    begun = time.monotonic()
    send(MAIL, MAIL, MAIL)

    assert resend.call_count == 3
    assert time.monotonic() - begun >= 2 / PER_SECOND
