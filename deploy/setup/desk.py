"""All that the desk wants of its project, part by part, each standing on those before it."""

from collections.abc import Mapping
from typing import NamedTuple

from deploy import names
from deploy.setup.accounts import accounts
from deploy.setup.apis import apis
from deploy.setup.federation import Repository, federation, principals
from deploy.setup.google import Changes, Google
from deploy.setup.policies import account_policy, grants, project_policy, secret_policy, service_policy
from deploy.setup.schedules import jobs
from deploy.setup.secrets import Values, all_secrets, secret_versions, stored_secrets
from deploy.table import Function

ACTS_AS = "roles/iam.serviceAccountUser"
FEDERATED = "roles/iam.workloadIdentityUser"
INVOKES = "roles/run.invoker"
READS_METADATA = "roles/secretmanager.viewer"
READS_VALUE = "roles/secretmanager.secretAccessor"


class Desk(NamedTuple):
    """What stands in the table of functions, and what is decided for each project."""

    functions: list[Function]
    scheduler_region: str
    repository: Repository | None


def changes(google: Google, desk: Desk, values: Values) -> Changes:
    """Everything that is missing; `values` are those of secrets that have none yet or may have another now."""
    yield from apis(google)
    yield from accounts(google, _described(desk.functions))
    yield from _rights_on_project(google)
    yield from secret_versions(google, values)
    yield from _rights_on_secrets(google, desk.functions, set(values))
    if desk.repository:
        yield from federation(google, desk.repository)
    yield from _rights_on_accounts(google, desk)
    addresses = deployed(google, desk.functions)
    for function in desk.functions:
        if function.name in addresses:
            policy = service_policy(google, function.name, function.region)
            yield from grants(google, policy, {INVOKES: _invokers(google, function)})
    scheduled = [function for function in desk.functions if function.schedule]
    urls = {addresses[function.name]: function for function in scheduled if function.name in addresses}
    yield from jobs(google, desk.scheduler_region, urls, [function.name for function in scheduled])


def deployed(google: Google, functions: list[Function]) -> dict[str, str]:
    """The address of each function that Cloud Run serves."""
    found = {}
    for function in functions:
        name = f"projects/{google.project}/locations/{function.region}/services/{function.name}"
        if service := google.find("run", f"v2/{name}"):
            found[function.name] = service["uri"]
    return found


def _described(functions: list[Function]) -> dict[str, str]:
    runtime = {names.runtime_account(function.name): f"Runs {function.name}" for function in functions}
    return runtime | {
        names.BUILD_ACCOUNT: "Builds the functions",
        names.SCHEDULER_ACCOUNT: "Calls the functions that have a schedule",
        names.DEPLOYER_ACCOUNT: "Deploys the functions",
    }


def _rights_on_project(google: Google) -> Changes:
    wanted: Mapping[str, set[str]] = {
        "roles/run.builder": {_member(google, names.BUILD_ACCOUNT)},
        "roles/run.sourceDeveloper": {_member(google, names.DEPLOYER_ACCOUNT)},
        "roles/serviceusage.serviceUsageConsumer": {_member(google, names.DEPLOYER_ACCOUNT)},
    }
    yield from grants(google, project_policy(google), wanted, ours=lambda member: _is_ours(google, member))


def _rights_on_secrets(google: Google, functions: list[Function], given: set[str]) -> Changes:
    """Also on secrets that no function names any more: nobody reads those."""
    known = {names.secret_id(name): name for name in all_secrets(functions)}
    for secret in sorted(stored_secrets(google) | {names.secret_id(name) for name in given}):
        readers = [function for function in functions if known.get(secret) in function.secrets]
        wanted = {
            READS_VALUE: {_member(google, names.runtime_account(function.name)) for function in readers},
            READS_METADATA: {_member(google, names.DEPLOYER_ACCOUNT)} if readers else set(),
        }
        yield from grants(google, secret_policy(google, secret), wanted)


def _rights_on_accounts(google: Google, desk: Desk) -> Changes:
    deployer = _member(google, names.DEPLOYER_ACCOUNT)
    runtime = [names.runtime_account(function.name) for function in desk.functions]
    for account in (*runtime, names.BUILD_ACCOUNT):
        yield from grants(google, account_policy(google, account), {ACTS_AS: {deployer}})
    if desk.repository:
        wanted = {FEDERATED: {principals(google, desk.repository)}}
        yield from grants(google, account_policy(google, names.DEPLOYER_ACCOUNT), wanted)


def _invokers(google: Google, function: Function) -> set[str]:
    """Of a public function nobody: Cloud Run does not ask IAM who calls it, as deployment tells it."""
    if not function.is_private:
        return set()
    emails = names.invokers(
        scheduled=bool(function.schedule), callers=function.invokers, project=google.project
    )
    return {f"serviceAccount:{email}" for email in emails}


def _member(google: Google, account: str) -> str:
    return f"serviceAccount:{names.email(account, google.project)}"


def _is_ours(google: Google, member: str) -> bool:
    return member.startswith(f"serviceAccount:{names.PREFIX}") and member.endswith(
        names.email("", google.project)
    )
