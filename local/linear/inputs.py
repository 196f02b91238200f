"""What is checked about the inputs of a mutation, whatever it does."""

import uuid

from local.linear.moments import now
from local.linear.records import Row
from local.linear.refusals import invalid


def given_of(given: Row, *names: str) -> Row:
    """Of what is given only this; a null says as little as a field that is left out."""
    return {name: given[name] for name in names if given.get(name) is not None}


def a_uuid(name: str, text: str) -> str:
    """An id of version 4, in small letters."""
    try:
        found = uuid.UUID(text)
    except ValueError:
        raise invalid(name, "must be a UUID") from None
    if found.version != 4 or str(found) != text.lower():
        raise invalid(name, "must be a UUID")
    return text.lower()


def a_past(name: str, moment: str | None) -> str:
    """A point in time that has been; the present when none is given."""
    if moment is not None and moment > now():
        raise invalid(name, "cannot be in the future")
    return moment or now()


def a_text(name: str, given: Row) -> str:
    """Something to read."""
    text = given.get(name)
    if not isinstance(text, str) or not text.strip():
        raise invalid(name, "should not be empty")
    return text
