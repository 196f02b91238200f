"""Tests create-ticket: what people can and cannot file."""

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
import psycopg
import pytest

from deploy.migrate import Connection
from local.auth.keys import load_keys
from local.people import Client, NewPerson, Person, RunningStack, Serve
from local.ports import free_ports
from tests.assertions import assert_problem, assert_unavailable
from tests.payloads import PAYLOADS, TICKETS, file, send


@pytest.fixture(autouse=True)
def _new_network(db: Connection) -> None:
    """All tests come from one address, and what one of them sent is no other's quota."""
    db.execute("delete from desk_private.quotas where kind like 'anonymous%'")


def test_a_customer_files_a_bug_report(api: Client, customer: Person) -> None:
    response = send(api(customer), "bug")

    assert response.status_code == 200
    answer = response.json()
    assert UUID(answer.pop("ticket_id"))
    assert answer.pop("ticket_number").startswith("SUP-")
    assert answer.pop("created_at").endswith("Z")
    assert answer.pop("linear") == "created"
    assert UUID(answer.pop("issue_id"))
    assert answer.pop("issue_identifier").startswith("ENG-")
    assert answer.pop("issue_url").startswith("http://127.0.0.1")
    assert answer == {
        "success": True,
        "issue_type": "bug",
        "status": "open",
        "priority": "medium",
        "category": "bug",
        "message": "Thank you for reporting this bug. We'll investigate and get back to you.",
        "error": None,
    }
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-request-id"]


@pytest.mark.parametrize("kind", TICKETS)
def test_a_customer_files_a_ticket_of_every_kind(
    kind: str, api: Client, customer: Person, db: Connection
) -> None:
    answer = file(api(customer), kind)

    assert answer["issue_type"] == kind
    assert "access_token" not in answer
    row = db.execute(
        "select customer_id, requester_email from desk.support_tickets where id = %s", [answer["ticket_id"]]
    ).fetchone()
    assert row == (customer.id, customer.email)


def test_what_is_special_to_a_kind_is_kept(api: Client, customer: Person, db: Connection) -> None:
    def kept(kind: str) -> tuple[Any, ...]:
        number = file(api(customer), kind)["ticket_number"]
        row = db.execute(
            "select subject, description, context, array(select url from desk.ticket_attachments a"
            " where a.ticket_id = t.id order by url)"
            " from desk.support_tickets t where ticket_number = %s",
            [number],
        ).fetchone()
        assert row
        return row

    subject, description, context, attachments = kept("bug")
    assert subject == "The calendar shows wrong dates"
    assert description == PAYLOADS["bug"]["description"]
    assert context["device_info"] == "iPhone 15 Pro, iOS 18.1"
    assert attachments == PAYLOADS["bug"]["screenshot_urls"]

    subject, _, context, attachments = kept("support")
    assert subject == "Charged twice"
    assert context == {
        "order_id": "A-17",
        "merchant_id": 5,
        "vip": True,
        "note": None,
        "error_details": "E42",
    }
    assert attachments == sorted(PAYLOADS["support"]["attachments"])

    subject, description, context, _ = kept("chatbot")
    assert subject == "An answer was not accurate in shop"
    assert "We deliver on Sundays." in description
    assert "We do not." in description
    assert context["conversation_link"].endswith("/conversations/shop/session%201%2F%C3%A4")

    assert kept("other")[0] == "The menu jumps"
    assert kept("contact")[0] == "Contact form"


def test_feedback_is_no_ticket(api: Client, customer: Person, db: Connection) -> None:
    answer = file(api(customer), "feedback")

    assert set(answer) == {"success", "feedback_id", "message", "created_at", "error"}
    assert answer["message"] == "Thanks for the feature request! We review all suggestions for our roadmap."
    rows = db.execute(
        "select id::text, rating, feature_name, would_recommend from desk.user_feedback where user_id = %s",
        [customer.id],
    ).fetchall()
    assert rows == [(answer["feedback_id"], 4, "goals", True)]
    assert count_of_tickets(db, customer) == 0


