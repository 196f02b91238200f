"""Cold start: from the start of the process to the first real answer."""

import hmac
import http.client
import json
import re
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryFile
from uuid import UUID

from bench.desk import EMPTY, Desk, running_desk
from bench.figures import FOLDER, Bar, Line, NotMeasured
from bench.load import Ask, bearer
from bench.processes import cpu_seconds
from bench.rounds import interleaved, ratios
from deploy.table import Function
from local.functions import address, load_functions, serving_command
from local.people import RunningStack
from local.ports import free_ports
from local.process import ROOT, necessities
from local.stack import Say

ROUNDS = 12
IMPORT_TIME = re.compile(r"^import time: +(?P<own>\d+) \| +(?P<all>\d+) \| *(?P<name>\S+)$", re.MULTILINE)
PATIENCE = 30
BARS = {"create-ticket": Bar("at most", 1.6)}
TICKET = {
    "issue_type": "support",
    "subject": "Wrong address",
    "description": "The order shows my former one.",
}
COMMENT = {
    "action": "create",
    "type": "Comment",
    "data": {"id": str(UUID(int=1)), "issueId": str(UUID(int=2)), "body": "It is the cache."},
}
CHAT = [{"role": "user", "content": "Where is my order?"}]


@dataclass(frozen=True)
class Start:
    """A function to be started: its interpreter's arguments are made for each start, with a port of its own."""

    source: Path
    entry_point: str
    env: dict[str, str]
    first: Ask


@dataclass(frozen=True)
class Started:
    """How long the first 200 took, and the CPU time until then."""

    milliseconds: float
    cpu_milliseconds: float


def measure(say: Say) -> list[Line]:
    """Every function against the empty one; what each spends on imports goes to build/bench/imports-<name>.txt."""
    with running_desk() as desk:
        starts = {"empty": Start(EMPTY, "empty", {}, Ask("POST", "/", body={}))}
        asks = _first_asks(desk)
        for function in load_functions():
            if function.is_private or function.name in asks:
                starts[function.name] = start_of(desk, function, asks.get(function.name))
            else:
                say(f"{function.name} is left out: nothing here knows a request that it answers with 200")
        starts = {name: start for name, start in starts.items() if _starts(name, start, say)}
        rounds = interleaved(ROUNDS, {name: _turn(start) for name, start in starts.items()}, say)
        for name, start in starts.items():
            say(f"imports of {name}")
            _write_imports(name, start)
    return [_line(rounds, name) for name in starts if name != "empty"]


def _starts(name: str, start: Start, say: Say) -> bool:
    """Whether its first answer is a 200; leaves the compiled modules behind, as a deployment does."""
    try:
        cold_start(start)
    except NotMeasured as failure:
        if name == "empty" or name in BARS:
            raise
        say(f"{name} is left out: {failure}")
        return False
    return True


def start_of(desk: Desk, function: Function, first: Ask | None = None) -> Start:
    """A function of the table; a private one is asked as Cloud Scheduler asks it."""
    if first is None:
        token = RunningStack(desk.stack).identity_token(address(function, desk.stack.environment))
        first = Ask("POST", "/", {"Authorization": f"Bearer {token}"}, {})
    return Start(function.source, function.name.replace("-", "_"), desk.environment(function), first)


def cold_start(start: Start, *options: str, errors: int = subprocess.DEVNULL) -> Started:
    """Start it, ask until it listens, and wait for its 200; NotMeasured if anything else comes back."""
    [port] = free_ports(1)
    command = serving_command(start.source, start.entry_point, port, *options)
    env = {**necessities(), "PYTHONPATH": str(ROOT), **start.env}
    began = time.perf_counter()
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=errors)
    try:
        status, answer = _first_answer(port, start.first, process)
        took = Started(1000 * (time.perf_counter() - began), 1000 * cpu_seconds(process.pid))
    finally:
        process.terminate()
        process.wait()
    if status != 200:
        raise NotMeasured(f"the first answer of {start.entry_point} is {status}: {answer[:300]!r}")
    return took


