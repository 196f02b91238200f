"""Auth as the official clients know it from GoTrue: sign-up, sign-in, refresh, sign-out, administration."""

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import jwt
import psycopg
from psycopg.errors import UniqueViolation
from pydantic import AfterValidator, BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.auth import accounts
from local.auth.accounts import AuthError, Connection, NewUser, Row, Session
from local.auth.keys import Keys, load_keys
from local.ports import answering
from local.postgres import Database
from local.process import ROOT, Part, running
from local.serving import serve

LIFETIME = 3600
SHORTEST_PASSWORD = 6
LONGEST_PASSWORD = 72


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds a NUL character")
    return text


def _address(text: str) -> str:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", _no_nul(text)):
        raise ValueError("Unable to validate email address: invalid format")
    return text


def _password(text: str) -> str:
    if len(_no_nul(text).encode()) > LONGEST_PASSWORD:
        raise ValueError(f"Password cannot be longer than {LONGEST_PASSWORD} characters")
    if len(text) < SHORTEST_PASSWORD:
        message = f"Password should be at least {SHORTEST_PASSWORD} characters."
        raise AuthError(422, "weak_password", message, weak_password={"reasons": ["length"]})
    return text


Text = Annotated[str, AfterValidator(_no_nul)]
Address = Annotated[str, AfterValidator(_address)]
Password = Annotated[str, AfterValidator(_password)]


@contextmanager
def run_auth(home: Path, database: Database, keys_file: Path, issuer: str, port: int) -> Iterator[Part]:
    """The service in a process of its own."""
    url = database.url("supabase_auth_admin")
    env = {
        "PYTHONPATH": str(ROOT),
        "PORT": str(port),
        "DATABASE_URL": url,
        "KEYS": str(keys_file),
        "ISSUER": issuer,
    }
    command = [sys.executable, "-m", "local.auth.gotrue"]
    with running("auth", command, home=home, env=env, ready=answering(port, "/health")) as part:
        yield part


class PasswordGrant(BaseModel):
    """Body of /token?grant_type=password."""

    email: Text
    password: Text


class RefreshGrant(BaseModel):
    """Body of /token?grant_type=refresh_token."""

    refresh_token: Text


class Person(BaseModel):
    """Body of /signup and of PUT /user."""

    email: Address | None = None
    password: Password | None = None
    phone: Text | None = None
    data: dict[str, Any] = {}

    def account(self) -> NewUser:
        """As the accounts module takes it."""
        return NewUser(self.email or None, self.password or None, self.phone or None, user_metadata=self.data)


class ManagedPerson(BaseModel):
    """Body of POST and PUT /admin/users."""

    id: UUID | None = None
    email: Address | None = None
    password: Password | None = None
    phone: Text | None = None
    email_confirm: bool = False
    user_metadata: dict[str, Any] = {}
    app_metadata: dict[str, Any] = {}
    ban_duration: Text | None = None

    def account(self) -> NewUser:
        """As the accounts module takes it."""
        fields = self.model_dump(exclude={"email_confirm", "ban_duration"})
        return NewUser(**fields, confirmed=self.email_confirm)


@dataclass(frozen=True)
class Call:
    """One request, with what it needs to be answered."""

    request: Request
    body: bytes
    connection: Connection
    keys: Keys
    issuer: str

    def claims(self) -> Row:
        """The claims of the bearer's token."""
        scheme, _, token = self.request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise AuthError(401, "no_authorization", "This endpoint requires a valid Bearer token")
        try:
            key = jwt.PyJWK(self.keys.public_jwk()).key
            return dict(jwt.decode(token, key, ["ES256"], options={"verify_aud": False, "require": ["exp"]}))
        except jwt.InvalidTokenError as error:
            message = f"invalid JWT: unable to parse or verify signature, {error}"
            raise AuthError(403, "bad_jwt", message) from error

    def bearer(self) -> tuple[Row, str]:
        """The person who calls and the session that the token belongs to."""
        claims = self.claims()
        try:
            user_id = UUID(claims.get("sub"))
        except (TypeError, ValueError) as error:
            raise AuthError(403, "bad_jwt", "invalid claim: sub claim must be a UUID") from error
        user = accounts.find_user(self.connection, user_id)
        if user is None:
            raise AuthError(403, "user_not_found", "User from sub claim in JWT does not exist")
        session_id = claims.get("session_id", "")
        if session_id and not accounts.session_is_open(self.connection, session_id):
            raise AuthError(403, "session_not_found", "Session from session_id claim in JWT does not exist")
        return user, session_id

    def require_admin(self) -> None:
        """Let only the secret key pass."""
        if self.claims().get("role") != "service_role":
            raise AuthError(403, "not_admin", "User not allowed")

    def user_id(self) -> UUID:
        """The person in the path."""
        try:
            return UUID(self.request.path_params["user_id"])
        except ValueError as error:
            raise AuthError(404, "validation_failed", "user_id must be an UUID") from error


