"""Sets a Google Cloud project up, against a fake of Google's APIs."""

import pytest

from deploy import names
from deploy.setup import __main__ as setup
from deploy.table import read_table
from tests.deploy.google.google_apis import NUMBER, PROJECT, Cloud, SetUp

FUNCTIONS = read_table()
# What the desk of these tests has no value for.
UNSET = {"SMTP_URL", "LINEAR_API_KEY", "LINEAR_OAUTH_TOKEN", "LINEAR_WEBHOOK_SECRET", "PARTNER_SECRETS"}
PRIVATE = [function for function in FUNCTIONS if function.is_private]
DEPLOYER = f"serviceAccount:supadesk-deployer@{PROJECT}.iam.gserviceaccount.com"
SCHEDULER = f"serviceAccount:supadesk-scheduler@{PROJECT}.iam.gserviceaccount.com"


def runs(function: str) -> str:
    return f"serviceAccount:{names.email(names.runtime_account(function), PROJECT)}"


def test_an_empty_project_is_set_up_and_the_second_time_nothing_is_changed(
    cloud: Cloud, set_up: SetUp
) -> None:
    first = set_up()
    assert first.code == 0, first.errors
    assert {"run", "secretmanager", "cloudscheduler"} <= cloud.apis
    assert f"Not deployed yet: {', '.join(function.name for function in FUNCTIONS)}" in first.says

    for function in FUNCTIONS:
        cloud.serve(function.name)
    after_deployment = set_up()
    assert after_deployment.code == 0, after_deployment.errors
    assert "Not deployed yet" not in after_deployment.says
    assert len(cloud.jobs) == sum(1 for function in FUNCTIONS if function.schedule)

    so_far = list(cloud.changes)
    again = set_up()
    assert (again.code, again.says.splitlines()[0]) == (0, "Nothing to change")
    assert cloud.changes == so_far


def test_a_plan_tells_all_and_changes_nothing(cloud: Cloud, set_up: SetUp) -> None:
    planned = set_up("--plan")

    assert planned.code == 0, planned.errors
    assert cloud.changes == []
    assert cloud.apis == Cloud().apis
    made = set_up()
    # But for the last lines, which tell how much was made.
    assert planned.lines_of_changes == made.lines_of_changes
    assert len(made.lines_of_changes) > 30


def test_a_function_reads_the_secrets_that_it_names_and_may_do_nothing_else(
    cloud: Cloud, set_up: SetUp
) -> None:
    set_up()

    for function in FUNCTIONS:
        reads = {f"secrets/{names.secret_id(name)}" for name in function.secrets if name not in UNSET}
        assert cloud.roles(runs(function.name)) == {
            (secret, "roles/secretmanager.secretAccessor") for secret in reads
        }


def test_the_deployer_acts_as_the_accounts_of_functions_and_reads_no_secret(
    cloud: Cloud, set_up: SetUp
) -> None:
    set_up()
    roles = cloud.roles(DEPLOYER)

    acts_as = {resource for resource, role in roles if role == "roles/iam.serviceAccountUser"}
    runtime = {f"serviceAccounts/{names.runtime_account(function.name)}" for function in FUNCTIONS}
    assert acts_as == runtime | {"serviceAccounts/supadesk-build"}
    assert {role for resource, role in roles if resource == ""} == {
        "roles/run.sourceDeveloper",
        "roles/serviceusage.serviceUsageConsumer",
    }
    assert {role for resource, role in roles if resource.startswith("secrets/")} == {
        "roles/secretmanager.viewer"
    }


