"""A double of the gcloud command: a project in a file, changed and told as Cloud Run and Secret Manager do.

It takes any flag; whether gcloud itself would is what test_gcloud_flags.py asks gcloud.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

State = dict[str, Any]
Flags = dict[str, str]

NOT_FOUND = "ERROR: (gcloud.{}) NOT_FOUND: {}"
NO_TRAFFIC_AT_FIRST = "ERROR: (gcloud.run.deploy) --no-traffic not supported when creating a new service."


def main(arguments: list[str]) -> None:
    """Record the call, then carry it out."""
    home = Path(os.environ["GCLOUD_DOUBLE"])
    with (home / "calls").open("a") as calls:
        print(json.dumps(arguments), file=calls)
    state = json.loads((home / "state").read_text())
    words = [word for word in arguments if not word.startswith("--")]
    parted = (word.partition("=") for word in arguments if word.startswith("--"))
    flags = {name: value for name, _, value in parted}
    answer = answered(state, words, flags)
    (home / "state").write_text(json.dumps(state))
    if flags.get("--format") == "json":
        print(json.dumps(answer))


def answered(state: State, words: list[str], flags: Flags) -> Any:
    match words:
        case ["auth", "list"]:
            return [{"account": account, "status": "ACTIVE"} for account in state["accounts"]]
        case ["secrets", "versions", "list", secret]:
            return versions(state, secret, flags["--project"])
        case ["run", "services", "list"]:
            return [described(state, name, service) for name, service in state["services"].items()]
        case ["run", "services", "describe", name]:
            return described(state, name, found(state["services"], name, "run.services.describe"))
        case ["run", "revisions", "describe", name]:
            return found(state["revisions"], name, "run.revisions.describe")
        case ["run", "deploy", name]:
            return deploy(state, name, flags)
        case ["run", "services", "update-traffic", name]:
            return update_traffic(found(state["services"], name, "run.services.update-traffic"), flags)
        case _:
            sys.exit(f"the double does not know {words}")


def found(things: State, name: str, command: str) -> Any:
    if name not in things:
        sys.exit(NOT_FOUND.format(command, f"Cannot find [{name}]"))
    return things[name]


def versions(state: State, secret: str, project: str) -> list[State]:
    if secret not in state["secrets"]:
        path = f"projects/{project}/secrets/{secret}"
        sys.exit(NOT_FOUND.format("secrets.versions.list", f"Secret [{path}] not found or has no versions."))
    numbers = state["secrets"][secret]
    return [
        {"name": f"projects/1/secrets/{secret}/versions/{number}", "state": "ENABLED"} for number in numbers
    ]


def deploy(state: State, name: str, flags: Flags) -> None:
    if name in state["broken_builds"]:
        sys.exit("ERROR: (gcloud.run.deploy) Build failed; check build logs for details")
    service = state["services"].get(name)
    if service is None and "--no-traffic" in flags:
        sys.exit(NO_TRAFFIC_AT_FIRST)
    service = service or {"traffic": {}, "tags": {}, "is_public": False}
    revision = f"{name}-{sum(known.startswith(name) for known in state['revisions']) + 1:05}-abc"
    label, _, value = flags["--update-labels"].partition("=")
    state["revisions"][revision] = {"metadata": {"name": revision, "labels": {label: value}}}
    if "--no-traffic" not in flags:
        service["traffic"] = {revision: 100}
    if "--tag" in flags:
        service["tags"][flags["--tag"]] = revision
    if {"--no-invoker-iam-check", "--invoker-iam-check"} & flags.keys():
        service["is_public"] = "--no-invoker-iam-check" in flags
    state["services"][name] = service


def update_traffic(service: State, flags: Flags) -> None:
    revision, _, percent = flags["--to-revisions"].partition("=")
    service["traffic"] = {revision: int(percent)}
    tag, _, tagged = flags["--update-tags"].partition("=")
    service["tags"][tag] = tagged
    service["tags"].pop(flags["--remove-tags"], None)


def described(state: State, name: str, service: State) -> State:
    targets = [
        {"revisionName": revision, "percent": percent} for revision, percent in service["traffic"].items()
    ]
    urls = state["urls"].get(name, {})
    targets += [
        {"revisionName": revision, "tag": tag, "url": urls.get(tag, f"https://{tag}---{name}.example.com")}
        for tag, revision in service["tags"].items()
    ]
    # Cloud Run has no annotation at all where IAM is asked.
    annotations = {"run.googleapis.com/invoker-iam-disabled": "true"} if service["is_public"] else {}
    return {
        "metadata": {"name": name, "annotations": annotations},
        "status": {"url": urls.get("", f"https://{name}.example.com"), "traffic": targets},
    }


if __name__ == "__main__":
    main(sys.argv[1:])