def test_older_names_are_understood(api: Client, customer: Person) -> None:
    answer = file(api(customer), "support", category=None, ticket_type="technical", priority="critical")
    assert answer["category"] == answer["ticket_type"] == "technical"
    assert answer["priority"] == "urgent"
    assert answer["message"].endswith("We typically respond within 2 hours.")

    answer = file(api(None), "contact", email=None, user_email="ada@example.com")
    assert answer["message"] == "We've received your message."


def test_blank_optional_fields_count_as_left_out(api: Client, customer: Person) -> None:
    answer = file(api(customer), "support", category="", priority=" ", error_details="\n")
    assert (answer["category"], answer["priority"]) == ("other", "medium")


class TestWithoutSigningIn:
    def test_a_contact_form_is_taken_and_opened_by_its_token(self, api: Client) -> None:
        answer = file(api(None), "contact", name="Ada", subject="Shipping")
        token = {"X-Ticket-Token": answer["access_token"]}
        client = api(None)

        ticket = client.get(f"/list-tickets/{answer['ticket_number']}", headers=token).json()
        assert (ticket["subject"], ticket["requester_name"]) == ("Shipping", "Ada")
        reply = client.post(f"/add-message/{answer['ticket_id']}", json={"body": "And?"}, headers=token)
        assert reply.json()["author"] == "customer"

    def test_it_opens_no_other_ticket(self, api: Client) -> None:
        one, two = file(api(None), "contact"), file(api(None), "contact")
        headers = {"X-Ticket-Token": one["access_token"]}
        response = api(None).get(f"/list-tickets/{two['ticket_number']}", headers=headers)
        assert_problem(response, 404, "not_found")

    def test_a_replay_gives_the_same_ticket_and_token(self, api: Client) -> None:
        key = {"Idempotency-Key": str(uuid4())}
        first, again = (send(api(None), "contact", headers=key).json() for _ in range(2))
        assert first == again
        assert first["success"]

    def test_an_idempotency_key_must_not_be_guessable(self, api: Client) -> None:
        response = send(api(None), "contact", headers={"Idempotency-Key": "1"})
        assert_problem(response, 422, "invalid", "Idempotency-Key")

    def test_an_email_address_is_needed(self, api: Client) -> None:
        assert_problem(send(api(None), "contact", email=None), 422, "invalid", "payload.email")

    @pytest.mark.parametrize("email", ["\u200banna@example.com", "anna@exam\u202eple.com"])
    def test_an_address_that_hides_something_is_refused(self, api: Client, email: str) -> None:
        assert_problem(send(api(None), "contact", email=email), 422, "invalid", "payload.email")

    @pytest.mark.parametrize("kind", ["chatbot", "other", "bug", "support", "feedback"])
    def test_nothing_else_is_taken(self, kind: str, api: Client) -> None:
        response = send(api(None), kind)
        assert_problem(response, 401, "unauthenticated")
        assert response.headers["www-authenticate"] == "Bearer"

    def test_that_is_told_before_what_is_wrong_with_it(self, api: Client) -> None:
        for body in (b"{}", b'{"payload": []}', b'{"payload": {"issue_type": "bug"}}'):
            assert_problem(post(api(None), body), 401, "unauthenticated")

    def test_the_project_key_as_a_bearer_is_nobody(self, api: Client, stack: RunningStack) -> None:
        headers = {"Authorization": f"Bearer {stack.anon_key}", "apikey": stack.anon_key}
        assert send(api(None), "contact", headers=headers).status_code == 200
        assert_problem(send(api(None), "bug", headers=headers), 401, "unauthenticated")

    def test_an_anonymous_sign_in_is_nobody(self, api: Client, person: NewPerson) -> None:
        nobody = person(is_anonymous=True)
        assert_problem(send(api(nobody), "bug"), 401, "unauthenticated")
        assert "access_token" in file(api(nobody), "contact")

    def test_the_address_is_the_one_the_front_end_saw(self, serve: Serve, db: Connection) -> None:
        """A sender who makes up X-Forwarded-For is still the same network to the quota."""
        network = f"2001:db8:{uuid4().hex[:4]}:{uuid4().hex[:4]}"
        with serve("create-ticket") as url, httpx.Client(base_url=url) as client:
            answers = [
                client.post(
                    "/",
                    json={"payload": PAYLOADS["contact"]},
                    headers={"X-Forwarded-For": f"198.51.100.{n}, {network}::{n}"},
                )
                for n in range(6)
            ]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429]
        assert int(answers[-1].headers["retry-after"]) > 3000
        kept = db.execute("select who from desk_private.quotas where who like 'network:%'").fetchall()
        assert [re.fullmatch("network:[0-9a-f]{64}", str(who)) is not None for (who,) in kept] == [True]

    def test_where_no_secret_is_configured_the_form_is_shut(self, serve: Serve) -> None:
        with serve("create-ticket", INTAKE_SECRET=None) as url:
            response = httpx.post(url, json={"payload": PAYLOADS["contact"]})
        assert_problem(response, 503, "not_configured")


