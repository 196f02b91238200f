"""Computes a query's complexity as Linear does: 0.1 a property, 1 an object, lists times their page size."""

import math
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
)

from local.linear.graphql.pagination import DEFAULT_PAGE_SIZE

Fragments = dict[str, FragmentDefinitionNode]


def complexity(document: DocumentNode, variables: dict[str, Any]) -> int:
    """Returns points, rounded up."""
    fragments = {
        node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
    }
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    tenths = sum(_cost(node.selection_set, fragments, variables) for node in operations)
    return math.ceil(tenths / 10)


def root_fields(document: DocumentNode) -> list[str]:
    """Returns the names of the root fields, like issueCreate."""
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    return [
        node.name.value
        for operation in operations
        for node in operation.selection_set.selections
        if isinstance(node, FieldNode)
    ]


def _cost(selection: SelectionSetNode, fragments: Fragments, variables: dict[str, Any]) -> int:
    """Returns tenths of a point."""
    total = 0
    for node in selection.selections:
        if isinstance(node, FragmentSpreadNode):
            total += _cost(fragments[node.name.value].selection_set, fragments, variables)
        elif not isinstance(node, FieldNode):
            total += _cost(node.selection_set, fragments, variables)  # type: ignore[attr-defined]
        elif node.selection_set is None:
            total += 1
        elif node.name.value == "nodes":
            total += 10 + _cost(node.selection_set, fragments, variables)
        else:
            total += 10 + _multiplier(node, variables) * _cost(node.selection_set, fragments, variables)
    return total


def _multiplier(node: FieldNode, variables: dict[str, Any]) -> int:
    """Returns a connection's page size, and 1 for any other field."""
    assert node.selection_set
    names = {child.name.value for child in node.selection_set.selections if isinstance(child, FieldNode)}
    size = next((argument.value for argument in node.arguments or () if argument.name.value == "first"), None)
    if isinstance(size, IntValueNode):
        return int(size.value)
    if isinstance(size, VariableNode) and isinstance(variables.get(size.name.value), int):
        return int(variables[size.name.value])
    return DEFAULT_PAGE_SIZE if size or "nodes" in names else 1
