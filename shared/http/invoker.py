"""Which service account calls a private function.

Cloud Run's IAM is the gate: it verifies the identity token, and takes the signature off before it passes the token
on. So there is nothing to verify here, only claims to look at a second time, as far as configuration names what they
must be: a function that was deployed public by mistake then still asks for a token that is meant for it.
"""

from base64 import urlsafe_b64decode
from typing import Any

from pydantic_core import from_json

from shared.config import config
from shared.errors import Forbidden

SENTENCE = "This function is for the desk's own service accounts."


def require_invoker(authorization: str) -> None:
    audience, invokers = config().audience, config().invokers
    if audience is None and not invokers:
        return
    claims = _claims(authorization)
    if audience is not None and claims.get("aud") != audience:
        raise Forbidden(SENTENCE, reason="the token is meant for another address")
    if invokers and (claims.get("email") not in invokers or claims.get("email_verified") is not True):
        raise Forbidden(SENTENCE, reason="the token is another account's")


def _claims(authorization: str) -> dict[str, Any]:
    scheme, _, token = authorization.strip().partition(" ")
    try:
        _, claims, _ = token.split(".")
        value = from_json(urlsafe_b64decode(claims + "==="))
    except ValueError:
        value = None
    if scheme.lower() != "bearer" or not isinstance(value, dict):
        raise Forbidden(SENTENCE, reason="no identity token")
    return value