class TestOnBehalf:
    @pytest.mark.parametrize("by", ["id", "email"])
    def test_an_agent_files_for_a_customer(
        self, by: str, api: Client, agent: Person, customer: Person
    ) -> None:
        answer = file(api(agent), "support", customer=str(getattr(customer, by)))
        assert api(customer).get(f"/list-tickets/{answer['ticket_number']}").status_code == 200

    def test_not_for_somebody_unknown(self, api: Client, agent: Person) -> None:
        response = send(api(agent), "support", customer="nobody@example.com")
        assert_problem(response, 422, "invalid", "payload.customer")

    def test_a_customer_files_for_nobody_else(
        self, api: Client, customer: Person, other: Person, db: Connection
    ) -> None:
        assert_problem(send(api(customer), "support", customer=other.email), 403, "forbidden")
        assert count_of_tickets(db, other) == 0


BAD_FIELDS: list[tuple[str, dict[str, Any], str]] = [
    ("bug", {"issue_type": "nope"}, "payload.issue_type"),
    ("bug", {"issue_type": 5}, "payload.issue_type"),
    ("bug", {"issue_type": None}, "payload.issue_type"),
    ("bug", {"issue_type": "webhook"}, "payload.issue_type"),
    ("bug", {"description": None}, "payload.description"),
    ("bug", {"description": " \n "}, "payload.description"),
    ("bug", {"description": 5}, "payload.description"),
    ("bug", {"description": ["text"]}, "payload.description"),
    ("bug", {"description": "x" * 20_001}, "payload.description"),
    ("bug", {"description": "a\0b"}, "payload.description"),
    ("bug", {"app_version": "x" * 256}, "payload.app_version"),
    ("bug", {"device_info": "a\0b"}, "payload.device_info"),
    ("bug", {"steps_to_reproduce": "x" * 10_001}, "payload.steps_to_reproduce"),
    ("bug", {"screenshot_urls": "https://example.com/1.png"}, "payload.screenshot_urls"),
    ("bug", {"screenshot_urls": ["http://example.com/1.png"]}, "payload.screenshot_urls.0"),
    ("bug", {"screenshot_urls": ["https://a.example", "javascript:alert(1)"]}, "payload.screenshot_urls.1"),
    ("bug", {"screenshot_urls": ["https://example.com/"] * 11}, "payload.screenshot_urls"),
    ("bug", {"screenshot_urls": ["https://example.com/" + "x" * 2048]}, "payload.screenshot_urls.0"),
    ("bug", {"priority": "now"}, "payload.priority"),
    ("bug", {"expected_behaviour": "a misspelt name"}, "payload.expected_behaviour"),
    ("other", {"title": "x" * 201}, "payload.title"),
    ("other", {"title": None}, "payload.title"),
    ("other", {"reporter_email": "a@b.cc,d@e.ff"}, "payload.reporter_email"),
    ("other", {"reporter_name": "x" * 201}, "payload.reporter_name"),
    ("support", {"subject": "x" * 256}, "payload.subject"),
    ("support", {"category": "no_such"}, "payload.category"),
    ("support", {"category": None, "ticket_type": "no_such"}, "payload.ticket_type"),
    ("support", {"ticket_type": "technical"}, "payload.ticket_type"),
    ("support", {"category": "a\0b"}, "payload.category"),
    ("support", {"context": []}, "payload.context"),
    ("support", {"context": {"a b": 1}}, "payload.context.a b"),
    ("support", {"context": {"a\0": 1}}, "payload.context.a\0"),
    ("support", {"context": {"a": {"b": 1}}}, "payload.context.a"),
    ("support", {"context": {"a": "x\0"}}, "payload.context.a"),
    ("support", {"context": {"a": "x" * 10_001}}, "payload.context.a"),
    ("support", {"context": {"a": 2**53}}, "payload.context.a"),
    ("support", {"context": {f"k{n}": 1 for n in range(41)}}, "payload.context"),
    ("chatbot", {"issue_subtype": "wrong"}, "payload.issue_subtype"),
    ("chatbot", {"domain_id": ""}, "payload.domain_id"),
    ("chatbot", {"session_id": None}, "payload.session_id"),
    ("chatbot", {"conversation_link": "https://evil.example/x"}, "payload.conversation_link"),
    (
        "chatbot",
        {"conversation_link": "https://localhost@evil.example/x"},
        "payload.conversation_link",
    ),
    ("feedback", {"rating": 6}, "payload.rating"),
    ("feedback", {"rating": "4"}, "payload.rating"),
    ("feedback", {"rating": True}, "payload.rating"),
    ("feedback", {"rating": 4.5}, "payload.rating"),
    ("feedback", {"would_recommend": 1}, "payload.would_recommend"),
    ("feedback", {"category": "rant"}, "payload.category"),
    ("feedback", {"feature_name": "x" * 101}, "payload.feature_name"),
    ("contact", {"email": "not an address"}, "payload.email"),
    ("contact", {"email": "x" * 250 + "@example.com"}, "payload.email"),
    ("contact", {"priority": "urgent"}, "payload.priority"),
]


