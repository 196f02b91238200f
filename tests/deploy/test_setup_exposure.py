"""Tests exposing the schema beside those of the app, against a fake of the Management API."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from local.people import RunningStack
from tests.deploy.google.google_apis import Result, SetUp

PROJECT = "abcdefghijklmnopqrst"
TOKEN = "sbp_0123456789abcdef"


@dataclass
class ManagementApi:
    """Holds what the project exposes, and the calls received."""

    db_schema: str = "public, graphql_public"
    calls: list[str] = field(default_factory=list)
    refuses: int | None = None
    url: str = ""


@pytest.fixture
def supabase() -> Iterator[ManagementApi]:
    """Serves the fake on a free port."""
    api = ManagementApi()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            api.calls.append(self.command)
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")
            known = self.headers["Authorization"] == f"Bearer {TOKEN}"
            status = api.refuses or (200 if known else 401)
            if self.path != f"/v1/projects/{PROJECT}/postgrest":
                status = 404
            if status == 200:
                api.db_schema = body.get("db_schema", api.db_schema)
            text = json.dumps({"db_schema": api.db_schema, "max_rows": 1000})
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_PATCH = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    api.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def environment(supabase: ManagementApi, stack: RunningStack) -> dict[str, str | None]:
    """Returns the variables with which set-up exposes the schema."""
    return {
        "SUPABASE_URL": f"https://{PROJECT}.supabase.co",
        "SUPABASE_ACCESS_TOKEN": TOKEN,
        "SUPABASE_API_ENDPOINT": supabase.url,
        "DATABASE_URL": stack.database_url,
    }


def no_token_in(result: Result) -> bool:
    return TOKEN not in result.says + result.errors


def test_the_schema_is_added_to_what_is_exposed_already_and_once(
    supabase: ManagementApi, set_up: SetUp, environment: dict[str, str | None]
) -> None:
    first = set_up(**environment)
    assert first.code == 0, first.errors
    assert f"expose desk in {PROJECT}, beside public, graphql_public" in first.says
    assert (supabase.db_schema, supabase.calls) == ("public,graphql_public,desk", ["GET", "PATCH"])
    again = set_up(**environment)
    assert again.code == 0
    assert (supabase.calls, no_token_in(first), no_token_in(again)) == (["GET", "PATCH", "GET"], True, True)


def test_a_plan_only_says_so(
    supabase: ManagementApi, set_up: SetUp, environment: dict[str, str | None]
) -> None:
    assert "expose desk" in set_up("--plan", **environment).says
    assert (supabase.db_schema, supabase.calls) == ("public, graphql_public", ["GET"])


def test_without_a_token_supabase_is_not_asked(
    supabase: ManagementApi, set_up: SetUp, environment: dict[str, str | None]
) -> None:
    assert set_up(**environment | {"SUPABASE_ACCESS_TOKEN": None}).code == 0
    assert supabase.calls == []


def test_a_schema_that_does_not_exist_is_not_exposed(
    supabase: ManagementApi, set_up: SetUp, environment: dict[str, str | None], stack: RunningStack
) -> None:
    before_migrating = stack.database_url.removesuffix("/postgres") + "/template1"
    refused = set_up(**environment | {"DATABASE_URL": before_migrating})
    assert (refused.code, supabase.calls) == (1, ["GET"])
    assert "make migrate first" in refused.errors
    unseen = set_up(**environment | {"DATABASE_URL": None})
    assert "DATABASE_URL is not set" in unseen.errors
    assert "PATCH" not in supabase.calls


def test_an_address_that_is_not_the_projects_own_is_refused(
    supabase: ManagementApi, set_up: SetUp, environment: dict[str, str | None]
) -> None:
    refused = set_up(**environment | {"SUPABASE_URL": "https://api.example.com"})
    assert (refused.code, supabase.calls) == (1, [])
    assert "dashboard" in refused.errors


def test_a_refusal_of_supabase_stops_it_without_showing_the_token(
    supabase: ManagementApi, set_up: SetUp, environment: dict[str, str | None]
) -> None:
    supabase.refuses = 403
    refused = set_up(**environment)
    assert (refused.code, no_token_in(refused)) == (1, True)
    assert "answered 403" in refused.errors


def test_it_is_taken_out_again_and_nothing_else_is(
    supabase: ManagementApi, set_up: SetUp, environment: dict[str, str | None]
) -> None:
    supabase.db_schema = "public,desk,graphql_public"
    assert "no more" in set_up("--unexpose", **environment).says
    assert supabase.db_schema == "public,graphql_public"
    assert set_up("--unexpose", **environment).says == "Nothing to change\n"
    supabase.db_schema = "desk"
    assert "only schema exposed" in set_up("--unexpose", **environment).errors
