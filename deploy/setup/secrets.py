"""Secrets: every value is a version in Secret Manager, and a function pins the version that it was deployed with."""

import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial

from google.cloud.secretmanager_v1 import SecretManagerServiceClient

from deploy import names
from deploy.setup.google import TIMEOUT, Change, Changes, Google
from deploy.table import DeployError, Function

Values = Mapping[str, str]

# What nobody has to think up: this side and the database are all who know it.
GENERATED = ("INTAKE_SECRET",)


class Refused(DeployError):
    """What was given cannot be gone on with; nothing has been changed."""


def gather(
    google: Google, functions: list[Function], env: Values, ask: Callable[[str], str]
) -> dict[str, str]:
    """The values that the environment has, and one for each secret that has none yet, as far as they are to be had.

    `ask` is told the name of a variable, and answers with its value or with nothing.
    """
    variables = all_secrets(functions)
    values = {name: env[name] for name in variables if env.get(name, "").strip()}
    known = set(values) | {name for name in variables if newest_version(google, name)}
    for name in variables:
        if name in known or _has_another(name, functions, known):
            continue
        value = secrets.token_urlsafe(32) if name in GENERATED else ask(name).strip()
        if value:
            values[name] = value
            known.add(name)
    return {name: checked(name, value) for name, value in values.items()}


def require_complete(google: Google, functions: list[Function], values: Values) -> None:
    """Refused where a function would lack a secret, or have two of those of which it takes one."""
    known = set(values) | {name for name in all_secrets(functions) if newest_version(google, name)}
    wants = [
        name
        for name in all_secrets(functions)
        if any(
            name in function.secrets and name not in {*known, *function.one_of, *function.optional}
            for function in functions
        )
    ]
    for function in functions:
        given = [name for name in function.one_of if name in known]
        if function.needs_one_of and not given:
            wants.append("one of " + " and ".join(function.one_of))
        if len(given) > 1:
            raise Refused(
                f"{function.name} takes only one of {' and '.join(given)}: leave one out of the environment, and"
                f" delete it if it is stored (gcloud secrets delete {names.secret_id(given[-1])})"
            )
    if wants:
        raise Refused(f"no value yet for {', '.join(wants)}: set it in the environment")


def all_secrets(functions: Iterable[Function]) -> list[str]:
    """The variables that are secrets, each once."""
    return list(dict.fromkeys(name for function in functions for name in function.secrets))


def checked(name: str, value: str) -> str:
    """A value as functions will take it."""
    value = value.strip()
    # Some have a line for each of several.
    if not re.fullmatch(r"[\x20-\x7e\n]+", value):
        raise Refused(f"{name} is empty, or holds characters that no key has")
    if name in GENERATED and len(value) < 16:
        raise Refused(f"{name} is shorter than 16 characters")
    return value


def newest_version(google: Google, name: str) -> str | None:
    """The newest version that can be read, by its full name, if there is one."""
    parent, query = secret_path(google, name), "state:ENABLED"
    versions = google.found(
        lambda: list(
            _client(google).list_secret_versions(request={"parent": parent, "filter": query}, timeout=TIMEOUT)
        )
    )
    return versions[0].name if versions else None


def secret_versions(google: Google, values: Values) -> Changes:
    """Makes secrets that are missing, and adds a version where the value is another than the newest version's."""
    there = stored_secrets(google)
    for name, value in values.items():
        secret = names.secret_id(name)
        if secret not in there:
            yield Change(f"make the secret {secret}", partial(_make, google, secret))
        if current_value(google, name) != value:
            yield Change(f"add a version to the secret {secret}", partial(add_version, google, name, value))


def stored_secrets(google: Google) -> set[str]:
    """The ids of the desk's secrets that Secret Manager has."""
    parent = f"projects/{google.project}"
    every = google.found(lambda: list(_client(google).list_secrets(parent=parent, timeout=TIMEOUT))) or []
    ids = {secret.name.rpartition("/")[2] for secret in every}
    return {secret for secret in ids if secret.startswith(names.PREFIX)}


def require_secret(google: Google, name: str) -> None:
    """Refused where the secret has not been made yet."""
    if names.secret_id(name) not in stored_secrets(google):
        raise Refused(
            f"there is no secret {names.secret_id(name)} yet: set up first, with {name} in the environment"
        )


def current_value(google: Google, name: str) -> str | None:
    """What the newest version holds that can be read."""
    version = newest_version(google, name)
    if version is None:
        return None
    answer = google.patiently(lambda: _client(google).access_secret_version(name=version, timeout=TIMEOUT))
    return answer.payload.data.decode()


def add_version(google: Google, name: str, value: str) -> str:
    """The full name of the version that now holds this value."""
    request = {"parent": secret_path(google, name), "payload": {"data": value.encode()}}
    version = google.patiently(lambda: _client(google).add_secret_version(request=request, timeout=TIMEOUT))
    return str(version.name)


def secret_path(google: Google, name: str) -> str:
    """The full name of a variable's secret."""
    return f"projects/{google.project}/secrets/{names.secret_id(name)}"


def _make(google: Google, secret: str) -> None:
    request = {
        "parent": f"projects/{google.project}",
        "secret_id": secret,
        "secret": {"replication": {"automatic": {}}},
    }
    google.patiently(lambda: _client(google).create_secret(request=request, timeout=TIMEOUT))


def _has_another(name: str, functions: Iterable[Function], known: set[str]) -> bool:
    """Whether every function that takes this one is content with another that is known."""
    takers = [function for function in functions if name in function.secrets]
    return all(name in function.one_of and known & set(function.one_of) for function in takers)


@cache
def _client(google: Google) -> SecretManagerServiceClient:
    return SecretManagerServiceClient(
        credentials=google.credentials, transport="rest", client_options=google.options("secretmanager")
    )
