"""Calls the database through PostgREST's RPCs, over one connection pool per process.

Nothing is retried: a request whose answer was lost may have been carried out. Only the client can decide to
repeat it, with the same Idempotency-Key.
"""

from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from typing import Any

from pydantic_core import to_json
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import PyreqwestError
from pyreqwest.request import RequestBuilder

from shared.config import config
from shared.errors import AuthUnavailable, NotConfigured, Unavailable, from_store

CONNECTIONS = 64


@cache
def client() -> Client:
    """Returns the process's HTTP client."""
    return (
        ClientBuilder()
        .connect_timeout(timedelta(seconds=2))
        .timeout(timedelta(seconds=10))
        .max_connections(CONNECTIONS)
        .pool_timeout(timedelta(seconds=3))
        .pool_max_idle_per_host(CONNECTIONS)
        .pool_idle_timeout(timedelta(seconds=20))
        .http1_only()
        .follow_redirects(False)
        .no_proxy()
        .user_agent("supadesk")
        .build()
    )


async def rpc(
    name: str, arguments: Mapping[str, Any], *, token: str | None = None, as_service: bool = False
) -> bytes:
    """Calls a database function with a person's token, with the anonymous key, or as the service.

    Returns the JSON object of the answer, as bytes. Arguments that are None get the function's own defaults.
    Raises the Problem that errors.from_store makes of another status, Unavailable without an answer.
    """
    body = to_json({name: value for name, value in arguments.items() if value is not None})
    request = client().post(f"{config().rest_url}/rpc/{name}").body_bytes(body)
    kind = {"Content-Type": "application/json", "Content-Profile": config().db_schema}
    request.headers({**kind, **_credentials(token, as_service)})
    try:
        status, answer = await _send(request)
    except PyreqwestError as error:
        raise Unavailable(f"{name}: {type(error).__name__}") from None
    if status != 200:
        raise from_store(status, answer)
    return answer


async def get(url: str, token: str | None) -> tuple[int, bytes]:
    """Gets an address of Supabase Auth: status and body. Raises AuthUnavailable without an answer."""
    headers = {"apikey": config().anon_key} | ({"Authorization": f"Bearer {token}"} if token else {})
    try:
        return await _send(client().get(url).headers(headers))
    except PyreqwestError as error:
        raise AuthUnavailable(type(error).__name__) from None


async def _send(request: RequestBuilder) -> tuple[int, bytes]:
    response = await request.build().send()
    return response.status, (await response.bytes()).to_bytes()


def _credentials(token: str | None, as_service: bool) -> dict[str, str]:
    """Returns the headers with the project's key. A key that is a JWT is also the default bearer token."""
    key = config().secret_key if as_service else config().anon_key
    if key is None:
        raise NotConfigured("SUPABASE_SECRET_KEY is not set")
    bearer = token or (None if key.startswith("sb_") else key)
    return {"apikey": key} | ({"Authorization": f"Bearer {bearer}"} if bearer else {})
