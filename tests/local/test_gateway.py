"""Passes Supabase's gateway in each role, and the functions' gateway."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest

from local.gateway import run_gateway
from local.people import PROFILE, NewPerson, Person, RunningStack
from local.ports import free_ports

WHOAMI = "/rest/v1/rpc/list_categories"


def ask(
    stack: RunningStack, headers: dict[str, str], path: str = "/rest/v1/support_agents"
) -> httpx.Response:
    return httpx.get(stack.supabase_url + path, headers=PROFILE | headers, trust_env=False)


def test_without_a_key_nobody_passes(stack: RunningStack) -> None:
    answer = ask(stack, {})
    assert answer.status_code == 401
    assert answer.json()["message"] == "No API key found in request"


def test_with_another_projects_key_nobody_passes(stack: RunningStack) -> None:
    answer = ask(stack, {"apikey": "sb_publishable_of_another_project"})
    assert answer.status_code == 401
    assert answer.json()["message"] == "Invalid API key"


@pytest.mark.parametrize("style", ["new", "legacy"])
@pytest.mark.parametrize("header", ["apikey", "authorization", "both"])
def test_both_styles_of_keys_are_their_roles(
    stack: RunningStack, style: str, header: str, agent: Person
) -> None:
    keys = {
        "new": (stack.anon_key, stack.secret_key),
        "legacy": (stack.keys.legacy_key("anon"), stack.keys.legacy_key("service_role")),
    }
    for key, may_read in zip(keys[style], (False, True), strict=True):
        headers = {"apikey": key, "authorization": f"Bearer {key}"}
        answer = ask(stack, headers if header == "both" else {header: headers[header]})
        assert answer.is_success == may_read, answer.text


def test_a_persons_token_counts_more_than_the_key(stack: RunningStack, customer: Person) -> None:
    headers = {"apikey": stack.secret_key, "authorization": f"Bearer {customer.token}"}
    assert ask(stack, headers, "/auth/v1/admin/users").status_code == 403


def test_a_forged_token_is_postgrests_to_refuse(stack: RunningStack) -> None:
    headers = {"apikey": stack.anon_key, "authorization": "Bearer forged"}
    assert ask(stack, headers).status_code == 401


def test_postgrest_takes_both_styles_of_signatures_itself(stack: RunningStack) -> None:
    for token in (stack.keys.role_token("service_role"), stack.keys.legacy_key("service_role")):
        url = f"{stack.rest_url}/support_agents"
        headers = {"authorization": f"Bearer {token}", **PROFILE}
        assert httpx.get(url, headers=headers, trust_env=False).is_success


def test_any_page_may_call_supabase(stack: RunningStack) -> None:
    origin = {"origin": "https://app.example.com"}
    preflight = httpx.options(
        f"{stack.supabase_url}/rest/v1/support_tickets",
        headers={
            **origin,
            "access-control-request-method": "POST",
            "access-control-request-headers": "apikey",
        },
        trust_env=False,
    )
    assert preflight.is_success
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert preflight.headers["access-control-allow-headers"] == "apikey"
    assert ask(stack, origin).headers.get_list("access-control-allow-origin") == ["*"]


def test_supabases_gateway_knows_two_services(stack: RunningStack) -> None:
    assert ask(stack, {"apikey": stack.anon_key}, "/storage/v1/object").status_code == 404


def test_an_unknown_function_is_told_in_the_functions_own_words(stack: RunningStack) -> None:
    answer = httpx.get(f"{stack.functions_url}/drop-table", trust_env=False)
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was asked."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode("latin-1")
        answer = json.dumps({"path": self.path, "headers": dict(self.headers), "body": body}).encode()
        self.send_response(418)
        self.send_header("Set-Cookie", "a=1")
        self.send_header("Set-Cookie", "b=2")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def echo(tmp_path: Path) -> Iterator[str]:
    """The functions' gateway in front of one that echoes."""
    upstream, port = free_ports(2)
    with HTTPServer(("127.0.0.1", upstream), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with run_gateway(tmp_path, "gateway", {"echo": f"http://127.0.0.1:{upstream}"}, port) as part:
            part.wait()
            yield f"http://127.0.0.1:{port}"
        server.shutdown()


def test_path_query_body_and_headers_pass_as_they_are(echo: str) -> None:
    url = f"{echo}/echo/SUP-1%2F2?q=a%26b&q=%C3%BC&context.k=v"
    body = bytes(range(256))
    answer = httpx.post(url, content=body, headers={"x-forwarded-for": "1.2.3.4"}, trust_env=False)
    assert answer.status_code == 418
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    seen = answer.json()
    assert seen["path"] == "/echo/SUP-1%2F2?q=a%26b&q=%C3%BC&context.k=v"
    assert seen["body"].encode("latin-1") == body
    headers = {name.lower(): value for name, value in seen["headers"].items()}
    assert headers["host"] == echo.removeprefix("http://")
    assert headers["x-forwarded-for"] == "1.2.3.4, 127.0.0.1"


def test_a_function_that_is_down_is_a_503_with_retry_after(tmp_path: Path) -> None:
    nobody, port = free_ports(2)
    with run_gateway(tmp_path, "gateway", {"echo": f"http://127.0.0.1:{nobody}"}, port) as part:
        part.wait()
        answer = httpx.get(f"http://127.0.0.1:{port}/echo", trust_env=False)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"


def test_the_cast_is_who_it_says(stack: RunningStack, person: NewPerson) -> None:
    somebody = person(email="somebody@example.com")
    headers = {"apikey": stack.anon_key, "authorization": f"Bearer {somebody.token}"}
    user = ask(stack, headers, "/auth/v1/user")
    # The token names a session that nobody opened.
    assert user.json()["error_code"] == "session_not_found"


@pytest.mark.parametrize("gateway", ["supabase_url", "functions_url"])
def test_an_idle_connection_outlives_the_clients_patience(stack: RunningStack, gateway: str) -> None:
    """Six idle seconds are more than a server's usual five; the functions' clients let go after twenty."""
    address = httpx.URL(getattr(stack, gateway))
    with closing(HTTPConnection(address.host, address.port, timeout=10)) as connection:
        connection.connect()
        opened = connection.sock
        for idle in (0, 6):
            time.sleep(idle)
            connection.request("GET", "/auth/v1/health")
            # The whole response: head and body may arrive apart.
            connection.getresponse().read()
            assert connection.sock is opened
