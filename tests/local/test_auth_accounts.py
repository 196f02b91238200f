"""Accounts as the official clients manage them: codes, links, numbers, second factors, bans, deletion."""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest

from deploy.migrate import Connection
from local.auth.factors import STEP_S, totp
from local.auth.gotrue import run_auth
from local.auth.one_time import PHONE_CODE
from local.gateway import run_gateway
from local.people import RunningStack
from local.ports import free_ports
from supabase import AuthApiError, Client, ClientOptions, create_client
from tests.mailbox import Mailbox
from tests.payloads import PAYLOADS

PASSWORD = "correct horse battery staple"
NewClient = Callable[..., Client]


@pytest.fixture
def client(stack: RunningStack) -> NewClient:
    """supabase-py with a key: the publishable one, unless it is another."""
    options = ClientOptions(
        schema="desk", auto_refresh_token=False, persist_session=False, flow_type="implicit"
    )
    return lambda key=stack.anon_key, url=stack.supabase_url: create_client(url, key, options)


@pytest.fixture
def admin(stack: RunningStack, client: NewClient) -> Any:
    """Administration with the secret key."""
    return client(stack.secret_key).auth.admin


@pytest.fixture
def ada(client: NewClient) -> Client:
    """A person who has just signed up."""
    supabase = client()
    supabase.auth.sign_up({"email": new_address(), "password": PASSWORD})
    return supabase


@pytest.fixture
def mailbox(stack: RunningStack) -> Mailbox:
    """The mails of the local mail server."""
    return Mailbox(stack.stack.settings.home / "mail")


@pytest.fixture(scope="module")
def confirming(stack: RunningStack) -> Iterator[str]:
    """The address of a Supabase whose people have to confirm, on the same database."""
    settings = stack.stack.settings
    auth_port, port = free_ports(2)
    home, keys = settings.home / "confirming", settings.keys_file
    auth = run_auth(
        home,
        stack.stack.database,
        keys,
        stack.auth_url,
        auth_port,
        mail_port=settings.ports.mail,
        autoconfirm=False,
    )
    upstreams = {"/auth/v1": f"http://127.0.0.1:{auth_port}"}
    with auth as first, run_gateway(home, "gateway", upstreams, port, keys) as second:
        first.wait()
        second.wait()
        yield f"http://127.0.0.1:{port}"


def new_address() -> str:
    return f"person-{uuid4().hex[:12]}@example.com"


def new_number() -> str:
    return f"49151{uuid4().int % 10**9:09}"


def user(supabase: Client) -> Any:
    answer = supabase.auth.get_user()
    assert answer
    return answer.user


def access_token(supabase: Client) -> str:
    session = supabase.auth.get_session()
    assert session
    return session.access_token


def claims(supabase: Client) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(access_token(supabase), options={"verify_signature": False})
    return found


def latest(mailbox: Mailbox, address: str) -> tuple[str, str]:
    """The link and the code of the last mail to this address."""
    text = mailbox.to(address)[-1].get_content()
    link, code = re.search(r"http://\S+", text), re.search(r"code: (\d{6})", text)
    assert link
    assert code
    return link[0], code[1]


def refused_code(supabase: Client, address: str, code: str) -> tuple[int, str | None]:
    with pytest.raises(AuthApiError) as refused:
        supabase.auth.verify_otp({"email": address, "token": code, "type": "email"})
    return refused.value.status, refused.value.code


