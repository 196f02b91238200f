"""Stores people in the tables of the auth schema."""

import re
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from local.auth.errors import AuthError, invalid

Row = dict[str, Any]
Connection = psycopg.Connection[Row]

NO_INSTANCE = UUID(int=0)
# GoTrue fails on a null in these, so it stores empty text, and other programs copy its rows.
EMPTY = ("confirmation_token", "recovery_token", "email_change_token_new", "email_change")
USER = """
select u.*,
       coalesce(u.banned_until > now(), false) as is_banned,
       coalesce(
         (select jsonb_agg(to_jsonb(i) || jsonb_build_object('identity_id', i.id, 'id', i.provider_id))
            from identities i where i.user_id = u.id),
         '[]') as identities,
       coalesce(
         (select jsonb_agg(to_jsonb(f) - '{user_id,secret,last_challenged_at}'::text[] order by f.created_at)
            from mfa_factors f where f.user_id = u.id),
         '[]') as factors
  from users u
"""


@dataclass(frozen=True)
class NewUser:
    """A person to be stored; without address and number, an anonymous one."""

    email: str | None = None
    password: str | None = None
    phone: str | None = None
    confirmed: bool = True
    user_metadata: Row = field(default_factory=dict)
    app_metadata: Row = field(default_factory=dict)
    id: UUID | None = None


def connect(url: str) -> Connection:
    """Opens a connection that commits each statement."""
    return psycopg.connect(url, autocommit=True, row_factory=dict_row, connect_timeout=5)


def find_user(connection: Connection, user_id: UUID) -> Row | None:
    """Returns the person with this id, soft-deleted ones too."""
    return connection.execute(f"{USER} where u.id = %s", (user_id,)).fetchone()


def find_user_by_email(connection: Connection, email: str) -> Row | None:
    """Returns the person with this address, in any case of its letters."""
    return connection.execute(f"{USER} where u.email = lower(%s) and not u.is_sso_user", (email,)).fetchone()


def find_user_by_phone(connection: Connection, phone: str) -> Row | None:
    """Returns the person with this number."""
    return connection.execute(f"{USER} where u.phone = %s", (phone,)).fetchone()


def get_user(connection: Connection, user_id: UUID) -> Row:
    """Returns the person with this id; refuses an unknown one."""
    user = find_user(connection, user_id)
    if user is None:
        raise AuthError(404, "user_not_found", "User not found")
    return user


def list_users(connection: Connection, page: int, per_page: int) -> list[Row]:
    """Returns a page of all people, the newest first."""
    order = f"{USER} order by u.created_at desc, u.id limit %s offset %s"
    return connection.execute(order, (per_page, (page - 1) * per_page)).fetchall()


def find_by_password(connection: Connection, email: str, phone: str, password: str) -> Row:
    """Returns the person with this address or number and this password."""
    column, value = ("email", email.lower()) if email else ("phone", phone.removeprefix("+"))
    matches = "u.encrypted_password = extensions.crypt(%s, u.encrypted_password)"
    by_password = f"{USER} where u.{column} = %s and not u.is_sso_user and {matches}"
    user = connection.execute(by_password, (value, password)).fetchone()
    if user is None:
        raise AuthError(400, "invalid_credentials", "Invalid login credentials")
    refuse_banned(user)
    if user[f"{column}_confirmed_at"] is None:
        raise AuthError(400, f"{column}_not_confirmed", f"{column.title()} not confirmed")
    return user


def refuse_banned(user: Row, status: int = 400, message: str = "User is banned") -> None:
    """Refuses a person whom an administrator has banned."""
    if user["is_banned"]:
        raise AuthError(status, "user_banned", message)


def add_user(connection: Connection, new: NewUser) -> Row:
    """Stores a new person."""
    user_id = new.id or uuid4()
    providers = [name for name, value in (("email", new.email), ("phone", new.phone)) if value]
    provider = {"provider": providers[0], "providers": providers} if providers else {}
    columns = {
        "instance_id": NO_INSTANCE,
        "id": user_id,
        "aud": "authenticated",
        "role": "authenticated",
        "email": new.email and new.email.lower(),
        "phone": new.phone or None,
        "raw_app_meta_data": Jsonb({**provider, **new.app_metadata}),
        "raw_user_meta_data": Jsonb({**new.user_metadata, **_identity_data(user_id, new)}),
        "is_anonymous": not providers,
        **dict.fromkeys(EMPTY, ""),
    }
    with connection.transaction():
        names, places = ", ".join(columns), ", ".join(["%s"] * len(columns))
        insert = f"insert into users ({names}, created_at, updated_at) values ({places}, now(), now())"
        connection.execute(insert, list(columns.values()))
        for name in providers:
            _add_identity(connection, user_id, name, new)
        if new.password:
            set_password(connection, user_id, new.password)
        if new.confirmed:
            confirm(connection, user_id, *providers)
    return get_user(connection, user_id)


def confirm(connection: Connection, user_id: UUID, *columns: str) -> None:
    """Confirms a person's address, number or both."""
    for column in columns:
        connection.execute(
            f"update users set {column}_confirmed_at = coalesce({column}_confirmed_at, now()),"
            f" updated_at = now() where id = %s",
            (user_id,),
        )


