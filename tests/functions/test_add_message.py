"""Tests add-message: replies, ratings and closing, and who may do them."""

from typing import Any
from uuid import uuid4

import pytest

from deploy.migrate import Connection
from local.people import Client, Person
from tests.assertions import assert_problem
from tests.payloads import file


def test_a_customer_answers_their_ticket(api: Client, customer: Person) -> None:
    number = file(api(customer))["ticket_number"]

    attachments = ["https://files.example.com/2.png"]
    response = api(customer).post(
        f"/add-message/{number}", json={"body": " Thanks! ", "attachments": attachments}
    )

    assert response.status_code == 200, response.text
    answer = response.json()
    assert set(answer) == {
        "success", "message_id", "ticket_id", "ticket_number", "status", "author", "is_internal", "created_at",
    }  # fmt: skip
    assert (answer["author"], answer["is_internal"], answer["status"]) == ("customer", False, "open")
    [message] = messages(api, customer, number)
    assert (message["body"], message["attachments"]) == ("Thanks!", attachments)


class TestReplies:
    def test_an_agent_answers_and_the_customer_reads_it(
        self, api: Client, agent: Person, customer: Person
    ) -> None:
        number = file(api(customer))["ticket_number"]
        reply(api, agent, number, "We look into it.")
        [message] = messages(api, customer, number)
        assert (message["author"], message["author_name"]) == ("agent", "Agent")

    def test_somebody_else_can_neither_answer_rate_nor_close(
        self, api: Client, customer: Person, other: Person, db: Connection
    ) -> None:
        number = filed_as(api, customer, db, "resolved")
        bodies: dict[str, dict[str, Any]] = {"": {"body": "x"}, "/rating": {"rating": 1}, "/close": {}}
        for path, body in bodies.items():
            response = api(other).post(f"/add-message/{number}{path}", json=body)
            assert_problem(response, 404, "not_found")
            response = api(None).post(f"/add-message/{number}{path}", json=body)
            assert_problem(response, 401, "unauthenticated")
        assert messages(api, customer, number) == []

    def test_a_customer_writes_no_internal_note(self, api: Client, customer: Person) -> None:
        number = file(api(customer))["ticket_number"]
        response = api(customer).post(f"/add-message/{number}", json={"body": "x", "is_internal": True})
        assert_problem(response, 403, "forbidden")

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ("open", "open"),
            ("in_progress", "in_progress"),
            ("waiting_on_customer", "in_progress"),
            ("resolved", "open"),
            ("closed", "open"),
        ],
    )
    def test_a_customers_reply_takes_the_ticket_up_again(
        self, before: str, after: str, api: Client, customer: Person, db: Connection
    ) -> None:
        number = filed_as(api, customer, db, before)
        assert reply(api, customer, number)["status"] == after

    def test_an_agents_reply_and_note_do_not(
        self, api: Client, agent: Person, customer: Person, db: Connection
    ) -> None:
        number = filed_as(api, customer, db, "resolved")
        for is_internal in (False, True):
            assert reply(api, agent, number, is_internal=is_internal)["status"] == "resolved"

    @pytest.mark.parametrize(
        ("body", "path"),
        [
            ({}, "body"),
            ({"body": "  "}, "body"),
            ({"body": None}, "body"),
            ({"body": "a\0b"}, "body"),
            ({"body": "x" * 20_001}, "body"),
            ({"body": "x", "is_internal": "yes"}, "is_internal"),
            ({"body": "x", "attachments": ["ftp://example.com"]}, "attachments.0"),
            ({"body": "x", "attachments": ["https://example.com"] * 11}, "attachments"),
            ({"body": "x", "message": "y"}, "message"),
            ([], "body"),
        ],
    )
    def test_a_bad_field_is_named(self, body: object, path: str, api: Client, customer: Person) -> None:
        number = file(api(customer))["ticket_number"]
        assert_problem(api(customer).post(f"/add-message/{number}", json=body), 422, "invalid", path)
        assert messages(api, customer, number) == []

    def test_sent_again_with_its_key_it_is_there_once(self, api: Client, customer: Person) -> None:
        number = file(api(customer))["ticket_number"]
        key = {"Idempotency-Key": uuid4().hex}
        answers = [
            api(customer).post(f"/add-message/{number}", json={"body": "x"}, headers=key).json()
            for _ in range(3)
        ]
        assert answers[0] == answers[1] == answers[2]
        assert len(messages(api, customer, number)) == 1
        response = api(customer).post(f"/add-message/{number}", json={"body": "y"}, headers=key)
        assert_problem(response, 409, "idempotency_key_reused")

    def test_sixty_an_hour(self, api: Client, customer: Person, db: Connection) -> None:
        number = file(api(customer))["ticket_number"]
        db.execute(
            "insert into desk_private.quotas (who, kind, used_at) values (%s, 'message', array_fill(now(), array[60]))",
            [str(customer.id)],
        )
        response = api(customer).post(f"/add-message/{number}", json={"body": "x"})
        assert_problem(response, 429, "quota_exceeded")
        assert response.headers["retry-after"]