def file_a_bug(stack: RunningStack, token: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{stack.functions_url}/create-ticket"
    return httpx.post(url, json={"payload": PAYLOADS["bug"]}, headers=headers, trust_env=False, timeout=30)


class TestCodes:
    def test_a_mailed_code_signs_a_new_person_in(self, client: NewClient, mailbox: Mailbox) -> None:
        supabase, address = client(), new_address()
        supabase.auth.sign_in_with_otp({"email": address, "options": {"data": {"name": "Ada"}}})
        _, code = latest(mailbox, address)
        supabase.auth.verify_otp({"email": address, "token": code, "type": "email"})
        assert user(supabase).email == address
        assert user(supabase).user_metadata["name"] == "Ada"
        assert claims(supabase)["amr"][0]["method"] == "otp"

    def test_a_code_works_once_and_a_wrong_one_never(self, client: NewClient, mailbox: Mailbox) -> None:
        supabase, address = client(), new_address()
        supabase.auth.sign_in_with_otp({"email": address})
        _, code = latest(mailbox, address)
        wrong = f"{(int(code) + 1) % 1_000_000:06}"
        assert refused_code(supabase, address, wrong) == (403, "otp_expired")
        supabase.auth.verify_otp({"email": address, "token": code, "type": "email"})
        assert refused_code(supabase, address, code) == (403, "otp_expired")

    def test_an_old_code_has_expired(self, client: NewClient, mailbox: Mailbox, db: Connection) -> None:
        supabase, address = client(), new_address()
        supabase.auth.sign_in_with_otp({"email": address})
        _, code = latest(mailbox, address)
        made = "update auth.one_time_tokens set created_at = localtimestamp - interval '61 minutes' where relates_to = %s"
        db.execute(made, (address,))
        assert refused_code(supabase, address, code) == (403, "otp_expired")

    def test_a_recovery_link_leads_to_the_page_with_a_session(
        self, client: NewClient, ada: Client, mailbox: Mailbox
    ) -> None:
        address = user(ada).email
        client().auth.reset_password_for_email(address, {"redirect_to": "http://localhost:5173/reset"})
        link, _ = latest(mailbox, address)
        answer = httpx.get(link, trust_env=False)
        assert answer.status_code == 303
        page, _, fragment = answer.headers["location"].partition("#")
        assert page == "http://localhost:5173/reset"
        found = dict(pair.split("=", 1) for pair in fragment.split("&"))
        assert found["type"] == "recovery"
        assert jwt.decode(found["access_token"], options={"verify_signature": False})["email"] == address
        # The same link again leads there without one.
        again = httpx.get(link, trust_env=False).headers["location"]
        assert "error_code=otp_expired" in again
        assert "access_token" not in again

    def test_a_recovery_of_an_unknown_address_tells_nothing(
        self, client: NewClient, mailbox: Mailbox
    ) -> None:
        address = new_address()
        client().auth.reset_password_for_email(address)
        assert mailbox.to(address) == []


class TestAdministration:
    def test_an_invited_person_confirms_by_the_hash_of_the_link(
        self, client: NewClient, admin: Any, mailbox: Mailbox
    ) -> None:
        address = new_address()
        invited = admin.invite_user_by_email(address).user
        assert invited.invited_at
        link, _ = latest(mailbox, address)
        supabase = client()
        hashed = httpx.URL(link).params["token"]
        supabase.auth.verify_otp({"token_hash": hashed, "type": "invite"})
        assert user(supabase).id == invited.id
        with pytest.raises(AuthApiError) as refused:
            admin.invite_user_by_email(address)
        assert (refused.value.status, refused.value.code) == (422, "email_exists")

    @pytest.mark.parametrize("kind", ["magiclink", "recovery"])
    def test_a_generated_link_signs_in_without_a_mail(
        self, kind: Any, client: NewClient, admin: Any, ada: Client, mailbox: Mailbox
    ) -> None:
        address = user(ada).email
        made = admin.generate_link({"type": kind, "email": address}).properties
        assert made.verification_type == kind
        supabase = client()
        supabase.auth.verify_otp({"email": address, "token": made.email_otp, "type": kind})
        assert user(supabase).id == user(ada).id
        assert mailbox.to(address) == []

    def test_a_link_for_an_unknown_address_signs_up(self, admin: Any) -> None:
        assert (
            admin.generate_link({"type": "magiclink", "email": new_address()}).properties.verification_type
            == "signup"
        )
        with pytest.raises(AuthApiError) as refused:
            admin.generate_link({"type": "recovery", "email": new_address()})
        assert (refused.value.status, refused.value.code) == (404, "user_not_found")

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            ({"type": "magiclink"}, 400, "validation_failed"),
            ({"type": "email_change_new", "email": "a@example.com"}, 400, "validation_failed"),
            ({"type": "nonsense", "email": "a@example.com"}, 400, "validation_failed"),
            ({"type": "signup", "email": "no-password@example.com"}, 400, "validation_failed"),
        ],
    )
    def test_a_link_needs_what_it_is_for(
        self, body: dict[str, str], status: int, code: str, stack: RunningStack
    ) -> None:
        headers = {"apikey": stack.secret_key}
        url = f"{stack.auth_url}/admin/generate_link"
        answer = httpx.post(url, json=body, headers=headers, trust_env=False)
        assert (answer.status_code, answer.json()["error_code"]) == (status, code)

    def test_a_banned_person_can_neither_sign_in_nor_refresh(
        self, client: NewClient, admin: Any, ada: Client
    ) -> None:
        address = user(ada).email
        admin.update_user_by_id(user(ada).id, {"ban_duration": "24h"})
        with pytest.raises(AuthApiError) as refreshing:
            ada.auth.refresh_session()
        with pytest.raises(AuthApiError) as signing_in:
            client().auth.sign_in_with_password({"email": address, "password": PASSWORD})
        for refused in (refreshing.value, signing_in.value):
            assert (refused.status, refused.code) == (400, "user_banned")
        admin.update_user_by_id(user(ada).id, {"ban_duration": "none"})
        ada.auth.refresh_session()

    def test_soft_deletion_leaves_a_row_without_anything_personal(
        self, client: NewClient, admin: Any, ada: Client, db: Connection
    ) -> None:
        before, token = user(ada), access_token(ada)
        admin.update_user_by_id(before.id, {"user_metadata": {"name": "Ada"}})
        for _ in range(2):  # the second time changes nothing
            admin.delete_user(before.id, should_soft_delete=True)
        row: Any = db.execute(
            "select email, raw_user_meta_data::text, encrypted_password, deleted_at is not null,"
            " email_confirmed_at is not null from auth.users where id = %s",
            (before.id,),
        ).fetchone()
        assert "@" not in row[0]
        assert len(row[0]) == 43
        assert row[1:] == ("{}", "", True, True)
        identities = "select identity_data::text from auth.identities where user_id = %s"
        assert db.execute(identities, (before.id,)).fetchall() == [("{}",)]
        with pytest.raises(AuthApiError) as refused:
            client().auth.get_user(token)
        assert (refused.value.status, refused.value.code) == (403, "session_not_found")
        with pytest.raises(AuthApiError):
            client().auth.sign_in_with_password({"email": before.email, "password": PASSWORD})
        # The address is free again.
        client().auth.sign_up({"email": before.email, "password": PASSWORD})


