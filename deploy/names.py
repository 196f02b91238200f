"""What everything is called in Google Cloud: set-up makes it under these names, deployment uses it by them.

An environment (develop, main) is a branch, a GitHub environment and a Google Cloud project of its own, so no
name needs a suffix that tells them apart. Who may call a private function is set-up's business alone: deployment leaves
the IAM policies of services as they are, and its account could not change them.
"""

import re
from collections.abc import Iterable
from hashlib import sha256

ENVIRONMENTS = ("develop", "main")
PREFIX = "supadesk-"
BUILD_ACCOUNT = PREFIX + "build"
SCHEDULER_ACCOUNT = PREFIX + "scheduler"
DEPLOYER_ACCOUNT = PREFIX + "deployer"
IDENTITY_POOL = IDENTITY_PROVIDER = "github"
SCHEDULER_REGION = "europe-west1"  # Cloud Scheduler is not in every region that functions run in.

LONGEST_ACCOUNT = 30  # Google's limit


def runtime_account(function: str) -> str:
    """The id of the service account that a function runs as: at most 30 characters, one of its own for each."""
    whole = PREFIX + function
    if len(whole) <= LONGEST_ACCOUNT:
        return whole
    return f"{whole[:23].rstrip('-')}-{sha256(function.encode()).hexdigest()[:6]}"


def email(account: str, project: str) -> str:
    """The address of a service account of the project."""
    return f"{account}@{project}.iam.gserviceaccount.com"


def invokers(*, scheduled: bool, callers: Iterable[str], project: str) -> list[str]:
    """The addresses of who may call a private function: Cloud Scheduler, and functions that name it."""
    accounts = [SCHEDULER_ACCOUNT] if scheduled else []
    accounts += [runtime_account(caller) for caller in callers]
    return [email(account, project) for account in accounts]


def audience(function: str, project: str) -> str:
    """The custom audience of a private function: what AUDIENCE says, and identity tokens for it name."""
    return f"https://{function}.{project}.supadesk.internal"


def service_url(function: str, project_number: str, region: str) -> str:
    """Where Cloud Run serves a function; known before it is deployed."""
    return f"https://{function}-{project_number}.{region}.run.app"


def job(function: str) -> str:
    """The id of the Cloud Scheduler job that calls a function."""
    return PREFIX + function


def secret_id(variable: str) -> str:
    """The id in Secret Manager of what a function is given as this environment variable."""
    return PREFIX + variable.lower().replace("_", "-")


def is_project_id(text: str) -> bool:
    """Whether Google would take it for the id of a project."""
    return re.fullmatch(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", text) is not None
