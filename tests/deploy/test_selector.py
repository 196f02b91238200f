"""Selects the functions that a change deploys again."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from deploy.table import read_table
from tests.deploy.google.project import GATE, Answer, Project, answering, problem

ALL = [function.name for function in read_table()]
Select = Callable[[], list[str]]


@pytest.fixture
def select(project: Project, capfd: pytest.CaptureFixture[str]) -> Select:
    def select() -> list[str]:
        capfd.readouterr()
        assert project.deploy("select") == 0
        names: list[str] = json.loads(capfd.readouterr().out)
        return names

    return select


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Returns Google's state after everything has been deployed."""
    answers = {"/": problem(401, "unauthenticated"), "/categories": Answer(200, {"success": True})}
    with (
        pytest.MonkeyPatch.context() as patch,
        answering(answers) as public,
        answering(GATE) as private,
    ):
        project = Project.make(tmp_path_factory.mktemp("deployed"), patch)
        for function in read_table():
            project.serve(function.name, url=private if function.is_private else public)
        assert project.deploy("deploy", "--patience", "0") == 0
        return project.state


@pytest.fixture
def deployed(project: Project, state: Any) -> Project:
    """Everything is deployed as it stands in the checkout."""
    project.save(state)
    return project


def test_all_that_has_never_been_deployed(select: Select) -> None:
    assert select() == ALL


def test_nothing_where_nothing_has_changed(deployed: Project, select: Select) -> None:
    assert select() == []
    assert deployed.deploy("deploy") == 0
    assert deployed.changes == []


@pytest.mark.parametrize(
    ("path", "old", "new", "selected"),
    [
        (
            "functions/add-message/main.py",
            "from typing import Annotated",
            "from typing import Annotated  # changed",
            ["add-message"],
        ),
        ("shared/store.py", "CONNECTIONS = 64", "CONNECTIONS = 65", ALL),
        ("requirements.txt", "# This file", "# The file", ALL),
        ("deploy/functions.toml", 'memory = "256Mi"', 'memory = "512Mi"', ALL),
        ("deploy/functions.toml", "timeout = 120", "timeout = 121", ["sla-sweep"]),
        ("deploy/functions.toml", "Adds a reply", "Adds an answer", []),
    ],
)
def test_what_a_change_touches(
    deployed: Project, select: Select, path: str, old: str, new: str, selected: list[str]
) -> None:
    deployed.edit(path, old, new)
    assert select() == selected


def test_a_new_version_of_a_secret_goes_where_it_is_read(deployed: Project, select: Select) -> None:
    secrets = deployed.state["secrets"]
    deployed.change(secrets=secrets | {"supadesk-supabase-secret-key": [1, 9, 10, 11]})
    assert select() == ["sla-sweep", "send-notifications", "linear-forward", "receive-webhook"]


def test_another_value_goes_where_it_is_read(deployed: Project, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    assert deployed.deploy("select", MAIL_FROM="desk@example.com") == 0
    assert json.loads(capfd.readouterr().out) == ["send-notifications"]


def test_a_version_that_failed_is_selected_again(deployed: Project, select: Select) -> None:
    deployed.edit(
        "functions/add-message/main.py",
        "from typing import Annotated",
        "from typing import Annotated  # changed",
    )
    with answering(problem(500, "internal")) as broken:
        deployed.serve("add-message", candidate=broken)
        assert deployed.deploy("deploy", "--patience", "0") == 1
    assert select() == ["add-message"]
