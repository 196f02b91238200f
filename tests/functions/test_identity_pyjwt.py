"""Mutated tokens: PyJWT accepts every token that our verifier accepts."""

import asyncio
import json
import random
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.errors import InvalidToken
from shared.http.identity import LEEWAY_S, Verifier

ISSUER = "https://project.example/auth/v1"
SECRET = "the project's shared secret of old, which is long"
TOKENS = 10_000
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=. \n\x00é"

EC_KEY = ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(65537, 2048)
KEYS: dict[str, tuple[str, Any]] = {
    "es": ("ES256", EC_KEY.public_key()),
    "rs": ("RS256", RSA_KEY.public_key()),
    "hs": ("HS256", SECRET),
}
JWKS = [
    {**jwt.algorithms.ECAlgorithm.to_jwk(EC_KEY.public_key(), as_dict=True), "kid": "es"},
    {**jwt.algorithms.RSAAlgorithm.to_jwk(RSA_KEY.public_key(), as_dict=True), "kid": "rs"},
]
PEM = EC_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    1e300,
    "",
    "es",
    "rs",
    "ES256",
    "RS256",
    "HS256",
    "none",
    "authenticated",
    ISSUER,
    [],
    ["authenticated"],
    {"authenticated": 1},
    "9" * 400,
    "\ud800",
]


async def get(url: str, token: str | None) -> tuple[int, bytes]:
    """Answers as Auth does: its public keys, and the person of a token that the legacy secret signed."""
    if token is None:
        return 200, json.dumps({"keys": JWKS}).encode()
    try:
        claims = jwt.decode(token, SECRET, ["HS256"], options={"verify_aud": False})
    except (jwt.InvalidTokenError, RecursionError, ValueError):
        return 403, b"{}"
    return 200, json.dumps({"id": claims.get("sub")}).encode()


def is_accepted_by_pyjwt(token: str) -> bool:
    header = jwt.get_unverified_header(token)
    algorithm, key = KEYS["hs" if header["alg"] == "HS256" else header["kid"]]
    jwt.decode(
        token,
        key,
        [algorithm],
        audience="authenticated",
        issuer=ISSUER,
        leeway=LEEWAY_S,
        options={"require": ["exp", "sub", "aud", "iss"]},
    )
    return True


