"""The double as a web service: the API, the page, and the control of what is only there because it is a double."""

import asyncio
import json
from collections.abc import AsyncIterator
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

from local.linear import refusals
from local.linear.answers import refused, spoilt
from local.linear.faults import Faults, Plan
from local.linear.graphql.complexity import complexity, root_fields
from local.linear.graphql.execution import Invalid, checked, execute
from local.linear.limits import Limits
from local.linear.pages import Pages
from local.linear.records import Row
from local.linear.refusals import Refusal
from local.linear.seed import stable_id
from local.linear.webhooks import Webhooks
from local.linear.workspace import Workspace

KEPT = ("Team", "WorkflowState", "IssueLabel", "Issue", "Comment", "Attachment", "Webhook")
BOT = {"id": stable_id("application"), "type": "app", "name": "Supadesk"}


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
            return refused(Refusal("Invalid JSON", "The body is no JSON object with a query."), 400)
        names = _names(body)
        rule = self._faults.for_call(names)
        if rule is None or rule.kind == "error_status":
            return self._carry_out(request.headers, body, rule.status if rule else None)
        if rule.kind == "delay":
            await asyncio.sleep(rule.seconds)
            return self._carry_out(request.headers, body)
        if rule.committed:
            self._carry_out(request.headers, body)
        return spoilt(rule, request, names)

    def _carry_out(self, headers: Headers, body: Row, status: int | None = None) -> Response:
        authorization = headers.get("authorization", "")
        if authorization not in self._keys:
            return refused(_unadmitted(authorization))
        points = _points(body)
        left, refusal = self._limits.spend(authorization, points, self._faults.plan.requests_per_hour)
        if refusal:
            return refused(refusal, 400, left)
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
