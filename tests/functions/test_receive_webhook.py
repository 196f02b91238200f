"""Receives Linear's webhooks: repeated, late or out of order."""

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest

from deploy.migrate import Connection
from local.people import Client, Person, RunningStack, Serve
from tests.assertions import assert_problem
from tests.linear import Linear, state_id
from tests.mailbox import Mailbox
from tests.payloads import detail, file

Ticket = dict[str, Any]
LATER = "2999-01-01T00:00:0{}.000Z"


class Webhooks:
    """Linear's webhooks as they arrive, without waiting for the fake to send them."""

    def __init__(self, stack: RunningStack) -> None:
        self._url = f"{stack.functions_url}/receive-webhook/linear"
        self._secret = stack.keys.linear_webhook_secret

    def send(
        self, kind: str, data: dict[str, Any], action: str = "update", delivery: str | None = None,
        age: float = 0, signature: str | None = None,
    ) -> httpx.Response:  # fmt: skip
        sent_at = int((time.time() - age) * 1000)
        body = json.dumps(
            {"action": action, "type": kind, "data": data, "webhookTimestamp": sent_at}
        ).encode()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Linear-Delivery": delivery or str(uuid4()),
            "Linear-Signature": signature
            or hmac.new(self._secret.encode(), body, hashlib.sha256).hexdigest(),
        }
        return httpx.post(self._url, content=body, headers=headers, timeout=30, trust_env=False)

    def moved(self, ticket: Ticket, name: str, kind: str, second: int = 1, **more: Any) -> dict[str, Any]:
        answer = self.send("Issue", issue(ticket, name, kind, second), **more)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def commented(
        self, ticket: Ticket, body: str, comment_id: str | None = None, **more: Any
    ) -> dict[str, Any]:
        data = {
            "id": comment_id or str(uuid4()),
            "body": body,
            "issueId": ticket["ticket_id"],
            "user": {"id": str(uuid4()), "name": "Grace"},
        }
        answer = self.send("Comment", data, "create", **more)
        assert answer.status_code == 200, answer.text
        result: dict[str, Any] = answer.json()
        return result


def issue(ticket: Ticket, name: str, kind: str, second: int = 1) -> dict[str, Any]:
    return {
        "id": ticket["ticket_id"],
        "identifier": "ENG-1",
        "url": "https://linear.example.com/issue/ENG-1",
        "updatedAt": LATER.format(second),
        "state": {"id": str(uuid4()), "name": name, "type": kind},
    }


@pytest.fixture
def webhooks(stack: RunningStack) -> Webhooks:
    return Webhooks(stack)


@pytest.fixture
def ticket(linear: Linear, api: Client, customer: Person) -> Ticket:
    filed = file(api(customer), "chatbot")
    assert filed["linear"] == "created"
    return filed


@pytest.fixture
def mailbox(stack: RunningStack) -> Mailbox:
    return Mailbox(stack.stack.settings.home / "mail")


def call(stack: RunningStack, function: str) -> dict[str, Any]:
    """One call as the scheduler makes it."""
    url = f"{stack.functions_url}/{function}"
    headers = {"Authorization": f"Bearer {stack.identity_token(url)}"}
    answer = httpx.post(url, headers=headers, timeout=120, trust_env=False)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def status(api: Client, agent: Person, ticket: Ticket) -> str:
    return str(detail(api(agent), ticket["ticket_id"])["status"])


def notes(api: Client, agent: Person, ticket: Ticket) -> list[str]:
    messages = detail(api(agent), ticket["ticket_id"])["messages"]
    assert all(message["is_internal"] for message in messages if message["author"] == "system")
    return [message["body"] for message in messages if message["author"] == "system"]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within 15 s"
        time.sleep(0.1)


def test_an_issue_that_an_engineer_finishes_resolves_the_ticket_and_mails_the_customer(
    stack: RunningStack,
    linear: Linear,
    api: Client,
    agent: Person,
    customer: Person,
    ticket: Ticket,
    mailbox: Mailbox,
) -> None:
    finish(linear, ticket)
    until(lambda: status(api, agent, ticket) == "resolved")
    until(lambda: call(stack, "send-notifications") is not None and any(
        "solved" in str(mail["Subject"]).lower() or "solved" in mail.as_string() for mail in mailbox.to(customer.email)
    ))  # fmt: skip
    call(stack, "linear-forward")
    assert linear.state(ticket["ticket_id"]) == "Done"
    assert linear.counters()["calls"].get("issueUpdate", 0) == 0, (
        "what came from Linear does not go back there"
    )


def finish(linear: Linear, ticket: Ticket) -> None:
    linear.act(ticket["issue_identifier"], "state", stateId=state_id("Done"))


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("In Progress", "started", "in_progress"),
        ("Done", "completed", "resolved"),
        ("Canceled", "canceled", "closed"),
        ("Duplicate", "duplicate", "closed"),
        ("Todo", "unstarted", "open"),
    ],
)
def test_what_a_state_means_for_the_ticket(
    webhooks: Webhooks, api: Client, agent: Person, ticket: Ticket, name: str, kind: str, expected: str
) -> None:
    webhooks.moved(ticket, name, kind)
    assert status(api, agent, ticket) == expected
    assert notes(api, agent, ticket) == []


