"""The cost of triage: a call of ai-escalation/analyze, and the model's share of a cold start."""

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median

from bench.figures import Bar, Line, Skipped
from bench.load import Request, bearer, load
from bench.parts.coldstart import ColdStart, StartTime, cold_start, start_of
from bench.processes import cpu_seconds
from bench.rounds import interleave, ratios
from bench.stack import BenchStack, run_bench_stack
from deploy.table import Function
from local.functions import load_functions
from local.process import ROOT
from local.stack import Say

MESSAGES = 200
CONVERSATIONS = 40
ROUNDS = 5
COLD_ROUNDS = 16
LOAD_S = 3.0
MESSAGES_BY_ROLE = {
    "user": (
        "I was charged twice for order {n} and the second payment is still pending on my card",
        "it still says that the delivery to my address failed, although somebody was at home all day",
        "how do I change the e-mail address of my account without losing the invoices of last year?",
        "no, I have tried that already: the page only shows error {n} and then signs me out again",
        "thanks, that explains the fee. And where do I see the exchange rate of {n} euros?",
        "can I please talk to a person about this, I have been waiting for {n} days now",
    ),
    "assistant": (
        "I'm sorry to hear that. Could you tell me the number of the order and what the page shows you?",
        "You can see all charges under Payments; one that is pending is usually gone within {n} days.",
        "Thank you. Please sign out, close the app, and sign in again with the link that we send you.",
    ),
}
# Replaces the verdict's module: the same names without a model.
NO_MODEL = """
from typing import NamedTuple

MAX_MESSAGE_CHARS = 4_000


class Message(NamedTuple):
    role: str
    text: str


class Verdict(NamedTuple):
    escalate: bool = False
    category: str | None = None
    priority: str = "medium"
    confidence: float = 0.0
    candidates: tuple[str, ...] = ()
    language: str | None = None
    reasons: tuple[str, ...] = ()
    suggested_subject: str = ""


def triage(conversation: object) -> Verdict:
    return Verdict()
"""


def measure(say: Say) -> list[Line]:
    """Measures CPU time a call of the function's process, and cold starts with and without the model."""
    function = _function()
    with run_bench_stack() as target:
        say(f"analyses of {MESSAGES} messages")
        costs = _costs(target, say)
        whole = start_of(target, function, _request(target, random.Random(0), 6))
        with _without_model(target, whole) as without:
            sides: dict[str, Callable[[], StartTime]] = {
                "with": lambda: cold_start(whole),
                "without": lambda: cold_start(without),
            }
            for side in sides.values():
                side()
            rounds = interleave(COLD_ROUNDS, sides, say)
    return [
        Line(f"analyze, {MESSAGES} messages, CPU", median(costs), "ms", Bar("below", 20), "", tuple(costs)),
        _growth(rounds),
    ]


def _function() -> Function:
    functions = [function for function in load_functions() if function.name == "ai-escalation"]
    if not functions or not (ROOT / "shared" / "triage" / "verdict.py").exists():
        raise Skipped("there is no function ai-escalation with shared/triage/verdict.py yet")
    return functions[0]


def _costs(target: BenchStack, say: Say) -> list[float]:
    """Returns CPU milliseconds a call, by round; one client, no conversation twice in a row."""
    rng = random.Random(1)
    requests = [_request(target, rng, MESSAGES) for _ in range(CONVERSATIONS)]
    with target.function("ai-escalation") as (url, part):
        load(url, requests, clients=1, seconds=1)

        def call_cost() -> float:
            before = cpu_seconds(part.process.pid)
            result = load(url, requests, clients=1, seconds=LOAD_S)
            return 1000 * (cpu_seconds(part.process.pid) - before) / result.sent

        return [costs["analyze"] for costs in interleave(ROUNDS, {"analyze": call_cost}, say)]


def _request(target: BenchStack, rng: random.Random, length: int) -> Request:
    [person] = target.people(1)
    roles = ["user", "assistant"] * (length // 2)
    messages = [
        {"role": role, "content": rng.choice(MESSAGES_BY_ROLE[role]).format(n=rng.randrange(3, 99_999))}
        for role in roles
    ]
    return Request("POST", "/analyze", bearer(person), {"messages": messages})


@contextmanager
def _without_model(target: BenchStack, start: ColdStart) -> Iterator[ColdStart]:
    """Stages the same function over a copy of shared/ with an empty verdict."""
    stage = target.home / "without-model"
    shutil.copytree(
        ROOT / "shared",
        stage / "shared",
        ignore=shutil.ignore_patterns("triage.model", "verdict.py", "__pycache__"),
    )
    (stage / "shared" / "triage" / "verdict.py").write_text(NO_MODEL)
    source = Path(shutil.copy(start.source, stage / "main.py"))
    yield replace(start, source=source, env=start.env | {"PYTHONPATH": str(stage)})


def _growth(rounds: list[dict[str, StartTime]]) -> Line:
    times = {side: [starts[side].milliseconds for starts in rounds] for side in ("with", "without")}
    ratio, samples = ratios(times["with"], times["without"])
    detail = f"{median(times['with']):.0f} ms : {median(times['without']):.0f} ms"
    growth = tuple(100 * (sample - 1) for sample in samples)
    return Line(
        "cold start of ai-escalation, growth by the model",
        100 * (ratio - 1),
        "%",
        Bar("below", 10),
        detail,
        growth,
    )
