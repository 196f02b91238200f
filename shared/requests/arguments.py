"""Maps the fields of a request to the arguments of an RPC, and an argument of the RPC back to its field.

A field is sent as its `serialization_alias`, else under its own name. With `exclude=True` it is not sent.
"""

import os
from collections import defaultdict
from functools import cache
from typing import Annotated, Any, ClassVar, NamedTuple, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict

# Looking for plugins, Pydantic would read every installed package's metadata at its first model.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

M = TypeVar("M")
T = TypeVar("T")


class ContextField:
    """Marks a field that travels in the ticket's context, under its own name."""


class Feeds(NamedTuple):
    """Marks a field that another argument is computed from: that argument's errors point to the field."""

    argument: str


InContext = Annotated[T, ContextField()]


class Arguments(BaseModel):
    """Becomes the arguments of an RPC, field by field.

    Several fields may share an argument. The first one with a value is sent, own before inherited ones.
    """

    model_config = ConfigDict(defer_build=True)

    # The path of the model in the request, with its dot.
    path_prefix: ClassVar[str] = ""

    def arguments(self) -> dict[str, Any]:
        """Returns fields and computed fields by argument; those of the context as `context.<name>`."""
        values = self.model_dump()
        arguments: dict[str, Any] = {}
        for field, argument in _arguments_of(type(self)).items():
            value = values.pop(field, None)
            if not type(self).model_fields[field].exclude and arguments.get(argument) is None:
                arguments[argument] = value
        return arguments | values

    def request_path(self, argument: str) -> str:
        """Returns the path in the request that an RPC's argument, or a part of it, came from."""
        model, path = type(self), argument
        for name in (argument, argument.partition(".")[0]):
            if fields := _fields_of(model).get(name):
                sent = next((field for field in fields if getattr(self, field) is not None), fields[0])
                path = _name_in_request(model, sent) + argument[len(name) :]
                break
        return self.path_prefix + path


@cache
def _arguments_of(model: type[Arguments]) -> dict[str, str]:
    """Maps each field to its argument."""
    fields = sorted(model.model_fields.items(), key=lambda field: field[0] not in model.__annotations__)
    return {
        name: f"context.{name}" if _marks(field.metadata, ContextField) else field.serialization_alias or name
        for name, field in fields
    }


@cache
def _fields_of(model: type[Arguments]) -> dict[str, list[str]]:
    """Maps each argument to the fields that it is made of."""
    fields = defaultdict(list)
    for name, argument in _arguments_of(model).items():
        fields[argument].append(name)
        for mark in _marks(model.model_fields[name].metadata, Feeds):
            fields[mark.argument].append(name)
    return dict(fields)


def _marks(metadata: list[Any], kind: type[M]) -> list[M]:
    return [mark for mark in metadata if isinstance(mark, kind)]


def _name_in_request(model: type[Arguments], field: str) -> str:
    alias = model.model_fields[field].validation_alias
    return str((alias.choices[0] if isinstance(alias, AliasChoices) else alias) or field)
