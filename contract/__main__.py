"""The OpenAPI 3.1 document of the public functions: their routes, the models they parse with, and what they answer.

`make openapi` writes it to contract/openapi.json.
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
REFUSALS = {
    400: "The body is no JSON.",
    401: "No token, or one that is expired, forged or of another project.",
    403: "Signed in, and not allowed.",
    404: "There is no such thing for this caller.",
    409: "The state of the ticket does not allow it, or the Idempotency-Key was used with another request.",
    413: f"The body is longer than {MAX_BODY // 1024} KiB.",
    415: "The body is not application/json in UTF-8.",
    422: "`fields` names what is not right.",
    429: "Too much in a short time.",
    500: "Our fault.",
    503: "Something that this needs cannot be reached, or is not set up.",
}
ALWAYS = (401, 500, 503)
DESCRIPTION = """Every answer carries `X-Request-Id`. Times are RFC 3339 in UTC. `{ticket}` is a number such as
SUP-00001 or a UUID. Keys of ai-escalation may be snake_case as well; blank optional fields count as left out."""


class PartnerEvent(RootModel[Annotated[AnyEvent, Field(discriminator="type")]]):
    pass


class Call(NamedTuple):
    """One call of the contract; `refused` are the statuses of errors beside those that follow from the rest."""

    summary: str
    answer: type[BaseModel] | tuple[type[BaseModel], ...]
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    refused: tuple[int, ...] = ()
    may_be_repeated: bool = False


def calls(modules: dict[str, ModuleType]) -> dict[str, dict[str, Call]]:
    """By function and declared route."""
    replies = modules["add-message"]
    return {
        "create-ticket": {
            "POST /": Call(
                "File a ticket or feedback; a contact form also unsigned",
                (answers.Receipt, answers.FeedbackReceipt),
                payloads.CreateTicket,
                refused=(403, 409, 429),
                may_be_repeated=True,
            ),
        },
        "list-tickets": {
            "GET /": Call(
                "One's own tickets, or the queue",
                answers.TicketPage,
                query=filters.TicketFilters,
                refused=(403,),
            ),
            "GET /{ticket}": Call("One ticket with its conversation", answers.TicketDetail),
            "GET /categories": Call("The active categories", answers.CategoryNames),
            "GET /stats": Call(
                "Counts for agents", answers.Numbers, query=filters.StatsRange, refused=(403,)
            ),
        },
        "add-message": {
            "POST /{ticket}": Call(
                "Reply, or write an internal note",
                answers.MessageAdded,
                replies.Reply,
                refused=(403, 409, 429),
                may_be_repeated=True,
            ),
            "POST /{ticket}/rating": Call(
                "Rate a resolved ticket", answers.RatingGiven, replies.Opinion, refused=(403, 409)
            ),
            "POST /{ticket}/close": Call(
                "Solved, thanks", answers.TicketClosed, replies.Nothing, refused=(403, 409)
            ),
            "POST /{ticket}/escalation": Call(
                "Ask for an escalation",
                answers.EscalationState,
                changes.EscalationRequest,
                refused=(403, 409, 429),
            ),
        },
        "admin-update": {
            "PATCH /{ticket}": Call(
                "Change a ticket", answers.TicketChanged, changes.TicketChange, refused=(403, 409)
            ),
            "DELETE /{ticket}": Call("Put a ticket out of sight", answers.TicketDeleted, refused=(403,)),
            "POST /{ticket}/escalations": Call(
                "Ask for an escalation",
                answers.EscalationState,
                changes.EscalationRequest,
                refused=(403, 409, 429),
            ),
            "PATCH /escalations/{id}": Call(
                "Decide on an escalation",
                answers.EscalationState,
                changes.EscalationDecision,
                refused=(403, 409),
            ),
            "PATCH /feedback/{id}": Call(
                "Review feedback", answers.FeedbackState, changes.FeedbackReview, refused=(403,)
            ),
            "POST /bulk": Call(
                "Change up to a hundred tickets", answers.Outcomes, changes.BulkChange, refused=(403,)
            ),
            "POST /sla-check": Call("Sweep now", answers.Swept, refused=(403,)),
            "GET /dead-letters": Call("What could not be delivered", answers.DeadLetters, refused=(403,)),
            "POST /dead-letters/{id}/retry": Call(
                "Deliver it after all", answers.LetterWaits, refused=(403,)
            ),
        },
        "ai-escalation": {
            "POST /": Call(
                "Hand a conversation over to a person",
                answers.TransferReceipt,
                transfers.Transfer,
                refused=(403, 409, 429),
            ),
            "POST /analyze": Call("Does this need a person?", answers.Analysed, transfers.Analysis),
            "POST /companion": Call(
                "File what the message asks to file",
                (answers.BugFiled, answers.FeedbackFiled, answers.Advice),
                companion.Chat,
                refused=(409, 429),
                may_be_repeated=True,
            ),
        },
        "receive-webhook": {
            "POST /linear": Call(
                "What happened in Linear, signed by it", answers.LinearNews, refused=(400, 422)
            ),
            "POST /tickets": Call(
                "What a partner files for somebody, signed as Standard Webhooks has it",
                (answers.Receipt, answers.FeedbackReceipt),
                PartnerEvent,
                refused=(409, 429),
            ),
        },
    }


def document() -> dict[str, Any]:
    functions = [function for function in read_table() if not function.is_private]
    modules = {function.name: loaded(function) for function in functions}
    described = calls(modules)
    taken, answered = _models(described)
    references, definitions = models_json_schema(
        [(model, "validation") for model in taken] + [(model, "serialization") for model in answered],
        ref_template="#/components/schemas/{model}",
    )
    schemas = {model: schema for (model, _), schema in references.items()}
    paths: dict[str, Any] = {}
    for function in functions:
        for route, anonymous in routes(function, modules[function.name]):
            method, _, path = route.partition(" ")
            operation = _operation(function, route, described[function.name][route], schemas, anonymous)
            paths.setdefault(f"/{function.name}{path.rstrip('/')}", {})[method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Supadesk", "version": _version(), "description": DESCRIPTION},
        "servers": [{"url": "http://127.0.0.1:8080", "description": "make run"}],
        "tags": [{"name": function.name, "description": function.summary} for function in functions],
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "responses": {str(status): _refusal(status) for status in REFUSALS},
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


def loaded(function: Function) -> ModuleType:
    """The module of a function, under a name of its own: all of them are called main."""
    spec = spec_from_file_location(function.entry_point, function.source)
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def routes(function: Function, module: ModuleType) -> list[tuple[str, bool]]:
    """Each declared route, and whether people who are not signed in get to it."""
    entry = getattr(module, function.entry_point)
    return [(route, route in entry.anonymous) for route in entry.handlers]


def _models(
    described: dict[str, dict[str, Call]],
) -> tuple[list[type[BaseModel]], list[type[BaseModel]]]:
    every = [call for of_function in described.values() for call in of_function.values()]
    taken = [model for call in every for model in (call.body, call.query) if model]
    answered = [model for call in every for model in _several(call.answer)]
    return list(dict.fromkeys(taken)), list(dict.fromkeys([*answered, answers.Problem]))


def _several(answer: type[BaseModel] | tuple[type[BaseModel], ...]) -> tuple[type[BaseModel], ...]:
    return answer if isinstance(answer, tuple) else (answer,)


def _operation(
    function: Function, route: str, call: Call, schemas: dict[Any, Any], anonymous: bool
) -> dict[str, Any]:
    parameters = [_path_parameter(name) for name in re.findall(r"\{(\w+)\}", route)]
    if call.query:
        parameters += _query_parameters(call.query)
    if call.may_be_repeated:
        parameters.append(_idempotency_key())
    operation: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{function.name} {route}").strip("_").lower(),
        "tags": [function.name],
        "summary": call.summary,
        "security": _security(function, route, anonymous),
        "parameters": parameters,
    }
    if call.body:
        content = {"application/json": {"schema": schemas[call.body]}}
        operation["requestBody"] = {"required": bool(call.body.model_fields), "content": content}
    references = [schemas[model] for model in _several(call.answer)]
    answer = references[0] if len(references) == 1 else {"oneOf": references}
    operation["responses"] = {"200": _json("Done.", answer, "RequestId")} | {
        str(status): {"$ref": f"#/components/responses/{status}"} for status in _statuses(route, call)
    }
    return operation


def _statuses(route: str, call: Call) -> list[int]:
    """Of the errors that the call can answer with."""
    statuses = {*ALWAYS, *call.refused}
    if not route.startswith("GET"):
        statuses |= {413, 415}
    if call.body:
        statuses |= {400, 422}
    if call.query:
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
    """One for each field; context.<key> are all parameters whose names begin so."""
    schema = model.model_json_schema()
    found = []
    for name, of_field in schema["properties"].items():
        parameter = {"name": name, "in": "query", "schema": _without_null(of_field)}
        if name == "context":
            keys = {"^context\\.[A-Za-z][A-Za-z0-9_]{0,62}$": {"type": "string", "maxLength": 255}}
            wanted = {"type": "object", "patternProperties": keys, "additionalProperties": False}
            parameter |= {"schema": wanted, "style": "form", "explode": True}
        found.append(parameter)
    return found


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter is left out where a body would say null."""
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
    default = {} if schema.get("default") is None else {"default": schema["default"]}
    return rest | (kinds[0] if len(kinds) == 1 else {"anyOf": kinds} if kinds else {}) | default


def _idempotency_key() -> dict[str, Any]:
    schema = {"type": "string", "pattern": r"^[\x21-\x7e]{1,255}$"}
    told = "The same key and body are the same request for 24 hours; a UUID where nobody is signed in"
    return {"name": "Idempotency-Key", "in": "header", "schema": schema, "description": told}


def _refusal(status: int) -> dict[str, Any]:
    headers = ("RequestId", "RetryAfter") if status in (429, 503) else ("RequestId",)
    return _json(REFUSALS[status], {"$ref": "#/components/schemas/Problem"}, *headers)


def _json(description: str, schema: Any, *headers: str) -> dict[str, Any]:
    names = {"RequestId": "X-Request-Id", "RetryAfter": "Retry-After"}
    return {
        "description": description,
        "headers": {names[header]: {"$ref": f"#/components/headers/{header}"} for header in headers},
        "content": {"application/json": {"schema": schema}},
    }


def text() -> str:
    """The document as it stands in the file."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


def main(path: Path = DOCUMENT) -> None:
    path.write_text(text())


if __name__ == "__main__":
    main()
