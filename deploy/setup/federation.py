"""Sets Workload Identity Federation up: jobs of one GitHub repository deploy without a stored key."""

from typing import NamedTuple

from deploy import names
from deploy.setup.google import Changes, Google, Json, PendingChange

ISSUER = "https://token.actions.githubusercontent.com"


class Repository(NamedTuple):
    """Identifies the jobs that may deploy, by the repository's and its owner's numbers and the branch.

    Numbers survive a renaming. The job must use the GitHub environment of the branch's name, with its
    protection rules.
    """

    id: str
    owner_id: str
    branch: str

    @property
    def condition(self) -> str:
        """Returns the condition on GitHub's tokens, in CEL."""
        claims = {
            "repository_id": self.id,
            "repository_owner_id": self.owner_id,
            "ref": f"refs/heads/{self.branch}",
            "environment": self.branch,
        }
        return " && ".join(f"assertion.{claim} == '{value}'" for claim, value in claims.items())


def federation(google: Google, repository: Repository) -> Changes:
    """Creates or updates the identity pool and its provider."""
    path = pool_path(google.number)
    yield from _ensure(google, path, names.IDENTITY_POOL, {"displayName": "GitHub"}, "workloadIdentityPoolId")
    provider: Json = {
        "displayName": "GitHub Actions",
        "attributeMapping": {
            "google.subject": "assertion.sub",
            "attribute.repository_id": "assertion.repository_id",
        },
        "attributeCondition": repository.condition,
        "oidc": {"issuerUri": ISSUER},
    }
    yield from _ensure(
        google,
        provider_path(google.number),
        names.IDENTITY_PROVIDER,
        provider,
        "workloadIdentityPoolProviderId",
    )


def pool_path(project_number: str) -> str:
    """Returns the full name of the pool."""
    return f"projects/{project_number}/locations/global/workloadIdentityPools/{names.IDENTITY_POOL}"


def provider_path(project_number: str) -> str:
    """Returns the full name of the provider, which the deployment workflow needs."""
    return f"{pool_path(project_number)}/providers/{names.IDENTITY_PROVIDER}"


def principals(google: Google, repository: Repository) -> str:
    """Returns the principal set of all jobs of the repository."""
    pool = f"principalSet://iam.googleapis.com/{pool_path(google.number)}"
    return f"{pool}/attribute.repository_id/{repository.id}"


def _ensure(google: Google, path: str, label: str, wanted: Json, id_parameter: str) -> Changes:
    kind = "provider" if "/providers/" in path else "pool"
    current = google.find("iam", f"v1/{path}")
    if current is None:
        parent, _, name = path.rpartition("/")
        create = f"v1/{parent}?{id_parameter}={name}"
        yield PendingChange(
            f"make the identity {kind} {label}", lambda: _finish(google, "POST", create, wanted)
        )
        return
    # A deleted pool or provider keeps its name for thirty days; until then it can only be restored.
    if current.get("state") == "DELETED":
        yield PendingChange(
            f"bring the identity {kind} {label} back",
            lambda: _finish(google, "POST", f"v1/{path}:undelete", {}),
        )
    differences = [field for field, value in wanted.items() if not _matches(current.get(field), value)]
    if current.get("disabled"):
        wanted, differences = wanted | {"disabled": False}, [*differences, "disabled"]
    if differences:
        update = f"v1/{path}?updateMask={','.join(differences)}"
        body = {field: wanted[field] for field in differences}
        description = f"change the identity {kind} {label}: {', '.join(differences)}"
        yield PendingChange(description, lambda: _finish(google, "PATCH", update, body))


def _matches(current: object, wanted: object) -> bool:
    """Compares the fields that we set; Google may add others."""
    if isinstance(current, dict) and isinstance(wanted, dict) and "issuerUri" in wanted:
        return {key: current.get(key) for key in wanted} == wanted
    return current == wanted


def _finish(google: Google, method: str, path: str, body: Json) -> None:
    google.finish("iam", "v1", google.call("iam", method, path, body))
