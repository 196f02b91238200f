"""The service accounts: one for each function, one that builds, one that calls by schedule, one that deploys."""

from collections.abc import Mapping
from functools import partial

from deploy import names
from deploy.setup.google import Change, Changes, Google


def accounts(google: Google, described: Mapping[str, str]) -> Changes:
    """Makes those that are missing; `described` says by its id what each is for."""
    for account, purpose in described.items():
        path = f"v1/projects/{google.project}/serviceAccounts"
        if google.find("iam", f"{path}/{names.email(account, google.project)}") is None:
            body = {"accountId": account, "serviceAccount": {"displayName": purpose[:100]}}
            yield Change(
                f"make the service account {account}", partial(google.call, "iam", "POST", path, body)
            )
