"""Sends mails: to whom, how often, and under failures of the mail server."""

import os
import re
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from deploy.migrate import Connection
from local.mail import run_mail
from local.people import PROFILE, Client, NewPerson, Person, RunningStack, Serve
from local.ports import free_ports
from tests.assertions import assert_problem
from tests.mailbox import Mailbox, bodies

Ticket = dict[str, Any]

NOTIFICATIONS = "/notifications"


@pytest.fixture(autouse=True)
def _alone_at_the_desk(db: Connection) -> None:
    """Removes the outbox rows of other tests, and the agents they would go to."""
    db.execute("update desk_private.outbox set state = 'done', payload = null where state <> 'done'")
    db.execute("update desk.notifications set mail_due = false where mail_due")
    db.execute("delete from desk_private.staff_news")
    db.execute("update desk.support_agents set active = false where active")
    db.execute("delete from desk_private.quotas where kind like 'anonymous%'")


@pytest.fixture
def mailbox(stack: RunningStack) -> Iterator[Mailbox]:
    box = Mailbox(stack.stack.settings.home / "mail")
    yield box
    box.take_everything()


class Desk:
    """Causes mails, and sends them."""

    def __init__(self, stack: RunningStack, db: Connection, api: Client, rest: Client) -> None:
        self.stack, self.db, self._api, self._rest = stack, db, api, rest
        self._address = f"{stack.functions_url}/send-notifications"
        self._token = stack.identity_token(self._address)

    def send_once(self, url: str | None = None) -> dict[str, Any]:
        """One call as the scheduler makes it, to our own process or to another one."""
        headers = {"Authorization": f"Bearer {self._token}"}
        answer = httpx.post(url or self._address, headers=headers, timeout=120, trust_env=False)
        assert answer.status_code == 200, answer.text
        counted: dict[str, Any] = answer.json()
        assert counted.pop("success") is True
        return counted

    def send(self, url: str | None = None) -> Counter[str]:
        """Sends all rows at once, without their backoff."""
        total: Counter[str] = Counter()
        more = True
        while more:
            self.db.execute("select desk_private.fan_out_news()")
            self.db.execute("update desk_private.outbox set available_at = now() where state = 'pending'")
            counted = self.send_once(url)
            more = counted.pop("more")
            total += Counter(counted)
            more = more and not counted["retried"]
        return total

    def rpc(self, person: Person, name: str, **arguments: Any) -> Any:
        answer = self._rest(person).post(f"/rpc/{name}", json=arguments)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def serve_rpc(self, name: str, **arguments: Any) -> Any:
        """As a function with the secret key."""
        headers = {"apikey": self.stack.secret_key, **PROFILE}
        url = f"{self.stack.supabase_url}/rest/v1/rpc/{name}"
        return httpx.post(url, json=arguments, headers=headers, trust_env=False).raise_for_status().json()

    def file(self, person: Person | None, **payload: Any) -> Ticket:
        usual = {
            "issue_type": "support",
            "subject": "Charged twice",
            "description": "Two charges on my card.",
        }
        answer = self.submit(person, usual | payload)
        assert answer.status_code == 200, answer.text
        ticket: Ticket = answer.json()
        return ticket

    def submit(self, person: Person | None, payload: dict[str, Any]) -> httpx.Response:
        """A ticket that may be refused."""
        return self._api(person).post("/create-ticket", json={"payload": payload})

    def ask(self, email: str, **form: Any) -> Ticket:
        """By the contact form, signed in as nobody."""
        return self.file(None, **{"issue_type": "contact", "email": email} | form)

    def reply(self, agent: Person, ticket: Ticket, body: str) -> None:
        answer = self._api(agent).post(f"/add-message/{ticket['ticket_number']}", json={"body": body})
        assert answer.status_code == 200, answer.text

    def update(self, agent: Person, ticket: Ticket, *, notify_customer: bool = True, **changes: Any) -> None:
        ticket_number = ticket["ticket_number"]
        self.rpc(
            agent, "update_ticket", ticket=ticket_number, changes=changes, notify_customer=notify_customer
        )


