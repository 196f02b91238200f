"""The desk's main jobs, end to end: what a product owner would try first."""

from typing import Any

import httpx

from local.people import Client, Person
from tests.payloads import PAYLOADS, detail, file

CONTACT = {"issue_type": "contact", "email": "visitor@example.com", "description": "Do you ship to Mars?"}


def numbers(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [row["ticket_number"] for row in answer.json()["tickets"]]


def test_01_create_a_ticket_signed_in(api: Client, customer: Person) -> None:
    assert file(api(customer))["ticket_number"].startswith("SUP-")


def test_02_create_a_ticket_anonymously_with_an_email(api: Client) -> None:
    answer = api(None).post("/create-ticket", json={"payload": CONTACT})
    assert answer.status_code == 200, answer.text
    assert answer.json()["access_token"]


def test_03_list_my_tickets_and_only_mine(api: Client, customer: Person, other: Person, ticket: str) -> None:
    file(api(other))
    assert numbers(api(customer).get("/list-tickets")) == [ticket]


def test_04_read_my_ticket_with_its_messages(
    api: Client, customer: Person, agent: Person, ticket: str
) -> None:
    api(agent).post(f"/add-message/{ticket}", json={"body": "Have you tried again?"})
    assert [m["body"] for m in detail(api(customer), ticket)["messages"]] == ["Have you tried again?"]


def test_05_another_persons_ticket_is_not_there(api: Client, other: Person, ticket: str) -> None:
    assert api(other).get(f"/list-tickets/{ticket}").status_code == 404


def test_06_reply_to_my_ticket(api: Client, customer: Person, ticket: str) -> None:
    answer = api(customer).post(f"/add-message/{ticket}", json={"body": "Yes, twice."})
    assert answer.status_code == 200, answer.text
    assert detail(api(customer), ticket)["messages"][0]["author"] == "customer"


def test_07_an_agent_lists_everybodys_tickets(
    api: Client, customer: Person, other: Person, agent: Person, ticket: str
) -> None:
    theirs = file(api(other))["ticket_number"]
    assert {ticket, theirs} <= set(numbers(api(agent).get("/list-tickets", params={"limit": 100})))


def test_08_an_agent_filters_by_status(api: Client, agent: Person, ticket: str) -> None:
    desk = api(agent)
    desk.patch(f"/admin-update/{ticket}", json={"status": "in_progress"})
    assert ticket in numbers(desk.get("/list-tickets", params={"status": "in_progress", "limit": 100}))
    assert ticket not in numbers(desk.get("/list-tickets", params={"status": "open", "limit": 100}))


def test_09_an_agent_changes_the_status(api: Client, customer: Person, agent: Person, ticket: str) -> None:
    assert api(agent).patch(f"/admin-update/{ticket}", json={"status": "in_progress"}).status_code == 200
    assert detail(api(customer), ticket)["status"] == "in_progress"


def test_10_an_agent_assigns_a_ticket(api: Client, agent: Person, ticket: str) -> None:
    answer = api(agent).patch(f"/admin-update/{ticket}", json={"assigned_to": str(agent.id)})
    assert answer.json()["assigned_to"] == str(agent.id)


def test_11_an_agent_writes_an_internal_note(api: Client, agent: Person, ticket: str) -> None:
    answer = api(agent).post(f"/add-message/{ticket}", json={"body": "VIP", "is_internal": True})
    assert answer.status_code == 200, answer.text
    assert answer.json()["is_internal"] is True


def test_12_a_customer_never_sees_an_internal_note_anywhere(
    api: Client, rest: Client, customer: Person, agent: Person, ticket: str
) -> None:
    before = detail(api(customer), ticket)
    note = {"body": "zebra-note", "is_internal": True, "attachments": ["https://files.example/zebra"]}
    assert api(agent).post(f"/add-message/{ticket}", json=note).status_code == 200
    after = detail(api(customer), ticket)
    del before["metrics"]["age_seconds"], after["metrics"]["age_seconds"]
    del before["sla"], after["sla"]
    assert after == before
    assert numbers(api(customer).get("/list-tickets", params={"q": "zebra-note"})) == []
    tables = (
        "support_tickets",
        "ticket_messages",
        "ticket_attachments",
        "ticket_events",
        "ticket_ratings",
        "escalation_requests",
        "notifications",
    )
    for table in tables:
        assert "zebra" not in rest(customer).get(f"/{table}").text
    assert rest(customer).get("/ticket_events").json() == []


def test_13_an_overdue_ticket_is_escalated(api: Client, agent: Person, ticket: str, db: Any) -> None:
    late = "update desk_private.ticket_clocks set first_response_due = now() - interval '1 minute', next_at = now()"
    where = " where ticket_id = (select id from desk.support_tickets where ticket_number = %s)"
    db.execute(late + where, [ticket])
    answer = api(agent).post("/admin-update/sla-check")
    assert answer.status_code == 200, answer.text
    assert ticket in answer.json()["escalated"]
    assert detail(api(agent), ticket)["escalated"] is True


def test_14_the_contact_form_creates_a_ticket_and_a_mail(api: Client, agent: Person, db: Any) -> None:
    filed = api(None).post("/create-ticket", json={"payload": CONTACT}).json()
    assert detail(api(agent), filed["ticket_number"])["requester_email"] == "visitor@example.com"
    query = "select kind from desk_private.outbox where channel = 'mail' and ticket_id = %s"
    assert db.execute(query, [filed["ticket_id"]]).fetchall() == [("created",)]


def test_15_a_customer_has_no_queue(api: Client, customer: Person) -> None:
    answer = api(customer).get("/list-tickets", params={"scope": "queue"})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


KINDS = [kind for kind in PAYLOADS if kind != "feedback"]


def test_a_customer_files_one_of_every_kind_lists_reads_and_answers(
    api: Client, rest: Client, customer: Person, other: Person, agent: Person
) -> None:
    mine = api(customer)
    filed = [file(mine, kind) for kind in KINDS]
    engineers_see = {answer["issue_type"] for answer in filed if answer["linear"] == "created"}
    assert engineers_see == {"chatbot", "other", "bug", "contact"}
    assert all((answer["linear"] == "off") == (answer["issue_url"] is None) for answer in filed)
    assert numbers(mine.get("/list-tickets")) == [answer["ticket_number"] for answer in reversed(filed)]
    for answer in filed:
        ticket = answer["ticket_number"]
        assert detail(mine, ticket)["ticket_id"] == answer["ticket_id"]
        assert mine.post(f"/add-message/{ticket}", json={"body": "One more thing."}).status_code == 200
        assert len(detail(mine, ticket)["messages"]) == 1
        assert api(other).get(f"/list-tickets/{ticket}").status_code == 404
    assert rest(other).get("/support_tickets").json() == []
    assert rest(other).get("/ticket_messages").json() == []
    seen = numbers(api(agent).get("/list-tickets", params={"limit": 100}))
    assert {answer["ticket_number"] for answer in filed} <= set(seen)
