"""Checks the inputs of mutations."""

import uuid

from local.linear.errors import invalid
from local.linear.records import Row
from local.linear.timestamps import now


def pick(values: Row, *names: str) -> Row:
    """Returns these fields alone; a null counts as left out."""
    return {name: values[name] for name in names if values.get(name) is not None}


def require_uuid(name: str, text: str) -> str:
    """Returns an id of version 4 in lower case."""
    try:
        parsed = uuid.UUID(text)
    except ValueError:
        raise invalid(name, "must be a UUID") from None
    if parsed.version != 4 or str(parsed) != text.lower():
        raise invalid(name, "must be a UUID")
    return text.lower()


def require_past(name: str, timestamp: str | None) -> str:
    """Returns a timestamp that is not in the future, by default the present."""
    if timestamp is not None and timestamp > now():
        raise invalid(name, "cannot be in the future")
    return timestamp or now()


def require_text(name: str, values: Row) -> str:
    """Returns a text that is not blank."""
    text = values.get(name)
    if not isinstance(text, str) or not text.strip():
        raise invalid(name, "should not be empty")
    return text
