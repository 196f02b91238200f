"""What lets in a contact form that nobody is signed in to: the intake secret, the sender's trace, a token."""

import hmac
import secrets
from base64 import urlsafe_b64encode
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from starlette.requests import Request

from shared.config import config
from shared.errors import NotConfigured


def intake_arguments(request: Request, idempotency_key: str | None) -> dict[str, str]:
    """What the RPC create_contact wants beside the form itself."""
    secret = config().intake_secret
    if secret is None:
        raise NotConfigured("INTAKE_SECRET is not set")
    return {
        "intake_secret": secret,
        "network": _keyed(secret, f"network:{network_of(request, config().trusted_hops)}").hex(),
        "access_token": _access_token(secret, idempotency_key),
    }


def network_of(request: Request, trusted_hops: int) -> str:
    """The sender's network: IPv4 by address, IPv6 by the /64 that one household has.

    Each trusted hop appended to X-Forwarded-For the address it was called from; what stands before those,
    anybody may have written.
    """
    hops = [hop.strip() for hop in ",".join(request.headers.getlist("x-forwarded-for")).split(",")]
    peer = request.client.host if request.client else ""
    claimed = hops[-trusted_hops] if 0 < trusted_hops <= len(hops) else ""
    return _network(claimed) or _network(peer) or "unknown"


def _network(text: str) -> str | None:
    try:
        address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return str(IPv6Network((address.packed, 64), strict=False) if address.version == 6 else address)


def _access_token(secret: str, idempotency_key: str | None) -> str:
    """43 characters that open the one ticket; the same for a replay: its first answer may have been lost."""
    if idempotency_key is None:
        return secrets.token_urlsafe(32)
    return urlsafe_b64encode(_keyed(secret, f"access_token:{idempotency_key}")).rstrip(b"=").decode()


def _keyed(secret: str, message: str) -> bytes:
    return hmac.digest(secret.encode(), message.encode(), sha256)
