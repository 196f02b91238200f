"""Names everything in Google Cloud, for setup, which creates it, and for deployment, which uses it.

An environment (develop, main) is a branch, a GitHub environment and a Google Cloud project of its own, so
names need no suffix. Only setup decides who may call a private function: deployment does not touch IAM
policies, and its account has no right to.
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
SCHEDULER_REGION = "europe-west1"  # Cloud Scheduler does not exist in every region of Cloud Run.

MAX_ACCOUNT_NAME = 30  # Google's limit


def runtime_account(function: str) -> str:
    """Returns the id of a function's own service account, at most MAX_ACCOUNT_NAME characters."""
    whole = PREFIX + function
    if len(whole) <= MAX_ACCOUNT_NAME:
        return whole
    return f"{whole[:23].rstrip('-')}-{sha256(function.encode()).hexdigest()[:6]}"


def email(account: str, project: str) -> str:
    """Returns the address of a service account of the project."""
    return f"{account}@{project}.iam.gserviceaccount.com"


def invokers(*, scheduled: bool, callers: Iterable[str], project: str) -> list[str]:
    """Returns the accounts that may call a private function: Cloud Scheduler's, and those of its callers."""
    accounts = [SCHEDULER_ACCOUNT] if scheduled else []
    accounts += [runtime_account(caller) for caller in callers]
    return [email(account, project) for account in accounts]


def audience(function: str, project: str) -> str:
    """Returns the audience of a private function: its AUDIENCE, and that of identity tokens for it."""
    return f"https://{function}.{project}.supadesk.internal"


def service_url(function: str, project_number: str, region: str) -> str:
    """Returns the address of a function on Cloud Run, which is fixed before the first deployment."""
    return f"https://{function}-{project_number}.{region}.run.app"


def job(function: str) -> str:
    """Returns the id of the Cloud Scheduler job that calls a function."""
    return PREFIX + function


def secret_id(variable: str) -> str:
    """Returns the id in Secret Manager of an environment variable."""
    return PREFIX + variable.lower().replace("_", "-")


def is_project_id(text: str) -> bool:
    """Checks for the form of a project id."""
    return re.fullmatch(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", text) is not None
