"""Hides hostile text in headers, paths, filters and bodies: it stays text, costs little and is not logged."""

import json
import socket
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from deploy.table import read_table
from local.people import Client, Person, RunningStack
from tests.assertions import assert_problem
from tests.payloads import PAYLOADS, file, send

HIDDEN = [
    "')) or true --",
    "'; select pg_sleep(9) --",
    "x' union select 1 --",
    "%",
    "_",
    "*",
    "eq.x",
    "not.is.null",
    "in.(open,closed)",
    "or=(status.eq.open)",
    'x&select=*"&limit=1000',
    "{a,b}",
    '"',
    "\\",
    "\\'",
    "$1",
    "%s",
    "%1$I",
    "{0}",
    "${x}",
    "(select version())",
    "a:* | b:*",
    "!((",
    "\u202e",
    "\x00",
    "\r\nX-Evil: 1",
    "9" * 200,
    "-" + "9" * 200,
    "1e999999999",
    "'" * 250,
]
FILTERS = [
    "scope",
    "status",
    "priority",
    "category",
    "assigned_to",
    "escalated",
    "created_after",
    "created_before",
    "context.order_id",
    "q",
    "sort",
    "limit",
    "cursor",
    "offset",
    "page",
]
# Each is answered in time that grows with its length, or one client holds a core for minutes.
LONG: dict[str, dict[str, Any]] = {
    "an address of many dots": {"reporter_email": "a@" + "a." * 120},
    "an address of many ats": {"reporter_email": "@" * 250},
    "a URL of many colons": {"conversation_link": "https://" + "a:" * 1000 + "@"},
    "a URL of brackets": {"conversation_link": "https://[" + ":" * 2000},
    "a URL of blanks": {"conversation_link": "https://a/" + " " * 2000},
    "blanks": {"selected_message_content": " " * 100_000},
    "line breaks": {"selected_message_content": "\n" * 9000 + "x"},
}
BODIES = {
    "a hundred thousand lists": b"[" * 100_000,
    "fifty thousand objects": b'{"payload":' * 20_000,
    "closed deep": b"[" * 50_000 + b"]" * 50_000,
    "a number without end": b'{"payload": ' + b"9" * 100_000 + b"}",
    "a number beyond numbers": b'{"payload": 1e999999}',
    "NaN": b'{"payload": NaN}',
    "half a character": b'{"payload": "\\ud800"}',
    "half a character in a key": b'{"\\udfff": 1}',
    "no UTF-8": b'{"payload": "\xff\xfe"}',
    "UTF-16": '{"payload": 1}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "NUL": b"\x00",
    "keys by the thousand": json.dumps({f"k{n}": n for n in range(15_000)}).encode(),
    "the same key twice": b'{"payload": {"issue_type": "other"}, "payload": {"issue_type": "bug"}}',
    "a prototype": b'{"__proto__": {"a": 1}, "constructor": 1, "__class__": 1}',
}


@pytest.mark.parametrize("moment", ["2026-01-01T00:00:00-23:51", "2026-01-01T00:00:00+16:00"])
def test_a_zone_that_the_store_does_not_know_is_told(moment: str, api: Client, customer: Person) -> None:
    response = api(customer).get("/list-tickets", params={"created_after": moment})
    assert_problem(response, 422, "invalid", "created_after")


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_shows_nobody_elses_tickets(name: str, api: Client, customer: Person, other: Person) -> None:
    asking = api(customer)
    mine = file(asking)["ticket_number"]
    file(api(other))
    for value in HIDDEN:
        response = asking.get("/list-tickets", params={name: value})
        if response.status_code == 200:
            assert {ticket["ticket_number"] for ticket in response.json()["tickets"]} <= {mine}
        else:
            assert_problem(response, 422, "invalid")


def test_the_name_of_a_filter_is_no_way_in(api: Client, customer: Person) -> None:
    mine = api(customer)
    for name in [*HIDDEN, *(f"context.{value}" for value in HIDDEN)]:
        response = mine.get("/list-tickets", params={name: "x"})
        assert_problem(response, 422, "invalid")


def test_a_path_names_a_ticket_or_nothing(api: Client, customer: Person, agent: Person) -> None:
    file(api(customer))
    desk = api(agent)
    names = [
        *HIDDEN,
        "SUP-\u0660\u0660\u0660\u0660\u0661",
        "SUP-00001'",
        "SUP-00001,SUP-00002",
        "sup-1",
        "../admin-update",
    ]
    for name in names:
        response = desk.get(f"/list-tickets/{quote(name, safe='')}")
        assert response.status_code == 404, name


def test_what_postgrest_would_listen_to_is_not_handed_on(
    api: Client, customer: Person, agent: Person
) -> None:
    number = file(api(customer))["ticket_number"]
    headers = {
        "Accept-Profile": "desk_private",
        "Content-Profile": "desk_private",
        "Prefer": "tx=rollback, return=headers-only, count=exact, max-affected=0",
        "Range": "0-0",
        "apikey": "sb_secret_x",
        "X-HTTP-Method-Override": "DELETE",
        "X-Forwarded-User": "admin",
        "Accept": "application/vnd.pgrst.plan",
        "Role": "service_role",
    }
    reply = api(customer).post(f"/add-message/{number}", json={"body": "Hello."}, headers=headers)
    assert reply.status_code == 200
    seen = api(agent).get(f"/list-tickets/{number}", headers=headers).json()
    assert [message["body"] for message in seen["messages"]] == ["Hello."]