@pytest.mark.parametrize(("kind", "changes", "path"), BAD_FIELDS)
def test_a_bad_field_is_named_and_nothing_is_filed(
    kind: str, changes: dict[str, Any], path: str, api: Client, customer: Person, db: Connection
) -> None:
    response = send(api(customer), kind, **changes)

    assert_problem(response, 422, "invalid", path)
    assert count_of_tickets(db, customer) == 0
    assert not db.execute("select from desk_private.quotas where who = %s", [str(customer.id)]).fetchone()


def test_an_unknown_category_is_answered_with_the_known_ones(api: Client, customer: Person) -> None:
    [field] = send(api(customer), "support", category="no_such").json()["fields"]
    assert "billing" in field["message"]


def test_every_bad_field_is_named_at_once(api: Client, customer: Person) -> None:
    fields = send(api(customer), "support", subject=5, description=None, priority="x").json()["fields"]
    assert [field["path"] for field in fields] == [
        "payload.priority", "payload.subject", "payload.description",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"payload": {"issue_type": "bug",}}',
        b"\xff\xfe{}",
        b'{"payload": {"issue_type": "bug", "description": "\xff"}}',
        b'{"payload": {"issue_type": "bug", "description": "\\ud800"}}',
        b'{"payload": {"issue_type": "bug", "\\udc00": 1, "description": "x"}}',
        b"[" * 100_000,
        b'{"payload": ' * 5_000,
        b"9" * 100_000,
    ],
)
def test_what_is_no_json_is_malformed(body: bytes, api: Client, customer: Person) -> None:
    assert_problem(post(api(customer), body), 400, "malformed_json")


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"null",
        b'"text"',
        b"{}",
        b'{"payload": null}',
        b'{"payload": []}',
        b'{"payload": {}, "more": 1}',
        b'{"payload": {"issue_type": "feedback", "category": "praise", "description": "x", "rating": 1e999}}',
        b'{"payload": {"issue_type": "feedback", "category": "praise", "description": "x", "rating": '
        + b"9" * 400
        + b"}}",
        b'{"payload": {"issue_type": "support", "subject": "x", "description": "x", "context": {"a": 1e999}}}',
        b'{"payload": {"issue_type": "support", "subject": "x", "description": "x", "context": {"a": NaN}}}',
    ],
)
def test_json_of_another_shape_is_invalid(body: bytes, api: Client, customer: Person) -> None:
    response = post(api(customer), body)
    assert_problem(response, 422, "invalid")
    assert response.json()["fields"]


