"""Forged tokens at every door: each public function, and PostgREST itself. tests/functions/test_identity.py has the verifier alone."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from contract.__main__ import DOCUMENT
from local.people import PROFILE, Client, Person, RunningStack
from tests.assertions import assert_problem

Forge = Callable[[RunningStack, Person], str]
DAY = 24 * 3600


def b64(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def header(token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.get_unverified_header(token)
    return found


def claims(token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found


def public_key(stack: RunningStack) -> dict[str, Any]:
    answer = httpx.get(f"{stack.auth_url}/.well-known/jwks.json", trust_env=False).raise_for_status()
    found: dict[str, Any] = answer.json()["keys"][0]
    return found


def changed(**other: Any) -> Forge:
    """The claims changed under the signature of what was there before."""

    def forge(stack: RunningStack, person: Person) -> str:
        head, _, signature = person.token.split(".")
        return f"{head}.{b64(claims(person.token) | other)}.{signature}"

    return forge


def signed_by_auth(**other: Any) -> Forge:
    """Auth's own signature, under claims that are not for us; None leaves one out."""
    return lambda stack, person: stack.token(person.id, person.email, **other)


def headed(**other: Any) -> Forge:
    """Another header over a signature of somebody else's key."""

    def forge(stack: RunningStack, person: Person) -> str:
        key = ec.generate_private_key(ec.SECP256R1())
        headers = {"kid": header(person.token)["kid"]} | other
        return jwt.encode(claims(person.token), key, "ES256", headers)

    return forge


def unsigned(algorithm: str) -> Forge:
    return lambda stack, person: f"{b64({'alg': algorithm, 'typ': 'JWT'})}.{b64(claims(person.token))}."


def hmac_of(secret: Callable[[RunningStack], bytes]) -> Forge:
    """HS256 with something public for a secret, under the id of the public key."""

    def forge(stack: RunningStack, person: Person) -> str:
        headers = {"alg": "HS256", "typ": "JWT", "kid": header(person.token)["kid"]}
        signed = f"{b64(headers)}.{b64(claims(person.token))}"
        algorithm = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
        return f"{signed}.{b64(algorithm.sign(signed.encode(), secret(stack)))}"

    return forge


def pem(stack: RunningStack) -> bytes:
    key = jwt.algorithms.ECAlgorithm.from_jwk(public_key(stack))
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def in_parts(change: Callable[[list[str]], list[str]]) -> Forge:
    return lambda stack, person: ".".join(change(person.token.split(".")))


def own_key_in_header(stack: RunningStack, person: Person) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    jwk = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return jwt.encode(claims(person.token), key, "ES256", {"jwk": jwk, "kid": "mine"})


def nested(stack: RunningStack, person: Person) -> str:
    """A token whose claims are a token."""
    head, _, signature = person.token.split(".")
    return f"{head}.{b64(person.token.encode())}.{signature}"


def issuer_of(other: str) -> str:
    return f"https://{other}/auth/v1"