def test_private_functions_are_for_the_accounts_that_the_table_names(
    cloud: Cloud, set_up: SetUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = PRIVATE[0].model_copy(update={"name": "called", "invokers": ("create-ticket",)})
    quiet = PRIVATE[0].model_copy(update={"name": "quiet", "schedule": None})
    monkeypatch.setattr(setup, "read_table", lambda: [*FUNCTIONS, sweep, quiet])
    for function in (*FUNCTIONS, sweep, quiet):
        cloud.serve(function.name)
    # As if somebody had deployed it with a wrong flag.
    cloud.grant("services/called", "roles/run.invoker", "allUsers")
    set_up()

    def callers(function: str) -> set[str]:
        return cloud.members(f"services/{function}", "roles/run.invoker")

    # Nobody asks who calls this one.
    assert callers("list-tickets") == set()
    assert callers("sla-sweep") == {SCHEDULER}
    assert callers("called") == {SCHEDULER, runs("create-ticket")}
    assert callers("quiet") == set()


def test_what_others_may_do_on_the_project_stays_and_what_our_accounts_may_is_put_right(
    cloud: Cloud, set_up: SetUp
) -> None:
    set_up()
    cloud.grant("", "roles/viewer", "user:somebody@example.com", DEPLOYER)
    cloud.grant("", "roles/owner", DEPLOYER, condition={"title": "until tonight", "expression": "true"})
    set_up()

    assert cloud.members("", "roles/viewer") == {"user:somebody@example.com"}
    assert cloud.members("", "roles/owner") == {DEPLOYER}


def test_a_policy_that_somebody_changes_meanwhile_keeps_both_changes(cloud: Cloud, set_up: SetUp) -> None:
    cloud.meddlers[""] = {"role": "roles/viewer", "members": ["user:somebody@example.com"]}
    assert set_up().code == 0

    assert cloud.members("", "roles/viewer") == {"user:somebody@example.com"}
    assert cloud.members("", "roles/run.sourceDeveloper") == {DEPLOYER}


def test_set_up_waits_until_google_knows_of_what_was_made(cloud: Cloud, set_up: SetUp) -> None:
    cloud.api_lag, cloud.account_lag = 3, 3
    result = set_up()

    assert result.code == 0, result.errors
    assert (cloud.api_lag, cloud.account_lag) == (0, 0)


def test_who_may_not_set_up_is_told_what_google_says(cloud: Cloud, set_up: SetUp) -> None:
    cloud.forbidden.add("cloudresourcemanager")
    result = set_up()

    assert result.code == 1
    assert "Permission denied on cloudresourcemanager" in result.errors


def test_a_branch_of_the_one_repository_deploys_and_no_other_does(cloud: Cloud, set_up: SetUp) -> None:
    numbers = ("--github-repository-id", "4711", "--github-owner-id", "42")
    result = set_up(*numbers, "--environment", "develop")
    pool = f"projects/{NUMBER}/locations/global/workloadIdentityPools/github"
    provider = cloud.pools[f"{pool}/providers/github"]

    assert provider["attributeCondition"] == (
        "assertion.repository_id == '4711' && assertion.repository_owner_id == '42'"
        " && assertion.ref == 'refs/heads/develop' && assertion.environment == 'develop'"
    )
    principals = f"principalSet://iam.googleapis.com/{pool}/attribute.repository_id/4711"
    deployer = "serviceAccounts/supadesk-deployer"
    assert cloud.members(deployer, "roles/iam.workloadIdentityUser") == {principals}
    assert f"{pool}/providers/github" in result.says

    # The repository was made anew, so it has another number.
    set_up("--github-repository-id", "4712", "--github-owner-id", "42", "--environment", "develop")
    assert "'4712'" in provider["attributeCondition"]
    assert cloud.members(deployer, "roles/iam.workloadIdentityUser") == {principals.replace("4711", "4712")}


def test_a_pool_that_was_deleted_is_brought_back(cloud: Cloud, set_up: SetUp) -> None:
    numbers = ("--github-repository-id", "4711", "--github-owner-id", "42")
    set_up(*numbers)
    for entry in cloud.pools.values():
        entry["state"] = "DELETED"
    assert set_up(*numbers).code == 0

    assert {entry["state"] for entry in cloud.pools.values()} == {"ACTIVE"}
    assert set_up(*numbers).lines_of_changes == []


@pytest.mark.parametrize(
    ("wrong", "because"),
    [
        (("--project", "My Desk"), "must be the id of a project"),
        (("--environment", "staging"), "invalid choice"),
        (("--scheduler-region", "Paris"), "must be a region"),
        (("--github-repository-id", "me/desk"), "must be the number"),
        (("--github-repository-id", "4711"), "go together"),
    ],
)
def test_what_is_malformed_is_refused_by_name(
    cloud: Cloud, set_up: SetUp, capsys: pytest.CaptureFixture[str], wrong: tuple[str, str], because: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        set_up(*wrong)
    assert stopped.value.code == 2
    assert because in capsys.readouterr().err
    assert cloud.calls == []


def test_every_account_has_a_name_of_its_own_that_google_takes() -> None:
    functions = [
        *(function.name for function in FUNCTIONS),
        "a-function-with-a-very-long-name",
        "a-function-with-a-very-long-one",
    ]
    accounts = [
        *map(names.runtime_account, functions),
        names.BUILD_ACCOUNT,
        names.SCHEDULER_ACCOUNT,
        names.DEPLOYER_ACCOUNT,
    ]
    assert len(set(accounts)) == len(accounts)
    for account in accounts:
        assert 6 <= len(account) <= 30
        assert account.replace("-", "").isalnum()
        assert not account.endswith("-")
