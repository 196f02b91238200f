"""Drains the outbox while the vendor, the store or our own code fails."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic_core import to_json

from shared import outbox
from shared.errors import Internal, Problem, Unavailable
from shared.outbox import Row, Undelivered, drain


class Store:
    """Hands out batches of rows, and keeps what it is told about them; some of its answers are failures."""

    def __init__(self, *batches: int, failures: tuple[Problem, ...] = ()) -> None:
        ids = iter(range(1, sum(batches) + 1))
        self._batches = [[next(ids) for _ in range(size)] for size in batches]
        self._failures = list(failures)
        self.settled: dict[int, tuple[str, str | None, int | None]] = {}

    async def rpc(self, name: str, arguments: Mapping[str, Any]) -> bytes:
        if name == "claim_mail":
            ids = self._batches.pop(0) if self._batches else []
            rows = [Row(row, f"lease {row}", "created", 1, {})._asdict() for row in ids]
            return to_json({"rows": rows, "skipped": 0})
        if self._failures:
            raise self._failures.pop(0)
        row = arguments["row_id"]
        assert arguments["token"] == f"lease {row}"
        self.settled[row] = (arguments["outcome"], arguments["error"], arguments["retry_after_seconds"])
        return to_json({"settled": True})


def drained(store: Store, send: outbox.Send, seconds: float = 30) -> dict[str, Any]:
    return asyncio.run(drain(store.rpc, "claim_mail", send, seconds))


async def taken(row: Row) -> None:
    """A vendor that takes everything."""


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "SETTLE_BACKOFF_S", (0, 0, 0))


def test_it_goes_on_until_nothing_is_left() -> None:
    store = Store(20, 20, 3)
    assert drained(store, taken) == {"sent": 43, "retried": 0, "dead": 0, "skipped": 0, "more": False}
    assert store.settled == dict.fromkeys(range(1, 44), ("done", None, None))


def test_it_begins_nothing_when_its_time_is_over() -> None:
    store = Store(20)
    assert drained(store, taken, seconds=0)["more"] is True
    assert store.settled == {}


def test_errors_say_themselves_whether_they_are_for_good() -> None:
    async def send(row: Row) -> None:
        if row.id == 1:
            raise Undelivered("no such mailbox", permanent=True)
        if row.id == 2:
            raise Undelivered("too fast", permanent=False, retry_after=90)

    store = Store(3)
    assert drained(store, send) == {"sent": 1, "retried": 1, "dead": 1, "skipped": 0, "more": False}
    assert store.settled == {
        1: ("dead", "no such mailbox", None),
        2: ("retry", "too fast", 90),
        3: ("done", None, None),
    }


def test_a_mistake_of_ours_is_tried_again_and_quotes_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    async def send(row: Row) -> None:
        raise ValueError("ada@example.com wrote this")

    store = Store(1)
    assert drained(store, send)["retried"] == 1
    outcome, error, _ = store.settled[1]
    assert (outcome, str(error).partition(":")[0]) == ("retry", "ValueError at test_outbox.py")
    assert "ada" not in capsys.readouterr().out


def test_who_does_not_answer_in_time_is_asked_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "SEND_TIMEOUT_S", 0.01)

    async def send(row: Row) -> None:
        await asyncio.sleep(60)

    store = Store(1)
    assert drained(store, send)["retried"] == 1
    assert store.settled[1][0] == "retry"


def test_what_an_instance_leased_before_it_stood_still_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []

    async def send(row: Row) -> None:
        begun.append(row.id)
        # The clock goes on while the instance stands still.
        monkeypatch.setattr(outbox, "time", StoodStill)

    store = Store(outbox.MAX_CONCURRENT + 2)
    assert drained(store, send)["retried"] == outbox.MAX_CONCURRENT + 1
    assert begun == [1]
    assert store.settled[2] == ("retry", "its lease was nearly over", None)


class StoodStill:
    """Time, ten minutes on."""

    @staticmethod
    def monotonic() -> float:
        return time.monotonic() + 600


def test_when_nothing_gets_through_the_next_batch_is_left_alone() -> None:
    async def send(row: Row) -> None:
        raise Undelivered("down", permanent=False)

    store = Store(20, 20)
    assert drained(store, send) == {"sent": 0, "retried": 20, "dead": 0, "skipped": 0, "more": True}


def test_only_so_many_are_sent_at_once() -> None:
    at_once: list[int] = []
    now = 0

    async def send(row: Row) -> None:
        nonlocal now
        now += 1
        at_once.append(now)
        await asyncio.sleep(0.001)
        now -= 1

    drained(Store(20), send)
    assert max(at_once) == outbox.MAX_CONCURRENT


def test_a_store_that_fails_for_a_moment_is_told_again_what_was_sent() -> None:
    store = Store(1, failures=(Unavailable(), Unavailable(), Unavailable()))
    assert drained(store, taken)["sent"] == 1
    assert store.settled[1] == ("done", None, None)


def test_a_store_that_stays_away_is_a_failure_of_the_call() -> None:
    with pytest.raises(Unavailable):
        drained(Store(1, failures=(Unavailable(),) * 4), taken)


def test_when_one_cannot_be_settled_the_others_are() -> None:
    store = Store(3, failures=(Internal(),))
    with pytest.raises(Internal):
        drained(store, taken)
    assert len(store.settled) == 2
