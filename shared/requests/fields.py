"""Defines the types of request fields. Their limits equal the database's CHECKs and refuse early."""

import math
import re
from datetime import datetime, timedelta
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import to_json

from shared import choices
from shared.domains import ascii_domain
from shared.text import INVISIBLE, UNPRINTABLE, is_blank, printable

T = TypeVar("T")

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
# Refuses characters that need quoting: they would let one field name several recipients.
_LETTER = r"[^\s\x00-\x1f\x7f@<>(),;:\\\"\[\]]"
EMAIL = re.compile(rf"{_LETTER}+@{_LETTER}+\.(?:(?!\.){_LETTER})+")
WEB_ADDRESS = re.compile(
    r"(?P<origin>https://([^/?#@:\[\]]+|\[[0-9A-Fa-f:.]+\])|http://(localhost|127\.0\.0\.1|\[::1\]))"
    r"(:[0-9]{1,5})?([/?#].*)?"
)
NOT_IN_WEB_ADDRESS = re.compile(r"[\x00-\x1f\x7f-\x9f\s\"<>\\^`{|}]")
CONTEXT_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
# JSON readers keep 53 bits: a larger number would come back changed.
MAX_NUMBER = 2**53 - 1
MAX_SUBJECT = 255
MAX_DESCRIPTION = 20_000
MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d(?:\.\d{1,9})?)([Zz]|[+ -]\d\d:\d\d)", re.ASCII)
# PostgreSQL refuses offsets from here on.
MAX_UTC_OFFSET = timedelta(hours=16)
STATUS_ALIASES = dict.fromkeys(
    ("waiting_on_user", "waiting_customer", "pending_customer"), "waiting_on_customer"
)


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not hold the NUL character (U+0000)")
    return text


def _visible(text: str) -> str:
    if text and is_blank(text):
        raise ValueError("must not be blank")
    return _storable(text)


def _name(text: str) -> str:
    return printable(text).strip()


def _email(text: str) -> str:
    local, _, domain = text.rpartition("@")
    if INVISIBLE.search(local):
        raise ValueError("must not hold invisible characters before the @; please type the address anew")
    if not EMAIL.fullmatch(text):
        raise ValueError("must be an e-mail address")
    try:
        ascii_domain(domain)
    except ValueError:
        raise ValueError("must be an e-mail address with a valid domain") from None
    return text


def _id(text: str) -> str:
    if not UUID.fullmatch(text):
        raise ValueError("must be a UUID")
    return text.lower()


def _web_address(text: str) -> str:
    found = WEB_ADDRESS.fullmatch(text)
    if not found or NOT_IN_WEB_ADDRESS.search(text):
        raise ValueError("must be an https:// URL")
    if INVISIBLE.search(found["origin"]) or UNPRINTABLE.search(text):
        raise ValueError("must not hold invisible characters")
    return text


def _context_key(text: str) -> str:
    if not CONTEXT_KEY.fullmatch(text):
        raise ValueError("must be named with letters, digits and underscores, at most 63, a letter first")
    return text


def _scalar(value: object) -> object:
    if isinstance(value, dict | list):
        raise ValueError("must be a string, a number, true, false or null")
    if isinstance(value, int | float) and not (math.isfinite(value) and abs(value) <= MAX_NUMBER):
        raise ValueError("must be a finite number of at most 53 bits, or text")
    return _storable(value) if isinstance(value, str) else value


def _blank_to_none(value: object) -> object:
    return None if isinstance(value, str) and is_blank(value) else value


def _json_as_text(value: object) -> object:
    return to_json(value).decode() if isinstance(value, dict | list) else value


def _rename_priority(value: object) -> object:
    return "urgent" if value == "critical" else value


def _rename_status(value: object) -> object:
    return STATUS_ALIASES.get(value, value) if isinstance(value, str) else value


def _moment(text: str) -> str:
    """Normalizes an RFC 3339 time with its zone. A blank before the offset is a plus that came unquoted."""
    match = MOMENT.fullmatch(text)
    moment = "{}T{}{}".format(*match.groups()).upper().replace(" ", "+") if match else ""
    try:
        offset = datetime.fromisoformat(moment).utcoffset()
        if not offset or abs(offset) < MAX_UTC_OFFSET:
            return moment
    except ValueError:
        pass
    raise ValueError("must be a time with its zone, like 2026-01-31T09:30:00Z")


def as_subject(text: str) -> str:
    """Returns the first line that is not blank, cut to the length of a subject."""
    return next((line.strip() for line in text.splitlines() if not is_blank(line)), text)[:MAX_SUBJECT]


Stored = AfterValidator(_visible)

Maybe = Annotated[T | None, BeforeValidator(_blank_to_none)]
Short = Annotated[str, Field(min_length=1, max_length=255), Stored]
Name = Annotated[str, Field(min_length=1, max_length=200), Stored, AfterValidator(_name)]
Subject = Annotated[str, Field(min_length=1, max_length=MAX_SUBJECT), Stored]
Long = Annotated[str, Field(min_length=1, max_length=10_000), Stored]
LongOrJson = Annotated[Long, BeforeValidator(_json_as_text)]
Description = Annotated[str, Field(min_length=1, max_length=MAX_DESCRIPTION), Stored]
Id = Annotated[str, Field(json_schema_extra={"format": "uuid"}), AfterValidator(_id)]
Email = Annotated[str, Field(max_length=254, json_schema_extra={"format": "email"}), AfterValidator(_email)]
WebAddress = Annotated[
    str, Field(max_length=2048, json_schema_extra={"format": "uri"}), AfterValidator(_web_address)
]
Attachments = Annotated[list[WebAddress], Field(max_length=10)]
Rating = Annotated[int, Field(ge=1, le=5)]
Priority = Annotated[choices.Priority, BeforeValidator(_rename_priority)]
ContextKey = Annotated[str, AfterValidator(_context_key)]
Context = Annotated[dict[ContextKey, Annotated[Any, AfterValidator(_scalar)]], Field(max_length=40)]
Status = Annotated[choices.Status, BeforeValidator(_rename_status)]
Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"}), AfterValidator(_moment)]
