"""What a query costs by Linear's published rules: 0.1 a property, 1 an object, and a list as often as it may have members."""

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

from local.linear.graphql.selection import USUAL_PAGE

Fragments = dict[str, FragmentDefinitionNode]


def complexity(document: DocumentNode, variables: dict[str, Any]) -> int:
    """Points, rounded up."""
    fragments = {
        node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
    }
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    tenths = sum(_cost(node.selection_set, fragments, variables) for node in operations)
    return math.ceil(tenths / 10)


def root_fields(document: DocumentNode) -> list[str]:
    """The names of what is asked for or done, like issueCreate."""
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    return [
        node.name.value
        for operation in operations
        for node in operation.selection_set.selections
        if isinstance(node, FieldNode)
    ]


def _cost(selected: SelectionSetNode, fragments: Fragments, variables: dict[str, Any]) -> int:
    """In tenths of a point."""
    total = 0
    for node in selected.selections:
        if isinstance(node, FragmentSpreadNode):
            total += _cost(fragments[node.name.value].selection_set, fragments, variables)
        elif not isinstance(node, FieldNode):
            total += _cost(node.selection_set, fragments, variables)  # type: ignore[attr-defined]
        elif node.selection_set is None:
            total += 1
        elif node.name.value == "nodes":
            total += 10 + _cost(node.selection_set, fragments, variables)
        else:
            total += 10 + _times(node, variables) * _cost(node.selection_set, fragments, variables)
    return total


def _times(node: FieldNode, variables: dict[str, Any]) -> int:
    """How many members a connection may have; 1 for what is none."""
    assert node.selection_set
    names = {each.name.value for each in node.selection_set.selections if isinstance(each, FieldNode)}
    sizes = [each.value for each in node.arguments or () if each.name.value in ("first", "last")]
    for size in sizes:
        if isinstance(size, IntValueNode):
            return int(size.value)
        if isinstance(size, VariableNode) and isinstance(variables.get(size.name.value), int):
            return int(variables[size.name.value])
    return USUAL_PAGE if sizes or "nodes" in names else 1
