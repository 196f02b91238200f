"""Signing in with the official clients, and what Auth refuses."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest

from deploy.migrate import Connection
from local.people import RunningStack
from supabase import AuthApiError, AuthWeakPasswordError, Client, ClientOptions, create_client

PASSWORD = "correct horse battery staple"
BUG = {"payload": {"issue_type": "bug", "description": "The export button does nothing."}}
SignUp = Callable[[], tuple[Client, str]]


@pytest.fixture
def client(stack: RunningStack) -> Callable[[str], Client]:
    """supabase-py with a key."""
    options = ClientOptions(schema="desk", auto_refresh_token=False, persist_session=False)
    return lambda key: create_client(stack.supabase_url, key, options)


@pytest.fixture
def sign_up(stack: RunningStack, client: Callable[[str], Client]) -> SignUp:
    """Somebody new who has just signed up through supabase-py; with their address."""

    def new() -> tuple[Client, str]:
        email = f"person-{uuid4().hex[:12]}@example.com"
        supabase = client(stack.anon_key)
        supabase.auth.sign_up({"email": email, "password": PASSWORD, "options": {"data": {"name": "Ada"}}})
        return supabase, email

    return new


@pytest.fixture
def auth(stack: RunningStack) -> Callable[..., httpx.Response]:
    """Auth as a bare HTTP client sees it, with the publishable key."""

    def call(method: str, path: str, token: str | None = None, **options: Any) -> httpx.Response:
        headers = {"apikey": stack.anon_key} | ({"Authorization": f"Bearer {token}"} if token else {})
        with httpx.Client(trust_env=False, headers=headers) as http:
            return http.request(method, stack.auth_url + path, **options)

    return call


def test_a_person_signs_in_with_supabase_py_and_reads_only_their_own_tickets(
    stack: RunningStack, sign_up: SignUp, client: Callable[[str], Client]
) -> None:
    (ada, ada_email), (bob, _) = sign_up(), sign_up()
    for person in (ada, bob):
        _file_a_bug(stack, _token(person))
    supabase = client(stack.anon_key)
    signed_in = supabase.auth.sign_in_with_password({"email": ada_email.upper(), "password": PASSWORD})
    assert signed_in.user
    assert signed_in.user.email == ada_email
    assert signed_in.user.user_metadata["name"] == "Ada"
    own = [{"customer_id": signed_in.user.id}]
    assert supabase.table("support_tickets").select("customer_id").execute().data == own
    supabase.auth.refresh_session()
    assert supabase.table("support_tickets").select("customer_id").execute().data == own
    supabase.auth.sign_out()
    with pytest.raises(AuthApiError) as refused:
        supabase.auth.get_user(signed_in.session.access_token if signed_in.session else "")
    assert refused.value.code == "session_not_found"


@pytest.mark.skipif(not shutil.which("node"), reason="needs Node")
def test_a_person_signs_in_with_supabase_js_and_reads_only_their_own_tickets(
    stack: RunningStack, sign_up: SignUp
) -> None:
    (ada, email), (bob, _) = sign_up(), sign_up()
    for person in (ada, bob):
        _file_a_bug(stack, _token(person))
    env = {"PATH": os.environ["PATH"], "URL": stack.supabase_url, "KEY": stack.anon_key, "EMAIL": email}
    script = Path(__file__).with_name("supabase_client.mjs")
    done = subprocess.run(
        ["node", script], env={**env, "PASSWORD": PASSWORD}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    own = [{"customer_id": seen["user_id"]}]
    assert seen["wrong"] == {
        "code": "invalid_credentials",
        "status": 400,
        "message": "Invalid login credentials",
    }
    assert seen["same_user"]
    assert seen["rotated"]
    assert seen["session_claims"]["sub"] == seen["user_id"]
    assert seen["tickets"] == seen["tickets_afterwards"] == own
    assert seen["sign_out_error"] is None
    assert seen["reused"] == "refresh_token_not_found"


def test_tokens_carry_the_claims_that_hosted_supabase_signs(stack: RunningStack, sign_up: SignUp) -> None:
    ada, email = sign_up()
    token = _token(ada)
    key = jwt.PyJWKClient(f"{stack.auth_url}/.well-known/jwks.json").get_signing_key_from_jwt(token)
    claims = jwt.decode(token, key, ["ES256"], audience="authenticated", issuer=stack.auth_url)
    assert claims["email"] == email
    assert claims["role"] == "authenticated"
    assert claims["aal"] == "aal1"
    assert claims["amr"][0]["method"] == "password"
    assert claims["app_metadata"] == {"provider": "email", "providers": ["email"]}
    assert claims["user_metadata"]["name"] == "Ada"
    assert claims["is_anonymous"] is False
    assert claims["exp"] - claims["iat"] == 3600
    assert claims.keys() >= {"sub", "phone", "session_id"}


def test_a_person_can_sign_in_anonymously_and_is_told_apart(
    stack: RunningStack, client: Callable[[str], Client]
) -> None:
    supabase = client(stack.anon_key)
    nobody = supabase.auth.sign_in_anonymously()
    assert nobody.user
    assert nobody.user.is_anonymous
    assert jwt.decode(_token(supabase), options={"verify_signature": False})["is_anonymous"] is True


@pytest.mark.parametrize("wrong", ["password", "email"])
def test_a_wrong_password_and_an_unknown_address_are_refused_alike(sign_up: SignUp, wrong: str) -> None:
    supabase, known = sign_up()
    email = "nobody@example.com" if wrong == "email" else known
    password = "wrong" if wrong == "password" else PASSWORD
    with pytest.raises(AuthApiError, match="Invalid login credentials") as refused:
        supabase.auth.sign_in_with_password({"email": email, "password": password})
    assert (refused.value.status, refused.value.code) == (400, "invalid_credentials")


def test_nobody_can_sign_up_twice(sign_up: SignUp) -> None:
    supabase, email = sign_up()
    with pytest.raises(AuthApiError) as refused:
        supabase.auth.sign_up({"email": email.title(), "password": PASSWORD})
    assert (refused.value.status, refused.value.code) == (422, "user_already_exists")


def test_nobody_can_sign_up_with_a_weak_password(
    stack: RunningStack, client: Callable[[str], Client]
) -> None:
    with pytest.raises(AuthWeakPasswordError) as refused:
        client(stack.anon_key).auth.sign_up({"email": "weak@example.com", "password": "short"})
    assert refused.value.reasons == ["length"]


def test_a_person_can_change_password_and_data(sign_up: SignUp) -> None:
    supabase, email = sign_up()
    changed = supabase.auth.update_user({"password": "another password", "data": {"name": "Grace"}})
    assert changed.user.user_metadata["name"] == "Grace"
    supabase.auth.sign_in_with_password({"email": email, "password": "another password"})
    with pytest.raises(AuthApiError):
        supabase.auth.sign_in_with_password({"email": email, "password": PASSWORD})


def test_a_refresh_token_is_traded_once_and_a_stolen_one_ends_the_session(
    sign_up: SignUp, auth: Callable[..., httpx.Response], db: Connection
) -> None:
    supabase, _ = sign_up()
    session = supabase.auth.get_session()
    assert session
    first = session.refresh_token
    second = _refresh(auth, first).json()["refresh_token"]
    # The answer may have been lost: the same again, not a third one.
    assert _refresh(auth, first).json()["refresh_token"] == second
    third = _refresh(auth, second).json()["refresh_token"]
    assert len({first, second, third}) == 3
    # Two tabs may refresh at once: for ten seconds any token of the session gives the current one.
    assert _refresh(auth, first).json()["refresh_token"] == third
    db.execute("update auth.refresh_tokens set updated_at = now() - interval '11 seconds'")
    assert _refresh(auth, second).json()["refresh_token"] == third
    stolen = _refresh(auth, first)
    assert (stolen.status_code, stolen.json()["error_code"]) == (400, "refresh_token_already_used")
    assert _refresh(auth, third).json()["error_code"] == "refresh_token_already_used"


def test_signing_out_elsewhere_leaves_this_session(
    stack: RunningStack, sign_up: SignUp, client: Callable[[str], Client]
) -> None:
    here, email = sign_up()
    elsewhere = client(stack.anon_key)
    elsewhere.auth.sign_in_with_password({"email": email, "password": PASSWORD})
    here.auth.sign_out({"scope": "others"})
    assert here.auth.get_user()
    with pytest.raises(AuthApiError):
        elsewhere.auth.refresh_session()


def test_the_secret_key_administers_people_and_nothing_else_does(
    stack: RunningStack, client: Callable[[str], Client], sign_up: SignUp
) -> None:
    admin, email = client(stack.secret_key).auth.admin, f"made-{uuid4().hex}@example.com"
    made = admin.create_user(
        {"email": email, "password": PASSWORD, "email_confirm": True, "app_metadata": {"plan": "pro"}}
    )
    assert made.user.app_metadata["plan"] == "pro"
    assert admin.get_user_by_id(made.user.id).user.email == email
    assert email in [user.email for user in admin.list_users()]
    client(stack.anon_key).auth.sign_in_with_password({"email": email, "password": PASSWORD})

    admin.update_user_by_id(made.user.id, {"ban_duration": "1h"})
    with pytest.raises(AuthApiError) as banned:
        client(stack.anon_key).auth.sign_in_with_password({"email": email, "password": PASSWORD})
    assert banned.value.code == "user_banned"

    admin.delete_user(made.user.id)
    with pytest.raises(AuthApiError) as gone:
        admin.get_user_by_id(made.user.id)
    assert (gone.value.status, gone.value.code) == (404, "user_not_found")

    somebody, _ = sign_up()
    for intruder in (client(stack.anon_key), somebody):
        with pytest.raises(AuthApiError):
            intruder.auth.admin.list_users()


def test_a_person_made_without_confirmation_cannot_sign_in(
    stack: RunningStack, client: Callable[[str], Client]
) -> None:
    email = f"made-{uuid4().hex}@example.com"
    client(stack.secret_key).auth.admin.create_user({"email": email, "password": PASSWORD})
    with pytest.raises(AuthApiError) as refused:
        client(stack.anon_key).auth.sign_in_with_password({"email": email, "password": PASSWORD})
    assert refused.value.code == "email_not_confirmed"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/token?grant_type=password", "{", 400, "bad_json"),
        ("POST", "/token?grant_type=password", '{"email": 7, "password": "x"}', 400, "bad_json"),
        ("POST", "/token?grant_type=password", "{}", 400, "validation_failed"),
        (
            "POST",
            "/token?grant_type=password",
            '{"email": "\\u0000", "password": "x"}',
            500,
            "unexpected_failure",
        ),
        (
            "POST",
            "/token?grant_type=password",
            '{"email": "\\ud800", "password": "x"}',
            400,
            "invalid_credentials",
        ),
        ("POST", "/token?grant_type=pkce", "{}", 400, "validation_failed"),
        (
            "POST",
            "/token?grant_type=pkce",
            '{"auth_code": "x", "code_verifier": "y"}',
            404,
            "flow_state_not_found",
        ),
        ("POST", "/token?grant_type=id_token", "{}", 400, "invalid_credentials"),
        ("POST", "/token?grant_type=refresh_token", '{"refresh_token": "?"}', 400, "validation_failed"),
        (
            "POST",
            "/token?grant_type=refresh_token",
            '{"refresh_token": "abcdefghijkl"}',
            400,
            "refresh_token_not_found",
        ),
        (
            "POST",
            "/signup",
            '{"email": "not an address", "password": "long enough"}',
            400,
            "validation_failed",
        ),
        ("POST", "/signup", '{"email": "a@example.com"}', 400, "validation_failed"),
        ("POST", "/signup", '{"data": {"name": "\\u0000"}}', 500, "unexpected_failure"),
        ("POST", "/signup", '{"phone": "x", "password": "long enough"}', 400, "validation_failed"),
        ("POST", "/otp", "{}", 400, "validation_failed"),
        (
            "POST",
            "/otp",
            '{"email": "nobody@example.com", "create_user": false}',
            422,
            "otp_disabled",
        ),
        ("POST", "/recover", "{}", 400, "validation_failed"),
        ("POST", "/verify", '{"type": "email", "token": "1"}', 400, "validation_failed"),
        (
            "POST",
            "/verify",
            '{"type": "email", "email": "nobody@example.com", "token": "123456"}',
            403,
            "otp_expired",
        ),
        ("POST", "/verify", '{"type": "magiclink", "token_hash": "x"}', 403, "otp_expired"),
        ("POST", "/invite", '{"email": "a@example.com"}', 403, "not_admin"),
        ("POST", "/admin/generate_link", "{}", 403, "not_admin"),
        ("POST", "/factors", "{}", 403, "bad_jwt"),
        # The gateway makes the key a bearer, but nobody in particular.
        ("GET", "/user", "", 403, "bad_jwt"),
        ("POST", "/logout", "", 403, "bad_jwt"),
    ],
)
def test_refusals_have_gotrues_shape(
    auth: Callable[..., httpx.Response], method: str, path: str, body: str, status: int, code: str
) -> None:
    answer = auth(method, path, content=body)
    assert (answer.status_code, answer.json()["error_code"]) == (status, code)
    assert answer.json()["code"] == status
    assert answer.json()["msg"]


@pytest.mark.parametrize(
    ("change", "status"),
    [({"exp": 1}, 403), ({"sub": None}, 403), ({"sub": str(uuid4())}, 403), ({"sub": "nobody"}, 400)],
)
def test_a_token_that_is_not_good_is_refused(
    stack: RunningStack, auth: Callable[..., httpx.Response], change: dict[str, Any], status: int
) -> None:
    token = stack.token(uuid4(), "x@example.com", **change)
    assert auth("GET", "/user", token).status_code == status


def test_an_unsigned_token_is_refused(auth: Callable[..., httpx.Response]) -> None:
    token = jwt.encode({"sub": str(uuid4()), "exp": int(time.time()) + 60}, "", "none")
    assert auth("GET", "/user", token).json()["error_code"] == "bad_jwt"


def test_passwords_and_people_are_nothing_that_the_api_shows(stack: RunningStack, db: Connection) -> None:
    http = httpx.Client(trust_env=False, headers={"apikey": stack.secret_key, "Accept-Profile": "auth"})
    assert http.get(f"{stack.supabase_url}/rest/v1/users").status_code == 406
    [(hashed,)] = db.execute(
        "select encrypted_password from auth.users where encrypted_password is not null limit 1"
    )
    assert str(hashed).startswith("$2a$10$")


def _token(supabase: Client) -> str:
    session = supabase.auth.get_session()
    assert session
    return session.access_token


def _file_a_bug(stack: RunningStack, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx.post(f"{stack.functions_url}/create-ticket", json=BUG, headers=headers, trust_env=False)
    assert answer.status_code == 200, answer.text


def _refresh(auth: Callable[..., httpx.Response], token: str) -> httpx.Response:
    return auth("POST", "/token?grant_type=refresh_token", json={"refresh_token": token})
