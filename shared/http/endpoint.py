"""What every function does: routes, CORS, identity, limits, one error shape, one log.

    async def show_ticket(call: Call) -> Answer:
        ...

    list_tickets = endpoint("list-tickets", {"GET /{ticket}": show_ticket}, anonymous=("GET /{ticket}",))

A handler answers with a dict, or with the bytes of a JSON object that need no change, and raises a Problem
for everything else. Routes that are not `anonymous` are for signed-in people only. A `private` function is not
for people: Cloud Run's IAM lets in service accounts, no page may call it, and it acts with the secret key.
"""

import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from inspect import iscoroutinefunction
from typing import Any

import functions_framework.aio
from pydantic_core import to_json
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from shared import logs
from shared.errors import Internal, Problem
from shared.http import cors
from shared.http.call import Call
from shared.http.invoker import require_invoker
from shared.http.routes import Routes

Answer = dict[str, Any] | bytes
Handler = Callable[[Call], Awaitable[Answer]]
Entry = Callable[[Request], Awaitable[Response]]

# What nginx logs where the caller hung up; nobody is left to read it.
CALLER_HUNG_UP = 499


def endpoint(
    name: str, handlers: Mapping[str, Handler], *, anonymous: Collection[str] = (), private: bool = False
) -> Entry:
    """Make the entry point of a function: each declared route with its one handler."""
    _require_handlers(handlers, anonymous)
    routes = Routes(name, list(handlers))

    async def answer(call: Call) -> Response:
        request, path = call.request, call.request.scope["path"]
        if not private:
            call.headers |= cors.reply_headers(request.headers)
            if request.method == "OPTIONS":
                call.headers |= cors.preflight_headers(request.headers, routes.methods(path))
                return _response(call, 204)
        call.route, call.path = routes.find(request.method, path)
        if private:
            require_invoker(request.headers.get("authorization", ""))
            call.as_service = True
        else:
            await call.authenticate()
            if call.route not in anonymous:
                call.require_person()
        if request.method not in ("GET", "HEAD"):
            await call.read_body()
        return _response(call, 200, _successful(await handlers[call.route](call)))

    async def entry(request: Request) -> Response:
        started = time.perf_counter()
        call = Call(request)
        response, problem = await _settled(call, answer)
        milliseconds = 1000 * (time.perf_counter() - started)
        _log(name, call, response.status_code, milliseconds, problem)
        return response

    entry.__name__ = name.replace("-", "_")
    entry.handlers, entry.anonymous = handlers, anonymous  # type: ignore[attr-defined]  # contract/__main__.py reads them
    functions_framework.aio.http(entry)  # registers the name; the framework needs a plain function
    return entry


def _require_handlers(handlers: Mapping[str, Handler], anonymous: Collection[str]) -> None:
    if unknown := set(anonymous) - set(handlers):
        raise ValueError(f"anonymous names routes that are not declared: {sorted(unknown)}")
    for route, handler in handlers.items():
        if not iscoroutinefunction(handler):
            raise TypeError(f"the handler of {route} is no async function")


def _log(name: str, call: Call, status: int, milliseconds: float, problem: Problem | None) -> None:
    method, headers = call.request.method, call.request.headers
    logs.request(name, call.id, method, call.route, headers, status, milliseconds, problem)


async def _settled(
    call: Call, answer: Callable[[Call], Awaitable[Response]]
) -> tuple[Response, Problem | None]:
    """The answer, or what became of it; nothing gets past here to the framework's own pages."""
    try:
        return await answer(call), None
    except ClientDisconnect:
        return _response(call, CALLER_HUNG_UP), None
    except Problem as told:
        problem = told
    except Exception as error:
        problem = Internal(reason=logs.located(error))
        problem.__cause__ = error
    call.headers |= problem.headers | {"Cache-Control": "no-store"}
    return _response(call, problem.status, to_json(problem.body(call.id))), problem


def _successful(answer: Answer) -> bytes:
    if isinstance(answer, dict):
        return to_json({"success": True, **answer})
    if answer[:1] != b"{":
        raise Internal(reason="the store did not answer with a JSON object")
    return b'{"success":true,' + answer[1:]


def _response(call: Call, status: int, body: bytes = b"") -> Response:
    always = {"X-Request-Id": call.id, "X-Content-Type-Options": "nosniff", "Vary": "Origin"}
    return Response(body, status, always | call.headers, media_type="application/json" if body else None)
