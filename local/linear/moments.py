"""Points in time as Linear writes them: texts that compare like the times do."""

from datetime import UTC, datetime


def now() -> str:
    """The time it is."""
    return written(datetime.now(UTC))


def written(moment: datetime) -> str:
    """To the millisecond, in UTC, with a Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def as_moment(text: object) -> str:
    """What somebody else has written, in the one way."""
    if not isinstance(text, str):
        raise ValueError("a time is a text like 2026-11-01T09:00:00.000Z")
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time names its zone")
    return written(moment)