@pytest.fixture
def desk(stack: RunningStack, db: Connection, api: Client, rest: Client) -> Desk:
    return Desk(stack, db, api, rest)


def test_who_files_a_ticket_gets_a_mail(desk: Desk, customer: Person, mailbox: Mailbox) -> None:
    ticket = desk.file(customer)

    assert desk.send_once() == {"sent": 1, "retried": 0, "dead": 0, "skipped": 0, "more": False}
    [mail] = mailbox.to(customer.email)
    assert mail["Subject"] == f"[{ticket['ticket_number']}] Charged twice"
    assert mail["From"] == "support@example.com"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert f"http://localhost:5173/tickets/{ticket['ticket_number']}" in bodies(mail)[0]
    assert desk.send() == Counter()


def test_an_agents_reply_reaches_the_requester_in_the_thread_of_the_ticket(
    desk: Desk, customer: Person, agent: Person, mailbox: Mailbox
) -> None:
    ticket = desk.file(customer)
    desk.reply(agent, ticket, "Hello,\n\nwe have <refunded> one of them.")
    desk.send()

    created, replied = mailbox.to(customer.email)
    assert replied["In-Reply-To"] == replied["References"] == created["References"]
    assert replied["In-Reply-To"] == f"<{ticket['ticket_id']}@example.com>"
    assert replied["Subject"] == created["Subject"]
    assert replied["Message-ID"] != created["Message-ID"]
    text, html = bodies(replied)
    assert "Agent replied to your request" in text
    assert "> we have <refunded> one of them." in text
    assert "<refunded>" not in html
    assert "we have &lt;refunded&gt; one of them." in html


def test_the_requester_hears_of_status_assignment_and_the_decision_on_an_escalation(
    desk: Desk, customer: Person, agent: Person, admin: Person, mailbox: Mailbox
) -> None:
    ticket = desk.file(customer)
    desk.update(agent, ticket, assigned_to="me")
    desk.send()
    desk.update(agent, ticket, status="waiting_on_customer")
    desk.send()
    escalation = desk.rpc(
        customer, "request_escalation", ticket=ticket["ticket_number"], reason="My shop is closed."
    )
    desk.rpc(admin, "decide_escalation", escalation=escalation["escalation_id"], decision="approved")
    desk.update(agent, ticket, status="resolved", resolution="Both charges were undone.")
    desk.send()

    first_lines = [bodies(mail)[0].splitlines()[0] for mail in mailbox.to(customer.email)]
    assert first_lines == [
        "We have your request",
        "Agent is on it",
        "We need your answer",
        "We are treating it as more urgent",
        "This should be solved",
    ]
    assert "> Both charges were undone." in bodies(mailbox.to(customer.email)[-1])[0]


def test_a_visit_of_an_agent_is_at_most_two_mails(
    desk: Desk, customer: Person, agent: Person, mailbox: Mailbox
) -> None:
    ticket = desk.file(customer)
    desk.send()
    desk.update(agent, ticket, assigned_to="me", status="in_progress")
    assert desk.send_once()["sent"] == 0  # a notice waits for what follows
    desk.reply(agent, ticket, "One of them was undone.")
    desk.update(agent, ticket, status="resolved", resolution="Both charges were undone.")
    desk.send()

    first_lines = [bodies(mail)[0].splitlines()[0] for mail in mailbox.to(customer.email)[1:]]
    assert first_lines == ["Agent replied", "This should be solved"]


def test_taking_a_ticket_and_working_on_it_is_one_mail(
    desk: Desk, customer: Person, agent: Person, mailbox: Mailbox
) -> None:
    ticket = desk.file(customer)
    desk.update(agent, ticket, assigned_to="me", status="in_progress")
    desk.send()
    ticket = desk.file(customer)
    desk.reply(agent, ticket, "Which ones?")
    desk.update(agent, ticket, status="waiting_on_customer")
    desk.send()

    first_lines = [bodies(mail)[0].splitlines()[0] for mail in mailbox.to(customer.email)]
    created = "We have your request"
    assert first_lines == [created, "Agent is on it", created, "Agent replied"]


