"""SLA clocks: what is due when, what stops them, and what counts as missed."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from local.people import Client, Person
from tests.database import Connection
from tests.payloads import file
from tests.store.test_calendars import BERLIN, Calendar, later

SLACK = timedelta(seconds=20)


def let_pass(db: Connection, ticket: str, **time: float) -> None:
    """As if all that has happened to a ticket had happened that much earlier."""
    arguments = {"ticket": ticket, "ago": timedelta(**time)}
    moments = ("created_at", "first_responded_at", "last_response_at", "resolved_at", "closed_at")
    _move(db, "desk.support_tickets", moments, "x.id = %(ticket)s", arguments)
    clocks = [
        f"{clock}_{what}"
        for clock in ("first_response", "resolution")
        for what in ("due", "warned_at", "breached_at")
    ]
    _move(db, "desk_private.ticket_clocks", (*clocks, "running_since"), "x.ticket_id = %(ticket)s", arguments)
    look = (
        "update desk_private.ticket_clocks c"
        " set next_at = desk_private.next_look(c, t.status, t.first_responded_at, t.resolved_at, t.deleted_at)"
        " from desk.support_tickets t"
    )
    db.execute(f"{look} where c.ticket_id = t.id and t.id = %(ticket)s", arguments)


def _move(db: Connection, table: str, columns: Any, where: str, arguments: dict[str, Any]) -> None:
    moved = ", ".join(f"{column} = {column} - %(ago)s" for column in columns)
    db.execute(f"update {table} x set {moved} where {where}", arguments)


@pytest.fixture
def category(db: Connection) -> str:
    """A category of the test's own."""
    slug = f"c{uuid4().hex[:12]}"
    db.execute("insert into desk.ticket_categories (slug, name) values (%s, %s)", (slug, slug))
    return slug


def set_policy(client: httpx.Client, category: str, **columns: Any) -> None:
    """Have an admin write a policy for medium tickets of a category."""
    row = {
        "category": category,
        "priority": "medium",
        "first_response_minutes": 60,
        "resolution_minutes": 600,
    }
    answer = client.post("/sla_policies", json=row | columns)
    assert answer.status_code == 201, answer.text


def set_calendar(client: httpx.Client, calendar: Calendar) -> str:
    """Have an admin write a calendar; its name."""
    slug = f"c{uuid4().hex[:12]}"
    answer = client.post("/business_calendars", json=calendar.row() | {"slug": slug})
    assert answer.status_code == 201, answer.text
    return slug


def sla(client: httpx.Client, ticket: str) -> dict[str, Any]:
    """The clocks as list-tickets shows them, times as times."""
    found: dict[str, Any] = client.get(f"/list-tickets/{ticket}").json()["sla"]
    for clock in found.values():
        for name in ("due_at", "met_at"):
            clock[name] = clock[name] and datetime.fromisoformat(clock[name])
    return found


def due_in(client: httpx.Client, ticket: str) -> dict[str, timedelta | None]:
    """Returns the whole hours that each clock has left."""
    left = {}
    for name, clock in sla(client, ticket).items():
        hours = clock["due_at"] and (clock["due_at"] - datetime.now(UTC) + SLACK / 2) / timedelta(hours=1)
        assert hours is None or abs(hours - round(hours)) < SLACK / timedelta(hours=1), clock
        left[name] = hours and timedelta(hours=round(hours))
    return left


def hours(first_response: float | None, resolution: float | None) -> dict[str, timedelta | None]:
    named = {"first_response": first_response, "resolution": resolution}
    return {name: None if left is None else timedelta(hours=left) for name, left in named.items()}


def change(client: httpx.Client, ticket: str, **changes: Any) -> None:
    answer = client.patch(f"/admin-update/{ticket}", json=changes)
    assert answer.status_code == 200, answer.text


def reply(client: httpx.Client, ticket: str, **fields: Any) -> None:
    answer = client.post(f"/add-message/{ticket}", json={"body": "Hello."} | fields)
    assert answer.status_code == 200, answer.text


