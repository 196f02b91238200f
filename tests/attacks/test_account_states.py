"""What tokens can do that outlive their account's state: deleted, banned, or weaker than the account demands."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest

from deploy.migrate import Connection
from local.people import Client, NewPerson, Person, RunningStack
from tests.assertions import assert_problem
from tests.payloads import file, send

Change = Callable[[RunningStack, Connection, Person], None]


def administer(stack: RunningStack, method: str, person: Person, body: dict[str, Any]) -> None:
    """Changes an account as the dashboard does."""
    headers = {"apikey": stack.secret_key, "Authorization": f"Bearer {stack.secret_key}"}
    url = f"{stack.auth_url}/admin/users/{person.id}"
    httpx.request(method, url, json=body, headers=headers, trust_env=False).raise_for_status()


def delete(stack: RunningStack, db: Connection, person: Person) -> None:
    administer(stack, "DELETE", person, {})


def delete_softly(stack: RunningStack, db: Connection, person: Person) -> None:
    administer(stack, "DELETE", person, {"should_soft_delete": True})


def ban(stack: RunningStack, db: Connection, person: Person) -> None:
    administer(stack, "PUT", person, {"ban_duration": "24h"})


def add_verified_factor(stack: RunningStack, db: Connection, person: Person) -> None:
    db.execute(
        "insert into auth.mfa_factors (id, user_id, friendly_name, factor_type, status, created_at, updated_at, secret)"
        " values (%s, %s, 'phone', 'totp', 'verified', now(), now(), 'JBSWY3DPEHPK3PXP')",
        (uuid4(), person.id),
    )


GONE: dict[str, Change] = {"deleted": delete, "softly deleted": delete_softly, "banned": ban}


@pytest.fixture(params=GONE)
def gone(
    request: pytest.FixtureRequest, stack: RunningStack, db: Connection, customer: Person, api: Client
) -> Person:
    """A customer with a ticket, whose account is gone and whose token is not."""
    file(api(customer))
    GONE[request.param](stack, db, customer)
    return customer


class TestCustomer:
    """401, or an empty list where PostgREST answers."""

    @pytest.mark.parametrize("kind", ["support", "bug", "other", "chatbot", "feedback"])
    def test_files_nothing(self, kind: str, gone: Person, api: Client, db: Connection) -> None:
        before = count(db)
        assert_problem(send(api(gone), kind), 401, "unauthenticated")
        assert count(db) == before

    def test_hands_no_conversation_over(self, gone: Person, api: Client) -> None:
        said = [{"role": "user", "content": "My account was hacked!"}]
        body = {"conversationId": uuid4().hex, "summaryOfIssue": "Hacked.", "conversationHistory": said}
        assert_problem(api(gone).post("/ai-escalation", json=body), 401, "unauthenticated")

    def test_lists_nothing(self, gone: Person, api: Client) -> None:
        response = api(gone).get("/list-tickets")
        assert response.status_code == 401 or response.json()["tickets"] == []

    @pytest.mark.parametrize(
        "table", ["support_tickets", "ticket_messages", "ticket_events", "notifications", "user_feedback"]
    )
    def test_reads_nothing_from_a_table(self, table: str, gone: Person, rest: Client) -> None:
        response = rest(gone).get(f"/{table}", params={"select": "*"})
        assert response.status_code == 401 or response.json() == []


@pytest.mark.parametrize("change", GONE.values(), ids=GONE)
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/list-tickets/{ticket}", None),
        ("POST", "/add-message/{ticket}", {"body": "Any news?"}),
        ("POST", "/add-message/{ticket}/close", {}),
        ("POST", "/add-message/{ticket}/escalation", {"reason": "Soon."}),
    ],
)
def test_a_customer_does_nothing_with_their_own_ticket(
    method: str,
    path: str,
    body: Any,
    change: Change,
    stack: RunningStack,
    db: Connection,
    customer: Person,
    api: Client,
) -> None:
    ticket = file(api(customer))["ticket_number"]
    change(stack, db, customer)
    response = api(customer).request(method, path.format(ticket=ticket), json=body)
    assert response.status_code in (401, 404), response.text


def count(db: Connection) -> int:
    tables = ("support_tickets", "user_feedback", "ticket_messages")
    rows: list[Any] = [db.execute(f"select count(*) from desk.{table}").fetchone() for table in tables]
    return sum(int(row[0]) for row in rows)


# Claims that a token has, and what the account is: whether it counts as an agent's.
STAFF: dict[str, tuple[dict[str, Any], Change | None, bool]] = {
    "level 1, no factor": ({}, None, True),
    "no level at all, no factor": ({"aal": None}, None, True),
    "level 2": ({"aal": "aal2"}, add_verified_factor, True),
    "level 1 in spite of a factor": ({"aal": "aal1"}, add_verified_factor, False),
    "no level in spite of a factor": ({"aal": None}, add_verified_factor, False),
    "a level that does not exist": ({"aal": "aal3 or so"}, add_verified_factor, False),
    "a third party's client": ({"client_id": str(uuid4())}, None, False),
    "a third party's client, null": ({"client_id": None}, None, True),
    "banned": ({}, ban, False),
    "deleted": ({}, delete, False),
    "softly deleted": ({}, delete_softly, False),
}


@pytest.mark.parametrize("role", ["agent", "admin"])
@pytest.mark.parametrize(("claims", "change", "counts"), STAFF.values(), ids=STAFF)
class TestStaff:
    @pytest.fixture
    def staff(
        self,
        role: str,
        claims: dict[str, Any],
        change: Change | None,
        stack: RunningStack,
        db: Connection,
        person: NewPerson,
    ) -> Person:
        """An agent or admin in that state, with a token of these claims."""
        made = person(role, display_name="Staff")
        if change:
            change(stack, db, made)
        return Person(made.id, made.email, stack.token(made.id, made.email, **claims))

    def test_sees_the_queue_only_if_the_token_counts(
        self, counts: bool, staff: Person, customer: Person, api: Client
    ) -> None:
        ticket = file(api(customer))["ticket_number"]
        response = api(staff).get(f"/list-tickets/{ticket}")
        assert response.status_code == 200 if counts else response.status_code in (401, 403, 404)
        listed = api(staff).get("/list-tickets", params={"q": ticket})
        if counts:
            assert [row["ticket_number"] for row in listed.json()["tickets"]] == [ticket]
        else:
            assert listed.status_code in (401, 403) or listed.json()["tickets"] == []

    def test_changes_a_ticket_only_if_the_token_counts(
        self, counts: bool, staff: Person, customer: Person, api: Client
    ) -> None:
        ticket = file(api(customer))["ticket_number"]
        response = api(staff).patch(f"/admin-update/{ticket}", json={"priority": "high"})
        assert response.status_code == 200 if counts else response.status_code in (401, 403, 404)

    def test_reads_tables_only_if_the_token_counts(
        self, counts: bool, staff: Person, customer: Person, api: Client, rest: Client
    ) -> None:
        ticket = file(api(customer))["ticket_id"]
        response = rest(staff).get("/support_tickets", params={"id": f"eq.{ticket}", "select": "id"})
        assert response.json() == [{"id": ticket}] if counts else response.json() == [] or response.is_error

    def test_reads_statistics_only_if_the_token_counts(
        self, counts: bool, staff: Person, api: Client
    ) -> None:
        response = api(staff).get("/list-tickets/stats")
        assert response.status_code == 200 if counts else response.status_code in (401, 403)
