"""Tests endpoint() through functions-framework, as Google runs it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from functions_framework.aio import create_asgi_app
from starlette.types import Message

from shared import config
from shared.http.call import Call
from shared.http.endpoint import Answer, endpoint
from tests.assertions import assert_problem

Ask = Callable[..., httpx.Response]

SOURCE = """
from pydantic import Field
from shared.http.call import Call
from shared.http.endpoint import Answer, endpoint
from shared.errors import Conflict
from shared.requests.parsing import Body

class Thing(Body):
    name: str
    size: int = 1

async def make(call: Call) -> Answer:
    return call.body(Thing).model_dump()

async def fail(call: Call) -> Answer:
    return {"never": {"ada@example.com": 1}["secret of ada@example.com"]}

async def change(call: Call) -> Answer:
    raise Conflict("It is another thing by now.")

async def list_names(call: Call) -> Answer:
    call.headers["Cache-Control"] = "public, max-age=300"
    return b'{"names": []}'

async def show(call: Call) -> Answer:
    return {"route": call.route, "path": dict(call.path)}

HANDLERS = {
    "GET /": show,
    "POST /": make,
    "GET /names": list_names,
    "GET /{name}": show,
    "PATCH /{name}": change,
    "POST /{name}/parts/{part}": show,
    "DELETE /fail": fail,
}
some_things = endpoint("some-things", HANDLERS, anonymous=list(HANDLERS)[1:])
"""


async def idle(call: Call) -> Answer:
    return {}


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SUPABASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("SUPABASE_ANON_KEY", "sb_publishable_x")
    monkeypatch.setenv("ALLOWED_ORIGINS", "https://app.example.com, http://localhost:3002")
    config.config.cache_clear()
    yield
    config.config.cache_clear()


@pytest.fixture
def app(tmp_path: Path) -> Any:
    source = tmp_path / "main.py"
    source.write_text(SOURCE)
    return create_asgi_app(target="some_things", source=str(source))  # type: ignore[no-untyped-call]


@pytest.fixture
def ask(app: Any, configured: None) -> Ask:
    def ask(method: str, path: str, **request: Any) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://functions.example") as client:
                return await client.request(method, path, **request)

        return asyncio.run(run())

    return ask


class TestRoutes:
    @pytest.mark.parametrize(
        ("method", "path", "route", "values"),
        [
            ("GET", "/bolt", "GET /{name}", {"name": "bolt"}),
            ("GET", "/bolt/", "GET /{name}", {"name": "bolt"}),
            ("GET", "/some-things/bolt", "GET /{name}", {"name": "bolt"}),
            ("GET", "//some-things//bolt", "GET /{name}", {"name": "bolt"}),
            ("GET", "/a%20b", "GET /{name}", {"name": "a b"}),
            ("POST", "/bolt/parts/7", "POST /{name}/parts/{part}", {"name": "bolt", "part": "7"}),
        ],
    )
    def test_a_route_is_found_with_and_without_the_functions_name(
        self, method: str, path: str, route: str, values: dict[str, str], ask: Ask
    ) -> None:
        answer = ask(method, path).json()
        assert answer == {"success": True, "route": route, "path": values}

    def test_a_literal_path_is_no_name(self, ask: Ask) -> None:
        assert ask("GET", "/names").json() == {"success": True, "names": []}

    @pytest.mark.parametrize("path", ["/a/b", "/a/parts", "/some-things/some-things/x/y"])
    def test_any_other_path_is_not_found(self, path: str, ask: Ask) -> None:
        for method in ("GET", "POST", "OPTIONS"):
            assert_problem(ask(method, path), 404, "not_found")

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("PUT", "/", "GET, HEAD, POST"),
            ("DELETE", "/bolt", "GET, HEAD, PATCH"),
            ("GET", "/bolt/parts/7", "POST"),
            ("POST", "/names", "GET, HEAD, PATCH"),
        ],
    )
    def test_another_method_is_not_allowed(self, method: str, path: str, allowed: str, ask: Ask) -> None:
        response = ask(method, path)
        assert_problem(response, 405, "method_not_allowed")
        assert response.headers["allow"] == allowed

    def test_head_is_get(self, ask: Ask) -> None:
        assert ask("HEAD", "/bolt").status_code == 200
        assert_problem_status(ask("HEAD", "/bolt/parts/7"), 405)

    @pytest.mark.parametrize("route", ["get /", "GET", "GET x", "GET /{}", "GET //x", "TRACE /"])
    def test_a_route_that_cannot_be_is_told_at_once(self, route: str) -> None:
        with pytest.raises(ValueError, match="is no route"):
            endpoint("some-things", {route: idle})

    def test_so_is_an_anonymous_one_that_is_not_there(self) -> None:
        with pytest.raises(ValueError, match="not declared"):
            endpoint("some-things", {"GET /": idle}, anonymous=("POST /",))

    @pytest.mark.parametrize(
        ("one", "same"),
        [
            ("GET /names", "GET /names/"),
            ("GET /{name}", "GET /{id}"),
            ("POST /{name}/parts", "POST /{id}/parts/"),
        ],
    )
    def test_so_are_two_that_no_request_tells_apart(self, one: str, same: str) -> None:
        with pytest.raises(ValueError, match="are the same route"):
            endpoint("some-things", {one: idle, same: idle})

    @pytest.mark.parametrize("handler", [None, "idle", lambda call: {}])
    def test_so_is_one_without_a_handler(self, handler: Any) -> None:
        with pytest.raises(TypeError, match="GET /names"):
            endpoint("some-things", {"GET /": idle, "GET /names": handler})


class TestOrigins:
    def test_a_page_of_a_listed_origin_may_call(self, ask: Ask) -> None:
        asked = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "POST"}
        response = ask("OPTIONS", "/some-things", headers=asked)
        assert (response.status_code, response.content) == (204, b"")
        assert response.headers["access-control-allow-origin"] == "https://app.example.com"
        assert response.headers["access-control-allow-methods"] == "GET, HEAD, POST"
        allowed = response.headers["access-control-allow-headers"].split(", ")
        assert {"authorization", "content-type", "idempotency-key", "x-ticket-token"} <= set(allowed)
        assert response.headers["vary"] == "Origin"

    @pytest.mark.parametrize("path", ["/bolt", "/", "/a/b", "/fail"])
    def test_it_may_read_every_answer_errors_too(self, path: str, ask: Ask) -> None:
        for method in ("GET", "PATCH", "DELETE"):
            response = ask(method, path, headers={"Origin": "http://localhost:3002"})
            assert response.headers["access-control-allow-origin"] == "http://localhost:3002"
            assert response.headers["access-control-expose-headers"] == "X-Request-Id, Retry-After"
            assert response.headers["vary"] == "Origin"
            assert "access-control-allow-credentials" not in response.headers

    @pytest.mark.parametrize(
        "origin",
        [
            "https://evil.example",
            "https://app.example.com.evil.example",
            "http://app.example.com",
            "https://app.example.com:8443",
            "https://APP.example.com",
            "null",
            "*",
        ],
    )
    @pytest.mark.parametrize("method", ["GET", "OPTIONS"])
    def test_a_page_of_any_other_origin_may_not(self, method: str, origin: str, ask: Ask) -> None:
        headers = {"Origin": origin, "Access-Control-Request-Method": "GET"}
        response = ask(method, "/bolt", headers=headers)
        assert response.status_code in (200, 204)
        assert not [name for name in response.headers if name.startswith("access-control-")]
        assert response.headers["vary"] == "Origin"

    def test_options_without_a_page_tells_the_methods(self, ask: Ask) -> None:
        response = ask("OPTIONS", "/bolt")
        assert (response.status_code, response.headers["allow"]) == (204, "GET, HEAD, PATCH")


class TestAnswers:
    def test_every_answer_has_its_headers(self, ask: Ask) -> None:
        for response in (ask("GET", "/bolt"), ask("GET", "/a/b"), ask("OPTIONS", "/")):
            assert response.headers["x-request-id"]
            assert response.headers["x-content-type-options"] == "nosniff"
            assert response.headers["cache-control"] == "no-store"

    def test_a_function_may_let_an_answer_be_kept(self, ask: Ask) -> None:
        assert ask("GET", "/names").headers["cache-control"] == "public, max-age=300"

    @pytest.mark.parametrize("name", ["mine-1", "a" * 128, "01J:x.y_z"])
    def test_the_callers_request_id_is_taken_over(self, name: str, ask: Ask) -> None:
        assert ask("GET", "/bolt", headers={"X-Request-Id": name}).headers["x-request-id"] == name

    @pytest.mark.parametrize("name", ["", "a b", "a" * 129, 'x"y', "<script>"])
    def test_unless_it_is_no_token(self, name: str, ask: Ask) -> None:
        taken = ask("GET", "/bolt", headers={"X-Request-Id": name}).headers["x-request-id"]
        assert taken not in ("", name)

    def test_a_failure_of_ours_tells_nothing(self, ask: Ask, capsys: pytest.CaptureFixture[str]) -> None:
        response = ask("DELETE", "/fail")
        assert_problem(response, 500, "internal")
        assert "ada" not in response.text
        logged = capsys.readouterr()
        line = json.loads(logged.out.splitlines()[-1])
        assert line["severity"] == "ERROR"
        assert line["reason"] == "KeyError at main.py:16"
        assert "ada" not in logged.out + logged.err
        assert "Traceback" not in response.text + logged.err

    def test_error_reporting_learns_where_a_failure_of_ours_happened(
        self, ask: Ask, capsys: pytest.CaptureFixture[str]
    ) -> None:
        ask("DELETE", "/fail")
        line = json.loads(capsys.readouterr().out)
        assert line["@type"].endswith(".clouderrorreporting.v1beta1.ReportedErrorEvent")
        assert line["serviceContext"]["service"] == line["function"]
        first, *places, last = line["message"].splitlines()
        assert (first, last) == ("Traceback (most recent call last):", "KeyError")
        assert places[-1].endswith('main.py", line 16, in fail')

    def test_what_a_caller_did_wrong_is_no_error_event(
        self, ask: Ask, capsys: pytest.CaptureFixture[str]
    ) -> None:
        ask("PATCH", "/bolt")
        assert "@type" not in json.loads(capsys.readouterr().out)

    def test_lines_are_labelled_by_function_route_and_status_and_not_by_what_people_say(
        self, ask: Ask, capsys: pytest.CaptureFixture[str]
    ) -> None:
        ask("PATCH", "/bolt")
        line = json.loads(capsys.readouterr().out)
        assert line["logging.googleapis.com/labels"] == {
            "function": line["function"],
            "route": "PATCH /{name}",
            "status": "409",
        }

    def test_a_problem_is_told_in_the_one_shape(self, ask: Ask) -> None:
        response = ask("PATCH", "/bolt", headers={"X-Request-Id": "mine"})
        assert_problem(response, 409, "conflict")
        assert response.json() == {
            "success": False,
            "error": "It is another thing by now.",
            "code": "conflict",
            "fields": [],
            "request_id": "mine",
        }

    def test_who_is_not_signed_in_is_told_so_before_anything_else(self, ask: Ask) -> None:
        assert_problem(ask("GET", "/", content=b"x" * 300_000), 401, "unauthenticated")


class TestBodies:
    JSON = {"Content-Type": "application/json"}  # noqa: RUF012

    def test_a_body_is_parsed(self, ask: Ask) -> None:
        answer = ask("POST", "/", json={"name": " bolt "}).json()
        assert answer == {"success": True, "name": "bolt", "size": 1}

    def test_a_body_of_256_kib_is_taken_and_one_more_byte_is_not(self, ask: Ask) -> None:
        frame = len(json.dumps({"name": ""}))
        for size, status in ((262_144, 200), (262_145, 413)):
            content = json.dumps({"name": "x" * (size - frame)}).encode()
            assert len(content) == size
            assert ask("POST", "/", content=content, headers=self.JSON).status_code == status

    def test_an_endless_body_is_cut_off_while_it_comes(self, ask: Ask) -> None:
        sent = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal sent
            while True:
                sent += 8192
                assert sent < 1_000_000
                yield b" " * 8192

        response = ask("POST", "/", content=endless(), headers=self.JSON)
        assert_problem(response, 413, "body_too_large")

    @pytest.mark.parametrize("length", ["-1", "1e9", "x", "0", "²"])
    def test_a_length_that_is_not_true_is_not_believed(self, length: str, ask: Ask) -> None:
        headers = {**self.JSON, "Content-Length": length.encode("latin-1")}
        assert ask("POST", "/", content=b'{"name": "x"}', headers=headers).status_code == 200

    def test_an_empty_body_is_no_json(self, ask: Ask) -> None:
        assert_problem(ask("POST", "/"), 400, "malformed_json")

    @pytest.mark.usefixtures("configured")
    def test_a_caller_who_hangs_up_is_only_logged(self, app: Any, capsys: pytest.CaptureFixture[str]) -> None:
        scope = {"type": "http", "method": "POST", "path": "/", "raw_path": b"/", "query_string": b""}
        scope |= {"headers": [(b"content-type", b"application/json")], "root_path": ""}

        async def hung_up() -> Message:
            return {"type": "http.disconnect"}

        async def nobody_reads(message: Message) -> None:
            pass

        asyncio.run(app(scope, hung_up, nobody_reads))
        logged = capsys.readouterr()
        assert json.loads(logged.out)["status"] == 499
        assert logged.err == ""


class TestConfiguration:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("SUPABASE_URL", None),
            ("SUPABASE_URL", "project.supabase.co"),
            ("SUPABASE_URL", "https://project.supabase.co?x=1"),
            ("SUPABASE_URL", "https://[x"),
            ("SUPABASE_ANON_KEY", None),
            ("SUPABASE_ANON_KEY", "two words"),
            ("SUPABASE_SECRET_KEY", "two\nlines"),
            ("POSTGREST_URL", "here"),
            ("ALLOWED_ORIGINS", "https://app.example.com/path"),
            ("ALLOWED_ORIGINS", "*"),
            ("TRUSTED_HOPS", "many"),
            ("INTAKE_SECRET", "pass"),
        ],
    )
    def test_a_malformed_value_is_told_to_the_operator_by_its_name_alone(
        self,
        name: str,
        value: str | None,
        ask: Ask,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)
        response = ask("GET", "/bolt", headers={"Origin": "https://app.example.com"})
        assert_problem(response, 503, "not_configured")
        assert name not in response.text
        reason = json.loads(capsys.readouterr().out)["reason"]
        assert reason.startswith(name)
        assert value is None or value not in reason

    def test_empty_values_are_left_out(self, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("POSTGREST_URL", "TRUSTED_HOPS", "INTAKE_SECRET", "SUPABASE_SECRET_KEY"):
            monkeypatch.setenv(name, "")
        assert ask("GET", "/bolt").status_code == 200


class TestTraces:
    @pytest.mark.parametrize(
        "headers",
        [
            {"X-Cloud-Trace-Context": "0123456789abcdef0123456789abcdef/17;o=1"},
            {"X-Cloud-Trace-Context": "0123456789abcdef0123456789abcdef"},
            {"traceparent": "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"},
        ],
    )
    def test_the_log_line_belongs_to_the_trace(
        self, headers: dict[str, str], ask: Ask, capsys: pytest.CaptureFixture[str]
    ) -> None:
        ask("GET", "/bolt", headers=headers)
        line = json.loads(capsys.readouterr().out)
        assert line["logging.googleapis.com/trace"].endswith("0123456789abcdef0123456789abcdef")

    @pytest.mark.parametrize("value", ["", "x", "x" * 5000, '0123"}'])
    def test_what_is_no_trace_is_left_out(
        self, value: str, ask: Ask, capsys: pytest.CaptureFixture[str]
    ) -> None:
        ask("GET", "/bolt", headers={"X-Cloud-Trace-Context": value, "traceparent": value})
        assert "trace" not in capsys.readouterr().out


def assert_problem_status(response: httpx.Response, status: int) -> None:
    """HEAD has no body to look at."""
    assert response.status_code == status
    assert response.headers["x-request-id"]
