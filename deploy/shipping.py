"""Deploys functions one by one, after all checks that need no deployment."""

from collections.abc import Mapping
from pathlib import Path

from deploy import gcloud, names
from deploy.gcloud import Service
from deploy.release import CANDIDATE, PREVIOUS, Release, environment, secrets, shift
from deploy.smoke import SMOKE_TIMEOUT_S, SmokeFailed, smoke
from deploy.staging import stage
from deploy.table import ROOT, DeployError, Function


def prepare(
    functions: list[Function], project: str, values: Mapping[str, str], root: Path = ROOT
) -> list[Release]:
    """Builds the releases of functions; raises DeployError for missing values before anything changes."""
    staged = {function: stage(function, root) for function in functions}
    plain = {function: environment(function, project, values) for function in functions}
    gcloud.require_account()
    wanted = {names.secret_id(name) for function in functions for name in function.secrets}
    newest = gcloud.newest_secrets(project, wanted) if wanted else {}
    return [
        Release(function, staged[function], project, plain[function], secrets(function, newest))
        for function in functions
    ]


def preview(
    functions: list[Function], project: str, values: Mapping[str, str], root: Path = ROOT
) -> list[Release]:
    """Builds the releases without calling Google; placeholders stand for unknown values."""
    releases = []
    for function in functions:
        variables = {name: values.get(name) or f"<{name}>" for name in function.env}
        required = [name for name in function.secrets if name not in function.one_of[1:]]
        versions = {names.secret_id(name): "<version>" for name in required}
        releases.append(
            Release(
                function,
                stage(function, root),
                project,
                environment(function, project, variables),
                secrets(function, versions),
            )
        )
    return releases


def is_new(release: Release, deployed: Service | None) -> bool:
    """Compares a release with the serving revision; true if they differ."""
    return release.fingerprint != gcloud.deployed_fingerprint(release.function, release.project, deployed)


def ship(release: Release, before: Service | None, timeout_s: float = SMOKE_TIMEOUT_S) -> None:
    """Deploys a candidate, runs its smoke test, then gives it the traffic; raises DeployError."""
    if before is None or before.serving is None:
        return _ship_first(release, timeout_s)
    function, project = release.function, release.project
    gate = release.gate() if before.is_public == function.is_private else []
    gcloud.run([*release.deploy_candidate(), *gate])
    revision, url = _candidate(gcloud.service(function, project), function)
    try:
        smoke(function, url, timeout_s)
    except SmokeFailed as failed:
        raise SmokeFailed(f"{failed}; the traffic stays with {before.serving}") from None
    gcloud.run(shift(function, project, to=revision, away_from=before.serving))
    return None


def _ship_first(release: Release, timeout_s: float) -> None:
    gcloud.run(release.deploy_first())
    try:
        smoke(release.function, gcloud.service(release.function, release.project).url, timeout_s)
    except SmokeFailed as failed:
        raise SmokeFailed(f"{failed}; it is the first of its name, so there is none to go back to") from None


def _candidate(service: Service, function: Function) -> tuple[str, str]:
    try:
        return service.tags[CANDIDATE]
    except KeyError:
        raise DeployError(f"{function.name}: Cloud Run shows no revision tagged {CANDIDATE}") from None


def roll_back(function: Function, project: str) -> str:
    """Moves the traffic to the previous revision and returns its name; a second call undoes the first."""
    gcloud.require_account()
    service = gcloud.services(project, {function.region}).get(function.name)
    if service is None or service.serving is None:
        raise DeployError(f"{function.name} is not deployed in {project}")
    if PREVIOUS not in service.tags:
        raise DeployError(f"{function.name} has served no other revision that it could go back to")
    revision, _ = service.tags[PREVIOUS]
    gcloud.run(shift(function, project, to=revision, away_from=service.serving))
    return revision
