"""Statistics for agents. Each test counts in a branch of its own, or in a category of its own."""

from datetime import datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest

from local.people import Client, NewPerson, Person
from tests.assertions import assert_problem
from tests.database import Connection
from tests.payloads import file
from tests.store.test_calendars import NOT_NAMES
from tests.store.test_sla import change, let_pass, reply

SLACK = 20  # seconds that a test may take
NO_TIMES: dict[str, Any] = {"average_seconds": None, "median_seconds": None, "in_time": 0, "missed": 0}
NOTHING: dict[str, Any] = {
    "created": 0,
    "resolved": 0,
    "first_response": {"responded": 0} | NO_TIMES,
    "resolution": NO_TIMES,
    "sla_compliance": None,
    "csat": {"ratings": 0, "average": None, "satisfied": None},
}


@pytest.fixture
def branch() -> str:
    return f"branch {uuid4()}"


@pytest.fixture
def bo(person: NewPerson, branch: str) -> Person:
    """The agent of the branch."""
    return person("agent", display_name="Bo", branch_id=branch)


@pytest.fixture
def visitor(db: Connection, customer: Person, branch: str) -> Person:
    """A customer of the branch."""
    db.execute("insert into desk.customer_branches values (%s, %s)", (customer.id, branch))
    return customer


