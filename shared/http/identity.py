"""Identifies callers by their access tokens of Supabase Auth, with the project's public keys.

A token is header.claims.signature, each part base64url (RFC 7515, 7519). ES256 and RS256 are the only
algorithms verified here, each with a key of its own type. HS256 is a project's legacy secret, which only Auth
has: it is asked about each such token, and its answer is cached for a minute. Public keys may stand beside
the secret, since a project that moves to signing keys publishes them before it stops using it.

Anybody can make up tokens, so nothing here grows with them: caches hold hashes and are bounded, public keys
are fetched at most once a minute, and few questions to Auth are under way at once.
"""

import asyncio
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from hashlib import sha256
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from pydantic_core import from_json

from shared import store
from shared.config import config
from shared.errors import AuthUnavailable, InvalidToken, Unavailable

LEEWAY_S = 30
KEYS_TTL_S = 600
KEYS_PAUSE_S = 60
VERIFIED_TTL_S = 300
ASKED_TTL_S = 60
MAX_CACHED = 2000
MAX_TOKEN_BYTES = 16 * 1024
MAX_EMAIL_LENGTH = 255
MAX_QUESTIONS = 8
QUESTION_TIMEOUT_S = 2

EXPIRED = "Your session has expired: please sign in again."
TOO_LONG = (
    f"Your access token is longer than {MAX_TOKEN_BYTES:,} bytes: "
    "shorten the account's user_metadata and sign in again."
)

PublicKey = EllipticCurvePublicKey | RSAPublicKey
Get = Callable[[str, str | None], Awaitable[tuple[int, bytes]]]
Value = TypeVar("Value")


class Person(NamedTuple):
    """The owner of a token. Rights are never read from here: the database decides."""

    id: str
    email: str | None
    expires: float
    is_anonymous: bool


class Token(NamedTuple):
    """The parts of a token, not verified."""

    algorithm: str
    key_id: str
    claims: dict[str, Any]
    signed: bytes
    signature: bytes


async def identify(raw: str) -> Person:
    """Returns the owner of an access token; raises InvalidToken or AuthUnavailable."""
    return await _verifier().verify(raw)


@cache
def _verifier() -> "Verifier":
    return Verifier(config().auth_url, store.get)