def test_an_assignment_that_is_undone_or_changed_is_told_once_at_most(
    desk: Desk, customer: Person, agent: Person, admin: Person, mailbox: Mailbox
) -> None:
    undone, changed = desk.file(customer), desk.file(customer)
    for assigned_to in ("me", None):
        desk.update(agent, undone, assigned_to=assigned_to)
    for assigned_to in ("me", str(admin.id), "me", str(admin.id)):
        desk.update(agent, changed, assigned_to=assigned_to)
    desk.send()

    notices = [mail for mail in mailbox.to(customer.email) if "is on it" in bodies(mail)[0]]
    assert [str(mail["Subject"])[1:10] for mail in notices] == [changed["ticket_number"]]
    assert bodies(notices[0])[0].startswith("Admin is on it")


@pytest.mark.parametrize(("tickets", "mails"), [(5, 5), (6, 1), (25, 1)])
def test_a_bulk_on_many_tickets_of_one_customer_is_one_mail(
    desk: Desk, db: Connection, customer: Person, agent: Person, mailbox: Mailbox, tickets: int, mails: int
) -> None:
    filed = []
    for _ in range(tickets):
        filed.append(desk.file(customer)["ticket_number"])
        db.execute("delete from desk_private.quotas where who = %s", (str(customer.id),))
    desk.send()
    confirmations = len(mailbox.to(customer.email))
    desk.rpc(agent, "update_tickets", tickets=filed, changes={"assigned_to": "me", "status": "in_progress"})
    mailbox.treat(str(customer.email), "drop")
    desk.send()
    mailbox.take_everything()
    desk.send()

    news = mailbox.to(customer.email)[confirmations:]
    assert len({str(mail["Message-ID"]) for mail in news}) == mails
    if mails == 1:
        text, _ = bodies(news[-1])
        assert news[-1]["Subject"] == f"News about {tickets} of your requests"
        assert all(f"{number}  Charged twice\nwe are working on it" in text for number in filed)


def test_an_agent_can_change_a_ticket_without_a_word_to_the_customer(
    desk: Desk, customer: Person, agent: Person, mailbox: Mailbox
) -> None:
    ticket = desk.file(customer)
    desk.update(agent, ticket, notify_customer=False, status="in_progress", assigned_to="me")
    desk.send()

    assert len(mailbox.to(customer.email)) == 1


def test_an_internal_note_is_mailed_to_nobody(
    desk: Desk, customer: Person, agent: Person, mailbox: Mailbox
) -> None:
    ticket = desk.file(customer)
    desk.rpc(agent, "add_message", ticket=ticket["ticket_number"], body="A fraudster?", is_internal=True)
    desk.send()

    assert not any("fraudster" in mail.as_string() for mail in mailbox.all())


def test_mail_goes_to_no_address_that_auth_has_not_verified(
    desk: Desk, person: NewPerson, mailbox: Mailbox
) -> None:
    claimant = person(email_confirmed_at=None)
    desk.file(claimant)

    assert desk.send() == Counter(skipped=1)
    assert mailbox.to(claimant.email) == []


def test_a_thousand_breaches_are_one_mail_per_person(
    desk: Desk, db: Connection, customer: Person, agent: Person, admin: Person, mailbox: Mailbox
) -> None:
    db.execute(
        """
        insert into desk.support_tickets (customer_id, issue_type, category, subject, description, priority, context)
        select %s, 'support', (select slug from desk.ticket_categories limit 1), 'Late ' || n, 'Where is it?', 'high', '{}'
        from generate_series(1, 1000) n
        """,
        (customer.id,),
    )
    db.execute("delete from desk_private.staff_news")
    db.execute(
        """
        update desk_private.ticket_clocks c set first_response_due = now() - interval '1 hour', next_at = now()
        from desk.support_tickets t where t.id = c.ticket_id and t.customer_id = %s
        """,
        (customer.id,),
    )
    assert desk.serve_rpc("sweep", batch=5000)["breached"] >= 1000
    desk.send()

    for somebody in (agent, admin):
        [mail] = mailbox.to(somebody.email)
        assert mail["Subject"] == "1,000 tickets have missed a deadline"
        text, _ = bodies(mail)
        assert text.count("deadline missed") == 50
        assert "And 950 more, in your queue." in text


