"""Whether a webhook comes from whom it says: Linear signs in its own way, partners as Standard Webhooks has it."""

import hmac
import time
from collections.abc import Mapping

from standardwebhooks import Webhook, WebhookVerificationError

from shared.config import webhook_config
from shared.errors import NotConfigured, Unauthenticated

# Linear tries again after a minute, an hour and six hours, and signs what it sent first.
LINEAR_SECONDS = 24 * 3600
# How far ahead of ours its clock may be.
AHEAD_SECONDS = 300


class BadSignature(Unauthenticated):
    sentence = "This is not signed by anybody that the desk knows."
    challenge = "Signature"


def require_linear(body: bytes, headers: Mapping[str, str]) -> None:
    """Linear-Signature is the hexadecimal HMAC-SHA256 of the body."""
    secret = webhook_config().linear_secret
    if secret is None:
        raise NotConfigured("LINEAR_WEBHOOK_SECRET is not set")
    expected = hmac.new(secret.encode(), body, "sha256").hexdigest()
    if not hmac.compare_digest(expected.encode(), headers.get("linear-signature", "").encode()):
        raise BadSignature(reason="linear: the signature does not match")


def require_recent(timestamp_ms: int) -> None:
    """The moment that Linear's signed body says it was sent at."""
    age = time.time() - timestamp_ms / 1000
    if not -AHEAD_SECONDS <= age <= LINEAR_SECONDS:
        raise BadSignature("This was signed too long ago.", reason="linear: the timestamp is too far away")


def require_partner(body: bytes, headers: Mapping[str, str]) -> str:
    """The name of the integration whose secret has signed this; each may have two, to change them without a gap."""
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
    except (WebhookVerificationError, ValueError):  # what is not even a signature is a ValueError
        return False
    return True
