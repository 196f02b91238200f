"""The gcloud command: what is asked of it, and what is done by it."""

import json
import shlex
import shutil
import subprocess
from typing import Any, NamedTuple

from deploy.release import LABEL, Command
from deploy.table import DeployError, Function

UNCHECKED = "run.googleapis.com/invoker-iam-disabled"
ASKING = 120  # seconds
BUILDING = 1800


class Service(NamedTuple):
    """A deployed function: its address, the revision that people reach, and revisions and addresses by tag."""

    url: str
    is_public: bool
    serving: str | None
    tags: dict[str, tuple[str, str]]


def shown(command: Command) -> str:
    """As one would type it."""
    return shlex.join(["gcloud", *command])


def run(command: Command) -> None:
    """Have it done, its progress to be seen."""
    try:
        status = subprocess.run(
            _argv(command), timeout=BUILDING, stdin=subprocess.DEVNULL, check=False
        ).returncode
    except subprocess.TimeoutExpired:
        raise DeployError(f"{shown(command[:3])} took longer than {BUILDING} s") from None
    if status:
        raise DeployError(f"{shown(command[:4])} ended with status {status}: gcloud says why, above")


def ask(command: Command) -> Any:
    """Its answer, from JSON."""
    command = [*command, "--format=json"]
    try:
        done = subprocess.run(
            _argv(command),
            timeout=ASKING,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return json.loads(done.stdout or "null")
    except subprocess.TimeoutExpired:
        raise DeployError(f"{shown(command)} took longer than {ASKING} s") from None
    except ValueError:
        raise DeployError(f"{shown(command)} did not answer with JSON") from None
    raise DeployError(f"{shown(command)} failed: {done.stderr.strip() or f'status {done.returncode}'}")


def require_account() -> None:
    """gcloud is here, and somebody is signed in to it."""
    if not ask(["auth", "list", "--filter=status:ACTIVE"]):
        raise DeployError("gcloud is not signed in: run gcloud auth login")


def services(project: str, regions: set[str]) -> dict[str, Service]:
    """Everything that has been deployed there, by name."""
    found = [
        service
        for region in sorted(regions)
        for service in ask(["run", "services", "list", f"--region={region}", f"--project={project}"])
    ]
    return {service["metadata"]["name"]: _service(service) for service in found}


def service(function: Function, project: str) -> Service:
    """One of them."""
    command = ["run", "services", "describe", function.name]
    return _service(ask([*command, f"--region={function.region}", f"--project={project}"]))


def deployed_fingerprint(function: Function, project: str, service: Service | None) -> str | None:
    """That of the revision that people reach, not of a later one that failed its test."""
    if service is None or service.serving is None:
        return None
    command = ["run", "revisions", "describe", service.serving]
    revision = ask([*command, f"--region={function.region}", f"--project={project}"])
    label: str | None = revision["metadata"].get("labels", {}).get(LABEL)
    return label


def newest_secrets(project: str, wanted: set[str]) -> dict[str, str]:
    """The newest enabled version of each of these secrets that is there, by id."""
    newest = {secret: _newest_version(secret, project) for secret in sorted(wanted)}
    return {secret: version for secret, version in newest.items() if version}


def _newest_version(secret: str, project: str) -> str | None:
    try:
        versions = ask(
            ["secrets", "versions", "list", secret, f"--project={project}", "--filter=state:ENABLED"]
        )
    except DeployError as error:
        # Who may see some secrets only is not told which others there are.
        if any(status in str(error) for status in ("NOT_FOUND", "PERMISSION_DENIED")):
            return None
        raise
    numbers = [int(version["name"].rpartition("/")[2]) for version in versions]
    return str(max(numbers)) if numbers else None


def _service(service: dict[str, Any]) -> Service:
    status = service.get("status", {})
    traffic: list[dict[str, Any]] = status.get("traffic", [])
    busiest: dict[str, Any] = max(traffic, key=lambda target: target.get("percent", 0), default={})
    return Service(
        url=status.get("url", ""),
        is_public=service["metadata"].get("annotations", {}).get(UNCHECKED) == "true",
        serving=busiest["revisionName"] if busiest.get("percent") else None,
        tags={
            target["tag"]: (target["revisionName"], target.get("url", ""))
            for target in traffic
            if "tag" in target
        },
    )


def _argv(command: Command) -> list[str]:
    program = shutil.which("gcloud")
    if program is None:
        raise DeployError(
            "gcloud is not on the PATH: install the Google Cloud CLI, https://cloud.google.com/sdk/docs/install"
        )
    return [program, *command]
