"""Runs gcloud: reads what is deployed, and carries commands out."""

import json
import shlex
import shutil
import subprocess
from typing import Any, NamedTuple

from deploy.release import LABEL, Command
from deploy.table import DeployError, Function

UNCHECKED = "run.googleapis.com/invoker-iam-disabled"
CALL_TIMEOUT_S = 120
BUILD_TIMEOUT_S = 1800


class Service(NamedTuple):
    """Holds a deployed function: address, serving revision, and (revision, address) by tag."""

    url: str
    is_public: bool
    serving: str | None
    tags: dict[str, tuple[str, str]]


def command_line(command: Command) -> str:
    """Formats a command as a shell line."""
    return shlex.join(["gcloud", *command])


def run(command: Command) -> None:
    """Runs a command with visible progress; raises DeployError if it fails or takes too long."""
    try:
        status = subprocess.run(
            _argv(command), timeout=BUILD_TIMEOUT_S, stdin=subprocess.DEVNULL, check=False
        ).returncode
    except subprocess.TimeoutExpired:
        raise DeployError(f"{command_line(command[:3])} took longer than {BUILD_TIMEOUT_S} s") from None
    if status:
        raise DeployError(f"{command_line(command[:4])} ended with status {status}: gcloud says why, above")


def ask(command: Command) -> Any:
    """Runs a command and returns its parsed JSON output; raises DeployError."""
    command = [*command, "--format=json"]
    try:
        process = subprocess.run(
            _argv(command),
            timeout=CALL_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if process.returncode == 0:
            return json.loads(process.stdout or "null")
    except subprocess.TimeoutExpired:
        raise DeployError(f"{command_line(command)} took longer than {CALL_TIMEOUT_S} s") from None
    except ValueError:
        raise DeployError(f"{command_line(command)} did not answer with JSON") from None
    raise DeployError(
        f"{command_line(command)} failed: {process.stderr.strip() or f'status {process.returncode}'}"
    )


def require_account() -> None:
    """Raises DeployError unless gcloud is installed and signed in."""
    if not ask(["auth", "list", "--filter=status:ACTIVE"]):
        raise DeployError("gcloud is not signed in: run gcloud auth login")


def services(project: str, regions: set[str]) -> dict[str, Service]:
    """Returns the deployed services of a project, by name."""
    descriptions = [
        service
        for region in sorted(regions)
        for service in ask(["run", "services", "list", f"--region={region}", f"--project={project}"])
    ]
    return {service["metadata"]["name"]: _service(service) for service in descriptions}


def service(function: Function, project: str) -> Service:
    """Returns the service of one function; raises DeployError if it is not deployed."""
    command = ["run", "services", "describe", function.name]
    return _service(ask([*command, f"--region={function.region}", f"--project={project}"]))


def deployed_fingerprint(function: Function, project: str, service: Service | None) -> str | None:
    """Returns the fingerprint of the serving revision, not of a later one that failed its smoke test."""
    if service is None or service.serving is None:
        return None
    command = ["run", "revisions", "describe", service.serving]
    revision = ask([*command, f"--region={function.region}", f"--project={project}"])
    label: str | None = revision["metadata"].get("labels", {}).get(LABEL)
    return label


def newest_secrets(project: str, wanted: set[str]) -> dict[str, str]:
    """Returns the newest enabled version of each existing secret, by its id."""
    newest = {secret: _newest_version(secret, project) for secret in sorted(wanted)}
    return {secret: version for secret, version in newest.items() if version}


def _newest_version(secret: str, project: str) -> str | None:
    try:
        versions = ask(
            ["secrets", "versions", "list", secret, f"--project={project}", "--filter=state:ENABLED"]
        )
    except DeployError as error:
        # An account that may see only some secrets gets PERMISSION_DENIED for missing ones.
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
            "gcloud is not on the PATH: install the Google Cloud CLI,"
            " https://cloud.google.com/sdk/docs/install"
        )
    return [program, *command]
