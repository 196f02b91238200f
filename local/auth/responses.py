"""Answers: people and sessions as the official clients read them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psycopg.errors import UniqueViolation
from starlette.responses import JSONResponse, Response

from local.auth import accounts, sessions
from local.auth.accounts import Row
from local.auth.errors import AuthError
from local.auth.request import AuthRequest
from local.auth.sessions import Session

LIFETIME_S = 3600
TIMES = (
    "email_confirmed_at",
    "phone_confirmed_at",
    "confirmed_at",
    "confirmation_sent_at",
    "recovery_sent_at",
    "email_change_sent_at",
    "phone_change_sent_at",
    "last_sign_in_at",
    "invited_at",
    "banned_until",
    "deleted_at",
    "created_at",
    "updated_at",
)


def user_json(user: Row) -> Row:
    """Describes a person."""
    optional = {
        "new_email": user["email_change"],
        "new_phone": user["phone_change"],
        "factors": user["factors"],
    }
    return {
        "id": str(user["id"]),
        **{name: user[name] for name in ("aud", "role", "is_anonymous", "identities")},
        **{name: user[name].isoformat() for name in TIMES if user[name]},
        **{name: value for name, value in optional.items() if value},
        "email": user["email"] or "",
        "phone": user["phone"] or "",
        "app_metadata": user["raw_app_meta_data"] or {},
        "user_metadata": user["raw_user_meta_data"] or {},
    }


def access_claims(user: Row, session: Session, issuer: str, aal: str, amr: list[Row]) -> Row:
    """Returns the claims that hosted Auth signs."""
    now = int(time.time())
    return {
        "iss": issuer,
        "sub": str(user["id"]),
        "aud": "authenticated",
        "exp": now + LIFETIME_S,
        "iat": now,
        "email": user["email"] or "",
        "phone": user["phone"] or "",
        "app_metadata": user["raw_app_meta_data"] or {},
        "user_metadata": user["raw_user_meta_data"] or {},
        "role": user["role"] or "authenticated",
        "aal": aal,
        "amr": amr,
        "session_id": str(session.id),
        "is_anonymous": user["is_anonymous"],
    }


def sign_in(call: AuthRequest, user: Row, method: str) -> Response:
    """Opens a session and answers with it."""
    return session_response(call, open_session(call, user, method))


def open_session(call: AuthRequest, user: Row, method: str) -> Session:
    """Opens a session for a person."""
    agent = call.request.headers.get("user-agent")
    return sessions.open_session(call.connection, user["id"], method, agent)


def session_response(call: AuthRequest, session: Session) -> Response:
    """Answers with a session."""
    return JSONResponse(session_json(call, session))


def session_json(call: AuthRequest, session: Session) -> dict[str, Any]:
    """Describes a session, with a new access token."""
    user = accounts.get_user(call.connection, session.user_id)
    aal, amr = sessions.assurance(call.connection, session.id)
    claims = access_claims(user, session, call.service.issuer, aal, amr)
    return {
        "access_token": call.service.keys.sign(claims),
        "token_type": "bearer",
        "expires_in": LIFETIME_S,
        "expires_at": claims["exp"],
        "refresh_token": session.refresh_token,
        "user": user_json(user),
    }


@contextmanager
def refused_if_taken(code: str, message: str) -> Iterator[None]:
    """Refuses an address or a number that another person has."""
    try:
        yield
    except UniqueViolation as error:
        if code == "email_exists" and "phone" in str(error.diag.constraint_name):
            code, message = "phone_exists", "A user with this phone number has already been registered"
        raise AuthError(422, code, message) from error
