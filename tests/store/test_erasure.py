"""Deleting an account: what the desk forgets, however Auth deletes it and whatever goes on meanwhile."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest

from deploy.migrate import Connection
from local.people import Client, Person, RunningStack
from tests.payloads import file

PERSONAL = """
select to_jsonb(t)::text from desk.support_tickets t where t.id = %(ticket)s
union all select to_jsonb(e)::text from desk.ticket_events e where e.ticket_id = %(ticket)s
union all select to_jsonb(m)::text from desk.ticket_messages m where m.ticket_id = %(ticket)s
union all select to_jsonb(r)::text from desk.escalation_requests r where r.ticket_id = %(ticket)s
union all select to_jsonb(s)::text from desk_private.ticket_search s where s.ticket_id = %(ticket)s
union all select to_jsonb(n)::text from desk.notifications n where n.ticket_id = %(ticket)s
union all select to_jsonb(o)::text from desk_private.outbox o
  where o.channel = 'mail' and o.ticket_id = %(ticket)s
union all select to_jsonb(q)::text from desk_private.quotas q where q.who = %(person)s
union all select to_jsonb(i)::text from desk_private.idempotency i where i.caller = %(person)s
union all select to_jsonb(k)::text from desk_private.transfers k where k.customer_id::text = %(person)s
"""


def delete(stack: RunningStack, person: Person, **body: Any) -> None:
    headers = {"apikey": stack.secret_key, "Authorization": f"Bearer {stack.secret_key}"}
    url = f"{stack.auth_url}/admin/users/{person.id}"
    httpx.request("DELETE", url, json=body, headers=headers, trust_env=False).raise_for_status()


@pytest.mark.parametrize("body", [{}, {"should_soft_delete": True}], ids=["deleted", "softly deleted"])
def test_a_deleted_person_is_nowhere_in_the_desk(
    body: dict[str, Any], stack: RunningStack, db: Connection, api: Client, customer: Person, agent: Person
) -> None:
    mine = api(customer)
    said = [{"role": "user", "content": "My account was hacked!"}]
    chat = {"conversationId": "c", "summaryOfIssue": "Hacked.", "conversationHistory": said}
    ticket = mine.post("/ai-escalation", json=chat).json()["ticket_id"]
    mine.post(f"/add-message/{ticket}", json={"body": "Hello?"}).raise_for_status()
    mine.post(f"/add-message/{ticket}/escalation", json={"reason": "Soon."}).raise_for_status()
    api(agent).post(f"/add-message/{ticket}", json={"body": "We look into it."}).raise_for_status()
    names = {"ticket": ticket, "person": str(customer.id)}

    def named() -> list[str]:
        texts = [str(text) for (text,) in db.execute(PERSONAL, names).fetchall()]
        return [text for text in texts if str(customer.id) in text or str(customer.email) in text]

    assert named()
    delete(stack, customer, **body)
    assert named() == []
    replay = "select t is not distinct from desk_private.replay_ticket(t.id) from desk.support_tickets t where id = %s"
    assert db.execute(replay, [ticket]).fetchone() == (True,)


def test_a_deletion_and_an_agents_change_do_not_wait_for_each_other(
    stack: RunningStack, api: Client, customer: Person, agent: Person, db: Connection
) -> None:
    ticket = file(api(customer))["ticket_id"]
    lock = "select from desk.support_tickets where id = %s for no key update"
    with psycopg.connect(stack.database_url) as change, ThreadPoolExecutor(1) as pool:
        change.execute(lock, [ticket])
        deletion = pool.submit(delete, stack, customer)
        waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query ilike '%delete from users%'"
        while db.execute(waits).fetchone() == (0,):
            assert not deletion.done()
        change.execute("update desk.support_tickets set status = 'in_progress' where id = %s", [ticket])
        told = "select count(*) from desk.notifications where user_id = %s"
        assert change.execute(told, [customer.id]).fetchone() == (1,)
        change.commit()
        deletion.result()
    assert db.execute(told, [customer.id]).fetchone() == (0,)
    row = db.execute(
        "select status, customer_id from desk.support_tickets where id = %s", [ticket]
    ).fetchone()
    assert row == ("in_progress", None)