def test_a_digest_begins_with_what_matters_most(
    desk: Desk, customer: Person, agent: Person, mailbox: Mailbox, db: Connection
) -> None:
    late, fresh = desk.file(customer, subject="Latecomer"), desk.file(customer, subject="Newcomer")
    query = "insert into desk_private.staff_news (kind, ticket_id) values ('breached', %s)"
    db.execute("select desk_private.fan_out_news()")
    db.execute(query, [late["ticket_id"]])
    desk.send()
    [digest] = mailbox.to(agent.email)
    assert digest["Subject"] == "1 ticket has missed a deadline"
    text = bodies(digest)[0]
    assert text.index("deadline missed") < text.index(fresh["ticket_number"])


def test_a_digest_gathers_what_has_come_up_and_leaves_out_what_was_read(
    desk: Desk, customer: Person, agent: Person, mailbox: Mailbox
) -> None:
    desk.file(customer, subject="Seen in the app")
    desk.send_once()
    assert mailbox.to(agent.email) == []  # a digest waits a minute for more
    desk.rpc(agent, "read_notifications")
    first, second = (desk.file(customer, subject=subject) for subject in ("First", "Second"))
    desk.send()
    desk.send()

    [mail] = mailbox.to(agent.email)
    text, _ = bodies(mail)
    assert mail["Subject"] == "2 new tickets came in"
    assert "Hello Agent," in text
    assert f"{first['ticket_number']}  First\nnew · medium priority · open\n" in text
    assert f"http://localhost:5173/tickets/{second['ticket_number']}" in text
    assert "Seen in the app" not in text


def test_people_read_their_own_notifications_only_and_mark_them_read(
    desk: Desk, rest: Client, customer: Person, other: Person, agent: Person
) -> None:
    ticket = desk.file(customer)
    desk.reply(agent, ticket, "We are looking into it.")

    [notification] = rest(customer).get(NOTIFICATIONS).json()
    assert (notification["kind"], notification["data"]["ticket_number"]) == (
        "agent_replied",
        ticket["ticket_number"],
    )
    assert notification["read_at"] is None
    assert rest(other).get(NOTIFICATIONS).json() == []
    assert rest(None).get(NOTIFICATIONS).status_code in (401, 403)
    assert desk.rpc(other, "read_notifications", ids=[notification["id"]]) == {"read": 0}
    assert desk.rpc(customer, "read_notifications", ids=[notification["id"]]) == {"read": 1}
    assert rest(customer).get(NOTIFICATIONS).json()[0]["read_at"]


def test_when_the_mail_server_was_down_every_mail_arrives_once_it_is_back(
    desk: Desk, db: Connection, serve: Serve, person: NewPerson, tmp_path: Path
) -> None:
    people = [person() for _ in range(5)]
    tickets = [desk.file(one) for one in people]
    [port] = free_ports(1)
    with serve("send-notifications", SMTP_URL=f"smtp://127.0.0.1:{port}") as sender:
        assert desk.send_once(sender) == {"sent": 0, "retried": 5, "dead": 0, "skipped": 0, "more": True}
        errors = db.execute(
            "select last_error from desk_private.outbox where state = 'pending' and available_at > now() and kind = 'created'"
        ).fetchall()
        assert errors == [("smtp: ConnectionRefusedError",)] * 5
        with run_mail(tmp_path, port) as server:
            server.wait()
            assert desk.send_once(sender)["sent"] == 0  # not yet: they back off
            assert desk.send(sender)["sent"] == 5
            desk.send(sender)
    arrived = [str(mail["Subject"])[1:10] for mail in Mailbox(tmp_path / "mail").all()]
    assert sorted(arrived) == sorted(ticket["ticket_number"] for ticket in tickets)


