"""Serves the fake: the API, the page, and the control endpoints for tests and developers."""

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

from local.linear.errors import LinearError, key_as_bearer, unauthenticated
from local.linear.faults import Faults, Plan
from local.linear.graphql.complexity import complexity, root_fields
from local.linear.graphql.execution import InvalidDocument, execute, parse_document
from local.linear.limits import Limits
from local.linear.records import Row
from local.linear.responses import error_response, fault_response
from local.linear.seed import stable_id
from local.linear.web import IssuePages
from local.linear.webhooks import Webhooks
from local.linear.workspace import Workspace

KINDS = ("Team", "WorkflowState", "IssueLabel", "Issue", "Comment", "Attachment", "Webhook")
BOT = {"id": stable_id("application"), "type": "app", "name": "Supadesk"}


class LinearFake(Starlette):
    """Remembers each request's connection, so that a fault can close it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["cycle"] = getattr(send, "__self__", None)
        await super().__call__(scope, receive, send)


class Api:
    """Serves POST /graphql: authentication, limits and faults around the execution of GraphQL."""

    def __init__(self, workspace: Workspace, key: str, limits: Limits, faults: Faults) -> None:
        self._workspace = workspace
        self._bots: dict[str, Row | None] = {key: None, f"Bearer {oauth_token(key)}": BOT}
        self._limits = limits
        self._faults = faults

    async def respond(self, request: Request) -> Response:
        """Handles one call."""
        body = _parse_body(await request.body())
        if body is None:
            return error_response(
                LinearError("Invalid JSON", "The body must be a JSON object with a query."), 400
            )
        operations = _operations(body)
        rule = self._faults.for_call(operations)
        if rule is None or rule.kind == "error_status":
            return self._execute(request.headers, body, rule.status if rule else None)
        if rule.kind == "delay":
            await asyncio.sleep(rule.seconds)
            return self._execute(request.headers, body)
        if rule.committed:
            self._execute(request.headers, body)
        return fault_response(rule, request, operations)

    def _execute(self, headers: Headers, body: Row, error_status: int | None = None) -> Response:
        authorization = headers.get("authorization", "")
        if authorization not in self._bots:
            return error_response(_authentication_error(authorization))
        requests_per_hour = self._faults.plan.requests_per_hour
        limits, error = self._limits.spend(authorization, _complexity(body), requests_per_hour)
        if error:
            return error_response(error, 400, limits)
        status, content = execute(self._workspace, body, self._bots[authorization])
        if error_status and status == 200 and "errors" in content:
            status = error_status
        return JSONResponse(content, status, limits)


class Control:
    """Serves /control: faults, counters and records, behind Linear's API."""

    def __init__(self, workspace: Workspace, limits: Limits, faults: Faults) -> None:
        self._workspace = workspace
        self._limits = limits
        self._faults = faults

    async def faults(self, request: Request) -> Response:
        """GET returns the plan and the counters, PUT replaces the plan, DELETE removes it."""
        if request.method == "GET":
            return JSONResponse(self._faults.report())
        try:
            plan = Plan.model_validate_json(await request.body()) if request.method == "PUT" else Plan()
        except ValidationError as error:
            return JSONResponse({"errors": error.errors(include_url=False, include_context=False)}, 422)
        self._faults.apply(plan)
        self._limits.reset()
        return JSONResponse(self._faults.report())

    async def records(self, request: Request) -> Response:
        """GET returns all rows by kind; DELETE removes them, the plan and the counters."""
        if request.method == "DELETE":
            self._workspace.reset()
            self._faults.apply(Plan())
            self._limits.reset()
        return JSONResponse({kind: self._workspace.records.all(kind) for kind in KINDS})


def oauth_token(key: str) -> str:
    """Returns the OAuth token of an application that acts in the workspace."""
    return key.replace("lin_api_", "lin_oauth_")


def create_app(workspace: Workspace, key: str, limits: Limits, minute: float) -> Starlette:
    """Assembles the service; `minute` is the seconds of a minute between a webhook's attempts."""
    faults = Faults()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        webhooks = Webhooks(workspace, faults, minute)
        webhooks.resume()
        yield
        await webhooks.stop()

    api, control = Api(workspace, key, limits, faults), Control(workspace, limits, faults)
    return LinearFake(
        routes=[
            Route("/graphql", api.respond, methods=["POST"]),
            Route("/control/faults", control.faults, methods=["GET", "PUT", "DELETE"]),
            Route("/control/records", control.records, methods=["GET", "DELETE"]),
            *IssuePages(workspace).routes(),
        ],
        # Against DNS rebinding: a foreign host name that resolves to this address gets no response.
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])],
        lifespan=lifespan,
    )


def _parse_body(content: bytes) -> Row | None:
    try:
        body = json.loads(content)
    except (JSONDecodeError, UnicodeDecodeError):
        return None
    is_valid = isinstance(body, dict) and isinstance(body.get("query"), str)
    return body if is_valid and isinstance(body.get("variables") or {}, dict) else None


def _operations(body: Row) -> list[str]:
    try:
        return root_fields(parse_document(body["query"]))
    except (GraphQLSyntaxError, InvalidDocument):
        return ["invalid"]


def _complexity(body: Row) -> int:
    try:
        return complexity(parse_document(body["query"]), body.get("variables") or {})
    except (GraphQLSyntaxError, InvalidDocument):
        return 0


def _authentication_error(authorization: str) -> LinearError:
    return key_as_bearer() if authorization.startswith("Bearer lin_api_") else unauthenticated()
