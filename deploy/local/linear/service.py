"""The double as a web service: the API, the page, and the control of what is only there because it is a double."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from json import JSONDecodeError

from graphql import GraphQLSyntaxError
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from deploy.local.linear import refusals
from deploy.local.linear.complexity import complexity, root_fields
from deploy.local.linear.execution import Invalid, checked, execute
from deploy.local.linear.faults import Faults, Plan, Rule
from deploy.local.linear.limits import HOUR, Limits, told
from deploy.local.linear.pages import Pages
from deploy.local.linear.records import Row
from deploy.local.linear.refusals import Refusal
from deploy.local.linear.webhooks import Webhooks
from deploy.local.linear.workspace import Workspace, stable_id

KEPT = ("Team", "WorkflowState", "IssueLabel", "Issue", "Comment", "Attachment", "Webhook")
BOT = {"id": stable_id("application"), "type": "app", "name": "Supadesk"}
REFUSE: dict[str, Callable[[], Refusal]] = {
    "auth": refusals.unauthenticated,
    "forbidden": refusals.forbidden,
    "feature_not_accessible": refusals.feature_not_accessible,
    "usage_limit": refusals.usage_limit_exceeded,
    "lock_timeout": refusals.lock_timeout,
    "internal": refusals.internal_error,
}
BROKEN_PAGE = (
    "<!doctype html><html><head><title>Bad gateway</title></head><body><h1>Bad gateway</h1></body></html>"
)


class Double(Starlette):
    """An application that can also hang up: it remembers on which connection a request came."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["cycle"] = getattr(send, "__self__", None)
        await super().__call__(scope, receive, send)


class Api:
    """POST /graphql, with everything that Linear does before and after GraphQL."""

    def __init__(self, workspace: Workspace, key: str, limits: Limits, faults: Faults) -> None:
        self._workspace = workspace
        self._keys: dict[str, Row | None] = {key: None, f"Bearer {oauth_token(key)}": BOT}
        self._limits = limits
        self._faults = faults

    async def answer(self, request: Request) -> Response:
        """One call."""
        body = _body(await request.body())
        if body is None:
            return _refused(Refusal("Invalid JSON", "The body is no JSON object with a query."), 400)
        names = _names(body)
        rule = self._faults.for_call(names)
        if rule is None or rule.kind == "error_status":
            return self._carry_out(request.headers, body, rule.status if rule else None)
        if rule.kind == "delay":
            await asyncio.sleep(rule.seconds)
            return self._carry_out(request.headers, body)
        if rule.committed:
            self._carry_out(request.headers, body)
        return _spoilt(rule, request, names)

    def _carry_out(self, headers: Headers, body: Row, status: int | None = None) -> Response:
        authorization = headers.get("authorization", "")
        if authorization not in self._keys:
            return _refused(_unadmitted(authorization))
        points = _points(body)
        left, refusal = self._limits.spend(authorization, points, self._faults.plan.requests_per_hour)
        if refusal:
            return _refused(refusal, 400, left)
        usual, answer = execute(self._workspace, body, self._keys[authorization])
        chosen = status if status and usual == 200 and "errors" in answer else usual
        return JSONResponse(answer, chosen, left)


class Control:
    """What tests and developers set and see behind Linear's back."""

    def __init__(self, workspace: Workspace, limits: Limits, faults: Faults) -> None:
        self._workspace = workspace
        self._limits = limits
        self._faults = faults

    async def faults(self, request: Request) -> Response:
        """GET tells the plan and the counters, PUT sets a plan, DELETE goes back to none."""
        if request.method == "GET":
            return JSONResponse(self._faults.told())
        try:
            plan = Plan.model_validate_json(await request.body()) if request.method == "PUT" else Plan()
        except ValidationError as error:
            return JSONResponse({"errors": error.errors(include_url=False, include_context=False)}, 422)
        self._faults.follow(plan)
        self._limits.forget()
        return JSONResponse(self._faults.told())

    async def records(self, request: Request) -> Response:
        """GET shows everything that is kept, by kind; DELETE forgets it, and faults and counters too."""
        if request.method == "DELETE":
            self._workspace.reset()
            self._faults.follow(Plan())
            self._limits.forget()
        return JSONResponse({kind: self._workspace.records.all(kind) for kind in KEPT})


def oauth_token(key: str) -> str:
    """The token of an application that acts in the workspace, as OAuth would hand it out."""
    return key.replace("lin_api_", "lin_oauth_")


def create_app(workspace: Workspace, key: str, limits: Limits, minute: float) -> Starlette:
    """The whole service; `minute` is how many seconds one takes between attempts to deliver a webhook."""
    faults = Faults()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        webhooks = Webhooks(workspace, faults, minute)
        webhooks.resume()
        yield
        await webhooks.stop()

    api, control = Api(workspace, key, limits, faults), Control(workspace, limits, faults)
    return Double(
        routes=[
            Route("/graphql", api.answer, methods=["POST"]),
            Route("/control/faults", control.faults, methods=["GET", "PUT", "DELETE"]),
            Route("/control/records", control.records, methods=["GET", "DELETE"]),
            *Pages(workspace).routes(),
        ],
        # A page of somebody else's whose name leads here is not to be answered.
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])],
        lifespan=lifespan,
    )


def _body(sent: bytes) -> Row | None:
    try:
        body = json.loads(sent)
    except (JSONDecodeError, UnicodeDecodeError):
        return None
    fits = isinstance(body, dict) and isinstance(body.get("query"), str)
    return body if fits and isinstance(body.get("variables") or {}, dict) else None


def _names(body: Row) -> list[str]:
    try:
        return root_fields(checked(body["query"]))
    except (GraphQLSyntaxError, Invalid):
        return ["invalid"]


def _points(body: Row) -> int:
    try:
        return complexity(checked(body["query"]), body.get("variables") or {})
    except (GraphQLSyntaxError, Invalid):
        return 0


def _unadmitted(authorization: str) -> Refusal:
    as_bearer = authorization.startswith("Bearer lin_api_")
    return refusals.key_as_bearer() if as_bearer else refusals.unauthenticated()


def _refused(refusal: Refusal, status: int | None = None, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"errors": [refusal.as_error()]}, status or refusal.status, headers)


def _spoilt(rule: Rule, request: Request, names: list[str]) -> Response:
    """An answer that says less than the truth, or none."""
    if rule.kind == "drop":
        request.scope["cycle"].transport.abort()
        return Response()
    if rule.kind == "server_error" and rule.html:
        return Response(BROKEN_PAGE, rule.status, media_type="text/html")
    if rule.kind == "server_error":
        return JSONResponse({"error": "Service unavailable"}, rule.status)
    if rule.kind == "malformed":
        return Response('{"data": {"issueCreate": {"succ', media_type="application/json")
    if rule.kind == "ratelimited":
        return _limited(rule, names)
    return _refused(REFUSE[rule.kind]())


def _limited(rule: Rule, names: list[str]) -> Response:
    budgets = {"requests": (2_500, HOUR), "complexity": (3_000_000, HOUR)}
    headers: dict[str, str] = {}
    for scope, (limit, seconds) in budgets.items():
        spent = scope == rule.scope
        ends = time.time() + (rule.seconds if spent else seconds)
        headers |= told(f"X-RateLimit-{scope.title()}", limit, 0 if spent else limit // 2, ends)
    if rule.scope == "endpoint":
        headers |= told("X-RateLimit-Endpoint-Requests", 100, 0, time.time() + rule.seconds)
        headers["X-RateLimit-Endpoint-Name"] = names[0]
    return _refused(refusals.rate_limited(2_500), 400, headers)
