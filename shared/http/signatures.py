"""Verifies webhook signatures: Linear's own form, and Standard Webhooks for partners."""

import hmac
import time
from collections.abc import Mapping

from standardwebhooks import Webhook, WebhookVerificationError

from shared.config import webhook_config
from shared.errors import NotConfigured, Unauthenticated

# Linear tries again after a minute, an hour and six hours, with the first signature.
MAX_AGE_S = 24 * 3600
# How far ahead of ours its clock may be.
MAX_AHEAD_S = 300


class BadSignature(Unauthenticated):
    sentence = "This is not signed by anybody that the desk knows."
    challenge = "Signature"


def require_linear(body: bytes, headers: Mapping[str, str]) -> None:
    """Refuses a body unless Linear-Signature is its HMAC-SHA256, in hexadecimal."""
    secret = webhook_config().linear_secret
    if secret is None:
        raise NotConfigured("LINEAR_WEBHOOK_SECRET is not set")
    expected = hmac.new(secret.encode(), body, "sha256").hexdigest()
    if not hmac.compare_digest(expected.encode(), headers.get("linear-signature", "").encode()):
        raise BadSignature(reason="linear: the signature does not match")


def require_recent(timestamp_ms: int) -> None:
    """Refuses a webhook whose signed time of sending is too far away."""
    age = time.time() - timestamp_ms / 1000
    if not -MAX_AHEAD_S <= age <= MAX_AGE_S:
        raise BadSignature("This was signed too long ago.", reason="linear: the timestamp is too far away")


def require_partner(body: bytes, headers: Mapping[str, str]) -> str:
    """Returns the partner whose secret signed the body; each may have two, for a rotation without a gap."""
    partners = webhook_config().partners
    if not partners:
        raise NotConfigured("PARTNER_SECRETS is not set")
    for name, secrets in partners.items():
        if any(_is_signed(body, headers, secret) for secret in secrets):
            return name
    raise BadSignature(reason="no partner's signature matches, or its time is more than 5 minutes away")


def _is_signed(body: bytes, headers: Mapping[str, str], secret: str) -> bool:
    try:
        Webhook(secret).verify(body, dict(headers), json_parse=False)
    except (WebhookVerificationError, ValueError):  # ValueError: the header has no signature
        return False
    return True