class Mutator:
    """Makes tokens out of good ones, from one seed."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        # RSA signatures are slow to make: few good tokens, many mutations of each.
        self._good = [self._sign(self._header(kid), self._claims()) for kid in ["es", "rs", "es"] * 10]

    def tokens(self, count: int) -> Iterator[str]:
        kinds: list[Callable[[], str]] = [self._as_it_is, self._letter, self._cut, self._parts]
        kinds += [self._other_claims, self._other_header, self._text, self._signature]
        for _ in range(count):
            yield self._chance.choice(kinds)()

    def _claims(self) -> dict[str, Any]:
        now = int(time.time())
        claims: dict[str, Any] = {"iss": ISSUER, "sub": str(uuid4()), "aud": "authenticated"}
        return claims | {"role": "authenticated", "exp": now + 3600, "iat": now}

    def _header(self, kid: str) -> dict[str, Any]:
        return {"alg": {"es": "ES256", "rs": "RS256"}[kid], "kid": kid, "typ": "JWT"}

    def _sign(self, header: Any, claims: Any, kid: str = "") -> str:
        """Signs whatever stands there, by the key that the header names, or another."""
        return self._sign_text(json.dumps(header), json.dumps(claims), kid or header["kid"])

    def _sign_text(self, header: str, claims: str, kid: str) -> str:
        parts = [encode(text.encode(errors="surrogatepass")) for text in (header, claims)]
        signed = ".".join(parts).encode()
        if kid == "hs":
            signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
                signed, SECRET.encode()
            )
        elif kid == "rs":
            signature = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256).sign(signed, RSA_KEY)
        else:
            signature = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256).sign(signed, EC_KEY)
        return ".".join([*parts, encode(signature)])

    def _any_good(self) -> str:
        return self._chance.choice(self._good)

    def _as_it_is(self) -> str:
        return self._any_good()

    def _letter(self) -> str:
        token = list(self._any_good())
        for _ in range(self._chance.randint(1, 3)):
            token[self._chance.randrange(len(token))] = self._chance.choice(ALPHABET)
        return "".join(token)

    def _cut(self) -> str:
        token = self._any_good()
        start, end = sorted(self._chance.sample(range(len(token) + 1), 2))
        return self._chance.choice((token[:start] + token[end:], token[start:end], token + token[start:end]))

    def _parts(self) -> str:
        """Mixes the parts of two tokens."""
        parts = [*self._any_good().split("."), *self._any_good().split("."), ""]
        return ".".join(self._chance.choices(parts, k=self._chance.choice((2, 3, 3, 3, 4))))

    def _other_claims(self) -> str:
        claims = self._claims()
        for _ in range(self._chance.randint(1, 2)):
            name = self._chance.choice(("iss", "sub", "aud", "role", "exp", "iat", "nbf", "email", "jti"))
            seconds = int(time.time()) + self._chance.choice((-100, -20, 20, 100))
            claims[name] = self._chance.choice((*VALUES, seconds, seconds + 0.5))
        kid = self._chance.choice(("es", "es", "es", "hs"))
        header = self._header("es") if kid == "es" else {"alg": "HS256", "typ": "JWT"}
        return self._sign(header, claims, kid)

    def _other_header(self) -> str:
        header = self._header("es")
        name = self._chance.choice(("alg", "kid", "typ", "crit", "b64", "jwk", "cty", "zip"))
        header[name] = self._chance.choice(VALUES)
        return self._sign(header, self._claims(), self._chance.choice(("es", "es", "hs")))

    def _text(self) -> str:
        """JSON that parsers may read in different ways."""
        header, claims = json.dumps(self._header("es")), json.dumps(self._claims())
        doubled = claims[:-1] + ', "sub": "someone else", "role": "authenticated"}'
        late = claims[:-1] + ', "exp": 1}'
        deep = claims[:-1] + ', "a": ' + "[" * 3_000 + "]" * 3_000 + "}"
        odd = [doubled, late, deep, claims.replace("3", "٣"), claims + " ", "\ufeff" + claims, claims * 2]
        odd += [claims.replace('"iat"', '"i\\u0061t"'), claims[:-1] + ', "nbf": NaN}', claims[:-1] + ",}"]
        odd += [claims[:-1] + ', "exp": 1e400}', claims[:-1] + ', "nbf": -0.0}', claims.replace(": ", ":\n")]
        return self._sign_text(header, self._chance.choice(odd), self._chance.choice(("es", "es", "hs")))

    def _signature(self) -> str:
        signed, _, signature = self._any_good().rpartition(".")
        raw = bytearray(jwt.utils.base64url_decode(signature))
        other: list[bytes] = [bytes(len(raw)), b"", bytes(raw) + b"\0", b"\0" + bytes(raw), bytes(raw[::-1])]
        other += [bytes(raw[32:64] + raw[:32]), b"\xff" * 64, b"\0" * 31 + b"\1" + bytes(32)]
        raw[self._chance.randrange(len(raw))] ^= 1 << self._chance.randrange(8)
        return f"{signed}.{encode(self._chance.choice([bytes(raw), *other]))}"


def encode(data: bytes) -> str:
    return jwt.utils.base64url_encode(data).decode()


def test_pyjwt_accepts_every_token_that_we_accept() -> None:
    seed = random.SystemRandom().randrange(1_000_000)
    verifier = Verifier(ISSUER, get)
    accepted, refused = set[str](), set[str]()

    async def run() -> None:
        for token in Mutator(seed).tokens(TOKENS):
            try:
                await verifier.verify(token)
            except InvalidToken:
                refused.add(token)
                continue
            assert is_accepted_by_pyjwt(token), f"seed {seed}: {token}"
            accepted.add(token)

    asyncio.run(run())
    # Enough different tokens on both sides, or the comparison says nothing.
    assert len(accepted) > TOKENS / 30, f"seed {seed}"
    assert len(refused) > TOKENS / 2, f"seed {seed}"


@pytest.mark.parametrize("secret", [PEM, b"", json.dumps(JWKS[0]).encode()])
def test_public_material_is_no_shared_secret(secret: bytes) -> None:
    now = int(time.time())
    header, claims = {"alg": "HS256", "typ": "JWT", "kid": "es"}, {"iss": ISSUER, "sub": str(uuid4())}
    claims |= {"aud": "authenticated", "role": "authenticated"}
    parts = [encode(json.dumps(part).encode()) for part in (header, {**claims, "exp": now + 60})]
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        ".".join(parts).encode(), secret
    )
    with pytest.raises(InvalidToken):
        asyncio.run(Verifier(ISSUER, get).verify(".".join([*parts, encode(signature)])))
