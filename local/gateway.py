"""Serves the two public addresses, Supabase's (54321) and the functions' (8080), by a reverse proxy each."""

import json
import os
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path

import jwt
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import RequestError
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.auth.keys import Keys, load_keys
from local.google.metadata import verify_token
from local.ports import answering
from local.process import ROOT, Part, running
from local.serving import serve

MAX_BODY_BYTES = 32 * 1024 * 1024
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
# Headers of one connection, not of the message (RFC 9110, section 7.6.1).
HOP_BY_HOP = (
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
)
# Paths where hosted Supabase requires no key.
KEYLESS_PATHS = ("/auth/v1/.well-known/", "/auth/v1/verify", "/auth/v1/callback", "/auth/v1/authorize")
EXPOSED_HEADERS = (
    "Content-Encoding, Content-Location, Content-Range, Content-Type, Date, Location, Range-Unit"
)
KEY_ERROR_HINTS = {
    "No API key found in request": "No `apikey` request header or url param was found.",
    "Invalid API key": "Double check your Supabase `anon` or `service_role` API key.",
}

Upstreams = Mapping[str, str]


@contextmanager
def run_gateway(
    home: Path,
    name: str,
    upstreams: Upstreams,
    port: int,
    keys_file: Path | None = None,
    *,
    private: Mapping[str, str] | None = None,
    google_key: Path | None = None,
) -> Iterator[Part]:
    """Runs a gateway in a process of its own: Supabase's if there are keys, else the functions'.

    `private` maps private functions to the audience of their identity tokens, which `google_key` signs.
    """
    env = {"PYTHONPATH": str(ROOT), "PORT": str(port), "UPSTREAMS": json.dumps(upstreams)}
    if keys_file:
        env["KEYS"] = str(keys_file)
    if private and google_key:
        env |= {"PRIVATE": json.dumps(private), "GOOGLE_KEY": str(google_key)}
    command = [sys.executable, "-m", "local.gateway"]
    # Neither gateway has this path, so a 404 proves that it serves.
    with running(name, command, home=home, env=env, ready=answering(port, "/unknown", status=404)) as part:
        yield part


def functions_gateway(upstreams: Upstreams, private: Mapping[str, str], google_key: Path) -> Starlette:
    """Routes `/<function>/…` to that function; private ones require an identity token."""

    async def handle(request: Request) -> Response:
        name = request.url.path.split("/")[1]
        if name not in upstreams:
            return _error(404, "not_found", f"There is no function called {name!r}.")
        headers = request.headers.mutablecopy()
        error = _authorize_invoker(headers, private[name], google_key) if name in private else None
        if error:
            return error
        try:
            return await _forward(request, upstreams[name] + _target(request), headers)
        except RequestError:
            return _error(503, "unavailable", "The function does not answer; try again shortly.")

    return _app(handle)


def supabase_gateway(upstreams: Upstreams, keys: Keys) -> Starlette:
    """Routes `/rest/v1` to PostgREST and `/auth/v1` to Auth; requires a key of the project."""
    roles = {
        keys.publishable: "anon",
        keys.secret: "service_role",
        keys.legacy_key("anon"): "anon",
        keys.legacy_key("service_role"): "service_role",
    }
    tokens = {key: keys.role_token(role) for key, role in roles.items()}

    async def handle(request: Request) -> Response:
        if _is_preflight(request):
            return _with_cors(request, Response(status_code=200))
        return _with_cors(request, await respond(request))

    async def respond(request: Request) -> Response:
        prefix = next((prefix for prefix in upstreams if request.url.path.startswith(f"{prefix}/")), None)
        if prefix is None:
            return JSONResponse({"message": "no Route matched with those values"}, 404)
        headers = request.headers.mutablecopy()
        error = None if request.url.path.startswith(KEYLESS_PATHS) else _authorize(headers, tokens)
        if error:
            return JSONResponse({"message": error, "hint": KEY_ERROR_HINTS[error]}, 401)
        try:
            return await _forward(request, upstreams[prefix] + _target(request).removeprefix(prefix), headers)
        except RequestError:
            return JSONResponse({"message": "The upstream server is currently unavailable"}, 503)

    return _app(handle)


def _authorize_invoker(headers: MutableHeaders, audience: str, google_key: Path) -> Response | None:
    """Acts as Cloud Run before a private function: verifies the token, and removes its signature."""
    token = headers.get("authorization", "").partition(" ")[2]
    if not token:
        return _error(403, "forbidden", "This function is for Supadesk's own service accounts.")
    try:
        verify_token(token, audience, google_key)
    except jwt.PyJWTError:
        error = _error(401, "unauthenticated", "The identity token could not be verified.")
        error.headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'
        return error
    headers["authorization"] = f"Bearer {token.rpartition('.')[0]}.SIGNATURE_REMOVED_BY_GOOGLE"
    return None


