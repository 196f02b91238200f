"""Breaks the services around the functions of a running stack: each fault is over when its method returns."""

import os
import re
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import httpx
import psycopg

from local.people import RunningStack
from local.ports import free_ports
from local.process import Part, running
from tests.mailbox import Mailbox

# For signed-in people, in place of Supabase's 8 s, so that a slow answer is one sooner.
STATEMENT_SECONDS = 1
REASON = re.compile(r'"reason":"((?:[^"\\]|\\.)*)"')
BACKEND = "select pid from pg_stat_activity where usename = 'authenticator' order by state limit 1"
WAITING = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query ~ %s"
LEASED = "select count(*) from desk_private.outbox where channel = 'mail' and state = 'pending' and locked_until > now()"
EXPIRE = "update desk_private.outbox set locked_until = now() - interval '1 second' where locked_until > now() and channel = 'mail'"


class Faults:
    def __init__(self, stack: RunningStack, parts: list[Part]) -> None:
        self._stack = stack
        self._parts = {part.name: part for part in parts}
        self._revived = ExitStack()
        self._next_victims = deque(("add-message", "create-ticket"))
        self.mailbox = Mailbox(stack.stack.settings.home / "mail")
        self._told = Counter[str]()

    def quick(self) -> dict[str, Callable[[], None]]:
        """Those of them that have the others in them, more or less."""
        left_out = (
            self.kill_backend,
            self.kill_postgrest,
            self.put_mail_off,
            self.kill_mail,
            self.kill_sender,
        )
        return {kind: fault for kind, fault in self.kinds().items() if fault not in left_out}

    def kinds(self) -> dict[str, Callable[[], None]]:
        """Every fault, by what is said of it."""
        return {
            "database killed and started again": self.kill_database,
            "a connection's process killed, so that the database recovers by itself": self.kill_backend,
            "all connections cut": self.cut_connections,
            "statements too slow": self.slow_statements,
            "PostgREST killed and started again": self.kill_postgrest,
            "PostgREST's pool full": self.fill_pool,
            "Auth down": self.stop_auth,
            "a function killed between the commit and its answer": self.kill_after_commit,
            "mail put off": self.put_mail_off,
            "the receipt of mail lost": self.lose_receipts,
            "the mail server killed": self.kill_mail,
            "a sender killed that has rows": self.kill_sender,
            "a sender that wakes up when its lease is over": self.wake_late,
        }

    def leave(self) -> None:
        """Stop what has been started again."""
        self._revived.close()

    def check(self) -> None:
        """Raise if one has ended that nobody killed."""
        for part in self._parts.values():
            part.check()

    def told(self) -> Counter[str]:
        """The reasons in the logs for what was answered with an error, or not sent."""
        return sum(map(_told, self._parts.values()), self._told)

    def killed(self, name: str) -> Part:
        """SIGKILL for the process and all that it has started."""
        part = self._parts[name]
        pid = part.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for each in (pid, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        part.process.wait()
        self._told += _told(part)
        return part

    def revive(self, part: Part, **env: str) -> None:
        again = running(
            part.name,
            part.command,
            home=part.pid_file.parents[1],
            env={**part.env, **env},
            ready=part.ready,
            stop_signal=part.stop_signal,
        )
        started = self._revived.enter_context(again)
        started.wait()
        self._parts[part.name] = replace(started, env=part.env)

    def kill_database(self) -> None:
        part = self.killed("postgres")
        time.sleep(0.5)
        self.revive(part)

    def kill_backend(self) -> None:
        with self._admin() as db:
            found = db.execute(BACKEND).fetchone()
        if found:
            with suppress(ProcessLookupError):
                os.kill(int(str(found[0])), signal.SIGKILL)
        self._parts["postgres"].wait()

    def cut_connections(self) -> None:
        for _ in range(3):
            with self._admin() as db:
                db.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'authenticator'"
                )
            time.sleep(0.2)

    def slow_statements(self) -> None:
        with self._tickets_locked():
            time.sleep(STATEMENT_SECONDS + 0.7)

    def kill_postgrest(self) -> None:
        part = self.killed("postgrest")
        time.sleep(0.3)
        self.revive(part)

    def fill_pool(self) -> None:
        self.revive(self.killed("postgrest"), PGRST_DB_POOL="1", PGRST_DB_POOL_ACQUISITION_TIMEOUT="1")
        with self._tickets_locked():
            time.sleep(2.5)
        self.revive(self.killed("postgrest"))

    def stop_auth(self) -> None:
        part = self.killed("auth")
        time.sleep(1.5)
        self.revive(part)

    def kill_after_commit(self) -> None:
        """Its request waits in the database; it is frozen, the database goes on, and it is killed."""
        self._next_victims.rotate()
        name = self._next_victims[0]
        with self._tickets_locked():
            self._until_there_are(WAITING, name.replace("-", "_"))
            os.kill(self._parts[name].process.pid, signal.SIGSTOP)
        time.sleep(0.4)
        self.revive(self.killed(name))

    def put_mail_off(self) -> None:
        self._treat_mail("defer")

    def lose_receipts(self) -> None:
        self._treat_mail("drop")

    def _treat_mail(self, behaviour: str) -> None:
        self.mailbox.treat("*", behaviour)
        time.sleep(1)
        self.mailbox.take_everything()

    def kill_mail(self) -> None:
        part = self.killed("mail")
        time.sleep(0.5)
        self.revive(part)

    def kill_sender(self) -> None:
        with self._sender_at_work():
            part = self.killed("send-notifications")
        self.revive(part)
        with self._admin() as db:
            db.execute(EXPIRE)

    def wake_late(self) -> None:
        """It is frozen while it has rows; their lease ends, another one sends them, and then it goes on."""
        sender = self._parts["send-notifications"]
        with self._sender_at_work():
            os.kill(sender.process.pid, signal.SIGSTOP)
        try:
            with self._admin() as db:
                db.execute(EXPIRE)
            self._send_by_another()
        finally:
            os.kill(sender.process.pid, signal.SIGCONT)

    def send(self, url: str | None = None) -> dict[str, int]:
        """One call as the scheduler makes it."""
        address = f"{self._stack.functions_url}/send-notifications"
        headers = {"Authorization": f"Bearer {self._stack.identity_token(address)}"}
        answer = httpx.post(url or address, headers=headers, timeout=120, trust_env=False)
        counted: dict[str, int] = answer.raise_for_status().json()
        return counted

    def _send_by_another(self) -> None:
        [port] = free_ports(1)
        part, home = self._parts["send-notifications"], self._stack.stack.settings.home
        command = [str(port) if word == part.command[-1] else word for word in part.command]
        with running(
            "another-sender", command, home=home, env=part.env, ready=lambda: _listens(port)
        ) as another:
            another.wait()
            self.send(f"http://127.0.0.1:{port}")

    @contextmanager
    def _sender_at_work(self) -> Iterator[None]:
        """A sender that has rows, and waits for a mail server that says nothing until the block is left."""
        mail = self._parts["mail"].process.pid
        os.kill(mail, signal.SIGSTOP)
        try:
            self._until_there_are(LEASED)
            yield
        finally:
            os.kill(mail, signal.SIGCONT)

    @contextmanager
    def _tickets_locked(self) -> Iterator[None]:
        with self._admin() as db, db.transaction():
            db.execute("lock table desk.support_tickets in access exclusive mode")
            yield

    def _admin(self) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(self._stack.admin_url, autocommit=True, connect_timeout=10)

    def _until_there_are(self, query: str, *arguments: str) -> None:
        deadline = time.monotonic() + 20
        with self._admin() as db:
            while db.execute(query.encode(), arguments).fetchone() == (0,):
                assert time.monotonic() < deadline, query
                time.sleep(0.01)


def _told(part: Part) -> Counter[str]:
    return Counter(REASON.findall(part.log.read_text(errors="replace")))


def _listens(port: int) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"http://127.0.0.1:{port}/robots.txt", trust_env=False).status_code == 404
    return False
