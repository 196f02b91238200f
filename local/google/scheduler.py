"""Emulates Cloud Scheduler: calls functions on schedule, with identity tokens."""

import asyncio
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from local.google.metadata import FLAVOR, IDENTITY
from local.process import ROOT, Part, StackError, running

EVERY_MINUTE = re.compile(r"\*(?:/([1-9][0-9]?))? \* \* \* \*")


@contextmanager
def run_scheduler(
    home: Path, schedules: Mapping[str, str], metadata_host: str, minute: float
) -> Iterator[Part]:
    """Calls each address of `schedules`; `minute` is the seconds of a minute."""
    intervals = {url: minute * minutes_between(schedule) for url, schedule in schedules.items()}
    env = {"PYTHONPATH": str(ROOT), "INTERVALS": json.dumps(intervals), "GCE_METADATA_HOST": metadata_host}
    command = [sys.executable, "-m", "local.google.scheduler"]
    with running("scheduler", command, home=home, env=env, ready=lambda: True) as part:
        yield part


def minutes_between(schedule: str) -> int:
    """Parses the part of the crontab format in use: every minute, or every n minutes."""
    match = EVERY_MINUTE.fullmatch(schedule)
    if not match:
        raise StackError(f"the local scheduler supports '* * * * *' and '*/5 * * * *', not {schedule!r}")
    return int(match[1] or 1)


async def call_forever(client: httpx.AsyncClient, metadata_host: str, url: str, interval: float) -> None:
    """Calls at every interval; logs a failure and goes on."""
    while True:
        await asyncio.sleep(interval)
        try:
            token = await identity_token(client, metadata_host, url)
            response = await client.post(url, headers={"Authorization": f"Bearer {token}"})
            print(url, response.status_code, response.text, flush=True)
        except httpx.HTTPError as error:
            print(url, type(error).__name__, flush=True)


async def identity_token(client: httpx.AsyncClient, metadata_host: str, audience: str) -> str:
    """Fetches a token as Google's own clients do."""
    query = {"audience": audience, "format": "full"}
    response = await client.get(f"http://{metadata_host}{IDENTITY}", params=query, headers=FLAVOR)
    return response.raise_for_status().text


async def main() -> None:
    intervals: dict[str, float] = json.loads(os.environ["INTERVALS"])
    async with httpx.AsyncClient(timeout=600, trust_env=False) as client:
        host = os.environ["GCE_METADATA_HOST"]
        await asyncio.gather(
            *(call_forever(client, host, url, interval) for url, interval in intervals.items())
        )


if __name__ == "__main__":
    asyncio.run(main())
