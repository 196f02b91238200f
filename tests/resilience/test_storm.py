"""Forwards under failures: every ticket has one issue and every reply one comment.

`make test` files a few dozen tickets, `make storm` a thousand; STORM_TICKETS and STORM_SEED make it another size, or again.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from local.people import NewPerson, RunningStack, Serve
from tests.database import Connection
from tests.linear import Linear, Row
from tests.resilience.storm import (
    FAILURES,
    RULES,
    TICKETS_EACH,
    Filed,
    Storm,
    Talk,
    talk_all,
    two_forwarders,
)

TICKETS = int(os.environ.get("STORM_TICKETS", 60))
SEED = int(os.environ.get("STORM_SEED", time.time_ns() % 1_000_000))
# Nothing may take as long; it only ends what hangs.
PATIENCE = 60 + TICKETS
FITTING = {
    "open": {"triage", "backlog", "unstarted"},
    "in_progress": {"started"},
    "waiting_on_customer": {"triage", "backlog", "unstarted", "started"},
    "resolved": {"completed"},
    "closed": {"completed", "canceled"},
}


@pytest.fixture(autouse=True)
def _impatient(db: Connection) -> Iterator[None]:
    """Shortens the backoff of failed rows."""
    [[usual]] = db.execute("select value from desk_private.settings where key = 'outbox_retry_seconds'")
    db.execute("select desk_private.set_setting('outbox_retry_seconds', '0.02')")
    yield
    db.execute("select desk_private.set_setting('outbox_retry_seconds', to_jsonb(%s::int))", [usual])


class Found(NamedTuple):
    """Counts how often each thing exists in Linear, by its text."""

    issues: Counter[str]
    comments: Counter[str]
    links: Counter[str]

    def lost(self, filed: list[Filed]) -> int:
        return sum((wanted(filed)[place] - found).total() for place, found in enumerate(self))

    def duplicated(self, filed: list[Filed]) -> int:
        return sum((found - wanted(filed)[place]).total() for place, found in enumerate(self))


def wanted(filed: list[Filed]) -> Found:
    numbers = Counter(ticket.number for ticket in filed)
    replies = Counter(f"Reply {n} in {each.number}" for each in filed for n in range(len(each.replies)))
    return Found(numbers, replies, numbers)


def found_in(linear: Linear) -> Found:
    return Found(
        Counter(row["title"].partition("]")[0].removeprefix("[") for row in linear.records("Issue")),
        Counter(
            line
            for row in linear.records("Comment")
            for line in row["body"].splitlines()
            if line[:6] == "Reply "
        ),
        Counter(row["url"].rpartition("/")[2] for row in linear.records("Attachment")),
    )


def test_whatever_fails_every_ticket_has_one_issue_and_every_reply_one_comment(
    stack: RunningStack, linear: Linear, db: Connection, person: NewPerson, serve: Serve, tmp_path: Path
) -> None:
    print(f"\nstorm: STORM_TICKETS={TICKETS} STORM_SEED={SEED}")
    begun = time.monotonic()
    people = [person() for _ in range(TICKETS // TICKETS_EACH + 1)]
    agents = [person("agent", display_name="Agent") for _ in range(3)]
    with serve("create-ticket") as create, two_forwarders(serve, tmp_path) as forwarders:
        storm = Storm(db, forwarders, SEED)
        with linear.failing(*RULES, seed=SEED):
            written, filed = talk_all(Talk(stack, create, SEED), people, agents, TICKETS)
            storm.rage(lambda: written() and storm.waiting() == 0, PATIENCE)
            tickets = filed()
            told = linear.counters()
        calm(storm)
    hear_the_last()

    found = found_in(linear)
    say(tickets, told, storm, time.monotonic() - begun, found)
    assert (found.lost(tickets), found.duplicated(tickets)) == (0, 0)
    assert_each_in_its_place(linear, tickets)
    assert_the_desk_agrees(db, linear, tickets)
    assert storm.kills > 0
    assert set(storm.answers()) == {200}
    failures = sum(told["injected"].get(kind, 0) for kind in FAILURES)
    assert failures >= 0.2 * sum(told["calls"].values())


def calm(storm: Storm) -> None:
    """Nothing fails any more: what is left goes out."""
    until = time.monotonic() + PATIENCE
    while storm.waiting():
        assert time.monotonic() < until, f"{storm.waiting()} rows still wait"
        time.sleep(0.3)
        storm.take_leases()
        storm.hurry()


def hear_the_last() -> None:
    """The last webhook may be on its way for as long as one is held up."""
    time.sleep(2)


def say(tickets: list[Filed], told: Row, storm: Storm, seconds: float, found: Found) -> None:
    replies = sum(len(ticket.replies) for ticket in tickets)
    moves = sum(ticket.moves for ticket in tickets)
    failures = {kind: told["injected"].get(kind, 0) for kind in sorted(FAILURES)}
    calls = sum(told["calls"].values())
    print(
        f"storm: {len(tickets)} tickets, {replies} replies, {moves} moves; {calls} calls, "
        f"{sum(failures.values())} failed ({failures}); injected {told['injected']}; webhooks {told['webhooks']}; "
        f"{storm.kills} kills, {storm.stolen} leases taken, forwarders answered {storm.answers()}; {seconds:.0f} s; "
        f"lost {found.lost(tickets)}, duplicated {found.duplicated(tickets)}"
    )


def assert_each_in_its_place(linear: Linear, tickets: list[Filed]) -> None:
    """One issue by the ticket's id with one link, and below it the replies in their order."""
    comments: dict[str, list[str]] = {ticket.ticket_id: [] for ticket in tickets}
    for row in linear.records("Comment"):
        comments[row["issueId"]].append(row["id"])
    assert comments == {ticket.ticket_id: ticket.replies for ticket in tickets}
    assert {row["id"] for row in linear.records("Issue")} == set(comments)
    assert sorted(row["issueId"] for row in linear.records("Attachment")) == sorted(comments)
    assert [row["name"] for row in linear.records("IssueLabel")].count("Chatbot") <= 1