Action = Callable[[Call], Response]


def sign_up(call: Call) -> Response:
    """POST /signup: a person with address and password, or nobody in particular."""
    person = Person.model_validate_json(call.body).account()
    if person.email and not person.password:
        raise AuthError(400, "validation_failed", "Signup requires a valid password")
    with _taken("user_already_exists", "User already registered"):
        user = accounts.add_user(call.connection, person)
    return _signed_in(call, user, "password" if person.email else "anonymous")


def token(call: Call) -> Response:
    """POST /token: a session for a password or for a refresh token."""
    grant = call.request.query_params.get("grant_type")
    if grant == "password":
        known = PasswordGrant.model_validate_json(call.body)
        return _signed_in(
            call, accounts.find_by_password(call.connection, known.email, known.password), "password"
        )
    if grant == "refresh_token":
        session = accounts.rotate(call.connection, RefreshGrant.model_validate_json(call.body).refresh_token)
        return _session_answer(call, session)
    raise AuthError(400, "invalid_credentials", "unsupported_grant_type")


def show_user(call: Call) -> Response:
    """GET /user."""
    user, _ = call.bearer()
    return JSONResponse(user_json(user))


def change_user(call: Call) -> Response:
    """PUT /user: changed at once, since there is no mail to confirm by."""
    user, _ = call.bearer()
    change = Person.model_validate_json(call.body).account()
    with _taken("email_exists", "A user with this email address has already been registered"):
        return JSONResponse(user_json(accounts.update_user(call.connection, user["id"], change)))


def log_out(call: Call) -> Response:
    """POST /logout: sessions end; access tokens live until they expire."""
    user, session_id = call.bearer()
    scope = call.request.query_params.get("scope", "global")
    accounts.close_sessions(call.connection, user["id"], session_id, scope)
    return Response(status_code=204)


def publish_keys(call: Call) -> Response:
    """GET /.well-known/jwks.json."""
    return JSONResponse({"keys": [call.keys.public_jwk()]}, headers={"Cache-Control": "public, max-age=600"})


def health(call: Call) -> Response:
    """GET /health: fails when the database does."""
    call.connection.execute("select")
    return JSONResponse(
        {"name": "GoTrue", "version": "local", "description": "Supadesk's local double of GoTrue"}
    )


def settings(call: Call) -> Response:
    """GET /settings: what may be used to sign in."""
    external = {"email": True, "phone": False, "anonymous_users": True}
    return JSONResponse({"external": external, "disable_signup": False, "mailer_autoconfirm": True})


def add_managed_user(call: Call) -> Response:
    """POST /admin/users."""
    call.require_admin()
    person = ManagedPerson.model_validate_json(call.body)
    with _taken("email_exists", "A user with this email address has already been registered"):
        return JSONResponse(user_json(accounts.add_user(call.connection, person.account())))


def list_managed_users(call: Call) -> Response:
    """GET /admin/users?page=1&per_page=50."""
    call.require_admin()
    page, per_page = (
        _positive(call.request, name, default) for name, default in (("page", 1), ("per_page", 50))
    )
    users = accounts.list_users(call.connection, page, per_page)
    return JSONResponse({"users": [user_json(user) for user in users], "aud": "authenticated"})


def show_managed_user(call: Call) -> Response:
    """GET /admin/users/{id}."""
    call.require_admin()
    return JSONResponse(user_json(accounts.get_user(call.connection, call.user_id())))


def change_managed_user(call: Call) -> Response:
    """PUT /admin/users/{id}."""
    call.require_admin()
    change = ManagedPerson.model_validate_json(call.body)
    user = accounts.update_user(call.connection, call.user_id(), change.account(), ban=change.ban_duration)
    return JSONResponse(user_json(user))


def delete_managed_user(call: Call) -> Response:
    """DELETE /admin/users/{id}."""
    call.require_admin()
    accounts.delete_user(call.connection, call.user_id())
    return JSONResponse({})


