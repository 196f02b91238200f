"""Yields all changes that a project needs, part by part; later parts depend on earlier ones."""

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

ACCOUNT_USER = "roles/iam.serviceAccountUser"
FEDERATION_USER = "roles/iam.workloadIdentityUser"
INVOKER = "roles/run.invoker"
SECRET_VIEWER = "roles/secretmanager.viewer"
SECRET_ACCESSOR = "roles/secretmanager.secretAccessor"


class ProjectSettings(NamedTuple):
    """Holds the table of functions and the settings of one project."""

    functions: list[Function]
    scheduler_region: str
    repository: Repository | None


def changes(google: Google, settings: ProjectSettings, values: Values) -> Changes:
    """Yields the missing changes; `values` has new and possibly changed secrets by variable."""
    yield from apis(google)
    yield from accounts(google, _account_purposes(settings.functions))
    yield from _rights_on_project(google)
    yield from secret_versions(google, values)
    yield from _rights_on_secrets(google, settings.functions, set(values))
    if settings.repository:
        yield from federation(google, settings.repository)
    yield from _rights_on_accounts(google, settings)
    addresses = deployed(google, settings.functions)
    for function in settings.functions:
        if function.name in addresses:
            policy = service_policy(google, function.name, function.region)
            yield from grants(google, policy, {INVOKER: _invokers(google, function)})
    scheduled = [function for function in settings.functions if function.schedule]
    urls = {addresses[function.name]: function for function in scheduled if function.name in addresses}
    yield from jobs(google, settings.scheduler_region, urls, [function.name for function in scheduled])


def deployed(google: Google, functions: list[Function]) -> dict[str, str]:
    """Returns the address of each deployed function, by name."""
    addresses = {}
    for function in functions:
        name = f"projects/{google.project}/locations/{function.region}/services/{function.name}"
        if service := google.find("run", f"v2/{name}"):
            addresses[function.name] = service["uri"]
    return addresses


def _account_purposes(functions: list[Function]) -> dict[str, str]:
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


def _rights_on_secrets(google: Google, functions: list[Function], new: set[str]) -> Changes:
    """Grants access to secrets; of secrets that no function names any more, takes it away."""
    variables = {names.secret_id(name): name for name in all_secrets(functions)}
    for secret in sorted(stored_secrets(google) | {names.secret_id(name) for name in new}):
        readers = [function for function in functions if variables.get(secret) in function.secrets]
        wanted = {
            SECRET_ACCESSOR: {_member(google, names.runtime_account(function.name)) for function in readers},
            SECRET_VIEWER: {_member(google, names.DEPLOYER_ACCOUNT)} if readers else set(),
        }
        yield from grants(google, secret_policy(google, secret), wanted)


def _rights_on_accounts(google: Google, settings: ProjectSettings) -> Changes:
    deployer = _member(google, names.DEPLOYER_ACCOUNT)
    runtime = [names.runtime_account(function.name) for function in settings.functions]
    for account in (*runtime, names.BUILD_ACCOUNT):
        yield from grants(google, account_policy(google, account), {ACCOUNT_USER: {deployer}})
    if settings.repository:
        wanted = {FEDERATION_USER: {principals(google, settings.repository)}}
        yield from grants(google, account_policy(google, names.DEPLOYER_ACCOUNT), wanted)


def _invokers(google: Google, function: Function) -> set[str]:
    """Returns the callers of a private function; none for a public one, whose check of IAM is off."""
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
