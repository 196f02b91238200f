"""A peer: tickets filed at django-helpdesk's API, on the same database server."""

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from bench.figures import Bar, Line
from bench.load import LoadResult, Request, load
from bench.parts.requests import PEOPLE, TICKET, filing_requests
from bench.peer import CODE, PROGRAMS, run_python
from bench.rounds import interleave, ratios
from bench.stack import BenchStack, run_bench_stack
from local.ports import answering, free_ports
from local.postgres import SUPERUSER
from local.process import running
from local.stack import Say

# Fewer threads a worker give a lower throughput.
WORKERS = ["--workers", "2", "--threads", "8"]
# The API admits only staff and reads all staff for every ticket, so there are only as many as clients.
STAFF = 16
ROUNDS = 5
LOAD_S = 4.0
QUEUE = {"model": "helpdesk.queue", "pk": 1, "fields": {"title": "Support", "slug": "support"}}


def measure(say: Say) -> list[Line]:
    """Measures create-ticket and the peer in turns, with 16 clients and the same texts."""
    with run_bench_stack() as target, target.function("create-ticket") as (url, _):
        say("setting django-helpdesk up")
        with _peer(target) as (peer, tokens):
            sides: dict[str, Callable[[], LoadResult]] = {
                "create-ticket": _turn(url, filing_requests(target.people(PEOPLE))),
                "django-helpdesk": _turn(peer, [_request(token) for token in tokens]),
            }
            say("warming up")
            for side in sides.values():
                side()
            rounds = interleave(ROUNDS, sides, say)
    rates = {name: [turn[name].per_second for turn in rounds] for name in sides}
    ratio, samples = ratios(rates["create-ticket"], rates["django-helpdesk"])
    detail = "; ".join(f"{name} {_summarize([turn[name] for turn in rounds])}" for name in sides)
    return [
        Line(
            "create-ticket / django-helpdesk 2.6.1, 16 clients",
            ratio,
            "x",
            Bar("at least", 5),
            detail,
            samples,
        )
    ]


def _turn(url: str, requests: list[Request]) -> Callable[[], LoadResult]:
    return lambda: load(url, requests, clients=16, seconds=LOAD_S)


def _summarize(turns: list[LoadResult]) -> str:
    rate, p50, p99 = (median(getattr(turn, name) for turn in turns) for name in ("per_second", "p50", "p99"))
    return f"{rate:,.0f}/s, p50 {p50:.0f} ms, p99 {p99:.0f} ms"


def _request(token: str) -> Request:
    ticket = {"queue": 1, "title": TICKET["subject"], "description": TICKET["description"], "priority": 3}
    return Request("POST", "/api/tickets/", {"Authorization": f"Token {token}"}, ticket)


@contextmanager
def _peer(target: BenchStack) -> Iterator[tuple[str, list[str]]]:
    """Runs the peer on its own database; yields its address and the tokens of its staff."""
    with target.stack.database.connect(SUPERUSER) as connection:
        connection.execute("create database helpdesk owner postgres")
    url = target.stack.database.url().removesuffix("/postgres") + "/helpdesk"
    env = {"DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": str(CODE), "DATABASE_URL": url}
    env |= {"SECRET_KEY": secrets.token_urlsafe(48)}
    tokens = [secrets.token_hex(20) for _ in range(STAFF)]
    run_python("-m", "django", "migrate", "--verbosity=0", env=env)
    people = target.home / "people.json"
    people.write_text(
        json.dumps([QUEUE, *(row for n, token in enumerate(tokens, 1) for row in _person(n, token))])
    )
    run_python("-m", "django", "loaddata", "--verbosity=0", people, env=env)
    [port] = free_ports(1)
    options = ["--bind", f"127.0.0.1:{port}", "--log-level", "warning", *WORKERS]
    command: list[str | Path] = [PROGRAMS / "gunicorn", *options, "django.core.wsgi:get_wsgi_application()"]
    ready = answering(port, "/api/tickets/", status=401)
    with running("django-helpdesk", command, home=target.home, env=env, ready=ready) as part:
        part.wait()
        yield f"http://127.0.0.1:{port}", tokens


def _person(number: int, token: str) -> list[object]:
    """Returns the rows of a staff member, whom the API permits to file tickets."""
    joined = "2026-01-01T00:00:00Z"
    names = {"username": f"person-{number}", "email": f"person-{number}@example.com", "password": "!"}
    user = {"model": "auth.user", "pk": number, "fields": {**names, "is_staff": True, "date_joined": joined}}
    key = {"model": "authtoken.token", "pk": token, "fields": {"user": number, "created": joined}}
    return [user, key]
