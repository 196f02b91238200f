"""Calls RPCs of the store over HTTP, one at a time."""

import json
import time
from typing import Any

import httpx

from bench.stack import BenchStack
from local.people import PROFILE, Person

Arguments = dict[str, Any]


class RpcClient:
    """Holds a persistent connection to PostgREST with one token."""

    def __init__(self, target: BenchStack, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", **PROFILE}
        self.client = httpx.Client(
            base_url=target.stack.rest_url, headers=headers, timeout=60, trust_env=False
        )

    def call(self, rpc: str, arguments: Arguments) -> Any:
        """Returns the parsed answer; raises httpx.HTTPStatusError."""
        response = self.client.post(f"/rpc/{rpc}", content=json.dumps(arguments))
        response.raise_for_status()
        return response.json()

    def time_call(self, rpc: str, arguments: Arguments) -> float:
        """Returns the milliseconds until the answer; raises httpx.HTTPStatusError."""
        body = json.dumps(arguments)
        start = time.perf_counter()
        response = self.client.post(f"/rpc/{rpc}", content=body)
        elapsed = time.perf_counter() - start
        response.raise_for_status()
        return elapsed * 1000


def as_sql(rpc: str, arguments: Arguments) -> str:
    """Formats a call as SQL."""
    named = ", ".join(f"{name} => {_literal(value)}" for name, value in arguments.items())
    return f"select desk.{rpc}({named})"


def client_of(target: BenchStack, person: Person) -> RpcClient:
    """Returns a client with a person's token."""
    return RpcClient(target, person.token)


def _literal(value: Any) -> str:
    if isinstance(value, list):
        return "array[" + ", ".join(map(_literal, value)) + "]"
    text = json.dumps(value) if isinstance(value, dict) else str(value)
    return "'" + text.replace("'", "''") + "'"
