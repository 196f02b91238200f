"""People, their sessions and their refresh tokens, in the tables of the auth schema."""

import secrets
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

Row = dict[str, Any]
Connection = psycopg.Connection[Row]

NO_INSTANCE = UUID(int=0)
# GoTrue fails on a null in these, so it stores empty text, and so does everybody who copies its rows.
EMPTY = ("confirmation_token", "recovery_token", "email_change_token_new", "email_change")
USER = """
select u.*,
       coalesce(
         (select jsonb_agg(to_jsonb(i) || jsonb_build_object('identity_id', i.id, 'id', i.provider_id))
            from identities i where i.user_id = u.id),
         '[]') as identities
  from users u
 where u.deleted_at is null
"""


class AuthError(Exception):
    """A refusal in GoTrue's shape."""

    def __init__(self, status: int, code: str, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"code": status, "error_code": code, "msg": message, **extra}


@dataclass(frozen=True)
class NewUser:
    """What a person brings along, or what an administrator says about one."""

    email: str | None = None
    password: str | None = None
    phone: str | None = None
    confirmed: bool = True
    user_metadata: Row = field(default_factory=dict)
    app_metadata: Row = field(default_factory=dict)
    id: UUID | None = None


@dataclass(frozen=True)
class Session:
    """A session and the one refresh token that goes on with it."""

    id: UUID
    user_id: UUID
    refresh_token: str
    method: str


def connect(url: str) -> Connection:
    """A connection that commits each statement."""
    return psycopg.connect(url, autocommit=True, row_factory=dict_row, connect_timeout=5)


def find_user(connection: Connection, user_id: UUID) -> Row | None:
    """The person with this id."""
    return connection.execute(f"{USER} and u.id = %s", (user_id,)).fetchone()


def find_user_by_email(connection: Connection, email: str) -> Row | None:
    """The person with this address; case does not matter."""
    return connection.execute(f"{USER} and lower(u.email) = lower(%s)", (email,)).fetchone()


def list_users(connection: Connection, page: int, per_page: int) -> list[Row]:
    """A page of everybody, the newest first."""
    order = f"{USER} order by u.created_at desc, u.id limit %s offset %s"
    return connection.execute(order, (per_page, (page - 1) * per_page)).fetchall()


def find_by_password(connection: Connection, email: str, password: str) -> Row:
    """The person who knows this password."""
    matches = "u.encrypted_password = extensions.crypt(%s, u.encrypted_password)"
    by_password = f"{USER} and lower(u.email) = lower(%s) and {matches}"
    user = connection.execute(by_password, (email, password)).fetchone()
    if user is None:
        raise AuthError(400, "invalid_credentials", "Invalid login credentials")
    refuse_if_banned(connection, user["id"])
    if user["email_confirmed_at"] is None:
        raise AuthError(400, "email_not_confirmed", "Email not confirmed")
    return user


def refuse_if_banned(connection: Connection, user_id: UUID) -> None:
    """Keep out whom an administrator has banned."""
    banned = "select from users where id = %s and banned_until > now()"
    if connection.execute(banned, (user_id,)).rowcount:
        raise AuthError(400, "user_banned", "User is banned")


def add_user(connection: Connection, new: NewUser) -> Row:
    """A new person; without an e-mail address, an anonymous one."""
    user_id = new.id or uuid4()
    provider = {"provider": "email", "providers": ["email"]} if new.email else {}
    columns = {
        "instance_id": NO_INSTANCE,
        "id": user_id,
        "aud": "authenticated",
        "role": "authenticated",
        "email": new.email and new.email.lower(),
        "phone": new.phone,
        "raw_app_meta_data": Jsonb({**provider, **new.app_metadata}),
        "raw_user_meta_data": Jsonb({**new.user_metadata, **_identity(user_id, new)}),
        "is_anonymous": new.email is None and new.phone is None,
        **dict.fromkeys(EMPTY, ""),
    }
    with connection.transaction():
        names, places = ", ".join(columns), ", ".join(["%s"] * len(columns))
        insert = f"insert into users ({names}, created_at, updated_at) values ({places}, now(), now())"
        connection.execute(insert, list(columns.values()))
        if new.email:
            _add_identity(connection, user_id, new)
        if new.password:
            set_password(connection, user_id, new.password)
        if new.confirmed and new.email:
            connection.execute("update users set email_confirmed_at = now() where id = %s", (user_id,))
    return get_user(connection, user_id)


def get_user(connection: Connection, user_id: UUID) -> Row:
    """The person with this id, who must be there."""
    user = find_user(connection, user_id)
    if user is None:
        raise AuthError(404, "user_not_found", "User not found")
    return user


