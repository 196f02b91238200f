"""Creates the Cloud Scheduler jobs that call functions by schedule."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import cache, partial
from typing import Any

from google.cloud.scheduler_v1 import CloudSchedulerClient, HttpMethod, Job

from deploy import names
from deploy.setup.google import CALL_TIMEOUT_S, Changes, Google, PendingChange
from deploy.table import Function

# The next run comes anyway, so retries cover only short failures.
RETRIES = {
    "retry_count": 2,
    "min_backoff_duration": timedelta(seconds=5),
    "max_backoff_duration": timedelta(seconds=20),
    "max_doublings": 2,
}


def jobs(google: Google, region: str, scheduled: Mapping[str, Function], known: Iterable[str]) -> Changes:
    """Creates or updates the jobs of `scheduled`, by address; deletes jobs of unknown functions."""
    existing = {job.name: job for job in google.read_optional(lambda: _list(google, region)) or []}
    for url, function in scheduled.items():
        wanted = job(google, region, function, url)
        current = existing.get(wanted.name)
        if current is None:
            description = (
                f"make the job {names.job(function.name)}: {function.schedule} ({function.time_zone})"
            )
            yield PendingChange(description, partial(_create, google, region, wanted))
        elif differences := _differences(current, wanted):
            description = f"change the job {names.job(function.name)}: {', '.join(differences)}"
            yield PendingChange(description, partial(_update, google, wanted, differences))
    keep = {_path(google, region, name) for name in known}
    for name in sorted(set(existing) - keep):
        if name.rpartition("/")[2].startswith(names.PREFIX):
            yield PendingChange(f"delete the job {name.rpartition('/')[2]}", partial(_delete, google, name))


def job(google: Google, region: str, function: Function, url: str) -> Job:
    """Builds the job of a function."""
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
    """Lists the fields to update. Google may add fields, so only ours are compared."""
    return [
        field
        for field in ("schedule", "time_zone", "attempt_deadline", "retry_config", "http_target")
        if not _contains(_as_dict(current)[field], _as_dict(wanted)[field])
    ]


def _contains(current: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        return isinstance(current, dict) and all(
            key in current and _contains(current[key], value) for key, value in wanted.items() if value
        )
    return bool(current == wanted)


def _as_dict(job: Job) -> dict[str, Any]:
    fields: dict[str, Any] = Job.to_dict(job)
    return {"attempt_deadline": None, "retry_config": None, "http_target": None} | fields


def _list(google: Google, region: str) -> list[Job]:
    parent = f"projects/{google.project}/locations/{region}"
    return list(_client(google).list_jobs(parent=parent, timeout=CALL_TIMEOUT_S))


def _create(google: Google, region: str, wanted: Job) -> None:
    parent = f"projects/{google.project}/locations/{region}"
    google.retry(lambda: _client(google).create_job(parent=parent, job=wanted, timeout=CALL_TIMEOUT_S))


def _update(google: Google, wanted: Job, paths: list[str]) -> None:
    request = {"job": wanted, "update_mask": {"paths": paths}}
    google.retry(lambda: _client(google).update_job(request=request, timeout=CALL_TIMEOUT_S))


def _delete(google: Google, name: str) -> None:
    google.retry(lambda: _client(google).delete_job(name=name, timeout=CALL_TIMEOUT_S))


def _path(google: Google, region: str, function: str) -> str:
    return f"projects/{google.project}/locations/{region}/jobs/{names.job(function)}"


@cache
def _client(google: Google) -> CloudSchedulerClient:
    return CloudSchedulerClient(
        credentials=google.credentials, transport="rest", client_options=google.options("cloudscheduler")
    )
