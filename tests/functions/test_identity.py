"""Verifies access tokens, and counts the requests that verification costs."""

import asyncio
import hmac
import json
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.errors import AuthUnavailable, Problem, Unauthenticated
from shared.http import identity
from shared.http.identity import Person, Verifier

ISSUER = "https://project.example/auth/v1"
SECRET = "the project's shared secret of old, which is long"


class Auth:
    """Supabase Auth as far as a verifier asks it: its public keys, and who a token is."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {"es": ec.generate_private_key(ec.SECP256R1())}
        self.published = ["es"]
        self.asked: list[str] = []
        self.is_down = False
        self.extra: dict[str, Any] = {}

    async def get(self, url: str, token: str | None) -> tuple[int, bytes]:
        self.asked.append(url.removeprefix(ISSUER))
        await asyncio.sleep(0.01)
        if self.is_down:
            raise AuthUnavailable("down")
        return self.jwks() if token is None else self.user(token)

    def jwks(self) -> tuple[int, bytes]:
        return 200, json.dumps({"keys": [self.jwk(key_id) for key_id in self.published]}).encode()

    def jwk(self, key_id: str) -> dict[str, Any]:
        key = self.keys[key_id]
        kind = (
            jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
        )
        return {**kind.to_jwk(key.public_key(), as_dict=True), "kid": key_id, "use": "sig"} | self.extra

    def user(self, token: str) -> tuple[int, bytes]:
        try:
            claims = jwt.decode(token, SECRET, ["HS256"], audience="authenticated")
        except jwt.InvalidTokenError:
            return 403, b'{"code": 403, "error_code": "bad_jwt"}'
        return 200, json.dumps({"id": claims["sub"]}).encode()

    def token(self, key_id: str = "es", algorithm: str = "ES256", **claims: Any) -> str:
        now = int(time.time())
        usual: dict[str, Any] = {"iss": ISSUER, "sub": str(uuid4()), "aud": "authenticated"}
        usual |= {"role": "authenticated", "exp": now + 3600, "iat": now, "email": "ada@example.com"}
        return jwt.encode(usual | claims, self.keys[key_id], algorithm, {"kid": key_id})

    def legacy_token(self, secret: str = SECRET, **claims: Any) -> str:
        payload = jwt.decode(self.token(**claims), options={"verify_signature": False})
        return jwt.encode(payload, secret, "HS256")


@pytest.fixture
def auth() -> Auth:
    return Auth()


@pytest.fixture
def verifier(auth: Auth) -> Verifier:
    return Verifier(ISSUER, auth.get)


def identify(verifier: Verifier, *tokens: str) -> list[Person | Problem]:
    """Identifies all the tokens at once, and returns the outcomes."""

    async def run() -> list[Any]:
        calls = [verifier.person(token) for token in tokens]
        return await asyncio.gather(*calls, return_exceptions=True)

    return asyncio.run(run())


def is_refused(outcome: Person | Problem) -> bool:
    return isinstance(outcome, Unauthenticated)


def test_a_session_is_its_person(verifier: Verifier, auth: Auth) -> None:
    user_id = str(uuid4())
    [person] = identify(verifier, auth.token(sub=user_id))
    assert isinstance(person, Person)
    assert (person.id, person.email, person.is_anonymous) == (user_id, "ada@example.com", False)


def test_an_anonymous_sign_in_is_known_as_one(verifier: Verifier, auth: Auth) -> None:
    [person] = identify(verifier, auth.token(is_anonymous=True, email=""))
    assert isinstance(person, Person)
    assert (person.email, person.is_anonymous) == (None, True)


def test_audiences_may_be_a_list(verifier: Verifier, auth: Auth) -> None:
    [person, refused] = identify(verifier, auth.token(aud=["x", "authenticated"]), auth.token(aud=["x"]))
    assert isinstance(person, Person)
    assert is_refused(refused)


def test_clocks_may_differ_by_half_a_minute(verifier: Verifier, auth: Auth) -> None:
    now = int(time.time())
    near = [auth.token(exp=now - 20), auth.token(nbf=now + 20), auth.token(iat=now + 20)]
    far = [auth.token(exp=now - 40), auth.token(nbf=now + 40), auth.token(iat=now + 40)]
    assert not any(map(is_refused, identify(verifier, *near)))
    assert all(map(is_refused, identify(verifier, *far)))


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": True},
        {"exp": "9999999999"},
        {"exp": float("inf")},
        {"exp": -1},
        {"exp": [9999999999]},
        {"iss": ISSUER + "/"},
        {"aud": {"authenticated": 1}},
        {"aud": "authenticated2"},
        {"role": ["authenticated"]},
        {"sub": 5},
        {"sub": "00000000000000000000000000000000"},
    ],
)
def test_claims_of_another_shape_are_refused(claims: dict[str, Any], verifier: Verifier, auth: Auth) -> None:
    assert is_refused(identify(verifier, auth.token(**claims))[0])


class TestAlgorithms:
    @pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
    def test_rsa_is_taken_from_2048_bits(self, verifier: Verifier, auth: Auth) -> None:
        auth.keys |= {
            "rsa": rsa.generate_private_key(65537, 2048),
            "weak": rsa.generate_private_key(65537, 1024),
        }
        auth.published = ["rsa", "weak"]
        [person, refused] = identify(verifier, auth.token("rsa", "RS256"), auth.token("weak", "RS256"))
        assert isinstance(person, Person)
        assert is_refused(refused)

    @pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS256"])
    def test_other_algorithms_of_the_same_key_are_not(
        self, algorithm: str, verifier: Verifier, auth: Auth
    ) -> None:
        auth.keys["rsa"] = rsa.generate_private_key(65537, 2048)
        auth.published = ["rsa"]
        assert is_refused(identify(verifier, auth.token("rsa", algorithm))[0])

    def test_other_curves_are_not(self, verifier: Verifier, auth: Auth) -> None:
        auth.keys["es384"] = ec.generate_private_key(ec.SECP384R1())
        auth.published = ["es", "es384"]
        assert is_refused(identify(verifier, auth.token("es384", "ES384"))[0])

    def test_a_key_serves_the_algorithm_of_its_type_only(self, verifier: Verifier, auth: Auth) -> None:
        auth.keys["rsa"] = rsa.generate_private_key(65537, 2048)
        auth.published = ["es", "rsa"]
        _, payload, signature = auth.token("rsa", "RS256").split(".")
        for header in ({"alg": "ES256", "kid": "rsa"}, {"alg": "RS256", "kid": "es"}):
            assert is_refused(identify(verifier, f"{encoded(header)}.{payload}.{signature}")[0])

    @pytest.mark.parametrize("extra", [{"use": "enc"}, {"alg": "ES384"}, {"crv": "P-384"}, {"x": "AAAA"}])
    def test_a_key_for_something_else_is_not_used(
        self, extra: dict[str, Any], verifier: Verifier, auth: Auth
    ) -> None:
        auth.extra = extra
        assert is_refused(identify(verifier, auth.token())[0])

    @pytest.mark.parametrize(
        "header",
        [
            {"alg": "none"},
            {"alg": "ES256", "kid": "es", "crit": ["exp"]},
            {"alg": "ES256", "kid": "es", "typ": "secevent+jwt"},
            {"alg": "ES256", "kid": 5},
            {"alg": "ES256"},
            {"alg": ["ES256"], "kid": "es"},
            {"alg": "es256", "kid": "es"},
            {"kid": "es"},
            [],
        ],
    )
    def test_other_headers_are_refused_even_if_signed(
        self, header: object, verifier: Verifier, auth: Auth
    ) -> None:
        payload = auth.token().split(".")[1]
        signing_input = f"{encoded(header)}.{payload}".encode()
        algorithm = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256)
        signature = jwt.utils.base64url_encode(algorithm.sign(signing_input, auth.keys["es"])).decode()
        assert is_refused(identify(verifier, f"{signing_input.decode()}.{signature}")[0])


@pytest.mark.parametrize(
    "change",
    [
        lambda token: token + "=",
        lambda token: token + ".",
        lambda token: "." + token,
        lambda token: token[:-4],
        lambda token: token.replace(".", "..", 1),
        lambda token: token.replace(".", ".é", 1),
        lambda token: token.rpartition(".")[0] + ".",
        lambda token: token.rpartition(".")[0] + "." + "A" * 86,
        lambda token: "\n" + token,
        lambda token: "",
        lambda token: "." * 3,
        lambda token: "a" * 20_000,
    ],
)
def test_what_is_not_exactly_a_token_is_refused(
    change: Callable[[str], str], verifier: Verifier, auth: Auth
) -> None:
    assert is_refused(identify(verifier, change(auth.token()))[0])


def test_a_signature_has_one_way_to_be_written(verifier: Verifier, auth: Auth) -> None:
    """The last letter of 64 bytes carries four bits too many, which must be nought."""
    token = auth.token()
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = letters[letters.index(token[-1]) + 1]
    assert is_refused(identify(verifier, token[:-1] + other)[0])


class TestCosts:
    def test_the_keys_are_fetched_once_for_many(self, verifier: Verifier, auth: Auth) -> None:
        assert not any(map(is_refused, identify(verifier, *[auth.token() for _ in range(50)])))
        identify(verifier, auth.token())
        assert auth.asked == ["/.well-known/jwks.json"]

    def test_forged_tokens_cost_no_calls(self, verifier: Verifier, auth: Auth) -> None:
        identify(verifier, auth.token())
        forger = Auth()
        forger.keys = {f"k{n}": forger.keys["es"] for n in range(200)} | {"es": forger.keys["es"]}
        forged = [forger.token(key_id) for key_id in forger.keys] + [auth.legacy_token("x" * 32)]
        for _ in range(3):
            assert all(map(is_refused, identify(verifier, *forged)))
        # The last one claims to be of the legacy secret, which Auth alone knows.
        assert auth.asked == ["/.well-known/jwks.json", "/user"]

    def test_a_new_key_is_found(
        self, verifier: Verifier, auth: Auth, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        identify(verifier, auth.token())
        auth.keys["new"] = ec.generate_private_key(ec.SECP256R1())
        auth.published.append("new")
        assert is_refused(identify(verifier, auth.token("new"))[0])

        monkeypatch.setattr(identity, "REFETCH_AFTER", 0)  # a minute later
        outcomes = identify(verifier, *[auth.token("new") for _ in range(20)])
        assert not any(map(is_refused, outcomes))
        assert len(auth.asked) == 2

    def test_a_key_taken_back_is_forgotten(
        self, verifier: Verifier, auth: Auth, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        auth.keys["new"] = ec.generate_private_key(ec.SECP256R1())
        identify(verifier, auth.token())
        auth.published = ["new"]
        monkeypatch.setattr(identity, "REFETCH_AFTER", 0)
        monkeypatch.setattr(identity, "KEYS_LAST", 0)
        assert is_refused(identify(verifier, auth.token())[0])

    def test_old_keys_serve_while_new_ones_cannot_be_had(
        self, verifier: Verifier, auth: Auth, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        identify(verifier, auth.token())
        auth.is_down = True
        monkeypatch.setattr(identity, "REFETCH_AFTER", 0)
        monkeypatch.setattr(identity, "KEYS_LAST", 0)
        assert not is_refused(identify(verifier, auth.token())[0])

    def test_without_any_keys_nobody_can_be_told_apart(self, verifier: Verifier, auth: Auth) -> None:
        auth.is_down = True
        outcomes = identify(verifier, auth.token(), auth.token())
        assert all(isinstance(outcome, AuthUnavailable) for outcome in outcomes)
        assert len(auth.asked) == 1
        auth.is_down = False
        assert isinstance(identify(verifier, auth.token())[0], Person)

    def test_a_known_token_is_not_believed_beyond_its_time(
        self, verifier: Verifier, auth: Auth, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token = auth.token(exp=int(time.time()) - identity.LEEWAY + 1)
        assert not is_refused(identify(verifier, token)[0])
        time.sleep(2.1)
        assert is_refused(identify(verifier, token)[0])

    def test_what_is_remembered_is_bounded(
        self, verifier: Verifier, auth: Auth, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(identity, "REMEMBER_AT_MOST", 10)
        identify(verifier, *[auth.token() for _ in range(50)])
        assert len(verifier._known) == 10


class TestLegacyProject:
    @pytest.fixture(autouse=True)
    def _publishes_no_keys(self, auth: Auth) -> None:
        auth.published = []

    def test_auth_is_asked_and_its_answer_kept(self, verifier: Verifier, auth: Auth) -> None:
        token = auth.legacy_token()
        for _ in range(3):
            assert isinstance(identify(verifier, token)[0], Person)
        assert auth.asked == ["/user"]

    def test_so_is_a_refusal(self, verifier: Verifier, auth: Auth) -> None:
        token = auth.legacy_token("another secret, which is long as well")
        for _ in range(3):
            assert is_refused(identify(verifier, token)[0])
        assert auth.asked == ["/user"]

    def test_nobody_is_asked_about_a_token_for_somewhere_else(self, verifier: Verifier, auth: Auth) -> None:
        expired = auth.legacy_token(exp=int(time.time()) - 60)
        foreign = auth.legacy_token(iss="https://other.example/auth/v1")
        assert all(map(is_refused, identify(verifier, expired, foreign)))
        assert auth.asked == []

    def test_while_auth_is_down_it_is_no_refusal(self, verifier: Verifier, auth: Auth) -> None:
        identify(verifier, auth.legacy_token())
        auth.is_down = True
        assert isinstance(identify(verifier, auth.legacy_token(jti="another"))[0], AuthUnavailable)


class TestMovingToSigningKeys:
    """A project publishes its keys before it signs with them, and old tokens live on for an hour after."""

    def test_the_old_secret_still_signs_beside_a_standby_key(self, verifier: Verifier, auth: Auth) -> None:
        auth.published = ["es"]
        assert isinstance(identify(verifier, auth.legacy_token())[0], Person)

    def test_both_kinds_of_tokens_are_accepted_in_any_order(self, verifier: Verifier, auth: Auth) -> None:
        old, new = auth.legacy_token(), auth.token()
        for token in (new, old, new, old):
            assert isinstance(identify(verifier, token)[0], Person)
        assert auth.asked == ["/.well-known/jwks.json", "/user"]

    def test_a_forged_old_token_is_refused_by_auth(self, verifier: Verifier, auth: Auth) -> None:
        identify(verifier, auth.token())
        assert is_refused(identify(verifier, auth.legacy_token("x" * 32))[0])

    def test_a_public_key_is_no_shared_secret(self, verifier: Verifier, auth: Auth) -> None:
        """The classic forgery: HS256 with the bytes of a key that everybody can read."""
        pem = auth.keys["es"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        head, body = (part.encode() for part in auth.legacy_token().split(".")[:2])
        signature = hmac.new(pem, head + b"." + body, "sha256").digest()
        forged = b".".join((head, body, jwt.utils.base64url_encode(signature))).decode()
        assert is_refused(identify(verifier, forged)[0])


def encoded(header: object) -> str:
    return jwt.utils.base64url_encode(json.dumps(header).encode()).decode()
