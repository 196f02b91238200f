"""Calls PostgREST as functions do."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydantic_core import from_json

from local.people import Person, RunningStack
from shared import config, store
from shared.errors import Internal, NotConfigured, NotFound, Unauthenticated, Unavailable

Configure = Callable[..., None]


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Configure]:
    def set_all(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        config.config.cache_clear()
        store.client.cache_clear()

    yield set_all
    config.config.cache_clear()
    store.client.cache_clear()


@pytest.fixture
def _real(stack: RunningStack, configure: Configure) -> None:
    configure(
        SUPABASE_URL=stack.supabase_url,
        SUPABASE_ANON_KEY=stack.anon_key,
        SUPABASE_SECRET_KEY=stack.secret_key,
    )


def rpc(name: str, arguments: dict[str, Any] | None = None, **who: Any) -> Any:
    return from_json(asyncio.run(store.rpc(name, arguments or {}, **who)))


@pytest.mark.usefixtures("_real")
class TestOnTheRealOne:
    def test_a_function_of_the_database_is_called_as_somebody(self, customer: Person) -> None:
        assert rpc("list_tickets", token=customer.token)["tickets"] == []

    def test_arguments_that_are_none_are_the_functions_defaults(self, customer: Person) -> None:
        arguments = {"status": None, "page_limit": 5, "sort": None}
        assert rpc("list_tickets", arguments, token=customer.token)["total"] == 0

    def test_nobody_is_anonymous(self) -> None:
        assert rpc("list_categories")["categories"]
        with pytest.raises(Unauthenticated):
            rpc("get_ticket", {"ticket": "SUP-00001"})

    def test_what_the_database_raises_is_ours(self, customer: Person) -> None:
        with pytest.raises(NotFound):
            rpc("get_ticket", {"ticket": "SUP-00000"}, token=customer.token)

    def test_a_function_that_is_not_there_is_our_fault(self, customer: Person) -> None:
        with pytest.raises(Internal) as caught:
            rpc("no_such_function", token=customer.token)
        assert caught.value.reason == "the store answered 404 PGRST202"

    def test_a_token_that_the_store_refuses_is_the_callers(self) -> None:
        with pytest.raises(Unauthenticated):
            rpc("list_categories", token="x.y.z")

    def test_a_schema_that_is_not_exposed_is_a_missing_setting(self, configure: Configure) -> None:
        configure(SUPABASE_DB_SCHEMA="nowhere")
        with pytest.raises(NotConfigured) as caught:
            rpc("list_categories")
        assert "PGRST106: add desk to the exposed schemas" in str(caught.value.reason)

    def test_calls_run_side_by_side(self, customer: Person) -> None:
        async def many() -> list[bytes]:
            calls = [store.rpc("list_tickets", {}, token=customer.token) for _ in range(50)]
            return await asyncio.gather(*calls)

        assert len(asyncio.run(many())) == 50


class Recorder(BaseHTTPRequestHandler):
    """Answers every request alike, and keeps what was asked."""

    seen: list["Recorder"]
    content = b""
    answer = (200, b'{"ok": true}')

    def do_POST(self) -> None:
        self.content = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append(self)
        self.send_response(self.answer[0])
        self.send_header("Content-Length", str(len(self.answer[1])))
        self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(self.answer[1])

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def recorder(configure: Configure) -> Iterator[type[Recorder]]:
    class Mine(Recorder):
        seen: list[Recorder] = []  # noqa: RUF012

    with ThreadingHTTPServer(("127.0.0.1", 0), Mine) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        configure(SUPABASE_URL=f"http://127.0.0.1:{server.server_port}", SUPABASE_ANON_KEY="sb_publishable_x")
        yield Mine
        server.shutdown()


class TestOnTheWire:
    def test_a_new_key_goes_as_apikey_alone(self, recorder: type[Recorder]) -> None:
        rpc("f", {"a": 1, "b": None, "c": "ä"})
        [request] = recorder.seen
        assert (request.path, json.loads(request.content)) == ("/rest/v1/rpc/f", {"a": 1, "c": "ä"})
        assert request.headers["apikey"] == "sb_publishable_x"
        assert request.headers["authorization"] is None
        assert request.headers["content-type"] == "application/json"
        assert request.headers["content-profile"] == "desk"

    def test_beside_a_persons_token_too(self, recorder: type[Recorder]) -> None:
        rpc("f", token="mine")
        [request] = recorder.seen
        assert request.headers["apikey"] == "sb_publishable_x"
        assert request.headers["authorization"] == "Bearer mine"

    def test_a_legacy_key_is_nobodys_token_as_well(
        self, recorder: type[Recorder], configure: Configure
    ) -> None:
        configure(SUPABASE_ANON_KEY="e.y.J")
        rpc("f")
        rpc("f", token="mine")
        assert [request.headers["authorization"] for request in recorder.seen] == [
            "Bearer e.y.J",
            "Bearer mine",
        ]
        assert {request.headers["apikey"] for request in recorder.seen} == {"e.y.J"}

    @pytest.mark.parametrize(("key", "bearer"), [("sb_secret_x", None), ("e.y.J", "Bearer e.y.J")])
    def test_the_service_uses_its_own_key(
        self, key: str, bearer: str | None, recorder: type[Recorder], configure: Configure
    ) -> None:
        configure(SUPABASE_SECRET_KEY=key)
        rpc("f", as_service=True)
        [request] = recorder.seen
        assert (request.headers["apikey"], request.headers["authorization"]) == (key, bearer)

    def test_which_only_some_functions_have(self, recorder: type[Recorder]) -> None:
        with pytest.raises(NotConfigured):
            rpc("f", as_service=True)

    def test_no_redirect_is_followed_and_no_proxy_used(
        self, recorder: type[Recorder], configure: Configure
    ) -> None:
        configure(
            HTTP_PROXY="http://127.0.0.1:1", http_proxy="http://127.0.0.1:1", ALL_PROXY="http://127.0.0.1:1"
        )
        recorder.answer = (307, b"")
        with pytest.raises(Internal):
            rpc("f")
        assert [request.path for request in recorder.seen] == ["/rest/v1/rpc/f"]

    @pytest.mark.parametrize("status", [502, 503, 504])
    def test_nothing_is_sent_twice(self, status: int, recorder: type[Recorder]) -> None:
        recorder.answer = (status, b"<html>")
        with pytest.raises(Unavailable):
            rpc("f")
        assert len(recorder.seen) == 1
