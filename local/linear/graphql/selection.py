"""Which rows a query gets: Linear's filters, its order and its pages."""

from collections.abc import Callable
from typing import Any

from graphql import GraphQLInputField, GraphQLInputObjectType, get_named_type

from local.linear.records import Row
from local.linear.refusals import Refusal, invalid

USUAL_PAGE = 50
LARGEST_PAGE = 250
# Finds what a filter's field is about: a row's relation, or its plain value.
Look = Callable[[Row, str], Any]

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda value, wanted: value == wanted,
    "neq": lambda value, wanted: value != wanted,
    "in": lambda value, wanted: value in wanted,
    "nin": lambda value, wanted: value not in wanted,
    "gt": lambda value, wanted: value > wanted,
    "gte": lambda value, wanted: value >= wanted,
    "lt": lambda value, wanted: value < wanted,
    "lte": lambda value, wanted: value <= wanted,
    "contains": lambda value, wanted: wanted in value,
    "containsIgnoreCase": lambda value, wanted: wanted.lower() in value.lower(),
    "eqIgnoreCase": lambda value, wanted: value.lower() == wanted.lower(),
    "startsWith": lambda value, wanted: value.startswith(wanted),
}


def page(rows: list[Row], arguments: Row, filter_type: GraphQLInputObjectType | None, look: Look) -> Row:
    """A connection: what the filter lets through, the newest first, and of that one page."""
    if arguments.get("sort"):
        raise Refusal("Not in the double", "The local double of Linear sorts by orderBy alone.")
    given = arguments.get("filter")
    if given and filter_type:
        rows = [row for row in rows if matches(row, given, filter_type, look)]
    if not arguments.get("includeArchived"):
        rows = [row for row in rows if not row.get("archivedAt")]
    order = arguments.get("orderBy") or "createdAt"
    # Rows of one millisecond keep an order of their own, or pages would overlap.
    rows = sorted(rows, key=lambda row: (row[order], row["id"]), reverse=True)
    return _cut(rows, arguments)


def matches(row: Row | None, given: Row, filter_type: GraphQLInputObjectType, look: Look) -> bool:
    """Whether every field of the filter holds for the row."""
    if given.get("null") is not None:
        if (row is None) != given["null"]:
            return False
        given = {name: wanted for name, wanted in given.items() if name != "null"}
    if row is None:
        return not given
    return all(_holds(row, name, wanted, filter_type, look) for name, wanted in given.items())


def _holds(row: Row, name: str, wanted: Any, filter_type: GraphQLInputObjectType, look: Look) -> bool:
    if wanted is None:
        return True
    if name in ("and", "or"):
        return (all if name == "and" else any)(matches(row, each, filter_type, look) for each in wanted)
    field: GraphQLInputField = filter_type.fields[name]
    field_type = get_named_type(field.type)
    assert isinstance(field_type, GraphQLInputObjectType)
    found = look(row, name)
    if not field_type.name.endswith("Comparator"):
        return matches(found, wanted, field_type, look)
    if field_type.name == "IssueIDComparator":
        # Issues are known by their identifier too.
        return any(_compares(each, wanted) for each in (row["id"], row["identifier"]))
    return _compares(found, wanted)


def _compares(value: Any, comparison: Row) -> bool:
    return all(COMPARISONS[how](value, wanted) for how, wanted in comparison.items() if wanted is not None)


def _cut(rows: list[Row], arguments: Row) -> Row:
    first, last = arguments.get("first"), arguments.get("last")
    for name, size in (("first", first), ("last", last)):
        if size is not None and not 0 < size <= LARGEST_PAGE:
            raise invalid(name, f"must be between 1 and {LARGEST_PAGE}")
    ids = [row["id"] for row in rows]
    start = _place(ids, "after", arguments.get("after"), -1) + 1
    end = _place(ids, "before", arguments.get("before"), len(rows))
    if last is not None:
        start = max(start, end - last)
    else:
        end = min(end, start + (first or USUAL_PAGE))
    nodes = rows[start:end]
    about = {
        "startCursor": nodes[0]["id"] if nodes else None,
        "endCursor": nodes[-1]["id"] if nodes else None,
        "hasPreviousPage": start > 0,
        "hasNextPage": end < len(rows),
    }
    return {"nodes": nodes, "pageInfo": about}


def _place(ids: list[str], name: str, cursor: str | None, otherwise: int) -> int:
    if cursor is None:
        return otherwise
    if cursor not in ids:
        raise invalid(name, "is no cursor of this list")
    return ids.index(cursor)
