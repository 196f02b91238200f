"""Makes the missing changes in a Google Cloud project and prints each: `python -m deploy.setup`.

Values of secrets come from the environment or a prompt, and are never printed.
"""

import argparse
import os
import re
import secrets
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from getpass import getpass
from hashlib import sha256
from itertools import chain

import google.auth
from google.api_core.exceptions import GoogleAPICallError, RetryError
from google.auth.exceptions import GoogleAuthError

from deploy import names
from deploy.setup.exposure import exposure, removal
from deploy.setup.federation import Repository, provider_path
from deploy.setup.google import Changes, Google
from deploy.setup.project import ProjectSettings, changes, deployed
from deploy.setup.secrets import (
    GENERATED,
    InvalidSecrets,
    add_version,
    all_secrets,
    clean,
    current_value,
    gather,
    require_complete,
    require_secret,
)
from deploy.table import DeployError, Function, read_table

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
ENDPOINT = "https://{service}.googleapis.com"
# A change takes Google a while to propagate.
PROPAGATION_TIMEOUT_S, POLL_BACKOFF_S = 180, 2


def main(arguments: list[str], env: Mapping[str, str]) -> int:
    """Sets a project up; returns the exit status and prints the reason of a failure."""
    options = _options(arguments, env)
    try:
        if options.unexpose:
            _apply(removal(env), only_plan=False)
            return 0
        cloud = _connect(options, env)
        if options.intake:
            return _print_intake_sql(cloud)
        if options.rotate:
            return _rotate(cloud, options.rotate, env)
        return _set_up(cloud, options, env)
    except RetryError as error:
        print(f"Stopped: {error.cause}", file=sys.stderr)
    except (DeployError, GoogleAuthError, GoogleAPICallError, OSError) as error:
        print(f"Stopped: {error}", file=sys.stderr)
    return 1


def _set_up(cloud: Google, options: argparse.Namespace, env: Mapping[str, str]) -> int:
    settings = ProjectSettings(read_table(), options.scheduler_region, _repository(options))
    # Without changes there is no propagation to wait for.
    read_only = replace(cloud, propagation_timeout_s=0)
    values = gather(read_only, settings.functions, env, lambda name: _ask(name, options.plan))
    try:
        require_complete(read_only, settings.functions, values)
    except InvalidSecrets as problem:
        if not options.plan:
            raise
        print(f"To be settled first: {problem}")
    cloud = read_only if options.plan else cloud
    _apply(chain(exposure(env), changes(cloud, settings, values)), options.plan)
    _print_next_steps(cloud, settings, values)
    return 0


def _apply(planned: Changes, only_plan: bool) -> None:
    count = 0
    for change in planned:
        print(change.description, flush=True)
        count += 1
        if not only_plan:
            change.apply()
    print(f"{count} {'to make' if only_plan else 'made'}" if count else "Nothing to change")


def _rotate(cloud: Google, name: str, env: Mapping[str, str]) -> int:
    functions = read_table()
    if name not in all_secrets(functions):
        raise InvalidSecrets(f"{name} is none of the secrets: {', '.join(all_secrets(functions))}")
    require_secret(cloud, name)
    value = env.get(name) or (secrets.token_urlsafe(32) if name in GENERATED else _ask(name))
    value = clean(name, value)
    if value == current_value(cloud, name):
        print(f"{name} is what it was")
        return 0
    print(f"made {add_version(cloud, name, value).partition('/secrets/')[2]}")
    _print_redeploy(cloud, functions, [name])
    if name in GENERATED:
        _print_intake_step()
    return 0


def _print_intake_sql(cloud: Google) -> int:
    value = current_value(cloud, "INTAKE_SECRET")
    if value is None:
        raise InvalidSecrets("there is no INTAKE_SECRET yet")
    hashed = sha256(value.encode()).hexdigest()
    print(f"""select desk_private.set_setting('intake_secret_sha256', '"{hashed}"');""")
    return 0


