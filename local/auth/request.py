"""One request to Auth: the service's settings, the database, and the caller."""

import re
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

import jwt
from starlette.requests import Request

from local.auth import accounts, sessions
from local.auth.accounts import Connection, Row
from local.auth.bodies import Body
from local.auth.errors import AuthError, invalid
from local.auth.keys import Keys

B = TypeVar("B", bound=Body)


@dataclass(frozen=True)
class Service:
    """The settings of the service."""

    keys: Keys
    issuer: str
    database_url: str
    site_url: str
    autoconfirm: bool
    # None: mails are not sent.
    mail_port: int | None


@dataclass(frozen=True)
class AuthRequest:
    """One request, with what a handler needs to answer it."""

    request: Request
    raw_body: bytes
    connection: Connection
    service: Service

    def body(self, model: type[B]) -> B:
        """Parses the body."""
        return model.parse(self.raw_body)

    def query(self, name: str, default: str = "") -> str:
        """Returns a value of the query string."""
        return self.request.query_params.get(name) or default

    def number(self, name: str, default: int) -> int:
        """Returns a positive number of the query string."""
        text = self.query(name, str(default))
        if not re.fullmatch(r"[1-9]\d{0,4}", text):
            raise invalid(f"{name} must be a positive number")
        return int(text)

    @property
    def redirect_to(self) -> str:
        """The page that links lead to."""
        return self.query("redirect_to", self.service.site_url)

    @property
    def address(self) -> str:
        """The network address of the caller."""
        return self.request.client.host if self.request.client else "127.0.0.1"

    def claims(self) -> Row:
        """Returns the claims of the bearer's token."""
        scheme, _, token = self.request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise AuthError(401, "no_authorization", "This endpoint requires a valid Bearer token")
        options: dict[str, object] = {"verify_aud": False, "verify_sub": False, "require": ["exp"]}
        try:
            key = jwt.PyJWK(self.service.keys.public_jwk()).key
            return dict(jwt.decode(token, key, ["ES256"], options=options))  # type: ignore[arg-type]
        except jwt.InvalidTokenError as error:
            message = f"invalid JWT: unable to parse or verify signature, {error}"
            raise AuthError(403, "bad_jwt", message) from error

    def bearer(self) -> tuple[Row, Row]:
        """Returns the person who calls and the session of the token, which may be empty."""
        claims = self.claims()
        if not claims.get("sub"):
            raise AuthError(403, "bad_jwt", "invalid claim: missing sub claim")
        try:
            user_id = UUID(claims["sub"])
        except (AttributeError, TypeError, ValueError) as error:
            raise AuthError(400, "bad_jwt", "invalid claim: sub claim must be a UUID") from error
        user = accounts.find_user(self.connection, user_id)
        if user is None:
            raise AuthError(403, "user_not_found", "User from sub claim in JWT does not exist")
        session_id = claims.get("session_id")
        session = sessions.find_session(self.connection, str(session_id)) if session_id else {}
        if session is None:
            raise AuthError(403, "session_not_found", "Session from session_id claim in JWT does not exist")
        return user, session

    def require_admin(self) -> None:
        """Refuses everything but the secret key."""
        if self.claims().get("role") not in ("service_role", "supabase_admin"):
            raise AuthError(403, "not_admin", "User not allowed")

    def user_id(self) -> UUID:
        """Returns the person in the path."""
        try:
            return UUID(self.request.path_params["user_id"])
        except ValueError as error:
            raise AuthError(404, "validation_failed", "user_id must be an UUID") from error