class TestNumbers:
    def test_a_person_with_a_number_alone_signs_up_and_files(
        self, stack: RunningStack, client: NewClient
    ) -> None:
        supabase, number = client(), new_number()
        supabase.auth.sign_up({"phone": f"+{number}", "password": PASSWORD})
        again = client()
        again.auth.sign_in_with_password({"phone": f"+{number}", "password": PASSWORD})
        assert user(again).phone == number
        assert claims(again)["phone"] == number
        assert claims(again)["email"] == ""
        assert claims(again)["app_metadata"] == {"provider": "phone", "providers": ["phone"]}
        assert file_a_bug(stack, access_token(again)).status_code == 200

    def test_a_code_signs_in(self, client: NewClient) -> None:
        supabase, number = client(), new_number()
        supabase.auth.sign_in_with_otp({"phone": f"+{number}"})
        supabase.auth.verify_otp({"phone": f"+{number}", "token": PHONE_CODE, "type": "sms"})
        assert user(supabase).phone == number

    def test_an_administrator_makes_one_and_nobody_a_second(self, client: NewClient, admin: Any) -> None:
        number = new_number()
        admin.create_user({"phone": number, "password": PASSWORD, "phone_confirm": True})
        client().auth.sign_in_with_password({"phone": number, "password": PASSWORD})
        with pytest.raises(AuthApiError) as refused:
            admin.create_user({"phone": number, "password": PASSWORD})
        assert (refused.value.status, refused.value.code) == (422, "phone_exists")


