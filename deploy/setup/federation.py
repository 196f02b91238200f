"""Workload Identity Federation: jobs of the one GitHub repository deploy without a key that could be stolen."""

from typing import NamedTuple

from deploy import names
from deploy.setup.google import Change, Changes, Google, Json

ISSUER = "https://token.actions.githubusercontent.com"
WORKFLOW = ".github/workflows/deploy.yml"
# Only our provider maps it: a pool of this name may have had other providers before.
ATTRIBUTE = "supadesk_repository"


class Repository(NamedTuple):
    """The repository that deploys: GitHub's numbers of it and its owner, which no renaming moves, and the branch.

    The job must name the GitHub environment of the branch's name, so that its protection rules hold.
    """

    id: str
    owner_id: str
    branch: str

    @property
    def condition(self) -> str:
        """Returns the condition on a token of GitHub's, in CEL.

        The workflow is compared by its end, since the name of the repository stands before it. No branch can
        feign that end: no part of a branch's name begins with a dot.
        """
        claims = {
            "repository_id": self.id,
            "repository_owner_id": self.owner_id,
            "ref": f"refs/heads/{self.branch}",
            "environment": self.branch,
        }
        equal = [f"assertion.{claim} == '{value}'" for claim, value in claims.items()]
        workflow = f"/{WORKFLOW}@refs/heads/{self.branch}"
        return " && ".join([*equal, f"assertion.workflow_ref.endsWith('{workflow}')"])


def federation(google: Google, repository: Repository) -> Changes:
    """Makes the pool and the provider in it, or brings them up to date."""
    path = pool_path(google.number)
    yield from _there(google, path, names.IDENTITY_POOL, {"displayName": "GitHub"}, "workloadIdentityPoolId")
    provider: Json = {
        "displayName": "GitHub Actions",
        "attributeMapping": {
            "google.subject": "assertion.sub",
            f"attribute.{ATTRIBUTE}": "assertion.repository_id",
        },
        "attributeCondition": repository.condition,
        "oidc": {"issuerUri": ISSUER},
    }
    yield from _there(
        google,
        provider_path(google.number),
        names.IDENTITY_PROVIDER,
        provider,
        "workloadIdentityPoolProviderId",
    )


def pool_path(project_number: str) -> str:
    """The full name of the pool."""
    return f"projects/{project_number}/locations/global/workloadIdentityPools/{names.IDENTITY_POOL}"


def provider_path(project_number: str) -> str:
    """The full name of the provider, which the workflow has to be told."""
    return f"{pool_path(project_number)}/providers/{names.IDENTITY_PROVIDER}"


def principals(google: Google, repository: Repository) -> str:
    """Returns all jobs of the repository that the provider lets in."""
    pool = pool_path(google.number)
    return f"principalSet://iam.googleapis.com/{pool}/attribute.{ATTRIBUTE}/{repository.id}"


def _there(google: Google, path: str, label: str, wanted: Json, id_parameter: str) -> Changes:
    kind = "provider" if "/providers/" in path else "pool"
    current = google.find("iam", f"v1/{path}")
    if current is None:
        parent, _, name = path.rpartition("/")
        create = f"v1/{parent}?{id_parameter}={name}"
        yield Change(f"make the identity {kind} {label}", lambda: _finish(google, "POST", create, wanted))
        return
    # What was deleted keeps its name for thirty days and can only be brought back.
    if current.get("state") == "DELETED":
        yield Change(
            f"bring the identity {kind} {label} back",
            lambda: _finish(google, "POST", f"v1/{path}:undelete", {}),
        )
    different = [field for field, value in wanted.items() if not _says(current.get(field), value)]
    if current.get("disabled"):
        wanted, different = wanted | {"disabled": False}, [*different, "disabled"]
    if different:
        update = f"v1/{path}?updateMask={','.join(different)}"
        body = {field: wanted[field] for field in different}
        says = f"change the identity {kind} {label}: {', '.join(different)}"
        yield Change(says, lambda: _finish(google, "PATCH", update, body))


def _says(current: object, wanted: object) -> bool:
    """Whether what is there holds what is wanted; Google may have added to it."""
    if isinstance(current, dict) and isinstance(wanted, dict) and "issuerUri" in wanted:
        return {key: current.get(key) for key in wanted} == wanted
    return current == wanted


def _finish(google: Google, method: str, path: str, body: Json) -> None:
    google.finish("iam", "v1", google.call("iam", method, path, body))