def test_of_a_repeated_key_the_last_counts(api: Client, customer: Person) -> None:
    body = b'{"payload": {"issue_type": "bug", "issue_type": "other", "title": "x", "description": "x"}}'
    assert post(api(customer), body).json()["issue_type"] == "other"


def test_a_body_over_the_limit_is_refused_with_and_without_its_length(api: Client, customer: Person) -> None:
    body = json.dumps({"payload": {**PAYLOADS["bug"], "description": "x" * 262_144}}).encode()
    headers = {"Content-Type": "application/json"}
    client = api(customer)

    assert_problem(client.post("/create-ticket", content=body, headers=headers), 413, "body_too_large")
    chunks = (body[start : start + 8192] for start in range(0, len(body), 8192))
    assert_problem(client.post("/create-ticket", content=chunks, headers=headers), 413, "body_too_large")


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
def test_only_plain_json_is_taken(headers: dict[str, str], api: Client, customer: Person) -> None:
    response = api(customer).post("/create-ticket", content=b"{}", headers=headers)
    assert_problem(response, 415, "unsupported_media_type")


def test_json_may_say_that_it_is_utf_8(api: Client, customer: Person) -> None:
    headers = {"Content-Type": 'Application/JSON; charset="UTF-8"'}
    body = json.dumps({"payload": PAYLOADS["bug"]})
    assert api(customer).post("/create-ticket", content=body, headers=headers).status_code == 200


