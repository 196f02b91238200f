"""An agent of one branch, who is a customer of another: rights depend on the ticket, not on the person."""

from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from deploy.migrate import Connection
from local.people import Client, NewPerson, Person
from tests.assertions import assert_problem
from tests.payloads import file

TABLES = ("ticket_messages", "ticket_attachments", "ticket_events", "escalation_requests")


@dataclass
class Bound:
    """Somebody of the staff of north, whose own ticket is south's, and what a colleague left in it."""

    person: Person
    ticket: str
    ticket_id: str
    escalation: str


@pytest.fixture(params=["agent", "admin"])
def bound(
    request: pytest.FixtureRequest, person: NewPerson, agent: Person, api: Client, db: Connection
) -> Bound:
    staff = person(request.param, display_name="North", branch_id="north")
    db.execute("insert into desk.customer_branches values (%s, 'south')", [staff.id])
    filed = file(api(staff))
    number, desk = filed["ticket_number"], api(agent)
    secret = {"body": "A secret note.", "is_internal": True, "attachments": ["https://files.example.com/n"]}
    desk.post(f"/add-message/{number}", json=secret).raise_for_status()
    asked = desk.post(f"/add-message/{number}/escalation", json={"reason": "Soon."}).raise_for_status()
    return Bound(staff, number, filed["ticket_id"], asked.json()["escalation_id"])


def rows(client: httpx.Client, table: str, ticket_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get(f"/{table}", params={"ticket_id": f"eq.{ticket_id}"}).json()
    return found


@pytest.mark.parametrize("table", TABLES)
def test_reads_of_their_own_ticket_what_a_customer_reads(table: str, bound: Bound, rest: Client) -> None:
    mine = rows(rest(bound.person), table, bound.ticket_id)
    assert not [row for row in mine if row.get("is_internal", True)]


@pytest.mark.parametrize("table", TABLES)
def test_reads_everything_of_a_ticket_of_the_own_branch(
    table: str, bound: Bound, rest: Client, db: Connection
) -> None:
    db.execute("update desk.support_tickets set branch_id = 'north' where id = %s", [bound.ticket_id])
    assert [row for row in rows(rest(bound.person), table, bound.ticket_id) if row.get("is_internal", True)]


def test_an_agent_of_all_branches_reads_everything(bound: Bound, rest: Client, agent: Person) -> None:
    assert all(rows(rest(agent), table, bound.ticket_id) for table in TABLES)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/admin-update/{ticket}", {"priority": "high"}),
        ("DELETE", "/admin-update/{ticket}", None),
        ("PATCH", "/admin-update/escalations/{escalation}", {"status": "approved"}),
        ("POST", "/add-message/{ticket}", {"body": "A note.", "is_internal": True}),
    ],
)
def test_does_nothing_as_an_agent_to_their_own_ticket(
    method: str, path: str, body: Any, bound: Bound, api: Client, db: Connection
) -> None:
    state = "select status, priority, deleted_at, version from desk.support_tickets where id = %s"
    before = db.execute(state, [bound.ticket_id]).fetchone()
    url = path.format(ticket=bound.ticket, escalation=bound.escalation)
    assert_problem(api(bound.person).request(method, url, json=body), 403, "forbidden")
    assert db.execute(state, [bound.ticket_id]).fetchone() == before


def test_an_admin_decides_the_requests_of_others_only(
    admin: Person, person: NewPerson, api: Client, ticket: str
) -> None:
    asked = api(admin).post(f"/add-message/{ticket}/escalation", json={"reason": "Soon."}).json()
    decide = f"/admin-update/escalations/{asked['escalation_id']}"
    assert_problem(api(admin).patch(decide, json={"status": "approved"}), 403, "forbidden")
    colleague = person("admin", display_name="Colleague")
    assert api(colleague).patch(decide, json={"status": "approved"}).status_code == 200


def test_an_admin_does_not_decide_about_their_own_ticket(admin: Person, agent: Person, api: Client) -> None:
    number = file(api(admin))["ticket_number"]
    asked = api(agent).post(f"/add-message/{number}/escalation", json={"reason": "Soon."}).json()
    decide = f"/admin-update/escalations/{asked['escalation_id']}"
    assert_problem(api(admin).patch(decide, json={"status": "approved"}), 403, "forbidden")


def test_nobody_rates_their_own_resolution(agent: Person, admin: Person, api: Client) -> None:
    number = file(api(agent))["ticket_number"]
    mine, rating = api(agent), {"rating": 5}
    mine.patch(f"/admin-update/{number}", json={"status": "resolved"}).raise_for_status()
    assert_problem(mine.post(f"/add-message/{number}/rating", json=rating), 409, "conflict")
    for change in ({"status": "open"}, {"status": "resolved"}):
        api(admin).patch(f"/admin-update/{number}", json=change).raise_for_status()
    assert mine.post(f"/add-message/{number}/rating", json=rating).is_success


def test_a_customer_who_closes_their_ticket_may_rate_it(customer: Person, agent: Person, api: Client) -> None:
    number = file(api(customer))["ticket_number"]
    api(agent).patch(f"/admin-update/{number}", json={"status": "resolved"}).raise_for_status()
    api(customer).post(f"/add-message/{number}/close", json={}).raise_for_status()
    assert api(customer).post(f"/add-message/{number}/rating", json={"rating": 5}).is_success
