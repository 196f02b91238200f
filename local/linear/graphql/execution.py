"""GraphQL over the workspace: the schema, what its fields say, and how an answer comes about."""

from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLEnumType,
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    GraphQLSchema,
    GraphQLSyntaxError,
    build_schema,
    execute_sync,
    get_named_type,
    parse,
    validate,
)

from local.linear.graphql.fields import RELATIONS, RULES, Call
from local.linear.graphql.selection import page
from local.linear.moments import as_moment
from local.linear.records import Row
from local.linear.refusals import Error, Refusal
from local.linear.workspace import Workspace

SDL = ("schema.graphql", "sdk.graphql")
EMPTY = {"Boolean": False, "Int": 0, "Float": 0, "String": "", "ID": "", "JSONObject": {}}


Answer = dict[str, Any]


@cache
def load_schema() -> GraphQLSchema:
    """The subset, ready to be executed."""
    texts = [Path(__file__).with_name(name).read_text() for name in SDL]
    schema = build_schema("\n".join(texts))
    for name in ("DateTime", "DateTimeOrDuration"):
        # The one way to give a scalar of a schema that was read from text a rule of its own.
        vars(schema.type_map[name])["parse_value"] = as_moment
    return schema


def execute(workspace: Workspace, body: Row, bot: Row | None = None) -> tuple[int, Answer]:
    """The status and the answer to one request: what cannot be executed is 400, what fails in execution is 200."""
    try:
        document = checked(body["query"])
    except GraphQLSyntaxError as error:
        return 400, {"errors": [_complaint(error, "GRAPHQL_PARSE_FAILED")]}
    except Invalid as error:
        return 400, {"errors": [_complaint(each, "GRAPHQL_VALIDATION_FAILED") for each in error.errors]}
    result = execute_sync(
        load_schema(),
        document,
        context_value=Call(workspace, bot),
        variable_values=body.get("variables") or {},
        operation_name=body.get("operationName"),
        field_resolver=resolve,
    )
    answer: Answer = {"data": result.data}
    if result.errors:
        answer = {"errors": [_told(error) for error in result.errors], **answer}
    return (400 if any(error.path is None for error in result.errors or ()) else 200), answer


class Invalid(Exception):
    """A document that does not fit the schema."""

    def __init__(self, errors: list[GraphQLError]) -> None:
        self.errors = errors


@lru_cache(500)
def checked(query: str) -> DocumentNode:
    """The document, if it fits the schema; clients send the same few again and again."""
    document = parse(query)
    errors = validate(load_schema(), document)
    if errors:
        raise Invalid(errors)
    return document


def resolve(source: Row | None, info: GraphQLResolveInfo[Call], **arguments: Any) -> Any:
    """Any field: by a rule of its own, from the row, by the row's reference, as a list of what refers to it, or empty."""
    name, parent = info.field_name, info.parent_type.name
    rule = RULES.get((parent, name))
    if rule:
        return rule(info.context, source or {}, arguments)
    row = source or {}
    if name in row:
        return row[name]
    target = get_named_type(info.return_type).name
    if f"{name}Id" in row:
        return info.context.workspace.records.find(target, row[f"{name}Id"])
    if target.endswith("Connection"):
        return _connection(info, parent, row, target.removesuffix("Connection"), arguments)
    return _empty(info.return_type)


def _connection(info: GraphQLResolveInfo[Call], parent: str, row: Row, kind: str, arguments: Row) -> Row:
    records = info.context.workspace.records
    if parent == "Query":
        rows = records.all(kind)
    elif (parent, kind) == ("Issue", "IssueLabel"):
        rows = [label for label in records.all(kind) if label["id"] in row["labelIds"]]
    else:
        rows = records.where(kind, f"{parent.lower()}Id", row["id"])
    if "url" in arguments:
        rows = [each for each in rows if each["url"] == arguments["url"]]
    argument = info.parent_type.fields[info.field_name].args.get("filter")
    filter_type = get_named_type(argument.type) if argument else None
    assert filter_type is None or isinstance(filter_type, GraphQLInputObjectType)

    def look(each: Row, name: str) -> Any:
        if f"{name}Id" in each:
            return records.find(RELATIONS[name], each[f"{name}Id"])
        return each.get(name)

    return page(rows, arguments, filter_type, look)


def _empty(wanted: GraphQLOutputType) -> Any:
    """What a field says about which nothing is kept."""
    if not isinstance(wanted, GraphQLNonNull):
        return None
    inner = wanted.of_type
    if isinstance(inner, GraphQLList):
        return []
    if isinstance(inner, GraphQLEnumType):
        return next(iter(inner.values))
    return {} if isinstance(inner, GraphQLObjectType) else EMPTY[get_named_type(inner).name]


def _told(error: GraphQLError) -> Error:
    """An error of execution as Linear words it."""
    cause = error.original_error
    if error.path is None:
        return _complaint(error, "BAD_USER_INPUT")
    if not isinstance(cause, Refusal):
        raise error
    return {**error.formatted, "extensions": cause.extensions}


def _complaint(error: GraphQLError, code: str) -> Error:
    """An error before execution: what was sent is not GraphQL, or not this schema's."""
    about = {"code": code, "type": "graphql error", "statusCode": 400, "userError": True}
    return {**error.formatted, "extensions": {**about, "userPresentableMessage": error.message}}