@pytest.fixture
def ticket(api: Client, customer: Person) -> str:
    """A ticket of high priority: an answer within 4 hours, a solution within 24."""
    filed: str = file(api(customer), "support", priority="high")["ticket_id"]
    return filed


@pytest.mark.parametrize(
    ("priority", "first_response", "resolution"),
    [("urgent", 2, 8), ("high", 4, 24), ("medium", 24, 72), ("low", 48, 120)],
)
def test_a_new_ticket_is_due_by_its_priority(
    api: Client, customer: Person, priority: str, first_response: int, resolution: int
) -> None:
    ticket = file(api(customer), "support", priority=priority)["ticket_id"]
    assert due_in(api(customer), ticket) == hours(first_response, resolution)


def test_a_new_ticket_shows_clocks_that_run_and_nothing_missed(
    api: Client, customer: Person, ticket: str
) -> None:
    shown = sla(api(customer), ticket)
    assert set(shown["first_response"]) == {"due_at", "met_at", "breached"}
    assert set(shown["resolution"]) == {"due_at", "met_at", "breached", "paused", "spent_seconds"}
    assert [clock["met_at"] for clock in shown.values()] == [None, None]
    assert [clock["breached"] for clock in shown.values()] == [False, False]
    assert not shown["resolution"]["paused"]
    assert shown["resolution"]["spent_seconds"] < SLACK.total_seconds()


def test_customers_and_agents_see_the_same_clocks(
    api: Client, customer: Person, agent: Person, ticket: str
) -> None:
    change(api(agent), ticket, status="waiting_on_customer")
    assert sla(api(customer), ticket) == sla(api(agent), ticket)


def test_a_categorys_own_policy_goes_before_the_one_for_all(
    api: Client, rest: Client, customer: Person, admin: Person, category: str
) -> None:
    set_policy(rest(admin), category)
    own = file(api(customer), "support", category=category, priority="medium")["ticket_id"]
    assert due_in(api(customer), own) == hours(1, 10)
    for_all = file(api(customer), "support", category=category, priority="low")["ticket_id"]
    assert due_in(api(customer), for_all) == hours(48, 120)


def test_moving_a_ticket_to_another_category_puts_it_under_that_policy(
    api: Client, rest: Client, customer: Person, admin: Person, category: str
) -> None:
    set_policy(rest(admin), category)
    ticket = file(api(customer), "support", priority="medium")["ticket_id"]
    change(api(admin), ticket, category=category)
    assert due_in(api(customer), ticket) == hours(1, 10)


def test_time_passes_by_the_calendar_of_the_policy(
    api: Client, rest: Client, customer: Person, admin: Person, category: str
) -> None:
    set_policy(rest(admin), category, calendar=set_calendar(rest(admin), BERLIN))
    filed = file(api(customer), "support", category=category, priority="medium")
    created = int(datetime.fromisoformat(filed["created_at"]).timestamp())
    due = {
        name: clock["due_at"].timestamp() for name, clock in sla(api(customer), filed["ticket_id"]).items()
    }
    assert due == {
        "first_response": pytest.approx(later(BERLIN, created, 3600), abs=1),
        "resolution": pytest.approx(later(BERLIN, created, 36_000), abs=1),
    }


def test_a_target_that_the_calendar_does_not_reach_keeps_nobody_from_filing(
    api: Client, rest: Client, customer: Person, admin: Person, category: str
) -> None:
    a_minute_a_week = set_calendar(rest(admin), Calendar("UTC", (((0, 1),), *((),) * 6)))
    set_policy(rest(admin), category, resolution_minutes=10_000, calendar=a_minute_a_week)
    ticket = file(api(customer), "support", category=category, priority="medium")["ticket_id"]
    shown = sla(api(customer), ticket)
    assert shown["first_response"]["due_at"]
    assert shown["resolution"]["due_at"] is None
    assert not shown["resolution"]["breached"]


