"""Forwards to Linear: one issue a ticket, one comment a reply, under failures of Linear and of forwarders."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from deploy.migrate import Connection
from local.people import Client, Person, RunningStack, Serve
from tests.linear import Linear
from tests.payloads import PAYLOADS, detail, file

Ticket = dict[str, Any]


class Forwarder:
    """linear-forward as the scheduler calls it."""

    def __init__(self, stack: RunningStack, db: Connection) -> None:
        self.stack, self._db = stack, db
        self._address = f"{stack.functions_url}/linear-forward"
        self._token = stack.identity_token(self._address)

    def once(self, url: str | None = None, **body: Any) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._token}"}
        answer = httpx.post(url or self._address, headers=headers, json=body, timeout=120, trust_env=False)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def until_done(self) -> None:
        """As many calls as it takes, retries brought forward."""
        for _ in range(30):
            self.soon()
            if not self.once()["more"] and not self.waiting():
                return
        left = self._db.execute(
            "select kind, attempts, last_error from desk_private.outbox where channel = 'linear' and state = 'pending'"
        )
        raise AssertionError(f"these still wait: {left.fetchall()}")

    def soon(self) -> None:
        self._db.execute("update desk_private.outbox set available_at = now() where channel = 'linear'")

    def waiting(self) -> int:
        query = "select from desk_private.outbox where channel = 'linear' and state = 'pending'"
        return self._db.execute(query).rowcount


@pytest.fixture
def forwarder(stack: RunningStack, db: Connection) -> Forwarder:
    return Forwarder(stack, db)


@pytest.fixture
def queued(stack: RunningStack, customer: Person, serve: Serve) -> Iterator[Callable[..., Ticket]]:
    """File tickets by a create-ticket that asks nobody to forward them."""
    with serve("create-ticket", LINEAR_FORWARD_URL=None) as url:
        headers = {"Authorization": f"Bearer {customer.token}"}
        with httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False) as client:

            def make(kind: str = "other", **changes: Any) -> Ticket:
                response = client.post("/", json={"payload": PAYLOADS[kind] | changes})
                assert response.status_code == 200, response.text
                answer: Ticket = response.json()
                assert answer["linear"] == "queued"
                return answer

            yield make


def reply(client: httpx.Client, ticket: Ticket, body: str, **more: Any) -> dict[str, Any]:
    response = client.post(f"/add-message/{ticket['ticket_id']}", json={"body": body, **more})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def change(client: httpx.Client, ticket: Ticket, **changes: Any) -> None:
    response = client.patch(f"/admin-update/{ticket['ticket_id']}", json=changes)
    assert response.status_code == 200, response.text


def issue_of(linear: Linear, ticket: Ticket) -> dict[str, Any]:
    [issue] = [row for row in linear.records("Issue") if row["id"] == ticket["ticket_id"]]
    return issue


# The plain way


def test_a_filed_ticket_is_answered_with_its_issue(linear: Linear, api: Client, customer: Person) -> None:
    filed = file(api(customer), "chatbot")
    issue = issue_of(linear, filed)
    assert filed["linear"] == "created"
    assert filed["issue_id"] == issue["id"] == filed["ticket_id"]
    assert filed["issue_identifier"] == "ENG-1"
    assert filed["issue_url"] == f"{linear.url}/issue/ENG-1"
    assert httpx.get(filed["issue_url"], trust_env=False).status_code == 200
    assert detail(api(customer), filed["ticket_id"])["linear"] == {
        "linear": "created",
        **{name: filed[name] for name in ("issue_id", "issue_identifier", "issue_url")},
    }


def test_the_issue_has_what_engineers_need(
    linear: Linear, api: Client, customer: Person, forwarder: Forwarder
) -> None:
    filed = file(api(customer), "bug")
    forwarder.until_done()
    issue = issue_of(linear, filed)
    assert issue["priority"] == 3
    assert issue["title"].startswith(f"[{filed['ticket_number']}] ")
    assert "1. Open calendar" in issue["description"]
    assert [row["name"] for row in linear.records("IssueLabel") if row["id"] in issue["labelIds"]] == ["Bug"]
    [link] = linear.records("Attachment")
    assert link["issueId"] == issue["id"]
    assert link["url"].endswith(f"/tickets/{filed['ticket_number']}")


def test_a_category_without_a_team_is_not_forwarded(linear: Linear, api: Client, customer: Person) -> None:
    filed = file(api(customer), "support")
    assert (filed["linear"], filed["issue_id"], filed["issue_identifier"], filed["issue_url"]) == (
        "off",
        None,
        None,
        None,
    )
    assert linear.records("Issue") == []


def test_an_anonymous_form_reaches_engineers_once_an_agent_has_sorted_it(
    linear: Linear, api: Client, agent: Person, forwarder: Forwarder, db: Connection
) -> None:
    db.execute("delete from desk_private.quotas where kind like 'anonymous%'")
    filed = file(api(None), "contact")
    assert filed["linear"] == "off"
    change(api(agent), filed, category="bug")
    forwarder.until_done()
    assert issue_of(linear, filed)["identifier"] == "ENG-1"


def test_a_ticket_that_comes_to_the_engineers_late_brings_what_was_said(
    linear: Linear, api: Client, customer: Person, agent: Person, forwarder: Forwarder
) -> None:
    filed = file(api(customer), "support")
    reply(api(customer), filed, "first words")
    reply(api(agent), filed, "second words")
    reply(api(agent), filed, "a secret note", is_internal=True)
    change(api(agent), filed, category="bug")
    reply(api(customer), filed, "third words")
    forwarder.until_done()
    comments = linear.comments(filed["ticket_id"])
    assert ["first" in comments[0], "second" in comments[1], "third" in comments[2]] == [True] * 3
    assert len(comments) == 3


def test_replies_follow_in_their_order_and_notes_do_not(
    linear: Linear,
    api: Client,
    customer: Person,
    agent: Person,
    forwarder: Forwarder,
    queued: Callable[..., Ticket],
) -> None:
    filed = queued("bug")
    for n in range(5):
        reply(api(customer if n % 2 else agent), filed, f"reply number {n}")
    reply(api(agent), filed, "not for engineers to see", is_internal=True)
    forwarder.until_done()
    texts = linear.comments(filed["ticket_id"])
    assert [f"reply number {n}" in text for n, text in enumerate(texts)] == [True] * 5
    assert "**The desk** replied:" in texts[0]
    assert "**The customer** replied:" in texts[1]


def test_the_state_follows_as_it_is_and_not_as_it_was(
    linear: Linear, api: Client, customer: Person, agent: Person, forwarder: Forwarder
) -> None:
    filed = file(api(customer), "bug")
    for status in ("in_progress", "waiting_on_customer", "in_progress"):
        change(api(agent), filed, status=status)
    forwarder.until_done()
    assert linear.state(filed["ticket_id"]) == "In Progress"
    assert linear.counters()["calls"].get("issueUpdate", 0) <= 1

    change(api(agent), filed, status="resolved")
    forwarder.until_done()
    assert linear.state(filed["ticket_id"]) == "Done"

    reply(api(customer), filed, "No, it is not.")
    forwarder.until_done()
    assert linear.state(filed["ticket_id"]) == "Todo"


def test_what_was_closed_without_a_solution_is_canceled_and_what_is_solved_later_completed(
    linear: Linear, api: Client, customer: Person, agent: Person, forwarder: Forwarder
) -> None:
    filed = file(api(customer), "other")
    change(api(agent), filed, status="closed")
    forwarder.until_done()
    assert linear.state(filed["ticket_id"]) == "Canceled"
    # At once, so that no forwarder sees it open.
    change(api(agent), filed, status="open")
    change(api(agent), filed, status="resolved")
    forwarder.until_done()
    assert linear.state(filed["ticket_id"]) == "Done"


def test_a_category_that_does_not_follow_sends_the_issue_and_nothing_more(
    linear: Linear, api: Client, customer: Person, agent: Person, forwarder: Forwarder, db: Connection
) -> None:
    db.execute("update desk.ticket_categories set linear_follows = false where slug = 'bug'")
    try:
        filed = file(api(customer), "bug")
        reply(api(customer), filed, "by the way")
        change(api(agent), filed, status="resolved")
        forwarder.until_done()
        assert linear.comments(filed["ticket_id"]) == []
        assert linear.state(filed["ticket_id"]) == "Backlog"
    finally:
        db.execute("update desk.ticket_categories set linear_follows = true where slug = 'bug'")


def test_a_deleted_ticket_sends_nothing_more(
    linear: Linear, api: Client, admin: Person, forwarder: Forwarder, queued: Callable[..., Ticket]
) -> None:
    filed = queued("bug")
    assert api(admin).delete(f"/admin-update/{filed['ticket_id']}").status_code == 200
    forwarder.until_done()
    assert linear.records("Issue") == []


# When things go wrong


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "drop", "committed": True, "operation": "issueCreate", "times": 1},
        {"kind": "drop", "operation": "issueCreate", "times": 1},
        {"kind": "malformed", "committed": True, "operation": "issueCreate", "times": 1},
        {"kind": "server_error", "committed": True, "html": True, "operation": "issueCreate", "times": 2},
        {"kind": "internal", "times": 3},
        {"kind": "lock_timeout", "operation": "teams", "times": 1},
        {"kind": "auth", "times": 2},
    ],
    ids=lambda fault: f"{fault['kind']}{'-committed' if fault.get('committed') else ''}",
)
def test_an_issue_exists_once_whatever_became_of_the_answer(
    linear: Linear, forwarder: Forwarder, queued: Callable[..., Ticket], fault: dict[str, Any],
    api: Client, customer: Person,
) -> None:  # fmt: skip
    filed = queued("bug")
    reply(api(customer), filed, "and one more thing")
    with linear.failing(fault):
        forwarder.until_done()
        assert linear.counters()["injected"][fault["kind"]] >= 1
    assert [row["id"] for row in linear.records("Issue")] == [filed["ticket_id"]]
    assert len(linear.records("Comment")) == 1
    assert len(linear.records("Attachment")) == 1
    assert detail(api(customer), filed["ticket_id"])["linear"]["issue_identifier"] == "ENG-1"


def test_a_conflict_that_comes_with_400_is_a_conflict_too(
    linear: Linear, forwarder: Forwarder, queued: Callable[..., Ticket]
) -> None:
    filed = queued("bug")
    linear.create("made by an attempt whose answer was lost", id=filed["ticket_id"])
    with linear.failing({"kind": "error_status", "status": 400}):
        forwarder.until_done()
    assert [row["id"] for row in linear.records("Issue")] == [filed["ticket_id"]]


def test_a_comment_whose_answer_was_lost_exists_once(
    linear: Linear, forwarder: Forwarder, queued: Callable[..., Ticket], api: Client, customer: Person
) -> None:
    filed = queued("bug")
    reply(api(customer), filed, "only once, please")
    with linear.failing({"kind": "drop", "committed": True, "operation": "commentCreate", "times": 2}):
        forwarder.until_done()
    assert len(linear.comments(filed["ticket_id"])) == 1


@pytest.mark.parametrize(
    "rule", [{"kind": "delay", "seconds": 20}, {"kind": "drop"}, {"kind": "server_error"}]
)
def test_linear_being_down_delays_nobody_and_loses_nothing(
    linear: Linear, customer: Person, serve: Serve, forwarder: Forwarder, db: Connection,
    rule: dict[str, Any],
) -> None:  # fmt: skip
    filed = []
    # A process of its own: one that has let somebody wait in vain does not ask again for a while.
    with serve("create-ticket") as url, linear.failing(rule):
        headers = {"Authorization": f"Bearer {customer.token}"}
        with httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False) as client:
            for _ in range(3):
                begun = time.monotonic()
                answer = client.post("/", json={"payload": PAYLOADS["other"]}).json()
                assert time.monotonic() - begun < 3.5
                assert answer["success"] is True
                assert answer["linear"] == "queued"
                filed.append(answer["ticket_id"])
    db.execute("update desk_private.outbox set locked_until = now() where channel = 'linear'")
    forwarder.until_done()
    assert {row["id"] for row in linear.records("Issue")} == set(filed)


def test_a_rate_limit_stops_every_forwarder_until_its_reset_and_loses_nothing(
    linear: Linear, forwarder: Forwarder, queued: Callable[..., Ticket], serve: Serve, db: Connection,
    api: Client, customer: Person,
) -> None:  # fmt: skip
    filed = [queued("other")["ticket_id"] for _ in range(7)]
    with linear.failing({"kind": "ratelimited", "seconds": 600, "times": 1}):
        forwarder.once()
        calls = sum(linear.counters()["calls"].values())
        query = "select paused_until - now() between '590 s' and '600 s' from desk_private.linear_sync"
        assert db.execute(query).fetchall() == [(True,)]
        # Another instance, the same one, and somebody who files a ticket: nobody calls Linear.
        with serve("linear-forward", AUDIENCE=None, INVOKERS=None) as url:
            assert forwarder.once(url)["sent"] == 0
        forwarder.soon()
        forwarder.once()
        assert file(api(customer))["linear"] == "queued"
        assert sum(linear.counters()["calls"].values()) == calls
    db.execute("update desk_private.linear_sync set paused_until = now()")
    forwarder.until_done()
    assert len(linear.records("Issue")) == len(filed) + 1


def test_what_linear_refuses_for_good_is_a_dead_letter_that_an_admin_sends_again(
    linear: Linear, forwarder: Forwarder, queued: Callable[..., Ticket], db: Connection, rest: Client, admin: Person,
    api: Client, customer: Person,
) -> None:  # fmt: skip
    filed = queued("bug")
    reply(api(customer), filed, "waits for its issue")
    db.execute(
        "update desk_private.outbox set state = 'dead', payload = null, lease_token = null, locked_until = null"
        " where kind = 'issue' and ticket_id = %s",
        [filed["ticket_id"]],
    )
    forwarder.soon()
    assert forwarder.once()["sent"] == 0, "a comment does not overtake its issue"
    letters = rest(admin).post("/rpc/list_dead_letters", json={}).json()["dead_letters"]
    [letter] = [letter for letter in letters if letter["ticket_id"] == filed["ticket_id"]]
    assert (letter["channel"], letter["kind"]) == ("linear", "issue")
    assert rest(admin).post("/rpc/retry_dead_letter", json={"id": letter["id"]}).status_code == 200
    forwarder.until_done()
    assert len(linear.comments(filed["ticket_id"])) == 1


def test_two_forwarders_at_once_send_everything_once(
    linear: Linear,
    forwarder: Forwarder,
    queued: Callable[..., Ticket],
    serve: Serve,
    api: Client,
    customer: Person,
) -> None:
    filed = [queued("other") for _ in range(25)]
    for ticket in filed[:10]:
        reply(api(customer), ticket, "me too")
    with serve("linear-forward", AUDIENCE=None, INVOKERS=None) as url, ThreadPoolExecutor(2) as pool:
        list(pool.map(forwarder.once, [None, url]))
    forwarder.until_done()
    assert len(linear.records("Issue")) == 25
    assert len(linear.records("Comment")) == 10
    assert sum(linear.counters()["calls"][name] for name in ("issueCreate", "commentCreate")) == 35


def test_a_ticket_that_somebody_changes_waits_for_them_and_holds_nobody_up(
    linear: Linear, forwarder: Forwarder, queued: Callable[..., Ticket], stack: RunningStack, agent: Person
) -> None:
    filed, other = queued(), queued()
    with psycopg.connect(stack.database_url) as changing:
        claims = json.dumps({"sub": str(agent.id), "role": "authenticated"})
        changing.execute("select set_config('request.jwt.claims', %s, true)", [claims])
        changing.execute("select desk_private.require_ticket(%s, for_change => true)", [filed["ticket_id"]])
        forwarder.once()
        assert [issue["id"] for issue in linear.records("Issue")] == [other["ticket_id"]]
    forwarder.until_done()
    assert len(linear.records("Issue")) == 2


def test_a_category_whose_team_is_missing_waits_until_somebody_has_mended_it(
    linear: Linear, forwarder: Forwarder, api: Client, customer: Person, db: Connection
) -> None:
    db.execute("update desk.ticket_categories set linear_team = 'NOPE' where slug = 'technical'")
    try:
        filed = file(api(customer), "support", category="technical")
        assert filed["linear"] == "queued"
        [[state, error]] = db.execute(
            "select state, last_error from desk_private.outbox where channel = 'linear' and ticket_id = %s",
            [filed["ticket_id"]],
        )
        assert (state, error) == ("pending", "linear: there is no team NOPE")
    finally:
        db.execute("update desk.ticket_categories set linear_team = null where slug = 'technical'")


def test_a_forwarder_that_is_asked_for_one_ticket_says_what_is_known_of_it(
    linear: Linear, forwarder: Forwarder, queued: Callable[..., Ticket]
) -> None:
    filed = queued("bug")
    first = forwarder.once(ticket=filed["ticket_id"])
    again = forwarder.once(ticket=filed["ticket_id"])
    assert first == again
    assert first["issue_identifier"] == "ENG-1"
    nothing = forwarder.once(ticket=str(uuid4()))
    assert nothing["linear"] == "off"
