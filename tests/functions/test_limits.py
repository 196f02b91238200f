"""Reads come in pages, and what costs the desk something has a quota."""

from typing import Any
from uuid import uuid4

import pytest

from deploy.migrate import Connection
from local.people import Client, NewPerson, Person
from tests.payloads import detail

CONVERSATION = {"messages": [{"role": "user", "content": "How do I export a report?"}]}
CHAT = {"message": "How do I export a report?"}
MESSAGES = """
insert into desk.ticket_messages (ticket_id, author, body, is_internal, created_at)
select t.id, 'system', 'message ' || n, n %% 3 = 0, now() + n / 2 * interval '1 second'
from desk.support_tickets t, generate_series(1, %s) n where t.ticket_number = %s
"""
EVENTS = """
insert into desk.ticket_events (ticket_id, seq, type, actor, changes)
select t.id, (select max(e.seq) from desk.ticket_events e where e.ticket_id = t.id) + n,
  case n %% 2 when 0 then 'noted' else 'replied' end, 'agent', '{}'
from desk.support_tickets t, generate_series(1, %s) n where t.ticket_number = %s
"""


def used(db: Connection, person: Person, kind: str, count: int) -> None:
    """Spends a person's quota, but for what is left of it."""
    db.execute(
        "insert into desk_private.quotas (who, kind, used_at) "
        "values (%s, %s, array_fill(now(), array[%s::integer]))",
        [str(person.id), kind, count],
    )


def pages(client: Any, ticket: str, of: str) -> list[list[Any]]:
    found = []
    cursor: Any = ""
    while cursor is not None:
        answer = client.get(f"/list-tickets/{ticket}", params={f"{of}_before": cursor})
        assert answer.status_code == 200, answer.text
        found.append(answer.json()[of])
        cursor = answer.json()[f"{of}_before"]
    return found


def test_a_short_conversation_comes_whole(api: Client, customer: Person, ticket: str) -> None:
    answer = detail(api(customer), ticket)
    assert (answer["messages_before"], answer["timeline_before"]) == (None, None)
    assert [event["type"] for event in answer["timeline"]] == ["created"]