def test_an_agents_first_reply_meets_the_first_response_and_later_ones_change_nothing(
    api: Client, db: Connection, customer: Person, agent: Person, ticket: str
) -> None:
    let_pass(db, ticket, hours=3)
    reply(api(agent), ticket)
    met = sla(api(customer), ticket)["first_response"]
    assert met["met_at"] is not None
    assert not met["breached"]
    let_pass(db, ticket, hours=3)
    reply(api(agent), ticket)
    again = sla(api(customer), ticket)["first_response"]
    assert again["met_at"] == met["met_at"] - timedelta(hours=3)
    assert not again["breached"]


def test_only_a_public_reply_of_an_agent_is_a_first_response(
    api: Client, customer: Person, agent: Person, ticket: str
) -> None:
    reply(api(customer), ticket)
    reply(api(agent), ticket, is_internal=True)
    change(api(agent), ticket, status="in_progress", note="Looking at it.")
    assert sla(api(agent), ticket)["first_response"]["met_at"] is None


def test_what_an_agent_says_on_a_ticket_of_their_own_is_no_response(api: Client, agent: Person) -> None:
    ticket = file(api(agent), "support")["ticket_id"]
    reply(api(agent), ticket)
    assert sla(api(agent), ticket)["first_response"]["met_at"] is None


def test_an_automatic_reply_leaves_the_first_response_due(
    api: Client, db: Connection, customer: Person, category: str
) -> None:
    db.execute("update desk.ticket_categories set auto_reply = 'received' where slug = %s", (category,))
    ticket = file(api(customer), "support", category=category)["ticket_id"]
    [message] = api(customer).get(f"/list-tickets/{ticket}").json()["messages"]
    assert message["author"] == "system"
    assert sla(api(customer), ticket)["first_response"]["met_at"] is None


def test_the_first_response_does_not_wait_for_the_customer(
    api: Client, db: Connection, customer: Person, agent: Person, ticket: str
) -> None:
    change(api(agent), ticket, status="waiting_on_customer")
    let_pass(db, ticket, hours=3)
    assert due_in(api(customer), ticket) == hours(1, None)
    let_pass(db, ticket, hours=2)
    assert sla(api(customer), ticket)["first_response"]["breached"]


def test_the_resolution_waits_for_the_customer_and_goes_on_with_what_was_left(
    api: Client, db: Connection, customer: Person, agent: Person, ticket: str
) -> None:
    let_pass(db, ticket, hours=10)
    change(api(agent), ticket, status="waiting_on_customer")
    let_pass(db, ticket, hours=100)
    paused = sla(api(customer), ticket)["resolution"]
    assert (paused["paused"], paused["due_at"], paused["breached"]) == (True, None, False)
    assert paused["spent_seconds"] == pytest.approx(10 * 3600, abs=SLACK.total_seconds())
    reply(api(customer), ticket)
    assert due_in(api(customer), ticket)["resolution"] == timedelta(hours=14)


@pytest.mark.parametrize("settled", ["resolved", "closed"])
def test_a_reopened_ticket_goes_on_with_what_was_left(
    api: Client, db: Connection, customer: Person, agent: Person, ticket: str, settled: str
) -> None:
    let_pass(db, ticket, hours=20)
    change(api(agent), ticket, status=settled)
    let_pass(db, ticket, hours=50)
    done = sla(api(customer), ticket)["resolution"]
    assert done["met_at"] is not None
    assert (done["paused"], done["breached"]) == (True, False)
    reply(api(customer), ticket)
    again = sla(api(customer), ticket)["resolution"]
    assert (again["met_at"], again["paused"]) == (None, False)
    assert due_in(api(customer), ticket)["resolution"] == timedelta(hours=4)


def test_pauses_add_up(api: Client, db: Connection, customer: Person, agent: Person, ticket: str) -> None:
    for _ in range(3):
        let_pass(db, ticket, hours=5)
        change(api(agent), ticket, status="waiting_on_customer")
        let_pass(db, ticket, hours=9)
        reply(api(customer), ticket)
    assert due_in(api(customer), ticket)["resolution"] == timedelta(hours=24 - 15)


