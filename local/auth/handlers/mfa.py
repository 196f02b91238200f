"""Handles second factors: enrolment, challenge, verification, removal."""

import time
from urllib.parse import quote, urlencode, urlsplit

from starlette.responses import JSONResponse, Response

from local.auth import accounts, factors, sessions
from local.auth.accounts import Row
from local.auth.bodies import Enrolment, FactorCode
from local.auth.errors import AuthError, invalid
from local.auth.request import AuthRequest
from local.auth.responses import session_response


def enrol(call: AuthRequest) -> Response:
    """POST /factors: a secret for an authenticator app."""
    user, session = _signed_in(call)
    body = call.body(Enrolment)
    if body.factor_type in ("phone", "webauthn"):
        kind = {"phone": "Phone", "webauthn": "WebAuthn"}[body.factor_type]
        code = {"phone": "mfa_phone_enroll_not_enabled", "webauthn": "mfa_webauthn_enroll_not_enabled"}
        raise AuthError(422, code[body.factor_type], f"MFA enroll is disabled for {kind}")
    if body.factor_type != "totp":
        raise invalid("factor_type needs to be totp, phone, or webauthn")
    factor = factors.add_factor(call.connection, user, body.friendly_name, str(session["aal"]))
    issuer = body.issuer or urlsplit(call.service.site_url).netloc
    uri = _uri(issuer, user["email"] or "", factor["secret"])
    totp = {"qr_code": factors.qr_code(uri), "secret": factor["secret"], "uri": uri}
    shown = {"id": str(factor["id"]), "type": "totp", "friendly_name": body.friendly_name, "totp": totp}
    return JSONResponse(shown)


def _uri(issuer: str, account: str, secret: str) -> str:
    query = {"algorithm": "SHA1", "digits": 6, "issuer": issuer, "period": factors.STEP_S, "secret": secret}
    return f"otpauth://totp/{quote(f'{issuer}:{account}')}?{urlencode(query)}"


def challenge(call: AuthRequest) -> Response:
    """POST /factors/{id}/challenge."""
    user, _ = _signed_in(call)
    factor = _factor(call, user)
    challenge_id = factors.add_challenge(call.connection, factor["id"], call.address)
    expires_at = int(time.time()) + factors.CHALLENGE_TTL_S
    return JSONResponse({"id": str(challenge_id), "type": factor["factor_type"], "expires_at": expires_at})


def verify(call: AuthRequest) -> Response:
    """POST /factors/{id}/verify: the same session at level 2."""
    user, session = _signed_in(call)
    factor, body = _factor(call, user), call.body(FactorCode)
    if not body.code:
        raise invalid("Code needs to be non-empty")
    factors.check_code(call.connection, factor, body.challenge_id, body.code)
    with call.connection.transaction():
        factors.verify_factor(call.connection, factor)
        raised = sessions.raise_to_aal2(call.connection, session["id"], user["id"], factor["id"])
    return session_response(call, raised)


def remove(call: AuthRequest) -> Response:
    """DELETE /factors/{id}: a verified one at level 2 only."""
    user, session = _signed_in(call)
    factor = _factor(call, user)
    if factor["status"] == "verified" and session["aal"] != "aal2":
        raise AuthError(422, "insufficient_aal", "AAL2 required to unenroll verified factor")
    _delete(call, factor)
    return JSONResponse({"id": str(factor["id"])})


def list_managed(call: AuthRequest) -> Response:
    """GET /admin/users/{id}/factors."""
    call.require_admin()
    return JSONResponse(accounts.get_user(call.connection, call.user_id())["factors"])


def remove_managed(call: AuthRequest) -> Response:
    """DELETE /admin/users/{id}/factors/{id}."""
    call.require_admin()
    factor = _factor(call, accounts.get_user(call.connection, call.user_id()))
    _delete(call, factor)
    return JSONResponse({"id": str(factor["id"])})


def _delete(call: AuthRequest, factor: Row) -> None:
    with call.connection.transaction():
        sessions.lower_to_aal1(call.connection, factor["id"])
        factors.delete_factor(call.connection, factor["id"])


def _factor(call: AuthRequest, user: Row) -> Row:
    return factors.get_factor(call.connection, user["id"], call.request.path_params["factor_id"])


def _signed_in(call: AuthRequest) -> tuple[Row, Row]:
    user, session = call.bearer()
    if not session:
        message = "A valid session and a registered user are required to enroll a factor"
        raise AuthError(500, "unexpected_failure", message)
    return user, session
