"""Stores secrets as versions in Secret Manager; functions pin the version of their deployment."""

import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial

from google.cloud.secretmanager_v1 import SecretManagerServiceClient

from deploy import names
from deploy.setup.google import CALL_TIMEOUT_S, Changes, Google, PendingChange
from deploy.table import DeployError, Function

Values = Mapping[str, str]

# Only the functions and the database need these, so they are generated.
GENERATED = ("INTAKE_SECRET",)


class InvalidSecrets(DeployError):
    """Says which secret is missing or invalid; nothing has been changed."""


def gather(
    google: Google, functions: list[Function], env: Values, ask: Callable[[str], str]
) -> dict[str, str]:
    """Collects values from the environment and, for secrets without a stored value, generated or from `ask`.

    `ask` takes the name of a variable and returns its value, or an empty text.
    """
    variables = all_secrets(functions)
    values = {name: env[name] for name in variables if env.get(name, "").strip()}
    known = set(values) | {name for name in variables if newest_version(google, name)}
    for name in variables:
        if name in known or _has_alternative(name, functions, known):
            continue
        value = secrets.token_urlsafe(32) if name in GENERATED else ask(name).strip()
        if value:
            values[name] = value
            known.add(name)
    return {name: clean(name, value) for name, value in values.items()}


def require_complete(google: Google, functions: list[Function], values: Values) -> None:
    """Raises InvalidSecrets if a function would lack a secret, or have two of `one_of`."""
    known = set(values) | {name for name in all_secrets(functions) if newest_version(google, name)}
    missing = [
        name
        for name in all_secrets(functions)
        if any(
            name in function.secrets and name not in {*known, *function.one_of, *function.optional}
            for function in functions
        )
    ]
    for function in functions:
        alternatives = [name for name in function.one_of if name in known]
        if function.needs_one_of and not alternatives:
            missing.append("one of " + " and ".join(function.one_of))
        if len(alternatives) > 1:
            raise InvalidSecrets(
                f"{function.name} takes only one of {' and '.join(alternatives)}: leave one out of the"
                " environment, and delete it if it is stored"
                f" (gcloud secrets delete {names.secret_id(alternatives[-1])})"
            )
    if missing:
        raise InvalidSecrets(f"no value yet for {', '.join(missing)}: set it in the environment")


def all_secrets(functions: Iterable[Function]) -> list[str]:
    """Lists the variables that are secrets, each once."""
    return list(dict.fromkeys(name for function in functions for name in function.secrets))


def clean(name: str, value: str) -> str:
    """Returns a value without outer whitespace; raises InvalidSecrets if no function would accept it."""
    value = value.strip()
    # PARTNER_SECRETS has several lines.
    if not re.fullmatch(r"[\x20-\x7e\n]+", value):
        raise InvalidSecrets(f"{name} is empty, or holds characters that no key has")
    if name in GENERATED and len(value) < 16:
        raise InvalidSecrets(f"{name} is shorter than 16 characters")
    return value


def newest_version(google: Google, name: str) -> str | None:
    """Returns the full name of the newest enabled version, or None."""
    parent, query = secret_path(google, name), "state:ENABLED"
    versions = google.read_optional(
        lambda: list(
            _client(google).list_secret_versions(
                request={"parent": parent, "filter": query}, timeout=CALL_TIMEOUT_S
            )
        )
    )
    return versions[0].name if versions else None


def secret_versions(google: Google, values: Values) -> Changes:
    """Creates missing secrets, and adds a version for each changed value."""
    stored = stored_secrets(google)
    for name, value in values.items():
        secret = names.secret_id(name)
        if secret not in stored:
            yield PendingChange(f"make the secret {secret}", partial(_create, google, secret))
        if current_value(google, name) != value:
            yield PendingChange(
                f"add a version to the secret {secret}", partial(add_version, google, name, value)
            )


def stored_secrets(google: Google) -> set[str]:
    """Returns the ids of Supadesk's secrets in Secret Manager."""
    parent = f"projects/{google.project}"
    stored = (
        google.read_optional(
            lambda: list(_client(google).list_secrets(parent=parent, timeout=CALL_TIMEOUT_S))
        )
        or []
    )
    ids = {secret.name.rpartition("/")[2] for secret in stored}
    return {secret for secret in ids if secret.startswith(names.PREFIX)}


def require_secret(google: Google, name: str) -> None:
    """Raises InvalidSecrets unless the secret exists."""
    if names.secret_id(name) not in stored_secrets(google):
        raise InvalidSecrets(
            f"there is no secret {names.secret_id(name)} yet: set up first, with {name} in the environment"
        )


def current_value(google: Google, name: str) -> str | None:
    """Returns the value of the newest enabled version, or None."""
    version = newest_version(google, name)
    if version is None:
        return None
    answer = google.retry(lambda: _client(google).access_secret_version(name=version, timeout=CALL_TIMEOUT_S))
    return answer.payload.data.decode()


def add_version(google: Google, name: str, value: str) -> str:
    """Adds a version with this value and returns its full name."""
    request = {"parent": secret_path(google, name), "payload": {"data": value.encode()}}
    version = google.retry(
        lambda: _client(google).add_secret_version(request=request, timeout=CALL_TIMEOUT_S)
    )
    return str(version.name)


def secret_path(google: Google, name: str) -> str:
    """Returns the full name of a variable's secret."""
    return f"projects/{google.project}/secrets/{names.secret_id(name)}"


def _create(google: Google, secret: str) -> None:
    request = {
        "parent": f"projects/{google.project}",
        "secret_id": secret,
        "secret": {"replication": {"automatic": {}}},
    }
    google.retry(lambda: _client(google).create_secret(request=request, timeout=CALL_TIMEOUT_S))


def _has_alternative(name: str, functions: Iterable[Function], known: set[str]) -> bool:
    """Tells whether every function that uses this secret has an alternative to it."""
    users = [function for function in functions if name in function.secrets]
    return all(name in function.one_of and known & set(function.one_of) for function in users)


@cache
def _client(google: Google) -> SecretManagerServiceClient:
    return SecretManagerServiceClient(
        credentials=google.credentials, transport="rest", client_options=google.options("secretmanager")
    )
