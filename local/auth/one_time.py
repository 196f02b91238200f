"""Stores one-time tokens: codes and links for confirmation, sign-in, recovery and changes, and PKCE flows."""

import secrets
from base64 import urlsafe_b64encode
from hashlib import sha224, sha256
from hmac import compare_digest
from typing import NamedTuple
from uuid import UUID, uuid4

from local.auth.accounts import Connection, Row, get_user, refuse_banned
from local.auth.errors import AuthError, invalid

TTL = "1 hour"
FLOW_TTL = "5 minutes"
# No text message leaves this machine, so every number gets this code.
PHONE_CODE = "123456"
PKCE = "pkce_"
# By the type that a client verifies: the kinds of tokens it may redeem.
KINDS = {
    "signup": ("confirmation_token",),
    "invite": ("confirmation_token",),
    "magiclink": ("recovery_token",),
    "recovery": ("recovery_token",),
    "email": ("confirmation_token", "recovery_token"),
    "email_change": ("email_change_token_new", "email_change_token_current"),
    "sms": ("confirmation_token",),
    "phone_change": ("phone_change_token",),
}
SENT_AT = {
    "confirmation_token": "confirmation_sent_at",
    "recovery_token": "recovery_sent_at",
    "email_change_token_new": "email_change_sent_at",
    "email_change_token_current": "email_change_sent_at",
    "phone_change_token": "phone_change_sent_at",
}


class OneTimeToken(NamedTuple):
    """A code for typing, and its hash for links."""

    code: str
    hashed: str


def hash_code(address: str, code: str) -> str:
    """Hashes a code with the address or number that it was sent to."""
    return sha224(f"{address}{code}".encode("utf-8", "replace")).hexdigest()


def issue(
    connection: Connection, user_id: UUID, kind: str, address: str, *, pkce: bool = False
) -> OneTimeToken:
    """Stores a new token of a kind, in place of the person's last one."""
    code = f"{secrets.randbelow(1_000_000):06}" if "@" in address else PHONE_CODE
    hashed = (PKCE if pkce else "") + hash_code(address, code)
    connection.execute(
        """
        insert into one_time_tokens (id, user_id, token_type, token_hash, relates_to)
        values (%s, %s, %s, %s, %s)
            on conflict (user_id, token_type)
            do update set token_hash = excluded.token_hash, relates_to = excluded.relates_to,
                          created_at = localtimestamp, updated_at = localtimestamp
        """,
        (uuid4(), user_id, kind, hashed, address),
    )
    connection.execute(
        f"update users set {kind} = %s, {SENT_AT[kind]} = now() where id = %s", (hashed, user_id)
    )
    return OneTimeToken(code, hashed)


def redeem(connection: Connection, type_: str, hashed: str) -> tuple[Row, str]:
    """Returns the person of a token and its kind, and uses it up."""
    if type_ not in KINDS:
        raise invalid(f"Unsupported verification type {type_!r}")
    found = connection.execute(
        """
        delete from one_time_tokens
         where token_type = any(%s::one_time_token_type[]) and token_hash = any(%s)
           and created_at > localtimestamp - %s::interval
        returning user_id, token_type::text
        """,
        (list(KINDS[type_]), [hashed, PKCE + hashed], TTL),
    ).fetchone()
    if found is None:
        raise AuthError(403, "otp_expired", "Token has expired or is invalid")
    kind = str(found["token_type"])
    connection.execute(f"update users set {kind} = '' where id = %s", (found["user_id"],))
    user = get_user(connection, found["user_id"])
    refuse_banned(user, 403)
    return user, kind


def has_token(connection: Connection, user_id: UUID, *kinds: str) -> bool:
    """Returns whether the person has a token of one of these kinds."""
    waiting = "select from one_time_tokens where user_id = %s and token_type = any(%s::one_time_token_type[])"
    return connection.execute(waiting, (user_id, list(kinds))).rowcount > 0


def begin_flow(connection: Connection, user_id: UUID, challenge: str, method: str, purpose: str) -> None:
    """Stores a client's challenge until its link is opened."""
    connection.execute(
        """
        insert into flow_state (id, user_id, auth_code, code_challenge_method, code_challenge, provider_type,
                                authentication_method, created_at, updated_at)
        values (gen_random_uuid(), %s, %s, %s, %s, 'email', %s, now(), now())
        """,
        (user_id, str(uuid4()), method.lower(), challenge, purpose),
    )


def issue_flow_code(connection: Connection, user_id: UUID) -> str:
    """Returns the code that the person's latest flow is finished with."""
    row = connection.execute(
        """
        update flow_state set auth_code_issued_at = now(), updated_at = now()
         where id = (select id from flow_state where user_id = %s order by created_at desc limit 1)
        returning auth_code
        """,
        (user_id,),
    ).fetchone()
    if row is None:
        raise AuthError(404, "flow_state_not_found", "No associated flow state found")
    return str(row["auth_code"])


def finish_flow(connection: Connection, code: str, verifier: str) -> tuple[UUID, str]:
    """Returns the person and the purpose of a flow, for the client that holds its verifier."""
    flow = connection.execute(
        "select *, auth_code_issued_at > now() - %s::interval as is_fresh from flow_state where auth_code = %s",
        (FLOW_TTL, code),
    ).fetchone()
    if flow is None:
        raise AuthError(404, "flow_state_not_found", "invalid flow state, no valid flow state found")
    if not flow["is_fresh"]:
        raise AuthError(403, "flow_state_expired", "invalid flow state, flow state has expired")
    expected = verifier
    if flow["code_challenge_method"] == "s256":
        expected = urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    if not compare_digest(expected.encode(), flow["code_challenge"].encode()):
        raise AuthError(
            400, "bad_code_verifier", "code challenge does not match previously saved code verifier"
        )
    connection.execute("delete from flow_state where id = %s", (flow["id"],))
    return flow["user_id"], flow["authentication_method"]