@pytest.mark.parametrize("name", ["X-Request-Id", "Idempotency-Key", "Origin", "X-Ticket-Token"])
def test_a_header_adds_no_header_to_an_answer(name: str, stack: RunningStack) -> None:
    for value in ("x\r\nX-Evil: 1", "x\rX-Evil: 1", "x\nX-Evil: 1", "x\n X-Evil: 1", "x\x00", "é"):
        head = f"GET /list-tickets/categories HTTP/1.1\r\nHost: x\r\n{name}: {value}\r\nConnection: close\r\n\r\n"
        answer = raw(stack, head).partition(b"\r\n\r\n")[0].lower()
        assert answer.startswith(b"http/1.1 ")
        assert b"x-evil" not in answer
        assert b" 500 " not in answer.splitlines()[0]


@pytest.mark.parametrize("what", LONG)
def test_what_is_long_is_refused_in_good_time(what: str, api: Client, customer: Person) -> None:
    response = send(api(customer), "chatbot", **LONG[what])
    assert response.status_code in (200, 422)
    assert response.elapsed.total_seconds() < 3


@pytest.mark.parametrize(
    "text", ["report " * 2800, "not " * 4900, "a" * 20_000, "I have " * 2800, "'" * 20_000, "\u0301" * 20_000]
)
def test_a_conversation_of_nonsense_is_read_in_good_time(text: str, api: Client, customer: Person) -> None:
    mine = api(customer)
    for path, body in (
        ("/ai-escalation/companion", {"message": text}),
        ("/ai-escalation/analyze", {"messages": [{"role": "user", "content": text}]}),
    ):
        response = mine.post(path, json=body)
        assert response.status_code in (200, 422, 429), response.text
        assert response.elapsed.total_seconds() < 3


@pytest.mark.parametrize("what", BODIES)
def test_a_body_that_is_no_request_is_told_as_one(what: str, api: Client, agent: Person) -> None:
    for path in ("/create-ticket", "/admin-update/bulk", "/ai-escalation", "/ai-escalation/analyze"):
        response = api(agent).post(path, content=BODIES[what], headers={"Content-Type": "application/json"})
        assert_problem(
            response, response.status_code, "malformed_json" if response.status_code == 400 else "invalid"
        )
        assert response.status_code in (400, 422)


def test_deep_details_of_an_error_are_no_way_to_break_anything(api: Client, customer: Person) -> None:
    deep: Any = "x"
    for _ in range(150):
        deep = [deep]
    assert send(api(customer), "support", error_details=deep).status_code in (200, 400, 422)


def test_slow_clients_keep_nobody_waiting(stack: RunningStack, api: Client, customer: Person) -> None:
    """They send half a request each and go no further."""
    with ExitStack() as open_:
        for _ in range(60):
            slow = open_.enter_context(connected(stack))
            slow.sendall(
                f"POST /create-ticket HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {customer.token}\r\n"
                'Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"payload"'.encode()
            )
        assert file(api(customer))["ticket_number"]


@pytest.mark.last
def test_no_log_of_a_function_tells_who_wrote_or_what(
    stack: RunningStack, api: Client, customer: Person
) -> None:
    """After all that the other tests have sent, and what is sent here: refused, anonymous, and on the query string."""
    send(api(customer), "support", category="No such category of ada@example.com")
    send(api(None), "contact", description="My number is 4111 1111 1111 1111")
    api(customer).get(
        "/list-tickets", params={"q": "Charged twice ada@example.com", "status": "ada@example.com"}
    )
    logs = stack.stack.settings.home / "log"
    written = {function.name: (logs / f"{function.name}.log").read_text() for function in read_table()}
    assert all(
        '"status"' in text for name, text in written.items() if name in ("create-ticket", "list-tickets")
    )
    secrets = [stack.secret_key, stack.keys.linear_key, customer.token, "eyJ"]
    texts = [
        PAYLOADS[kind]["description"].splitlines()[0] for kind in ("other", "bug", "support", "feedback")
    ]
    for name, text in written.items():
        for word in ("@example.com", "4111 1111", "Charged twice", *secrets, *texts):
            assert word not in text, (name, [line for line in text.splitlines() if word in line][:2])


def connected(stack: RunningStack) -> socket.socket:
    address = urlsplit(stack.functions_url)
    return socket.create_connection((str(address.hostname), address.port or 80), timeout=10)


def raw(stack: RunningStack, request: str) -> bytes:
    """The answer to these bytes, which no client would send."""
    with connected(stack) as connection:
        connection.sendall(request.encode())
        received = bytearray()
        while chunk := connection.recv(65536):
            received += chunk
        return bytes(received)
