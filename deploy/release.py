"""What one deployment of a function sets, and the gcloud commands that set it."""

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
# gcloud splits at commas, and values have some.
SEPARATOR = "||"


@dataclass(frozen=True)
class Release:
    """A function, what it is made of, and everything that it will find in its environment."""

    function: Function
    staged: Staged
    project: str
    env: dict[str, str]
    secrets: dict[str, str]  # by variable, as <id>:<version>

    @property
    def fingerprint(self) -> str:
        """The same for the same code, settings, values and versions of secrets; fits a label."""
        everything = json.dumps([self.staged.hash, self.project, self.env, self.secrets], sort_keys=True)
        return sha256(everything.encode()).hexdigest()[:40]

    @property
    def where(self) -> Command:
        return [f"--region={self.function.region}", f"--project={self.project}", "--quiet"]

    def deploy_first(self) -> Command:
        """Build it and have it serve at once, for Cloud Run has it no other way."""
        return [*self._deploy(), *self.gate()]

    def deploy_candidate(self) -> Command:
        """Build it and have it serve at the address of its tag only."""
        return [*self._deploy(), "--no-traffic", f"--tag={CANDIDATE}"]

    def gate(self) -> Command:
        """Whether Cloud Run asks IAM who may call it: to change that takes more rights than to deploy does."""
        return ["--invoker-iam-check" if self.function.is_private else "--no-invoker-iam-check"]

    def _deploy(self) -> Command:
        return [
            "run",
            "deploy",
            self.function.name,
            *self.where,
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
        return [f"--service-account={account}", f"--ingress={self.function.ingress}", audiences]

    def _environment(self) -> Command:
        pairs = SEPARATOR.join(f"{name}={value}" for name, value in self.env.items())
        secrets = ",".join(f"{name}={version}" for name, version in self.secrets.items())
        return [
            f"--set-env-vars=^{SEPARATOR}^{pairs}",
            f"--set-secrets={secrets}" if secrets else "--clear-secrets",
        ]


def shift(function: Function, project: str, *, to: str, away_from: str) -> Command:
    """Give all traffic to a revision, and remember the one that it is taken from."""
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


def environment(function: Function, project: str, known: Mapping[str, str]) -> dict[str, str]:
    """The plain variables, from what deployment knows itself and from `known`; DeployError names what is missing."""
    # Without it the framework would make an app of the other flavour first, only to throw it away.
    own = {"FUNCTION_USE_ASGI": "true"}
    given = {name: value for name in function.env if (value := known.get(name, "").strip())}
    given["GOOGLE_CLOUD_PROJECT"] = project
    given["LINEAR_FORWARD_AUDIENCE"] = names.audience("linear-forward", project)
    if function.is_private:
        callers = names.invokers(
            scheduled=function.schedule is not None, callers=function.invokers, project=project
        )
        given |= {"AUDIENCE": names.audience(function.name, project), "INVOKERS": ",".join(callers)}
    if missing := [name for name in function.env if name not in given and name not in function.optional]:
        raise DeployError(f"{function.name} needs {', '.join(missing)}: set it in the environment")
    if broken := [name for name, value in given.items() if SEPARATOR in value]:
        raise DeployError(f"{function.name}: {', '.join(broken)} must not contain {SEPARATOR}")
    _check_hops(function, given.get("TRUSTED_HOPS", ""))
    return own | {name: given[name] for name in function.env if name in given}


def _check_hops(function: Function, hops: str) -> None:
    """Refuses a count of proxies that a direct caller could get around, by writing X-Forwarded-For itself."""
    if function.is_private or function.is_balanced or not hops.isdecimal() or int(hops) < 2:
        return
    raise DeployError(
        f"{function.name}: TRUSTED_HOPS is {hops}, and ingress in functions.toml is {function.ingress}:"
        " a direct caller could write an address of its choice."
        " Set ingress to internal-and-cloud-load-balancing, or TRUSTED_HOPS to 1"
    )


def secrets(function: Function, newest: Mapping[str, str]) -> dict[str, str]:
    """The version to pin for each secret, `newest` being those of the project; DeployError for one that is not there."""
    pinned = {
        name: (secret, newest.get(secret))
        for name, secret in zip(function.secrets, map(names.secret_id, function.secrets), strict=True)
    }
    there = {name: f"{secret}:{version}" for name, (secret, version) in pinned.items() if version}
    may_be_missing = {*function.one_of, *function.optional}
    missing = [name for name in function.secrets if name not in there and name not in may_be_missing]
    if missing:
        ids = ", ".join(map(names.secret_id, missing))
        raise DeployError(
            f"{function.name} needs {', '.join(missing)}: there is no enabled version of {ids} in Secret Manager that this account can see"
        )
    of_these = len(there.keys() & set(function.one_of))
    if function.one_of and of_these != 1 and (of_these or function.needs_one_of):
        raise DeployError(
            f"{function.name} takes one of {' and '.join(function.one_of)}: exactly one of them must be in Secret Manager"
        )
    return there


def _relative(folder: Path) -> str:
    """As short as it can be said from here."""
    return str(folder.relative_to(Path.cwd())) if folder.is_relative_to(Path.cwd()) else str(folder)
