"""Parses, validates and executes GraphQL over the workspace."""

from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    GraphQLSyntaxError,
    build_schema,
    execute_sync,
    get_named_type,
    parse,
    validate,
)

from local.linear.errors import ErrorEntry, LinearError
from local.linear.graphql.pagination import page
from local.linear.graphql.resolvers import RELATIONS, RESOLVERS, Context
from local.linear.records import Row
from local.linear.timestamps import normalize
from local.linear.workspace import Workspace


@cache
def load_schema() -> GraphQLSchema:
    """Returns the executable subset of Linear's schema."""
    schema = build_schema(Path(__file__).with_name("schema.graphql").read_text())
    for name in ("DateTime", "DateTimeOrDuration"):
        # graphql-core offers no other way to give a scalar of an SDL text its own parser.
        vars(schema.type_map[name])["parse_value"] = normalize
    return schema


def execute(workspace: Workspace, body: Row, bot: Row | None = None) -> tuple[int, Row]:
    """Returns status and body of a response: 400 before execution, 200 for errors during it."""
    try:
        document = parse_document(body["query"])
    except GraphQLSyntaxError as error:
        return 400, {"errors": [_request_error(error, "GRAPHQL_PARSE_FAILED")]}
    except InvalidDocument as error:
        return 400, {"errors": [_request_error(each, "GRAPHQL_VALIDATION_FAILED") for each in error.errors]}
    result = execute_sync(
        load_schema(),
        document,
        context_value=Context(workspace, bot),
        variable_values=body.get("variables") or {},
        operation_name=body.get("operationName"),
        field_resolver=resolve,
    )
    response: Row = {"data": result.data}
    if result.errors:
        response = {"errors": [_error_entry(error) for error in result.errors], **response}
    return (400 if any(error.path is None for error in result.errors or ()) else 200), response


class InvalidDocument(Exception):
    """Signals a document that does not fit the schema."""

    def __init__(self, errors: list[GraphQLError]) -> None:
        self.errors = errors


@lru_cache(500)
def parse_document(query: str) -> DocumentNode:
    """Parses and validates a document; cached, as clients send the same few again and again."""
    document = parse(query)
    errors = validate(load_schema(), document)
    if errors:
        raise InvalidDocument(errors)
    return document


def resolve(source: Row | None, info: GraphQLResolveInfo[Context], **arguments: Any) -> Any:
    """Resolves any field: by its own resolver, from the row, by reference, or as a connection."""
    name, parent, row = info.field_name, info.parent_type.name, source or {}
    resolver = RESOLVERS.get((parent, name))
    if resolver:
        return resolver(info.context, row, arguments)
    if name in row:
        return row[name]
    target = get_named_type(info.return_type).name
    if target.endswith("Connection"):
        return _connection(info, parent, row, target.removesuffix("Connection"), arguments)
    return info.context.workspace.records.find(target, row[f"{name}Id"])


def _connection(info: GraphQLResolveInfo[Context], parent: str, row: Row, kind: str, arguments: Row) -> Row:
    records = info.context.workspace.records
    if parent == "Query":
        rows = records.all(kind)
    elif (parent, kind) == ("Issue", "IssueLabel"):
        rows = [label for label in records.all(kind) if label["id"] in row["labelIds"]]
    else:
        rows = records.where(kind, f"{parent.lower()}Id", row["id"])
    if "url" in arguments:
        rows = [attachment for attachment in rows if attachment["url"] == arguments["url"]]
    argument = info.parent_type.fields[info.field_name].args.get("filter")
    filter_type = get_named_type(argument.type) if argument else None
    assert filter_type is None or isinstance(filter_type, GraphQLInputObjectType)

    def lookup(child: Row, name: str) -> Any:
        if f"{name}Id" in child:
            return records.find(RELATIONS[name], child[f"{name}Id"])
        return child.get(name)

    return page(rows, arguments, filter_type, lookup)


def _error_entry(error: GraphQLError) -> ErrorEntry:
    """Returns an error of execution in Linear's shape; re-raises a bug of the fake."""
    cause = error.original_error
    if error.path is None:
        return _request_error(error, "BAD_USER_INPUT")
    if not isinstance(cause, LinearError):
        raise error
    return {**error.formatted, "extensions": cause.extensions}


def _request_error(error: GraphQLError, code: str) -> ErrorEntry:
    """Returns an error before execution: the request is not GraphQL, or does not fit the schema."""
    extensions = {"code": code, "type": "graphql error", "statusCode": 400, "userError": True}
    return {**error.formatted, "extensions": {**extensions, "userPresentableMessage": error.message}}