def _print_next_steps(cloud: Google, settings: ProjectSettings, values: Mapping[str, str]) -> None:
    addresses = deployed(cloud, settings.functions)
    if missing := [function.name for function in settings.functions if function.name not in addresses]:
        print(
            f"Not deployed yet: {', '.join(missing)}. Set up again afterwards:"
            " who may call them, and when, comes then."
        )
    _print_redeploy(cloud, settings.functions, values)
    if "INTAKE_SECRET" in values:
        _print_intake_step()
    if settings.repository:
        print(f"For the workflow: provider {provider_path(cloud.number)}")
        print(f"                  account  {names.email(names.DEPLOYER_ACCOUNT, cloud.project)}")


def _print_redeploy(cloud: Google, functions: list[Function], changed: Iterable[str]) -> None:
    users = [function for function in functions if set(changed) & set(function.secrets)]
    if stale := deployed(cloud, users):
        print(f"They keep the version that they were deployed with; to deploy: {' '.join(stale)}")


def _print_intake_step() -> None:
    print('The database has to know INTAKE_SECRET: python -m deploy.setup --intake | psql "$DATABASE_URL"')


def _ask(name: str, only_plan: bool = False) -> str:
    if only_plan or not sys.stdin.isatty():
        return ""
    return getpass(f"{name} (not shown; empty for none): ")


def _connect(options: argparse.Namespace, env: Mapping[str, str]) -> Google:
    credentials, _ = google.auth.default(scopes=[SCOPE])
    return Google(
        options.project,
        credentials,
        env.get("GOOGLE_API_ENDPOINT", ENDPOINT),
        PROPAGATION_TIMEOUT_S,
        POLL_BACKOFF_S,
    )


def _repository(options: argparse.Namespace) -> Repository | None:
    numbers = options.github_repository_id, options.github_owner_id
    return Repository(*numbers, options.environment) if all(numbers) else None


def _options(arguments: list[str], env: Mapping[str, str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.setup", description="Set a Google Cloud project up."
    )
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--plan", action="store_true", help="only say what would be changed")
    action.add_argument(
        "--rotate", metavar="VARIABLE", help="give a secret another value, from the environment or asked for"
    )
    action.add_argument(
        "--intake", action="store_true", help="print the SQL that tells the database the intake secret's hash"
    )
    action.add_argument(
        "--unexpose", action="store_true", help="take the schema desk out of the Data API, before removing it"
    )
    parser.add_argument(
        "--project", default=env.get("GOOGLE_CLOUD_PROJECT"), type=_project, help="GOOGLE_CLOUD_PROJECT"
    )
    parser.add_argument(
        "--environment", default="main", choices=names.ENVIRONMENTS, help="the branch that is deployed there"
    )
    parser.add_argument(
        "--scheduler-region", default=env.get("SCHEDULER_REGION", names.SCHEDULER_REGION), type=_region
    )
    parser.add_argument("--github-repository-id", default=env.get("GITHUB_REPOSITORY_ID"), type=_number)
    parser.add_argument("--github-owner-id", default=env.get("GITHUB_REPOSITORY_OWNER_ID"), type=_number)
    options = parser.parse_args(arguments)
    if not options.project:
        parser.error("which project? Set GOOGLE_CLOUD_PROJECT or say --project")
    if bool(options.github_repository_id) != bool(options.github_owner_id):
        parser.error("--github-repository-id and --github-owner-id go together")
    return options


def _project(text: str) -> str:
    if not names.is_project_id(text):
        raise argparse.ArgumentTypeError("must be the id of a project, like my-desk-main")
    return text


def _region(text: str) -> str:
    if not re.fullmatch(r"[a-z]+(?:-[a-z]+)+[0-9]{1,2}", text):
        raise argparse.ArgumentTypeError("must be a region, like europe-west1")
    return text


def _number(text: str) -> str:
    # An abandoned name can be registered by another person; a number cannot.
    if not re.fullmatch(r"[0-9]{1,20}", text):
        raise argparse.ArgumentTypeError("must be the number that GitHub has for it, not its name")
    return text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
