"""Checks the service account that calls a private function.

Cloud Run's IAM is the gate: it verifies the identity token, and replaces the signature before it passes the
token on. Only the claims can be checked here.
"""

from base64 import urlsafe_b64decode
from typing import Any

from pydantic_core import from_json

from shared.config import config
from shared.errors import Forbidden

SENTENCE = "This function is for the desk's own service accounts."


def require_invoker(authorization: str) -> None:
    """Refuses a token for another function or from another account.

    This guards against mistakes: a wrong audience, the wrong service account, a call without a token to a
    function that was deployed public. It does not guard against an attacker once IAM is off: the claims are
    unsigned by then, and who knows the project's id can write them.
    """
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
