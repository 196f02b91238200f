"""Creates the service accounts: one per function, and those for builds, the schedule and deployment."""

from collections.abc import Mapping
from functools import partial

from deploy import names
from deploy.setup.google import Changes, Google, PendingChange


def accounts(google: Google, purposes: Mapping[str, str]) -> Changes:
    """Creates the missing accounts; `purposes` has the display names by id."""
    for account, purpose in purposes.items():
        path = f"v1/projects/{google.project}/serviceAccounts"
        if google.find("iam", f"{path}/{names.email(account, google.project)}") is None:
            body = {"accountId": account, "serviceAccount": {"displayName": purpose[:100]}}
            yield PendingChange(
                f"make the service account {account}", partial(google.call, "iam", "POST", path, body)
            )
