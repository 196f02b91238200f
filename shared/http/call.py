"""Describes a request to the handler that answers it."""

import re
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from uuid import uuid4

from starlette.requests import Request

from shared import store
from shared.config import config
from shared.errors import (
    AccountDeleted,
    Invalid,
    InvalidToken,
    NotFound,
    TooLarge,
    Unauthenticated,
    UnsupportedMediaType,
)
from shared.http.identity import Person, identify
from shared.requests.fields import UUID
from shared.requests.parsing import Body, Query, parse_body, parse_query

MAX_BODY = 256 * 1024
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
TICKET_NUMBER = re.compile(r"SUP-[0-9]{5,18}", re.ASCII | re.IGNORECASE)
TICKET_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")
# Headers that become arguments of RPCs.
HEADERS = {"idempotency_key": "Idempotency-Key", "access_token": "X-Ticket-Token"}

B = TypeVar("B", bound=Body)
Q = TypeVar("Q", bound=Query)


class Call:
    """One request: its route, path values and caller, with methods that parse it and call the store."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.arrived = time.monotonic()
        request_id = request.headers.get("x-request-id", "")
        self.id = request_id if REQUEST_ID.fullmatch(request_id) else str(uuid4())
        self.route = ""
        self.path: Mapping[str, str] = {}
        self.person: Person | None = None
        self.token: str | None = None
        self.as_service = False
        self.headers = {"Cache-Control": "no-store"}
        self._body = b""

    async def authenticate(self) -> None:
        """Identifies the caller by the bearer token; the project's key and anonymous sign-ins identify none."""
        header = self.request.headers.get("authorization")
        if header is None:
            return
        scheme, _, token = header.strip().partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise InvalidToken("Send your access token as Authorization: Bearer <token>.")
        if token == config().anon_key:  # supabase-js sends it before a sign-in
            return
        person = await identify(token)
        if not person.is_anonymous:
            self.person, self.token = person, token

    async def read_body(self) -> None:
        """Reads the whole body, and refuses it as soon as it is too long, whatever its headers say."""
        headers = self.request.headers
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length[:15]) > MAX_BODY:
            raise TooLarge
        body = bytearray()
        async for chunk in self.request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                raise TooLarge
        if body and not _is_plain_json(headers.get("content-type", ""), headers.get("content-encoding", "")):
            raise UnsupportedMediaType
        self._body = bytes(body)

    @property
    def raw_body(self) -> bytes:
        """Returns the bytes as they came: signatures are over these."""
        return self._body

    def body(self, model: type[B], *, may_be_empty: bool = False) -> B:
        """Parses the body; raises Malformed or Invalid."""
        return parse_body(model, b"{}" if may_be_empty and not self._body else self._body)

    def query(self, model: type[Q]) -> Q:
        """Parses the query string; raises Invalid."""
        return parse_query(model, self.request.query_params.multi_items())

    def require_person(self) -> Person:
        """Returns the caller; raises Unauthenticated if nobody is signed in."""
        if self.person is None:
            raise Unauthenticated
        return self.person

    async def rpc(
        self, name: str, arguments: Mapping[str, Any], path_of: Callable[[str], str] = str
    ) -> bytes:
        """Calls a function of the database as the caller, or as the service.

        Refusals name the function's arguments; `path_of` maps each to the field of the request.
        """
        try:
            return await store.rpc(name, arguments, token=self.token, as_service=self.as_service)
        except Invalid as refusal:
            raise refusal.renamed(lambda argument: HEADERS.get(argument) or path_of(argument)) from None
        except Unauthenticated as refusal:
            # The token was verified here, so the store misses the account behind it.
            raise AccountDeleted(reason=refusal.reason) if self.person else refusal from None

    def _header(self, argument: str) -> str | None:
        return self.request.headers.get(HEADERS[argument])

    @property
    def idempotency_key(self) -> str | None:
        """Returns the header's key; raises Invalid for a malformed one."""
        key = self._header("idempotency_key")
        if key is None:
            return None
        if not IDEMPOTENCY_KEY.fullmatch(key):
            raise Invalid.at(
                HEADERS["idempotency_key"], "must be 1 to 255 printable ASCII characters without blanks"
            )
        # A key answers with the ticket that was filed under it, so it must not be guessable.
        if self.person is None and not UUID.fullmatch(key):
            raise Invalid.at(HEADERS["idempotency_key"], "must be a UUID when nobody is signed in")
        return key

    @property
    def ticket(self) -> dict[str, str | None]:
        """Returns the RPC arguments for the path's {ticket}, with the token that opens it without a sign-in."""
        name, token = self.path["ticket"], self._header("access_token")
        if self.person is None and not token:
            raise Unauthenticated("Please sign in, or send the ticket's own token as X-Ticket-Token.")
        is_reference = TICKET_NUMBER.fullmatch(name) or UUID.fullmatch(name)
        is_token = TICKET_TOKEN.fullmatch(token or "")
        if not is_reference or (self.person is None and not is_token):
            raise NotFound("There is no such ticket.")
        return {"ticket": name.upper(), "access_token": token if is_token else None}


def _is_plain_json(content_type: str, content_encoding: str) -> bool:
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    charsets = [parameter.partition("=")[2] for parameter in parameters if parameter.startswith("charset=")]
    utf8 = all(charset.strip('"') in ("utf-8", "utf8") for charset in charsets)
    return media_type == "application/json" and utf8 and content_encoding.lower() in ("", "identity")
