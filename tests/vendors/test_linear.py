"""Tests the client of Linear: each answer, and the fate of the row."""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import respx
from graphql import build_schema, parse, validate

from local.linear.graphql.execution import load_schema
from shared.config import load_linear
from shared.errors import NotConfigured
from shared.linear import client as linear
from shared.linear.client import Linear, Refused
from shared.linear.models import Issue

T = TypeVar("T")
URL = "https://linear.example.com/graphql"
ENV = {"LINEAR_API_KEY": "lin_api_key", "LINEAR_API_URL": URL, "DESK_URL": "https://desk.example.com"}
ID = "6ab5bb02-3c51-4d6c-9a30-0a2b3b5d6f11"
ISSUE = {
    "id": ID,
    "identifier": "ENG-1",
    "url": "https://linear.example.com/issue/ENG-1",
    "updatedAt": "2026-11-01T10:00:00.000Z",
    "trashed": None,
    "state": {"name": "Backlog", "type": "backlog"},
}


@pytest.fixture
def vendor() -> Iterator[respx.Route]:
    with respx.mock() as router:
        yield router.post(URL)


def ask(call: Callable[[Linear], Awaitable[T]]) -> T:
    async def once() -> T:
        return await call(Linear("lin_api_key", url=URL))

    return asyncio.run(once())


def failure(route: respx.Route, answer: httpx.Response | httpx.HTTPError) -> Refused:
    route.mock(side_effect=[answer])
    with pytest.raises(Refused) as caught:
        ask(lambda client: client.issue(ID))
    return caught.value


def errors(code: str, message: str = "no", status: int = 200, **headers: str) -> httpx.Response:
    error = {"message": message, "extensions": {"code": code, "userPresentableMessage": "ada@example.com"}}
    return httpx.Response(status, json={"data": None, "errors": [error]}, headers=headers)


def test_an_issue_is_read_with_the_key_as_it_is(vendor: respx.Route) -> None:
    vendor.respond(json={"data": {"issue": ISSUE}})
    assert ask(lambda client: client.issue(ID)).facts() == {
        "issue_id": ID,
        "identifier": "ENG-1",
        "url": "https://linear.example.com/issue/ENG-1",
        "state_name": "Backlog",
        "state_type": "backlog",
        "updated_at": "2026-11-01T10:00:00.000Z",
        "removed": None,
    }
    request = vendor.calls.last.request
    assert request.headers["authorization"] == "lin_api_key"
    assert json.loads(request.content)["variables"] == {"id": ID}


def test_every_document_is_one_that_the_fake_takes() -> None:
    for document in linear.DOCUMENTS:
        assert validate(load_schema(), parse(document)) == []


@pytest.mark.skipif(
    "LINEAR_SCHEMA" not in os.environ, reason="LINEAR_SCHEMA names no copy of Linear's schema"
)
def test_every_document_is_one_that_linear_takes() -> None:
    schema = build_schema(Path(os.environ["LINEAR_SCHEMA"]).read_text(), assume_valid=True)
    for document in linear.DOCUMENTS:
        assert validate(schema, parse(document)) == []


def test_an_oauth_token_is_a_bearer() -> None:
    env = {name: value for name, value in ENV.items() if name != "LINEAR_API_KEY"}
    with_key, with_token = load_linear(ENV), load_linear(env | {"LINEAR_OAUTH_TOKEN": "lin_oauth_x"})
    assert with_key
    assert with_key.authorization == "lin_api_key"
    assert with_token
    assert with_token.authorization == "Bearer lin_oauth_x"
    assert load_linear(env) is None
    with pytest.raises(NotConfigured, match="not_configured"):
        load_linear(ENV | {"LINEAR_OAUTH_TOKEN": "lin_oauth_x"})


@pytest.mark.parametrize(
    ("answer", "kind", "permanent"),
    [
        (errors("AUTHENTICATION_ERROR", status=401), linear.Unauthorized, False),
        (errors("AUTHENTICATION_ERROR", status=400), linear.Unauthorized, False),
        (errors("FORBIDDEN"), linear.Unauthorized, False),
        (httpx.Response(403, text="<h1>Forbidden</h1>"), linear.Unauthorized, False),
        (errors("INPUT_ERROR", "title should not be empty"), linear.InvalidInput, True),
        (errors("INPUT_ERROR", "conflict on insert of Issue"), linear.DuplicateId, True),
        (errors("INPUT_ERROR", "conflict on insert of Issue", status=400), linear.DuplicateId, True),
        (errors("INPUT_ERROR", "Entity Issue with id x already exists."), linear.DuplicateId, True),
        (errors("INPUT_ERROR", "Entity not found: Issue"), linear.MissingObject, True),
        (errors("GRAPHQL_VALIDATION_FAILED", status=400), linear.InvalidInput, True),
        (errors("RATELIMITED", status=400), linear.RateLimited, False),
        (httpx.Response(429, text="slow down"), linear.RateLimited, False),
        (errors("USAGE_LIMIT_EXCEEDED"), linear.UsageLimit, False),
        (errors("INTERNAL_SERVER_ERROR", status=500), linear.NoAnswer, False),
        (errors("LOCK_TIMEOUT"), linear.NoAnswer, False),
        (httpx.Response(502, html="<h1>Bad gateway</h1>"), linear.NoAnswer, False),
        (httpx.Response(200, text='{"data": {"iss'), linear.NoAnswer, False),
        (httpx.Response(200, json={"data": {"issue": {"id": ID}}}), linear.NoAnswer, False),
        (httpx.Response(200, json=["what?"]), linear.NoAnswer, False),
        (httpx.Response(302, headers={"location": "https://elsewhere.example.com"}), linear.NoAnswer, False),
        (httpx.ReadTimeout("slow"), linear.NoAnswer, False),
        (httpx.ConnectError("down"), linear.NoAnswer, False),
    ],
)  # fmt: skip
def test_every_refusal_has_its_kind_and_says_whether_it_is_for_good(
    vendor: respx.Route, answer: httpx.Response | httpx.HTTPError, kind: type[Refused], permanent: bool
) -> None:
    problem = failure(vendor, answer)
    assert type(problem) is kind
    assert problem.permanent is permanent
    assert problem.reason.startswith("linear: ")
    assert "ada@example.com" not in problem.reason