# Refused at every door, the store's own as well.
FORGED: dict[str, Forge] = {
    "no algorithm": unsigned("none"),
    "no algorithm, in other letters": unsigned("nOnE"),
    "an empty algorithm": unsigned(""),
    "HS256 with the public key's PEM": hmac_of(pem),
    "HS256 with the public key's JWK": hmac_of(lambda stack: json.dumps(public_key(stack)).encode()),
    "HS256 with the public key's x": hmac_of(lambda stack: public_key(stack)["x"].encode()),
    "HS256 with the publishable key": hmac_of(lambda stack: stack.anon_key.encode()),
    "HS256 with nothing": hmac_of(lambda stack: b""),
    "HS256 with the usual secret": hmac_of(
        lambda stack: b"super-secret-jwt-token-with-at-least-32-characters-long"
    ),
    "somebody else's key under the right id": headed(),
    "somebody else's key under no id": headed(kid=""),
    "an id that is a path": headed(kid="../../../../dev/null"),
    "an id that is a query": headed(kid="' or 1=1 --"),
    "a key of its own": own_key_in_header,
    "a key at an address of its own": headed(jku="http://127.0.0.1:9/jwks.json", kid="theirs"),
    "another person's id": changed(sub="00000000-0000-4000-8000-000000000000"),
    "a role put in": changed(role="service_role"),
    "a longer life put in": changed(exp=int(time.time()) + 365 * DAY),
    "no signature": in_parts(lambda parts: [*parts[:2], ""]),
    "two parts": in_parts(lambda parts: parts[:2]),
    "four parts": in_parts(lambda parts: [*parts, parts[2]]),
    "five parts": in_parts(lambda parts: [*parts, "x", "y"]),
    "half a signature": in_parts(lambda parts: [*parts[:2], parts[2][:43]]),
    "a signature of noughts": in_parts(lambda parts: [*parts[:2], b64(bytes(64))]),
    "a signature of ones": in_parts(lambda parts: [*parts[:2], b64(b"\xff" * 64)]),
    "broken base64": in_parts(lambda parts: [parts[0], "!" + parts[1], parts[2]]),
    "claims that are no JSON": in_parts(lambda parts: [parts[0], b64(b"{"), parts[2]]),
    "claims that are a list": in_parts(lambda parts: [parts[0], b64([]), parts[2]]),
    "a token in a token": nested,
    "a huge one": in_parts(lambda parts: [parts[0], b64(b"x" * 20_000), parts[2]]),
    "expired": signed_by_auth(exp=int(time.time()) - 120),
    "not yet valid": signed_by_auth(nbf=int(time.time()) + DAY),
    "issued tomorrow": signed_by_auth(iat=int(time.time()) + DAY),
}
# What only the project's own key can sign, and no person has. Functions refuse it.
SIGNED: dict[str, Forge] = {
    "for another audience": signed_by_auth(aud="another"),
    "of another issuer": signed_by_auth(iss=issuer_of("other.supabase.co")),
    "of an issuer in other letters": signed_by_auth(iss=issuer_of("127.0.0.1").upper()),
    "without an issuer": signed_by_auth(iss=None),
    "without an audience": signed_by_auth(aud=None),
    "without an end": signed_by_auth(exp=None),
    "without a role": signed_by_auth(role=None),
    "of the role anon": signed_by_auth(role="anon"),
    "of the service": signed_by_auth(role="service_role"),
}
# The store believes those: it looks at signature, times and role, and at the person. These it must not take for anybody.
NOBODY: dict[str, Forge] = {
    "for nobody": signed_by_auth(sub=""),
    "without a person": signed_by_auth(sub=None),
    "of the database's owner": signed_by_auth(role="postgres"),
    "of PostgREST itself": signed_by_auth(role="authenticator"),
    "for a person who is text": signed_by_auth(sub="x"),
}


@pytest.fixture
def doors(ticket: str) -> list[tuple[str, str]]:
    """Every call of every public function; webhooks are signed in another way."""
    paths = json.loads(DOCUMENT.read_text())["paths"]
    return [
        (method, path.replace("{ticket}", ticket).replace("{id}", "1"))
        for path, methods in paths.items()
        for method in methods
        if not path.startswith("/receive-webhook")
    ]


@pytest.mark.parametrize("kind", [*FORGED, *SIGNED, *NOBODY])
def test_no_function_believes_it(
    kind: str, stack: RunningStack, customer: Person, doors: list[tuple[str, str]], api: Client
) -> None:
    token = {**FORGED, **SIGNED, **NOBODY}[kind](stack, customer)
    forger = api(Person(customer.id, customer.email, token))
    assert len(doors) > 20
    for method, path in doors:
        response = forger.request(method, path, json=None if method == "get" else {})
        assert_problem(response, 401, "unauthenticated")


@pytest.mark.parametrize("kind", FORGED)
def test_neither_does_the_store(kind: str, stack: RunningStack, customer: Person, ticket: str) -> None:
    with straight(stack, FORGED[kind](stack, customer)) as store:
        for method, path, body in STRAIGHT:
            response = store.request(method, path, json=filled(body, ticket))
            assert response.status_code in (400, 401, 403, 431), (path, response.text)
            assert ticket not in response.text


@pytest.mark.parametrize("kind", NOBODY)
def test_the_store_takes_no_token_without_a_person_for_one(
    kind: str, stack: RunningStack, customer: Person, ticket: str
) -> None:
    with straight(stack, NOBODY[kind](stack, customer)) as store:
        for method, path, body in STRAIGHT:
            response = store.request(method, path, json=filled(body, ticket))
            assert response.status_code in (400, 401, 403, 404) or response.json() == [], (
                path,
                response.text,
            )
            assert ticket not in response.text


# Method, path and body; None in a body is the ticket.
STRAIGHT: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", "/support_tickets?select=ticket_number", None),
    ("GET", "/support_agents", None),
    ("GET", "/user_feedback", None),
    ("POST", "/rpc/get_ticket", {"ticket": None}),
    ("POST", "/rpc/list_tickets", {"scope": "queue"}),
    ("POST", "/rpc/close_ticket", {"ticket": None}),
    ("POST", "/rpc/claim_mail", {"batch": 1, "lease_seconds": 1}),
]


def straight(stack: RunningStack, token: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}", **PROFILE}
    return httpx.Client(base_url=stack.rest_url, headers=headers, timeout=30, trust_env=False)


def filled(body: dict[str, Any] | None, ticket: str) -> dict[str, Any] | None:
    return body and {name: value or ticket for name, value in body.items()}