class Verifier:
    """Verifies the tokens of one issuer."""

    def __init__(self, issuer: str, get: Get) -> None:
        self._issuer = issuer
        self._get = get
        self._keys = Keys(issuer + "/.well-known/jwks.json", get)
        # Apart, so that made-up tokens never push out good ones.
        self._verified: Cache[Person] = Cache()
        self._refused: Cache[bool] = Cache()
        self._questions = asyncio.Semaphore(MAX_QUESTIONS)

    async def verify(self, raw: str) -> Person:
        """Returns the owner of a token, from the cache if it was verified lately."""
        if len(raw) > MAX_TOKEN_BYTES:
            raise InvalidToken(TOO_LONG)
        digest = sha256(raw.encode(errors="surrogatepass")).digest()
        return self._find(digest) or await self._verify(raw, digest)

    def _find(self, digest: bytes) -> Person | None:
        if self._refused.get(digest):
            raise InvalidToken
        return self._verified.get(digest)

    async def _verify(self, raw: str, digest: bytes) -> Person:
        token = parse_token(raw)
        person = check_claims(token.claims, self._issuer, time.time())
        if token.algorithm == "HS256":
            return await self._ask(raw, digest, person)
        key = await self._keys.get(token.key_id)
        if key is None or not is_signature_valid(key, token):
            raise InvalidToken
        return self._accept(digest, person, VERIFIED_TTL_S)

    async def _ask(self, raw: str, digest: bytes, person: Person) -> Person:
        """Asks Auth about a token of the legacy secret, once for all who send it at the same time."""
        async with self._question():
            found = self._find(digest)
            if found:
                return found
            status, body = await self._get(self._issuer + "/user", raw)
        if status == 200 and _parse_user_id(body) == person.id:
            return self._accept(digest, person, ASKED_TTL_S)
        if status != 200 and (status == 429 or not 400 <= status < 500):
            raise AuthUnavailable(f"Auth answered {status}")
        self._refused.put(digest, True, time.time() + ASKED_TTL_S)
        raise InvalidToken

    @asynccontextmanager
    async def _question(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(QUESTION_TIMEOUT_S):
                await self._questions.acquire()
        except TimeoutError:
            raise AuthUnavailable("too many questions to Auth at once") from None
        try:
            yield
        finally:
            self._questions.release()

    def _accept(self, digest: bytes, person: Person, ttl_s: float) -> Person:
        self._verified.put(digest, person, min(time.time() + ttl_s, person.expires))
        return person


class Cache(Generic[Value]):
    """Keeps values by the hash of their token until they expire; the oldest goes first.

    A hash and a person have a bounded size, so MAX_CACHED bounds the memory too.
    """

    def __init__(self) -> None:
        self._entries: OrderedDict[bytes, tuple[Value, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, digest: bytes) -> Value | None:
        """Returns a value that has not expired."""
        value, expires = self._entries.get(digest, (None, 0.0))
        return value if expires > time.time() else None

    def put(self, digest: bytes, value: Value, expires: float) -> None:
        """Adds a value, or renews it."""
        self._entries[digest] = (value, expires)
        self._entries.move_to_end(digest)
        if len(self._entries) > MAX_CACHED:
            self._entries.popitem(last=False)


class Keys:
    """Fetches public keys when needed: for one caller at a time, at most once a minute."""

    def __init__(self, url: str, get: Get) -> None:
        self._url = url
        self._get = get
        self._keys: dict[str, PublicKey] | None = None
        self._fetched_at = self._tried_at = float("-inf")
        self._lock = asyncio.Lock()

    async def get(self, key_id: str) -> PublicKey | None:
        """Returns the key with this id; an unknown id may be a new key."""
        keys = await self._current()
        if key_id not in keys and self._may_refetch():
            keys = await self._refetch()
        return keys.get(key_id)

    async def _current(self) -> dict[str, PublicKey]:
        is_stale = time.monotonic() - self._fetched_at > KEYS_TTL_S
        if self._keys is None or (is_stale and self._may_refetch()):
            return await self._refetch()
        return self._keys

    def _may_refetch(self) -> bool:
        return time.monotonic() - self._tried_at > KEYS_PAUSE_S

    async def _refetch(self) -> dict[str, PublicKey]:
        tried_at = self._tried_at
        async with self._lock:
            if self._tried_at == tried_at:  # else another caller has just fetched them
                await self._fetch()
        if self._keys is None:
            raise AuthUnavailable("the public keys could not be fetched")
        return self._keys

    async def _fetch(self) -> None:
        """Replaces the keys, and keeps the old ones on failure: people stay signed in while Auth is down."""
        try:
            status, body = await self._get(self._url, None)
            if status == 200:
                self._keys, self._fetched_at = parse_jwks(body), time.monotonic()
        except (Unavailable, ValueError):
            pass
        finally:
            self._tried_at = time.monotonic()


def parse_jwks(body: bytes) -> dict[str, PublicKey]:
    """Returns a JWKS's signing keys by id, without unsupported kinds; raises ValueError if it is none."""
    jwks = _parse_object(body).get("keys")
    if not isinstance(jwks, list):
        raise ValueError("not a JWKS")
    keys = [(jwk.get("kid"), _parse_jwk(jwk)) for jwk in jwks if isinstance(jwk, dict)]
    return {str(key_id): key for key_id, key in keys if key_id and key}


def _parse_jwk(jwk: dict[str, Any]) -> PublicKey | None:
    kind = (jwk.get("kty"), jwk.get("alg"), jwk.get("use", "sig"))
    try:
        if kind in (("EC", "ES256", "sig"), ("EC", None, "sig")) and jwk.get("crv") == "P-256":
            numbers = EllipticCurvePublicNumbers(
                _decode_number(jwk["x"]), _decode_number(jwk["y"]), SECP256R1()
            )
            return numbers.public_key()
        if kind in (("RSA", "RS256", "sig"), ("RSA", None, "sig")):
            key = RSAPublicNumbers(_decode_number(jwk["e"]), _decode_number(jwk["n"])).public_key()
            return key if key.key_size >= 2048 else None
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    return None


def parse_token(raw: str) -> Token:
    """Splits a token into its parts; raises InvalidToken where the form or the header is not ours."""
    parts = raw.split(".")
    if len(parts) != 3:
        raise InvalidToken
    try:
        header, claims = (_parse_object(_decode_base64url(part)) for part in parts[:2])
        signature = _decode_base64url(parts[2])
    except ValueError:
        raise InvalidToken from None
    algorithm, key_id, kind = header.get("alg"), header.get("kid", ""), header.get("typ", "JWT")
    well_formed = isinstance(key_id, str) and isinstance(kind, str) and kind.upper() == "JWT"
    if not well_formed or "crit" in header or algorithm not in ("ES256", "RS256", "HS256"):
        raise InvalidToken
    return Token(algorithm, key_id, claims, raw.rpartition(".")[0].encode(), signature)


def is_signature_valid(key: PublicKey, token: Token) -> bool:
    """Verifies the signature with the one algorithm that belongs to the key's type."""
    try:
        if isinstance(key, RSAPublicKey) and token.algorithm == "RS256":
            key.verify(token.signature, token.signed, PKCS1v15(), SHA256())
        elif isinstance(key, EllipticCurvePublicKey) and token.algorithm == "ES256":
            key.verify(_to_der(token.signature), token.signed, ECDSA(SHA256()))
        else:
            return False
    except InvalidSignature:
        return False
    return True


def _to_der(signature: bytes) -> bytes:
    """Converts a signature: tokens have the curve's two numbers side by side, cryptography takes DER."""
    if len(signature) != 64:
        raise InvalidSignature
    return encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))


