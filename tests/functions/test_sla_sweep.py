"""The sweep: warns, escalates, closes, applies changed policies and prunes, each once, whoever else is at work."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from local.people import PROFILE, Client, Person, RunningStack
from tests.assertions import assert_problem
from tests.database import Connection
from tests.payloads import file
from tests.store.test_calendars import Calendar
from tests.store.test_sla import (
    SLACK,
    change,
    due_in,
    hours,
    let_pass,
    reply,
    set_calendar,
    set_policy,
    sla,
)

TOLD = ("warned", "breached", "closed", "recalculated", "pruned", "looked_at")


@pytest.fixture
def service(stack: RunningStack) -> Iterator[httpx.Client]:
    """PostgREST with the secret key."""
    url, key = f"{stack.supabase_url}/rest/v1", {"apikey": stack.secret_key, **PROFILE}
    with httpx.Client(base_url=url, headers=key, timeout=30, trust_env=False) as client:
        yield client


def sweep(service: httpx.Client, batch: int = 1000) -> dict[str, Any]:
    answer = service.post("/rpc/sweep", json={"batch": batch})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def sweep_all(service: httpx.Client, batch: int = 1000) -> list[dict[str, Any]]:
    """Sweeps batch after batch until nothing is due, and returns them all."""
    batches = [sweep(service, batch)]
    while batches[-1]["more"]:
        batches.append(sweep(service, batch))
    return batches


@pytest.fixture(autouse=True)
def _nothing_left_to_do(service: httpx.Client) -> None:
    """Sweeps what other tests have left."""
    sweep_all(service)


@pytest.fixture
def ticket(api: Client, customer: Person) -> str:
    """A ticket of high priority: an answer within 4 hours, a solution within 24, warnings an hour before."""
    filed: str = file(api(customer), "support", priority="high")["ticket_id"]
    return filed


@pytest.fixture
def category(db: Connection) -> str:
    """A category of the test's own."""
    slug = f"c{uuid4().hex[:12]}"
    db.execute("insert into desk.ticket_categories (slug, name) values (%s, %s)", (slug, slug))
    return slug


def file_overdue(db: Connection, many: int) -> list[UUID]:
    """Tickets that nobody has looked at for ten days."""
    filed = """
        insert into desk.support_tickets (issue_type, category, subject, description, created_at)
        select 'support', 'technical', 'Overdue', 'Nobody looks.', now() - interval '10 days' from generate_series(1, %s)
        returning id
    """
    return [ticket for (ticket,) in db.execute(filed, (many,))]


def news(db: Connection, ticket: str | UUID) -> list[str]:
    """Lists the staff news of a ticket, except its filing."""
    heard = "select kind from desk_private.staff_news where ticket_id = %s and kind <> 'created' order by id"
    return [kind for (kind,) in db.execute(heard, (ticket,))]


def escalations(db: Connection, ticket: str | UUID) -> list[str]:
    """Lists the actors who flagged the ticket as escalated."""
    flagged = (
        "select actor from desk.ticket_events where ticket_id = %s and changes ? 'escalated' order by seq"
    )
    events = db.execute(flagged + " offset 1", (ticket,))  # the first is that it was filed, not escalated
    return [actor for (actor,) in events]