class TestTokens:
    @pytest.mark.parametrize(
        "claims",
        [
            {"exp": int(time.time()) - 60},
            {"nbf": int(time.time()) + 3600},
            {"iat": int(time.time()) + 3600},
            {"iss": "https://other-project.supabase.co/auth/v1"},
            {"iss": None},
            {"aud": "other"},
            {"aud": None},
            {"role": "anon"},
            {"role": "service_role"},
            {"role": None},
            {"sub": "nobody"},
            {"sub": None},
            {"exp": None},
            {"exp": "tomorrow"},
        ],
    )
    def test_a_token_with_other_claims_is_refused(
        self, claims: dict[str, Any], api: Client, stack: RunningStack, customer: Person, db: Connection
    ) -> None:
        token = stack.token(customer.id, customer.email, **claims)
        self.assert_refused(api, token, customer, db)

    def test_an_expired_session_is_called_so(
        self, api: Client, stack: RunningStack, customer: Person
    ) -> None:
        token = stack.token(customer.id, customer.email, exp=int(time.time()) - 60)
        response = send(api(None), "bug", headers={"Authorization": f"Bearer {token}"})
        assert response.json()["error"] == "Your session has expired: please sign in again."

    def test_an_unsigned_token_is_refused(self, api: Client, customer: Person, db: Connection) -> None:
        claims = jwt.decode(customer.token, options={"verify_signature": False})
        self.assert_refused(api, jwt.encode(claims, "", "none"), customer, db)
        header, payload, _ = customer.token.split(".")
        self.assert_refused(api, f"{header}.{payload}.", customer, db)

    def test_a_changed_token_is_refused(self, api: Client, customer: Person, db: Connection) -> None:
        header, payload, signature = customer.token.split(".")
        other = "A" if signature[10] != "A" else "B"
        self.assert_refused(api, f"{header}.{payload}.{signature[:10]}{other}{signature[11:]}", customer, db)
        self.assert_refused(api, f"{header}.{payload[:-2]}.{signature}", customer, db)

    def test_a_token_signed_by_another_key_of_the_same_name_is_refused(
        self, api: Client, stack: RunningStack, customer: Person, db: Connection, tmp_path: Path
    ) -> None:
        claims = jwt.decode(customer.token, options={"verify_signature": False})
        foreign = load_keys(tmp_path / "keys.json")
        for key_id in (stack.keys.key_id, foreign.key_id):
            token = jwt.encode(claims, foreign.signing_key, "ES256", {"kid": key_id})
            self.assert_refused(api, token, customer, db)

    def test_a_token_signed_with_a_shared_secret_is_refused(
        self, api: Client, stack: RunningStack, customer: Person, db: Connection
    ) -> None:
        claims = jwt.decode(customer.token, options={"verify_signature": False})
        for secret in (stack.keys.legacy_secret, stack.keys.public_jwk()["x"]):
            token = jwt.encode(claims, secret, "HS256", {"kid": stack.keys.key_id})
            self.assert_refused(api, token, customer, db)

    @pytest.mark.parametrize(
        "header",
        ["Bearer", "Bearer x", "Bearer a.b.c", "Basic eDp5", "Bearer " + "x" * 9000, "\xe9"],
    )
    def test_what_is_no_token_is_refused(self, header: str, api: Client) -> None:
        raw = [(b"authorization", header.encode("latin-1"))]
        response = api(None).post("/create-ticket", json={"payload": PAYLOADS["contact"]}, headers=raw)
        assert_problem(response, 401, "unauthenticated")

    def assert_refused(self, api: Client, token: str, customer: Person, db: Connection) -> None:
        """Refused, also where nobody has to sign in, and nothing is written."""
        for kind in ("bug", "contact"):
            response = send(api(None), kind, headers={"Authorization": f"Bearer {token}"})
            assert_problem(response, 401, "unauthenticated")
            assert response.headers["www-authenticate"].startswith("Bearer")
        assert count_of_tickets(db, customer) == 0


class TestIdempotency:
    def test_the_same_key_twenty_times_at_once_makes_one_ticket(
        self, api: Client, customer: Person, db: Connection
    ) -> None:
        key = {"Idempotency-Key": uuid4().hex}
        answers = at_once(20, lambda: send(api(customer), "bug", headers=key))

        assert [answer.status_code for answer in answers] == [200] * 20
        assert len({answer.json()["ticket_id"] for answer in answers}) == 1
        assert len({answer.json()["ticket_number"] for answer in answers}) == 1
        assert count_of_tickets(db, customer) == 1

    def test_a_replay_costs_no_quota(self, api: Client, customer: Person) -> None:
        key = {"Idempotency-Key": uuid4().hex}
        replies = [send(api(customer), "bug", headers=key) for _ in range(7)]
        assert {reply.status_code for reply in replies} == {200}
        assert [send(api(customer), "bug").status_code for _ in range(5)] == [200] * 4 + [429]

    def test_a_key_is_not_for_another_body(self, api: Client, customer: Person) -> None:
        key = {"Idempotency-Key": uuid4().hex}
        assert send(api(customer), "other", headers=key).status_code == 200
        response = send(api(customer), "other", headers=key, title="Another")
        assert_problem(response, 409, "idempotency_key_reused")

    def test_a_key_belongs_to_its_person(self, api: Client, customer: Person, other: Person) -> None:
        key = {"Idempotency-Key": uuid4().hex}
        numbers = {send(api(who), "other", headers=key).json()["ticket_number"] for who in (customer, other)}
        assert len(numbers) == 2

    def test_feedback_too_is_given_once(self, api: Client, customer: Person) -> None:
        key = {"Idempotency-Key": uuid4().hex}
        assert (
            len({send(api(customer), "feedback", headers=key).json()["feedback_id"] for _ in range(3)}) == 1
        )

    @pytest.mark.parametrize("key", ["", "x" * 256, "a b", "\xe9"])
    def test_a_key_is_printable_ascii(self, key: str, api: Client, customer: Person) -> None:
        raw = [(b"idempotency-key", key.encode("latin-1"))]
        response = api(customer).post("/create-ticket", json={"payload": PAYLOADS["other"]}, headers=raw)
        assert_problem(response, 422, "invalid", "Idempotency-Key")


