"""Writes contract/openapi.json, the OpenAPI 3.1 document of the public functions (`make openapi`).

Routes and request models come from the code of the functions; contract/answers.py has the models of answers.
"""

import json
import re
import tomllib
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, Field, RootModel
from pydantic.json_schema import models_json_schema

from contract import answers
from deploy.table import ROOT, Function, read_table
from shared.http.call import MAX_BODY
from shared.requests import (
    companion,
    filters,
    partners,
)
from shared.requests import (
    conversations as transfers,
)
from shared.requests import (
    tickets as payloads,
)
from shared.requests import (
    updates as changes,
)

DOCUMENT = ROOT / "contract" / "openapi.json"
AnyEvent = partners.TicketEvent | partners.TransferEvent | partners.CompanionEvent
UUID = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
ERRORS = {
    400: "The body is not JSON.",
    401: "The token is missing, expired, forged or of another project.",
    403: "The caller is signed in and lacks the right.",
    404: "The object does not exist, or not for this caller.",
    409: "The state of the ticket forbids it, or the Idempotency-Key belongs to another request.",
    413: f"The body is longer than {MAX_BODY // 1024} KiB.",
    415: "The body is not application/json in UTF-8.",
    422: "`fields` names the invalid fields.",
    429: "The caller has used up a quota.",
    500: "An unexpected error of the server.",
    503: "A required service is unreachable or not configured.",
}
COMMON_ERRORS = (401, 500, 503)
DESCRIPTION = """Every answer carries `X-Request-Id`. Times are RFC 3339 in UTC. `{ticket}` is a number
such as SUP-00001 or a UUID. Keys of ai-escalation may be snake_case as well; blank optional fields count
as missing. Characters without a glyph, such as U+200B, are blank."""


class PartnerEvent(RootModel[Annotated[AnyEvent, Field(discriminator="type")]]):
    pass


class Operation(NamedTuple):
    """Describes one route; `errors` lists the statuses that do not follow from the other fields."""

    summary: str
    answer: type[BaseModel] | tuple[type[BaseModel], ...]
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    errors: tuple[int, ...] = ()
    is_idempotent: bool = False


def operations(modules: dict[str, ModuleType]) -> dict[str, dict[str, Operation]]:
    """Returns the operations by function and route."""
    replies = modules["add-message"]
    return {
        "create-ticket": {
            "POST /": Operation(
                "File a ticket or feedback; a contact form also anonymously",
                (answers.TicketConfirmation, answers.FeedbackConfirmation),
                payloads.CreateTicket,
                errors=(403, 409, 429),
                is_idempotent=True,
            ),
        },
        "list-tickets": {
            "GET /": Operation(
                "List the caller's tickets, or the queue",
                answers.TicketPage,
                query=filters.TicketFilters,
                errors=(403,),
            ),
            "GET /{ticket}": Operation(
                "Read a ticket with its conversation", answers.TicketDetail, query=filters.ConversationPage
            ),
            "GET /categories": Operation("List the active categories", answers.CategoryNames),
            "GET /stats": Operation(
                "Read ticket statistics", answers.TicketStatistics, query=filters.StatsRange, errors=(403,)
            ),
        },
        "add-message": {
            "POST /{ticket}": Operation(
                "Reply, or write an internal note",
                answers.MessageAdded,
                replies.Reply,
                errors=(403, 409, 429),
                is_idempotent=True,
            ),
            "POST /{ticket}/rating": Operation(
                "Rate a resolved ticket", answers.RatingGiven, replies.Opinion, errors=(403, 409, 429)
            ),
            "POST /{ticket}/close": Operation(
                "Close a ticket that is solved",
                answers.TicketClosed,
                replies.Nothing,
                errors=(403, 409, 429),
            ),
            "POST /{ticket}/escalation": Operation(
                "Request an escalation",
                answers.EscalationState,
                changes.EscalationRequest,
                errors=(403, 409, 429),
            ),
        },
        "admin-update": {
            "PATCH /{ticket}": Operation(
                "Change a ticket", answers.TicketChanged, changes.TicketChange, errors=(403, 409)
            ),
            "DELETE /{ticket}": Operation("Delete a ticket", answers.TicketDeleted, errors=(403,)),
            "POST /{ticket}/escalations": Operation(
                "Request an escalation",
                answers.EscalationState,
                changes.EscalationRequest,
                errors=(403, 409, 429),
            ),
            "PATCH /escalations/{id}": Operation(
                "Decide on an escalation",
                answers.EscalationState,
                changes.EscalationDecision,
                errors=(403, 409),
            ),
            "PATCH /feedback/{id}": Operation(
                "Review feedback", answers.FeedbackState, changes.FeedbackReview, errors=(403,)
            ),
            "POST /bulk": Operation(
                "Change up to a hundred tickets", answers.BulkResult, changes.BulkChange, errors=(403,)
            ),
            "POST /sla-check": Operation("Run the SLA sweep", answers.SweepCounters, errors=(403,)),
            "GET /dead-letters": Operation("List the dead letters", answers.DeadLetters, errors=(403,)),
            "POST /dead-letters/{id}/retry": Operation(
                "Retry a dead letter", answers.RetriedDeadLetter, errors=(403,)
            ),
        },
        "ai-escalation": {
            "POST /": Operation(
                "File a conversation for a person",
                answers.TransferConfirmation,
                transfers.Transfer,
                errors=(403, 409, 429),
            ),
            "POST /analyze": Operation(
                "Analyse whether a conversation needs a person",
                answers.AnalysisResult,
                transfers.Analysis,
                errors=(429,),
            ),
            "POST /companion": Operation(
                "File what a message to the companion asks for",
                (answers.BugFiled, answers.FeedbackFiled, answers.Advice),
                companion.Chat,
                errors=(409, 429),
                is_idempotent=True,
            ),
        },
        "receive-webhook": {
            "POST /linear": Operation(
                "Receive a webhook of Linear", answers.LinearWebhookResult, errors=(400, 422)
            ),
            "POST /tickets": Operation(
                "Receive a webhook of a partner, signed by Standard Webhooks",
                (answers.TicketConfirmation, answers.FeedbackConfirmation),
                PartnerEvent,
                errors=(409, 429),
            ),
        },
    }