def test_twice_late_and_out_of_order_end_in_the_same_state(
    webhooks: Webhooks, api: Client, agent: Person, ticket: Ticket
) -> None:
    assert webhooks.moved(ticket, "Done", "completed", 3, delivery="one-delivery")["applied"] == 1
    assert webhooks.moved(ticket, "Done", "completed", 3, delivery="one-delivery")["duplicate"] is True
    assert webhooks.moved(ticket, "Done", "completed", 3)["applied"] == 0
    assert webhooks.moved(ticket, "In Progress", "started", 2, age=7 * 3600)["applied"] == 0
    assert status(api, agent, ticket) == "resolved"
    assert notes(api, agent, ticket) == []


def test_what_the_ticket_may_not_become_is_noted(
    webhooks: Webhooks, api: Client, agent: Person, ticket: Ticket
) -> None:
    webhooks.moved(ticket, "Done", "completed", 1)
    webhooks.moved(ticket, "In Progress", "started", 2)
    assert status(api, agent, ticket) == "resolved"
    assert notes(api, agent, ticket) == ["Linear: ENG-1 was moved to In Progress. The ticket stays resolved."]


def test_an_engineers_comment_is_an_internal_note_once_and_never_the_customers(
    webhooks: Webhooks, api: Client, agent: Person, customer: Person, ticket: Ticket
) -> None:
    comment_id = str(uuid4())
    for _ in range(3):
        webhooks.commented(ticket, "It was the cache.", comment_id)
    assert notes(api, agent, ticket) == ["Grace in Linear: It was the cache."]
    assert detail(api(customer), ticket["ticket_id"])["messages"] == []


def test_our_own_move_that_is_heard_of_late_does_not_undo_what_the_customer_wants(
    linear: Linear, stack: RunningStack, webhooks: Webhooks, api: Client, agent: Person, customer: Person, ticket: Ticket,
    db: Connection,
) -> None:  # fmt: skip
    lost = {"kind": "drop", "committed": True, "operation": "issueUpdate"}
    with linear.failing({"kind": "webhook_lost"}, lost):
        api(agent).patch(f"/admin-update/{ticket['ticket_id']}", json={"status": "resolved"})
        call(stack, "linear-forward")
        api(customer).post(f"/add-message/{ticket['ticket_id']}", json={"body": "No, it is not."})
        webhooks.moved(ticket, "Done", "completed")
        assert status(api, agent, ticket) == "open"
        assert notes(api, agent, ticket) == []
    for _ in range(3):
        db.execute("update desk_private.outbox set available_at = now() where channel = 'linear'")
        call(stack, "linear-forward")
    assert linear.state(ticket["ticket_id"]) == "Todo"
    assert status(api, agent, ticket) == "open"


def test_an_issue_that_is_heard_of_when_its_ticket_is_closed_already_is_no_news(
    linear: Linear, webhooks: Webhooks, api: Client, agent: Person, customer: Person
) -> None:
    with linear.failing(
        {"kind": "webhook_lost"}, {"kind": "drop", "committed": True, "operation": "issueCreate"}
    ):
        filed = file(api(customer), "chatbot")
        assert filed["linear"] == "queued"
        api(agent).patch(f"/admin-update/{filed['ticket_id']}", json={"status": "closed"})
        webhooks.moved(filed, "Backlog", "backlog")
    assert status(api, agent, filed) == "closed"
    assert notes(api, agent, filed) == []


def test_our_own_comment_does_not_come_back(
    stack: RunningStack, linear: Linear, api: Client, agent: Person, customer: Person, ticket: Ticket
) -> None:
    api(customer).post(f"/add-message/{ticket['ticket_id']}", json={"body": "Any news?"})
    call(stack, "linear-forward")
    assert len(linear.comments(ticket["ticket_id"])) == 1
    until(lambda: linear.counters()["webhooks"].get("delivered", 1) >= 0)
    call(stack, "linear-forward")
    assert notes(api, agent, ticket) == []


def test_a_removed_issue_is_unlinked_with_a_note(
    webhooks: Webhooks, api: Client, agent: Person, ticket: Ticket
) -> None:
    data = issue(ticket, "Backlog", "backlog")
    for _ in range(2):
        assert webhooks.send("Issue", data, "remove").status_code == 200
    assert notes(api, agent, ticket) == ["Linear: ENG-1 was removed. The ticket is no longer linked to it."]
    assert detail(api(agent), ticket["ticket_id"])["linear"]["linear"] == "off"
    assert status(api, agent, ticket) == "open"


