"""A peer: tickets filed at django-helpdesk's API, on the same database server."""

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from bench.desk import Desk, running_desk
from bench.figures import Bar, Line
from bench.load import Ask, Load, load
from bench.parts.requests import PEOPLE, TICKET, filing
from bench.peer import CODE, PROGRAMS, run_python
from bench.rounds import interleaved, ratios
from local.ports import answering, free_ports
from local.postgres import SUPERUSER
from local.process import running
from local.stack import Say

# Eight threads a worker, for with fewer, and with one above all, it carried less.
WORKERS = ["--workers", "2", "--threads", "8"]
# Its API is for staff, and it looks at all of them for every ticket: as few as there are clients.
STAFF = 16
ROUNDS = 5
SECONDS = 4.0
QUEUE = {"model": "helpdesk.queue", "pk": 1, "fields": {"title": "Support", "slug": "support"}}


def measure(say: Say) -> list[Line]:
    """create-ticket and the peer in turn, 16 clients each, the same texts."""
    with running_desk() as desk, desk.function("create-ticket") as (url, _):
        say("setting django-helpdesk up")
        with _peer(desk) as (peer, tokens):
            sides: dict[str, Callable[[], Load]] = {
                "create-ticket": _turn(url, filing(desk.people(PEOPLE))),
                "django-helpdesk": _turn(peer, [_ask(token) for token in tokens]),
            }
            say("warming up")
            for side in sides.values():
                side()
            rounds = interleaved(ROUNDS, sides, say)
    rates = {name: [each[name].per_second for each in rounds] for name in sides}
    ratio, each = ratios(rates["create-ticket"], rates["django-helpdesk"])
    detail = "; ".join(f"{name} {_told([turn[name] for turn in rounds])}" for name in sides)
    return [
        Line(
            "create-ticket / django-helpdesk 2.6.1, 16 clients", ratio, "x", Bar("at least", 5), detail, each
        )
    ]


def _turn(url: str, asks: list[Ask]) -> Callable[[], Load]:
    return lambda: load(url, asks, clients=16, seconds=SECONDS)


def _told(turns: list[Load]) -> str:
    rate, p50, p99 = (median(getattr(turn, name) for turn in turns) for name in ("per_second", "p50", "p99"))
    return f"{rate:,.0f}/s, p50 {p50:.0f} ms, p99 {p99:.0f} ms"


def _ask(token: str) -> Ask:
    ticket = {"queue": 1, "title": TICKET["subject"], "description": TICKET["description"], "priority": 3}
    return Ask("POST", "/api/tickets/", {"Authorization": f"Token {token}"}, ticket)


@contextmanager
def _peer(desk: Desk) -> Iterator[tuple[str, list[str]]]:
    """The peer on a database of its own: its address, and the tokens of its people."""
    with desk.stack.database.connect(SUPERUSER) as connection:
        connection.execute("create database helpdesk owner postgres")
    url = desk.stack.database.url().removesuffix("/postgres") + "/helpdesk"
    env = {"DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": str(CODE), "DATABASE_URL": url}
    env |= {"SECRET_KEY": secrets.token_urlsafe(48)}
    tokens = [secrets.token_hex(20) for _ in range(STAFF)]
    run_python("-m", "django", "migrate", "--verbosity=0", env=env)
    people = desk.home / "people.json"
    people.write_text(
        json.dumps([QUEUE, *(row for n, token in enumerate(tokens, 1) for row in _person(n, token))])
    )
    run_python("-m", "django", "loaddata", "--verbosity=0", people, env=env)
    [port] = free_ports(1)
    options = ["--bind", f"127.0.0.1:{port}", "--log-level", "warning", *WORKERS]
    command: list[str | Path] = [PROGRAMS / "gunicorn", *options, "django.core.wsgi:get_wsgi_application()"]
    ready = answering(port, "/api/tickets/", status=401)
    with running("django-helpdesk", command, home=desk.home, env=env, ready=ready) as part:
        part.wait()
        yield f"http://127.0.0.1:{port}", tokens


def _person(number: int, token: str) -> list[object]:
    """Somebody who may file tickets over its API, which is for staff."""
    joined = "2026-01-01T00:00:00Z"
    names = {"username": f"person-{number}", "email": f"person-{number}@example.com", "password": "!"}
    user = {"model": "auth.user", "pk": number, "fields": {**names, "is_staff": True, "date_joined": joined}}
    key = {"model": "authtoken.token", "pk": token, "fields": {"user": number, "created": joined}}
    return [user, key]
