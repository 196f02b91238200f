"""Working time: the database's arithmetic against a clock on the wall that is read minute by minute."""

import json
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any, NamedTuple
from uuid import uuid4
from zoneinfo import ZoneInfo

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.people import Client, Person
from tests.database import Connection

DAY = 24 * 60
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
ZONES = (
    "UTC",
    "Europe/Berlin",
    "Europe/Dublin",
    "America/New_York",
    "America/Santiago",  # changes at midnight
    "America/Sao_Paulo",  # no longer changes
    "America/Havana",
    "America/Caracas",  # moved by half an hour
    "Atlantic/Azores",
    "Africa/Cairo",
    "Africa/Casablanca",  # changes around Ramadan
    "Asia/Beirut",  # changes at midnight
    "Asia/Tehran",
    "Asia/Kathmandu",
    "Asia/Pyongyang",
    "Australia/Lord_Howe",  # changes by half an hour
    "Pacific/Chatham",
    "Pacific/Apia",  # skipped the 30th of December 2011
)


# PostgreSQL takes these for zones, but they are names of none: POSIX specifications, other spellings, abbreviations.
NOT_NAMES = (
    "UTC+2",
    "UTC-5",
    "GMT+2",
    "EST5",
    "Foo5",
    "Paris1",
    "+02:00",
    "2",
    "<+02>-2",
    "utc",
    "europe/paris",
    "IST",
    "CEST",
    "z",
)


@dataclass(frozen=True)
class Calendar:
    """Working time as the oracle reads it: intervals of minutes of the day by weekday, Monday first."""

    time_zone: str
    week: tuple[tuple[tuple[int, int], ...], ...]
    holidays: tuple[date, ...] = ()

    def row(self) -> dict[str, Any]:
        return {
            "slug": "tested",
            "name": "Tested",
            "time_zone": self.time_zone,
            "hours": {
                weekday: [[clock(opens), clock(closes)] for opens, closes in spans]
                for weekday, spans in zip(WEEKDAYS, self.week, strict=True)
            },
            "holidays": [day.isoformat() for day in self.holidays],
        }


def clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


# The oracle. An instant is open when the clock on the wall stands inside an interval of its weekday and the day is no
# holiday. All that it knows of time zones is what that clock shows at each minute.


@cache
def wall_clock(time_zone: str, utc_day: int) -> tuple[date, Sequence[int]]:
    """Reads the clock at each minute of a day of UTC: minutes since the midnight of its first date."""
    zone = ZoneInfo(time_zone)
    shown = [datetime.fromtimestamp((utc_day * DAY + minute) * 60, zone) for minute in range(DAY)]
    first = shown[0].date()
    return first, array("H", [(at.date() - first).days * DAY + at.hour * 60 + at.minute for at in shown])


def open_by_the_clock(calendar: Calendar, day: date) -> bytes:
    """One byte for each minute that a clock may show on a day."""
    minutes = bytearray(DAY)
    if day not in calendar.holidays:
        for opens, closes in calendar.week[day.weekday()]:
            minutes[opens:closes] = b"\1" * (closes - opens)
    return bytes(minutes)


def open_minutes(calendar: Calendar, start: int) -> Iterator[tuple[int, int]]:
    """Every open minute from `start` on, in seconds of the epoch; what lies before `start` is cut off."""
    utc_day = start // (DAY * 60)
    while True:
        first, shown = wall_clock(calendar.time_zone, utc_day)
        is_open = b"".join(open_by_the_clock(calendar, first + timedelta(days=n)) for n in range(3))
        for minute, showing in enumerate(shown, utc_day * DAY):
            if is_open[showing] and (minute + 1) * 60 > start:
                yield max(minute * 60, start), (minute + 1) * 60
        utc_day += 1


def later(calendar: Calendar, start: int, seconds: int) -> int:
    for begins, ends in open_minutes(calendar, start):
        if ends - begins >= seconds:
            return begins + seconds
        seconds -= ends - begins
    raise AssertionError("time has ended")


def between(calendar: Calendar, start: int, finish: int) -> int:
    total = 0
    for begins, ends in open_minutes(calendar, start):
        if begins >= finish:
            break
        total += min(ends, finish) - begins
    return total


class Question(NamedTuple):
    """Asks when `seconds` have passed after `start`, and how many pass until `finish`, in seconds of the epoch."""

    start: int
    seconds: int
    finish: int