class TestRating:
    @pytest.mark.parametrize("status", ["resolved", "closed"])
    def test_a_customer_rates_once_it_is_resolved(
        self, status: str, api: Client, customer: Person, db: Connection
    ) -> None:
        number = filed_as(api, customer, db, status)
        response = api(customer).post(f"/add-message/{number}/rating", json={"rating": 4, "comment": "ok"})
        assert response.status_code == 200, response.text
        answer = response.json()
        assert (answer["ticket_number"], answer["rating"], answer["comment"]) == (number, 4, "ok")
        assert api(customer).get(f"/list-tickets/{number}").json()["metrics"]["rating"] == 4

    def test_not_before(self, api: Client, customer: Person) -> None:
        number = file(api(customer))["ticket_number"]
        response = api(customer).post(f"/add-message/{number}/rating", json={"rating": 4})
        assert_problem(response, 409, "conflict")

    def test_an_agent_rates_nothing(
        self, api: Client, agent: Person, customer: Person, db: Connection
    ) -> None:
        number = filed_as(api, customer, db, "resolved")
        response = api(agent).post(f"/add-message/{number}/rating", json={"rating": 5})
        assert_problem(response, 403, "forbidden")

    @pytest.mark.parametrize(
        ("body", "path"),
        [
            ({}, "rating"),
            ({"rating": 0}, "rating"),
            ({"rating": 6}, "rating"),
            ({"rating": "5"}, "rating"),
            ({"rating": 5, "comment": "x" * 2001}, "comment"),
        ],
    )
    def test_a_bad_field_is_named(
        self, body: dict[str, Any], path: str, api: Client, customer: Person, db: Connection
    ) -> None:
        number = filed_as(api, customer, db, "resolved")
        assert_problem(api(customer).post(f"/add-message/{number}/rating", json=body), 422, "invalid", path)


class TestClosing:
    @pytest.mark.parametrize("body", [None, {}])
    def test_a_customer_closes_a_resolved_ticket(
        self, body: object, api: Client, customer: Person, db: Connection
    ) -> None:
        number = filed_as(api, customer, db, "resolved")
        response = api(customer).post(f"/add-message/{number}/close", json=body)
        assert response.status_code == 200, response.text
        assert (response.json()["status"], response.json()["ticket_number"]) == ("closed", number)

    def test_no_other(self, api: Client, customer: Person) -> None:
        number = file(api(customer))["ticket_number"]
        response = api(customer).post(f"/add-message/{number}/close")
        assert_problem(response, 409, "illegal_transition")

    def test_it_takes_nothing(self, api: Client, customer: Person) -> None:
        number = file(api(customer))["ticket_number"]
        response = api(customer).post(f"/add-message/{number}/close", json={"why": "x"})
        assert_problem(response, 422, "invalid", "why")


class TestWithoutSigningIn:
    @pytest.fixture(autouse=True)
    def _new_network(self, db: Connection) -> None:
        db.execute("delete from desk_private.quotas where kind like 'anonymous%'")

    def test_the_token_answers_rates_and_closes_its_ticket(self, api: Client, db: Connection) -> None:
        filed = file(api(None), "contact")
        number, token = filed["ticket_number"], {"X-Ticket-Token": filed["access_token"]}
        assert reply(api, None, number, headers=token)["author"] == "customer"
        db.execute("update desk.support_tickets set status = 'resolved' where ticket_number = %s", [number])
        for path, body in (("rating", {"rating": 5}), ("close", {})):
            response = api(None).post(f"/add-message/{number}/{path}", json=body, headers=token)
            assert response.status_code == 200, response.text

    def test_it_writes_no_internal_note(self, api: Client) -> None:
        filed = file(api(None), "contact")
        response = api(None).post(
            f"/add-message/{filed['ticket_number']}",
            json={"body": "x", "is_internal": True},
            headers={"X-Ticket-Token": filed["access_token"]},
        )
        assert_problem(response, 403, "forbidden")

    def test_it_ends_ninety_days_after_closing(self, api: Client, db: Connection) -> None:
        filed = file(api(None), "contact")
        number, token = filed["ticket_number"], {"X-Ticket-Token": filed["access_token"]}
        db.execute("update desk.support_tickets set status = 'closed' where ticket_number = %s", [number])
        for days, status in ((89, 200), (91, 404)):
            db.execute(
                "update desk.support_tickets set closed_at = now() - make_interval(days => %s)"
                " where ticket_number = %s",
                [days, number],
            )
            assert api(None).get(f"/list-tickets/{number}", headers=token).status_code == status


def test_there_is_nothing_else_here(api: Client, customer: Person) -> None:
    assert_problem(api(customer).post("/add-message", json={}), 404, "not_found")
    assert_problem(api(customer).post("/add-message/SUP-00001/other", json={}), 404, "not_found")
    response = api(customer).get("/add-message/SUP-00001")
    assert_problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"


def filed_as(api: Client, customer: Person, db: Connection, status: str) -> str:
    """A ticket that has come to that status."""
    number: str = file(api(customer))["ticket_number"]
    if status != "open":
        db.execute("update desk.support_tickets set status = %s where ticket_number = %s", [status, number])
    return number


def reply(
    api: Client,
    person: Person | None,
    number: str,
    body: str = "x",
    *,
    is_internal: bool = False,
    headers: dict[str, str] | None = None,
) -> dict[str, Any]:
    message = {"body": body, "is_internal": is_internal}
    response = api(person).post(f"/add-message/{number}", json=message, headers=headers)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def messages(api: Client, person: Person, number: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api(person).get(f"/list-tickets/{number}").json()["messages"]
    return found