def stats(client: httpx.Client, **query: str) -> dict[str, Any]:
    answer = client.get("/list-tickets/stats", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def filed(api: Client, visitor: Person, **fields: Any) -> str:
    """A support ticket of high priority: an answer is due within 4 hours, a solution within 24."""
    ticket: str = file(api(visitor), "support", **{"priority": "high"} | fields)["ticket_id"]
    return ticket


def filed_at(db: Connection, branch: str, moment: str, **columns: Any) -> str:
    """A ticket that was filed at that moment, and nobody has touched."""
    row = {"category": "technical", "priority": "medium"} | columns | {"branch": branch, "moment": moment}
    statement = """
        insert into desk.support_tickets (issue_type, category, priority, subject, description, branch_id, created_at)
        values ('support', %(category)s, %(priority)s, 'Counted', 'Counted', %(branch)s, %(moment)s) returning id
    """
    found = db.execute(statement, row).fetchone()
    assert found is not None
    return str(found[0])


def worked(api: Client, db: Connection, ticket: str, agent: Person, answered: float, solved: float) -> str:
    """Answered and solved that many hours after it was filed."""
    let_pass(db, ticket, hours=answered)
    reply(api(agent), ticket)
    let_pass(db, ticket, hours=solved - answered)
    change(api(agent), ticket, status="resolved")
    return ticket


def move_to(db: Connection, ticket: str, moment: str) -> None:
    """As if the ticket had been filed at that moment, and all the rest had followed."""
    found = db.execute("select created_at from desk.support_tickets where id = %s", (ticket,)).fetchone()
    assert found is not None
    let_pass(db, ticket, seconds=(found[0] - datetime.fromisoformat(moment)).total_seconds())


def test_agents_see_volume_backlog_times_and_compliance(
    api: Client, db: Connection, visitor: Person, bo: Person
) -> None:
    worked(api, db, filed(api, visitor), bo, answered=2, solved=10)
    worked(api, db, filed(api, visitor), bo, answered=6, solved=30)
    worked(api, db, filed(api, visitor), bo, answered=1, solved=11)
    filed(api, visitor)
    total = stats(api(bo))["total"]
    assert (total["created"], total["resolved"], total["backlog"]) == (4, 3, 1)
    assert total["first_response"] == {
        "responded": 3,
        "average_seconds": pytest.approx(3 * 3600, abs=SLACK),
        "median_seconds": pytest.approx(2 * 3600, abs=SLACK),
        "in_time": 2,
        "missed": 1,
    }
    assert total["resolution"] == {
        "average_seconds": pytest.approx(17 * 3600, abs=SLACK),
        "median_seconds": pytest.approx(11 * 3600, abs=SLACK),
        "in_time": 2,
        "missed": 1,
    }
    assert total["sla_compliance"] == pytest.approx(4 / 6, abs=0.0001)
    assert total["csat"] == NOTHING["csat"]


def test_an_answer_that_is_overdue_is_missed_before_any_sweep_has_seen_it(
    api: Client, db: Connection, visitor: Person, bo: Person
) -> None:
    let_pass(db, filed(api, visitor), hours=5)
    assert stats(api(bo))["total"]["first_response"] == NOTHING["first_response"] | {"missed": 1}


def test_a_ticket_settled_without_an_answer_had_none_in_time_and_none_missed(
    api: Client, db: Connection, visitor: Person, bo: Person
) -> None:
    for status in ("resolved", "closed"):
        ticket = filed(api, visitor)
        let_pass(db, ticket, hours=2)
        change(api(bo), ticket, status=status)
        let_pass(db, ticket, hours=5)
    total = stats(api(bo))["total"]
    assert total["first_response"] == NOTHING["first_response"]
    assert (total["resolved"], total["resolution"]["in_time"], total["backlog"]) == (2, 2, 0)


def test_ratings_are_averaged_and_the_latest_of_a_ticket_counts(
    api: Client, visitor: Person, bo: Person
) -> None:
    for ratings in ([1, 5], [4], [1]):
        ticket = filed(api, visitor)
        change(api(bo), ticket, status="resolved")
        for rating in ratings:
            answer = api(visitor).post(f"/add-message/{ticket}/rating", json={"rating": rating})
            assert answer.status_code == 200, answer.text
    assert stats(api(bo))["total"]["csat"] == {"ratings": 3, "average": 3.33, "satisfied": 0.6667}


def test_numbers_are_told_by_day_category_priority_and_agent(
    api: Client, db: Connection, visitor: Person, bo: Person
) -> None:
    mine = worked(api, db, filed(api, visitor, category="billing"), bo, answered=1, solved=30)
    change(api(bo), mine, assigned_to="me")
    move_to(db, mine, "2025-06-02T20:00:00Z")
    move_to(db, filed(api, visitor, category="technical", priority="low"), "2025-06-02T08:00:00Z")
    found = stats(api(bo), **{"from": "2025-06-01", "to": "2025-06-05"})
    assert (found["from"], found["to"], found["time_zone"]) == ("2025-06-01", "2025-06-05", "UTC")
    assert [(day["day"], day["created"], day["resolved"]) for day in found["by_day"]] == [
        ("2025-06-01", 0, 0),
        ("2025-06-02", 2, 0),
        ("2025-06-03", 0, 0),
        ("2025-06-04", 0, 1),
        ("2025-06-05", 0, 0),
    ]
    assert [(row["category"], row["created"], row["resolved"]) for row in found["by_category"]] == [
        ("billing", 1, 1),
        ("technical", 1, 0),
    ]
    assert [(row["priority"], row["created"], row["resolved"]) for row in found["by_priority"]] == [
        ("low", 1, 0),
        ("high", 1, 1),
    ]
    assert [(row["agent"], row["agent_name"], row["created"]) for row in found["by_agent"]] == [
        (str(bo.id), "Bo", 1),
        (None, None, 1),
    ]
    assert all(
        NOTHING.keys() <= row.keys() for name in found if name.startswith("by_") for row in found[name]
    )


def test_an_empty_range_is_zeros_and_days_without_anything(api: Client, visitor: Person, bo: Person) -> None:
    filed(api, visitor)
    found = stats(api(bo), **{"from": "2001-02-27", "to": "2001-03-01"})
    assert found["total"] == NOTHING | {"backlog": 0}
    days = ("2001-02-27", "2001-02-28", "2001-03-01")
    assert found["by_day"] == [{"day": day} | NOTHING for day in days]
    assert (found["by_category"], found["by_priority"], found["by_agent"]) == ([], [], [])


def test_the_last_thirty_days_are_counted_when_none_are_named(
    api: Client, db: Connection, visitor: Person, bo: Person
) -> None:
    let_pass(db, filed(api, visitor), days=28)
    let_pass(db, filed(api, visitor), days=31)
    found = stats(api(bo))
    assert (len(found["by_day"]), found["total"]["created"], found["total"]["backlog"]) == (30, 1, 2)


def test_the_backlog_is_what_was_open_when_the_last_day_ended(
    api: Client, db: Connection, visitor: Person, bo: Person
) -> None:
    move_to(db, worked(api, db, filed(api, visitor), bo, answered=1, solved=48), "2025-06-02T10:00:00Z")
    backlog = {
        day: stats(api(bo), **{"from": day, "to": day})["total"]["backlog"]
        for day in ("2025-06-01", "2025-06-02", "2025-06-03", "2025-06-04")
    }
    assert list(backlog.values()) == [0, 1, 1, 0]


@pytest.mark.parametrize(
    ("day", "inside", "outside"),
    [
        # 25 hours long in Berlin,
        (
            "2025-10-26",
            ("2025-10-25T22:00Z", "2025-10-26T22:59Z"),
            ("2025-10-25T21:59Z", "2025-10-26T23:00Z"),
        ),
        # and 23.
        (
            "2025-03-30",
            ("2025-03-29T23:00Z", "2025-03-30T21:59Z"),
            ("2025-03-29T22:59Z", "2025-03-30T22:00Z"),
        ),
    ],
)
def test_a_day_is_as_long_as_it_is_in_the_time_zone(
    api: Client,
    db: Connection,
    bo: Person,
    branch: str,
    day: str,
    inside: tuple[str, ...],
    outside: tuple[str, ...],
) -> None:
    for moment in inside + outside:
        filed_at(db, branch, moment)
    found = stats(api(bo), **{"from": day, "to": day, "time_zone": "Europe/Berlin"})
    assert found["total"]["created"] == 2
    assert [(row["day"], row["created"]) for row in found["by_day"]] == [(day, 2)]


def test_a_reopened_ticket_is_not_resolved_and_counts_once_it_is_again(
    api: Client, db: Connection, visitor: Person, bo: Person
) -> None:
    ticket = worked(api, db, filed(api, visitor), bo, answered=1, solved=2)
    reply(api(visitor), ticket)
    total = stats(api(bo))["total"]
    assert (total["resolved"], total["backlog"], total["resolution"]["in_time"]) == (0, 1, 0)
    let_pass(db, ticket, hours=3)
    change(api(bo), ticket, status="resolved")
    total = stats(api(bo))["total"]
    assert (total["resolved"], total["backlog"]) == (1, 0)
    assert total["resolution"]["average_seconds"] == pytest.approx(5 * 3600, abs=SLACK)


def test_tickets_of_a_deleted_agent_still_count(
    api: Client, db: Connection, visitor: Person, bo: Person, person: NewPerson, branch: str
) -> None:
    gone = person("agent", display_name="Gone", branch_id=branch)
    change(api(gone), worked(api, db, filed(api, visitor), gone, answered=1, solved=2), assigned_to="me")
    db.execute("delete from auth.users where id = %s", (gone.id,))
    found = stats(api(bo))
    assert (found["total"]["resolved"], found["total"]["first_response"]["in_time"]) == (1, 1)
    assert [(row["agent"], row["agent_name"], row["resolved"]) for row in found["by_agent"]] == [
        (None, None, 1)
    ]


def test_deleted_tickets_do_not_count(api: Client, admin: Person, visitor: Person, bo: Person) -> None:
    ticket = filed(api, visitor)
    assert api(admin).delete(f"/admin-update/{ticket}").status_code == 200
    assert stats(api(bo))["total"] == NOTHING | {"backlog": 0}


def test_an_agent_of_a_branch_counts_that_branch_and_others_count_all(
    api: Client, db: Connection, agent: Person, bo: Person, branch: str
) -> None:
    category = f"c{uuid4().hex[:12]}"
    db.execute("insert into desk.ticket_categories (slug, name) values (%s, 'Counted')", (category,))
    for place in (branch, branch, f"not {branch}"):
        filed_at(db, place, "2025-07-01T12:00:00Z", category=category)
    july = {"from": "2025-07-01", "to": "2025-07-31"}
    created = [
        {row["category"]: row["created"] for row in stats(api(who), **july)["by_category"]}
        for who in (bo, agent)
    ]
    assert created[0] == {category: 2}
    assert created[1][category] == 3


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({"from": "2026-01-02", "to": "2026-01-01"}, "to"),
        ({"from": "2024-01-01", "to": "2026-01-01"}, "to"),
        ({"from": "01.01.2026"}, "from"),
        ({"to": "2026-02-30"}, "to"),
        ({"time_zone": "Europe/Atlantis"}, "time_zone"),
        ({"time_zone": "UTC+9999"}, "time_zone"),
        *(({"time_zone": zone}, "time_zone") for zone in NOT_NAMES),
        ({"zone": "UTC"}, "zone"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused_by_the_field(
    api: Client, agent: Person, query: dict[str, str], path: str
) -> None:
    assert_problem(api(agent).get("/list-tickets/stats", params=query), 422, "invalid", path)


@pytest.mark.parametrize(
    "zone", ["UTC", "Europe/Berlin", "Etc/GMT-14", "EST", "America/Argentina/Buenos_Aires"]
)
def test_a_time_zone_is_known_by_its_name(api: Client, agent: Person, zone: str) -> None:
    answer = api(agent).get("/list-tickets/stats", params={"time_zone": zone})
    assert (answer.status_code, answer.json().get("time_zone")) == (200, zone)


def test_customers_and_strangers_see_no_statistics(api: Client, customer: Person) -> None:
    assert_problem(api(customer).get("/list-tickets/stats"), 403, "forbidden")
    assert_problem(api(None).get("/list-tickets/stats"), 401, "unauthenticated")
