"""Queries for what breaks the invariants of the desk.

Beside the desk's own tables there are `answered`, what callers were told, and `arrived`, the mails that came: see `lay_out`.
"""

from collections.abc import Iterable

from deploy.migrate import Connection

UNFAITHFUL = """
select t.ticket_number from desk.support_tickets t cross join lateral desk_private.replay_ticket(t.id) r
where to_jsonb(r) is distinct from to_jsonb(t)
"""
NOT_IN_SEQUENCE = """
select ticket_id from desk.ticket_events group by ticket_id having max(seq) <> count(*) or min(seq) <> 1
"""

TOLD = """
create temporary table answered (caller text, action text, key text, made uuid);
create temporary table arrived (row_id bigint, message_id text);
"""

BROKEN = {
    "a ticket without its first event": """
        select t.ticket_number from desk.support_tickets t where not exists (
          select from desk.ticket_events e where e.ticket_id = t.id and e.seq = 1 and e.type = 'created')""",
    "events with a gap": NOT_IN_SEQUENCE,
    "a ticket that its events do not add up to": UNFAITHFUL,
    "two tickets of one number": """
        select ticket_number from desk.support_tickets group by ticket_number having count(*) > 1""",
    "a ticket without its SLA clocks": """
        select t.ticket_number from desk.support_tickets t
        where not exists (select from desk_private.ticket_clocks c where c.ticket_id = t.id)""",
    "a message without a ticket": """
        select m.id from desk.ticket_messages m
        where not exists (select from desk.support_tickets t where t.id = m.ticket_id)""",
    "an answered request whose ticket is not there": """
        select a.key from answered a where a.action = 'create_ticket'
          and not exists (select from desk.support_tickets t where t.id = a.made)""",
    "an answered reply that is not there": """
        select a.key from answered a where a.action = 'add_message'
          and not exists (select from desk.ticket_messages m where m.id = a.made)""",
    "a key that was answered in two ways": """
        select caller, key from answered group by caller, action, key having count(distinct made) > 1""",
    "a key whose answer is kept as another one, or not at all": """
        select a.key, i.answer from answered a left join desk_private.idempotency i using (caller, action, key)
        where i.answer is null
          or a.made <> coalesce(i.answer ->> 'message_id', i.answer ->> 'ticket_id')::uuid""",
    "a key that is taken and has no answer": "select key from desk_private.idempotency where answer is null",
    "a ticket that no key made, or several": """
        select t.ticket_number, count(i.key) from desk.support_tickets t
        left join desk_private.idempotency i on i.action = 'create_ticket' and i.answer ->> 'ticket_id' = t.id::text
        group by t.ticket_number having count(i.key) <> 1""",
    "a message that no key made, or several": """
        select m.id, count(i.key) from desk.ticket_messages m
        left join desk_private.idempotency i on i.action = 'add_message' and i.answer ->> 'message_id' = m.id::text
        where m.author <> 'system' group by m.id having count(i.key) <> 1""",
    "more tickets of a kind in an hour than a customer may file": """
        select t.customer_id, t.issue_type, count(*) from desk.support_tickets t
        join desk_private.quota_limits l on l.kind = t.issue_type
        where t.created_at > now() - l.period
          and not exists (select from desk.support_agents a where a.user_id = t.customer_id)
        group by t.customer_id, t.issue_type, l.most having count(*) > l.most""",
    "quota that was spent on nothing, or not spent": """
        with made as (
          select customer_id::text as who, issue_type as kind, count(*) as n from desk.support_tickets group by 1, 2
          union all
          select author_id::text, 'message', count(*) from desk.ticket_messages where author = 'customer' group by 1
        )
        select m.*, cardinality(q.used_at) from made m full join desk_private.quotas q using (who, kind)
        where m.n is distinct from cardinality(q.used_at)
          and not exists (select from desk.support_agents a where a.user_id::text = who)""",
    "a ticket that its requester gets no mail about": """
        select t.ticket_number from desk.support_tickets t where t.requester_email is not null
          and not exists (select from desk_private.outbox o where o.ticket_id = t.id and o.kind = 'created')""",
    "an agent's reply that its requester gets no mail about": """
        select m.id from desk.ticket_messages m join desk.support_tickets t on t.id = m.ticket_id
        where m.author = 'agent' and not m.is_internal and t.requester_email is not null
          and not exists (select from desk_private.outbox o where o.data ->> 'message_id' = m.id::text)""",
    "a mail that is not settled": """
        select id, kind, state, last_error from desk_private.outbox where channel = 'mail' and state <> 'done'""",
    "a mail that was settled and never came": """
        select o.id, o.kind from desk_private.outbox o where o.channel = 'mail' and o.state = 'done' and o.last_error is null
          and not exists (select from arrived a where a.row_id = o.id)""",
    "a mail that came more often than it was sent": """
        select o.id, o.attempts, count(*) from arrived a join desk_private.outbox o on o.id = a.row_id
        group by o.id having count(*) > o.attempts""",
    "a mail that came again as another one": """
        select row_id from arrived group by row_id having count(distinct message_id) > 1""",
    "a mail that nobody wrote": """
        select a.message_id from arrived a left join desk_private.outbox o on o.id = a.row_id where o.id is null""",
}


def lay_out(
    db: Connection, answered: Iterable[tuple[str, str, str, str]], arrived: Iterable[tuple[int, str]]
) -> None:
    """Beside the desk's tables: (caller, action, key, id of what was made) of every answer, (row, Message-ID) of every mail."""
    db.execute(TOLD)
    with db.cursor() as cursor:
        cursor.executemany("insert into answered values (%s, %s, %s, %s)", list(answered))
        cursor.executemany("insert into arrived values (%s, %s)", list(arrived))


def broken(db: Connection) -> dict[str, list[tuple[object, ...]]]:
    """Returns the broken invariants with their rows; empty when nothing is broken."""
    found = {sentence: db.execute(query.encode()).fetchall() for sentence, query in BROKEN.items()}
    return {sentence: rows for sentence, rows in found.items() if rows}