def test_a_server_that_puts_mail_off_gets_it_later_and_in_order(
    desk: Desk, customer: Person, other: Person, agent: Person, mailbox: Mailbox
) -> None:
    ticket = desk.file(customer)
    for body in ("one", "two", "three"):
        desk.reply(agent, ticket, body)
    mailbox.treat(str(customer.email), "defer")
    desk.file(other)

    assert desk.send_once() == {"sent": 1, "retried": 1, "dead": 0, "skipped": 0, "more": False}
    assert len(mailbox.to(other.email)) == 1  # nobody waits for another ticket's mail
    assert desk.send()["retried"] == 1
    assert mailbox.to(customer.email) == []
    mailbox.take_everything()
    desk.send()

    created, *replies = [bodies(mail)[0] for mail in mailbox.to(customer.email)]
    assert created.startswith("We have your request")
    assert [text.split("> ")[1].split()[0] for text in replies] == ["one", "two", "three"]


def test_a_mail_whose_receipt_was_lost_comes_again_as_the_same_mail(
    desk: Desk, customer: Person, mailbox: Mailbox
) -> None:
    desk.file(customer)
    mailbox.treat(str(customer.email), "drop")
    assert desk.send_once()["retried"] == 1
    mailbox.take_everything()
    desk.send()

    first, second = mailbox.to(customer.email)
    assert first["Message-ID"] == second["Message-ID"]


def test_an_address_refused_for_good_is_a_dead_letter_that_an_admin_sees_and_retries(
    desk: Desk, rest: Client, customer: Person, agent: Person, admin: Person, mailbox: Mailbox
) -> None:
    ticket = desk.file(customer)
    desk.reply(agent, ticket, "Look into your spam folder.")
    mailbox.treat(str(customer.email), "refuse")
    assert desk.send()["dead"] == 2

    letters = desk.rpc(admin, "list_dead_letters")["dead_letters"]
    ours = [letter for letter in letters if letter["ticket_number"] == ticket["ticket_number"]]
    assert [letter["kind"] for letter in ours] == ["created", "agent_replied"]
    assert ours[0]["error"] == "smtp: the recipient was refused with 550 5.1.1"
    assert ours[0]["recipient"] == customer.email
    assert rest(agent).post("/rpc/list_dead_letters", json={}).status_code != 200
    assert rest(customer).post("/rpc/retry_dead_letter", json={"id": ours[0]["id"]}).status_code != 200

    mailbox.take_everything()
    assert "sent" not in desk.send()
    desk.rpc(admin, "retry_dead_letter", id=ours[0]["id"])
    assert desk.send()["sent"] == 1
    [mail] = mailbox.to(customer.email)
    assert bodies(mail)[0].startswith("We have your request")


def test_a_dead_letter_is_addressed_anew(
    desk: Desk, db: Connection, customer: Person, admin: Person, mailbox: Mailbox
) -> None:
    desk.file(customer)
    mailbox.treat(str(customer.email), "refuse")
    assert desk.send()["dead"] == 1
    moved = f"moved-{uuid4().hex[:12]}@example.com"
    db.execute("update auth.users set email = %s where id = %s", (moved, customer.id))
    [letter] = desk.rpc(admin, "list_dead_letters")["dead_letters"]
    desk.rpc(admin, "retry_dead_letter", id=letter["id"])
    desk.send()

    assert len(mailbox.to(moved)) == 1


def test_two_senders_side_by_side_send_each_mail_once(
    desk: Desk, db: Connection, serve: Serve, person: NewPerson, mailbox: Mailbox
) -> None:
    people = [person() for _ in range(20)]
    for one in people:
        for _ in range(3):
            desk.file(one)
    with serve("send-notifications") as second, ThreadPoolExecutor(4) as at_once:
        sent = sum(answer["sent"] for answer in at_once.map(desk.send_once, [None, second, None, second]))

    assert sent == 60
    assert {len(mailbox.to(one.email)) for one in people} == {3}