def set_password(connection: Connection, user_id: UUID, password: str) -> None:
    """Keep the bcrypt hash of a password."""
    hashed = "extensions.crypt(%s, extensions.gen_salt('bf', 10))"
    connection.execute(f"update users set encrypted_password = {hashed} where id = %s", (password, user_id))


def update_user(connection: Connection, user_id: UUID, change: NewUser, *, ban: str | None = None) -> Row:
    """Change what is given and leave the rest."""
    with connection.transaction():
        connection.execute(
            """
            update users
               set email = coalesce(lower(%(email)s), email),
                   email_confirmed_at = case when %(email)s::text is null then email_confirmed_at else now() end,
                   phone = coalesce(%(phone)s, phone),
                   is_anonymous = is_anonymous and %(email)s::text is null and %(phone)s::text is null,
                   raw_user_meta_data = coalesce(raw_user_meta_data, '{}') || %(user)s,
                   raw_app_meta_data = coalesce(raw_app_meta_data, '{}') || %(app)s,
                   banned_until = case when %(ban)s::text is null then banned_until
                                       when %(ban)s::text <> 'none' then now() + %(ban)s::interval end,
                   updated_at = now()
             where id = %(id)s
            """,
            {
                "id": user_id,
                "email": change.email,
                "phone": change.phone,
                "user": Jsonb(change.user_metadata),
                "app": Jsonb(change.app_metadata),
                "ban": ban,
            },
        )
        if change.password:
            set_password(connection, user_id, change.password)
    return get_user(connection, user_id)


def delete_user(connection: Connection, user_id: UUID) -> None:
    """Remove a person for good, with all sessions."""
    if connection.execute("delete from users where id = %s", (user_id,)).rowcount == 0:
        raise AuthError(404, "user_not_found", "User not found")


def open_session(connection: Connection, user_id: UUID, method: str, user_agent: str | None) -> Session:
    """Sign a person in."""
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
        return Session(session_id, user_id, _add_refresh_token(connection, session_id, user_id), method)


def session_is_open(connection: Connection, session_id: str) -> bool:
    """Whether nobody has signed out of it."""
    return connection.execute("select from sessions where id::text = %s", (session_id,)).rowcount == 1


def rotate(connection: Connection, token: str) -> Session:
    """Trade a refresh token for the next one; a stolen one ends its session's whole family of tokens."""
    with connection.transaction():
        session = _trade(connection, token)
    # Raised after the commit: the revocation has to stay.
    if session is None:
        raise AuthError(400, "refresh_token_already_used", "Invalid Refresh Token: Already Used")
    refuse_if_banned(connection, session.user_id)
    return session


def close_sessions(connection: Connection, user_id: UUID, session_id: str, scope: str) -> None:
    """Sign out here (local), elsewhere (others) or everywhere (global)."""
    conditions = {"local": "id::text = %(session)s", "others": "id::text <> %(session)s", "global": "true"}
    if scope not in conditions:
        raise AuthError(400, "validation_failed", f"Unsupported logout scope {scope!r}")
    delete = f"delete from sessions where user_id = %(user)s and {conditions[scope]}"
    connection.execute(delete, {"user": user_id, "session": session_id})


def _trade(connection: Connection, token: str) -> Session | None:
    row = connection.execute(
        "select t.*, s.user_id as person from refresh_tokens t join sessions s on s.id = t.session_id"
        " where t.token = %s for update of s",
        (token,),
    ).fetchone()
    if row is None:
        raise AuthError(400, "refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found")
    session_id, user_id = row["session_id"], row["person"]
    live = "select token, parent from refresh_tokens where session_id = %s and not revoked"
    current = connection.execute(live, (session_id,)).fetchone()
    if current and current["token"] == token:
        fresh = _add_refresh_token(connection, session_id, user_id, parent=token)
        return Session(session_id, user_id, fresh, "token_refresh")
    if current and current["parent"] == token:
        # The client never saw our last answer, or two tabs asked at once.
        return Session(session_id, user_id, current["token"], "token_refresh")
    connection.execute("update refresh_tokens set revoked = true where session_id = %s", (session_id,))
    return None


def _add_refresh_token(
    connection: Connection, session_id: UUID, user_id: UUID, parent: str | None = None
) -> str:
    token = secrets.token_urlsafe(16)
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


def _identity(user_id: UUID, new: NewUser) -> Row:
    if not new.email:
        return {}
    return {
        "sub": str(user_id),
        "email": new.email.lower(),
        "email_verified": new.confirmed,
        "phone_verified": False,
    }


def _add_identity(connection: Connection, user_id: UUID, new: NewUser) -> None:
    connection.execute(
        """
        insert into identities
               (provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at)
        values (%s, %s, %s, 'email', now(), now(), now())
        """,
        (str(user_id), user_id, Jsonb(_identity(user_id, new))),
    )
