"""Parses strict JSON bodies and lenient query strings into Pydantic models; words their errors."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from pydantic import AliasChoices, AliasGenerator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from shared.errors import FieldError, Invalid, Malformed
from shared.requests.arguments import Arguments
from shared.text import is_blank

MAX_ERROR_FIELDS = 50
MAX_ERROR_PATH = 200

# Messages by Pydantic's error type, after the field's name; {…} comes from the error's context.
ERROR_MESSAGES = {
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
DEFAULT_MESSAGE = "has a value that cannot be taken"


class Body(Arguments):
    """Parses a JSON object: exact types, and no unknown keys, or a misspelt field would be lost."""

    model_config = ConfigDict(extra="forbid", strict=True, str_strip_whitespace=True, defer_build=True)


class Query(Arguments):
    """Parses a query string, where "5" is a number. Each parameter is the list of its values."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, defer_build=True)


class EitherCase(Body):
    """Accepts its fields in camelCase and in snake_case."""

    model_config = ConfigDict(
        alias_generator=AliasGenerator(validation_alias=to_camel), populate_by_name=True
    )


B = TypeVar("B", bound=Body)
Q = TypeVar("Q", bound=Query)


def aliases(*names: str) -> Any:
    """Accepts a field under several names; errors use the first."""
    return Field(validation_alias=AliasChoices(*names))


def parse_body(model: type[B], body: bytes) -> B:
    """Raises Malformed if the body is not JSON, else Invalid with every wrong field."""
    if not body.strip():
        raise Malformed("The body is empty; it must be a JSON object.")
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise _problem(error, _path) from None


def parse_query(model: type[Q], pairs: Iterable[tuple[str, str]]) -> Q:
    """Ignores blank values, and collects context.<key>=value under `context`."""
    values: dict[str, Any] = defaultdict(list)
    context: dict[str, list[str]] = defaultdict(list)
    for name, value in pairs:
        if not is_blank(value):
            prefix, dot, key = name.partition(".")
            (context[key] if dot and prefix == "context" else values[name]).append(value)
    try:
        return model.model_validate(values | ({"context": context} if context else {}))
    except ValidationError as error:
        raise _problem(error, _parameter) from None


def _problem(error: ValidationError, path: Callable[[ErrorDetails], str]) -> Malformed | Invalid:
    details = error.errors(include_url=False, include_input=False)
    if details[0]["type"] == "json_invalid":
        return Malformed(f"The body is not valid JSON: {details[0]['ctx']['error']}.")
    return Invalid(
        fields=[FieldError(path(detail), _message(detail)) for detail in details[:MAX_ERROR_FIELDS]]
    )


def _path(detail: ErrorDetails) -> str:
    steps = [str(step) for step in detail["loc"] if step != "[key]"]
    if steps[:1] == ["payload"]:
        # After the field of a tagged union, Pydantic names the variant, which is not part of the request.
        del steps[1:2]
        if detail["type"].startswith("union_tag"):
            steps.append("issue_type")
    return ".".join(steps)[:MAX_ERROR_PATH] or "body"


def _parameter(detail: ErrorDetails) -> str:
    """Leaves positions out: a query string repeats a parameter and numbers nothing."""
    return ".".join(str(step) for step in detail["loc"] if isinstance(step, str) and step != "[key]")[
        :MAX_ERROR_PATH
    ]


def _message(detail: ErrorDetails) -> str:
    context = dict(detail.get("ctx", {}))
    for choices in ("expected", "expected_tags"):  # 'a', 'b' or 'c'
        if choices in context:
            context[choices] = context[choices].replace("'", "").replace(" or ", ", ")
    kind = detail["type"]
    # A length that stands behind a validator: only texts have one there.
    if context.get("field_type") == "Value":
        kind = f"string_{kind}"
    return ERROR_MESSAGES.get(kind, DEFAULT_MESSAGE).format(**context)
