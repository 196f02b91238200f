"""Who may do what on a resource: IAM policies, read, changed and written back under their etag."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from google.api_core.exceptions import Conflict
from google.api_core.retry import Retry, if_exception_type

from deploy import names
from deploy.setup.google import TIMEOUT, Change, Changes, Google, Json

Grants = Mapping[str, set[str]]


class Resource(NamedTuple):
    """Something that has a policy: the API it belongs to and its name there."""

    service: str
    version: str
    name: str
    label: str
    reads_by_post: bool = False

    def read(self, google: Google) -> Json:
        """Its policy; empty where it does not exist yet."""
        path = f"{self.version}/{self.name}:getIamPolicy"
        if self.reads_by_post:
            body = {"options": {"requestedPolicyVersion": 3}}
            policy = google.found(lambda: google.call(self.service, "POST", path, body))
        else:
            policy = google.find(self.service, f"{path}?options.requestedPolicyVersion=3")
        return policy or {}

    def write(self, google: Google, policy: Json) -> None:
        """Replace its policy, if it is still the one that was read; else Conflict."""
        body = {"policy": policy | {"version": 3}}
        google.call(self.service, "POST", f"{self.version}/{self.name}:setIamPolicy", body)


def project_policy(google: Google) -> Resource:
    return Resource(
        "cloudresourcemanager", "v3", f"projects/{google.project}", "the project", reads_by_post=True
    )


def account_policy(google: Google, account: str) -> Resource:
    name = f"projects/{google.project}/serviceAccounts/{names.email(account, google.project)}"
    return Resource("iam", "v1", name, account, reads_by_post=True)


def secret_policy(google: Google, secret: str) -> Resource:
    return Resource("secretmanager", "v1", f"projects/{google.project}/secrets/{secret}", secret)


def service_policy(google: Google, service: str, region: str) -> Resource:
    name = f"projects/{google.project}/locations/{region}/services/{service}"
    return Resource("run", "v2", name, service)


def grants(
    google: Google, resource: Resource, wanted: Grants, *, ours: Callable[[str], bool] | None = None
) -> Changes:
    """Gives the members of `wanted`, by role, what they lack, and takes from others what is not wanted.

    Taken away are the roles of `wanted` from everybody else, or with `ours` every other role from the members that are.
    Bindings with a condition were made by somebody for a reason, and are left alone.
    """
    have = _members(resource.read(google))
    for role in sorted(set(have) | set(wanted)):
        there, wished = have.get(role, set()), wanted.get(role, set())
        lacking = wished - there
        superfluous = {member for member in there - wished if (ours(member) if ours else role in wanted)}
        for member in sorted(lacking):
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
    google: Google, resource: Resource, says: str, role: str, member: str, *, present: bool
) -> Change:
    return Change(says, lambda: _settle(google, resource, role, member, present=present))


def _settle(google: Google, resource: Resource, role: str, member: str, *, present: bool) -> None:
    def write() -> None:
        resource.write(google, _with(resource.read(google), role, member, present=present))

    # Where somebody else wrote in between, theirs has to be read first.
    Retry(predicate=if_exception_type(Conflict), initial=google.pause, timeout=TIMEOUT)(write)()


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