class TestConfirmation:
    def test_a_new_person_signs_in_only_after_confirming(
        self, confirming: str, client: NewClient, mailbox: Mailbox
    ) -> None:
        supabase, address = client(url=confirming), new_address()
        signed_up = supabase.auth.sign_up({"email": address, "password": PASSWORD})
        assert signed_up.session is None
        with pytest.raises(AuthApiError) as refused:
            supabase.auth.sign_in_with_password({"email": address, "password": PASSWORD})
        assert (refused.value.status, refused.value.code) == (400, "email_not_confirmed")
        supabase.auth.resend({"type": "signup", "email": address})
        _, code = latest(mailbox, address)
        supabase.auth.verify_otp({"email": address, "token": code, "type": "email"})
        supabase.auth.sign_in_with_password({"email": address, "password": PASSWORD})

    def test_a_sign_up_does_not_tell_who_is_known(
        self, confirming: str, client: NewClient, ada: Client
    ) -> None:
        again = client(url=confirming).auth.sign_up({"email": user(ada).email, "password": PASSWORD})
        assert again.session is None
        assert again.user
        assert again.user.identities == []

    def test_an_address_changes_when_both_have_confirmed(
        self, confirming: str, client: NewClient, ada: Client, mailbox: Mailbox, stack: RunningStack
    ) -> None:
        old, new = user(ada).email, new_address()
        there = client(url=confirming)
        there.auth.sign_in_with_password({"email": old, "password": PASSWORD})
        changing = there.auth.update_user({"email": new}).user
        assert (changing.email, changing.new_email) == (old, new)
        for address, expected in ((new, old), (old, new)):
            hashed = httpx.URL(latest(mailbox, address)[0]).params["token"]
            body = {"type": "email_change", "token_hash": hashed}
            headers = {"apikey": stack.anon_key}
            answer = httpx.post(f"{confirming}/auth/v1/verify", json=body, headers=headers, trust_env=False)
            assert answer.status_code == 200
            assert user(there).email == expected


class TestSecondFactor:
    def test_a_code_raises_the_session_to_level_2(
        self, client: NewClient, ada: Client, stack: RunningStack
    ) -> None:
        elsewhere = client()
        elsewhere.auth.sign_in_with_password({"email": user(ada).email, "password": PASSWORD})
        enrolled = ada.auth.mfa.enroll({"factor_type": "totp", "friendly_name": "phone"})
        assert enrolled.totp
        assert enrolled.totp.uri.startswith("otpauth://totp/")
        assert claims(ada)["aal"] == "aal1"
        assert level(ada) == ("aal1", "aal1")
        raised(ada, enrolled)
        assert claims(ada)["aal"] == "aal2"
        assert [entry["method"] for entry in claims(ada)["amr"]] == ["totp", "password"]
        assert level(ada) == ("aal2", "aal2")
        ada.auth.refresh_session()
        assert claims(ada)["aal"] == "aal2"
        assert file_a_bug(stack, access_token(ada)).status_code == 200
        # The weaker session elsewhere has ended.
        with pytest.raises(AuthApiError):
            elsewhere.auth.get_user()

    def test_a_wrong_code_and_a_used_challenge_are_refused(self, ada: Client) -> None:
        enrolled = ada.auth.mfa.enroll({"factor_type": "totp", "friendly_name": "phone"})
        assert enrolled.totp
        challenge = ada.auth.mfa.challenge({"factor_id": enrolled.id})
        now = time.time()
        near = {totp(enrolled.totp.secret, now + step * STEP_S) for step in range(-3, 4)}
        wrong = next(
            code for code in ("000000", "000001", *map(str, range(10**5, 10**6))) if code not in near
        )
        with pytest.raises(AuthApiError) as refused:
            ada.auth.mfa.verify({"factor_id": enrolled.id, "challenge_id": challenge.id, "code": wrong})
        assert (refused.value.status, refused.value.code) == (422, "mfa_verification_failed")
        code = totp(enrolled.totp.secret, time.time())
        ada.auth.mfa.verify({"factor_id": enrolled.id, "challenge_id": challenge.id, "code": code})
        with pytest.raises(AuthApiError) as used:
            ada.auth.mfa.verify({"factor_id": enrolled.id, "challenge_id": challenge.id, "code": code})
        assert used.value.status == 422

    def test_level_1_may_neither_add_nor_remove_a_factor(self, client: NewClient, ada: Client) -> None:
        enrolled = ada.auth.mfa.enroll({"factor_type": "totp", "friendly_name": "phone"})
        raised(ada, enrolled)
        weak = client()
        weak.auth.sign_in_with_password({"email": user(ada).email, "password": PASSWORD})
        assert level(weak) == ("aal1", "aal2")
        with pytest.raises(AuthApiError) as adding:
            weak.auth.mfa.enroll({"factor_type": "totp", "friendly_name": "other"})
        assert (adding.value.status, adding.value.code) == (403, "insufficient_aal")
        with pytest.raises(AuthApiError) as removing:
            weak.auth.mfa.unenroll({"factor_id": enrolled.id})
        assert (removing.value.status, removing.value.code) == (422, "insufficient_aal")
        ada.auth.mfa.unenroll({"factor_id": enrolled.id})
        ada.auth.refresh_session()
        assert claims(ada)["aal"] == "aal1"

    def test_names_are_taken_once_and_other_peoples_factors_are_unknown(
        self, client: NewClient, ada: Client
    ) -> None:
        enrolled = ada.auth.mfa.enroll({"factor_type": "totp", "friendly_name": "phone"})
        with pytest.raises(AuthApiError) as taken:
            ada.auth.mfa.enroll({"factor_type": "totp", "friendly_name": "phone"})
        assert (taken.value.status, taken.value.code) == (422, "mfa_factor_name_conflict")
        bob = client()
        bob.auth.sign_up({"email": new_address(), "password": PASSWORD})
        with pytest.raises(AuthApiError) as unknown:
            bob.auth.mfa.challenge({"factor_id": enrolled.id})
        assert (unknown.value.status, unknown.value.code) == (404, "mfa_factor_not_found")


