"""admin-update: what agents and admins do to tickets."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from local.people import Client, NewPerson, Person
from tests.payloads import detail, file


def test_an_agent_works_a_ticket_from_open_to_closed(api: Client, agent: Person, ticket: str) -> None:
    desk = api(agent)
    taken = desk.patch(f"/admin-update/{ticket}", json={"status": "in_progress", "assigned_to": "me"})
    assert taken.status_code == 200, taken.text
    assert (taken.json()["status"], taken.json()["assigned_to"]) == ("in_progress", str(agent.id))
    assert taken.json()["assigned_at"]
    done = desk.patch(f"/admin-update/{ticket}", json={"status": "resolved", "resolution": "Switched it on."})
    assert done.json()["resolved_at"]
    assert done.json()["resolution"] == "Switched it on."
    closed = desk.patch(f"/admin-update/{ticket}", json={"status": "closed"})
    assert closed.json()["closed_at"]
    assert closed.json()["version"] == 4


def test_every_transition_that_is_not_in_the_table_is_refused_with_the_legal_ones(
    api: Client, customer: Person, agent: Person, db: Any
) -> None:
    legal: dict[str, set[str]] = {}
    for before, after in db.execute("select from_status, to_status from desk_private.status_transitions"):
        legal.setdefault(before, set()).add(after)
    desk = api(agent)
    ways = {
        "open": [],
        "in_progress": ["in_progress"],
        "waiting_on_customer": ["waiting_on_customer"],
        "resolved": ["resolved"],
        "closed": ["closed"],
    }
    for before, way in ways.items():
        for after in ways.keys() - {before}:
            ticket = file(api(customer))["ticket_id"]
            for status in way:
                desk.patch(f"/admin-update/{ticket}", json={"status": status})
            answer = desk.patch(f"/admin-update/{ticket}", json={"status": after})
            if after in legal[before]:
                assert answer.status_code == 200, (before, after, answer.text)
            else:
                assert (answer.status_code, answer.json()["code"]) == (409, "illegal_transition"), (
                    before,
                    after,
                )
                assert all(status in answer.json()["error"] for status in legal[before])


def test_a_stale_version_is_told_the_current_row(api: Client, agent: Person, ticket: str) -> None:
    desk = api(agent)
    desk.patch(f"/admin-update/{ticket}", json={"priority": "high", "expected_version": 1})
    answer = desk.patch(f"/admin-update/{ticket}", json={"priority": "low", "expected_version": 1})
    assert (answer.status_code, answer.json()["code"]) == (409, "stale_version")
    assert (answer.json()["current"]["priority"], answer.json()["current"]["version"]) == ("high", 2)


def test_of_fifty_patches_with_the_same_version_one_is_taken(api: Client, agent: Person, ticket: str) -> None:
    desk = api(agent)

    def patch(n: int) -> int:
        change = {"priority": ("high", "low")[n % 2], "category": "billing", "expected_version": 1}
        return desk.patch(f"/admin-update/{ticket}", json=change).status_code

    with ThreadPoolExecutor(16) as pool:
        statuses = sorted(pool.map(patch, range(50)))
    assert statuses == [200] + [409] * 49


def test_two_hundred_automatic_assignments_fill_five_agents_evenly(
    api: Client, person: NewPerson, db: Any
) -> None:
    branch = "branch-of-five"
    team = [
        person("agent", display_name=f"Agent {n}", skills=["selling"], capacity=40, branch_id=branch)
        for n in range(5)
    ]
    db.execute("update desk.support_agents set active = false where branch_id is distinct from %s", [branch])
    clerk = person("agent", display_name="Clerk", branch_id=branch, skills=["buying"])
    seller = person()
    db.execute("insert into desk.customer_branches values (%s, %s)", [seller.id, branch])
    desk = api(clerk)
    for_seller = {"category": "selling", "customer": str(seller.id)}
    numbers = [file(desk, "support", **for_seller)["ticket_number"] for _ in range(201)]

    def assign(number: str) -> dict[str, Any]:
        answer = desk.patch(f"/admin-update/{number}", json={"assigned_to": "auto"})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(assign, numbers[:200]))
    query = "select assigned_to, count(*) from desk.support_tickets where branch_id = %s and assigned_to is not null group by 1"
    assert dict(db.execute(query, [branch])) == {agent.id: 40 for agent in team}
    left_over = assign(numbers[200])
    assert left_over["assigned_to"] is None
    assert left_over["assignment"] == "no agent has the skill and room; the ticket is unassigned"


def test_a_category_may_assign_its_tickets_on_creation(
    api: Client, person: NewPerson, customer: Person, admin: Person, rest: Client, db: Any
) -> None:
    expert = person("agent", display_name="Expert", skills=["dispute"])
    categories = rest(admin)
    where = {"slug": "eq.dispute"}
    assert categories.patch("/ticket_categories", params=where, json={"auto_assign": True}).status_code == 204
    try:
        filed = file(api(customer), "support", category="dispute")
        ticket = detail(api(expert), filed["ticket_number"])
        assert ticket["assigned_to"] is not None
        query = "select kind from desk.notifications where user_id = %s and ticket_id = %s"
        notifications = db.execute(query, [ticket["assigned_to"], ticket["ticket_id"]]).fetchall()
        assert ("assigned",) in notifications
    finally:
        categories.patch("/ticket_categories", params=where, json={"auto_assign": False})


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"status": "done"}, "status"),
        ({"status": None}, "status"),
        ({"priority": "extreme"}, "priority"),
        ({"category": "nonsense"}, "category"),
        ({"assigned_to": "nobody"}, "assigned_to"),
        ({"assigned_to": "00000000-0000-4000-8000-000000000000"}, "assigned_to"),
        ({"resolution": "x" * 20_001}, "resolution"),
        ({"note": "x" * 20_001}, "note"),
        ({"expected_version": "1"}, "expected_version"),
        ({"notify_customer": "yes"}, "notify_customer"),
        ({"ticket_number": "SUP-1"}, "ticket_number"),
    ],
)
def test_a_change_that_cannot_be_is_refused_by_name_and_nothing_changes(
    api: Client, agent: Person, ticket: str, change: dict[str, Any], path: str
) -> None:
    desk = api(agent)
    answer = desk.patch(f"/admin-update/{ticket}", json={"priority": "urgent"} | change)
    assert answer.status_code == 422, answer.text
    assert path in [field["path"] for field in answer.json()["fields"]]
    assert detail(desk, ticket)["version"] == 1


def test_aliases_of_the_older_clients_are_taken(api: Client, agent: Person, ticket: str) -> None:
    answer = api(agent).patch(
        f"/admin-update/{ticket}", json={"status": "waiting_on_user", "priority": "critical"}
    )
    assert (answer.json()["status"], answer.json()["priority"]) == ("waiting_on_customer", "urgent")


def test_an_inactive_agent_is_not_assigned_and_has_no_rights(
    api: Client, person: NewPerson, agent: Person, ticket: str, db: Any
) -> None:
    retired = person("agent", display_name="Retired", active=False)
    answer = api(agent).patch(f"/admin-update/{ticket}", json={"assigned_to": str(retired.id)})
    assert answer.status_code == 422
    assert api(retired).patch(f"/admin-update/{ticket}", json={"priority": "low"}).status_code == 403
    db.execute("delete from desk.support_agents where user_id = %s", [agent.id])
    assert api(agent).patch(f"/admin-update/{ticket}", json={"priority": "low"}).status_code == 403


def test_a_note_is_written_with_the_change_or_not_at_all(api: Client, agent: Person, ticket: str) -> None:
    desk = api(agent)
    refused = desk.patch(f"/admin-update/{ticket}", json={"note": "never seen", "expected_version": 9})
    assert refused.status_code == 409
    taken = desk.patch(f"/admin-update/{ticket}", json={"note": "seen by agents", "priority": "low"})
    assert taken.status_code == 200
    assert [m["body"] for m in detail(desk, ticket)["messages"]] == ["seen by agents"]


def test_customers_change_nothing(api: Client, customer: Person, ticket: str) -> None:
    mine = api(customer)
    calls = [
        mine.patch(f"/admin-update/{ticket}", json={"priority": "urgent"}),
        mine.delete(f"/admin-update/{ticket}"),
        mine.post("/admin-update/bulk", json={"tickets": [ticket], "priority": "urgent"}),
        mine.post("/admin-update/sla-check", json={}),
        mine.get("/admin-update/dead-letters"),
    ]
    assert [call.status_code for call in calls] == [403] * 5
    assert api(None).patch(f"/admin-update/{ticket}", json={}).status_code == 401


def test_a_bulk_change_has_one_outcome_a_ticket(
    api: Client, customer: Person, agent: Person, ticket: str
) -> None:
    desk = api(agent)
    second = file(api(customer))["ticket_number"]
    desk.patch(f"/admin-update/{second}", json={"status": "closed"})
    answer = desk.post(
        "/admin-update/bulk",
        json={"tickets": [ticket, second, "SUP-99999999"], "status": "in_progress", "note": "all"},
    )
    assert answer.status_code == 200, answer.text
    outcomes = {outcome["ticket"]: outcome for outcome in answer.json()["outcomes"]}
    assert outcomes[ticket]["success"]
    assert outcomes[ticket]["status"] == "in_progress"
    assert (outcomes[second]["success"], outcomes[second]["code"]) == (False, "illegal_transition")
    assert outcomes["SUP-99999999"]["code"] == "not_found"
    assert detail(desk, second)["messages"] == []


def test_a_ticket_that_a_bulk_change_names_thrice_is_changed_once(
    api: Client, customer: Person, agent: Person, ticket: str
) -> None:
    desk, ticket_id = api(agent), detail(api(customer), ticket)["ticket_id"]
    names = [ticket, ticket.lower(), ticket_id, ticket, "SUP-99999999", "sup-99999999"]
    answer = desk.post("/admin-update/bulk", json={"tickets": names, "priority": "low", "note": "Called."})
    assert {(row["ticket"], row["success"]) for row in answer.json()["outcomes"]} == {
        (ticket, True),
        ("SUP-99999999", False),
    }
    assert len(answer.json()["outcomes"]) == 2
    after = detail(desk, ticket)
    assert [message["body"] for message in after["messages"]] == ["Called."]
    assert after["version"] == 2


@pytest.mark.parametrize("note", [None, "Still mine."])
def test_an_idle_change_moves_no_version(
    api: Client, customer: Person, agent: Person, ticket: str, note: str | None
) -> None:
    desk = api(agent)
    changes = {"assigned_to": "me", "status": "in_progress", "priority": "high"}
    taken = desk.patch(f"/admin-update/{ticket}", json=changes).json()
    before = detail(desk, ticket)
    again = desk.patch(f"/admin-update/{ticket}", json=changes | ({"note": note} if note else {}))
    assert again.json()["version"] == taken["version"] == 2
    kinds = [event["type"] for event in detail(desk, ticket)["timeline"]]
    assert kinds == [event["type"] for event in before["timeline"]] + (["noted"] if note else [])
    answer = desk.patch(f"/admin-update/{ticket}", json={"priority": "low", "expected_version": 2})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("tickets", [[], ["SUP-00001"] * 101])
def test_a_bulk_change_takes_one_to_a_hundred_tickets(api: Client, agent: Person, tickets: list[str]) -> None:
    answer = api(agent).post("/admin-update/bulk", json={"tickets": tickets, "priority": "low"})
    assert answer.status_code == 422
    assert answer.json()["fields"][0]["path"] == "tickets"


def test_only_admins_delete_and_a_deleted_ticket_is_gone(
    api: Client, rest: Client, customer: Person, agent: Person, admin: Person, ticket: str
) -> None:
    assert api(agent).delete(f"/admin-update/{ticket}").status_code == 403
    assert api(admin).delete(f"/admin-update/{ticket}").status_code == 200
    for somebody in (customer, agent, admin):
        assert api(somebody).get(f"/list-tickets/{ticket}").status_code == 404
        rows = rest(somebody).get("/support_tickets", params={"ticket_number": f"eq.{ticket}"}).json()
        assert rows == []
    assert api(customer).post(f"/add-message/{ticket}", json={"body": "Hello?"}).status_code == 404


def test_an_agent_reviews_feedback(api: Client, customer: Person, agent: Person) -> None:
    payload = {"issue_type": "feedback", "category": "praise", "description": "Lovely."}
    given = api(customer).post("/create-ticket", json={"payload": payload}).json()["feedback_id"]
    review = {"status": "planned", "admin_response": "Thank you!"}
    assert api(customer).patch(f"/admin-update/feedback/{given}", json=review).status_code == 403
    answer = api(agent).patch(f"/admin-update/feedback/{given}", json=review)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["status"], answer.json()["admin_response"]) == ("planned", "Thank you!")
    assert answer.json()["reviewed_at"]
    assert api(agent).patch("/admin-update/feedback/nonsense", json=review).status_code == 404


def test_a_branch_bound_agent_changes_the_tickets_of_the_branch_only(
    api: Client, person: NewPerson, customer: Person, ticket: str, db: Any
) -> None:
    north = person("agent", display_name="North", branch_id="north")
    assert api(north).patch(f"/admin-update/{ticket}", json={"priority": "low"}).status_code == 404
    db.execute("insert into desk.customer_branches values (%s, 'north')", [customer.id])
    theirs = file(api(customer))["ticket_number"]
    assert api(north).patch(f"/admin-update/{theirs}", json={"priority": "low"}).status_code == 200