@pytest.mark.parametrize("count", [100, 101, 250])
def test_messages_come_from_the_newest_a_hundred_at_a_time(
    api: Client, agent: Person, customer: Person, ticket: str, db: Connection, count: int
) -> None:
    db.execute(MESSAGES, [count, ticket])
    read = pages(api(agent), ticket, "messages")
    assert [len(page) for page in read] == [100] * (count // 100) + [count % 100] * (count % 100 > 0)
    ids = [message["message_id"] for page in reversed(read) for message in page]
    times = [message["created_at"] for page in reversed(read) for message in page]
    assert len(set(ids)) == count
    assert times == sorted(times)
    assert not [m for page in pages(api(customer), ticket, "messages") for m in page if m["is_internal"]]
    assert sum(map(len, pages(api(customer), ticket, "messages"))) == count - count // 3


def test_the_timeline_comes_from_the_newest_too(
    api: Client, agent: Person, customer: Person, ticket: str, db: Connection
) -> None:
    db.execute(EVENTS, [250, ticket])
    read = pages(api(agent), ticket, "timeline")
    assert [len(page) for page in read[:2]] == [100, 100]
    types = [event["type"] for page in reversed(read) for event in page]
    assert types[0] == "created"
    assert types[-250:] == ["replied", "noted"] * 125
    seen = [event["type"] for page in reversed(pages(api(customer), ticket, "timeline")) for event in page]
    assert seen == ["created"] + ["replied"] * 125


def test_a_long_transcript_is_read_in_its_order(api: Client, customer: Person) -> None:
    talk = [{"role": "user", "content": f"line {n}"} for n in range(230)]
    body = {"conversation_id": "c", "summary_of_issue": "s", "conversation_history": talk}
    filed = api(customer).post("/ai-escalation", json=body)
    assert filed.status_code == 200, filed.text
    read = pages(api(customer), filed.json()["ticket_number"], "messages")
    assert [m["body"] for page in reversed(read) for m in page] == [f"line {n}" for n in range(230)]


def test_attachments_come_with_their_page(
    api: Client, customer: Person, agent: Person, ticket: str, db: Connection
) -> None:
    files = ["https://files.example.com/1.png"]
    sent = api(customer).post(f"/add-message/{ticket}", json={"body": "b", "attachments": files}).json()
    db.execute(MESSAGES, [150, ticket])
    first = detail(api(agent), ticket)
    assert first["attachments"] == []
    older = api(agent).get(f"/list-tickets/{ticket}", params={"messages_before": first["messages_before"]})
    assert [file["message_id"] for file in older.json()["attachments"]] == [sent["message_id"]]


@pytest.mark.parametrize(
    "query",
    [
        {"messages_before": "x"},
        {"messages_before": str(uuid4())},
        {"timeline_before": "0"},
        {"timeline_before": str(2**31)},
        {"before": "1"},
    ],
)
def test_a_cursor_that_is_none_is_refused(
    api: Client, customer: Person, ticket: str, query: dict[str, str]
) -> None:
    answer = api(customer).get(f"/list-tickets/{ticket}", params=query)
    assert (answer.status_code, answer.json()["fields"][0]["path"]) == (422, *query)


def test_a_note_is_no_cursor_of_a_customer(api: Client, customer: Person, agent: Person, ticket: str) -> None:
    note = api(agent).post(f"/add-message/{ticket}", json={"body": "n", "is_internal": True}).json()
    query = {"messages_before": note["message_id"]}
    assert api(customer).get(f"/list-tickets/{ticket}", params=query).status_code == 422
    assert api(agent).get(f"/list-tickets/{ticket}", params=query).status_code == 200


@pytest.mark.parametrize(("route", "body"), [("analyze", CONVERSATION), ("companion", CHAT)])
def test_a_customer_has_600_analyses_an_hour(
    api: Client, customer: Person, agent: Person, db: Connection, route: str, body: dict[str, Any]
) -> None:
    for person in (customer, agent):
        used(db, person, "analysis", 599)
    answers = [api(customer).post(f"/ai-escalation/{route}", json=body) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert int(answers[1].headers["retry-after"]) > 0
    assert {api(agent).post(f"/ai-escalation/{route}", json=body).status_code for _ in range(3)} == {200}


def test_a_malformed_conversation_spends_nothing(api: Client, customer: Person, db: Connection) -> None:
    assert api(customer).post("/ai-escalation/analyze", json={"messages": []}).status_code == 422
    count = "select count(*) from desk_private.quotas where who = %s"
    assert db.execute(count, [str(customer.id)]).fetchone() == (0,)


def notify(db: Connection, person: Person, ticket: str, count: int) -> None:
    db.execute(
        "insert into desk.notifications (user_id, ticket_id, kind) select %s, t.id, 'agent_replied' "
        "from desk.support_tickets t, generate_series(1, %s) where t.ticket_number = %s",
        [person.id, count, ticket],
    )


def test_notifications_are_marked_read_in_batches(
    rest: Client, customer: Person, ticket: str, db: Connection
) -> None:
    notify(db, customer, ticket, 5_001)
    answers = [rest(customer).post("/rpc/read_notifications").json() for _ in range(2)]
    assert answers == [{"read": 5_000, "more": True}, {"read": 1}]


def test_too_many_ids_are_refused(rest: Client, customer: Person) -> None:
    for count, status in ((1_000, 200), (1_001, 400)):
        ids = [str(uuid4()) for _ in range(count)]
        assert rest(customer).post("/rpc/read_notifications", json={"ids": ids}).status_code == status


def test_notifications_are_not_marked_without_end(rest: Client, customer: Person, db: Connection) -> None:
    used(db, customer, "notifications", 599)
    answers = [rest(customer).post("/rpc/read_notifications") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 400]
    assert answers[1].json()["code"] == "SD429"


def test_a_stale_version_is_no_error_of_the_database(rest: Client, agent: Person, ticket: str) -> None:
    """PostgreSQL logs an error's detail, and this one's holds the subject."""
    arguments = {"ticket": ticket, "changes": {"priority": "low"}, "expected_version": 7}
    answer = rest(agent).post("/rpc/update_ticket", json=arguments)
    assert (answer.status_code, answer.json()["code"]) == (409, "SD092")
    assert "subject" in answer.json()["details"]


def test_a_digest_takes_a_batch_and_another_digest_the_rest(
    agent: Person, api: Client, ticket: str, db: Connection
) -> None:
    db.execute(
        "insert into desk.notifications (user_id, ticket_id, kind, data, mail_due) "
        "select %s, t.id, 'created', desk_private.news_data(t), true "
        "from desk.support_tickets t, generate_series(1, 5001) where t.ticket_number = %s",
        [agent.id, ticket],
    )
    waiting = "select count(*) from desk.notifications where user_id = %s and mail_due"
    with db.transaction(force_rollback=True):
        db.execute("delete from desk_private.outbox where state = 'pending'")
        db.execute("delete from desk_private.staff_news")
        db.execute("select desk_private.enqueue_rest(%s)", [agent.id])
        for left in (1, 0):
            db.execute("update desk_private.outbox set available_at = now() where recipient = %s", [agent.id])
            claimed: Any = db.execute("select desk_private.claim_mail(100, 300)").fetchone()
            rows: Any = claimed[0]["rows"] if claimed else []
            assert [row["kind"] for row in rows].count("digest") == 1
            assert db.execute(waiting, [agent.id]).fetchone() == (left,)
            db.execute(
                "update desk_private.outbox set state = 'done' where recipient = %s and payload is not null",
                [agent.id],
            )


def test_a_partners_new_request_prunes_their_oldest(db: Connection) -> None:
    with db.transaction(force_rollback=True):
        for age in ("399 days", "401 days", "402 days"):
            db.execute(
                "insert into desk_private.partner_requests (integration, external_id, created_at) "
                "values ('acme', %s, now() - %s::interval)",
                [age, age],
            )
        db.execute("select desk_private.answered_partner('acme', 'new')")
        left = "select external_id from desk_private.partner_requests where integration = 'acme' order by created_at"
        assert db.execute(left).fetchall() == [("399 days",), ("new",)]


def test_people_take_turns_in_what_goes_to_linear(person: NewPerson, db: Connection) -> None:
    """One person's fifty tickets wait longest, and hold up nobody."""
    busy, others = person(), [person() for _ in range(3)]
    rows = """
    insert into desk_private.outbox (channel, kind, ordering_key, ticket_id, available_at)
    select 'linear', 'issue', 'linear:' || id, id, now() - %s::interval from made
    """
    ticket = """
    with made as (
      insert into desk.support_tickets (customer_id, issue_type, category, subject, description)
      select %s, 'support', 'other', 's', 'd' from generate_series(1, %s) returning id
    )
    """
    with db.transaction(force_rollback=True):
        db.execute("update desk_private.outbox set state = 'done' where state = 'pending'")
        for who, count, age in [(busy, 50, "1 hour"), *((other, 2, "1 minute") for other in others)]:
            db.execute(f"{ticket} {rows}".encode(), [who.id, count, age])
        claimed = """
        select t.customer_id, count(*) from desk_private.claim_outbox('linear', %s, 300) o
        join desk.support_tickets t on t.id = o.ticket_id group by 1
        """
        assert sorted(db.execute(claimed, [8]).fetchall()) == sorted((who.id, 2) for who in (busy, *others))
        assert db.execute(claimed, [8]).fetchall() == [(busy.id, 8)]
