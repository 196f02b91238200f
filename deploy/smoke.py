"""Tests from outside that a deployed function answers correctly."""

import time
from collections.abc import Callable
from typing import Any

import httpx

from deploy.table import DeployError, Function

# A new address takes a while to be known everywhere.
SMOKE_TIMEOUT_S = 60.0
RETRY_BACKOFF_S = 2.0
REQUEST_TIMEOUT_S = 15.0
EXPOSE = "add desk to the exposed schemas of the Supabase project (Settings, Data API), after make migrate"
PROBLEM = {"success", "error", "code", "fields", "request_id"}

Failure = str | None
Check = Callable[[httpx.Client], Failure]


class SmokeFailed(DeployError):
    """Says which answer was wrong."""


def smoke(function: Function, url: str, timeout_s: float = SMOKE_TIMEOUT_S) -> None:
    """Retries each check until it passes; raises SmokeFailed after `timeout_s`."""
    with httpx.Client(
        base_url=url, timeout=REQUEST_TIMEOUT_S, trust_env=False, follow_redirects=False
    ) as client:
        for check in _checks(function):
            _retry(function, url, client, check, timeout_s)


def _checks(function: Function) -> list[Check]:
    if function.is_private:
        return [_refuses_anonymous_calls]
    if function.is_balanced:
        return [_refuses_direct_calls]
    return [_answers, *([lambda client: _succeeds(client, function.smoke or "")] if function.smoke else [])]


def _retry(function: Function, url: str, client: httpx.Client, check: Check, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            failure = check(client)
        except httpx.HTTPError as error:
            failure = f"no answer ({type(error).__name__})"
        if failure is None:
            return
        if time.monotonic() >= deadline:
            raise SmokeFailed(f"{function.name} failed its smoke test at {url}: {failure}")
        time.sleep(min(RETRY_BACKOFF_S, timeout_s))


def _answers(client: httpx.Client) -> Failure:
    """Checks that an anonymous call gets our error. The Origin makes the function read its settings."""
    answer = client.get("/", headers={"Origin": "https://smoke.invalid"})
    if answer.status_code not in (401, 404, 405):
        return f"GET / should be a 401, 404 or 405, and is {_describe(answer)}"
    return (
        None
        if _is_ours(answer)
        else f"GET / is a {answer.status_code}, and not in the functions' error shape"
    )


def _succeeds(client: httpx.Client, path: str) -> Failure:
    answer = client.get(path)
    if answer.status_code == 200 and _json(answer).get("success") is True:
        return None
    failure = f"GET {path} should succeed, and is {_describe(answer)}"
    # The first check has read the whole configuration: what is missing is a setting of Supabase's.
    return f"{failure}: {EXPOSE}" if _json(answer).get("code") == "not_configured" else failure


def _refuses_anonymous_calls(client: httpx.Client) -> Failure:
    """Checks for a 403 of Cloud Run. The function's own 403 means that the gate is open."""
    answer = client.post("/")
    if answer.status_code == 403 and not _is_ours(answer):
        return None
    if _is_ours(answer):
        return (
            "it is open to everybody: a call without a token reached the function,"
            f" which said {_describe(answer)}"
        )
    return f"a call without a token should be a 403, and is {_describe(answer)}"


def _refuses_direct_calls(client: httpx.Client) -> Failure:
    """Checks that only the load balancer leads to the function: nothing else can be checked from outside."""
    answer = client.get("/")
    if answer.status_code in (403, 404) and not _is_ours(answer):
        return None
    return f"a call around the load balancer should be Google's 404, and is {_describe(answer)}"


def _describe(answer: httpx.Response) -> str:
    code = _json(answer).get("code")
    return f"{answer.status_code} {code}" if isinstance(code, str) else str(answer.status_code)


def _is_ours(answer: httpx.Response) -> bool:
    problem = _json(answer)
    return set(problem) == PROBLEM and problem["request_id"] == answer.headers.get("x-request-id")


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        value = answer.json()
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
