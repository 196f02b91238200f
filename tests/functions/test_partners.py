"""Files by webhook of a partner: signed, for a user who exists, and once an external_id."""

import json
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from standardwebhooks import Webhook

from deploy.migrate import Connection
from local.people import Client, Person, RunningStack, Serve
from tests.assertions import assert_problem
from tests.payloads import detail


class Partner:
    """A system that signs as Standard Webhooks has it."""

    def __init__(self, url: str, secret: str) -> None:
        self.url, self._secret = url, secret

    def send(self, event: object, changes: dict[str, str] | None = None, age: float = 0) -> httpx.Response:
        body = event if isinstance(event, str) else json.dumps(event)
        moment, message = datetime.now(UTC) - timedelta(seconds=age), f"msg_{uuid4()}"
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": Webhook(self._secret).sign(message, moment, body),
        }
        return httpx.post(
            self.url, content=body, headers=headers | (changes or {}), timeout=30, trust_env=False
        )

    def filed(self, kind: str, **data: Any) -> dict[str, Any]:
        answer = self.send({"type": kind, "data": data})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body


@pytest.fixture
def partner(stack: RunningStack) -> Partner:
    return Partner(f"{stack.functions_url}/receive-webhook/tickets", stack.keys.partner_secret)


def ticket(whom: Person, **changes: Any) -> dict[str, Any]:
    usual = {
        "external_id": str(uuid4()),
        "user": str(whom.id),
        "subject": "No heat",
        "description": "It is cold.",
    }
    return usual | changes


def test_a_partner_files_a_ticket_for_a_user(partner: Partner, api: Client, customer: Person) -> None:
    data = ticket(customer, priority="critical", category="technical", context={"order_id": "A-1"})
    filed = partner.filed("ticket", **data, attachments=["https://files.example.com/1.png"])
    assert (filed["issue_type"], filed["priority"], filed["category"]) == ("webhook", "urgent", "technical")
    seen = detail(api(customer), filed["ticket_id"])
    assert (seen["subject"], seen["description"], seen["context"]) == (
        "No heat",
        "It is cold.",
        {"order_id": "A-1"},
    )
    assert [attachment["url"] for attachment in seen["attachments"]] == ["https://files.example.com/1.png"]


def test_a_user_may_be_named_by_address_and_keys_be_camel_case(partner: Partner, customer: Person) -> None:
    data = ticket(customer, user=customer.email)
    data["externalId"] = data.pop("external_id")
    assert partner.filed("ticket", **data)["success"] is True


def test_the_same_external_id_is_one_ticket_however_often_at_once(
    partner: Partner, customer: Person, db: Connection
) -> None:
    data = ticket(customer)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: partner.filed("ticket", **data), range(8)))
    assert len({answer["ticket_id"] for answer in answers}) == 1
    again = partner.filed("ticket", **data | {"subject": "Changed meanwhile"})
    assert again["ticket_id"] == answers[0]["ticket_id"]
    found = db.execute("select from desk.support_tickets where customer_id = %s", [customer.id])
    assert found.rowcount == 1


def test_a_refused_ticket_leaves_its_external_id_free(partner: Partner, customer: Person) -> None:
    data = ticket(customer, category="nonsense")
    assert_problem(partner.send({"type": "ticket", "data": data}), 422, "invalid", "data.category")
    assert partner.filed("ticket", **data | {"category": "technical"})["success"] is True


def test_a_conversation_is_handed_over_and_recognised(
    partner: Partner, api: Client, customer: Person
) -> None:
    data = {
        "user": str(customer.id),
        "conversationId": str(uuid4()),
        "summaryOfIssue": "The account was taken over.",
        "conversationHistory": [{"role": "user", "content": "My account was hacked!"}],
    }
    filed = partner.filed("ai_transfer", **data)
    assert (filed["issue_type"], filed["category"], filed["priority"]) == (
        "ai_transfer",
        "security_concern",
        "urgent",
    )
    assert partner.filed("ai_transfer", **data)["ticket_id"] == filed["ticket_id"]
    [message] = [
        m for m in detail(api(customer), filed["ticket_id"])["messages"] if m["author"] == "customer"
    ]
    assert message["body"] == "My account was hacked!"


