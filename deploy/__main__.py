"""Stages functions, deploys changed ones, lists them, and rolls back: `python -m deploy`.

GOOGLE_CLOUD_PROJECT names the project; the plain variables of the table come from the environment.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from deploy import gcloud, names
from deploy.gcloud import Service
from deploy.release import CANDIDATE, Release, shift
from deploy.shipping import is_new, prepare, preview, roll_back, ship
from deploy.smoke import SMOKE_TIMEOUT_S
from deploy.staging import stage
from deploy.table import ROOT, DeployError, Function, check_folders, read_table, select


def main(arguments: list[str], env: Mapping[str, str], root: Path = ROOT) -> int:
    """Runs an action; returns the exit status and prints the reason of a failure."""
    options = _parse(arguments)
    try:
        functions = read_table(root / "deploy" / "functions.toml")
        check_folders(functions, root)
        return _run(options, select(functions, options.functions), env, root)
    except DeployError as error:
        print(f"Stopped: {error}", file=sys.stderr)
        return 1


def _run(options: argparse.Namespace, functions: list[Function], env: Mapping[str, str], root: Path) -> int:
    match options.action:
        case "stage":
            return _stage(functions, root)
        case "deploy" if options.dry_run:
            return _preview(functions, env, root)
        case "deploy":
            return _deploy(_outgoing(options, functions, env, root), options.patience)
        case "select":
            print(
                json.dumps([release.function.name for release, _ in _outgoing(options, functions, env, root)])
            )
            return 0
        case _:
            return _roll_back(functions, env)


def _stage(functions: list[Function], root: Path) -> int:
    for function in functions:
        print(stage(function, root).hash, f"build/{function.name}")
    return 0


def _preview(functions: list[Function], env: Mapping[str, str], root: Path) -> int:
    for release in preview(functions, env.get("GOOGLE_CLOUD_PROJECT") or "<project>", env, root):
        function = release.function
        print(f"\n# {function.name}: the first time, then the smoke test at its own address")
        print(gcloud.command_line(release.deploy_first()))
        print(
            f"# {function.name}: later, then the smoke test at the address of the tag {CANDIDATE},"
            " then the traffic"
        )
        print(gcloud.command_line(release.deploy_candidate()))
        print(
            gcloud.command_line(
                shift(function, release.project, to="<new revision>", away_from="<old revision>")
            )
        )
        if function.one_of:
            print(f"# of {', '.join(function.one_of)} the one that Secret Manager has")
    return 0


def _outgoing(
    options: argparse.Namespace, functions: list[Function], env: Mapping[str, str], root: Path
) -> list[tuple[Release, Service | None]]:
    """Lists what to deploy, with the running service. Functions named on the command line always count."""
    project = _project(env)
    releases = prepare(functions, project, env, root)
    deployed = gcloud.services(project, {function.region for function in functions})
    outgoing = [(release, deployed.get(release.function.name)) for release in releases]
    return [
        (release, service) for release, service in outgoing if options.functions or is_new(release, service)
    ]


def _deploy(outgoing: list[tuple[Release, Service | None]], timeout_s: float) -> int:
    if not outgoing:
        print("Nothing has changed.")
    for number, (release, service) in enumerate(outgoing, start=1):
        try:
            ship(release, service, timeout_s)
        except DeployError as error:
            rest = ", ".join(release.function.name for release, _ in outgoing[number:])
            raise DeployError(f"{error}; not begun: {rest}" if rest else str(error)) from None
        print(f"{release.function.name} is deployed and serves.")
    return 0


def _roll_back(functions: list[Function], env: Mapping[str, str]) -> int:
    project = _project(env)
    for function in functions:
        print(f"{function.name} is served by {roll_back(function, project)} again.")
    return 0


def _project(env: Mapping[str, str]) -> str:
    project = env.get("GOOGLE_CLOUD_PROJECT", "").strip()
    if not names.is_project_id(project):
        raise DeployError("GOOGLE_CLOUD_PROJECT must be the id of the Google Cloud project to deploy to")
    return project


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    for action, summary, count in (
        ("stage", "write build/<function> and print its hash", "*"),
        ("deploy", "deploy these functions, or all that have changed", "*"),
        ("select", "print what `deploy` would deploy, as JSON", "*"),
        ("rollback", "give the traffic back to the revision that had it before", "+"),
    ):
        command = actions.add_parser(action, help=summary, description=summary)
        command.add_argument("functions", nargs=count, metavar="function")
        if action == "deploy":
            command.add_argument(
                "--dry-run", action="store_true", help="print the gcloud commands, ask Google nothing"
            )
            command.add_argument(
                "--patience", type=float, default=SMOKE_TIMEOUT_S, help="seconds that a smoke test may take"
            )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
