"""The two addresses people use: Supabase's (54321) and the functions' (8080), one reverse proxy each."""

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
from local.google.metadata import verified
from local.ports import answering
from local.process import ROOT, Part, running
from local.serving import serve

MAX_BODY = 32 * 1024 * 1024
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
# These are about one connection, not about the message.
HOP_BY_HOP = (
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
)
# Hosted Supabase asks for no key here.
OPEN = ("/auth/v1/.well-known/", "/auth/v1/verify", "/auth/v1/callback", "/auth/v1/authorize")
EXPOSED = "Content-Encoding, Content-Location, Content-Range, Content-Type, Date, Location, Range-Unit"
REFUSED = {
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
    """One of the two in a process of its own: Supabase's if there are keys.

    `private` are functions and the audiences of the tokens that open them, signed with `google_key`.
    """
    env = {"PYTHONPATH": str(ROOT), "PORT": str(port), "UPSTREAMS": json.dumps(upstreams)}
    if keys_file:
        env["KEYS"] = str(keys_file)
    if private and google_key:
        env |= {"PRIVATE": json.dumps(private), "GOOGLE_KEY": str(google_key)}
    command = [sys.executable, "-m", "local.gateway"]
    # Both know nothing of this path, each in words of its own.
    with running(name, command, home=home, env=env, ready=answering(port, "/unknown", status=404)) as part:
        yield part


def functions_gateway(upstreams: Upstreams, private: Mapping[str, str], google_key: Path) -> Starlette:
    """`/<function>/…` to that function, the path as it is; to a private one for service accounts only."""

    async def handle(request: Request) -> Response:
        name = request.url.path.split("/")[1]
        if name not in upstreams:
            return _failure(404, "not_found", f"There is no function called {name!r}.")
        headers = request.headers.mutablecopy()
        refusal = _admit_invoker(headers, private[name], google_key) if name in private else None
        if refusal:
            return refusal
        try:
            return await _forward(request, upstreams[name] + _target(request), headers)
        except RequestError:
            return _failure(503, "unavailable", "The function does not answer; try again shortly.")

    return _app(handle)


def supabase_gateway(upstreams: Upstreams, keys: Keys) -> Starlette:
    """`/rest/v1` to PostgREST and `/auth/v1` to Auth, for those who show a key of the project."""
    roles = {
        keys.publishable: "anon",
        keys.secret: "service_role",
        keys.legacy_key("anon"): "anon",
        keys.legacy_key("service_role"): "service_role",
    }
    tokens = {key: keys.role_token(role) for key, role in roles.items()}

    async def handle(request: Request) -> Response:
        if _is_preflight(request):
            return _permissive(request, Response(status_code=200))
        return _permissive(request, await answer(request))

    async def answer(request: Request) -> Response:
        prefix = next((prefix for prefix in upstreams if request.url.path.startswith(f"{prefix}/")), None)
        if prefix is None:
            return JSONResponse({"message": "no Route matched with those values"}, 404)
        headers = request.headers.mutablecopy()
        refusal = None if request.url.path.startswith(OPEN) else _admit(headers, tokens)
        if refusal:
            return JSONResponse({"message": refusal, "hint": REFUSED[refusal]}, 401)
        try:
            return await _forward(request, upstreams[prefix] + _target(request).removeprefix(prefix), headers)
        except RequestError:
            return JSONResponse({"message": "The upstream server is currently unavailable"}, 503)

    return _app(handle)


def _admit_invoker(headers: MutableHeaders, audience: str, google_key: Path) -> Response | None:
    """What Cloud Run does before a private function: it verifies the token, and passes it on unsigned."""
    token = headers.get("authorization", "").partition(" ")[2]
    if not token:
        return _failure(403, "forbidden", "This function is for the desk's own service accounts.")
    try:
        verified(token, audience, google_key)
    except jwt.PyJWTError:
        refusal = _failure(401, "unauthenticated", "The identity token could not be verified.")
        refusal.headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'
        return refusal
    headers["authorization"] = f"Bearer {token.rpartition('.')[0]}.SIGNATURE_REMOVED_BY_GOOGLE"
    return None


def _admit(headers: MutableHeaders, tokens: Mapping[str, str]) -> str | None:
    """Turn the project's key into its role's token, unless a person's own token is there; say why not."""
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
    if len(body) > MAX_BODY:
        return JSONResponse({"message": "Request size limit exceeded"}, 413)
    # Like Google's front end: what the client claims comes first, what we saw comes last.
    seen = [*headers.getlist("x-forwarded-for"), request.client.host if request.client else "unknown"]
    headers["x-forwarded-for"] = ", ".join(seen)
    headers["x-forwarded-proto"] = "http"
    client: Client = request.app.state.client
    sent = client.request(request.method, url).headers(_kept(headers))
    answer = await (sent.body_bytes(body) if body else sent).build().send()
    response = Response(bytes(await answer.bytes()), answer.status)
    response.raw_headers = [
        (name.encode("latin-1"), value.encode("latin-1")) for name, value in _kept(answer.headers)
    ]
    return response


def _kept(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers.items() if name.lower() not in HOP_BY_HOP]


def _target(request: Request) -> str:
    """Path and query as they came, still encoded."""
    query = request.scope["query_string"].decode("latin-1")
    path: str = request.scope["raw_path"].decode("latin-1")
    return f"{path}?{query}" if query else path


def _is_preflight(request: Request) -> bool:
    return request.method == "OPTIONS" and "access-control-request-method" in request.headers


def _permissive(request: Request, response: Response) -> Response:
    """Hosted Supabase lets any page call it: what protects the data is not the origin."""
    for name in [name for name in response.headers if name.startswith("access-control-")]:
        del response.headers[name]
    response.headers["access-control-allow-origin"] = "*"
    response.headers["access-control-expose-headers"] = EXPOSED
    if _is_preflight(request):
        response.headers["access-control-allow-methods"] = ", ".join(METHODS)
        response.headers["access-control-allow-headers"] = request.headers.get(
            "access-control-request-headers", "*"
        )
        response.headers["access-control-max-age"] = "3600"
    return response


def _failure(status: int, code: str, error: str) -> Response:
    """An error in the functions' own shape."""
    request_id = str(uuid.uuid4())
    body = {"success": False, "error": error, "code": code, "fields": [], "request_id": request_id}
    headers = {"X-Request-Id": request_id} | ({"Retry-After": "1"} if status == 503 else {})
    return JSONResponse(body, status, headers)


def _app(handle: Callable[[Request], Awaitable[Response]]) -> Starlette:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        # No timeout of its own: the functions and PostgREST have theirs.
        builder = ClientBuilder().no_proxy().follow_redirects(False).timeout(timedelta(minutes=10))
        # PostgREST closes idle connections after 30 s.
        builder = builder.pool_idle_timeout(timedelta(seconds=20))
        async with builder.gzip(False).brotli(False).zstd(False).deflate(False).build() as client:
            app.state.client = client
            yield

    return Starlette(routes=[Route("/{path:path}", handle, methods=METHODS)], lifespan=lifespan)


def main() -> None:
    """Serve with what the environment says: keys make it Supabase's address, none the functions'."""
    upstreams, keys = json.loads(os.environ["UPSTREAMS"]), os.environ.get("KEYS")
    if keys:
        app = supabase_gateway(upstreams, load_keys(Path(keys)))
    else:
        private = json.loads(os.environ.get("PRIVATE", "{}"))
        app = functions_gateway(upstreams, private, Path(os.environ.get("GOOGLE_KEY", "")))
    serve(app, int(os.environ["PORT"]))


if __name__ == "__main__":
    main()
