"""Handles the administration of people, with the secret key."""

from uuid import UUID

from starlette.responses import JSONResponse, Response

from local.auth import accounts
from local.auth.accounts import NewUser
from local.auth.bodies import Deletion, ManagedUser
from local.auth.errors import invalid
from local.auth.handlers.sign_in import EMAIL_TAKEN
from local.auth.request import AuthRequest
from local.auth.responses import refused_if_taken, user_json


def add_user(call: AuthRequest) -> Response:
    """POST /admin/users."""
    call.require_admin()
    body = call.body(ManagedUser)
    if not body.email and not body.phone:
        raise invalid("Cannot create a user without either an email or phone")
    with refused_if_taken(*EMAIL_TAKEN), call.connection.transaction():
        user = accounts.add_user(call.connection, _account(body))
        _confirm(call, body, user["id"])
    if body.ban_duration:
        accounts.ban(call.connection, user["id"], body.ban_duration)
    return JSONResponse(user_json(accounts.get_user(call.connection, user["id"])))


def _account(body: ManagedUser) -> NewUser:
    return NewUser(
        body.email or None,
        body.password or None,
        body.phone or None,
        confirmed=False,
        user_metadata=body.user_metadata,
        app_metadata=body.app_metadata,
        id=body.id,
    )


def _confirm(call: AuthRequest, body: ManagedUser, user_id: UUID) -> None:
    columns = {"email": body.email_confirm, "phone": body.phone_confirm}
    accounts.confirm(call.connection, user_id, *(name for name, wanted in columns.items() if wanted))


def list_users(call: AuthRequest) -> Response:
    """GET /admin/users?page=1&per_page=50."""
    call.require_admin()
    users = accounts.list_users(call.connection, call.number("page", 1), call.number("per_page", 50))
    return JSONResponse({"users": [user_json(user) for user in users], "aud": "authenticated"})


def show_user(call: AuthRequest) -> Response:
    """GET /admin/users/{id}."""
    call.require_admin()
    return JSONResponse(user_json(accounts.get_user(call.connection, call.user_id())))


def change_user(call: AuthRequest) -> Response:
    """PUT /admin/users/{id}: at once."""
    call.require_admin()
    body, user_id = call.body(ManagedUser), call.user_id()
    accounts.get_user(call.connection, user_id)
    with refused_if_taken(*EMAIL_TAKEN):
        accounts.update_user(call.connection, user_id, _account(body))
    _confirm(call, body, user_id)
    if body.ban_duration:
        accounts.ban(call.connection, user_id, body.ban_duration)
    return JSONResponse(user_json(accounts.get_user(call.connection, user_id)))


def delete_user(call: AuthRequest) -> Response:
    """DELETE /admin/users/{id}: for good, or softly."""
    call.require_admin()
    body = call.body(Deletion) if call.raw_body else Deletion()
    accounts.delete_user(call.connection, call.user_id(), soft=body.should_soft_delete)
    return JSONResponse({})