def check_claims(claims: dict[str, Any], issuer: str, now: float) -> Person:
    """Returns the person in the claims; raises InvalidToken unless they are for this project and this time."""
    expires, not_before = _read_time(claims, "exp"), _read_time(claims, "nbf", now)
    issued = _read_time(claims, "iat", now)
    audience, subject, email = claims.get("aud"), claims.get("sub"), claims.get("email")
    for_us = "authenticated" in (audience if isinstance(audience, list) else [audience])
    if not for_us or claims.get("iss") != issuer or claims.get("role") != "authenticated":
        raise InvalidToken
    if not _is_uuid(subject) or not isinstance(claims.get("jti", ""), str):
        raise InvalidToken
    if max(not_before, issued) > now + LEEWAY_S:
        raise InvalidToken
    if expires <= now - LEEWAY_S:
        raise InvalidToken(EXPIRED)
    return Person(
        id=str(subject),
        email=email if isinstance(email, str) and 0 < len(email) <= MAX_EMAIL_LENGTH else None,
        expires=expires + LEEWAY_S,
        is_anonymous=claims.get("is_anonymous") is True,
    )


def _read_time(claims: dict[str, Any], name: str, default: float | None = None) -> float:
    value = claims.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e11:
        raise InvalidToken
    return value


def _is_uuid(value: object) -> bool:
    try:
        return isinstance(value, str) and str(UUID(value)) == value.lower()
    except ValueError:
        return False


def _parse_user_id(body: bytes) -> object:
    try:
        return _parse_object(body).get("id")
    except ValueError:
        raise AuthUnavailable("Auth answered 200 without a person") from None


def _decode_base64url(part: str) -> bytes:
    """Decodes strictly, as tokens demand: no padding, no stray bits, no other alphabet."""
    data = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if urlsafe_b64encode(data).rstrip(b"=") != part.encode():
        raise ValueError("not base64url")
    return data


def _decode_number(part: str) -> int:
    return int.from_bytes(_decode_base64url(part))


def _parse_object(text: bytes) -> dict[str, Any]:
    value = from_json(text, allow_inf_nan=False)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value
