"""Formats timestamps as Linear does: as texts that sort like the times themselves."""

from datetime import UTC, datetime


def now() -> str:
    """Returns the present."""
    return timestamp(datetime.now(UTC))


def timestamp(time: datetime) -> str:
    """Formats to the millisecond, in UTC, with a Z."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def normalize(text: object) -> str:
    """Returns a client's ISO 8601 timestamp in Linear's format."""
    if not isinstance(text, str):
        raise ValueError("a time is a text like 2026-11-01T09:00:00.000Z")
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError("a time names its zone")
    return timestamp(time)
