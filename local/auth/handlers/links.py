"""Handles codes and links: one-time sign-in, recovery, confirmation, invitation, changes of address."""

from typing import Protocol
from urllib.parse import urlencode

from starlette.responses import JSONResponse, RedirectResponse, Response

from local.auth import accounts, mails, one_time
from local.auth.accounts import NewUser, Row
from local.auth.bodies import CodeRequest, Invitation, LinkRequest, Recovery, Resend, Verification
from local.auth.errors import AuthError, invalid
from local.auth.one_time import OneTimeToken
from local.auth.request import AuthRequest
from local.auth.responses import open_session, refused_if_taken, session_json, session_response, user_json
from local.auth.sessions import Session

HALF_CONFIRMED = "Confirmation link accepted. Please proceed to confirm link sent to the other email"
# By the type of a link: the kind of token behind it.
TOKENS = {
    "signup": "confirmation_token",
    "invite": "confirmation_token",
    "magiclink": "recovery_token",
    "recovery": "recovery_token",
    "sms": "confirmation_token",
}


class PkceRequest(Protocol):
    """A body that may begin a PKCE flow."""

    code_challenge: str
    code_challenge_method: str


def find_contact(call: AuthRequest, email: str, phone: str) -> Row | None:
    """Returns the person with this address or number."""
    if email:
        return accounts.find_user_by_email(call.connection, email)
    return accounts.find_user_by_phone(call.connection, phone)


def send_token(call: AuthRequest, user: Row, type_: str, flow: PkceRequest | None = None) -> OneTimeToken:
    """Issues a token for a person and mails it."""
    pkce = bool(flow and flow.code_challenge)
    if flow and pkce:
        challenge, method = flow.code_challenge, flow.code_challenge_method
        one_time.begin_flow(call.connection, user["id"], challenge, method, type_)
    address = user["email"] or user["phone"]
    token = one_time.issue(call.connection, user["id"], TOKENS[type_], address, pkce=pkce)
    mails.send(call, address, type_, token)
    return token


def send_code(call: AuthRequest) -> Response:
    """POST /otp and /magiclink: a code for a person, who is added first if they are new."""
    body = call.body(CodeRequest)
    if body.email and body.phone:
        raise invalid("Only an email address or phone number should be provided")
    body.require_one("One of email or phone must be set")
    user = find_contact(call, body.email, body.phone)
    if user is None and not body.create_user:
        raise AuthError(422, "otp_disabled", "Signups not allowed for otp")
    user = user or _add_without_password(call, body)
    if body.phone:
        send_token(call, user, "sms")
        return JSONResponse({"message_id": ""})
    send_token(call, user, "magiclink" if user["confirmed_at"] else "signup", flow=body)
    return JSONResponse({})


def _add_without_password(call: AuthRequest, body: CodeRequest) -> Row:
    new = NewUser(
        body.email or None,
        accounts.random_password(),
        body.phone or None,
        confirmed=call.service.autoconfirm and not body.phone,
        user_metadata=body.data,
    )
    return accounts.add_user(call.connection, new)


def recover(call: AuthRequest) -> Response:
    """POST /recover: a link for a forgotten password; the answer is the same for unknown addresses."""
    body = call.body(Recovery)
    if not body.email:
        raise invalid("Password recovery requires an email")
    user = accounts.find_user_by_email(call.connection, body.email)
    if user:
        send_token(call, user, "recovery", flow=body)
    return JSONResponse({})


def resend(call: AuthRequest) -> Response:
    """POST /resend: the confirmation of a sign-up or of a change once more."""
    body = call.body(Resend)
    if body.type not in ("signup", "sms", "email_change", "phone_change"):
        raise invalid("Missing one of these types: signup, email_change, sms, phone_change")
    body.require_one("Type provided requires an email address or a phone number")
    user = find_contact(call, body.email, body.phone)
    if user and body.type in TOKENS and not user["confirmed_at"]:
        send_token(call, user, body.type)
    elif user and body.type == "email_change" and user["email_change"]:
        begin_change(call, user, "email", user["email_change"])
    elif user and body.type == "phone_change" and user["phone_change"]:
        begin_change(call, user, "phone", user["phone_change"])
    return JSONResponse({})


