"""Who is calling: access tokens of Supabase Auth, verified here against the project's public keys.

A token is header.claims.signature, each part base64url (RFC 7515, 7519). ES256 and RS256 are the only
algorithms verified here, each with a key of its own type. HS256 is a project's legacy secret, which only Auth
knows: Auth is asked about each such token, and its answer cached for a minute. Public keys may stand beside
it, since a project that moves to signing keys publishes them first and uses the secret for a while longer.
"""

import asyncio
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any, NamedTuple
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

LEEWAY = 30
KEYS_LAST = 600
REFETCH_AFTER = 60
REMEMBER_VERIFIED = 300
REMEMBER_ASKED = 60
REMEMBER_AT_MOST = 2000
LONGEST_TOKEN = 8192

EXPIRED = "Your session has expired: please sign in again."

PublicKey = EllipticCurvePublicKey | RSAPublicKey
Get = Callable[[str, str | None], Awaitable[tuple[int, bytes]]]


class Person(NamedTuple):
    """Whom a token stands for. Rights are never read from here: the database decides."""

    id: str
    email: str | None
    expires: float
    is_anonymous: bool


class Token(NamedTuple):
    """A token taken apart, and not yet believed."""

    algorithm: str
    key_id: str
    claims: dict[str, Any]
    signed: bytes
    signature: bytes


async def identify(raw: str) -> Person:
    """The person behind an access token; InvalidToken where it is not to be believed."""
    return await _verifier().person(raw)


@cache
def _verifier() -> "Verifier":
    return Verifier(config().auth_url, store.get)


class Verifier:
    def __init__(self, issuer: str, get: Get) -> None:
        self._issuer = issuer
        self._get = get
        self._keys = Keys(issuer + "/.well-known/jwks.json", get)
        # Bounded, oldest out first: the person, or None for a token that Auth itself refused; and until when.
        self._known: OrderedDict[str, tuple[Person | None, float]] = OrderedDict()

    async def person(self, raw: str) -> Person:
        person, until = self._known.get(raw, (None, 0.0))
        if until <= time.time():
            person = await self._verify(raw)
        if person is None:
            raise InvalidToken
        return person

    async def _verify(self, raw: str) -> Person | None:
        token = taken_apart(raw)
        person = person_of(token.claims, self._issuer, time.time())
        if token.algorithm == "HS256":
            return await self._ask(raw, person)
        key = await self._keys.named(token.key_id)
        if key is None or not signed_with(key, token):
            raise InvalidToken
        return self._remember(raw, person, REMEMBER_VERIFIED)

    async def _ask(self, raw: str, person: Person) -> Person | None:
        """Asks Auth about a token that the project's legacy secret signed; refusals are cached as well."""
        status, body = await self._get(self._issuer + "/user", raw)
        if status not in (200, 401, 403):
            raise AuthUnavailable(f"Auth answered {status}")
        confirmed = status == 200 and _json_object(body).get("id") == person.id
        return self._remember(raw, person if confirmed else None, REMEMBER_ASKED)

    def _remember(self, raw: str, person: Person | None, seconds: float) -> Person | None:
        until = time.time() + seconds
        self._known[raw] = (person, min(until, person.expires) if person else until)
        if len(self._known) > REMEMBER_AT_MOST:
            self._known.popitem(last=False)
        return person


class Keys:
    """Public keys by id, fetched when needed: by one caller at a time, at most once a minute."""

    def __init__(self, url: str, get: Get) -> None:
        self._url = url
        self._get = get
        self._keys: dict[str, PublicKey] | None = None
        self._fetched = self._tried = float("-inf")
        self._fetching = asyncio.Lock()

    async def named(self, key_id: str) -> PublicKey | None:
        keys = await self.all()
        if key_id not in keys and self._may_refetch():
            keys = await self._refetched()
        return keys.get(key_id)

    async def all(self) -> dict[str, PublicKey]:
        if self._keys is None or (time.monotonic() - self._fetched > KEYS_LAST and self._may_refetch()):
            return await self._refetched()
        return self._keys

    def _may_refetch(self) -> bool:
        return time.monotonic() - self._tried > REFETCH_AFTER

    async def _refetched(self) -> dict[str, PublicKey]:
        before = self._tried
        async with self._fetching:
            if self._tried == before:  # else somebody else has just done it
                await self._fetch()
        if self._keys is None:
            raise AuthUnavailable("the public keys could not be fetched")
        return self._keys

    async def _fetch(self) -> None:
        """Old keys stay where new ones cannot be had: people stay signed in while Auth is down."""
        try:
            status, body = await self._get(self._url, None)
            if status == 200:
                self._keys, self._fetched = public_keys(body), time.monotonic()
        except (Unavailable, ValueError):
            pass
        finally:
            self._tried = time.monotonic()


