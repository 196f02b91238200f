"""Prepares anonymous contact forms: the intake secret, the network hash for the quota, the ticket's tokens."""

import hmac
import secrets
from base64 import urlsafe_b64encode
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from starlette.requests import Request

from shared.config import config
from shared.errors import NotConfigured


def contact_form_arguments(request: Request, idempotency_key: str | None) -> dict[str, str]:
    """Returns the arguments of the RPC create_contact that do not come from the form."""
    secret = config().intake_secret
    if secret is None:
        raise NotConfigured("INTAKE_SECRET is not set")
    return {
        "intake_secret": secret,
        "network": _keyed(secret, f"network:{network_of(request, config().trusted_hops)}").hex(),
        "access_token": _token(secret, "access_token", idempotency_key),
        "mail_token": _token(secret, "mail_token", idempotency_key),
    }


def network_of(request: Request, trusted_hops: int) -> str:
    """Returns the sender's network: the address for IPv4, the /64 of one household for IPv6.

    Each trusted hop appends the address of its caller to X-Forwarded-For. What stands before those is the
    caller's own word.
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


def _token(secret: str, kind: str, idempotency_key: str | None) -> str:
    """Returns a token of the ticket, 43 characters. A replay gets the same, for its first answer may be lost."""
    if idempotency_key is None:
        return secrets.token_urlsafe(32)
    return urlsafe_b64encode(_keyed(secret, f"{kind}:{idempotency_key}")).rstrip(b"=").decode()


def _keyed(secret: str, message: str) -> bytes:
    return hmac.digest(secret.encode(), message.encode(), sha256)