def test_a_pause_is_counted_in_working_time(
    api: Client, rest: Client, db: Connection, customer: Person, admin: Person, category: str
) -> None:
    half_days = Calendar("UTC", (((0, 720),),) * 7)
    set_policy(rest(admin), category, calendar=set_calendar(rest(admin), half_days))
    ticket = file(api(customer), "support", category=category, priority="medium")["ticket_id"]
    db.execute(
        "update desk_private.ticket_clocks set running_since = now() - interval '2 days' where ticket_id = %s",
        (ticket,),
    )
    change(api(admin), ticket, status="waiting_on_customer")
    spent = sla(api(customer), ticket)["resolution"]["spent_seconds"]
    assert spent == pytest.approx(24 * 3600, abs=SLACK.total_seconds())


def test_a_changed_priority_counts_from_creation(
    api: Client, db: Connection, customer: Person, agent: Person, ticket: str
) -> None:
    let_pass(db, ticket, hours=1)
    change(api(agent), ticket, priority="urgent")
    assert due_in(api(customer), ticket) == hours(1, 7)
    change(api(agent), ticket, priority="low")
    assert due_in(api(customer), ticket) == hours(47, 119)


def test_a_changed_priority_leaves_pauses_out(
    api: Client, db: Connection, customer: Person, agent: Person, ticket: str
) -> None:
    let_pass(db, ticket, hours=2)
    change(api(agent), ticket, status="waiting_on_customer")
    let_pass(db, ticket, hours=50)
    reply(api(customer), ticket)
    let_pass(db, ticket, hours=1)
    change(api(agent), ticket, priority="urgent")
    assert due_in(api(customer), ticket)["resolution"] == timedelta(hours=8 - 3)


def test_a_priority_changed_during_a_pause_counts_once_it_is_over(
    api: Client, db: Connection, customer: Person, agent: Person, ticket: str
) -> None:
    let_pass(db, ticket, hours=2)
    change(api(agent), ticket, status="waiting_on_customer")
    change(api(agent), ticket, priority="urgent")
    assert due_in(api(customer), ticket) == hours(0, None)
    let_pass(db, ticket, hours=50)
    reply(api(customer), ticket)
    assert due_in(api(customer), ticket)["resolution"] == timedelta(hours=6)


def test_what_a_lower_priority_allows_was_not_missed(
    api: Client, db: Connection, customer: Person, agent: Person, ticket: str
) -> None:
    let_pass(db, ticket, hours=25)
    assert [clock["breached"] for clock in sla(api(customer), ticket).values()] == [True, True]
    change(api(agent), ticket, priority="low")
    assert [clock["breached"] for clock in sla(api(customer), ticket).values()] == [False, False]
    assert due_in(api(customer), ticket) == hours(23, 95)


def test_a_late_reply_and_a_late_resolution_were_missed_though_no_sweep_saw_it(
    api: Client, db: Connection, customer: Person, agent: Person, ticket: str
) -> None:
    let_pass(db, ticket, hours=25)
    reply(api(agent), ticket)
    change(api(agent), ticket, status="resolved")
    shown = sla(api(customer), ticket)
    assert [clock["breached"] for clock in shown.values()] == [True, True]
    assert None not in [clock["met_at"] for clock in shown.values()]


def test_a_reply_in_time_and_a_resolution_in_time_stay_so(
    api: Client, db: Connection, customer: Person, agent: Person, ticket: str
) -> None:
    let_pass(db, ticket, hours=3)
    reply(api(agent), ticket)
    change(api(agent), ticket, status="resolved")
    let_pass(db, ticket, days=100)
    assert [clock["breached"] for clock in sla(api(customer), ticket).values()] == [False, False]


def test_missed_stays_missed_when_the_ticket_is_reopened(
    api: Client, db: Connection, customer: Person, agent: Person, ticket: str
) -> None:
    let_pass(db, ticket, hours=25)
    change(api(agent), ticket, status="resolved")
    let_pass(db, ticket, hours=25)
    reply(api(customer), ticket)
    assert sla(api(customer), ticket)["resolution"]["breached"]


