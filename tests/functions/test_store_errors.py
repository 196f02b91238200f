"""Errors of the store as PostgREST really answers them, and what callers get."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from deploy.migrate import Connection
from local.people import Client, Person, RunningStack
from shared.errors import Problem, from_store
from tests.assertions import assert_problem
from tests.payloads import PAYLOADS, send

SECRET = "a-secret-of-ada"
CAUSES = {
    "2201B": "perform 'x' ~ ('(' || 'a-secret-of-ada');",
    "23502": "insert into pg_temp.things values (null, 'a-secret-of-ada');",
    "23503": "insert into pg_temp.parts values ('a-secret-of-ada');",
    "23505": "insert into pg_temp.things values ('a-secret-of-ada'), ('a-secret-of-ada');",
    "23514": "insert into pg_temp.things values ('a-secret-of-ada', 'bad');",
    "42501": "perform 'a-secret-of-ada' from auth.users;",
    "54000": "perform to_tsvector('simple', string_agg(md5(n::text), ' ')) from generate_series(1, 40000) n;",
    "54001": "perform desk.endless('a-secret-of-ada');",
    "22P02": "perform 'a-secret-of-ada'::integer;",
    "P0001": "raise exception 'a-secret-of-ada';",
}
EXPECTED = {
    "2201B": (422, "invalid"),
    "23502": (422, "invalid"),
    "23503": (409, "conflict"),
    "23505": (409, "conflict"),
    "23514": (422, "invalid"),
    "42501": (403, "forbidden"),
    "54000": (422, "invalid"),
    "54001": (422, "invalid"),
    "22P02": (422, "invalid"),
    "P0001": (500, "internal"),
}


@pytest.fixture(scope="module")
def failing(stack: RunningStack) -> Iterator[Callable[[str], str]]:
    """Makes a function of the database that fails in a certain way; gives its name."""
    made: list[str] = []
    with psycopg.connect(stack.database_url, autocommit=True) as connection:

        def make(state: str) -> str:
            name = f"fail_{state.lower()}"
            tables = """
                create temp table things (name text primary key, size text check (size <> 'bad')) on commit drop;
                create temp table parts (name text references things) on commit drop;
            """
            body = f"begin {tables} {CAUSES[state]} return '{{}}'; end"
            connection.execute(f"create function desk.{name}() returns jsonb language plpgsql as $${body}$$")
            connection.execute(f"grant execute on function desk.{name}() to authenticated")
            made.append(name)
            return name

        connection.execute(
            "create function desk.endless(text) returns text language plpgsql as"
            " $$begin return desk.endless($1); end$$"
        )
        connection.execute("grant execute on function desk.endless(text) to authenticated")
        yield make
        for name in made:
            connection.execute(f"drop function desk.{name}()")
        connection.execute("drop function desk.endless(text)")


def fail(client: httpx.Client, name: str) -> httpx.Response:
    """Calls the function as soon as PostgREST knows it."""
    deadline = time.monotonic() + 20
    while True:
        response = client.post(f"/rpc/{name}", json={})
        if response.json().get("code") != "PGRST202" or time.monotonic() > deadline:
            return response
        time.sleep(0.1)


@pytest.mark.parametrize("state", CAUSES)
def test_an_error_of_the_store_is_the_contracts(
    state: str, failing: Callable[[str], str], rest: Client, customer: Person
) -> None:
    response = fail(rest(customer), failing(state))
    assert response.json()["code"] == state
    problem = from_store(response.status_code, response.content)
    assert (problem.status, problem.code) == EXPECTED[state]
    assert problem.body("id")["error"].endswith(".")


@pytest.mark.parametrize("state", CAUSES)
def test_nothing_that_the_store_says_reaches_a_log(state: str) -> None:
    body = {"code": state, "message": f"m {SECRET}", "details": f"d {SECRET}", "hint": f"h {SECRET}"}
    assert SECRET not in said(from_store(400, json.dumps(body).encode()))


def said(problem: Problem) -> str:
    """Everything of a problem that a log line or a traceback may show."""
    return f"{problem!r} {problem} {problem.reason} {problem.code} {problem.__cause__!r}"


class TestDeletedPerson:
    """The token of a person whom Auth has deleted lives on for up to an hour."""

    @pytest.fixture
    def deleted(self, customer: Person, db: Connection) -> Person:
        db.execute("delete from auth.users where id = %s", (customer.id,))
        return customer

    @pytest.mark.parametrize("kind", ["support", "bug", "other", "chatbot", "feedback"])
    def test_cannot_file(self, kind: str, deleted: Person, api: Client, db: Connection) -> None:
        response = send(api(deleted), kind)
        assert_problem(response, 401, "unauthenticated")
        assert "sign in again" in response.json()["error"]
        assert response.headers["www-authenticate"] == 'Bearer error="invalid_token"'

    def test_cannot_hand_over_a_conversation(self, deleted: Person, api: Client) -> None:
        said: list[dict[str, Any]] = [{"role": "user", "content": "My account was hacked!"}]
        body = {"conversationId": "c", "summaryOfIssue": "Hacked.", "conversationHistory": said}
        assert_problem(api(deleted).post("/ai-escalation", json=body), 401, "unauthenticated")

    def test_is_named_in_no_log(self, deleted: Person, serve: Callable[..., Any], tmp_path: Path) -> None:
        with serve("create-ticket") as url:
            headers = {"Authorization": f"Bearer {deleted.token}"}
            with httpx.Client(base_url=url, headers=headers, trust_env=False) as client:
                response = client.post("/", json={"payload": PAYLOADS["bug"]})
        assert_problem(response, 401, "unauthenticated")
        log = next(tmp_path.rglob("create-ticket.log")).read_text()
        assert '"code":"unauthenticated"' in log
        assert str(deleted.id) not in log
        assert "customer_id" not in log
