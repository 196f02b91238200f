"""Stores sessions, their assurance level and their refresh tokens."""

import re
import secrets
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from local.auth.accounts import NO_INSTANCE, Connection, Row, get_user, refuse_banned
from local.auth.errors import AuthError, invalid

# For so long a traded token is accepted once more: two tabs may refresh at once.
REUSE_S = 10
ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
TOKEN = re.compile(r"[a-z0-9]{12}")


@dataclass(frozen=True)
class Session:
    """A session and its current refresh token."""

    id: UUID
    user_id: UUID
    refresh_token: str


def open_session(connection: Connection, user_id: UUID, method: str, user_agent: str | None) -> Session:
    """Signs a person in."""
    session_id = uuid4()
    with connection.transaction():
        connection.execute(
            "update users set last_sign_in_at = now(), updated_at = now() where id = %s", (user_id,)
        )
        connection.execute(
            "insert into sessions (id, user_id, created_at, updated_at, aal, user_agent)"
            " values (%s, %s, now(), now(), 'aal1', %s)",
            (session_id, user_id, user_agent),
        )
        add_method(connection, session_id, method)
        return Session(session_id, user_id, _add_refresh_token(connection, session_id, user_id))


def find_session(connection: Connection, session_id: str) -> Row | None:
    """Returns an open session."""
    return connection.execute("select * from sessions where id::text = %s", (session_id,)).fetchone()


def add_method(connection: Connection, session_id: UUID, method: str) -> None:
    """Records how the person proved who they are: the token's amr claim."""
    connection.execute(
        """
        insert into mfa_amr_claims (id, session_id, authentication_method, created_at, updated_at)
        values (gen_random_uuid(), %s, %s, now(), now())
            on conflict (session_id, authentication_method) do update set updated_at = now()
        """,
        (session_id, method),
    )


def assurance(connection: Connection, session_id: UUID) -> tuple[str, list[dict[str, Any]]]:
    """Returns a session's level and methods, the newest first."""
    row = connection.execute(
        """
        select s.aal::text,
               (select jsonb_agg(jsonb_build_object('method', a.authentication_method,
                                                    'timestamp', extract(epoch from a.updated_at)::bigint)
                                 order by a.updated_at desc)
                  from mfa_amr_claims a where a.session_id = s.id) as amr
          from sessions s where s.id = %s
        """,
        (session_id,),
    ).fetchone()
    return (row["aal"], row["amr"] or []) if row else ("aal1", [])


def raise_to_aal2(connection: Connection, session_id: UUID, user_id: UUID, factor_id: UUID) -> Session:
    """Raises a session's level, ends the person's weaker sessions, and renews the refresh token."""
    connection.execute(
        "update sessions set aal = 'aal2', factor_id = %s, updated_at = now() where id = %s",
        (factor_id, session_id),
    )
    add_method(connection, session_id, "totp")
    connection.execute("delete from sessions where user_id = %s and aal < 'aal2'", (user_id,))
    live = "select token from refresh_tokens where session_id = %s and not revoked"
    current = connection.execute(live, (session_id,)).fetchone()
    parent = current["token"] if current else None
    return Session(session_id, user_id, _add_refresh_token(connection, session_id, user_id, parent))


def lower_to_aal1(connection: Connection, factor_id: UUID) -> None:
    """Lowers the sessions that a removed factor had raised."""
    connection.execute(
        "update sessions set aal = 'aal1', factor_id = null where factor_id = %s", (factor_id,)
    )


def rotate(connection: Connection, token: str) -> Session:
    """Trades a refresh token for the next one; a stolen one ends its session's whole family of tokens."""
    if not TOKEN.fullmatch(token):
        raise invalid("Refresh token is not valid")
    with connection.transaction():
        session = _trade(connection, token)
    # Raised after the commit: the revocation has to stay.
    if session is None:
        raise AuthError(400, "refresh_token_already_used", "Invalid Refresh Token: Already Used")
    return session


def close_sessions(connection: Connection, user_id: UUID, session_id: str, scope: str) -> None:
    """Signs out here (local), elsewhere (others) or everywhere (global)."""
    conditions = {"local": "id::text = %(session)s", "others": "id::text <> %(session)s", "global": "true"}
    if scope not in conditions:
        raise invalid(f"Unsupported logout scope {scope!r}")
    delete = f"delete from sessions where user_id = %(user)s and {conditions[scope]}"
    connection.execute(delete, {"user": user_id, "session": session_id})


def _trade(connection: Connection, token: str) -> Session | None:
    row = connection.execute(
        "select t.*, s.user_id as person, t.updated_at > now() - make_interval(secs => %s) as is_fresh"
        " from refresh_tokens t join sessions s on s.id = t.session_id where t.token = %s for update of s",
        (REUSE_S, token),
    ).fetchone()
    if row is None:
        raise AuthError(400, "refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found")
    session_id, user_id = row["session_id"], row["person"]
    refuse_banned(get_user(connection, user_id), message="Invalid Refresh Token: User Banned")
    live = "select token, parent from refresh_tokens where session_id = %s and not revoked"
    current = connection.execute(live, (session_id,)).fetchone()
    if current and current["token"] == token:
        return Session(session_id, user_id, _add_refresh_token(connection, session_id, user_id, token))
    # The client may never have seen the last answer.
    if current and (current["parent"] == token or row["is_fresh"]):
        return Session(session_id, user_id, current["token"])
    connection.execute("update refresh_tokens set revoked = true where session_id = %s", (session_id,))
    return None


def _add_refresh_token(
    connection: Connection, session_id: UUID, user_id: UUID, parent: str | None = None
) -> str:
    token = "".join(secrets.choice(ALPHABET) for _ in range(12))
    connection.execute(
        "update refresh_tokens set revoked = true, updated_at = now() where token = %s", (parent,)
    )
    connection.execute(
        "update sessions set refreshed_at = now(), updated_at = now() where id = %s", (session_id,)
    )
    connection.execute(
        """
        insert into refresh_tokens
               (instance_id, token, user_id, revoked, created_at, updated_at, parent, session_id)
        values (%s, %s, %s, false, now(), now(), %s, %s)
        """,
        (NO_INSTANCE, token, str(user_id), parent, session_id),
    )
    return token
