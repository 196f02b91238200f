"""A deployment from end to end: everything is looked at first, then one function after the other goes out."""

from collections.abc import Mapping
from pathlib import Path

from deploy import gcloud, names
from deploy.gcloud import Service
from deploy.release import CANDIDATE, PREVIOUS, Release, environment, secrets, shift
from deploy.smoke import PATIENCE, SmokeFailed, smoke
from deploy.staging import stage
from deploy.table import ROOT, DeployError, Function


def prepare(
    functions: list[Function], project: str, known: Mapping[str, str], root: Path = ROOT
) -> list[Release]:
    """What would go out, complete; DeployError for whatever is missing, before anything is changed."""
    staged = {function: stage(function, root) for function in functions}
    plain = {function: environment(function, project, known) for function in functions}
    gcloud.require_account()
    wanted = {names.secret_id(name) for function in functions for name in function.secrets}
    newest = gcloud.newest_secrets(project, wanted) if wanted else {}
    return [
        Release(function, staged[function], project, plain[function], secrets(function, newest))
        for function in functions
    ]


def rehearsed(
    functions: list[Function], project: str, known: Mapping[str, str], root: Path = ROOT
) -> list[Release]:
    """The same without asking Google: what only Google or another environment knows is shown in its place."""
    releases = []
    for function in functions:
        shown = {name: known.get(name) or f"<{name}>" for name in function.env}
        taken = [name for name in function.secrets if name not in function.one_of[1:]]
        versions = {names.secret_id(name): "<version>" for name in taken}
        releases.append(
            Release(
                function,
                stage(function, root),
                project,
                environment(function, project, shown),
                secrets(function, versions),
            )
        )
    return releases


def is_new(release: Release, deployed: Service | None) -> bool:
    """Whether it is anything else than what people reach already."""
    return release.fingerprint != gcloud.deployed_fingerprint(release.function, release.project, deployed)


def ship(release: Release, before: Service | None, patience: float = PATIENCE) -> None:
    """Deploy one, test it, and only then let people reach it."""
    if before is None or before.serving is None:
        return _ship_first(release, patience)
    function, project = release.function, release.project
    gate = release.gate() if before.is_public == function.is_private else []
    gcloud.run([*release.deploy_candidate(), *gate])
    revision, url = _candidate(gcloud.service(function, project), function)
    try:
        smoke(function, url, patience)
    except SmokeFailed as failed:
        raise SmokeFailed(f"{failed}; the traffic stays with {before.serving}") from None
    gcloud.run(shift(function, project, to=revision, away_from=before.serving))
    return None


def _ship_first(release: Release, patience: float) -> None:
    gcloud.run(release.deploy_first())
    try:
        smoke(release.function, gcloud.service(release.function, release.project).url, patience)
    except SmokeFailed as failed:
        raise SmokeFailed(f"{failed}; it is the first of its name, so there is none to go back to") from None


def _candidate(service: Service, function: Function) -> tuple[str, str]:
    try:
        return service.tags[CANDIDATE]
    except KeyError:
        raise DeployError(f"{function.name}: Cloud Run shows no revision tagged {CANDIDATE}") from None


def roll_back(function: Function, project: str) -> str:
    """Give the traffic back to the revision that had it before, and name that; done twice, it is undone."""
    gcloud.require_account()
    service = gcloud.services(project, {function.region}).get(function.name)
    if service is None or service.serving is None:
        raise DeployError(f"{function.name} is not deployed in {project}")
    if PREVIOUS not in service.tags:
        raise DeployError(f"{function.name} has served no other revision that it could go back to")
    revision, _ = service.tags[PREVIOUS]
    gcloud.run(shift(function, project, to=revision, away_from=service.serving))
    return revision
