"""The OpenAPI document tells the truth about the functions as they are."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from contract.__main__ import DOCUMENT, load_module, operations, routes, text
from deploy.table import ROOT, read_table
from local.people import Person, RunningStack
from shared.errors import Problem
from tests.functions.test_errors import every_problem

PUBLIC = [function for function in read_table() if not function.is_private]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DOCUMENT.read_text())
    return found


def described(document: dict[str, Any]) -> set[str]:
    return {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}


def test_the_document_is_up_to_date() -> None:
    assert DOCUMENT.read_text() == text(), "`make openapi` writes it anew"


def test_it_is_openapi_3_1(document: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(document).validate()


def test_every_route_is_described_and_nothing_else() -> None:
    modules = {function.name: load_module(function) for function in PUBLIC}
    declared = {
        function.name: {route for route, _ in routes(function, modules[function.name])} for function in PUBLIC
    }
    assert {name: set(of_function) for name, of_function in operations(modules).items()} == declared


def test_every_call_of_the_page_of_the_api_is_described(document: dict[str, Any]) -> None:
    promised = re.findall(r"`((?:GET|POST|PATCH|DELETE) /[^`]+)`", (ROOT / "docs" / "api.md").read_text())
    assert len(promised) > 20
    assert set(promised) <= described(document)


@pytest.mark.skipif(not shutil.which("node"), reason="needs Node")
def test_a_client_made_of_it_alone_files_a_ticket(
    stack: RunningStack, customer: Person, tmp_path: Path
) -> None:
    """Its types are generated, and the compiler holds the client to them."""
    here = Path(__file__).parent
    (tmp_path / "node_modules").symlink_to(here.parent / "node_modules")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    shutil.copy(here / "openapi_client.ts", tmp_path)

    def node(*command: str | Path) -> str:
        env = {"PATH": os.environ["PATH"], "DESK": stack.functions_url, "TOKEN": customer.token}
        done = subprocess.run(
            ["node", *command], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    # What has a default value need not be sent.
    generator = ("node_modules/openapi-typescript/bin/cli.js", "--default-non-nullable", "false")
    compiler = ("node_modules/typescript/bin/tsc", "--strict", "--module", "nodenext", "--target", "es2022")
    node(*generator, "--output", "desk.ts", DOCUMENT)
    node(*compiler, "openapi_client.ts")
    seen = json.loads(node("openapi_client.js"))
    assert seen == {
        "ticket": seen["ticket"],
        "status": "open",
        "messages": ["Now it is right, but the invoice is not."],
        "listed": [seen["ticket"]],
        "refused": {"status": 422, "fields": ["payload.subject"]},
    }


@pytest.mark.parametrize("problem", every_problem())
def test_every_error_is_described_where_it_can_be_met(
    problem: type[Problem], document: dict[str, Any]
) -> None:
    if problem.status == 405:  # what no call is described with
        return
    met = [
        operation
        for path in document["paths"].values()
        for operation in path.values()
        if str(problem.status) in operation["responses"]
    ]
    assert met


def test_reading_takes_no_body_and_changing_may_take_one(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            too_large = "413" in operation["responses"]
            assert too_large == (method != "get"), (method, path)
            assert ("requestBody" in operation) <= too_large