def reset_in(seconds: float) -> str:
    return str(int((time.time() + seconds) * 1000))


@pytest.mark.parametrize("name", ["Requests", "Endpoint-Requests", "Complexity"])
def test_a_rate_limit_lasts_until_the_limit_that_is_used_up_starts_anew(
    vendor: respx.Route, name: str
) -> None:
    others = {f"X-RateLimit-{other}-Reset": reset_in(3000) for other in linear.LIMITS if other != name}
    used_up = {f"X-RateLimit-{name}-Remaining": "0", f"X-RateLimit-{name}-Reset": reset_in(700)}
    problem = failure(vendor, errors("RATELIMITED", status=400, **others, **used_up))
    assert 690 <= (problem.retry_after or 0) <= 700


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [
        ("", linear.UNKNOWN_BACKOFF_S),
        ("soon", linear.UNKNOWN_BACKOFF_S),
        ("1", 1),
        ("9" * 15, linear.MAX_BACKOFF_S),
    ],
)
def test_a_reset_that_makes_no_sense_is_kept_within_bounds(
    vendor: respx.Route, reset: str, seconds: int
) -> None:
    problem = failure(vendor, errors("RATELIMITED", status=400, **{"X-RateLimit-Requests-Reset": reset}))
    assert problem.retry_after == seconds


@pytest.mark.parametrize(("remaining", "is_scarce"), [("49", True), ("50", False), ("", False)])
def test_it_is_told_when_little_is_left_of_a_limit(
    vendor: respx.Route, remaining: str, is_scarce: bool
) -> None:
    headers = {"X-RateLimit-Requests-Limit": "2500", "X-RateLimit-Requests-Remaining": remaining}
    vendor.respond(json={"data": {"issue": ISSUE}}, headers=headers)

    async def look() -> bool:
        client = Linear("key", url=URL)
        await client.issue(ID)
        return client.is_scarce

    assert asyncio.run(look()) is is_scarce


def test_a_mutation_without_success_may_have_happened_or_not(vendor: respx.Route) -> None:
    vendor.respond(json={"data": {"issueCreate": {"success": False, "issue": None}}})
    with pytest.raises(linear.NoAnswer):
        ask(lambda client: client.create_issue(id=ID, teamId=ID, title="x"))


def team(*states: tuple[str, str, float]) -> dict[str, Any]:
    nodes = [{"id": name, "type": kind, "position": position} for name, kind, position in states]
    return {"data": {"teams": {"nodes": [{"id": "team", "key": "ENG", "states": {"nodes": nodes}}]}}}


def test_an_issue_goes_to_the_first_state_of_the_type_that_is_wished_for(vendor: respx.Route) -> None:
    vendor.respond(json=team(("later", "started", 3), ("doing", "started", 2.5), ("todo", "unstarted", 1)))
    found = ask(lambda client: client.team("ENG"))
    assert found.state("started") == "doing"
    with pytest.raises(Refused, match="no state of the type completed") as caught:
        found.state("completed")
    assert not caught.value.permanent


def test_a_team_is_asked_for_once(vendor: respx.Route) -> None:
    vendor.respond(json=team())

    async def twice() -> None:
        client = Linear("key", url=URL)
        await client.team("ENG")
        await client.team("ENG")
        assert vendor.call_count == 1
        client.forget()
        await client.team("ENG")

    asyncio.run(twice())
    assert vendor.call_count == 2


def test_a_team_that_is_missing_waits_for_somebody_to_mend_it(vendor: respx.Route) -> None:
    vendor.respond(json={"data": {"teams": {"nodes": []}}})
    with pytest.raises(Refused, match="no team XYZ") as caught:
        ask(lambda client: client.team("XYZ"))
    assert not caught.value.permanent


def labels(*found: tuple[str, str | None]) -> httpx.Response:
    nodes = [{"id": label, "team": {"id": owner} if owner else None} for label, owner in found]
    return httpx.Response(200, json={"data": {"issueLabels": {"nodes": nodes}}})


def test_another_teams_label_is_not_taken(vendor: respx.Route) -> None:
    vendor.mock(side_effect=[labels(("theirs", "other"), ("everybodys", None))])
    assert ask(lambda client: client.label("Bug", "team")) == "everybodys"


def test_a_label_that_is_missing_is_made_and_somebody_elses_is_taken_if_that_was_quicker(
    vendor: respx.Route,
) -> None:
    made = {"data": {"issueLabelCreate": {"success": True, "issueLabel": {"id": "new"}}}}
    vendor.mock(side_effect=[labels(), httpx.Response(200, json=made)])
    assert ask(lambda client: client.label("Bug", "team")) == "new"

    conflict = errors("INPUT_ERROR", "label already exists")
    vendor.mock(side_effect=[labels(), conflict, labels(("quicker", "team"))])
    assert ask(lambda client: client.label("Bug", "team")) == "quicker"


def test_an_issue_in_the_bin_is_known_to_be_removed() -> None:
    assert Issue.model_validate(ISSUE | {"trashed": True}).removed is True
