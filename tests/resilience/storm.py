"""Bad weather for what leaves for Linear: people who write, forwarders that are killed, and a Linear that fails.

Dice are thrown from a seed, so who writes what, what fails and when somebody is killed comes about in the same way again;
how the processes get in each other's way is up to the machine.
"""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from threading import Event, Thread
from typing import Any

import httpx

from deploy.migrate import Connection
from local.people import Person, RunningStack, Serve
from tests.linear import Row
from tests.payloads import PAYLOADS

SHARE = 0.3
# RATELIMITED keeps everybody away for a second at least, so it is rarer than the others.
RATELIMITED = 0.01
# A move carries no key that makes it once: late, it could not be told from an engineer's who moves the issue back.
LATE = ("issueCreate", "commentCreate", "attachmentCreate")
SPOILT: tuple[Row, ...] = (
    {"kind": "drop"},
    {"kind": "drop", "committed": True},
    {"kind": "server_error"},
    {"kind": "server_error", "committed": True, "html": True},
    {"kind": "malformed", "committed": True},
    {"kind": "malformed"},
    {"kind": "internal"},
    {"kind": "lock_timeout"},
)
EACH = 1 - ((1 - SHARE) / (1 - RATELIMITED)) ** (1 / len(SPOILT))
RULES: tuple[Row, ...] = (
    {"kind": "ratelimited", "seconds": 0.5, "probability": RATELIMITED},
    *({**rule, "probability": EACH} for rule in SPOILT),
    # Whoever is slow all the same carries it out: these are no failures, but chances for others to be quicker.
    *({"kind": "delay", "seconds": 0.3, "probability": 0.05, "operation": name} for name in LATE),
    {"kind": "error_status", "status": 400, "probability": 0.5},
    {"kind": "webhook_lost", "probability": 0.2},
    {"kind": "webhook_duplicated", "probability": 0.25},
    {"kind": "webhook_delayed", "seconds": 1.5, "probability": 0.25},
)
FAILURES = frozenset(rule["kind"] for rule in SPOILT) | {"ratelimited"}

NEXT = {
    "open": ("in_progress", "waiting_on_customer", "resolved", "closed"),
    "in_progress": ("waiting_on_customer", "resolved", "open", "closed"),
    "waiting_on_customer": ("in_progress", "resolved", "closed"),
    "resolved": ("closed", "open"),
    "closed": ("open",),
}
REOPENED = {"waiting_on_customer": "in_progress", "resolved": "open", "closed": "open"}
# Quotas let a customer file 30 tickets of a kind and write 60 replies in an hour.
TICKETS_EACH = 18
LONGEST_TALK = 6
AT_ONCE = 4


@dataclass
class Filed:
    """A ticket, what was said in it, and the status in which its people left it."""

    ticket_id: str
    number: str
    status: str = "open"
    replies: list[str] = field(default_factory=list)
    moves: int = 0


