"""The types that fields of requests are made of. Their limits are the database's, told before it is asked."""

import math
import re
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import to_json

from shared.domains import ascii_domain
from shared.text import INVISIBLE, UNPRINTABLE, is_blank, printable

T = TypeVar("T")

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
# Addresses without what would have to be quoted in one, and would let one field name several recipients.
_LETTER = r"[^\s\x00-\x1f\x7f@<>(),;:\\\"\[\]]"
EMAIL = re.compile(rf"{_LETTER}+@{_LETTER}+\.(?:(?!\.){_LETTER})+")
WEB_ADDRESS = re.compile(
    r"(?P<origin>https://([^/?#@:\[\]]+|\[[0-9A-Fa-f:.]+\])|http://(localhost|127\.0\.0\.1|\[::1\]))(:[0-9]{1,5})?([/?#].*)?"
)
NOT_IN_WEB_ADDRESS = re.compile(r"[\x00-\x1f\x7f-\x9f\s\"<>\\^`{|}]")
CONTEXT_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
# Beyond this a number would come back changed: readers of JSON keep 53 bits.
LARGEST_NUMBER = 2**53 - 1
LONGEST_SUBJECT = 255
LONGEST_DESCRIPTION = 20_000
MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d(?:\.\d{1,9})?)([Zz]|[+ -]\d\d:\d\d)", re.ASCII)
# PostgreSQL takes no zone from here on.
FURTHEST_ZONE = timedelta(hours=16)
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
    if isinstance(value, int | float) and not (math.isfinite(value) and abs(value) <= LARGEST_NUMBER):
        raise ValueError("must be a finite number of at most 53 bits, or text")
    return _storable(value) if isinstance(value, str) else value


def _left_out_if_blank(value: object) -> object:
    return None if isinstance(value, str) and is_blank(value) else value


def _json_as_text(value: object) -> object:
    return to_json(value).decode() if isinstance(value, dict | list) else value


def _known_priority(value: object) -> object:
    return "urgent" if value == "critical" else value


def _known_status(value: object) -> object:
    return STATUS_ALIASES.get(value, value) if isinstance(value, str) else value


def _moment(text: str) -> str:
    """RFC 3339 with its zone. A plus that came unquoted is a blank by now, and can only have been a plus."""
    found = MOMENT.fullmatch(text)
    moment = "{}T{}{}".format(*found.groups()).upper().replace(" ", "+") if found else ""
    try:
        offset = datetime.fromisoformat(moment).utcoffset()
        if not offset or abs(offset) < FURTHEST_ZONE:
            return moment
    except ValueError:
        pass
    raise ValueError("must be a time with its zone, like 2026-01-31T09:30:00Z")


def as_subject(text: str) -> str:
    """Its first line, as long as a subject may be."""
    return next((line.strip() for line in text.splitlines() if not is_blank(line)), text)[:LONGEST_SUBJECT]


Stored = AfterValidator(_visible)

Maybe = Annotated[T | None, BeforeValidator(_left_out_if_blank)]
Short = Annotated[str, Field(min_length=1, max_length=255), Stored]
Name = Annotated[str, Field(min_length=1, max_length=200), Stored, AfterValidator(_name)]
Subject = Annotated[str, Field(min_length=1, max_length=255), Stored]
Long = Annotated[str, Field(min_length=1, max_length=10_000), Stored]
LongOrJson = Annotated[Long, BeforeValidator(_json_as_text)]
Description = Annotated[str, Field(min_length=1, max_length=20_000), Stored]
Id = Annotated[str, Field(json_schema_extra={"format": "uuid"}), AfterValidator(_id)]
Email = Annotated[str, Field(max_length=254, json_schema_extra={"format": "email"}), AfterValidator(_email)]
WebAddress = Annotated[
    str, Field(max_length=2048, json_schema_extra={"format": "uri"}), AfterValidator(_web_address)
]
Attachments = Annotated[list[WebAddress], Field(max_length=10)]
Rating = Annotated[int, Field(ge=1, le=5)]
Priority = Annotated[Literal["low", "medium", "high", "urgent"], BeforeValidator(_known_priority)]
ContextKey = Annotated[str, AfterValidator(_context_key)]
Context = Annotated[dict[ContextKey, Annotated[Any, AfterValidator(_scalar)]], Field(max_length=40)]
Status = Annotated[
    Literal["open", "in_progress", "waiting_on_customer", "resolved", "closed"],
    BeforeValidator(_known_status),
]
Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"}), AfterValidator(_moment)]
FeedbackCategory = Literal["feature_request", "improvement", "complaint", "praise", "other"]