class TestQuotas:
    def test_of_six_bug_reports_at_once_five_pass(
        self, api: Client, customer: Person, db: Connection
    ) -> None:
        answers = at_once(6, lambda: send(api(customer), "bug"))

        assert sorted(answer.status_code for answer in answers) == [200] * 5 + [429]
        [refused] = [answer for answer in answers if answer.status_code == 429]
        assert_problem(refused, 429, "quota_exceeded")
        assert 3000 < int(refused.headers["retry-after"]) <= 3600
        assert count_of_tickets(db, customer) == 5

    def test_ten_pieces_of_feedback_an_hour(self, api: Client, customer: Person) -> None:
        answers = [send(api(customer), "feedback").status_code for _ in range(11)]
        assert answers == [200] * 10 + [429]

    def test_agents_are_exempt(self, api: Client, agent: Person) -> None:
        assert {send(api(agent), "bug").status_code for _ in range(7)} == {200}


class TestWithoutTheStore:
    def test_postgrest_is_down(self, serve: Serve, customer: Person) -> None:
        [port] = free_ports(1)
        with serve("create-ticket", POSTGREST_URL=f"http://127.0.0.1:{port}") as url:
            assert_unavailable(post_bug(url, customer))

    @pytest.mark.parametrize(
        "answer",
        [
            b"",
            b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{",
            b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 6\r\n\r\n<html>",
            b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
            b'HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 20\r\n\r\n{"code": "PGRST003"}',
        ],
    )
    def test_postgrest_goes_away_in_the_middle(
        self, answer: bytes, serve: Serve, customer: Person, db: Connection
    ) -> None:
        with dying_server(answer) as rest, serve("create-ticket", POSTGREST_URL=rest) as url:
            assert_unavailable(post_bug(url, customer))
        assert count_of_tickets(db, customer) == 0

    @pytest.mark.parametrize(
        "answer",
        [
            b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
            b'HTTP/1.1 404 Not Found\r\nContent-Length: 20\r\n\r\n{"code": "PGRST202"}',
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        ],
    )
    def test_what_is_no_answer_of_the_store_is_our_own_error(
        self, answer: bytes, serve: Serve, customer: Person
    ) -> None:
        with dying_server(answer) as rest, serve("create-ticket", POSTGREST_URL=rest) as url:
            assert_problem(post_bug(url, customer), 500, "internal")

    def test_postgresql_goes_away_in_the_middle(
        self, api: Client, stack: RunningStack, customer: Person, db: Connection
    ) -> None:
        """The report waits for a lock when its backend is ended: nothing of it stays, and the next one passes."""
        with psycopg.connect(stack.database_url) as holder, ThreadPoolExecutor(1) as pool:
            holder.execute("lock table desk.support_tickets in access exclusive mode")
            waiting = pool.submit(send, api(customer), "bug")
            end_backend_waiting_for_a_lock(stack)
            response = waiting.result()
        assert_unavailable(response)
        assert count_of_tickets(db, customer) == 0
        assert not db.execute("select from desk_private.quotas where who = %s", [str(customer.id)]).fetchone()
        assert eventually(lambda: send(api(customer), "bug").status_code == 200)


def test_a_caller_who_hangs_up_leaves_no_trace(
    serve: Serve, customer: Person, db: Connection, tmp_path: Path
) -> None:
    with serve("create-ticket") as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            head = f"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {customer.token}\r\n"
            connection.sendall(
                head.encode() + b"Content-Type: application/json\r\nContent-Length: 500\r\n\r\n{"
            )
            time.sleep(0.3)
        assert post_bug(url, customer).status_code == 200
        log = next(tmp_path.rglob("create-ticket.log")).read_text()
    assert "Traceback" not in log
    assert count_of_tickets(db, customer) == 1


def test_the_log_says_what_happened_and_nothing_personal(
    serve: Serve, customer: Person, tmp_path: Path
) -> None:
    trace = uuid4().hex
    with serve("create-ticket", GOOGLE_CLOUD_PROJECT="desk") as url:
        headers = {"Authorization": f"Bearer {customer.token}", "X-Request-Id": "mine-1"}
        headers |= {"X-Cloud-Trace-Context": f"{trace}/1;o=1"}
        good = {"payload": {**PAYLOADS["other"], "title": "secret words"}}
        bad = {"payload": {**PAYLOADS["other"], "title": "secret words", "secret_field": 1}}
        httpx.post(f"{url}/create-ticket?secret=1", json=good, headers=headers)
        httpx.post(url, json=bad, headers=headers)
        httpx.post(f"{url}/secret", json=bad, headers=headers)
        log = next(tmp_path.rglob("create-ticket.log")).read_text()

    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert [(line["severity"], line["status"], line.get("code")) for line in lines] == [
        ("INFO", 200, None),
        ("WARNING", 422, "invalid"),
        ("WARNING", 404, "not_found"),
    ]
    first = lines[0]
    assert first["logging.googleapis.com/trace"] == f"projects/desk/traces/{trace}"
    assert first["request_id"] == "mine-1"
    assert first["route"] == "POST /"
    assert first["function"] == "create-ticket"
    assert first["milliseconds"] > 0
    for personal in ("secret", "Ada", "@example.com", customer.token[:20], str(customer.id)):
        assert personal not in log


def post(client: httpx.Client, body: bytes) -> httpx.Response:
    return client.post("/create-ticket", content=body, headers={"Content-Type": "application/json"})


def post_bug(url: str, person: Person) -> httpx.Response:
    headers = {"Authorization": f"Bearer {person.token}"}
    return httpx.post(url, json={"payload": PAYLOADS["bug"]}, headers=headers, timeout=30)


def count_of_tickets(db: Connection, person: Person) -> Any:
    row = db.execute(
        "select count(*) from desk.support_tickets where customer_id = %s", [person.id]
    ).fetchone()
    assert row
    return row[0]


def at_once(count: int, call: Callable[[], httpx.Response]) -> list[httpx.Response]:
    """The call as often as that, all released at the same moment."""
    gate = threading.Barrier(count)

    def wait_and_call() -> httpx.Response:
        gate.wait()
        return call()

    with ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(wait_and_call) for _ in range(count)]]


def eventually(is_so: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if is_so():
            return True
        time.sleep(0.1)
    return False


def end_backend_waiting_for_a_lock(stack: RunningStack) -> None:
    with psycopg.connect(stack.admin_url, autocommit=True) as admin:
        statement = (
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where wait_event_type = 'Lock' and usename = 'authenticator'"
        )
        assert eventually(lambda: admin.execute(statement).fetchone() is not None)


@contextmanager
def dying_server(answer: bytes) -> Iterator[str]:
    """Takes a request, says those bytes, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve_all() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(5)
                    connection.recv(65536)
                    connection.sendall(answer)

        threading.Thread(target=serve_all, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
