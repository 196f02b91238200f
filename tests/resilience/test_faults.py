"""The desk under faults: people work on while everything around the functions fails in turn, and nothing is lost.

FAULTS_ROUNDS is how often everything fails (0: most of it, once; `make faults` says 3), FAULTS_SEED in which order.
"""

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import psycopg
import pytest

from deploy.migrate import Connection
from local.people import Person, RunningStack
from local.ports import Ports
from local.stack import Settings, run_stack
from tests.resilience.faults import STATEMENT_SECONDS, Faults
from tests.resilience.invariants import broken, lay_out
from tests.resilience.load import Caller, Ledger, Load

ROUNDS = int(os.environ.get("FAULTS_ROUNDS") or 0)
SEED = int(os.environ.get("FAULTS_SEED") or 1)
CUSTOMERS = 6
PEOPLE = "insert into auth.users (id, email, aud, role, created_at, updated_at, email_confirmed_at) values (%s, %s, 'authenticated', 'authenticated', now(), now(), now())"
AGENTS = "insert into desk.support_agents (user_id, role, display_name) values (%s, 'agent', 'Agent')"


@pytest.fixture
def desk() -> Iterator[tuple[RunningStack, Faults]]:
    """A stack that may be broken: its data outlives a killed database, and a minute is over in two thirds of a second."""
    with TemporaryDirectory(prefix="supadesk-") as home:
        settings = Settings(Path(home), Ports.free(), demo=False, minute=0.7, linear_requests=1_000_000)
        with run_stack(settings, say=lambda line: None) as (running, parts):
            stack = RunningStack(running)
            faults = Faults(stack, parts)
            try:
                yield stack, faults
            finally:
                faults.leave()


def test_whatever_fails_nothing_is_lost_and_nothing_is_done_twice(
    desk: tuple[RunningStack, Faults], capsys: pytest.CaptureFixture[str]
) -> None:
    stack, faults = desk
    with psycopg.connect(stack.admin_url, autocommit=True) as db:
        db.execute(f"alter role authenticated set statement_timeout = '{STATEMENT_SECONDS}s'".encode())
        db.execute("select desk_private.set_setting('outbox_retry_seconds', '0.2')")
        db.execute("notify pgrst, 'reload config'")
        agents = [_person(stack, db, is_agent=True) for _ in range(3)]
        customers = [_person(stack, db) for _ in range(200 + 200 * ROUNDS)]
    load = Load(stack.functions_url, iter(customers), agents[1:], SEED)
    prober = Caller(stack.functions_url, agents[0], load.ledger, random.Random(SEED))
    injected, back = Counter[str](), dict[str, float]()
    _work(prober)  # and every function that people call knows Auth's keys
    load.start(CUSTOMERS)
    try:
        for kind, fault in _in_turn(faults):
            fault()
            injected[kind] += 1
            over = time.monotonic()
            _work(prober)
            back[kind] = max(back.get(kind, 0), time.monotonic() - over)
    finally:
        load.stop()
    faults.check()
    _send_everything(stack, faults)
    with psycopg.connect(stack.database_url, autocommit=True) as db:
        lay_out(db, load.ledger.answered, _arrived(faults))
        found, copies = broken(db), _count_copies(db)
    with capsys.disabled() if ROUNDS else nullcontext():
        print(_figures(load.ledger, faults.told(), injected, back, copies))
    assert found == {}
    assert load.ledger.wrong == []
    assert load.ledger.counts["given up"] == 0
    # Keys that are known go on working without Auth.
    assert load.ledger.counts["told 503 auth_unavailable"] == 0


def _in_turn(faults: Faults) -> Iterator[tuple[str, Callable[[], None]]]:
    chance = random.Random(SEED)
    kinds = list((faults.kinds() if ROUNDS else faults.quick()).items())
    for _ in range(ROUNDS or 1):
        yield from chance.sample(kinds, len(kinds))


def _work(agent: Caller) -> None:
    """Acts as an agent, with every public function, and undisturbed by other persons."""
    filed = agent.file("contact")
    assert filed, "no ticket can be filed any more"
    number = filed["ticket_number"]
    assert agent.reply(number)
    assert agent.ask("PATCH", f"/admin-update/{number}", {"priority": "urgent"})
    assert agent.ask("GET", f"/list-tickets/{number}")


def _person(stack: RunningStack, db: Connection, *, is_agent: bool = False) -> Person:
    user_id = uuid4()
    email = f"{user_id.hex[:12]}@example.com"
    db.execute(PEOPLE, [user_id, email])
    if is_agent:
        db.execute(AGENTS, [user_id])
    return Person(user_id, email, stack.token(user_id, email))


def _send_everything(stack: RunningStack, faults: Faults) -> None:
    """As it would go out in time: leases end, and what was put off is tried again."""
    ready = """
        update desk_private.outbox set available_at = now(), locked_until = null
        where channel = 'mail' and state = 'pending' and (locked_until is null or locked_until > now() + interval '1 minute')
    """
    waits = "select count(*) from desk_private.outbox where channel = 'mail' and state = 'pending'"
    deadline = time.monotonic() + 60
    with psycopg.connect(stack.database_url, autocommit=True) as db:
        while True:
            db.execute("select desk_private.fan_out_news()")
            db.execute(ready)
            faults.send()
            if db.execute(waits).fetchone() == (0,):
                return
            assert time.monotonic() < deadline, "mail does not go out"


def _arrived(faults: Faults) -> Iterator[tuple[int, str]]:
    """Each mail's row in the outbox, which its Message-ID tells."""
    for mail in faults.mailbox.all():
        message_id = str(mail["Message-ID"])
        local = message_id.strip("<>").partition("@")[0]
        ticket, _, row = local.rpartition(".")
        yield int(row if ticket else local.partition("-")[0]), message_id


def _count_copies(db: Connection) -> str:
    query = "select count(*), count(*) - count(distinct row_id) from arrived"
    [(mails, again)] = db.execute(query).fetchall()
    return f"{mails} mails came, {again} of them again"


def _figures(
    ledger: Ledger, told: Counter[str], injected: Counter[str], back: dict[str, float], copies: str
) -> str:
    lines = [
        "",
        f"{sum(injected.values())} faults, {len(ledger.answered)} tickets and messages made, {copies}",
    ]
    lines += [
        f"  {n:6} x {kind}; works again after at most {back[kind]:.1f} s" for kind, n in injected.items()
    ]
    lines += [f"  {n:6} {what}" for what, n in ledger.counts.most_common()]
    lines += [f"  {n:6} x in a log: {reason}" for reason, n in told.most_common()]
    return "\n".join(lines)
