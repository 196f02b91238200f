"""The keys of one local project: made once, kept in one file."""

import json
import secrets
import time
from base64 import b64encode
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

TEN_YEARS = 10 * 365 * 24 * 3600


@dataclass(frozen=True)
class Keys:
    """Everything secret about a local project."""

    publishable: str
    secret: str
    legacy_secret: str
    intake_secret: str
    linear_key: str
    linear_webhook_secret: str
    partner_secret: str
    database_password: str
    signing_key: str
    key_id: str

    def sign(self, claims: dict[str, Any]) -> str:
        """A token as Auth signs it (ES256)."""
        return jwt.encode(claims, self.signing_key, "ES256", {"kid": self.key_id})

    def role_token(self, role: str) -> str:
        """What the gateway shows PostgREST in place of an opaque key."""
        return self.sign(_role_claims(role))

    def legacy_key(self, role: str) -> str:
        """The project's API key of the older style: a role, signed with the shared secret."""
        return jwt.encode(_role_claims(role, issued=0), self.legacy_secret, "HS256")

    def public_jwk(self) -> dict[str, Any]:
        """The half of the signing key that Auth publishes."""
        key = serialization.load_pem_private_key(self.signing_key.encode(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        jwk = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
        return {**jwk, "alg": "ES256", "use": "sig", "kid": self.key_id, "key_ops": ["verify"]}

    def legacy_jwk(self) -> dict[str, Any]:
        """The shared secret, for PostgREST alone."""
        return {**jwt.algorithms.HMACAlgorithm.to_jwk(self.legacy_secret, as_dict=True), "alg": "HS256"}


def load_keys(path: Path) -> Keys:
    """The keys in `path`; those that are missing are made first."""
    known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    if known.keys() != {field.name for field in fields(Keys)}:
        known = asdict(_new_keys()) | known
        write_private(path, json.dumps(known, indent=2))
    return Keys(**known)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads, all of it or nothing."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_text(text)
    draft.replace(path)


def _new_keys() -> Keys:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Keys(
        publishable=f"sb_publishable_{secrets.token_urlsafe(24)}",
        secret=f"sb_secret_{secrets.token_urlsafe(24)}",
        legacy_secret=secrets.token_urlsafe(48),
        intake_secret=secrets.token_urlsafe(32),
        linear_key=f"lin_api_{secrets.token_urlsafe(30)}",
        linear_webhook_secret=f"lin_wh_{secrets.token_urlsafe(30)}",
        partner_secret=f"whsec_{b64encode(secrets.token_bytes(24)).decode()}",
        database_password=secrets.token_urlsafe(18),
        signing_key=pem.decode(),
        key_id=secrets.token_hex(8),
    )


def _role_claims(role: str, issued: int | None = None) -> dict[str, Any]:
    # A legacy key must be the same text every time, so its times are fixed.
    start = int(time.time()) if issued is None else 1_700_000_000
    return {"iss": "supabase", "ref": "local", "role": role, "iat": start, "exp": start + TEN_YEARS}
