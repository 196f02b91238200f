"""A request: through the function, and the ways without it."""

from bench.desk import running_desk
from bench.figures import Bar, Line
from bench.load import Ask, load
from bench.rounds import interleaved, ratios
from deploy.local.stack import Say

ROUNDS = 5
SECONDS = 4


def measure(say: Say) -> list[Line]:
    """Lists through the function and straight on PostgREST."""
    with running_desk() as desk, desk.function("list-tickets") as (function, _):
        headers = [{"Authorization": f"Bearer {person.token}"} for person in desk.people(320)]
        rpc = [Ask("POST", "/rpc/list_tickets", header, {}) for header in headers]
        through = [Ask("GET", "/", header) for header in headers]
        rounds = interleaved(
            ROUNDS,
            {
                "function": lambda: load(function, through, clients=16, seconds=SECONDS),
                "RPC": lambda: load(desk.stack.rest_url, rpc, clients=16, seconds=SECONDS),
            },
            say,
        )
    ratio, each = ratios([r["function"].per_second for r in rounds], [r["RPC"].per_second for r in rounds])
    return [Line("list-tickets / the same RPC", ratio, "x", Bar("at least", 0.7), samples=each)]