def begin_change(call: AuthRequest, user: Row, column: str, value: str) -> None:
    """Stores a new address or number until its codes are redeemed: for an address, the old one's too."""
    if find_contact(call, value if column == "email" else "", value):
        word = {"email": "email address", "phone": "phone number"}[column]
        raise AuthError(422, f"{column}_exists", f"A user with this {word} has already been registered")
    call.connection.execute(f"update users set {column}_change = %s where id = %s", (value, user["id"]))
    if column == "phone":
        one_time.issue(call.connection, user["id"], "phone_change_token", value)
        return
    reset = "update users set email_change_confirm_status = 0 where id = %s"
    call.connection.execute(reset, (user["id"],))
    for kind, address in (("email_change_token_current", user["email"]), ("email_change_token_new", value)):
        if address:
            token = one_time.issue(call.connection, user["id"], kind, address)
            mails.send(call, address, "email_change", token)


def verify(call: AuthRequest) -> Response:
    """POST /verify: a session for a code, or for the hash of one."""
    body = call.body(Verification)
    if not body.type:
        raise invalid("Verify requires a verification type")
    if body.token_hash:
        if body.email or body.phone:
            raise invalid("Only the token_hash and type should be provided")
        hashed = body.token_hash
    else:
        if not body.token:
            raise invalid("Verify requires either a token or a token hash")
        body.require_one("Only an email address or phone number should be provided on verify")
        hashed = one_time.hash_code(body.email or body.phone, body.token)
    session = _redeem(call, body.type, hashed)
    if session is None:
        return JSONResponse({"msg": HALF_CONFIRMED, "code": "200"})
    return session_response(call, session)


def open_link(call: AuthRequest) -> Response:
    """GET /verify: redeems a mailed token and leads to the page, with a session or the code of a PKCE flow."""
    type_, hashed, page = call.query("type"), call.query("token"), call.redirect_to
    if not type_ or not hashed:
        raise invalid("Verify requires a verification type and a token")
    try:
        if hashed.startswith(one_time.PKCE):
            user, kind = one_time.redeem(call.connection, type_, hashed)
            _apply(call, user, type_, kind)
            code = one_time.issue_flow_code(call.connection, user["id"])
            return _redirect(page, "?", {"code": code})
        session = _redeem(call, type_, hashed)
    except AuthError as error:
        refusal = {"error": "access_denied", "error_code": error.body["error_code"]}
        message = "Email link is invalid or has expired" if error.status == 403 else str(error)
        return _redirect(page, "#", {**refusal, "error_description": message})
    if session is None:
        return _redirect(page, "#", {"message": HALF_CONFIRMED})
    shown = {name: value for name, value in session_json(call, session).items() if name != "user"}
    return _redirect(page, "#", {**shown, "type": type_})


def _redirect(page: str, mark: str, values: dict[str, object]) -> Response:
    return RedirectResponse(f"{page}{mark}{urlencode(values)}", 303)


def _redeem(call: AuthRequest, type_: str, hashed: str) -> Session | None:
    """Uses a token up and signs its person in; None while another confirmation is awaited."""
    with call.connection.transaction():
        user, kind = one_time.redeem(call.connection, type_, hashed)
        if not _apply(call, user, type_, kind):
            return None
        return open_session(call, user, "otp")


def _apply(call: AuthRequest, user: Row, type_: str, kind: str) -> bool:
    """Does what a token stands for; returns whether that is all that was awaited."""
    connection, user_id = call.connection, user["id"]
    if type_ == "email_change":
        if one_time.has_token(connection, user_id, *one_time.KINDS[type_]):
            status = "update users set email_change_confirm_status = 1 where id = %s"
            connection.execute(status, (user_id,))
            return False
        _finish_change(call, user, "email")
    elif type_ == "phone_change":
        _finish_change(call, user, "phone")
    else:
        accounts.confirm(connection, user_id, "phone" if type_ == "sms" else "email")
    return True