def document() -> dict[str, Any]:
    """Builds the whole document; raises KeyError for a route without a description."""
    functions = [function for function in read_table() if not function.is_private]
    modules = {function.name: load_module(function) for function in functions}
    described = operations(modules)
    requests, responses = _models(described)
    references, definitions = models_json_schema(
        [(model, "validation") for model in requests] + [(model, "serialization") for model in responses],
        ref_template="#/components/schemas/{model}",
    )
    schemas = {model: schema for (model, _), schema in references.items()}
    paths: dict[str, Any] = {}
    for function in functions:
        for route, anonymous in routes(function, modules[function.name]):
            method, _, path = route.partition(" ")
            entry = _operation(function, route, described[function.name][route], schemas, anonymous)
            paths.setdefault(f"/{function.name}{path.rstrip('/')}", {})[method.lower()] = entry
    return {
        "openapi": "3.1.0",
        "info": {"title": "Supadesk", "version": _version(), "description": DESCRIPTION},
        "servers": [{"url": "http://127.0.0.1:8080", "description": "make run"}],
        "tags": [{"name": function.name, "description": function.summary} for function in functions],
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "responses": {str(status): _error_response(status) for status in ERRORS},
            "headers": {
                "RequestId": {"description": "Names this request in the logs", "schema": {"type": "string"}},
                "RetryAfter": {"description": "Seconds", "schema": {"type": "integer", "minimum": 1}},
            },
            "securitySchemes": {
                "person": {"type": "http", "scheme": "bearer", "description": "An access token of Supabase"},
                "ticket": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-Ticket-Token",
                    "description": "The access_token of an unsigned contact form",
                },
                "webhook": {"type": "apiKey", "in": "header", "name": "Linear-Signature"},
            },
        },
    }