def set_password(connection: Connection, user_id: UUID, password: str) -> None:
    """Stores the bcrypt hash of a password."""
    hashed = "extensions.crypt(%s, extensions.gen_salt('bf', 10))"
    connection.execute(f"update users set encrypted_password = {hashed} where id = %s", (password, user_id))


def is_password(connection: Connection, user_id: UUID, password: str) -> bool:
    """Returns whether this is the person's password."""
    matches = "encrypted_password = extensions.crypt(%s, encrypted_password)"
    return (
        connection.execute(f"select from users where id = %s and {matches}", (user_id, password)).rowcount
        == 1
    )


def update_user(connection: Connection, user_id: UUID, change: NewUser) -> Row:
    """Changes the given values, an address or a number as confirmed ones, and leaves the rest."""
    with connection.transaction():
        connection.execute(
            """
            update users
               set email = coalesce(lower(%(email)s), email),
                   email_confirmed_at = case when %(email)s::text is null then email_confirmed_at else now() end,
                   phone = coalesce(%(phone)s, phone),
                   phone_confirmed_at = case when %(phone)s::text is null then phone_confirmed_at else now() end,
                   is_anonymous = is_anonymous and %(email)s::text is null and %(phone)s::text is null,
                   raw_user_meta_data = (coalesce(raw_user_meta_data, '{}') || %(user)s) - %(no_user)s::text[],
                   raw_app_meta_data = (coalesce(raw_app_meta_data, '{}') || %(app)s) - %(no_app)s::text[],
                   updated_at = now()
             where id = %(id)s
            """,
            {
                "id": user_id,
                "email": change.email or None,
                "phone": change.phone or None,
                "user": Jsonb(change.user_metadata),
                "app": Jsonb(change.app_metadata),
                # A null removes its key.
                "no_user": [name for name, value in change.user_metadata.items() if value is None],
                "no_app": [name for name, value in change.app_metadata.items() if value is None],
            },
        )
        if change.password:
            set_password(connection, user_id, change.password)
        for name, value in (("email", change.email), ("phone", change.phone)):
            if value:
                _add_identity(connection, user_id, name, change)
    return get_user(connection, user_id)


def ban(connection: Connection, user_id: UUID, duration: str) -> None:
    """Bans a person for a duration such as 24h, or lifts the ban with none."""
    if duration != "none" and not re.fullmatch(r"(\d+(\.\d+)?(h|m|s))+", duration):
        raise invalid(f"invalid format for ban duration: {duration}")
    connection.execute(
        "update users set banned_until = case when %(for)s <> 'none' then now() + %(for)s::interval end,"
        " updated_at = now() where id = %(id)s",
        {"for": duration, "id": user_id},
    )


def delete_user(connection: Connection, user_id: UUID, *, soft: bool = False) -> None:
    """Deletes a person, or blanks everything personal and leaves the row: soft deletion."""
    user = get_user(connection, user_id)
    if not soft:
        connection.execute("delete from users where id = %s", (user_id,))
    elif user["deleted_at"] is None:
        with connection.transaction():
            _soft_delete(connection, user)


def _soft_delete(connection: Connection, user: Row) -> None:
    connection.execute(
        """
        update users
           set email = %(email)s, phone = %(phone)s, email_change = '', phone_change = '', encrypted_password = '',
               confirmation_token = '', recovery_token = '', email_change_token_current = '',
               email_change_token_new = '', phone_change_token = '',
               raw_user_meta_data = '{}', raw_app_meta_data = '{}', deleted_at = now()
         where id = %(id)s
        """,
        {
            "id": user["id"],
            "email": user["email"] and _obfuscate(user["id"], user["email"]),
            # Columns of numbers were 15 characters long once.
            "phone": user["phone"] and _obfuscate(user["id"], user["phone"])[:15],
        },
    )
    for identity in user["identities"]:
        hidden = _obfuscate(user["id"], f"{identity['provider']}:{identity['provider_id']}")
        connection.execute(
            "update identities set provider_id = %s, identity_data = '{}' where id = %s",
            (hidden, identity["identity_id"]),
        )
    for table in ("mfa_factors", "sessions", "one_time_tokens"):
        connection.execute(f"delete from {table} where user_id = %s", (user["id"],))


def _obfuscate(user_id: UUID, text: str) -> str:
    return urlsafe_b64encode(sha256(f"{user_id}{text}".encode()).digest()).rstrip(b"=").decode()


def random_password() -> str:
    """Returns a password that nobody has."""
    return secrets.token_urlsafe(32)


def _identity_data(user_id: UUID, new: NewUser) -> Row:
    if not new.email and not new.phone:
        return {}
    data: Row = {"sub": str(user_id), "email_verified": bool(new.email) and new.confirmed}
    data["phone_verified"] = bool(new.phone) and new.confirmed
    named = {"email": new.email and new.email.lower(), "phone": new.phone}
    return data | {name: value for name, value in named.items() if value}


def _add_identity(connection: Connection, user_id: UUID, provider: str, new: NewUser) -> None:
    connection.execute(
        """
        insert into identities
               (provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at)
        values (%s, %s, %s, %s, now(), now(), now())
            on conflict (provider_id, provider)
            do update set identity_data = identities.identity_data || excluded.identity_data, updated_at = now()
        """,
        (str(user_id), user_id, Jsonb(_identity_data(user_id, new)), provider),
    )