def test_what_a_sender_had_taken_when_it_died_is_sent_by_the_next_one(
    desk: Desk, db: Connection, serve: Serve, customer: Person, mailbox: Mailbox, tmp_path: Path
) -> None:
    desk.file(customer)
    leased = "select count(*) from desk_private.outbox where locked_until > now() and state = 'pending'"
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        serve("send-notifications", SMTP_URL=f"smtp://127.0.0.1:{silent.getsockname()[1]}") as dying,
        ThreadPoolExecutor(1) as caller,
    ):
        call = caller.submit(desk.send_once, dying)
        _wait_until(lambda: db.execute(leased).fetchone() == (1,))
        pid_file = tmp_path / dying.rpartition(":")[2] / "run" / "send-notifications.pid"
        os.killpg(int(pid_file.read_text()), signal.SIGKILL)
        assert call.exception(timeout=30)

    assert "sent" not in desk.send()  # its lease still holds
    db.execute(
        "update desk_private.outbox set locked_until = now() - interval '1 second' where state = 'pending'"
    )
    assert desk.send()["sent"] == 1
    assert len(mailbox.to(customer.email)) == 1


def test_a_sender_that_comes_too_late_settles_nothing(desk: Desk, db: Connection, customer: Person) -> None:
    desk.file(customer)
    [row] = desk.serve_rpc("claim_mail")["rows"]
    db.execute(
        "update desk_private.outbox set locked_until = now() - interval '1 second' where id = %s",
        (row["id"],),
    )
    [again] = desk.serve_rpc("claim_mail")["rows"]
    settle = {"row_id": row["id"], "outcome": "dead"}

    assert again["payload"] == row["payload"]
    assert desk.serve_rpc("settle_outbox", **settle, token=row["lease_token"]) == {"settled": False}
    assert desk.serve_rpc("settle_outbox", **settle, token=again["lease_token"]) == {"settled": True}


def test_what_is_sent_is_frozen_at_the_first_attempt(
    desk: Desk, db: Connection, customer: Person, agent: Person, mailbox: Mailbox
) -> None:
    ticket = desk.file(customer)
    desk.send()
    desk.reply(agent, ticket, "Done.")
    mailbox.treat(str(customer.email), "defer")
    desk.send()
    db.execute("update desk.support_agents set display_name = 'Renamed' where user_id = %s", (agent.id,))
    mailbox.take_everything()
    desk.send()

    replied = mailbox.to(customer.email)[-1]
    assert bodies(replied)[0].startswith("Agent replied\n")


def test_after_a_day_of_failures_a_mail_is_parked_and_not_sent_a_second_time(
    desk: Desk, db: Connection, customer: Person, mailbox: Mailbox
) -> None:
    desk.file(customer)
    mailbox.treat(str(customer.email), "defer")
    desk.send()
    db.execute(
        "update desk_private.outbox set first_attempt_at = now() - interval '1 day' where state = 'pending' and kind = 'created'"
    )
    desk.send()

    states = "select state, last_error from desk_private.outbox where kind = 'created' and state <> 'done'"
    assert db.execute(states).fetchall() == [("dead", "smtp: the recipient was refused with 451 4.3.0")]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("subject", "Late\r\nBcc: everybody@example.com\r\n\r\nBuy"),
        ("subject", "Late\u2028Bcc: everybody@example.com"),
        ("reporter_name", 'Eve\r\nBcc: everybody@example.com, "<eve@example.com>'),
    ],
)
def test_nobody_writes_headers_through_a_name_or_a_subject(
    desk: Desk, customer: Person, mailbox: Mailbox, field: str, value: str
) -> None:
    issue_type = "support" if field == "subject" else "other"
    title = {"title": "Late"} if issue_type == "other" else {}
    form = {"issue_type": issue_type, "description": "Help", field: value} | title
    answer = desk.submit(customer, form)
    if answer.status_code == 422:  # refused at the door is as good
        return
    desk.send()

    [mail] = mailbox.to(customer.email)
    assert mail["Bcc"] is None
    assert len(mail.get_all("To", [])) == len(mail["To"].addresses) == 1
    assert set(mail.keys()) <= EXPECTED_HEADERS


