"""gcloud's own parser on every command that deployment gives; what is behind the parser needs an account."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.table import read_table
from tests.deploy.google.project import Project

GCLOUD = shutil.which("gcloud")
NO_ACCOUNT = "You do not currently have an active account selected"
pytestmark = pytest.mark.skipif(
    GCLOUD is None, reason="gcloud is not on the PATH, and is in no package registry"
)


def parsed(command: list[str], home: Path) -> bool:
    """Returns True if gcloud gets as far as to look for an account."""
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "CLOUDSDK_CONFIG": str(home / "gcloud")}
    done = subprocess.run(
        [GCLOUD or "gcloud", *command],
        env=env,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode == 1 and NO_ACCOUNT in done.stderr


@pytest.fixture
def rehearsed(project: Project, capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    assert project.deploy("deploy", "--dry-run") == 0
    lines = capsys.readouterr().out.splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith("gcloud ")]


def test_gcloud_takes_every_command_of_a_rehearsal(rehearsed: list[list[str]], tmp_path: Path) -> None:
    assert len(rehearsed) == 3 * len(read_table())
    # Two functions and one shift have all the flags there are.
    kinds = {frozenset(word.partition("=")[0] for word in command): command for command in rehearsed}
    assert len(kinds) >= 5
    for command in kinds.values():
        assert parsed(command, tmp_path), command


def test_gcloud_takes_every_question(project: Project, tmp_path: Path) -> None:
    project.deploy("deploy", "sla-sweep", "--patience", "0")
    questions = [call for call in project.calls if "--format=json" in call and call[:2] != ["auth", "list"]]
    assert [call[:3] for call in questions] == [
        ["secrets", "versions", "list"],
        ["run", "services", "list"],
        ["run", "services", "describe"],
    ]
    revision = ["run", "revisions", "describe", "a", "--region=b", "--project=acme-desk", "--format=json"]
    for command in (*questions, revision):
        assert parsed(command, tmp_path), command


@pytest.mark.parametrize(
    "wrong", ["--no-such-flag", "--timeout=soon", "--ingress=some", "--concurrency=many"]
)
def test_gcloud_refuses_what_it_does_not_know(rehearsed: list[list[str]], tmp_path: Path, wrong: str) -> None:
    assert not parsed([*rehearsed[0], wrong], tmp_path)
