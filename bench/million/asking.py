"""An RPC of the store asked over HTTP, one request after the other."""

import json
import time
from typing import Any

import httpx

from bench.desk import Desk
from local.people import Person

Arguments = dict[str, Any]


class Asking:
    """A connection to PostgREST that is kept, as somebody."""

    def __init__(self, desk: Desk, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self.client = httpx.Client(base_url=desk.stack.rest_url, headers=headers, timeout=60, trust_env=False)

    def answer(self, rpc: str, arguments: Arguments) -> Any:
        """What it answers with."""
        response = self.client.post(f"/rpc/{rpc}", content=json.dumps(arguments))
        response.raise_for_status()
        return response.json()

    def milliseconds(self, rpc: str, arguments: Arguments) -> float:
        """How long the answer takes."""
        body = json.dumps(arguments)
        begun = time.perf_counter()
        response = self.client.post(f"/rpc/{rpc}", content=body)
        taken = time.perf_counter() - begun
        response.raise_for_status()
        return taken * 1000


def call_of(rpc: str, arguments: Arguments) -> str:
    """The same call as SQL."""
    given = ", ".join(f"{name} => {_literal(value)}" for name, value in arguments.items())
    return f"select public.{rpc}({given})"


def asking_as(desk: Desk, person: Person) -> Asking:
    """Asking with that person's token."""
    return Asking(desk, person.token)


def _literal(value: Any) -> str:
    if isinstance(value, list):
        return "array[" + ", ".join(map(_literal, value)) + "]"
    text = json.dumps(value) if isinstance(value, dict) else str(value)
    return "'" + text.replace("'", "''") + "'"
