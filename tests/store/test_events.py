"""Events: complete, in order, and enough to make a ticket's row from."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from local.people import Client, Person
from tests.payloads import detail, file
from tests.resilience.invariants import NOT_IN_SEQUENCE, UNFAITHFUL


@pytest.fixture
def ticket(api: Client, customer: Person) -> str:
    number: str = file(api(customer), "support")["ticket_number"]
    return number


def test_an_agents_timeline_has_everything_and_a_customers_what_concerns_them(
    api: Client, customer: Person, agent: Person, ticket: str
) -> None:
    desk, mine = api(agent), api(customer)
    desk.patch(f"/admin-update/{ticket}", json={"assigned_to": "me", "priority": "high"})
    desk.post(f"/add-message/{ticket}", json={"body": "secret", "is_internal": True})
    desk.post(f"/add-message/{ticket}", json={"body": "Which version?"})
    desk.patch(f"/admin-update/{ticket}", json={"status": "waiting_on_customer"})
    mine.post(f"/add-message/{ticket}", json={"body": "The last one."})
    seen = [(entry["type"], entry["actor"]) for entry in detail(desk, ticket)["timeline"]]
    assert seen == [
        ("created", "customer"),
        ("assigned", "agent"),
        ("noted", "agent"),
        ("replied", "agent"),
        ("status_changed", "agent"),
        ("status_changed", "customer"),
    ]
    assert detail(desk, ticket)["timeline"][1]["actor_name"] == "Agent"
    timeline = [
        (entry["type"], entry.get("from"), entry.get("to")) for entry in detail(mine, ticket)["timeline"]
    ]
    assert timeline == [
        ("created", None, "open"),
        ("replied", None, None),
        ("status_changed", "open", "waiting_on_customer"),
        ("status_changed", "waiting_on_customer", "in_progress"),
    ]


def test_notes_written_at_once_have_events_in_sequence(
    api: Client, agent: Person, ticket: str, db: Any
) -> None:
    desk = api(agent)

    def note(n: int) -> int:
        return desk.post(
            f"/add-message/{ticket}", json={"body": f"note {n}", "is_internal": True}
        ).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(note, range(24))) == {200}
    assert len(detail(desk, ticket)["timeline"]) == 25
    assert db.execute(NOT_IN_SEQUENCE).fetchall() == []


def test_a_deleted_person_leaves_the_ticket_and_nothing_of_themselves(
    api: Client, customer: Person, agent: Person, ticket: str, db: Any
) -> None:
    fields = {"reporter_name": "Zoe Zimmer", "reporter_email": "zoe.zimmer@example.com"}
    named = file(api(customer), **fields)["ticket_number"]
    api(customer).post(f"/add-message/{named}", json={"body": "Me again."})
    db.execute("delete from auth.users where id = %s", [customer.id])
    left = detail(api(agent), named)
    assert (left["requester_name"], left["requester_email"], left["customer_id"]) == (None, None, None)
    assert left["timeline"][-1]["type"] == "requester_removed"
    query = """
        select to_jsonb(t)::text || coalesce((select string_agg(to_jsonb(e)::text, '') from desk.ticket_events e
          where e.ticket_id = t.id), '') || coalesce((select string_agg(to_jsonb(m)::text, '')
          from desk.ticket_messages m where m.ticket_id = t.id), '')
          || (select s.words::text from desk_private.ticket_search s where s.ticket_id = t.id)
        from desk.support_tickets t where t.ticket_number = %s
    """
    (everything,) = db.execute(query, [named]).fetchone()
    for trace in (str(customer.id), customer.email, "Zoe", "zoe.zimmer"):
        assert trace not in everything


def test_a_deleted_agent_leaves_their_tickets_unassigned(
    api: Client, agent: Person, person: Callable[..., Person], ticket: str, db: Any
) -> None:
    leaver = person("agent", display_name="Leaver")
    api(leaver).patch(f"/admin-update/{ticket}", json={"assigned_to": "me"})
    db.execute("delete from auth.users where id = %s", [leaver.id])
    left = detail(api(agent), ticket)
    assert left["assigned_to"] is None
    assert (left["timeline"][-1]["type"], left["timeline"][-1]["actor"]) == ("assigned", "system")


@pytest.mark.last
def test_replaying_the_events_of_every_ticket_of_the_suite_gives_its_row(db: Any) -> None:
    assert db.execute("select count(*) > 0 from desk.support_tickets").fetchone() == (True,)
    assert db.execute(UNFAITHFUL).fetchall() == []
    assert db.execute(NOT_IN_SEQUENCE).fetchall() == []
