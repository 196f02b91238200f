"""Conversations that outgrow the search index or the patience of the desk go on, or are told why not."""

import base64
import random
import string
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from local.people import Client, Person
from tests.payloads import detail, file

REPLIES = 61
LENGTH = 20_000
THAI = [chr(code) for code in (*range(0x0E01, 0x0E2F), *range(0x0E40, 0x0E46))]


def links(chance: random.Random) -> str:
    lines = []
    for _ in range(30):
        name = "".join(chance.choices(string.ascii_lowercase, k=60))
        signature = "".join(chance.choices("abcdef0123456789", k=600))
        lines.append(f"https://files.example.com/a/{name}?X-Signature={signature}")
    return "\n".join(lines)[:LENGTH]


def thai(chance: random.Random) -> str:
    """Words of 500 characters: three bytes each, and no blank inside a sentence."""
    return " ".join("".join(chance.choices(THAI, k=500)) for _ in range(40))[:LENGTH]


def encoded(chance: random.Random) -> str:
    return base64.b64encode(chance.randbytes(LENGTH)).decode()[:LENGTH]


def four_byte_words(chance: random.Random) -> str:
    """The most bytes that 20,000 characters can bring into the index."""
    return " ".join("".join(chr(chance.randrange(0x20000, 0x2A6D0)) for _ in range(500)) for _ in range(40))[
        :LENGTH
    ]


@pytest.mark.parametrize("text", [links, thai, encoded, four_byte_words])
def test_a_reply_is_kept_whether_or_not_it_can_be_searched(
    api: Client, agent: Person, customer: Person, ticket: str, text: Callable[[random.Random], str]
) -> None:
    chance = random.Random(text.__name__)
    for number in range(REPLIES):
        response = api(agent).post(f"/add-message/{ticket}", json={"body": text(chance)})
        assert response.status_code == 200, (number, response.text[:200])
    answered = api(customer).post(f"/add-message/{ticket}", json={"body": text(chance)})
    assert answered.status_code == 200, answered.text[:200]


def test_a_hand_over_that_cannot_be_searched_is_filed(api: Client, rest: Client, customer: Person) -> None:
    """Straight at the store, which counts characters, since the functions take 256 KiB."""
    chance = random.Random(1)
    talk = [{"author": "customer", "body": four_byte_words(chance)[:16_000]} for _ in range(15)]
    given = {"conversation_id": "c", "subject": "s", "summary": "It broke", "transcript": talk}
    response = rest(customer).post("/rpc/create_transfer", json=given)
    assert response.status_code == 200, response.text[:300]
    messages = detail(api(customer), response.json()["ticket_number"])["messages"]
    assert len([message for message in messages if message["is_transcript"]]) == len(talk)


def resolve(api: Client, agent: Person, ticket: str) -> None:
    changed = api(agent).patch(f"/admin-update/{ticket}", json={"status": "resolved"})
    assert changed.status_code == 200, changed.text


def test_ratings_without_end_are_refused_in_time(
    api: Client, agent: Person, customer: Person, ticket: str
) -> None:
    resolve(api, agent, ticket)
    answers = [
        api(customer).post(f"/add-message/{ticket}/rating", json={"rating": 1 + n % 5}) for n in range(100)
    ]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) == 40
    assert all(int(answer.headers["retry-after"]) > 0 for answer in refused)
    rated = [event for event in detail(api(agent), ticket)["timeline"] if event["type"] == "rated"]
    assert len(rated) == 60


def test_the_same_rating_again_is_no_event(api: Client, agent: Person, customer: Person, ticket: str) -> None:
    resolve(api, agent, ticket)
    for rating in (4, 4, 5, 5):
        given = {"rating": rating, "comment": "fine"}
        assert api(customer).post(f"/add-message/{ticket}/rating", json=given).status_code == 200
    rated = [event for event in detail(api(agent), ticket)["timeline"] if event["type"] == "rated"]
    assert len(rated) == 2


def test_closing_and_opening_without_end_is_refused_in_time(
    api: Client, agent: Person, customer: Person, ticket: str
) -> None:
    def close() -> httpx.Response:
        resolve(api, agent, ticket)
        return api(customer).post(f"/add-message/{ticket}/close", json={})

    def open_again() -> httpx.Response:
        return api(agent).patch(f"/admin-update/{ticket}", json={"status": "open"})

    statuses: list[int] = []
    for _ in range(62):
        statuses.append(close().status_code)
        open_again()
    assert statuses[:60] == [200] * 60
    assert statuses[60:] == [429] * 2


def test_the_quota_of_a_token_is_the_tickets_own(api: Client, agent: Person, db: Any) -> None:
    """An anonymous requester holds a token and no account; the ticket's own quota counts."""
    token = "t" * 43
    filed = file(api(agent), "support")["ticket_number"]
    db.execute(
        "insert into desk_private.ticket_tokens select id, desk_private.sha256(%s), true from desk.support_tickets "
        "where ticket_number = %s",
        [token, filed],
    )
    resolve(api, agent, filed)
    stranger = api(None)
    answers = [
        stranger.post(
            f"/add-message/{filed}/rating", json={"rating": 3}, headers={"X-Ticket-Token": token}
        ).status_code
        for _ in range(62)
    ]
    assert answers == [200] * 60 + [429] * 2