ACTIONS: dict[tuple[str, str], Action] = {
    ("POST", "/signup"): sign_up,
    ("POST", "/token"): token,
    ("GET", "/user"): show_user,
    ("PUT", "/user"): change_user,
    ("POST", "/logout"): log_out,
    ("GET", "/.well-known/jwks.json"): publish_keys,
    ("GET", "/health"): health,
    ("GET", "/settings"): settings,
    ("POST", "/admin/users"): add_managed_user,
    ("GET", "/admin/users"): list_managed_users,
    ("GET", "/admin/users/{user_id}"): show_managed_user,
    ("PUT", "/admin/users/{user_id}"): change_managed_user,
    ("DELETE", "/admin/users/{user_id}"): delete_managed_user,
}


def create_app(keys: Keys, issuer: str, database_url: str) -> Starlette:
    """The whole service."""

    def route(method: str, path: str, action: Action) -> Route:
        async def endpoint(request: Request) -> Response:
            return await run_in_threadpool(_answer, action, request, await request.body())

        return Route(path, endpoint, methods=[method])

    def _answer(action: Action, request: Request, body: bytes) -> Response:
        try:
            with accounts.connect(database_url) as connection:
                return action(Call(request, body, connection, keys, issuer))
        except AuthError as error:
            return _refusal(error)
        except ValidationError as error:
            return _refusal(AuthError(400, "validation_failed", _complaint(error)))
        except psycopg.DataError as error:
            return _refusal(AuthError(400, "validation_failed", str(error.diag.message_primary)))
        except psycopg.OperationalError:
            return _refusal(AuthError(503, "unexpected_failure", "The database does not answer"))

    return Starlette(routes=[route(method, path, action) for (method, path), action in ACTIONS.items()])


def user_json(user: Row) -> Row:
    """A person on the wire."""
    same = ("id", "aud", "role", "email", "phone", "is_anonymous", "identities")
    times = (
        "email_confirmed_at",
        "phone_confirmed_at",
        "confirmed_at",
        "last_sign_in_at",
        "created_at",
        "updated_at",
    )
    return {
        **{name: user[name] for name in same if name != "id"},
        **{name: user[name].isoformat() for name in times if user[name]},
        "id": str(user["id"]),
        "email": user["email"] or "",
        "phone": user["phone"] or "",
        "app_metadata": user["raw_app_meta_data"] or {},
        "user_metadata": user["raw_user_meta_data"] or {},
    }


def access_claims(user: Row, session: Session, issuer: str) -> Row:
    """The claims that hosted Supabase signs."""
    now = int(time.time())
    return {
        "iss": issuer,
        "sub": str(user["id"]),
        "aud": "authenticated",
        "exp": now + LIFETIME,
        "iat": now,
        "email": user["email"] or "",
        "phone": user["phone"] or "",
        "app_metadata": user["raw_app_meta_data"] or {},
        "user_metadata": user["raw_user_meta_data"] or {},
        "role": user["role"] or "authenticated",
        "aal": "aal1",
        "amr": [{"method": session.method, "timestamp": now}],
        "session_id": str(session.id),
        "is_anonymous": user["is_anonymous"],
    }


def _signed_in(call: Call, user: Row, method: str) -> Response:
    agent = call.request.headers.get("user-agent")
    return _session_answer(call, accounts.open_session(call.connection, user["id"], method, agent))


def _session_answer(call: Call, session: Session) -> Response:
    user = accounts.get_user(call.connection, session.user_id)
    claims = access_claims(user, session, call.issuer)
    return JSONResponse(
        {
            "access_token": call.keys.sign(claims),
            "token_type": "bearer",
            "expires_in": LIFETIME,
            "expires_at": claims["exp"],
            "refresh_token": session.refresh_token,
            "user": user_json(user),
        }
    )


@contextmanager
def _taken(code: str, message: str) -> Iterator[None]:
    try:
        yield
    except UniqueViolation as error:
        raise AuthError(422, code, message) from error


def _positive(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name) or str(default)
    if not re.fullmatch(r"[1-9]\d{0,4}", text):
        raise AuthError(400, "validation_failed", f"{name} must be a positive number")
    return int(text)


def _complaint(error: ValidationError) -> str:
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return "Could not parse request body as JSON"
    return f"{'.'.join(map(str, first['loc']))}: {first['msg'].removeprefix('Value error, ')}"


def _refusal(error: AuthError) -> Response:
    return JSONResponse(error.body, status_code=error.status)


def main() -> None:
    """Serve with what the environment says."""
    app = create_app(load_keys(Path(os.environ["KEYS"])), os.environ["ISSUER"], os.environ["DATABASE_URL"])
    serve(app, int(os.environ["PORT"]))


if __name__ == "__main__":
    main()
