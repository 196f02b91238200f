"""What the triage of conversations costs: a call of ai-escalation/analyze, and what its model adds to a cold start."""

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median

from bench.desk import Desk, running_desk
from bench.figures import Bar, Line, Skipped
from bench.load import Ask, bearer, load
from bench.parts.coldstart import Start, Started, cold_start, start_of
from bench.processes import cpu_seconds
from bench.rounds import interleaved, ratios
from deploy.table import Function
from local.functions import load_functions
from local.process import ROOT
from local.stack import Say

MESSAGES = 200
CONVERSATIONS = 40
ROUNDS = 5
COLD_ROUNDS = 16
SECONDS = 3.0
SAID = {
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
# Stands where the model stands: the same names, and nothing behind them.
NO_MODEL = """
from typing import NamedTuple

LONGEST_MESSAGE = 4_000


class Said(NamedTuple):
    role: str
    text: str


class Verdict(NamedTuple):
    escalate: bool = False
    category: str | None = None
    priority: str = "medium"
    confidence: float = 0.0
    reasons: tuple[str, ...] = ()
    suggested_subject: str = ""


def triage(conversation: object) -> Verdict:
    return Verdict()
"""


def measure(say: Say) -> list[Line]:
    """CPU time of the function's process a call, everything included; cold starts with the model and without."""
    function = _function()
    with running_desk() as desk:
        say(f"analyses of {MESSAGES} messages")
        costs = _costs(desk, say)
        whole = start_of(desk, function, _ask(desk, random.Random(0), 6))
        with _without_model(desk, whole) as without:
            sides: dict[str, Callable[[], Started]] = {
                "with": lambda: cold_start(whole),
                "without": lambda: cold_start(without),
            }
            for side in sides.values():
                side()
            rounds = interleaved(COLD_ROUNDS, sides, say)
    return [
        Line(f"analyze, {MESSAGES} messages, CPU", median(costs), "ms", Bar("below", 20), "", tuple(costs)),
        _growth(rounds),
    ]


def _function() -> Function:
    found = [function for function in load_functions() if function.name == "ai-escalation"]
    if not found or not (ROOT / "shared" / "triage" / "verdict.py").exists():
        raise Skipped("there is no function ai-escalation with shared/triage/verdict.py yet")
    return found[0]


def _costs(desk: Desk, say: Say) -> list[float]:
    """CPU milliseconds a call, by round; one client, no conversation twice in a row."""
    rng = random.Random(1)
    asks = [_ask(desk, rng, MESSAGES) for _ in range(CONVERSATIONS)]
    with desk.function("ai-escalation") as (url, part):
        load(url, asks, clients=1, seconds=1)

        def call_cost() -> float:
            before = cpu_seconds(part.process.pid)
            done = load(url, asks, clients=1, seconds=SECONDS)
            return 1000 * (cpu_seconds(part.process.pid) - before) / done.sent

        return [each["analyze"] for each in interleaved(ROUNDS, {"analyze": call_cost}, say)]


def _ask(desk: Desk, rng: random.Random, length: int) -> Ask:
    [person] = desk.people(1)
    roles = ["user", "assistant"] * (length // 2)
    messages = [
        {"role": role, "content": rng.choice(SAID[role]).format(n=rng.randrange(3, 99_999))} for role in roles
    ]
    return Ask("POST", "/analyze", bearer(person), {"messages": messages})


@contextmanager
def _without_model(desk: Desk, start: Start) -> Iterator[Start]:
    """The same function, staged elsewhere over a copy of shared/ in which the verdict is empty."""
    stage = desk.home / "without-model"
    shutil.copytree(
        ROOT / "shared",
        stage / "shared",
        ignore=shutil.ignore_patterns("triage.model", "verdict.py", "__pycache__"),
    )
    (stage / "shared" / "triage" / "verdict.py").write_text(NO_MODEL)
    source = Path(shutil.copy(start.source, stage / "main.py"))
    yield replace(start, source=source, env=start.env | {"PYTHONPATH": str(stage)})


def _growth(rounds: list[dict[str, Started]]) -> Line:
    times = {side: [each[side].milliseconds for each in rounds] for side in ("with", "without")}
    ratio, each = ratios(times["with"], times["without"])
    detail = f"{median(times['with']):.0f} ms : {median(times['without']):.0f} ms"
    grown = tuple(100 * (one - 1) for one in each)
    return Line(
        "cold start of ai-escalation, growth by the model",
        100 * (ratio - 1),
        "%",
        Bar("below", 10),
        detail,
        grown,
    )
