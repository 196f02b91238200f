"""Builds the gcloud commands of one deployment of one function."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from deploy import names
from deploy.staging import Staged
from deploy.table import DeployError, Function

Command = list[str]

LABEL = "supadesk-hash"
CANDIDATE = "candidate"
PREVIOUS = "previous"
# gcloud splits at commas by default, which values contain.
SEPARATOR = "||"


@dataclass(frozen=True)
class Release:
    """Holds one deployment of one function: its code, variables and secret versions."""

    function: Function
    staged: Staged
    project: str
    env: dict[str, str]
    secrets: dict[str, str]  # by variable, as <id>:<version>

    @property
    def fingerprint(self) -> str:
        """Returns a hash of code, settings, variables and secret versions, short enough for a label."""
        content = json.dumps([self.staged.hash, self.project, self.env, self.secrets], sort_keys=True)
        return sha256(content.encode()).hexdigest()[:40]

    @property
    def location(self) -> Command:
        """Returns the flags for region and project."""
        return [f"--region={self.function.region}", f"--project={self.project}", "--quiet"]

    def deploy_first(self) -> Command:
        """Returns the command of a first deployment. Cloud Run gives it all traffic at once."""
        return [*self._deploy(), *self.gate()]

    def deploy_candidate(self) -> Command:
        """Returns the command that deploys a candidate: served only at the address of its tag."""
        return [*self._deploy(), "--no-traffic", f"--tag={CANDIDATE}"]

    def gate(self) -> Command:
        """Returns the flag that sets IAM's check of callers. Changing it needs more rights than deploying."""
        return ["--invoker-iam-check" if self.function.is_private else "--no-invoker-iam-check"]

    def _deploy(self) -> Command:
        return [
            "run",
            "deploy",
            self.function.name,
            *self.location,
            *self._source(),
            *self._size(),
            *self._access(),
            *self._environment(),
            f"--update-labels={LABEL}={self.fingerprint}",
        ]

    def _source(self) -> Command:
        build = names.email(names.BUILD_ACCOUNT, self.project)
        return [
            f"--source={_relative(self.staged.folder)}",
            f"--function={self.function.entry_point}",
            f"--base-image={self.function.runtime}",
            f"--build-service-account=projects/{self.project}/serviceAccounts/{build}",
        ]

    def _size(self) -> Command:
        function = self.function
        return [
            f"--memory={function.memory}",
            f"--cpu={function.cpu}",
            "--cpu-boost",
            f"--concurrency={function.concurrency}",
            f"--min={function.min_instances}",
            f"--max-instances={function.max_instances}",
            f"--timeout={function.timeout}",
        ]

    def _access(self) -> Command:
        account = names.email(names.runtime_account(self.function.name), self.project)
        audience = names.audience(self.function.name, self.project)
        audiences = (
            f"--set-custom-audiences={audience}" if self.function.is_private else "--clear-custom-audiences"
        )
        return [f"--service-account={account}", "--ingress=all", audiences]

    def _environment(self) -> Command:
        pairs = SEPARATOR.join(f"{name}={value}" for name, value in self.env.items())
        secrets = ",".join(f"{name}={version}" for name, version in self.secrets.items())
        return [
            f"--set-env-vars=^{SEPARATOR}^{pairs}",
            f"--set-secrets={secrets}" if secrets else "--clear-secrets",
        ]


def shift(function: Function, project: str, *, to: str, away_from: str) -> Command:
    """Returns the command that moves all traffic to a revision and tags the previous one."""
    return [
        "run",
        "services",
        "update-traffic",
        function.name,
        f"--region={function.region}",
        f"--project={project}",
        "--quiet",
        f"--to-revisions={to}=100",
        f"--update-tags={PREVIOUS}={away_from}",
        f"--remove-tags={CANDIDATE}",
    ]


def environment(function: Function, project: str, values: Mapping[str, str]) -> dict[str, str]:
    """Returns the plain variables, derived or from `values`; raises DeployError for missing ones."""
    # Without it functions-framework first creates a WSGI app, in vain.
    framework = {"FUNCTION_USE_ASGI": "true"}
    variables = {name: value for name in function.env if (value := values.get(name, "").strip())}
    variables["GOOGLE_CLOUD_PROJECT"] = project
    variables["LINEAR_FORWARD_AUDIENCE"] = names.audience("linear-forward", project)
    if function.is_private:
        callers = names.invokers(
            scheduled=function.schedule is not None, callers=function.invokers, project=project
        )
        variables |= {"AUDIENCE": names.audience(function.name, project), "INVOKERS": ",".join(callers)}
    if missing := [name for name in function.env if name not in variables and name not in function.optional]:
        raise DeployError(f"{function.name} needs {', '.join(missing)}: set it in the environment")
    if broken := [name for name, value in variables.items() if SEPARATOR in value]:
        raise DeployError(f"{function.name}: {', '.join(broken)} must not contain {SEPARATOR}")
    return framework | {name: variables[name] for name in function.env if name in variables}


def secrets(function: Function, newest: Mapping[str, str]) -> dict[str, str]:
    """Returns `<id>:<version>` by variable, from the project's `newest` versions by id.

    Raises DeployError for a missing secret, and unless exactly one of `one_of` exists.
    """
    pinned = {
        name: (secret, newest.get(secret))
        for name, secret in zip(function.secrets, map(names.secret_id, function.secrets), strict=True)
    }
    existing = {name: f"{secret}:{version}" for name, (secret, version) in pinned.items() if version}
    optional = {*function.one_of, *function.optional}
    missing = [name for name in function.secrets if name not in existing and name not in optional]
    if missing:
        ids = ", ".join(map(names.secret_id, missing))
        raise DeployError(
            f"{function.name} needs {', '.join(missing)}: there is no enabled version of {ids}"
            " in Secret Manager that this account can see"
        )
    count = len(existing.keys() & set(function.one_of))
    if function.one_of and count != 1 and (count or function.needs_one_of):
        raise DeployError(
            f"{function.name} takes one of {' and '.join(function.one_of)}: exactly one of them"
            " must be in Secret Manager"
        )
    return existing


def _relative(folder: Path) -> str:
    """Returns the path relative to the working directory, if it lies inside."""
    return str(folder.relative_to(Path.cwd())) if folder.is_relative_to(Path.cwd()) else str(folder)