def test_a_partner_and_the_customer_do_not_shadow_each_others_conversations(
    partner: Partner, api: Client, customer: Person
) -> None:
    said = [{"role": "user", "content": "My account was hacked!"}]
    talk = {"conversationId": "1", "summaryOfIssue": "Hacked.", "conversationHistory": said}
    theirs = partner.filed("ai_transfer", user=str(customer.id), **talk)
    mine = api(customer).post("/ai-escalation", json=talk)
    assert mine.status_code == 200, mine.text
    assert mine.json()["ticket_id"] != theirs["ticket_id"]
    assert api(customer).post("/ai-escalation", json=talk).json()["ticket_id"] == mine.json()["ticket_id"]


def test_a_companion_passes_on_a_bug_and_feedback(partner: Partner, customer: Person, db: Connection) -> None:
    usual = {"external_id": str(uuid4()), "user": str(customer.id)}
    bug = partner.filed("companion", **usual, ticket_type="bug", description="The calendar\nis wrong.")
    assert bug["issue_type"] == "bug"
    usual["external_id"] = str(uuid4())
    confirmations = [
        partner.filed("companion", **usual, ticket_type="feedback", description="Nice!") for _ in range(2)
    ]
    assert confirmations[0]["feedback_id"] == confirmations[1]["feedback_id"]
    found = db.execute(
        "select category, description from desk.user_feedback where user_id = %s", [customer.id]
    )
    assert found.fetchall() == [("other", "Nice!")]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"user": str(uuid4())}, "data.user"),
        ({"user": "nobody@nowhere.example"}, "data.user"),
        ({"external_id": ""}, "data.external_id"),
        ({"subject": None}, "data.subject"),
        ({"attachments": ["ftp://x"]}, "data.attachments.0"),
        ({"status": "closed"}, "data.status"),
    ],
)
def test_what_is_wrong_is_named(
    partner: Partner, customer: Person, changes: dict[str, Any], path: str
) -> None:
    event = {"type": "ticket", "data": ticket(customer, **changes)}
    assert_problem(partner.send(event), 422, "invalid", path)


def test_an_event_of_another_type_is_refused(partner: Partner) -> None:
    assert_problem(partner.send({"type": "order.paid", "data": {}}), 422, "invalid", "type")
    assert_problem(partner.send("nonsense"), 400, "malformed_json")


@pytest.mark.parametrize(
    "changes",
    [
        {"webhook-signature": "v1,AAAA"},
        {"webhook-signature": "nonsense"},
        {"webhook-signature": "v1,%%%"},
        {"webhook-id": "another"},
        {"webhook-timestamp": "soon"},
        {"webhook-timestamp": "0"},
    ],
)
def test_a_wrong_signature_files_nothing(
    partner: Partner, customer: Person, db: Connection, changes: dict[str, str]
) -> None:
    data = ticket(customer)
    assert_problem(partner.send({"type": "ticket", "data": data}, changes), 401, "unauthenticated")
    found = db.execute(
        "select from desk_private.partner_requests where external_id = %s", [data["external_id"]]
    )
    assert found.rowcount == 0


def test_an_old_message_is_not_taken_again(partner: Partner, customer: Person) -> None:
    answer = partner.send({"type": "ticket", "data": ticket(customer)}, age=600)
    assert_problem(answer, 401, "unauthenticated")


def test_secrets_are_changed_without_a_gap_and_integrations_do_not_share_ids(
    serve: Serve, customer: Person
) -> None:
    old, new, others = (f"whsec_{b64encode(uuid4().bytes + uuid4().bytes).decode()}" for _ in range(3))
    data = ticket(customer)
    with serve("receive-webhook", PARTNER_SECRETS=f"acme={old},{new}\nzenith={others}\n") as url:
        confirmations = [
            Partner(f"{url}/tickets", secret).filed("ticket", **data) for secret in (old, new, others)
        ]
    assert confirmations[0]["ticket_id"] == confirmations[1]["ticket_id"] != confirmations[2]["ticket_id"]


def test_an_integration_has_a_quota_and_repeating_costs_nothing(
    partner: Partner, customer: Person, db: Connection
) -> None:
    first = ticket(customer)
    partner.filed("ticket", **first)
    db.execute("update desk_private.quota_limits set most = 0 where kind = 'webhook'")
    try:
        answer = partner.send({"type": "ticket", "data": ticket(customer)})
        assert_problem(answer, 429, "quota_exceeded")
        partner.filed("ticket", **first)
    finally:
        db.execute("update desk_private.quota_limits set most = 1000 where kind = 'webhook'")


def test_malformed_secrets_are_told_to_the_operator(serve: Serve) -> None:
    with serve("receive-webhook", PARTNER_SECRETS="acme=secret") as url:
        assert_problem(httpx.post(f"{url}/tickets", json={}, trust_env=False), 503, "not_configured")
