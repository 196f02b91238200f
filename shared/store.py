"""The store as functions see it: PostgREST's RPCs, over one shared connection pool a process.

Nothing is sent twice: a request whose answer was lost may have been carried out, and only its sender can
know whether to repeat it, with the same Idempotency-Key.
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
    """Call a function of the database as the owner of the token, as nobody, or as the service.

    Returns the JSON object it answered with, as it came; raises what errors.from_store makes of the rest.
    Arguments that are None are left to the function's own defaults.
    """
    given = {argument: value for argument, value in arguments.items() if value is not None}
    request = client().post(f"{config().rest_url}/rpc/{name}").body_bytes(to_json(given))
    request.headers({"Content-Type": "application/json", **_credentials(token, as_service)})
    try:
        status, body = await _send(request)
    except PyreqwestError as error:
        raise Unavailable(f"{name}: {type(error).__name__}") from None
    if status != 200:
        raise from_store(status, body)
    return body


async def get(url: str, token: str | None) -> tuple[int, bytes]:
    """One of Auth's own addresses: status and body."""
    headers = {"apikey": config().anon_key} | ({"Authorization": f"Bearer {token}"} if token else {})
    try:
        return await _send(client().get(url).headers(headers))
    except PyreqwestError as error:
        raise AuthUnavailable(type(error).__name__) from None


async def _send(request: RequestBuilder) -> tuple[int, bytes]:
    response = await request.build().send()
    return response.status, (await response.bytes()).to_bytes()


def _credentials(token: str | None, as_service: bool) -> dict[str, str]:
    """The project's key goes along always; one of the older kind is a JWT, and nobody's bearer token too."""
    key = config().secret_key if as_service else config().anon_key
    if key is None:
        raise NotConfigured("SUPABASE_SECRET_KEY is not set")
    bearer = token or (None if key.startswith("sb_") else key)
    return {"apikey": key} | ({"Authorization": f"Bearer {bearer}"} if bearer else {})