def test_a_removal_that_is_older_than_what_is_known_is_ignored(
    webhooks: Webhooks, api: Client, agent: Person, ticket: Ticket, db: Connection
) -> None:
    known = "select changed_at, removed_at from desk_private.linear_issues where ticket_id = %s"
    assert webhooks.send("Issue", issue(ticket, "Backlog", "backlog", 1), "remove").status_code == 200
    webhooks.moved(ticket, "Backlog", "backlog", 3)
    before = db.execute(known, (ticket["ticket_id"],)).fetchone()
    for second in (1, 2):
        late = webhooks.send("Issue", issue(ticket, "Backlog", "backlog", second), "remove")
        assert late.json()["applied"] == 0, late.text
    assert db.execute(known, (ticket["ticket_id"],)).fetchone() == before
    assert detail(api(agent), ticket["ticket_id"])["linear"]["linear"] == "created"
    assert webhooks.send("Issue", issue(ticket, "Backlog", "backlog", 3), "remove").json()["applied"] == 1
    assert detail(api(agent), ticket["ticket_id"])["linear"]["linear"] == "off"


def test_every_webhook_may_be_lost(
    stack: RunningStack, linear: Linear, api: Client, agent: Person, ticket: Ticket, db: Connection
) -> None:
    with linear.failing({"kind": "webhook_lost"}):
        linear.act(ticket["issue_identifier"], "comments", body="Found it.")
        finish(linear, ticket)
    assert status(api, agent, ticket) == "open"
    db.execute("update desk_private.linear_sync set polled_at = '-infinity'")
    assert call(stack, "linear-forward")["learned"] == 2
    assert status(api, agent, ticket) == "resolved"
    [note] = notes(api, agent, ticket)
    assert note.endswith("in Linear: Found it.")
    db.execute("update desk_private.linear_sync set polled_at = '-infinity'")
    assert call(stack, "linear-forward")["learned"] == 0


def test_a_poll_that_fails_is_made_good_by_the_next(
    stack: RunningStack, linear: Linear, api: Client, agent: Person, ticket: Ticket, db: Connection
) -> None:
    with linear.failing({"kind": "webhook_lost"}, {"kind": "internal", "operation": "comments"}):
        finish(linear, ticket)
        linear.act(ticket["issue_identifier"], "comments", body="Found it.")
        db.execute("update desk_private.linear_sync set polled_at = '-infinity'")
        assert call(stack, "linear-forward")["poll"].startswith("linear: ")
    assert notes(api, agent, ticket) == []
    db.execute("update desk_private.linear_sync set polled_at = '-infinity'")
    call(stack, "linear-forward")
    assert len(notes(api, agent, ticket)) == 1


def test_issues_that_are_not_ours_and_events_that_mean_nothing_are_200(
    webhooks: Webhooks, ticket: Ticket
) -> None:
    stranger = {"ticket_id": str(uuid4())}
    assert webhooks.moved(stranger, "Done", "completed")["applied"] == 0
    assert webhooks.commented(stranger, "hello")["applied"] == 0
    for kind, data in (
        ("Project", {"id": "x"}),
        ("Issue", {"id": "x"}),
        ("Comment", {"documentContentId": "x"}),
    ):
        assert webhooks.send(kind, data).json() == {"success": True, "applied": 0, "duplicate": False}
    odd = issue(ticket, "Done", "completed") | {"id": "ENG-1"}
    assert webhooks.send("Issue", odd).json()["applied"] == 0


@pytest.mark.parametrize(
    "wrong", [{"signature": "0" * 64}, {"signature": "nonsense"}, {"age": 25 * 3600}, {"age": -3600}]
)
def test_a_wrong_signature_is_401_and_leaves_no_trace(
    webhooks: Webhooks, api: Client, agent: Person, ticket: Ticket, db: Connection, wrong: dict[str, Any]
) -> None:
    answer = webhooks.send("Issue", issue(ticket, "Done", "completed"), delivery="never-seen", **wrong)
    assert_problem(answer, 401, "unauthenticated")
    assert status(api, agent, ticket) == "open"
    assert (
        db.execute("select from desk_private.received_webhooks where delivery = 'never-seen'").fetchall()
        == []
    )


def test_a_webhook_that_waited_for_six_hours_is_taken(
    webhooks: Webhooks, api: Client, agent: Person, ticket: Ticket
) -> None:
    assert webhooks.moved(ticket, "Done", "completed", age=7.1 * 3600)["applied"] == 1
    assert status(api, agent, ticket) == "resolved"


def test_a_body_that_linear_would_not_send_is_refused(stack: RunningStack, webhooks: Webhooks) -> None:
    secret = stack.keys.linear_webhook_secret.encode()
    for body in (b"[]", b"{}", b'{"action": 1}', b"nonsense"):
        headers = {
            "Content-Type": "application/json",
            "Linear-Signature": hmac.new(secret, body, hashlib.sha256).hexdigest(),
            "Linear-Delivery": "x",
        }
        url = f"{stack.functions_url}/receive-webhook/linear"
        assert_problem(httpx.post(url, content=body, headers=headers, trust_env=False), 400, "malformed_json")


def test_without_a_secret_nobody_gets_in(serve: Serve) -> None:
    with serve("receive-webhook", LINEAR_WEBHOOK_SECRET=None) as url:
        answer = httpx.post(f"{url}/linear", json={}, trust_env=False)
        assert_problem(answer, 503, "not_configured")