def test_a_resolution_that_is_mailed_is_a_first_response(
    api: Client, db: Connection, customer: Person, agent: Person, ticket: str
) -> None:
    let_pass(db, ticket, hours=1)
    change(api(agent), ticket, status="resolved", resolution="It is on again.")
    met = sla(api(customer), ticket)["first_response"]
    assert (met["met_at"] is not None, met["breached"]) == (True, False)
    let_pass(db, ticket, hours=90)
    reply(api(customer), ticket)
    again = sla(api(customer), ticket)["first_response"]
    assert (again["met_at"], again["breached"]) == (met["met_at"] - timedelta(hours=90), False)


def test_a_late_resolution_is_a_late_first_response(
    api: Client, db: Connection, customer: Person, agent: Person, ticket: str
) -> None:
    let_pass(db, ticket, hours=5)
    change(api(agent), ticket, status="resolved", resolution="It is on again.")
    assert sla(api(customer), ticket)["first_response"]["breached"]


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "resolved"},
        {"resolution": "Off and on."},
        {"status": "resolved", "resolution": "x", "notify_customer": False},
        {"status": "closed"},
        {"status": "in_progress"},
    ],
)
def test_a_change_that_answers_nothing_is_no_first_response(
    api: Client, agent: Person, ticket: str, changes: dict[str, Any]
) -> None:
    change(api(agent), ticket, **changes)
    assert sla(api(agent), ticket)["first_response"]["met_at"] is None


def test_an_agent_who_resolves_a_ticket_of_their_own_answers_nobody(api: Client, agent: Person) -> None:
    ticket = file(api(agent), "support")["ticket_id"]
    change(api(agent), ticket, status="resolved", resolution="It is on again.")
    assert sla(api(agent), ticket)["first_response"]["met_at"] is None


@pytest.mark.parametrize("settled", ["resolved", "closed"])
def test_a_ticket_that_is_reopened_unanswered_has_the_whole_time_for_an_answer(
    api: Client, db: Connection, customer: Person, agent: Person, ticket: str, settled: str
) -> None:
    let_pass(db, ticket, hours=2)
    change(api(agent), ticket, status=settled, notify_customer=False)
    let_pass(db, ticket, hours=50)
    reply(api(customer), ticket)
    again = sla(api(customer), ticket)["first_response"]
    assert (again["met_at"], again["breached"]) == (None, False)
    assert due_in(api(customer), ticket)["first_response"] == timedelta(hours=4)
    change(api(agent), ticket, priority="urgent")
    assert due_in(api(customer), ticket)["first_response"] == timedelta(hours=2)


def test_a_first_response_that_was_missed_stays_missed_when_the_ticket_is_reopened(
    api: Client, db: Connection, customer: Person, agent: Person, ticket: str
) -> None:
    db.execute(
        "update desk_private.ticket_clocks set first_response_breached_at = now() where ticket_id = %s",
        (ticket,),
    )
    change(api(agent), ticket, status="closed", notify_customer=False)
    reply(api(customer), ticket)
    assert sla(api(customer), ticket)["first_response"]["breached"]


def test_an_answer_in_time_does_not_come_to_be_late(
    api: Client, db: Connection, customer: Person, agent: Person, ticket: str
) -> None:
    let_pass(db, ticket, hours=3)
    reply(api(agent), ticket)
    change(api(agent), ticket, priority="urgent")
    change(api(agent), ticket, status="waiting_on_customer")
    reply(api(customer), ticket)
    assert not sla(api(customer), ticket)["first_response"]["breached"]


@pytest.mark.parametrize(
    ("calendar", "promise"),
    [
        (BERLIN, "within 4 working hours"),
        (Calendar("Europe/Berlin", (((0, 24 * 60),),) * 7), "within 4 hours"),
        (None, "within 4 hours"),
    ],
)
def test_a_confirmation_speaks_of_working_time_where_the_desk_is_not_always_open(
    api: Client,
    rest: Client,
    customer: Person,
    admin: Person,
    category: str,
    calendar: Calendar | None,
    promise: str,
) -> None:
    name = set_calendar(rest(admin), calendar) if calendar else None
    set_policy(rest(admin), category, first_response_minutes=240, calendar=name)
    filed = file(api(customer), "support", category=category, priority="medium")
    assert promise in filed["message"]
    assert not {"first_response_minutes", "in_working_time"} & set(filed)
