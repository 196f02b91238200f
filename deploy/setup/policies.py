"""Grants and revokes roles: reads, changes and writes IAM policies under their etag."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from google.api_core.exceptions import Conflict
from google.api_core.retry import Retry, if_exception_type

from deploy import names
from deploy.setup.google import CALL_TIMEOUT_S, Changes, Google, Json, PendingChange

Grants = Mapping[str, set[str]]


class Resource(NamedTuple):
    """Identifies a resource with a policy: its API and its name there."""

    service: str
    version: str
    name: str
    label: str
    reads_by_post: bool = False

    def read(self, google: Google) -> Json:
        """Reads the policy; returns an empty one if the resource does not exist."""
        path = f"{self.version}/{self.name}:getIamPolicy"
        if self.reads_by_post:
            body = {"options": {"requestedPolicyVersion": 3}}
            policy = google.read_optional(lambda: google.call(self.service, "POST", path, body))
        else:
            policy = google.find(self.service, f"{path}?options.requestedPolicyVersion=3")
        return policy or {}

    def write(self, google: Google, policy: Json) -> None:
        """Replaces the policy; raises Conflict if it has changed since it was read."""
        body = {"policy": policy | {"version": 3}}
        google.call(self.service, "POST", f"{self.version}/{self.name}:setIamPolicy", body)


def project_policy(google: Google) -> Resource:
    """Identifies the project."""
    return Resource(
        "cloudresourcemanager", "v3", f"projects/{google.project}", "the project", reads_by_post=True
    )


def account_policy(google: Google, account: str) -> Resource:
    """Identifies a service account of the project."""
    name = f"projects/{google.project}/serviceAccounts/{names.email(account, google.project)}"
    return Resource("iam", "v1", name, account, reads_by_post=True)


def secret_policy(google: Google, secret: str) -> Resource:
    """Identifies a secret of the project."""
    return Resource("secretmanager", "v1", f"projects/{google.project}/secrets/{secret}", secret)


def service_policy(google: Google, service: str, region: str) -> Resource:
    """Identifies a Cloud Run service of the project."""
    name = f"projects/{google.project}/locations/{region}/services/{service}"
    return Resource("run", "v2", name, service)


def grants(
    google: Google, resource: Resource, wanted: Grants, *, ours: Callable[[str], bool] | None = None
) -> Changes:
    """Grants the roles of `wanted` to their members, and revokes superfluous ones.

    Without `ours`, the roles of `wanted` are revoked from all other members. With it, every other role is
    revoked from members for which it is true. Conditional bindings are deliberate and stay.
    """
    current = _members(resource.read(google))
    for role in sorted(set(current) | set(wanted)):
        granted, required = current.get(role, set()), wanted.get(role, set())
        missing = required - granted
        superfluous = {member for member in granted - required if (ours(member) if ours else role in wanted)}
        for member in sorted(missing):
            yield _change(
                google, resource, f"give {member} {role} on {resource.label}", role, member, present=True
            )
        for member in sorted(superfluous):
            yield _change(
                google,
                resource,
                f"take {role} on {resource.label} from {member}",
                role,
                member,
                present=False,
            )


def _change(
    google: Google, resource: Resource, description: str, role: str, member: str, *, present: bool
) -> PendingChange:
    return PendingChange(description, lambda: _write(google, resource, role, member, present=present))


def _write(google: Google, resource: Resource, role: str, member: str, *, present: bool) -> None:
    def write() -> None:
        resource.write(google, _with(resource.read(google), role, member, present=present))

    # Another writer came first: read its policy and apply the change to that.
    Retry(predicate=if_exception_type(Conflict), initial=google.backoff_s, timeout=CALL_TIMEOUT_S)(write)()


def _with(policy: Json, role: str, member: str, *, present: bool) -> Json:
    members = _members(policy).get(role, set()) - {member} | ({member} if present else set())
    others = [
        binding
        for binding in policy.get("bindings", [])
        if binding.get("condition") or binding["role"] != role
    ]
    return policy | {"bindings": others + ([{"role": role, "members": sorted(members)}] if members else [])}


def _members(policy: Json) -> dict[str, set[str]]:
    members: dict[str, set[str]] = {}
    for binding in policy.get("bindings", []):
        if not binding.get("condition"):
            members.setdefault(binding["role"], set()).update(binding.get("members", []))
    return members