def _first_answer(port: int, ask: Ask, process: "subprocess.Popen[bytes]") -> tuple[int, bytes]:
    deadline = time.monotonic() + PATIENCE
    body = None if ask.body is None else json.dumps(ask.body)
    headers = {"Content-Type": "application/json"} if body else {}
    while process.poll() is None and time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        try:
            connection.request(ask.method, ask.path, body, headers | ask.headers)
            response = connection.getresponse()
            return response.status, response.read()
        except ConnectionRefusedError:
            time.sleep(0.002)
        finally:
            connection.close()
    raise NotMeasured(f"nothing answered on port {port}; process status {process.poll()}")


def _first_asks(desk: Desk) -> dict[str, Ask]:
    """The first request of each public function, by somebody with a ticket."""
    [person] = desk.people(1)
    agent = desk.agent()
    with desk.stack.database.connect() as connection:
        [ticket] = connection.execute(
            "insert into public.support_tickets (customer_id, issue_type, category, subject, description)"
            " values (%s, 'support', 'technical', 'Wrong address', 'The order shows my former one.') returning ticket_number",
            (person.id,),
        ).fetchone() or [None]
    return {
        "create-ticket": Ask("POST", "/", bearer(person), {"payload": TICKET}),
        "list-tickets": Ask("GET", "/", bearer(person)),
        "add-message": Ask("POST", f"/{ticket}", bearer(person), {"body": "It still does."}),
        "admin-update": Ask("PATCH", f"/{ticket}", bearer(agent), {"note": "Looked at."}),
        "ai-escalation": Ask("POST", "/analyze", bearer(person), {"messages": CHAT}),
        "receive-webhook": _signed(COMMENT, desk.stack.keys.linear_webhook_secret),
    }


def _signed(event: Mapping[str, object], secret: str) -> Ask:
    """As Linear sends it."""
    body = {**event, "webhookTimestamp": int(time.time() * 1000)}
    signature = hmac.new(secret.encode(), json.dumps(body).encode(), "sha256").hexdigest()
    return Ask("POST", "/linear", {"Linear-Signature": signature, "Linear-Delivery": "the first"}, body)


def _turn(start: Start) -> Callable[[], Started]:
    return lambda: cold_start(start)


def _line(rounds: list[dict[str, Started]], name: str) -> Line:
    times = {side: [each[side].milliseconds for each in rounds] for side in (name, "empty")}
    cpu = {side: median(each[side].cpu_milliseconds for each in rounds) for side in (name, "empty")}
    ratio, each = ratios(times[name], times["empty"])
    detail = (
        f"{median(times[name]):.0f} ms : {median(times['empty']):.0f} ms;"
        f" CPU {cpu[name]:.0f} ms : {cpu['empty']:.0f} ms"
    )
    return Line(f"cold start, {name} / empty function", ratio, "x", BARS.get(name), detail, each)


def _write_imports(name: str, start: Start) -> None:
    """The modules that take longest to import, without and with what they import in turn: the best of three."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    runs = [_import_times(start) for _ in range(3)]
    best = {module: min(run[module] for run in runs if module in run) for module in runs[0]}
    text = f"{name}: {len(best)} modules, {sum(own for own, _ in best.values()) / 1000:.0f} ms\n"
    for column, title in enumerate(("by itself", "with its own imports")):
        text += f"\n{title}\n"
        for module in sorted(best, key=lambda module: best[module][column], reverse=True)[:30]:
            text += f"{best[module][column]:>9,} us  {module}\n"
    (FOLDER / f"imports-{name}.txt").write_text(text)


def _import_times(start: Start) -> dict[str, tuple[int, int]]:
    """Microseconds by module: its own, and with what it imports in turn."""
    with TemporaryFile() as errors:
        cold_start(start, "-X", "importtime", errors=errors.fileno())
        errors.seek(0)
        found = IMPORT_TIME.finditer(errors.read().decode())
    return {module["name"]: (int(module["own"]), int(module["all"])) for module in found}