def spans(cuts: list[int]) -> tuple[tuple[int, int], ...]:
    ordered = sorted(set(cuts))
    return tuple(zip(ordered[::2], ordered[1::2], strict=False))


@cache
def changes(time_zone: str) -> list[int]:
    """The days from 2011 to 2026 on which the clocks change, in seconds of the epoch."""
    zone = ZoneInfo(time_zone)
    days = [datetime(2011, 1, 1, tzinfo=UTC) + timedelta(days=n) for n in range(16 * 365)]
    offsets = [day.astimezone(zone).utcoffset() for day in days]
    found = [days[n] for n in range(len(days) - 1) if offsets[n] != offsets[n + 1]]
    return [int(day.timestamp()) for day in found or days[::1000]]


CALENDARS, QUESTIONS = 2000, 5
# Fewer patterns than weekdays, repeated over the week: as varied, and faster to draw.
working_day = st.lists(st.integers(0, DAY), max_size=6).map(spans)
weeks = st.lists(working_day, min_size=1, max_size=7).map(lambda days: tuple((days * 7)[:7])).filter(any)


@st.composite
def questions(draw: st.DrawFn) -> tuple[Calendar, list[Question]]:
    """A calendar, and starts and holidays near a change of its clocks."""
    time_zone, week = draw(st.sampled_from(ZONES)), draw(weeks)
    change = draw(st.sampled_from(changes(time_zone)))
    near = datetime.fromtimestamp(change, UTC).date()
    holidays = [near + timedelta(days=n) for n in draw(st.lists(st.integers(-3, 7), max_size=3))]
    a_week = sum(closes - opens for day in week for opens, closes in day) * 60
    starts = st.integers(change - 2 * DAY * 60, change + 3 * DAY * 60)
    seconds, ahead = st.integers(0, min(a_week, 3 * DAY * 60)), st.integers(-3600, 4 * DAY * 60)
    asked = [Question(start := draw(starts), draw(seconds), start + draw(ahead)) for _ in range(QUESTIONS)]
    return Calendar(time_zone, week, tuple(holidays)), asked


ASKED = """
    select extract(epoch from desk_private.working_add(calendar, to_timestamp(start), seconds))::float8,
      desk_private.working_seconds(calendar, to_timestamp(start), to_timestamp(finish))
    from jsonb_populate_record(null::desk.business_calendars, %s) as calendar,
      unnest(%s::bigint[], %s::bigint[], %s::bigint[]) with ordinality as asked (start, seconds, finish, place)
    order by place
"""


def answers(db: Connection, calendar: Calendar, asked: list[Question]) -> list[tuple[float, float]]:
    columns = [list(column) for column in zip(*asked, strict=True)]
    return db.execute(ASKED, [json.dumps(calendar.row()), *columns]).fetchall()