def assert_the_desk_agrees(db: Connection, linear: Linear, tickets: list[Filed]) -> None:
    """Tickets know their issues, are as their people left them, suit their issues' states, and nothing is left to send."""
    types = {row["id"]: row["type"] for row in linear.records("WorkflowState")}
    issues = {row["id"]: row for row in linear.records("Issue")}
    known = db.execute(
        "select t.id::text, t.status, l.identifier, l.state_type from desk.support_tickets t"
        " join desk_private.linear_issues l on l.ticket_id = t.id where t.id = any (%s::uuid[])",
        [[ticket.ticket_id for ticket in tickets]],
    ).fetchall()
    states = {ticket_id: (status, state) for ticket_id, status, _, state in known}
    assert notes(db, tickets) == []
    assert {t: status for t, (status, _) in states.items()} == {t.ticket_id: t.status for t in tickets}
    assert {t: identifier for t, _, identifier, _ in known} == {t: issues[t]["identifier"] for t in issues}
    assert {t: state for t, (_, state) in states.items()} == {
        t: types[issue["stateId"]] for t, issue in issues.items()
    }
    assert [each for each in states.values() if each[1] not in FITTING[each[0]]] == []
    left = db.execute(
        "select kind, state, attempts, last_error from desk_private.outbox where channel = 'linear' and state <> 'done'"
    )
    assert left.fetchall() == []


def notes(db: Connection, tickets: list[Filed]) -> list[str]:
    found = db.execute(
        "select m.body from desk.ticket_messages m where m.author = 'system' and m.ticket_id = any (%s::uuid[])",
        [[ticket.ticket_id for ticket in tickets]],
    )
    return [body for (body,) in found]
