"""Limits the imports of a function, which every cold start pays for."""

import json
import os
import subprocess
import sys

import pytest

from deploy.table import Function
from local.functions import load_functions
from local.process import ROOT

# google.cloud.functions is functions-framework's own and small; Google's clients begin with one of these.
NEVER = {
    "supabase",
    "postgrest",
    "google.auth",
    "google.api_core",
    "google.protobuf",
    "grpc",
    "deploy",
    "local",
    "contract",
}
# Vendors are called by functions that nobody waits for.
NOT_WHERE_PEOPLE_WAIT = {"httpx", "aiohttp", "requests", "urllib.request", "jwt", "email_validator"}
PROGRAM = """
import json, sys
from functions_framework.aio import create_asgi_app
create_asgi_app(target=sys.argv[1], source=sys.argv[2])
print(json.dumps(sorted(sys.modules)))
"""
FUNCTIONS = load_functions()
PUBLIC = {function.name for function in FUNCTIONS if not function.is_private}


def loaded_by(function: Function) -> set[str]:
    """The modules that are there once it has started, without any configuration."""
    command = [sys.executable, "-c", PROGRAM, function.entry_point, str(function.source)]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    output = subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout
    return set(json.loads(output))


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_a_function_starts_without_heavy_packages(function: Function) -> None:
    loaded = loaded_by(function)
    assert "shared.http.endpoint" in loaded
    assert loaded & NEVER == set()
    if function.name in PUBLIC:
        assert loaded & NOT_WHERE_PEOPLE_WAIT == set()
