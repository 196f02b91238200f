"""Strict JSON bodies and lenient query strings into Pydantic models; what is wrong, in our own words."""

import os
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from shared.errors import FieldError, Invalid, Malformed
from shared.text import is_blank

# Looking for plugins, Pydantic reads the metadata of every installed package before it builds its first model.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

MOST_FIELDS = 50
LONGEST_PATH = 200

# What to say for each of Pydantic's error types, after the field's name; {…} comes from the error's context.
CUSTOM_ERRORS = {
    "missing": "is required",
    "extra_forbidden": "is not a field here",
    "model_type": "must be a JSON object",
    "model_attributes_type": "must be a JSON object",
    "dict_type": "must be a JSON object",
    "none_required": "is not a field here",
    "list_type": "must be a list",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "string_type": "must be text",
    "string_too_short": "must not be blank",
    "string_too_long": "must be at most {max_length} characters",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of {expected}",
    "union_tag_invalid": "must be one of {expected_tags}",
    "union_tag_not_found": "is required",
    "value_error": "{error}",
}
OTHERWISE = "has a value that cannot be taken"


class Body(BaseModel):
    """A JSON object in a request: exact types, and no unknown keys: a misspelt field would be lost unseen."""

    model_config = ConfigDict(extra="forbid", strict=True, str_strip_whitespace=True, defer_build=True)


class Query(BaseModel):
    """A query string, where "5" is a number; every parameter comes as the list of its values."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, defer_build=True)


class EitherCase(Body):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


B = TypeVar("B", bound=Body)
Q = TypeVar("Q", bound=Query)


def named(*names: str) -> Any:
    return Field(validation_alias=AliasChoices(*names))


def parse_body(model: type[B], body: bytes) -> B:
    """Malformed where it is no JSON at all, Invalid with every field that is not right."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise _refusal(error) from None


def parse_query(model: type[Q], pairs: Iterable[tuple[str, str]]) -> Q:
    """Blank values count as left out, and context.<key>=value is gathered under `context`."""
    values: dict[str, Any] = defaultdict(list)
    context: dict[str, list[str]] = defaultdict(list)
    for name, value in pairs:
        if not is_blank(value):
            prefix, dot, key = name.partition(".")
            (context[key] if dot and prefix == "context" else values[name]).append(value)
    try:
        return model.model_validate(values | ({"context": context} if context else {}))
    except ValidationError as error:
        raise _refusal(error) from None


def _refusal(error: ValidationError) -> Malformed | Invalid:
    found = error.errors(include_url=False, include_input=False)
    if found[0]["type"] == "json_invalid":
        return Malformed(f"The body is not valid JSON: {found[0]['ctx']['error']}.")
    return Invalid(fields=[FieldError(_path(detail), _message(detail)) for detail in found[:MOST_FIELDS]])


def _path(detail: ErrorDetails) -> str:
    steps = [str(step) for step in detail["loc"] if step != "[key]"]
    if steps[:1] == ["payload"]:
        # Behind the field of a tagged union Pydantic names the variant, which is no part of the request.
        del steps[1:2]
        if detail["type"].startswith("union_tag"):
            steps.append("issue_type")
    return ".".join(steps)[:LONGEST_PATH] or "body"


def _message(detail: ErrorDetails) -> str:
    context = dict(detail.get("ctx", {}))
    for choices in ("expected", "expected_tags"):  # 'a', 'b' or 'c'
        if choices in context:
            context[choices] = context[choices].replace("'", "").replace(" or ", ", ")
    return CUSTOM_ERRORS.get(detail["type"], OTHERWISE).format(**context)
