"""Schedules calls of functions with Cloud Scheduler."""

import pytest

from deploy.setup import __main__ as setup
from deploy.table import Function, read_table
from tests.deploy.google.google_apis import PROJECT, Cloud, SetUp

JOBS = f"projects/{PROJECT}/locations/europe-west1/jobs"
[SWEEP] = [function for function in read_table() if function.name == "sla-sweep"]


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> list[Function]:
    """The table of functions, to be changed."""
    functions = read_table()
    monkeypatch.setattr(setup, "read_table", lambda: functions)
    return functions


def change(table: list[Function], changed: Function) -> None:
    table[[function.name for function in table].index(changed.name)] = changed


def test_a_job_calls_the_function_with_a_token_that_it_takes(cloud: Cloud, set_up: SetUp) -> None:
    url = cloud.serve("sla-sweep")
    set_up()
    job = cloud.jobs[f"{JOBS}/supadesk-sla-sweep"]

    assert (job["schedule"], job["timeZone"], job["attemptDeadline"]) == ("* * * * *", "Etc/UTC", "120s")
    assert job["httpTarget"]["uri"] == url
    assert job["httpTarget"]["httpMethod"] in ("POST", 1)
    assert job["httpTarget"]["oidcToken"] == {
        "serviceAccountEmail": f"supadesk-scheduler@{PROJECT}.iam.gserviceaccount.com",
        "audience": f"https://sla-sweep.{PROJECT}.supadesk.internal",
    }
    assert job["retryConfig"]["retryCount"] == 2


def test_another_schedule_and_time_zone_change_the_job_and_leave_it_paused(
    cloud: Cloud, set_up: SetUp, table: list[Function]
) -> None:
    cloud.serve("sla-sweep")
    set_up()
    job = cloud.jobs[f"{JOBS}/supadesk-sla-sweep"]
    job["state"] = "PAUSED"
    change(table, SWEEP.model_copy(update={"schedule": "*/5 * * * *", "time_zone": "Europe/Paris"}))
    result = set_up()

    assert result.lines_of_changes == ["change the job supadesk-sla-sweep: schedule, time_zone"]
    assert (job["schedule"], job["timeZone"], job["state"]) == ("*/5 * * * *", "Europe/Paris", "PAUSED")
    assert job["scheduleTime"]
    assert set_up().lines_of_changes == []


def test_a_job_that_somebody_pointed_elsewhere_is_put_right(cloud: Cloud, set_up: SetUp) -> None:
    url = cloud.serve("sla-sweep")
    set_up()
    target = cloud.jobs[f"{JOBS}/supadesk-sla-sweep"]["httpTarget"]
    target["uri"], target["oidcToken"] = "https://elsewhere.example.com", {"audience": "x"}
    assert set_up().lines_of_changes == ["change the job supadesk-sla-sweep: http_target"]

    target = cloud.jobs[f"{JOBS}/supadesk-sla-sweep"]["httpTarget"]
    assert target["uri"] == url
    assert target["oidcToken"]["audience"].startswith("https://sla-sweep.")


def test_the_job_of_a_function_without_schedule_goes_and_other_peoples_jobs_stay(
    cloud: Cloud, set_up: SetUp, table: list[Function]
) -> None:
    for function in table:
        cloud.serve(function.name)
    set_up()
    # Enough of them for several pages.
    for name in ("backup", "report", "zeta"):
        cloud.jobs[f"{JOBS}/{name}"] = {"name": f"{JOBS}/{name}"}
    change(table, SWEEP.model_copy(update={"schedule": None}))
    result = set_up()

    assert "delete the job supadesk-sla-sweep" in result.lines_of_changes
    assert f"{JOBS}/supadesk-sla-sweep" not in cloud.jobs
    assert {f"{JOBS}/{name}" for name in ("backup", "report", "zeta")} <= set(cloud.jobs)


def test_the_schedulers_region_is_a_setting_of_its_own(cloud: Cloud, set_up: SetUp) -> None:
    cloud.serve("sla-sweep")
    assert "not a valid location" in set_up("--scheduler-region", "europe-west9").errors
    set_up(SCHEDULER_REGION="europe-west3")

    assert list(cloud.jobs) == [f"projects/{PROJECT}/locations/europe-west3/jobs/supadesk-sla-sweep"]
