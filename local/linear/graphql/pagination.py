"""Filters, sorts and pages rows as Linear's connections do."""

from collections.abc import Callable
from typing import Any

from graphql import GraphQLInputField, GraphQLInputObjectType, get_named_type

from local.linear.errors import invalid
from local.linear.records import Row

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 250
# Returns a row's value for a filter's field: the related row, or the plain value.
Lookup = Callable[[Row, str], Any]

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda value, operand: value == operand,
    "in": lambda value, operand: value in operand,
    "gt": lambda value, operand: value > operand,
    "gte": lambda value, operand: value >= operand,
    "lt": lambda value, operand: value < operand,
    "lte": lambda value, operand: value <= operand,
    "eqIgnoreCase": lambda value, operand: value.lower() == operand.lower(),
}


def page(rows: list[Row], arguments: Row, filter_type: GraphQLInputObjectType | None, lookup: Lookup) -> Row:
    """Returns a connection: one page of the matching rows, the newest first."""
    criteria = arguments.get("filter")
    if criteria and filter_type:
        rows = [row for row in rows if matches(row, criteria, filter_type, lookup)]
    if not arguments.get("includeArchived"):
        rows = [row for row in rows if not row.get("archivedAt")]
    order = arguments.get("orderBy") or "createdAt"
    # The id breaks ties: rows of one millisecond need a stable order, or pages would overlap.
    rows = sorted(rows, key=lambda row: (row[order], row["id"]), reverse=True)
    return _slice(rows, arguments.get("first"), arguments.get("after"))


def matches(row: Row, criteria: Row, filter_type: GraphQLInputObjectType, lookup: Lookup) -> bool:
    """Tests a row against every field of a filter; a field that is null does not restrict."""
    return all(
        _field_matches(row, name, criterion, filter_type, lookup)
        for name, criterion in criteria.items()
        if criterion is not None
    )


def _field_matches(
    row: Row, name: str, criterion: Row, filter_type: GraphQLInputObjectType, lookup: Lookup
) -> bool:
    field: GraphQLInputField = filter_type.fields[name]
    field_type = get_named_type(field.type)
    assert isinstance(field_type, GraphQLInputObjectType)
    value = lookup(row, name)
    if not field_type.name.endswith("Comparator"):
        return matches(value, criterion, field_type, lookup)
    if field_type.name == "IssueIDComparator":
        # Issues are found by their identifier too.
        return any(_compare(key, criterion) for key in (row["id"], row["identifier"]))
    return _compare(value, criterion)


def _compare(value: Any, comparison: Row) -> bool:
    return all(
        COMPARISONS[name](value, operand) for name, operand in comparison.items() if operand is not None
    )


def _slice(rows: list[Row], first: int | None, after: str | None) -> Row:
    if first is not None and not 0 < first <= MAX_PAGE_SIZE:
        raise invalid("first", f"must be between 1 and {MAX_PAGE_SIZE}")
    start = 0
    if after is not None:
        ids = [row["id"] for row in rows]
        if after not in ids:
            raise invalid("after", "is not a cursor of this list")
        start = ids.index(after) + 1
    end = start + (first or DEFAULT_PAGE_SIZE)
    nodes = rows[start:end]
    page_info = {"endCursor": nodes[-1]["id"] if nodes else None, "hasNextPage": end < len(rows)}
    return {"nodes": nodes, "pageInfo": page_info}
