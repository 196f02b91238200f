"""Calls private functions: through Google's gate as the local stack plays it, and past it."""

import time
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from local.functions import load_functions
from local.google.metadata import ACCOUNT, IDENTITY, ISSUER, google_key_file
from local.google.scheduler import minutes_between, run_scheduler
from local.people import Person, RunningStack, Serve
from local.process import StackError
from tests.assertions import assert_problem

PRIVATE = [function.name for function in load_functions() if function.is_private]
STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def call(url: str, token: str | None = None, method: str = "POST", **headers: str) -> httpx.Response:
    bearer = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.request(method, url, headers=bearer | headers, timeout=60, trust_env=False)


def claims(audience: str, **changes: Any) -> dict[str, Any]:
    now = int(time.time())
    usual = {
        "iss": ISSUER,
        "aud": audience,
        "email": ACCOUNT,
        "email_verified": True,
        "iat": now,
        "exp": now + 60,
    }
    return usual | changes


def unsigned(audience: str, **changes: Any) -> str:
    """A token as Cloud Run passes it on."""
    signed = jwt.encode(claims(audience, **changes), "some key of at least thirty-two bytes")
    return signed.rpartition(".")[0] + ".SIGNATURE_REMOVED_BY_GOOGLE"


@pytest.mark.parametrize("name", PRIVATE)
def test_a_service_account_gets_in(stack: RunningStack, name: str) -> None:
    url = f"{stack.functions_url}/{name}"
    answer = call(url, stack.identity_token(url))

    assert answer.status_code == 200, answer.text
    assert answer.json()["success"] is True


@pytest.mark.parametrize("name", PRIVATE)
def test_nobody_in_particular_is_forbidden(stack: RunningStack, name: str) -> None:
    assert_problem(call(f"{stack.functions_url}/{name}"), 403, "forbidden")


@pytest.mark.parametrize("name", PRIVATE)
def test_people_do_not_get_in_whoever_they_are(stack: RunningStack, name: str, admin: Person) -> None:
    assert_problem(call(f"{stack.functions_url}/{name}", admin.token), 401, "unauthenticated")


def test_a_token_for_another_function_does_not_open_this_one(stack: RunningStack) -> None:
    sweep, send = (f"{stack.functions_url}/{name}" for name in ("sla-sweep", "send-notifications"))
    assert_problem(call(send, stack.identity_token(sweep)), 401, "unauthenticated")


def test_a_forged_token_and_an_expired_one_do_not_open_it(stack: RunningStack) -> None:
    url = f"{stack.functions_url}/send-notifications"
    key = google_key_file(stack.stack.settings.home).read_text()
    forged, expired = jwt.encode(claims(url), STRANGER, "RS256"), jwt.encode(claims(url, exp=1), key, "RS256")

    for token in (forged, expired, unsigned(url), "nonsense"):
        assert_problem(call(url, token), 401, "unauthenticated")


def test_no_page_may_call_a_private_function(stack: RunningStack) -> None:
    url = f"{stack.functions_url}/send-notifications"
    token, origin = stack.identity_token(url), "http://localhost:5173"
    preflight = call(url, token, "OPTIONS", Origin=origin, **{"Access-Control-Request-Method": "POST"})

    assert_problem(preflight, 405, "method_not_allowed")
    for answer in (preflight, call(url, token, Origin=origin)):
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_behind_the_gate_the_function_looks_at_the_claims_again(stack: RunningStack, serve: Serve) -> None:
    own = f"{stack.functions_url}/sla-sweep"
    with serve("sla-sweep") as url:
        assert call(url, unsigned(own)).status_code == 200
        wrong = [
            unsigned(own + "/"),
            unsigned("https://elsewhere.example.com"),
            unsigned(own, email="somebody@example.iam.gserviceaccount.com"),
            unsigned(own, email=None),
            unsigned(own, email_verified=False),
            "a.b.c",
            "a.W10.c",
            "nonsense",
            None,
        ]
        for token in wrong:
            assert_problem(call(url, token), 403, "forbidden")


def test_without_configuration_there_is_only_the_gate(serve: Serve) -> None:
    with serve("sla-sweep", AUDIENCE=None, INVOKERS=None) as url:
        assert call(url).status_code == 200


def test_only_private_functions_hold_the_secret_key() -> None:
    for function in load_functions():
        holds = "SUPABASE_SECRET_KEY" in function.secrets
        assert holds == (function.is_private or function.name == "receive-webhook"), function.name


def test_the_metadata_server_gives_tokens_to_those_who_know_its_header(stack: RunningStack) -> None:
    url = f"http://{stack.stack.environment['GCE_METADATA_HOST']}{IDENTITY}"
    flavor = {"Metadata-Flavor": "Google"}

    def ask(headers: dict[str, str], **query: str) -> httpx.Response:
        return httpx.get(url, params=query, headers=headers, trust_env=False)

    assert ask({}, audience="a").status_code == 403
    assert ask(flavor).status_code == 400
    standard = ask(flavor, audience="a").text
    assert "email" not in jwt.decode(standard, options={"verify_signature": False})


def test_the_scheduler_calls_what_has_a_schedule(stack: RunningStack, tmp_path: Any) -> None:
    schedules = {f"{stack.functions_url}/sla-sweep": "* * * * *"}
    host = stack.stack.environment["GCE_METADATA_HOST"]
    with run_scheduler(tmp_path, schedules, host, minute=0.1) as part:
        deadline = time.monotonic() + 20
        while "sla-sweep 200 " not in part.log.read_text():
            assert time.monotonic() < deadline, part.log.read_text()
            time.sleep(0.05)


def test_a_schedule_that_the_local_scheduler_cannot_keep_is_named() -> None:
    assert (minutes_between("* * * * *"), minutes_between("*/15 * * * *")) == (1, 15)
    with pytest.raises(StackError, match="0 4"):
        minutes_between("0 4 * * *")
