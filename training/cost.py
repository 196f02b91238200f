"""What a verdict costs: `python -m training.cost` prints CPU times in milliseconds."""

import time
from collections.abc import Callable

from shared.classifier import FILE, model, unpack
from shared.rules import rules
from shared.triage import Said, triage

ROUNDS = 30
TEXT = (
    "I tried to send money to my landlord twice this week and it still has not arrived, can you tell me why? "
)


def main() -> None:
    conversation = [Said("customer" if i % 2 == 0 else "ai", f"{TEXT}{i}") for i in range(200)]
    costs: dict[str, Callable[[], object]] = {
        "reading the model": lambda: unpack(FILE.read_bytes()),
        "reading the rules": rules.__wrapped__,
        "one message": lambda: triage(conversation[:1]),
        "200 messages, half of them the customer's": lambda: triage(conversation),
        "200 messages of the customer": lambda: triage([Said("customer", text) for _, text in conversation]),
        "one message of 200 KB": lambda: triage([Said("customer", TEXT * 2000)]),
    }
    rules(), model()
    for name, act in costs.items():
        print(f"{name}: {cpu(act):.2f} ms")


def cpu(act: Callable[[], object]) -> float:
    """The median of some rounds, in milliseconds of CPU."""
    taken = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        act()
        taken.append(time.process_time() - begin)
    return sorted(taken)[ROUNDS // 2] * 1000


if __name__ == "__main__":
    main()
