"""Whether a deployed function answers as it must, asked cheaply and from outside."""

import time
from collections.abc import Callable
from typing import Any

import httpx

from deploy.table import DeployError, Function

PATIENCE = 60.0  # seconds that a new address may take until it is known everywhere
PAUSE = 2.0
TIMEOUT = 15.0
PROBLEM = {"success", "error", "code", "fields", "request_id"}

Verdict = str | None
Check = Callable[[httpx.Client], Verdict]


class SmokeFailed(DeployError):
    """It does not answer as it must."""


def smoke(function: Function, url: str, patience: float = PATIENCE) -> None:
    """Return once it answers as it must; SmokeFailed when it still does not after `patience` seconds."""
    with httpx.Client(base_url=url, timeout=TIMEOUT, trust_env=False, follow_redirects=False) as client:
        for check in _checks(function):
            _insist(function, url, client, check, patience)


def _checks(function: Function) -> list[Check]:
    if function.is_private:
        return [_keeps_strangers_out]
    if function.is_balanced:
        return [_refuses_direct_calls]
    return [_answers, *([lambda client: _succeeds(client, function.smoke or "")] if function.smoke else [])]


def _insist(function: Function, url: str, client: httpx.Client, check: Check, patience: float) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            verdict = check(client)
        except httpx.HTTPError as error:
            verdict = f"no answer ({type(error).__name__})"
        if verdict is None:
            return
        if time.monotonic() >= deadline:
            raise SmokeFailed(f"{function.name} failed its smoke test at {url}: {verdict}")
        time.sleep(min(PAUSE, patience))


def _answers(client: httpx.Client) -> Verdict:
    """Nobody gets in, and is told so in our own words; the Origin has it read its whole configuration first."""
    answer = client.get("/", headers={"Origin": "https://smoke.invalid"})
    if answer.status_code not in (401, 404, 405):
        return f"GET / should be a 401, 404 or 405, and is {_told(answer)}"
    return (
        None
        if _is_ours(answer)
        else f"GET / is a {answer.status_code}, and not in the functions' error shape"
    )


def _succeeds(client: httpx.Client, path: str) -> Verdict:
    answer = client.get(path)
    if answer.status_code == 200 and _json(answer).get("success") is True:
        return None
    return f"GET {path} should succeed, and is {_told(answer)}"


def _keeps_strangers_out(client: httpx.Client) -> Verdict:
    """Google's gate says 403; the function's own second look would as well, and must not have been reached."""
    answer = client.post("/")
    if answer.status_code == 403 and not _is_ours(answer):
        return None
    if _is_ours(answer):
        return f"it is open to everybody: a call without a token reached the function, which said {_told(answer)}"
    return f"a call without a token should be a 403, and is {_told(answer)}"


def _refuses_direct_calls(client: httpx.Client) -> Verdict:
    """Checks that the function is reached through its load balancer alone, which is all that can be seen here."""
    answer = client.get("/")
    if answer.status_code in (403, 404) and not _is_ours(answer):
        return None
    return f"a call around the load balancer should be Google's 404, and is {_told(answer)}"


def _told(answer: httpx.Response) -> str:
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