def _finish_change(call: AuthRequest, user: Row, column: str) -> None:
    change = NewUser(**{column: user[f"{column}_change"]})
    with refused_if_taken("email_exists", "A user with this email address has already been registered"):
        accounts.update_user(call.connection, user["id"], change)
    done = f"update users set {column}_change = '' where id = %s"
    call.connection.execute(done, (user["id"],))


def invite(call: AuthRequest) -> Response:
    """POST /invite: adds a person, who confirms by the link that is mailed."""
    call.require_admin()
    body = call.body(Invitation)
    if not body.email:
        raise invalid("An email address is required")
    user = _invited(call, body.email, body.data)
    send_token(call, user, "invite")
    return JSONResponse(user_json(accounts.get_user(call.connection, user["id"])))


def _invited(call: AuthRequest, email: str, data: Row) -> Row:
    user = accounts.find_user_by_email(call.connection, email)
    if user and user["confirmed_at"]:
        message = "A user with this email address has already been registered"
        raise AuthError(422, "email_exists", message)
    new = NewUser(email, confirmed=False, user_metadata=data)
    user = user or accounts.add_user(call.connection, new)
    call.connection.execute("update users set invited_at = now() where id = %s", (user["id"],))
    return user


def generate_link(call: AuthRequest) -> Response:
    """POST /admin/generate_link: the link and the code that a mail would have, without the mail."""
    call.require_admin()
    body = call.body(LinkRequest)
    if not body.email or (body.type.startswith("email_change") and not body.new_email):
        raise invalid("An email address is required")
    page = body.redirect_to or call.redirect_to
    type_, kind, user, address = _linked(call, body)
    token = one_time.issue(call.connection, user["id"], kind, address)
    shown = {
        "action_link": mails.verification_link(call, token.hashed, type_, page),
        "email_otp": token.code,
        "hashed_token": token.hashed,
        "verification_type": body.type if type_ == "email_change" else type_,
        "redirect_to": page,
    }
    return JSONResponse({**user_json(accounts.get_user(call.connection, user["id"])), **shown})


def _linked(call: AuthRequest, body: LinkRequest) -> tuple[str, str, Row, str]:
    """Returns the type of a link, the kind of its token, its person and the address it is for."""
    user = accounts.find_user_by_email(call.connection, body.email)
    match body.type:
        case "signup" | "magiclink" if user is None:
            password = body.password or (accounts.random_password() if body.type == "magiclink" else "")
            if not password:
                raise invalid("Signup requires a valid password")
            new = NewUser(body.email, password, confirmed=False, user_metadata=body.data)
            return "signup", "confirmation_token", accounts.add_user(call.connection, new), body.email
        case "invite" | "signup" if user is None or not user["confirmed_at"]:
            invited = _invited(call, body.email, body.data) if body.type == "invite" else user
            assert invited
            return body.type, "confirmation_token", invited, body.email
        case "invite" | "signup":
            message = "A user with this email address has already been registered"
            raise AuthError(422, "email_exists", message)
        case "magiclink" | "recovery" | "email_change_current" | "email_change_new":
            if user is None:
                raise AuthError(404, "user_not_found", "User with this email not found")
    if user is None or body.type not in ("magiclink", "recovery", "email_change_current", "email_change_new"):
        raise invalid(f"Invalid email action link type requested: {body.type}")
    if body.type in TOKENS:
        return body.type, TOKENS[body.type], user, body.email
    change = "update users set email_change = %s where id = %s"
    call.connection.execute(change, (body.new_email, user["id"]))
    kind = body.type.replace("email_change_", "email_change_token_")
    return "email_change", kind, user, body.email if kind.endswith("current") else body.new_email
