"""People at the desk while it suffers: they file, reply, change and read, and repeat what was not answered."""

import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from threading import Event, Lock, Thread
from typing import Any
from uuid import uuid4

import httpx

from local.people import Person
from tests.assertions import assert_problem

PATIENCE = 60.0
# A second of Retry-After takes as long here.
SECOND = 0.1
# How long somebody waits who hangs up early, and how many do.
HASTE, HASTY = 0.03, 0.04
EXPECTED = (200, 409, 429, 503)


@dataclass
class Ledger:
    """Records the requests and answers of all callers."""

    counts: Counter[str] = field(default_factory=Counter)
    answered: list[tuple[str, str, str, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def count(self, *names: str) -> None:
        with self._lock:
            self.counts.update(names)

    def keep(self, caller: Person, action: str, key: str, made: str) -> None:
        with self._lock:
            self.answered.append((str(caller.id), action, key, made))

    def complain(self, what: str) -> None:
        with self._lock:
            self.wrong.append(what)


class Caller:
    """Somebody with a client that repeats a request, with its Idempotency-Key, until it is answered."""

    def __init__(self, url: str, person: Person, ledger: Ledger, chance: random.Random) -> None:
        self.person = person
        self._ledger = ledger
        self._chance = chance
        headers = {"Authorization": f"Bearer {person.token}"}
        self._client = httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False)

    def close(self) -> None:
        self._client.close()

    def ask(self, method: str, path: str, body: Any = None, key: str | None = None) -> dict[str, Any] | None:
        """The answer; None where it was told no."""
        headers = {"Idempotency-Key": key} if key else {}
        deadline = time.monotonic() + PATIENCE
        self._ledger.count("requests")
        failed = False
        while time.monotonic() < deadline:
            begun = time.time()
            haste = HASTE if key and self._chance.random() < HASTY else 30
            try:
                response = self._client.request(method, path, json=body, headers=headers, timeout=haste)
            except httpx.TransportError as error:
                self._ledger.count("hung up" if haste == HASTE else f"told {type(error).__name__}", "retried")
                failed = True
                continue
            self._check(response, f"{method} {path}")
            if response.status_code != 503:
                answer = response.json() if response.status_code == 200 else None
                if failed and answer and _made_before(answer, begun):
                    self._ledger.count("carried out by an attempt that got no answer")
                return answer
            failed = True
            self._ledger.count("retried")
            time.sleep(SECOND * int(response.headers["retry-after"]) * self._chance.uniform(0.5, 1.5))
        self._ledger.count("given up")
        return None

    def make(self, action: str, path: str, body: Any) -> dict[str, Any] | None:
        """Returns the answer of create-ticket or add-message, and records it in the ledger."""
        key = str(uuid4())
        answer = self.ask("POST", path, body, key)
        if answer:
            made = answer["message_id" if action == "add_message" else "ticket_id"]
            self._ledger.keep(self.person, action, key, made)
        return answer

    def file(self, kind: str) -> dict[str, Any] | None:
        payload = {"issue_type": kind, "subject": "It broke", "description": "And nobody knows why."}
        return self.make("create_ticket", "/create-ticket", {"payload": payload})

    def reply(self, ticket: str, **more: Any) -> dict[str, Any] | None:
        return self.make("add_message", f"/add-message/{ticket}", {"body": "Any news?", **more})

    def _check(self, response: httpx.Response, what: str) -> None:
        """The one shape of answers, whatever is wrong behind them."""
        status = response.status_code
        try:
            assert status in EXPECTED, response.text
            if status == 200:
                assert response.json()["success"] is True
                return
            code = response.json()["code"]
            assert_problem(response, status, code)
            assert status not in (429, 503) or int(response.headers["retry-after"]) > 0
            self._ledger.count(f"told {status} {code}")
        except (AssertionError, ValueError, KeyError, TypeError) as error:
            self._ledger.complain(f"{what}: {status} {response.text[:300]!r} {error!r}")


def _made_before(answer: dict[str, Any], moment: float) -> bool:
    made = answer.get("created_at")
    return made is not None and datetime.fromisoformat(made).timestamp() < moment


class Load:
    """Callers in threads of their own, until the block is left; then each finishes what it has begun."""

    def __init__(self, url: str, customers: Iterator[Person], agents: list[Person], seed: int) -> None:
        self.ledger = Ledger()
        self._url, self._customers, self._agents, self._seed = url, customers, agents, seed
        self._recent: deque[str] = deque(maxlen=20)
        self._stop = Event()
        self._threads: list[Thread] = []
        self._lock = Lock()

    def start(self, customers: int) -> None:
        for n in range(customers):
            self._begin(self._be_customers, random.Random(f"{self._seed} customer {n}"))
        for agent in self._agents:
            chance = random.Random(f"{self._seed} {agent.email}")
            self._begin(partial(self._be_agent, agent), chance)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _begin(self, be: Callable[[random.Random], None], chance: random.Random) -> None:
        def run() -> None:
            try:
                be(chance)
            except Exception as error:
                self.ledger.complain(f"a caller died: {error!r}")

        thread = Thread(target=run)
        thread.start()
        self._threads.append(thread)

    def _be_customers(self, chance: random.Random) -> None:
        """One after the other, each with more to say than the quota allows."""
        while not self._stop.is_set():
            with self._lock:
                person = next(self._customers)
            caller = Caller(self._url, person, self.ledger, chance)
            mine: list[str] = []
            for _ in range(25):
                if self._stop.wait(0.02):
                    break
                if not mine or chance.random() < 0.5:
                    filed = caller.file(chance.choice(("support", "contact", "contact")))
                    if filed:
                        mine.append(filed["ticket_number"])
                        self._recent.append(mine[-1])
                elif chance.random() < 0.6:
                    caller.reply(chance.choice(mine))
                elif caller.ask("GET", f"/list-tickets/{chance.choice(mine)}") is None:
                    self.ledger.complain("a ticket that was answered could not be read")
            caller.close()

    def _be_agent(self, person: Person, chance: random.Random) -> None:
        caller = Caller(self._url, person, self.ledger, chance)
        while not self._stop.wait(0.03):
            if not self._recent:
                continue
            ticket = chance.choice(list(self._recent))
            if chance.random() < 0.4:
                caller.reply(ticket, is_internal=chance.random() < 0.3)
            else:
                caller.ask("PATCH", f"/admin-update/{ticket}", _change(chance))
        caller.close()


def _change(chance: random.Random) -> dict[str, str]:
    return chance.choice(
        (
            {"status": "waiting_on_customer"},
            {"status": "resolved", "resolution": "It works again."},
            {"priority": chance.choice(("low", "high", "urgent"))},
            {"assigned_to": "me"},
            {"assigned_to": "auto"},
        )
    )
