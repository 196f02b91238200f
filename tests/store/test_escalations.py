"""Escalations: a customer or an agent asks for a higher priority, an admin decides."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest

from local.people import Client, NewPerson, Person
from tests.assertions import assert_problem
from tests.payloads import file, send

REASON = {"reason": "The shop is down."}


@pytest.fixture
def ticket(api: Client, customer: Person) -> str:
    filed: str = file(api(customer), "support", priority="medium")["ticket_id"]
    return filed


def ask(client: httpx.Client, ticket: str, **fields: Any) -> httpx.Response:
    """Ask as the ticket's requester."""
    return client.post(f"/add-message/{ticket}/escalation", json=REASON | fields)


def asked(client: httpx.Client, ticket: str, **fields: Any) -> str:
    """Ask as the ticket's requester: the id of the request."""
    answer = ask(client, ticket, **fields)
    assert answer.status_code == 200, answer.text
    escalation: str = answer.json()["escalation_id"]
    return escalation


def decide(client: httpx.Client, escalation: str, status: str, **fields: Any) -> httpx.Response:
    return client.patch(f"/admin-update/escalations/{escalation}", json={"status": status} | fields)


def detail(client: httpx.Client, ticket: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/list-tickets/{ticket}").json()
    return found


def test_a_customer_asks_for_one_step_up_and_nothing_changes_yet(
    api: Client, customer: Person, ticket: str
) -> None:
    answer = ask(api(customer), ticket)
    assert answer.status_code == 200, answer.text
    request = answer.json()
    assert (request["status"], request["requested_by"], request["reason"]) == (
        "pending",
        "customer",
        REASON["reason"],
    )
    assert (request["priority"], request["target_priority"]) == ("medium", "high")
    found = detail(api(customer), ticket)
    assert (found["priority"], found["escalated"]) == ("medium", False)


def test_an_agent_asks_for_the_priority_they_have_in_mind(api: Client, agent: Person, ticket: str) -> None:
    answer = api(agent).post(
        f"/admin-update/{ticket}/escalations", json=REASON | {"target_priority": "critical"}
    )
    assert answer.status_code == 200, answer.text
    assert (answer.json()["requested_by"], answer.json()["target_priority"]) == ("agent", "urgent")


def test_an_anonymous_requester_asks_with_the_tickets_token(api: Client) -> None:
    filed = send(api(None), "contact").json()
    token = {"X-Ticket-Token": filed["access_token"]}
    answer = api(None).post(f"/add-message/{filed['ticket_id']}/escalation", json=REASON, headers=token)
    assert answer.status_code == 200, answer.text
    assert answer.json()["requested_by"] == "customer"


def test_an_approved_request_raises_the_priority_and_the_clocks_follow(
    api: Client, customer: Person, admin: Person, ticket: str
) -> None:
    escalation = asked(api(customer), ticket, target_priority="urgent")
    before = detail(api(admin), ticket)
    answer = decide(api(admin), escalation, "approved", note="Right.")
    assert answer.status_code == 200, answer.text
    assert (answer.json()["status"], answer.json()["priority"]) == ("approved", "urgent")
    assert answer.json()["decided_at"]
    after = detail(api(admin), ticket)
    assert (after["priority"], after["escalated"]) == ("urgent", True)
    assert after["version"] == before["version"] + 1
    assert after["sla"]["resolution"]["due_at"] < before["sla"]["resolution"]["due_at"]
    assert [entry["type"] for entry in after["timeline"]] == [
        "created",
        "escalation_requested",
        "escalation_decided",
        "priority_changed",
    ]


def test_a_denied_request_changes_nothing(api: Client, customer: Person, admin: Person, ticket: str) -> None:
    escalation = asked(api(customer), ticket)
    assert decide(api(admin), escalation, "denied").json()["status"] == "denied"
    found = detail(api(customer), ticket)
    assert (found["priority"], found["escalated"]) == ("medium", False)


def test_a_denied_request_may_be_made_again(
    api: Client, customer: Person, admin: Person, ticket: str
) -> None:
    decide(api(admin), asked(api(customer), ticket), "denied")
    assert asked(api(customer), ticket)


def test_approving_never_lowers_a_priority_that_has_risen_meanwhile(
    api: Client, customer: Person, admin: Person, ticket: str
) -> None:
    escalation = asked(api(customer), ticket, target_priority="high")
    api(admin).patch(f"/admin-update/{ticket}", json={"priority": "urgent"})
    decide(api(admin), escalation, "approved")
    found = detail(api(admin), ticket)
    assert (found["priority"], found["escalated"]) == ("urgent", True)


def test_an_urgent_ticket_can_be_escalated_too(api: Client, customer: Person, admin: Person) -> None:
    ticket = file(api(customer), "support", priority="urgent")["ticket_id"]
    decide(api(admin), asked(api(customer), ticket), "approved")
    assert detail(api(customer), ticket)["escalated"]


def test_a_request_is_decided_once(api: Client, customer: Person, admin: Person, ticket: str) -> None:
    escalation = asked(api(customer), ticket)
    with ThreadPoolExecutor(4) as pool:
        answers = list(
            pool.map(lambda status: decide(api(admin), escalation, status), ["approved", "denied"] * 2)
        )
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    assert_problem(decide(api(admin), escalation, "approved"), 409, "conflict")


def test_agents_and_customers_do_not_decide(
    api: Client, customer: Person, agent: Person, admin: Person, ticket: str
) -> None:
    escalation = asked(api(customer), ticket)
    assert_problem(decide(api(agent), escalation, "approved"), 403, "forbidden")
    assert_problem(decide(api(customer), escalation, "approved"), 403, "forbidden")
    assert_problem(decide(api(None), escalation, "approved"), 401, "unauthenticated")
    assert decide(api(admin), escalation, "approved").status_code == 200


def test_an_unknown_request_is_not_there(api: Client, admin: Person) -> None:
    for escalation in (str(uuid4()), "nonsense"):
        assert_problem(decide(api(admin), escalation, "approved"), 404, "not_found")


def test_an_admin_of_another_branch_does_not_find_it(
    api: Client, customer: Person, person: NewPerson, ticket: str
) -> None:
    north = person("admin", display_name="North", branch_id="north")
    assert_problem(decide(api(north), asked(api(customer), ticket), "approved"), 404, "not_found")


def test_one_request_waits_at_a_time(api: Client, customer: Person, agent: Person, ticket: str) -> None:
    asked(api(customer), ticket)
    assert_problem(ask(api(customer), ticket), 409, "conflict")
    assert_problem(api(agent).post(f"/admin-update/{ticket}/escalations", json=REASON), 409, "conflict")


@pytest.mark.parametrize("status", ["resolved", "closed"])
def test_a_settled_ticket_is_not_escalated(
    api: Client, customer: Person, agent: Person, ticket: str, status: str
) -> None:
    api(agent).patch(f"/admin-update/{ticket}", json={"status": status})
    answer = ask(api(customer), ticket)
    assert_problem(answer, 409, "conflict")
    assert status in answer.json()["error"]


def test_other_people_cannot_ask(api: Client, other: Person, ticket: str) -> None:
    assert_problem(ask(api(other), ticket), 404, "not_found")
    assert_problem(ask(api(None), ticket), 401, "unauthenticated")


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"reason": ""}, "reason"),
        ({"reason": "x" * 2001}, "reason"),
        ({"target_priority": "medium"}, "target_priority"),
        ({"target_priority": "low"}, "target_priority"),
        ({"target_priority": "sky-high"}, "target_priority"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_by_the_field(
    api: Client, customer: Person, ticket: str, fields: dict[str, str], path: str
) -> None:
    assert_problem(ask(api(customer), ticket, **fields), 422, "invalid", path)


def test_a_decision_is_yes_or_no(api: Client, customer: Person, admin: Person, ticket: str) -> None:
    escalation = asked(api(customer), ticket)
    assert_problem(decide(api(admin), escalation, "pending"), 422, "invalid", "status")


def test_the_customer_hears_of_the_decision_and_not_of_the_note(
    api: Client, rest: Client, customer: Person, admin: Person, ticket: str
) -> None:
    decide(api(admin), asked(api(customer), ticket), "denied", note="They always say that.")
    where = {"ticket_id": f"eq.{ticket}", "select": "kind,data"}
    notifications = rest(customer).get("/notifications", params=where).json()
    assert [news["kind"] for news in notifications] == ["escalation_decided"]
    assert "They always" not in str(notifications) + str(detail(api(customer), ticket))
    assert rest(customer).get("/escalation_requests").json() == []


def test_agents_read_the_requests_in_the_table(
    api: Client, rest: Client, customer: Person, agent: Person, ticket: str
) -> None:
    asked(api(customer), ticket)
    [row] = rest(agent).get("/escalation_requests", params={"ticket_id": f"eq.{ticket}"}).json()
    assert (row["status"], row["requested_by"]) == ("pending", "customer")