def _version() -> str:
    """Reads the project's version from the one place that has it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return str(project["version"])


def load_module(function: Function) -> ModuleType:
    """Loads the module of a function under a unique name, because each one is called main."""
    spec = spec_from_file_location(function.entry_point, function.source)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def routes(function: Function, module: ModuleType) -> list[tuple[str, bool]]:
    """Lists the routes of a function, each with whether it admits anonymous callers."""
    entry = getattr(module, function.entry_point)
    return [(route, route in entry.anonymous) for route in entry.handlers]


def _models(
    described: dict[str, dict[str, Operation]],
) -> tuple[list[type[BaseModel]], list[type[BaseModel]]]:
    every = [operation for by_route in described.values() for operation in by_route.values()]
    requests = [model for operation in every for model in (operation.body, operation.query) if model]
    responses = [model for operation in every for model in _as_tuple(operation.answer)]
    return list(dict.fromkeys(requests)), list(dict.fromkeys([*responses, answers.Problem]))


def _as_tuple(answer: type[BaseModel] | tuple[type[BaseModel], ...]) -> tuple[type[BaseModel], ...]:
    return answer if isinstance(answer, tuple) else (answer,)


def _operation(
    function: Function, route: str, operation: Operation, schemas: dict[Any, Any], anonymous: bool
) -> dict[str, Any]:
    parameters = [_path_parameter(name) for name in re.findall(r"\{(\w+)\}", route)]
    if operation.query:
        parameters += _query_parameters(operation.query)
    if operation.is_idempotent:
        parameters.append(_idempotency_key())
    entry: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{function.name} {route}").strip("_").lower(),
        "tags": [function.name],
        "summary": operation.summary,
        "security": _security(function, route, anonymous),
        "parameters": parameters,
    }
    if operation.body:
        content = {"application/json": {"schema": schemas[operation.body]}}
        entry["requestBody"] = {"required": bool(operation.body.model_fields), "content": content}
    references = [schemas[model] for model in _as_tuple(operation.answer)]
    answer = references[0] if len(references) == 1 else {"oneOf": references}
    entry["responses"] = {"200": _json("Done.", answer, "RequestId")} | {
        str(status): {"$ref": f"#/components/responses/{status}"} for status in _statuses(route, operation)
    }
    return entry


def _statuses(route: str, operation: Operation) -> list[int]:
    """Lists the statuses of all errors of an operation."""
    statuses = {*COMMON_ERRORS, *operation.errors}
    if not route.startswith("GET"):
        statuses |= {413, 415}
    if operation.body:
        statuses |= {400, 422}
    if operation.query:
        statuses.add(422)
    if "{" in route:
        statuses.add(404)
    return sorted(statuses)


def _security(function: Function, route: str, anonymous: bool) -> list[dict[str, list[str]]]:
    if route == "POST /linear":
        return [{"webhook": []}]
    if anonymous and "{ticket}" in route:
        return [{"person": []}, {"ticket": []}]
    return [{"person": []}, {}] if anonymous else [{"person": []}]


def _path_parameter(name: str) -> dict[str, Any]:
    pattern = rf"^(SUP-[0-9]{{5,18}}|{UUID})$" if name == "ticket" else rf"^([0-9]{{1,18}}|{UUID})$"
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "pattern": pattern}}


def _query_parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    """Describes each field of a model as a parameter; `context` stands for all context.<key>."""
    schema = model.model_json_schema()
    parameters = []
    for name, field in schema["properties"].items():
        parameter = {"name": name, "in": "query", "schema": _without_null(field)}
        if name == "context":
            keys = {"^context\\.[A-Za-z][A-Za-z0-9_]{0,62}$": {"type": "string", "maxLength": 255}}
            keyed = {"type": "object", "patternProperties": keys, "additionalProperties": False}
            parameter |= {"schema": keyed, "style": "form", "explode": True}
        parameters.append(parameter)
    return parameters


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Removes null from a schema: a parameter is left out instead."""
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
    default = {} if schema.get("default") is None else {"default": schema["default"]}
    return rest | (kinds[0] if len(kinds) == 1 else {"anyOf": kinds} if kinds else {}) | default


def _idempotency_key() -> dict[str, Any]:
    schema = {"type": "string", "pattern": r"^[\x21-\x7e]{1,255}$"}
    description = "The same key and body are the same request for 24 hours; a UUID if the caller is anonymous"
    return {"name": "Idempotency-Key", "in": "header", "schema": schema, "description": description}


def _error_response(status: int) -> dict[str, Any]:
    headers = ("RequestId", "RetryAfter") if status in (429, 503) else ("RequestId",)
    return _json(ERRORS[status], {"$ref": "#/components/schemas/Problem"}, *headers)


def _json(description: str, schema: Any, *headers: str) -> dict[str, Any]:
    names = {"RequestId": "X-Request-Id", "RetryAfter": "Retry-After"}
    return {
        "description": description,
        "headers": {names[header]: {"$ref": f"#/components/headers/{header}"} for header in headers},
        "content": {"application/json": {"schema": schema}},
    }


def text() -> str:
    """Formats the document as it is in the file."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


def main(path: Path = DOCUMENT) -> None:
    """Writes the document."""
    path.write_text(text())


if __name__ == "__main__":
    main()
