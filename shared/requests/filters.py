"""Parses the query strings of list-tickets."""

import re
from datetime import date
from typing import Annotated, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    field_serializer,
    field_validator,
)

from shared.requests.fields import UUID, ContextKey, Moment, Priority, Short, Status, Stored
from shared.requests.parsing import Query

T = TypeVar("T")

MAX_EVENTS = 2**31 - 1
DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def _once(values: object) -> object:
    if isinstance(values, list) and len(values) != 1:
        raise ValueError("must be sent once")
    return values[0] if isinstance(values, list) else values


def _separated(values: object) -> object:
    """Accepts a=1&a=2 and a=1,2."""
    if not isinstance(values, list):
        return values
    return [part for value in values for part in value.split(",") if part.strip()]


def _day(text: str) -> str:
    try:
        # fromisoformat takes weeks as well, which PostgreSQL does not.
        return date.fromisoformat(text if DAY.fullmatch(text) else "").isoformat()
    except ValueError:
        raise ValueError("must be a day like 2026-01-31") from None


def _assignee(text: str) -> str:
    if text not in ("me", "none") and not UUID.fullmatch(text):
        raise ValueError("must be me, none or the id of an agent")
    return text


def _message(text: str) -> str:
    if not UUID.fullmatch(text):
        raise ValueError("must be the messages_before of an earlier answer")
    return text


Once = Annotated[T, BeforeValidator(_once)]
SEARCH = (
    'Full text: words that must all occur, in any order. `"…"` is a phrase, `-` excludes, `OR` is a choice. '
    "Case and accents do not count. While fewer than 20 tickets match, the last word may be a beginning"
)
Several = Annotated[list[T], BeforeValidator(_separated), Field(max_length=50)]
Day = Annotated[str, Field(json_schema_extra={"format": "date"}), AfterValidator(_day)]


class StatsRange(Query):
    """Local days of a time zone, both included; the last thirty when none are named."""

    from_day: Once[Day] | None = Field(None, validation_alias="from")
    to_day: Once[Day] | None = Field(None, validation_alias="to")
    time_zone: Once[Short] = "UTC"


class ConversationPage(Query):
    """Cursors of an earlier answer; without them the newest messages and events come."""

    messages_before: Once[Annotated[str, AfterValidator(_message)]] | None = None
    timeline_before: Once[Annotated[int, Field(ge=1, le=MAX_EVENTS)]] | None = None


class TicketFilters(Query):
    scope: Once[Literal["mine", "queue"]] | None = None
    status: Several[Status] | None = None
    priority: Several[Priority] | None = None
    category: Several[Short] | None = None
    assigned_to: Once[Annotated[str, AfterValidator(_assignee)]] | None = None
    escalated: Once[bool] | None = None
    created_after: Once[Moment] | None = None
    created_before: Once[Moment] | None = None
    context: Annotated[dict[ContextKey, Once[Short]], Field(max_length=10)] | None = None
    q: Once[Annotated[str, Field(max_length=200), Stored]] | None = Field(None, description=SEARCH)
    sort: Once[Literal["-created_at", "created_at", "-updated_at", "updated_at"]] | None = None
    limit: Once[Annotated[int, Field(ge=1, le=100)]] = Field(20, serialization_alias="page_limit")
    cursor: Once[Short] | None = None
    offset: Once[Annotated[int, Field(ge=0, le=10_000)]] | None = Field(
        None, serialization_alias="page_offset"
    )
    page: Once[Annotated[int, Field(ge=1, le=10_001)]] | None = Field(None, serialization_alias="page_offset")

    @field_validator("offset", "page")
    @classmethod
    def _allow_one_position(cls, value: int | None, info: ValidationInfo) -> int | None:
        if any(info.data.get(name) is not None for name in ("cursor", "offset") if name != info.field_name):
            raise ValueError("must not come together with cursor or another of its kind")
        return value

    @field_serializer("page")
    def _offset_of(self, page: int | None) -> int | None:
        return (page - 1) * self.limit if page else None
