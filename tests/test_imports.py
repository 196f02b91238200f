"""What a function loads when it starts, for that is paid at every cold start."""

import json
import os
import subprocess
import sys
import tomllib

import pytest

from deploy.local.functions import TABLE, Function, load_functions
from deploy.local.part import ROOT

# google.cloud.functions is functions-framework's own and small; Google's clients begin with one of these.
NEVER = {"supabase", "postgrest", "google.auth", "google.api_core", "google.protobuf", "grpc", "deploy"}
# Vendors are called by functions that nobody waits for.
NOT_WHERE_PEOPLE_WAIT = {"httpx", "aiohttp", "requests", "urllib.request", "jwt", "email_validator"}
PROGRAM = """
import json, sys
from functions_framework.aio import create_asgi_app
create_asgi_app(target=sys.argv[1], source=sys.argv[2])
print(json.dumps(sorted(sys.modules)))
"""
FUNCTIONS = load_functions()
PUBLIC = {
    name for name, row in tomllib.loads(TABLE.read_text())["functions"].items() if row["access"] == "public"
}


def loaded_by(function: Function) -> set[str]:
    """The modules that are there once it has started, without any configuration."""
    command = [sys.executable, "-c", PROGRAM, function.name.replace("-", "_"), str(function.source)]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    output = subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout
    return set(json.loads(output))


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_a_function_starts_without_heavy_packages(function: Function) -> None:
    loaded = loaded_by(function)
    assert "shared.endpoint" in loaded
    assert loaded & NEVER == set()
    if function.name in PUBLIC:
        assert loaded & NOT_WHERE_PEOPLE_WAIT == set()
