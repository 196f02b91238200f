"""Stages the files for Google: the same ones every time, which serve on their own."""

import os
import signal
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from deploy.release import environment
from deploy.smoke import smoke
from deploy.staging import Staged, stage
from deploy.table import ROOT, Function, read_table, select
from local.functions import load_functions
from local.ports import answering, free_ports
from tests.assertions import assert_problem
from tests.deploy.google.project import ENV, Project

LOADED = """
import sys
from functions_framework.aio import create_asgi_app
create_asgi_app(target=sys.argv[1], source="main.py")
print("\\n".join(sys.path + [module.__file__ for module in sys.modules.values() if getattr(module, "__file__", None)]))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with what requirements.txt says and nothing else."""
    home = tmp_path_factory.mktemp("clean")
    venv.create(home)
    program = home / "bin" / "python"
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(program),
        "install",
        "--quiet",
        "--require-hashes",
    ]
    subprocess.run([*install, "-r", str(ROOT / "requirements.txt")], check=True)
    return program


@contextmanager
def served(staged: Path, python: Path, function: Function) -> Iterator[str]:
    """A staged folder as Google starts it: the framework's command in the folder, told by the environment."""
    [port] = free_ports(1)
    env = environment(function, "acme-desk", ENV)
    build = {"FUNCTION_TARGET": function.entry_point, "FUNCTION_SIGNATURE_TYPE": "http", "PORT": str(port)}
    process = subprocess.Popen(
        [python.parent / "functions-framework"], cwd=staged, env={"HOST": "127.0.0.1"} | env | build
    )
    try:
        ready = answering(port, "/robots.txt", status=404)
        while not ready():
            assert process.poll() is None, "it ended"
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def staged(project: Project, name: str) -> Staged:
    table = read_table(project.root / "deploy" / "functions.toml")
    return stage(select(table, [name])[0], project.root)


@pytest.mark.parametrize("function", load_functions(), ids=lambda function: function.name)
def test_a_staged_folder_serves_on_its_own(function: Function, project: Project, python: Path) -> None:
    folder = stage(function, project.root).folder
    with served(folder, python, function) as url:
        if function.is_private:
            assert_problem(httpx.post(url, trust_env=False), 403, "forbidden")
        else:
            smoke(function.model_copy(update={"smoke": None}), url, timeout_s=0)


def test_it_takes_nothing_from_the_checkout(project: Project, python: Path) -> None:
    folder = staged(project, "create-ticket").folder
    done = subprocess.run(
        [python, "-c", LOADED, "create_ticket"],
        cwd=folder,
        env={},
        check=True,
        capture_output=True,
        text=True,
    )
    loaded = done.stdout.splitlines()
    assert str(folder / "shared" / "http" / "endpoint.py") in loaded
    assert [path for path in loaded if path.startswith(str(ROOT))] == []


def test_a_staged_folder_holds_what_is_deployed_and_nothing_else(project: Project) -> None:
    for leftover in (
        "shared/__pycache__/call.cpython-312.pyc",
        "shared/.notes",
        "functions/add-message/.notes",
    ):
        path = project.root / leftover
        path.parent.mkdir(exist_ok=True)
        path.write_text("left over")
    folder = staged(project, "add-message").folder

    assert folder == project.root / "build" / "add-message"
    assert {path.name for path in folder.iterdir()} == {"main.py", "shared", "requirements.txt"}
    assert files_of(folder / "shared") == files_of(ROOT / "shared", (".py", ".toml", ".model"))


def files_of(folder: Path, kinds: tuple[str, ...] = ("",)) -> set[str]:
    """The paths of the files in it, those with these endings."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.name.endswith(kinds))
    return {path.relative_to(folder).as_posix() for path in found}


def test_what_was_staged_before_is_gone(project: Project) -> None:
    gone = staged(project, "add-message").folder / "shared" / "gone.py"
    gone.write_text("")
    staged(project, "add-message")
    assert not gone.exists()


def test_staging_again_makes_the_same(project: Project) -> None:
    first = staged(project, "add-message")
    told = [(path, path.stat().st_mtime, path.stat().st_mode) for path in sorted(first.folder.rglob("*"))]
    for path in (project.root / "shared").rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o700 if path.is_dir() else 0o600)
    again = staged(project, "add-message")

    assert again == first
    assert [
        (path, path.stat().st_mtime, path.stat().st_mode) for path in sorted(again.folder.rglob("*"))
    ] == told


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        (
            "functions/add-message/main.py",
            "from typing import Annotated",
            "from typing import Annotated  # changed",
        ),
        ("shared/store.py", "CONNECTIONS = 64", "CONNECTIONS = 65"),
        ("shared/http/cors.py", "3600", "3601"),
        ("shared/triage/rules.toml", "[security_concern]", "[security_concern] # first"),
        ("requirements.txt", "# This file", "# The file"),
        ("deploy/functions.toml", 'memory = "256Mi"', 'memory = "512Mi"'),
        ("deploy/functions.toml", "timeout = 30", "timeout = 31"),
    ],
)
def test_the_hash_tells_what_a_deployment_would_change(
    project: Project, path: str, old: str, new: str
) -> None:
    before = staged(project, "add-message").hash
    project.edit(path, old, new)
    assert staged(project, "add-message").hash != before


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("functions/sla-sweep/main.py", "RUN_S = 45", "RUN_S = 44"),
        ("deploy/functions.toml", "Adds a reply", "Adds an answer"),
        ("deploy/functions.toml", "timeout = 120", "timeout = 121"),
    ],
)
def test_and_nothing_else(project: Project, path: str, old: str, new: str) -> None:
    before = staged(project, "add-message").hash
    project.edit(path, old, new)
    assert staged(project, "add-message").hash == before


def test_a_file_that_is_no_python_is_named(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.edit("functions/add-message/main.py", "async def reply(", "async def reply)(")
    assert project.deploy("stage", "add-message") == 1
    assert "add-message: main.py, line " in capsys.readouterr().err
    assert not (project.root / "build").exists()


def test_staging_tells_the_hash_of_each_folder(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert project.deploy("stage", "add-message", "sla-sweep") == 0
    hashes = [staged(project, name).hash for name in ("add-message", "sla-sweep")]
    assert capsys.readouterr().out == f"{hashes[0]} build/add-message\n{hashes[1]} build/sla-sweep\n"