@settings(
    max_examples=CALENDARS,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(question=questions())
def test_working_time_passes_as_the_clock_on_the_wall_says(
    db: Connection, question: tuple[Calendar, list[Question]]
) -> None:
    calendar, asked = question
    assert answers(db, calendar, asked) == [
        (later(calendar, start, seconds), between(calendar, start, finish))
        for start, seconds, finish in asked
    ]


BERLIN = Calendar("Europe/Berlin", (((9 * 60, 12 * 60), (13 * 60, 17 * 60)),) * 5 + ((),) * 2)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


@pytest.mark.parametrize(
    ("start", "seconds", "due"),
    [
        ("2026-03-06T11:59:30+01:00", 45, "2026-03-06T13:00:15+01:00"),  # over lunch
        ("2026-03-06T16:59:59+01:00", 3600, "2026-03-09T09:59:59+01:00"),  # over a weekend
        ("2026-03-27T16:00:00+01:00", 7200, "2026-03-30T10:00:00+02:00"),  # and the clocks have changed
        ("2026-03-07T03:00:00+01:00", 0, "2026-03-09T09:00:00+01:00"),  # nothing falls due while it is closed
        ("2026-03-06T10:20:30+01:00", 0, "2026-03-06T10:20:30+01:00"),
        ("2026-03-06T16:00:00+01:00", 3600, "2026-03-06T17:00:00+01:00"),  # not the next morning
    ],
)
def test_work_is_due_when_somebody_is_there(db: Connection, start: str, seconds: int, due: str) -> None:
    question = Question(at(start), seconds, at(due))
    assert answers(db, BERLIN, [question]) == [(at(due), seconds)]


def test_an_hour_that_comes_twice_counts_twice_and_one_that_is_skipped_not_at_all(db: Connection) -> None:
    night = Calendar("Europe/Berlin", (((60, 4 * 60),),) * 7)
    days = [("2026-03-29", 2), ("2026-10-25", 4), ("2026-10-26", 3)]
    asked = [Question(at(f"{day}T00:00:00Z") - 7200, 0, at(f"{day}T12:00:00Z")) for day, _ in days]
    assert [seconds / 3600 for _, seconds in answers(db, night, asked)] == [hours for _, hours in days]


def test_an_interval_to_24_00_goes_over_into_the_next_day_without_a_gap(db: Connection) -> None:
    always = Calendar("Europe/Berlin", (((0, DAY),),) * 7)
    start = at("2026-03-28T12:00:00Z")
    assert answers(db, always, [Question(start, 90_000, start + 90_000)]) == [(start + 90_000, 90_000)]


def refused(answer: httpx.Response) -> tuple[str, str]:
    """The one field that was wrong, and what was wrong with it."""
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"] == "SD422"
    [field] = json.loads(answer.json()["details"])["fields"]
    return field["path"], field["message"]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"hours": {}}, "hours"),
        ({"hours": {"monday": []}}, "hours"),
        ({"hours": []}, "hours"),
        ({"hours": {"montag": [["09:00", "17:00"]]}}, "hours.montag"),
        ({"hours": {"monday": "09:00-17:00"}}, "hours.monday"),
        ({"hours": {"monday": [["09:00"]]}}, "hours.monday"),
        ({"hours": {"monday": [["9:00", "17:00"]]}}, "hours.monday"),
        ({"hours": {"monday": [["09:00", "24:01"]]}}, "hours.monday"),
        ({"hours": {"monday": [["09:00", None]]}}, "hours.monday"),
        ({"hours": {"monday": [["17:00", "09:00"]]}}, "hours.monday"),
        ({"hours": {"monday": [["09:00", "09:00"]]}}, "hours.monday"),
        ({"hours": {"monday": [["09:00", "13:00"], ["12:00", "17:00"]]}}, "hours.monday"),
        ({"hours": {"monday": [["13:00", "17:00"], ["09:00", "12:00"]]}}, "hours.monday"),
        ({"time_zone": "Europe/Atlantis"}, "time_zone"),
        ({"time_zone": ""}, "time_zone"),
        *(({"time_zone": zone}, "time_zone") for zone in (*NOT_NAMES, "Europe/Paris ")),
    ],
)
def test_a_calendar_that_makes_no_sense_is_refused_by_the_field(
    rest: Client, admin: Person, changes: dict[str, Any], path: str
) -> None:
    found, message = refused(rest(admin).post("/business_calendars", json=BERLIN.row() | changes))
    assert found == path
    assert message.startswith(("must ", "is not "))


def test_a_calendar_whose_holidays_leave_no_working_time_is_refused(rest: Client, admin: Person) -> None:
    mondays = [date(2026, 1, 5) + timedelta(weeks=n) for n in range(1000)]
    only_mondays = Calendar("UTC", (((540, 1020),), *((),) * 6), tuple(mondays))
    path, _ = refused(rest(admin).post("/business_calendars", json=only_mondays.row()))
    assert path == "holidays"


def test_only_admins_edit_calendars(rest: Client, admin: Person, agent: Person, customer: Person) -> None:
    slug = f"c{uuid4().hex[:12]}"
    row = BERLIN.row() | {"slug": slug}
    assert rest(agent).post("/business_calendars", json=row).status_code == 403
    assert rest(customer).post("/business_calendars", json=row).status_code == 403
    assert rest(admin).post("/business_calendars", json=row).status_code == 201
    where = {"slug": f"eq.{slug}"}
    assert len(rest(agent).get("/business_calendars", params=where).json()) == 1
    assert rest(customer).get("/business_calendars", params=where).json() == []
    refused(rest(admin).patch("/business_calendars", params=where, json={"hours": {}}))
    assert rest(admin).delete("/business_calendars", params=where).status_code == 204