def public_keys(jwks: bytes) -> dict[str, PublicKey]:
    """The signing keys of a JWKS by id, without kinds that are not ours; ValueError if it is no JWKS."""
    listed = _json_object(jwks).get("keys")
    if not isinstance(listed, list):
        raise ValueError("not a JWKS")
    keys = [(jwk.get("kid"), _public_key(jwk)) for jwk in listed if isinstance(jwk, dict)]
    return {str(key_id): key for key_id, key in keys if key_id and key}


def _public_key(jwk: dict[str, Any]) -> PublicKey | None:
    kind = (jwk.get("kty"), jwk.get("alg"), jwk.get("use", "sig"))
    try:
        if kind in (("EC", "ES256", "sig"), ("EC", None, "sig")) and jwk.get("crv") == "P-256":
            return EllipticCurvePublicNumbers(_number(jwk["x"]), _number(jwk["y"]), SECP256R1()).public_key()
        if kind in (("RSA", "RS256", "sig"), ("RSA", None, "sig")):
            key = RSAPublicNumbers(_number(jwk["e"]), _number(jwk["n"])).public_key()
            return key if key.key_size >= 2048 else None
    except (KeyError, ValueError):
        pass
    return None


def taken_apart(raw: str) -> Token:
    parts = raw.split(".")
    if len(raw) > LONGEST_TOKEN or len(parts) != 3:
        raise InvalidToken
    try:
        header, claims = (_json_object(_decoded(part)) for part in parts[:2])
        signature = _decoded(parts[2])
    except ValueError:
        raise InvalidToken from None
    algorithm, key_id, kind = header.get("alg"), header.get("kid", ""), header.get("typ", "JWT")
    well_formed = isinstance(key_id, str) and isinstance(kind, str) and kind.upper() == "JWT"
    if not well_formed or "crit" in header or algorithm not in ("ES256", "RS256", "HS256"):
        raise InvalidToken
    return Token(algorithm, key_id, claims, raw.rpartition(".")[0].encode(), signature)


def signed_with(key: PublicKey, token: Token) -> bool:
    """Whether this key made the signature, by the one algorithm that belongs to its type."""
    try:
        if isinstance(key, RSAPublicKey) and token.algorithm == "RS256":
            key.verify(token.signature, token.signed, PKCS1v15(), SHA256())
        elif isinstance(key, EllipticCurvePublicKey) and token.algorithm == "ES256":
            key.verify(_der(token.signature), token.signed, ECDSA(SHA256()))
        else:
            return False
    except InvalidSignature:
        return False
    return True


def _der(signature: bytes) -> bytes:
    """A token carries the curve's two numbers side by side, cryptography wants them in DER."""
    if len(signature) != 64:
        raise InvalidSignature
    return encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))


def person_of(claims: dict[str, Any], issuer: str, now: float) -> Person:
    """The person the claims name, if they are meant for this project and for now."""
    expires, not_before, issued = _time(claims, "exp"), _time(claims, "nbf", now), _time(claims, "iat", now)
    audience, subject, email = claims.get("aud"), claims.get("sub"), claims.get("email")
    for_us = "authenticated" in (audience if isinstance(audience, list) else [audience])
    if not for_us or claims.get("iss") != issuer or claims.get("role") != "authenticated":
        raise InvalidToken
    if max(not_before, issued) > now + LEEWAY or not _is_uuid(subject):
        raise InvalidToken
    if expires <= now - LEEWAY:
        raise InvalidToken(EXPIRED)
    return Person(
        id=str(subject),
        email=email if isinstance(email, str) and email else None,
        expires=expires + LEEWAY,
        is_anonymous=claims.get("is_anonymous") is True,
    )


def _time(claims: dict[str, Any], name: str, default: float | None = None) -> float:
    value = claims.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e11:
        raise InvalidToken
    return value


def _is_uuid(value: object) -> bool:
    try:
        return isinstance(value, str) and str(UUID(value)) == value.lower()
    except ValueError:
        return False


def _decoded(part: str) -> bytes:
    """Base64url as a token must have it: no padding, no stray bits, nothing from outside the alphabet."""
    data = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if urlsafe_b64encode(data).rstrip(b"=") != part.encode():
        raise ValueError("not base64url")
    return data


def _json_object(text: bytes) -> dict[str, Any]:
    value = from_json(text, allow_inf_nan=False)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def _number(part: str) -> int:
    return int.from_bytes(_decoded(part))