def _authorize(headers: MutableHeaders, tokens: Mapping[str, str]) -> str | None:
    """Replaces the project's key by its role's token, unless there is a user's token; returns an error."""
    bearer = headers.get("authorization", "").partition(" ")[2]
    key = headers.get("apikey") or (bearer if bearer in tokens else None)
    if key is None:
        return "No API key found in request"
    if key not in tokens:
        return "Invalid API key"
    if not bearer or bearer in tokens:
        headers["authorization"] = f"Bearer {tokens[bearer or key]}"
    return None


async def _forward(request: Request, url: str, headers: MutableHeaders) -> Response:
    body = await request.body()
    if len(body) > MAX_BODY_BYTES:
        return JSONResponse({"message": "Request size limit exceeded"}, 413)
    # As Google's front end does: the client's own entries come first, its address comes last.
    forwarded_for = [
        *headers.getlist("x-forwarded-for"),
        request.client.host if request.client else "unknown",
    ]
    headers["x-forwarded-for"] = ", ".join(forwarded_for)
    headers["x-forwarded-proto"] = "http"
    client: Client = request.app.state.client
    builder = client.request(request.method, url).headers(_end_to_end(headers))
    upstream = await (builder.body_bytes(body) if body else builder).build().send()
    response = Response(bytes(await upstream.bytes()), upstream.status)
    response.raw_headers = [
        (name.encode("latin-1"), value.encode("latin-1")) for name, value in _end_to_end(upstream.headers)
    ]
    return response


def _end_to_end(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """Leaves out the hop-by-hop headers."""
    return [(name, value) for name, value in headers.items() if name.lower() not in HOP_BY_HOP]


def _target(request: Request) -> str:
    """Returns path and query as received, still percent-encoded."""
    query = request.scope["query_string"].decode("latin-1")
    path: str = request.scope["raw_path"].decode("latin-1")
    return f"{path}?{query}" if query else path


def _is_preflight(request: Request) -> bool:
    return request.method == "OPTIONS" and "access-control-request-method" in request.headers


def _with_cors(request: Request, response: Response) -> Response:
    """Allows any origin, as hosted Supabase does: tokens protect the data, not the origin."""
    for name in [name for name in response.headers if name.startswith("access-control-")]:
        del response.headers[name]
    response.headers["access-control-allow-origin"] = "*"
    response.headers["access-control-expose-headers"] = EXPOSED_HEADERS
    if _is_preflight(request):
        response.headers["access-control-allow-methods"] = ", ".join(METHODS)
        response.headers["access-control-allow-headers"] = request.headers.get(
            "access-control-request-headers", "*"
        )
        response.headers["access-control-max-age"] = "3600"
    return response


def _error(status: int, code: str, error: str) -> Response:
    """Returns an error in the functions' own shape."""
    request_id = str(uuid.uuid4())
    body = {"success": False, "error": error, "code": code, "fields": [], "request_id": request_id}
    headers = {"X-Request-Id": request_id} | ({"Retry-After": "1"} if status == 503 else {})
    return JSONResponse(body, status, headers)


def _app(handle: Callable[[Request], Awaitable[Response]]) -> Starlette:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        # Longer than any timeout of the functions and PostgREST, which apply first.
        builder = ClientBuilder().no_proxy().follow_redirects(False).timeout(timedelta(minutes=10))
        # Below PostgREST's 30 s: it must not close a connection that is about to be used.
        builder = builder.pool_idle_timeout(timedelta(seconds=20))
        async with builder.gzip(False).brotli(False).zstd(False).deflate(False).build() as client:
            app.state.client = client
            yield

    return Starlette(routes=[Route("/{path:path}", handle, methods=METHODS)], lifespan=lifespan)


def main() -> None:
    """Serves as the environment configures it: with KEYS Supabase's gateway, else the functions'."""
    upstreams, keys = json.loads(os.environ["UPSTREAMS"]), os.environ.get("KEYS")
    if keys:
        app = supabase_gateway(upstreams, load_keys(Path(keys)))
    else:
        private = json.loads(os.environ.get("PRIVATE", "{}"))
        app = functions_gateway(upstreams, private, Path(os.environ.get("GOOGLE_KEY", "")))
    serve(app, int(os.environ["PORT"]))


if __name__ == "__main__":
    main()