class Talk:
    """People who file tickets, reply, and move them on."""

    def __init__(self, stack: RunningStack, create_url: str, seed: int) -> None:
        self._create_url, self._url, self._seed = create_url, stack.functions_url, seed
        self._client = httpx.Client(timeout=60, trust_env=False)

    def about(self, place: int, customer: Person, agent: Person) -> Filed:
        """One ticket from its filing to its last word."""
        dice = Random(f"{self._seed} {place}")
        kind = dice.choice(("other", "other", "chatbot"))
        told = self._call(customer, "POST", self._create_url, {"payload": PAYLOADS[kind]})
        ticket = Filed(told["ticket_id"], told["ticket_number"])
        for _ in range(dice.randrange(LONGEST_TALK)):
            if dice.random() < 0.4:
                self._move(ticket, agent, dice.choice(NEXT[ticket.status]))
            else:
                self._reply(ticket, customer, agent, by_customer=dice.random() < 0.5)
        return ticket

    def _move(self, ticket: Filed, agent: Person, status: str) -> None:
        address = f"{self._url}/admin-update/{ticket.ticket_id}"
        self._call(agent, "PATCH", address, {"status": status})
        ticket.status = status
        ticket.moves += 1

    def _reply(self, ticket: Filed, customer: Person, agent: Person, *, by_customer: bool) -> None:
        body = {"body": f"Reply {len(ticket.replies)} in {ticket.number}"}
        author = customer if by_customer else agent
        told = self._call(author, "POST", f"{self._url}/add-message/{ticket.ticket_id}", body)
        ticket.replies.append(told["message_id"])
        if by_customer:
            ticket.status = REOPENED.get(ticket.status, ticket.status)
        assert told["status"] == ticket.status, f"{ticket.number} was moved by somebody else"

    def _call(self, person: Person, method: str, url: str, body: Row) -> Row:
        headers = {"Authorization": f"Bearer {person.token}"}
        answer = self._client.request(method, url, json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        told: Row = answer.json()
        return told


class Forwarder:
    """A process of linear-forward that is called again and again, and that can be killed at any moment."""

    def __init__(self, serve: Serve, folder: Path) -> None:
        self._serve, self._folder = serve, folder
        self._life = ExitStack()
        self._over = Event()
        self._caller = Thread(target=self._call_forever, daemon=True)
        self.answers: Counter[int] = Counter()
        self.start()
        self._caller.start()

    def start(self) -> None:
        self._url = self._life.enter_context(self._serve("linear-forward", AUDIENCE=None, INVOKERS=None))

    def kill(self) -> None:
        """Without a chance to tidy up."""
        pid_file = self._folder / self._url.rpartition(":")[2] / "run" / "linear-forward.pid"
        os.killpg(int(pid_file.read_text()), signal.SIGKILL)
        self._life.close()

    def stop(self) -> None:
        self._over.set()
        self._life.close()
        self._caller.join()

    def _call_forever(self) -> None:
        with httpx.Client(timeout=120, trust_env=False) as client:
            while not self._over.wait(0.1):
                with suppress(httpx.HTTPError):
                    self.answers[client.post(self._url).status_code] += 1


class Storm:
    """Two forwarders side by side, and what happens to them and to their leases."""

    def __init__(self, db: Connection, forwarders: list[Forwarder], seed: int) -> None:
        self._db, self._forwarders, self._dice = db, forwarders, Random(seed)
        self.kills = 0
        self.stolen = 0

    def rage(self, over: Callable[[], bool], seconds: float) -> None:
        """Until it is over, but no longer than so many seconds."""
        until = time.monotonic() + seconds
        while not over() and time.monotonic() < until:
            time.sleep(self._dice.uniform(0.2, 1.2))
            if self._dice.random() < 0.6:
                self._kill_one()
            self.take_leases()
            self.hurry()
            self._db.execute(
                "update desk_private.linear_sync set polled_at = '-infinity' where polled_at < now() - interval '10 s'"
            )

    def take_leases(self) -> None:
        """The dead's, and with them those of whoever is alive: now it works on what is another's as well.

        A move stays with who has it until a few seconds have passed, see LATE.
        """
        taken = self._db.execute(
            "update desk_private.outbox set locked_until = now() where channel = 'linear' and state = 'pending'"
            " and locked_until > now() and (kind <> 'state' or locked_until < now() + interval '296 s')"
        )
        self.stolen += taken.rowcount

    def hurry(self) -> None:
        """A row that has failed a dozen times would wait for minutes."""
        self._db.execute(
            "update desk_private.outbox set available_at = now() + interval '2 s' where channel = 'linear'"
            " and state = 'pending' and available_at > now() + interval '2 s'"
        )

    def answers(self) -> dict[int, int]:
        """Counts the statuses that the forwarders' calls ended with, except those of killed ones."""
        return dict(sum((each.answers for each in self._forwarders), Counter()))

    def waiting(self) -> int:
        query = "select from desk_private.outbox where channel = 'linear' and state = 'pending'"
        return self._db.execute(query).rowcount

    def _kill_one(self) -> None:
        forwarder = self._dice.choice(self._forwarders)
        forwarder.kill()
        self.kills += 1
        # Before the next one comes up: whoever is left takes over.
        self.take_leases()
        forwarder.start()


@contextmanager
def two_forwarders(serve: Serve, folder: Path) -> Iterator[list[Forwarder]]:
    with ExitStack() as lives:
        forwarders = [Forwarder(serve, folder) for _ in range(2)]
        for each in forwarders:
            lives.callback(each.stop)
        yield forwarders


def talk_all(
    talk: Talk, people: list[Person], agents: list[Person], tickets: int
) -> tuple[Callable[[], bool], Callable[[], list[Filed]]]:
    """Everybody begins to write: whether they have done, and what they filed."""
    pool = ThreadPoolExecutor(AT_ONCE)
    filed: list[Any] = [
        pool.submit(talk.about, place, people[place // TICKETS_EACH], agents[place % len(agents)])
        for place in range(tickets)
    ]
    pool.shutdown(wait=False)
    return lambda: all(each.done() for each in filed), lambda: [each.result() for each in filed]
