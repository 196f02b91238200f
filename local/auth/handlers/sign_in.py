"""Handles sign-up, sign-in, refresh, sign-out and changes of one's own account."""

from starlette.responses import JSONResponse, Response

from local.auth import accounts, one_time, sessions
from local.auth.accounts import NewUser, Row
from local.auth.bodies import CodeGrant, PasswordGrant, RefreshGrant, SignUp, UserChange
from local.auth.errors import AuthError, invalid
from local.auth.handlers import links
from local.auth.request import AuthRequest
from local.auth.responses import refused_if_taken, session_response, sign_in, user_json

EMAIL_TAKEN = ("email_exists", "A user with this email address has already been registered")


def sign_up(call: AuthRequest) -> Response:
    """POST /signup: a person with address or number and password, or an anonymous one."""
    body = call.body(SignUp)
    if not body.email and not body.phone:
        new = NewUser(user_metadata=body.data)
        return sign_in(call, accounts.add_user(call.connection, new), "anonymous")
    if not body.password:
        raise invalid("Signup requires a valid password")
    body.require_one("Only an email address or phone number should be provided on signup.")
    if call.service.autoconfirm:
        return sign_in(call, _add(call, body, confirmed=True), "password")
    return JSONResponse(user_json(_await_confirmation(call, body)))


def _add(call: AuthRequest, body: SignUp, *, confirmed: bool) -> Row:
    new = NewUser(
        body.email or None, body.password, body.phone or None, confirmed=confirmed, user_metadata=body.data
    )
    with refused_if_taken("user_already_exists", "User already registered"):
        return accounts.add_user(call.connection, new)


def _await_confirmation(call: AuthRequest, body: SignUp) -> Row:
    """Adds a person who has to confirm; who is known already is told so by mail alone, never by the answer."""
    known = links.find_contact(call, body.email, body.phone)
    if known and known["confirmed_at"]:
        return {**known, "identities": [], "factors": [], "raw_user_meta_data": body.data}
    user = known or _add(call, body, confirmed=False)
    links.send_token(call, user, "signup", flow=body)
    return accounts.get_user(call.connection, user["id"])


def grant_token(call: AuthRequest) -> Response:
    """POST /token: a session for a password, a refresh token or a code of the PKCE flow."""
    match call.query("grant_type"):
        case "password":
            return _grant_for_password(call, call.body(PasswordGrant))
        case "refresh_token":
            token = call.body(RefreshGrant).refresh_token
            return session_response(call, sessions.rotate(call.connection, token))
        case "pkce":
            return _grant_for_code(call, call.body(CodeGrant))
    raise AuthError(400, "invalid_credentials", "unsupported_grant_type")


def _grant_for_password(call: AuthRequest, body: PasswordGrant) -> Response:
    if body.email and body.phone:
        raise invalid("Only an email address or phone number should be provided on login.")
    if not body.email and not body.phone:
        raise invalid("missing email or phone")
    user = accounts.find_by_password(call.connection, body.email, body.phone, body.password)
    return sign_in(call, user, "password")


def _grant_for_code(call: AuthRequest, body: CodeGrant) -> Response:
    if not body.auth_code or not body.code_verifier:
        raise invalid("invalid request: both auth code and code verifier should be non-empty")
    user_id, method = one_time.finish_flow(call.connection, body.auth_code, body.code_verifier)
    return sign_in(call, accounts.get_user(call.connection, user_id), method)


def show_user(call: AuthRequest) -> Response:
    """GET /user."""
    user, _ = call.bearer()
    return JSONResponse(user_json(user))


def change_user(call: AuthRequest) -> Response:
    """PUT /user: data and password at once; address and number when they are confirmed."""
    user, _ = call.bearer()
    body = call.body(UserChange)
    if body.password and accounts.is_password(call.connection, user["id"], body.password):
        message = "New password should be different from the old password."
        raise AuthError(422, "same_password", message)
    changes = {"email": body.email, "phone": body.phone}
    new = {name: value for name, value in changes.items() if value and value != user[name]}
    at_once = new if call.service.autoconfirm else {}
    change = NewUser(
        at_once.get("email"), body.password or None, at_once.get("phone"), user_metadata=body.data
    )
    with refused_if_taken(*EMAIL_TAKEN):
        accounts.update_user(call.connection, user["id"], change)
    for name, value in (new if not at_once else {}).items():
        links.begin_change(call, user, name, value)
    return JSONResponse(user_json(accounts.get_user(call.connection, user["id"])))


def log_out(call: AuthRequest) -> Response:
    """POST /logout: sessions end; access tokens live until they expire."""
    user, session = call.bearer()
    scope = call.query("scope", "global")
    sessions.close_sessions(call.connection, user["id"], str(session.get("id", "")), scope)
    return Response(status_code=204)
