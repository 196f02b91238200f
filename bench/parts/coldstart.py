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

from bench.figures import FOLDER, Bar, Line, NotMeasured
from bench.load import Request, bearer
from bench.processes import cpu_seconds
from bench.rounds import interleave, ratios
from bench.stack import EMPTY, BenchStack, run_bench_stack
from deploy.table import Function
from local.functions import address, load_functions, serving_command
from local.people import RunningStack
from local.ports import free_ports
from local.process import ROOT, necessities
from local.stack import Say

ROUNDS = 12
IMPORT_TIME = re.compile(r"^import time: +(?P<own>\d+) \| +(?P<all>\d+) \| *(?P<name>\S+)$", re.MULTILINE)
START_TIMEOUT_S = 30
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
class ColdStart:
    """Describes a function to start; each start gets its own port."""

    source: Path
    entry_point: str
    env: dict[str, str]
    first: Request


@dataclass(frozen=True)
class StartTime:
    """Holds the time and the CPU time until the first 200."""

    milliseconds: float
    cpu_milliseconds: float


def measure(say: Say) -> list[Line]:
    """Compares every function with the empty one; writes import times to build/bench/imports-<name>.txt."""
    with run_bench_stack() as target:
        starts = {"empty": ColdStart(EMPTY, "empty", {}, Request("POST", "/", body={}))}
        requests = _first_requests(target)
        for function in load_functions():
            if function.is_private or function.name in requests:
                starts[function.name] = start_of(target, function, requests.get(function.name))
            else:
                say(f"{function.name} is left out: nothing here knows a request that it answers with 200")
        starts = {name: start for name, start in starts.items() if _starts(name, start, say)}
        rounds = interleave(ROUNDS, {name: _turn(start) for name, start in starts.items()}, say)
        for name, start in starts.items():
            say(f"imports of {name}")
            _write_imports(name, start)
    return [_line(rounds, name) for name in starts if name != "empty"]


def _starts(name: str, start: ColdStart, say: Say) -> bool:
    """Tells whether the first answer is a 200; leaves compiled modules behind, as a deployment does."""
    try:
        cold_start(start)
    except NotMeasured as failure:
        if name == "empty" or name in BARS:
            raise
        say(f"{name} is left out: {failure}")
        return False
    return True


def start_of(target: BenchStack, function: Function, first: Request | None = None) -> ColdStart:
    """Describes a function of the table; a private one gets the request of Cloud Scheduler."""
    if first is None:
        token = RunningStack(target.stack).identity_token(address(function, target.stack.environment))
        first = Request("POST", "/", {"Authorization": f"Bearer {token}"}, {})
    return ColdStart(function.source, function.name.replace("-", "_"), target.environment(function), first)


def cold_start(start: ColdStart, *options: str, errors: int = subprocess.DEVNULL) -> StartTime:
    """Starts a function and waits for its first answer; raises NotMeasured unless it is a 200."""
    [port] = free_ports(1)
    command = serving_command(start.source, start.entry_point, port, *options)
    env = {**necessities(), "PYTHONPATH": str(ROOT), **start.env}
    start_time = time.perf_counter()
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=errors)
    try:
        status, answer = _first_answer(port, start.first, process)
        result = StartTime(1000 * (time.perf_counter() - start_time), 1000 * cpu_seconds(process.pid))
    finally:
        process.terminate()
        process.wait()
    if status != 200:
        raise NotMeasured(f"the first answer of {start.entry_point} is {status}: {answer[:300]!r}")
    return result


def _first_answer(port: int, request: Request, process: "subprocess.Popen[bytes]") -> tuple[int, bytes]:
    deadline = time.monotonic() + START_TIMEOUT_S
    body = None if request.body is None else json.dumps(request.body)
    headers = {"Content-Type": "application/json"} if body else {}
    while process.poll() is None and time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_TIMEOUT_S)
        try:
            connection.request(request.method, request.path, body, headers | request.headers)
            response = connection.getresponse()
            return response.status, response.read()
        except ConnectionRefusedError:
            time.sleep(0.002)
        finally:
            connection.close()
    raise NotMeasured(f"nothing answered on port {port}; process status {process.poll()}")


def _first_requests(target: BenchStack) -> dict[str, Request]:
    """Builds the first request of each public function, from a customer with a ticket."""
    [person] = target.people(1)
    agent = target.agent()
    with target.stack.database.connect() as connection:
        [ticket] = connection.execute(
            "insert into desk.support_tickets (customer_id, issue_type, category, subject, description)"
            " values (%s, 'support', 'technical', 'Wrong address', 'The order shows my former one.')"
            " returning ticket_number",
            (person.id,),
        ).fetchone() or [None]
    return {
        "create-ticket": Request("POST", "/", bearer(person), {"payload": TICKET}),
        "list-tickets": Request("GET", "/", bearer(person)),
        "add-message": Request("POST", f"/{ticket}", bearer(person), {"body": "It still does."}),
        "admin-update": Request("PATCH", f"/{ticket}", bearer(agent), {"note": "Looked at."}),
        "ai-escalation": Request("POST", "/analyze", bearer(person), {"messages": CHAT}),
        "receive-webhook": _signed(COMMENT, target.stack.keys.linear_webhook_secret),
    }


def _signed(event: Mapping[str, object], secret: str) -> Request:
    """Builds a webhook as Linear sends it."""
    body = {**event, "webhookTimestamp": int(time.time() * 1000)}
    signature = hmac.new(secret.encode(), json.dumps(body).encode(), "sha256").hexdigest()
    return Request("POST", "/linear", {"Linear-Signature": signature, "Linear-Delivery": "the first"}, body)


def _turn(start: ColdStart) -> Callable[[], StartTime]:
    return lambda: cold_start(start)


def _line(rounds: list[dict[str, StartTime]], name: str) -> Line:
    times = {side: [starts[side].milliseconds for starts in rounds] for side in (name, "empty")}
    cpu = {side: median(starts[side].cpu_milliseconds for starts in rounds) for side in (name, "empty")}
    ratio, samples = ratios(times[name], times["empty"])
    detail = (
        f"{median(times[name]):.0f} ms : {median(times['empty']):.0f} ms;"
        f" CPU {cpu[name]:.0f} ms : {cpu['empty']:.0f} ms"
    )
    return Line(f"cold start, {name} / empty function", ratio, "x", BARS.get(name), detail, samples)


def _write_imports(name: str, start: ColdStart) -> None:
    """Writes the slowest imports, each by itself and with its own imports: the best of three runs."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    runs = [_import_times(start) for _ in range(3)]
    best = {module: min(run[module] for run in runs if module in run) for module in runs[0]}
    text = f"{name}: {len(best)} modules, {sum(own for own, _ in best.values()) / 1000:.0f} ms\n"
    for column, title in enumerate(("by itself", "with its own imports")):
        text += f"\n{title}\n"
        for module in sorted(best, key=lambda module: best[module][column], reverse=True)[:30]:
            text += f"{best[module][column]:>9,} us  {module}\n"
    (FOLDER / f"imports-{name}.txt").write_text(text)


def _import_times(start: ColdStart) -> dict[str, tuple[int, int]]:
    """Returns microseconds by module: by itself, and with its own imports."""
    with TemporaryFile() as errors:
        cold_start(start, "-X", "importtime", errors=errors.fileno())
        errors.seek(0)
        modules = IMPORT_TIME.finditer(errors.read().decode())
    return {module["name"]: (int(module["own"]), int(module["all"])) for module in modules}
