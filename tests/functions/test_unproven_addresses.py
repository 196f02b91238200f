"""Contact forms name an address that nobody has proven: what its sender reads, and whom it may mail."""

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from deploy.migrate import Connection
from local.people import Client, Person
from tests.assertions import assert_problem
from tests.payloads import file, send

SECRET = "On file we have this."


@pytest.fixture(autouse=True)
def new_network(db: Connection) -> Iterator[None]:
    """Gives the tests a quota of their own."""
    db.execute("delete from desk_private.quotas where kind like 'anonymous%'")
    yield
    db.execute("delete from desk_private.quotas where kind like 'anonymous%'")


@pytest.fixture
def form(api: Client) -> dict[str, Any]:
    return file(api(None), "contact", email=f"{uuid4().hex}@example.com")


@pytest.fixture
def link(form: dict[str, Any], db: Connection) -> str:
    """Returns the token that is mailed to the address."""
    row: Any = db.execute(
        "select data ->> 'access_token' from desk_private.outbox where ticket_id = %s and kind = 'created'",
        [form["ticket_id"]],
    ).fetchone()
    return str(row[0])


def read(api: Client, form: dict[str, Any], token: str) -> dict[str, Any]:
    response = api(None).get(f"/list-tickets/{form['ticket_number']}", headers={"X-Ticket-Token": token})
    detail: dict[str, Any] = response.raise_for_status().json()
    return detail


def answer(api: Client, agent: Person, form: dict[str, Any]) -> None:
    number, desk = form["ticket_number"], api(agent)
    reply = {"body": SECRET, "attachments": ["https://files.example.com/on-file.pdf"]}
    desk.post(f"/add-message/{number}", json=reply).raise_for_status()
    change = {"status": "resolved", "resolution": SECRET}
    desk.patch(f"/admin-update/{number}", json=change).raise_for_status()


def test_the_link_in_the_mail_reads_the_answer(
    api: Client, agent: Person, form: dict[str, Any], link: str
) -> None:
    answer(api, agent, form)
    detail = read(api, form, link)
    assert detail["resolution"] == SECRET
    assert SECRET in [message["body"] for message in detail["messages"]]
    assert detail["attachments"]


def test_the_token_in_the_response_reads_what_was_filed_and_adds_to_it(
    api: Client, agent: Person, form: dict[str, Any]
) -> None:
    token = form["access_token"]
    added = api(None).post(
        f"/add-message/{form['ticket_number']}", json={"body": "And?"}, headers={"X-Ticket-Token": token}
    )
    assert added.status_code == 200, added.text
    answer(api, agent, form)
    detail = read(api, form, token)
    assert detail["status"] == "resolved"
    assert [message["body"] for message in detail["messages"] if message["author"] == "customer"] == ["And?"]
    assert SECRET not in str(detail)
    assert "on-file" not in str(detail)


def test_the_two_tokens_differ_and_neither_follows_from_the_other(form: dict[str, Any], link: str) -> None:
    assert re.fullmatch(r"[\w-]{43}", link)
    assert link != form["access_token"]


def test_agents_see_whether_an_address_is_proven(
    api: Client, agent: Person, customer: Person, form: dict[str, Any]
) -> None:
    known = file(api(customer))["ticket_number"]
    verified = {
        number: api(agent).get(f"/list-tickets/{number}").json()["requester_verified"]
        for number in (form["ticket_number"], known)
    }
    assert verified == {form["ticket_number"]: False, known: True}
    assert "requester_verified" not in api(customer).get(f"/list-tickets/{known}").json()


def test_one_address_is_mailed_five_times_an_hour_from_any_networks(api: Client, db: Connection) -> None:
    victim = f"Victim-{uuid4().hex}@example.com"
    for n in range(6):
        db.execute("delete from desk_private.quotas where who like 'network:%'")
        response = send(api(None), "contact", email=victim if n % 2 else victim.lower())
        if n < 5:
            assert response.status_code == 200, response.text
    assert_problem(response, 429, "quota_exceeded")
    assert send(api(None), "contact", email=f"{uuid4().hex}@example.com").status_code == 200
    kept = db.execute("select who from desk_private.quotas where kind = 'anonymous_recipient'").fetchall()
    assert all(re.fullmatch("mail:[0-9a-f]{64}", str(who)) for (who,) in kept)
