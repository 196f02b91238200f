"""Locks: who may take them, and in which order."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import psycopg
import pytest

from local.people import Client, NewPerson, Person, RunningStack
from tests.assertions import assert_problem
from tests.database import Connection
from tests.payloads import file

LOCK = "select from desk.support_tickets where id = %s for no key update"
BLOCKED = "select exists (select from pg_stat_activity where %s = any (pg_blocking_pids(pid)))"


@pytest.fixture
def holder(stack: RunningStack) -> Iterator[Connection]:
    """A transaction that holds locks until the test rolls it back."""
    with psycopg.connect(stack.database_url) as connection:
        yield connection
        connection.rollback()


def wait_for_blocked(db: Connection, holder: Connection) -> None:
    """Returns once a statement waits for a lock of the holder."""
    deadline = time.monotonic() + 20
    while db.execute(BLOCKED, (holder.info.backend_pid,)).fetchone() != (True,):
        assert time.monotonic() < deadline, "nothing waits for the lock"
        time.sleep(0.02)


def test_an_agent_waits_for_a_ticket_that_another_is_changing(
    api: Client, db: Connection, holder: Connection, customer: Person, agent: Person
) -> None:
    ticket = file(api(customer))["ticket_id"]
    holder.execute(LOCK, (ticket,))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(api(agent).patch, f"/admin-update/{ticket}", json={"priority": "low"})
        wait_for_blocked(db, holder)
        holder.rollback()
        assert waiting.result().status_code == 200


def test_strangers_take_no_lock(api: Client, holder: Connection, customer: Person, other: Person) -> None:
    ticket = file(api(customer))["ticket_id"]
    holder.execute(LOCK, (ticket,))
    for client in (api(other), api(None)):
        answer = client.post(
            f"/add-message/{ticket}",
            json={"body": "Hello."},
            headers={"X-Ticket-Token": "x" * 43, "Idempotency-Key": str(uuid4())},
        )
        assert_problem(answer, 404, "not_found")


def test_rights_that_are_lost_while_waiting_for_the_lock_are_lost(
    api: Client, db: Connection, holder: Connection, customer: Person
) -> None:
    ticket = file(api(customer))["ticket_id"]
    holder.execute("update desk.support_tickets set deleted_at = now() where id = %s", (ticket,))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(api(customer).post, f"/add-message/{ticket}", json={"body": "Hello."})
        wait_for_blocked(db, holder)
        holder.commit()
        assert_problem(waiting.result(), 404, "not_found")


def test_a_bulk_assignment_and_the_mail_run_do_not_wait_for_each_other_in_a_circle(
    stack: RunningStack,
    api: Client,
    db: Connection,
    holder: Connection,
    person: NewPerson,
    customer: Person,
    agent: Person,
) -> None:
    categories = [f"c{uuid4().hex[:12]}" for _ in range(2)]
    for category in categories:
        db.execute("insert into desk.ticket_categories (slug, name) values (%s, %s)", (category, category))
    # The first ticket goes to the agent whose digest the mail run inserts last.
    takers = sorted(
        (person("admin", display_name="Taker") for _ in categories), key=lambda taker: taker.id, reverse=True
    )
    tickets = sorted(file(api(customer))["ticket_id"] for _ in categories)
    for category, taker, ticket in zip(categories, takers, tickets, strict=True):
        db.execute(
            "update desk.support_agents set skills = array[%s] where user_id = %s", (category, taker.id)
        )
        db.execute("update desk.support_tickets set category = %s where id = %s", (category, ticket))
    db.execute(
        "update desk.support_agents set active = false where active and user_id <> all (%s)",
        ([taker.id for taker in takers] + [agent.id],),
    )
    db.execute("update desk.support_agents set skills = array[%s] where user_id = %s", ("billing", agent.id))
    db.execute("insert into desk_private.staff_news (kind, ticket_id) values ('breached', %s)", (tickets[0],))

    holder.execute(LOCK, (tickets[1],))
    with ThreadPoolExecutor(1) as pool, psycopg.connect(stack.database_url) as mail_run:
        bulk = pool.submit(
            api(agent).post, "/admin-update/bulk", json={"tickets": tickets, "assigned_to": "auto"}
        )
        wait_for_blocked(db, holder)
        mail_run.execute("set local statement_timeout = '5s'")
        mail_run.execute("select desk_private.fan_out_news()")
        holder.rollback()
        mail_run.commit()
        outcomes = bulk.result().json()["outcomes"]
    assert {row["assigned_to"] for row in outcomes} == {str(taker.id) for taker in takers}
    waiting = "select count(*) from desk_private.outbox where kind = 'digest' and recipient = any (%s)"
    assert db.execute(waiting, ([taker.id for taker in takers],)).fetchone() == (2,)
