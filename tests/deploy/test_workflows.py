"""Checks GitHub's workflows and their rights."""

import re

import pytest

from deploy.release import environment
from deploy.table import ROOT, read_table

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
DEPLOY = (ROOT / ".github" / "workflows" / "deploy.yml").read_text()


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_to_a_commit(workflow: object) -> None:
    text = workflow.read_text()  # type: ignore[attr-defined]
    used = re.findall(r"uses: (.+)", text)
    assert used
    for action in used:
        assert action.startswith("./") or re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), (
            action
        )


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_nothing_from_outside_is_pasted_into_a_shell(workflow: object) -> None:
    text = workflow.read_text()  # type: ignore[attr-defined]
    for script in re.findall(r"run: (.+|\|\n(?: {10}.+\n)+)", text):
        assert "${{" not in script


def test_there_is_no_key_of_googles() -> None:
    assert re.findall(r"secrets\.\w+", DEPLOY) == ["secrets.DATABASE_URL"]
    assert "credentials_json" not in DEPLOY


def test_both_jobs_are_given_all_that_the_table_names() -> None:
    known = {name: name for function in read_table() for name in function.env}
    wanted = {name for function in read_table() for name in environment(function, "acme-desk", known)}
    wanted -= {"FUNCTION_USE_ASGI", "AUDIENCE", "INVOKERS", "LINEAR_FORWARD_AUDIENCE"}
    for name in wanted:
        assert DEPLOY.count(f"      {name}: ${{{{ vars.{name} }}}}\n") == 2, name


@pytest.mark.parametrize("path", ["functions", "shared", "deploy", "supabase"])
def test_whatever_a_deployment_consists_of_starts_one(path: str) -> None:
    assert f"      - {path}/**\n" in DEPLOY
