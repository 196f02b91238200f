"""Serves Auth as the official clients know it from GoTrue."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.auth import accounts
from local.auth.errors import AuthError
from local.auth.handlers import admin, links, mfa, sign_in
from local.auth.keys import load_keys
from local.auth.request import AuthRequest, Service
from local.ports import answering
from local.postgres import Database
from local.process import ROOT, Part, running
from local.serving import serve

SITE_URL = "http://localhost:5173"

Handler = Callable[[AuthRequest], Response]


@contextmanager
def run_auth(
    home: Path,
    database: Database,
    keys_file: Path,
    issuer: str,
    port: int,
    *,
    mail_port: int | None = None,
    autoconfirm: bool = True,
    name: str = "auth",
) -> Iterator[Part]:
    """Runs the service in a process of its own; without autoconfirm, people confirm by a mailed link."""
    env = {
        "PYTHONPATH": str(ROOT),
        "PORT": str(port),
        "DATABASE_URL": database.url("supabase_auth_admin"),
        "KEYS": str(keys_file),
        "ISSUER": issuer,
        "MAIL_PORT": str(mail_port or ""),
        "AUTOCONFIRM": "yes" if autoconfirm else "",
    }
    command = [sys.executable, "-m", "local.auth.gotrue"]
    with running(name, command, home=home, env=env, ready=answering(port, "/health")) as part:
        yield part


def publish_keys(call: AuthRequest) -> Response:
    """GET /.well-known/jwks.json."""
    jwks = {"keys": [call.service.keys.public_jwk()]}
    return JSONResponse(jwks, headers={"Cache-Control": "public, max-age=600"})


def check_health(call: AuthRequest) -> Response:
    """GET /health: fails when the database does."""
    call.connection.execute("select")
    return JSONResponse({"name": "GoTrue", "version": "local", "description": "A fake of GoTrue"})


def show_settings(call: AuthRequest) -> Response:
    """GET /settings: the ways to sign in."""
    confirms = call.service.autoconfirm
    external = {"email": True, "phone": True, "anonymous_users": True}
    shown = {"external": external, "disable_signup": False, "mailer_autoconfirm": confirms}
    return JSONResponse({**shown, "phone_autoconfirm": confirms, "sms_provider": ""})


HANDLERS: dict[tuple[str, str], Handler] = {
    ("POST", "/signup"): sign_in.sign_up,
    ("POST", "/token"): sign_in.grant_token,
    ("GET", "/user"): sign_in.show_user,
    ("PUT", "/user"): sign_in.change_user,
    ("POST", "/logout"): sign_in.log_out,
    ("POST", "/otp"): links.send_code,
    ("POST", "/magiclink"): links.send_code,
    ("POST", "/recover"): links.recover,
    ("POST", "/resend"): links.resend,
    ("POST", "/verify"): links.verify,
    ("GET", "/verify"): links.open_link,
    ("POST", "/invite"): links.invite,
    ("POST", "/factors"): mfa.enrol,
    ("POST", "/factors/{factor_id}/challenge"): mfa.challenge,
    ("POST", "/factors/{factor_id}/verify"): mfa.verify,
    ("DELETE", "/factors/{factor_id}"): mfa.remove,
    ("GET", "/.well-known/jwks.json"): publish_keys,
    ("GET", "/health"): check_health,
    ("GET", "/settings"): show_settings,
    ("POST", "/admin/generate_link"): links.generate_link,
    ("POST", "/admin/users"): admin.add_user,
    ("GET", "/admin/users"): admin.list_users,
    ("GET", "/admin/users/{user_id}"): admin.show_user,
    ("PUT", "/admin/users/{user_id}"): admin.change_user,
    ("DELETE", "/admin/users/{user_id}"): admin.delete_user,
    ("GET", "/admin/users/{user_id}/factors"): mfa.list_managed,
    ("DELETE", "/admin/users/{user_id}/factors/{factor_id}"): mfa.remove_managed,
}


def create_app(service: Service) -> Starlette:
    """Makes the whole service."""

    def route(method: str, path: str, handler: Handler) -> Route:
        async def endpoint(request: Request) -> Response:
            return await run_in_threadpool(_answer, service, handler, request, await request.body())

        return Route(path, endpoint, methods=[method])

    return Starlette(routes=[route(*declared, handler) for declared, handler in HANDLERS.items()])


def _answer(service: Service, handler: Handler, request: Request, body: bytes) -> Response:
    try:
        with accounts.connect(service.database_url) as connection:
            return handler(AuthRequest(request, body, connection, service))
    except AuthError as error:
        return _refusal(error)
    except psycopg.DataError:
        # NUL and its like, which PostgreSQL does not take.
        return _refusal(AuthError(500, "unexpected_failure", "Database error"))
    except psycopg.OperationalError:
        return _refusal(AuthError(503, "unexpected_failure", "The database does not answer"))


def _refusal(error: AuthError) -> Response:
    return JSONResponse(error.body, status_code=error.status)


def main() -> None:
    """Serves with the settings in the environment."""
    service = Service(
        keys=load_keys(Path(os.environ["KEYS"])),
        issuer=os.environ["ISSUER"],
        database_url=os.environ["DATABASE_URL"],
        site_url=os.environ.get("SITE_URL") or SITE_URL,
        autoconfirm=bool(os.environ.get("AUTOCONFIRM")),
        mail_port=int(os.environ.get("MAIL_PORT") or 0) or None,
    )
    serve(create_app(service), int(os.environ["PORT"]))


if __name__ == "__main__":
    main()