def raised(supabase: Client, enrolled: Any) -> None:
    code = totp(enrolled.totp.secret, time.time())
    supabase.auth.mfa.challenge_and_verify({"factor_id": enrolled.id, "code": code})


def level(supabase: Client) -> tuple[str | None, str | None]:
    found = supabase.auth.mfa.get_authenticator_assurance_level()
    return found.current_level, found.next_level


def test_a_token_of_some_kilobytes_is_accepted_everywhere(stack: RunningStack, client: NewClient) -> None:
    supabase = client()
    about = {"about": "x" * 9_000}
    supabase.auth.sign_up({"email": new_address(), "password": PASSWORD, "options": {"data": about}})
    token = access_token(supabase)
    assert 12_000 < len(token) < 16_384
    assert file_a_bug(stack, token).status_code == 200
    assert len(supabase.table("support_tickets").select("id").execute().data) == 1


def test_a_larger_token_is_refused_with_the_reason(stack: RunningStack, client: NewClient) -> None:
    supabase = client()
    about = {"about": "x" * 13_000}
    supabase.auth.sign_up({"email": new_address(), "password": PASSWORD, "options": {"data": about}})
    refused = file_a_bug(stack, access_token(supabase))
    assert refused.status_code == 401
    assert "longer than 16,384 bytes" in refused.json()["error"]


@pytest.mark.skipif(not shutil.which("node"), reason="needs Node")
def test_supabase_js_signs_in_by_link_and_second_factor(stack: RunningStack) -> None:
    """PKCE, codes by number, and TOTP."""
    env = {
        "PATH": os.environ["PATH"],
        "URL": stack.supabase_url,
        "KEY": stack.anon_key,
        "SECRET": stack.secret_key,
        "MAIL": str(stack.stack.settings.home / "mail"),
        "EMAIL": new_address(),
        "PHONE": f"+{new_number()}",
        "PASSWORD": PASSWORD,
    }
    script = Path(__file__).with_name("supabase_accounts.mjs")
    done = subprocess.run(["node", script], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["linked"] == {"email": env["EMAIL"], "method": "magiclink"}
    assert seen["wrong_verifier"] == {"status": 400, "code": "bad_code_verifier"}
    assert seen["phone"] == env["PHONE"].removeprefix("+")
    assert seen["levels"] == ["aal1", "aal2"]
    assert seen["factors"] == ["verified"]
    assert seen["generated"] == env["EMAIL"]
    assert seen["deleted"] is None
    assert seen["afterwards"] == "AuthSessionMissingError"