@pytest.mark.parametrize(
    "template", [None, "Hello {{customer_name}}, about {{subject}} ({{ticket_number}}): wait."]
)
def test_the_contact_form_sends_nobody_a_word_of_its_sender(
    desk: Desk, db: Connection, agent: Person, mailbox: Mailbox, template: str | None
) -> None:
    slug = f"t{uuid4().hex[:12]}"
    category = f"c{uuid4().hex[:12]}"
    if template:
        db.execute(
            "insert into desk.reply_templates (slug, name, body) values (%s, 'T', %s)", (slug, template)
        )
    db.execute(
        "insert into desk.ticket_categories (slug, name, auto_reply) values (%s, 'Category', %s)",
        (category, slug if template else None),
    )
    victim = f"victim-{uuid4().hex[:12]}@example.com"
    words = {"name": "Spamname", "subject": "Spamsubject", "description": "Spamtext"}
    ticket = desk.ask(victim, category=category, **words)
    desk.update(agent, ticket, status="waiting_on_customer")
    desk.send()
    desk.reply(agent, ticket, "Thank you.")
    desk.update(agent, ticket, status="resolved")
    desk.send()

    mails = mailbox.to(victim)
    assert len(mails) == 4
    for mail in mails:
        assert "spam" not in _decoded(mail).lower()
    created, *others = [_decoded(mail) for mail in mails]
    number = ticket["ticket_number"]
    [token] = set(re.findall(rf"http://localhost:5173/tickets/{number}#token=([\w-]{{43}})", created))
    assert not any(token in mail for mail in others)
    assert not any(ticket["access_token"] in _decoded(mail) for mail in mails)
    assert (f"Hello there, about your request ({number}): wait." in created) == bool(template)
    [digest] = mailbox.to(agent.email)
    assert "Spamsubject" in _decoded(digest)  # staff do read it


def test_the_desk_forgets_the_token_of_an_anonymous_ticket_once_its_mail_is_sent(
    desk: Desk, db: Connection, mailbox: Mailbox
) -> None:
    address = f"{uuid4().hex[:12]}@example.com"
    ticket = desk.ask(address)
    desk.send()

    [token] = set(re.findall(r"#token=([\w-]{43})", _decoded(mailbox.to(address)[0])))
    kept = "select count(*) from desk_private.outbox o where to_jsonb(o)::text like '%%' || %s || '%%'"
    for secret in (token, ticket["access_token"]):
        assert db.execute(kept, (secret,)).fetchone() == (0,)


def test_the_log_holds_no_address_and_nobodys_words(
    desk: Desk, serve: Serve, customer: Person, mailbox: Mailbox, tmp_path: Path
) -> None:
    desk.file(customer, subject="A secret subject")
    mailbox.treat(str(customer.email), "refuse")
    with serve("send-notifications") as sender:
        assert desk.send(sender)["dead"] == 1
        [log] = tmp_path.rglob("send-notifications.log")
    said = log.read_text()
    assert "smtp: the recipient was refused with 550 5.1.1" in said
    assert str(customer.email) not in said
    assert "secret" not in said


def test_a_sender_that_is_not_configured_says_so_and_takes_nothing(
    desk: Desk, db: Connection, serve: Serve, customer: Person
) -> None:
    desk.file(customer)
    with serve("send-notifications", SMTP_URL=None) as sender:
        token = desk.stack.identity_token(f"{desk.stack.functions_url}/send-notifications")
        answer = httpx.post(sender, headers={"Authorization": f"Bearer {token}"}, trust_env=False)
    assert_problem(answer, 503, "not_configured")
    attempts = "select max(attempts) from desk_private.outbox where state = 'pending'"
    assert db.execute(attempts).fetchone() == (0,)


EXPECTED_HEADERS = {
    "From",
    "To",
    "Subject",
    "Date",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "Message-ID",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "Content-Type",
}


def _decoded(mail: EmailMessage) -> str:
    return "\n".join([*(f"{name}: {value}" for name, value in mail.items()), *bodies(mail)])


def _wait_until(it_is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not it_is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)
