"""The jobs of Cloud Scheduler that call the functions which have a schedule."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import cache, partial
from typing import Any

from google.cloud.scheduler_v1 import CloudSchedulerClient, HttpMethod, Job

from deploy import names
from deploy.setup.google import TIMEOUT, Change, Changes, Google
from deploy.table import Function

# The next call comes by itself: what is retried soon is a moment's trouble, and no more than that.
RETRIES = {
    "retry_count": 2,
    "min_backoff_duration": timedelta(seconds=5),
    "max_backoff_duration": timedelta(seconds=20),
    "max_doublings": 2,
}


def jobs(google: Google, region: str, scheduled: Mapping[str, Function], known: Iterable[str]) -> Changes:
    """One job for each function of `scheduled`, by its address; jobs of ours for functions that are not `known` go."""
    there = {job.name: job for job in google.found(lambda: _list(google, region)) or []}
    for url, function in scheduled.items():
        wanted = job(google, region, function, url)
        current = there.get(wanted.name)
        if current is None:
            says = f"make the job {names.job(function.name)}: {function.schedule} ({function.time_zone})"
            yield Change(says, partial(_create, google, region, wanted))
        elif differences := _differences(current, wanted):
            says = f"change the job {names.job(function.name)}: {', '.join(differences)}"
            yield Change(says, partial(_update, google, wanted, differences))
    keep = {_path(google, region, name) for name in known}
    for name in sorted(set(there) - keep):
        if name.rpartition("/")[2].startswith(names.PREFIX):
            yield Change(f"delete the job {name.rpartition('/')[2]}", partial(_delete, google, name))


def job(google: Google, region: str, function: Function, url: str) -> Job:
    """The job as it should be."""
    return Job(
        {
            "name": _path(google, region, function.name),
            "schedule": function.schedule,
            "time_zone": function.time_zone,
            "attempt_deadline": timedelta(seconds=max(15, function.timeout)),
            "retry_config": RETRIES,
            "http_target": {
                "uri": url,
                "http_method": HttpMethod.POST,
                "oidc_token": {
                    "service_account_email": names.email(names.SCHEDULER_ACCOUNT, google.project),
                    "audience": names.audience(function.name, google.project),
                },
            },
        }
    )


def _differences(current: Job, wanted: Job) -> list[str]:
    """The fields to update; a service may add to what it was told, so only what we say is compared."""
    return [
        field
        for field in ("schedule", "time_zone", "attempt_deadline", "retry_config", "http_target")
        if not _holds(_plain(current)[field], _plain(wanted)[field])
    ]


def _holds(current: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        return isinstance(current, dict) and all(
            key in current and _holds(current[key], value) for key, value in wanted.items() if value
        )
    return bool(current == wanted)


def _plain(job: Job) -> dict[str, Any]:
    plain: dict[str, Any] = Job.to_dict(job)
    return {"attempt_deadline": None, "retry_config": None, "http_target": None} | plain


def _list(google: Google, region: str) -> list[Job]:
    parent = f"projects/{google.project}/locations/{region}"
    return list(_client(google).list_jobs(parent=parent, timeout=TIMEOUT))


def _create(google: Google, region: str, wanted: Job) -> None:
    parent = f"projects/{google.project}/locations/{region}"
    google.patiently(lambda: _client(google).create_job(parent=parent, job=wanted, timeout=TIMEOUT))


def _update(google: Google, wanted: Job, paths: list[str]) -> None:
    request = {"job": wanted, "update_mask": {"paths": paths}}
    google.patiently(lambda: _client(google).update_job(request=request, timeout=TIMEOUT))


def _delete(google: Google, name: str) -> None:
    google.patiently(lambda: _client(google).delete_job(name=name, timeout=TIMEOUT))


def _path(google: Google, region: str, function: str) -> str:
    return f"projects/{google.project}/locations/{region}/jobs/{names.job(function)}"


@cache
def _client(google: Google) -> CloudSchedulerClient:
    return CloudSchedulerClient(
        credentials=google.credentials, transport="rest", client_options=google.options("cloudscheduler")
    )