def detail(client: httpx.Client, ticket: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/list-tickets/{ticket}").json()
    return found


def test_a_sweep_tells_what_it_did(service: httpx.Client, db: Connection, ticket: str) -> None:
    let_pass(db, ticket, hours=5)
    total = sweep(service)
    number = db.execute("select ticket_number from desk.support_tickets where id = %s", (ticket,)).fetchone()
    assert number is not None
    counts = {"looked_at": 1, "warned": 0, "breached": 1, "closed": 0, "recalculated": 0}
    assert total == counts | {"escalated": [number[0]], "pruned": total["pruned"], "more": False}


def test_a_second_sweep_finds_nothing_more_to_do(service: httpx.Client, db: Connection, ticket: str) -> None:
    let_pass(db, ticket, hours=5)
    sweep(service)
    assert sweep(service) == dict.fromkeys(TOLD, 0) | {"escalated": [], "more": False}


def test_staff_are_warned_once_before_a_deadline(service: httpx.Client, db: Connection, ticket: str) -> None:
    let_pass(db, ticket, hours=2, minutes=55)
    sweep(service)
    assert news(db, ticket) == []
    let_pass(db, ticket, minutes=10)
    assert sweep(service)["warned"] == 1
    sweep(service)
    assert news(db, ticket) == ["due_soon"]
    assert escalations(db, ticket) == []


def test_a_missed_deadline_escalates_the_ticket_once(
    api: Client, service: httpx.Client, db: Connection, customer: Person, ticket: str
) -> None:
    let_pass(db, ticket, hours=5)
    sweep_all(service)
    sweep_all(service)
    found = detail(api(customer), ticket)
    assert (found["escalated"], found["version"]) == (True, 1)
    assert found["sla"]["first_response"]["breached"]
    assert news(db, ticket) == ["breached"]
    assert escalations(db, ticket) == ["system"]


def test_each_missed_deadline_is_news_but_a_ticket_is_escalated_once(
    service: httpx.Client, db: Connection, ticket: str
) -> None:
    for _ in range(3):
        let_pass(db, ticket, hours=23, minutes=30)
        sweep_all(service)
    assert news(db, ticket) == [
        "breached",
        "breached",
    ]  # of both deadlines, the first time together with a warning
    assert escalations(db, ticket) == ["system"]


def test_an_answered_ticket_is_warned_of_and_escalated_for_its_resolution_alone(
    api: Client, service: httpx.Client, db: Connection, agent: Person, ticket: str
) -> None:
    reply(api(agent), ticket)
    let_pass(db, ticket, hours=22)
    sweep(service)
    assert news(db, ticket) == []
    let_pass(db, ticket, hours=1, minutes=30)
    sweep(service)
    assert news(db, ticket) == ["due_soon"]
    let_pass(db, ticket, hours=1)
    sweep(service)
    assert news(db, ticket) == ["due_soon", "breached"]


def test_a_ticket_that_waits_for_its_customer_is_not_late(
    api: Client, service: httpx.Client, db: Connection, agent: Person, ticket: str
) -> None:
    reply(api(agent), ticket)
    change(api(agent), ticket, status="waiting_on_customer")
    let_pass(db, ticket, days=30)
    sweep_all(service)
    assert news(db, ticket) == []


def test_a_deleted_ticket_is_left_in_peace(
    api: Client, service: httpx.Client, db: Connection, admin: Person, ticket: str
) -> None:
    assert api(admin).delete(f"/admin-update/{ticket}").status_code == 200
    let_pass(db, ticket, days=30)
    sweep_all(service)
    assert news(db, ticket) == []


def test_a_raised_priority_is_warned_of_again(
    api: Client, service: httpx.Client, db: Connection, agent: Person, ticket: str
) -> None:
    reply(api(agent), ticket)
    let_pass(db, ticket, hours=23, minutes=30)
    sweep(service)
    change(api(agent), ticket, priority="low")
    let_pass(db, ticket, hours=120 - 23 - 8 + 0.5)
    sweep(service)
    assert news(db, ticket) == ["due_soon", "due_soon"]


def test_a_ticket_that_came_to_be_late_just_before_an_agent_took_it_is_escalated_all_the_same(
    api: Client, service: httpx.Client, db: Connection, agent: Person, ticket: str
) -> None:
    reply(api(agent), ticket)
    let_pass(db, ticket, hours=25)
    change(api(agent), ticket, status="in_progress")
    sweep(service)
    assert news(db, ticket) == ["breached"]
    assert escalations(db, ticket) == ["system"]


def test_two_sweeps_side_by_side_escalate_each_of_a_thousand_tickets_once(
    service: httpx.Client, db: Connection
) -> None:
    due = file_overdue(db, 1000)
    with ThreadPoolExecutor(2) as pool:
        batches = [batch for run in pool.map(lambda _: sweep_all(service, 50), range(2)) for batch in run]
    batches += sweep_all(service)  # what both have skipped, each because the other had it
    escalated = [number for batch in batches for number in batch["escalated"]]
    assert len(escalated) == len(set(escalated)) == 1000
    assert sum(batch["breached"] for batch in batches) == 1000
    counted = """
        select (select count(*) from desk_private.staff_news n where n.ticket_id = t.id and n.kind = 'breached'),
          (select count(*) from desk.ticket_events e where e.ticket_id = t.id), t.escalated, count(*)
        from desk.support_tickets t where t.id = any (%s) group by 1, 2, 3
    """
    assert db.execute(counted, (due,)).fetchall() == [(1, 2, True, 1000)]


def test_a_sweep_is_no_slower_on_a_connection_that_has_changed_a_single_ticket_before(
    stack: RunningStack, db: Connection
) -> None:
    [single] = file_overdue(db, 1)
    with psycopg.connect(stack.database_url, autocommit=True) as pooled:
        pooled.execute("update desk.support_tickets set status = 'in_progress' where id = %s", (single,))
        file_overdue(db, 2000)
        # A tenth of it is enough, unless every two are compared.
        pooled.execute("set statement_timeout = '4s'")
        pooled.execute("select desk_private.sweep(10000)")


def test_a_ticket_that_an_agent_is_working_on_is_left_for_the_next_sweep(
    stack: RunningStack, service: httpx.Client, db: Connection, ticket: str
) -> None:
    let_pass(db, ticket, hours=5)
    with psycopg.connect(stack.database_url) as working:
        working.execute("select from desk.support_tickets where id = %s for update", (ticket,))
        assert sweep(service)["looked_at"] == 0
    assert sweep(service)["breached"] == 1


def test_a_reopening_that_is_under_way_keeps_the_ticket_from_being_closed(
    api: Client, stack: RunningStack, service: httpx.Client, db: Connection, agent: Person, ticket: str
) -> None:
    change(api(agent), ticket, status="resolved")
    let_pass(db, ticket, days=8)
    with psycopg.connect(stack.database_url) as reopening:
        reopening.execute("update desk.support_tickets set status = 'open' where id = %s", (ticket,))
        assert sweep(service)["closed"] == 0
    assert sweep(service)["closed"] == 0
    assert detail(api(agent), ticket)["status"] == "open"


def test_a_resolved_ticket_is_closed_after_seven_days(
    api: Client, service: httpx.Client, db: Connection, customer: Person, agent: Person, ticket: str
) -> None:
    change(api(agent), ticket, status="resolved")
    let_pass(db, ticket, days=6, hours=23)
    sweep(service)
    assert detail(api(customer), ticket)["status"] == "resolved"
    let_pass(db, ticket, hours=2)
    assert sweep(service)["closed"] == 1
    found = detail(api(customer), ticket)
    assert found["status"] == "closed"
    assert found["closed_at"]
    assert found["resolved_at"]
    assert found["timeline"][-1]["actor"] == "system"
    assert sweep(service)["closed"] == 0


def test_the_seven_days_begin_with_the_latest_resolution(
    api: Client, service: httpx.Client, db: Connection, customer: Person, agent: Person, ticket: str
) -> None:
    change(api(agent), ticket, status="resolved")
    let_pass(db, ticket, days=6)
    reply(api(customer), ticket)
    let_pass(db, ticket, hours=1)
    change(api(agent), ticket, status="resolved")
    let_pass(db, ticket, days=6)
    sweep(service)
    assert detail(api(customer), ticket)["status"] == "resolved"
    let_pass(db, ticket, days=1, hours=1)
    sweep(service)
    assert detail(api(customer), ticket)["status"] == "closed"


def test_a_reopened_ticket_stays_open(
    api: Client, service: httpx.Client, db: Connection, customer: Person, agent: Person, ticket: str
) -> None:
    change(api(agent), ticket, status="resolved")
    let_pass(db, ticket, days=6)
    reply(api(customer), ticket)
    let_pass(db, ticket, days=2)
    sweep_all(service)
    assert detail(api(customer), ticket)["status"] == "open"


def test_a_changed_policy_is_applied_to_open_tickets(
    api: Client, rest: Client, service: httpx.Client, customer: Person, admin: Person, category: str
) -> None:
    set_policy(rest(admin), category)
    ticket = file(api(customer), "support", category=category, priority="medium")["ticket_id"]
    row = {"first_response_minutes": 120, "resolution_minutes": 300}
    assert (
        rest(admin).patch("/sla_policies", params={"category": f"eq.{category}"}, json=row).status_code == 204
    )
    assert due_in(api(customer), ticket) == hours(1, 10)
    assert sum(batch["recalculated"] for batch in sweep_all(service)) >= 1
    assert due_in(api(customer), ticket) == hours(2, 5)
    assert sweep(service)["recalculated"] == 0
    rest(admin).delete("/sla_policies", params={"category": f"eq.{category}"})
    sweep_all(service)
    assert due_in(api(customer), ticket) == hours(24, 72)


def test_a_ticket_that_is_filed_while_a_policy_is_being_changed_gets_the_new_one(
    api: Client,
    rest: Client,
    service: httpx.Client,
    stack: RunningStack,
    customer: Person,
    admin: Person,
    category: str,
) -> None:
    set_policy(rest(admin), category)
    sweep_all(service)
    with psycopg.connect(stack.database_url) as changing:
        changing.execute(
            "update desk.sla_policies set first_response_minutes = 180 where category = %s", (category,)
        )
        ticket = file(api(customer), "support", category=category, priority="medium")["ticket_id"]
    assert due_in(api(customer), ticket) == hours(1, 10)
    sweep_all(service)
    assert due_in(api(customer), ticket) == hours(3, 10)


def test_a_changed_calendar_is_applied_to_open_tickets(
    api: Client, rest: Client, service: httpx.Client, customer: Person, admin: Person, category: str
) -> None:
    always = Calendar("UTC", (((0, 1440),),) * 7)
    slug = set_calendar(rest(admin), always)
    set_policy(rest(admin), category, calendar=slug)
    ticket = file(api(customer), "support", category=category, priority="medium")["ticket_id"]
    assert due_in(api(customer), ticket) == hours(1, 10)
    every_other_hour = Calendar("UTC", (tuple((h * 60, h * 60 + 60) for h in range(0, 24, 2)),) * 7)
    row = {"hours": every_other_hour.row()["hours"]}
    rest(admin).patch("/business_calendars", params={"slug": f"eq.{slug}"}, json=row)
    sweep_all(service)
    # Ten open hours, and nine or ten closed ones between them, as the hour of day has it.
    left = sla(api(customer), ticket)["resolution"]["due_at"] - datetime.now(UTC)
    assert timedelta(hours=19) - SLACK <= left <= timedelta(hours=20) + SLACK


def test_a_changed_policy_is_applied_batch_by_batch(
    api: Client, rest: Client, service: httpx.Client, customer: Person, admin: Person, category: str
) -> None:
    set_policy(rest(admin), category)
    for _ in range(3):
        file(api(customer), "support", category=category, priority="medium")
    rest(admin).patch("/sla_policies", params={"category": f"eq.{category}"}, json={"resolution_minutes": 60})
    batch = sweep(service, batch=2)
    assert (batch["recalculated"], batch["more"]) == (2, True)


def test_a_changed_policy_waits_for_whoever_is_working_on_the_ticket(
    api: Client,
    rest: Client,
    stack: RunningStack,
    service: httpx.Client,
    customer: Person,
    admin: Person,
    category: str,
) -> None:
    set_policy(rest(admin), category)
    ticket = file(api(customer), "support", category=category, priority="medium")["ticket_id"]
    where = {"category": f"eq.{category}"}
    with psycopg.connect(stack.database_url) as working:
        working.execute("select from desk.support_tickets where id = %s for update", (ticket,))
        rest(admin).patch("/sla_policies", params=where, json={"resolution_minutes": 60})
        sweep_all(service)
        assert due_in(api(customer), ticket) == hours(1, 10)
    sweep_all(service)
    assert due_in(api(customer), ticket) == hours(1, 1)


def test_what_a_looser_policy_allows_was_not_missed_and_what_was_settled_stays_as_it_was(
    api: Client,
    rest: Client,
    service: httpx.Client,
    db: Connection,
    customer: Person,
    admin: Person,
    category: str,
) -> None:
    set_policy(rest(admin), category)
    late, answered = [
        file(api(customer), "support", category=category, priority="medium")["ticket_id"] for _ in range(2)
    ]
    for ticket in (late, answered):
        let_pass(db, ticket, hours=2)
    reply(api(admin), answered)
    sweep(service)
    rest(admin).patch(
        "/sla_policies", params={"category": f"eq.{category}"}, json={"first_response_minutes": 600}
    )
    sweep_all(service)
    assert not sla(api(customer), late)["first_response"]["breached"]
    assert sla(api(customer), answered)["first_response"]["breached"]


def test_a_stricter_policy_escalates_what_it_makes_late(
    api: Client,
    rest: Client,
    service: httpx.Client,
    db: Connection,
    customer: Person,
    admin: Person,
    category: str,
) -> None:
    set_policy(rest(admin), category)
    ticket = file(api(customer), "support", category=category, priority="medium")["ticket_id"]
    let_pass(db, ticket, minutes=30)
    rest(admin).patch(
        "/sla_policies", params={"category": f"eq.{category}"}, json={"first_response_minutes": 10}
    )
    sweep_all(service)
    assert news(db, ticket)[-1] == "breached"
    assert detail(api(customer), ticket)["escalated"]


def test_a_paused_ticket_goes_on_under_the_changed_policy(
    api: Client,
    rest: Client,
    service: httpx.Client,
    db: Connection,
    customer: Person,
    admin: Person,
    category: str,
) -> None:
    set_policy(rest(admin), category)
    ticket = file(api(customer), "support", category=category, priority="medium")["ticket_id"]
    let_pass(db, ticket, hours=2)
    change(api(admin), ticket, status="waiting_on_customer")
    rest(admin).patch(
        "/sla_policies", params={"category": f"eq.{category}"}, json={"resolution_minutes": 300}
    )
    sweep_all(service)
    assert due_in(api(customer), ticket)["resolution"] is None
    reply(api(customer), ticket)
    assert due_in(api(customer), ticket)["resolution"] == hours(None, 3)["resolution"]


# Pruning.

AGED = {
    "desk_private.idempotency": (
        "insert into desk_private.idempotency (caller, action, key, request_sha256, created_at) "
        "values ('pruned', 'test', %(key)s, '', now() - %(age)s::interval)",
        "select key from desk_private.idempotency where caller = 'pruned'",
        ("25 hours", "23 hours"),
    ),
    "desk_private.quotas": (
        "insert into desk_private.quotas (who, kind, used_at) values ('pruned ' || %(key)s, 'bug', array[now() - %(age)s::interval])",
        "select substr(who, 8) from desk_private.quotas where who like 'pruned %'",
        ("61 minutes", "59 minutes"),
    ),
    "desk_private.outbox": (
        "insert into desk_private.outbox (channel, kind, ordering_key, state, settled_at) "
        "values ('mail', 'pruned', %(key)s, 'done', now() - %(age)s::interval)",
        "select ordering_key from desk_private.outbox where kind = 'pruned'",
        ("31 days", "29 days"),
    ),
}


@pytest.mark.parametrize("table", AGED)
def test_what_has_aged_is_pruned_and_what_has_not_is_kept(
    service: httpx.Client, db: Connection, table: str
) -> None:
    insert, select, (old, young) = AGED[table]
    for age in (old, young):
        db.execute(insert, {"key": age, "age": age})
    assert sum(batch["pruned"] for batch in sweep_all(service)) == 1
    assert db.execute(select).fetchall() == [(young,)]


def test_read_notifications_are_pruned_and_unread_ones_kept(
    service: httpx.Client, db: Connection, customer: Person, ticket: str
) -> None:
    insert = """
        insert into desk.notifications (user_id, ticket_id, kind, created_at, read_at)
        values (%s, %s, %s, now() - interval '99 days', now() - %s::interval)
    """
    for kind, read in (("assigned", "31 days"), ("breached", "29 days"), ("due_soon", None)):
        db.execute(insert, (customer.id, ticket, kind, read))
    sweep_all(service)
    kept = db.execute("select kind from desk.notifications where user_id = %s order by kind", (customer.id,))
    assert kept.fetchall() == [("breached",), ("due_soon",)]


def test_dead_letters_are_pruned_after_90_days_and_what_waits_never(
    service: httpx.Client, db: Connection
) -> None:
    row = """
        insert into desk_private.outbox (channel, kind, ordering_key, state, settled_at, created_at, available_at)
        values ('linear', 'kept', 'kept', %s, now() - %s::interval, now() - interval '1 year', 'infinity')
    """
    for state, age in (("dead", "89 days"), ("dead", "91 days"), ("pending", "1 year")):
        db.execute(row, (state, age))
    sweep_all(service)
    kept = db.execute("delete from desk_private.outbox where kind = 'kept' returning state").fetchall()
    assert sorted(kept) == [("dead",), ("pending",)]


OLD_ROWS = {
    "an unread notification": """
        insert into desk.notifications (user_id, ticket_id, kind, created_at)
        select customer_id, id, 'breached', now() - %s::interval from desk.support_tickets
        where id = %s""",
    "news of staff": """
        insert into desk_private.staff_news (kind, ticket_id, created_at)
        select 'created', id, now() - %s::interval from desk.support_tickets where id = %s""",
}


@pytest.mark.parametrize(
    ("what", "young", "old"),
    [
        ("an unread notification", "179 days", "181 days"),
        ("news of staff", "29 days", "31 days"),
    ],
)
def test_what_nobody_ever_read_is_pruned_too(
    service: httpx.Client, db: Connection, ticket: str, what: str, young: str, old: str
) -> None:
    sweep_all(service)
    for age in (young, old):
        db.execute(OLD_ROWS[what], (age, ticket))
    assert sum(batch["pruned"] for batch in sweep_all(service)) == 1


def test_an_agent_checks_the_slas_on_demand(api: Client, db: Connection, agent: Person, ticket: str) -> None:
    let_pass(db, ticket, hours=5)
    answer = api(agent).post("/admin-update/sla-check")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert set(body) == {
        "success",
        "warned",
        "breached",
        "closed",
        "recalculated",
        "pruned",
        "escalated",
        "more",
    }
    assert (body["breached"], len(body["escalated"]), body["more"]) == (1, 1, False)
    assert escalations(db, ticket) == ["system"]


def test_the_scheduler_has_everything_swept_that_is_due(stack: RunningStack, db: Connection) -> None:
    late = file_overdue(db, 1100)  # more than one batch
    url = f"{stack.functions_url}/sla-sweep"
    bearer = {"Authorization": f"Bearer {stack.identity_token(url)}"}
    answer = httpx.post(url, headers=bearer, timeout=60, trust_env=False)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["breached"], len(body["escalated"]), body["more"]) == (1100, 1100, False)
    assert {news(db, ticket) == ["breached"] for ticket in late[:3]} == {True}


def test_customers_and_strangers_do_not(api: Client, rest: Client, customer: Person) -> None:
    assert_problem(api(customer).post("/admin-update/sla-check"), 403, "forbidden")
    assert_problem(api(None).post("/admin-update/sla-check"), 401, "unauthenticated")
    assert rest(customer).post("/rpc/sweep", json={}).json()["code"] == "SD403"
    assert rest(None).post("/rpc/sweep", json={}).status_code in (401, 403, 404)
