"""The functions of deploy/functions.toml, each in a process of its own as Google runs it."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from deploy.table import Function, check_folders, read_table
from local.gateway import run_gateway
from local.google.metadata import ACCOUNT, google_key_file, run_metadata
from local.google.scheduler import run_scheduler
from local.ports import answering, free_ports
from local.process import ROOT, Part, running


def load_functions() -> list[Function]:
    """Every function of the table, which is all that have been written."""
    functions = read_table()
    check_folders(functions)
    return functions


def environment(function: Function, known: Mapping[str, str]) -> dict[str, str]:
    """The variables that the table lists for it, and no others."""
    values = {**os.environ, **known}
    if function.is_private:
        values |= {"AUDIENCE": address(function, known), "INVOKERS": ACCOUNT}
    values["LINEAR_FORWARD_URL"] = f"{known['FUNCTIONS_URL']}/linear-forward"
    given = {name: values[name] for name in function.variables if name in values}
    # The platform's own, which every function finds there.
    return given | {"GCE_METADATA_HOST": known["GCE_METADATA_HOST"]}


def address(function: Function, known: Mapping[str, str]) -> str:
    """Where it is called, and so what the identity tokens for it name."""
    return f"{known['FUNCTIONS_URL']}/{function.name}"


def serving_command(source: Path, entry_point: str, port: int, *options: str) -> list[str]:
    """How functions-framework serves one function; the options are the interpreter's."""
    target = ["--target", entry_point, "--source", str(source)]
    address = ["--host", "127.0.0.1", "--port", str(port)]
    return [sys.executable, *options, "-m", "functions_framework", "--asgi", *target, *address]


@contextmanager
def run_function(home: Path, function: Function, env: Mapping[str, str], port: int) -> Iterator[Part]:
    """One function behind functions-framework, with that environment alone."""
    command = serving_command(function.source, function.entry_point, port)
    # The framework's own answer, without the function: it may need parts that are not up yet.
    ready = answering(port, "/robots.txt", status=404)
    with running(
        function.name, command, home=home, env={"PYTHONPATH": str(ROOT), **env}, ready=ready
    ) as part:
        yield part


@contextmanager
def run_functions(
    home: Path, known: Mapping[str, str], port: int, *, minute: float | None = None
) -> Iterator[list[Part]]:
    """All functions, the address that people call them at, and what else Google runs around them.

    `minute` is how many seconds one of the scheduler's takes; without it nobody calls by schedule.
    """
    functions = load_functions()
    ports = dict(zip((function.name for function in functions), free_ports(len(functions)), strict=True))
    upstreams = {name: f"http://127.0.0.1:{number}" for name, number in ports.items()}
    private = {function.name: address(function, known) for function in functions if function.is_private}
    schedules = {address(function, known): function.schedule for function in functions if function.schedule}
    metadata_host = known["GCE_METADATA_HOST"]
    with ExitStack() as started:
        parts = [
            started.enter_context(
                run_function(home, function, environment(function, known), ports[function.name])
            )
            for function in functions
        ]
        google_key = google_key_file(home)
        parts.append(started.enter_context(run_metadata(home, metadata_host)))
        parts.append(
            started.enter_context(
                run_gateway(
                    home, "functions-gateway", upstreams, port, private=private, google_key=google_key
                )
            )
        )
        if minute is not None:
            scheduler = run_scheduler(home, schedules, metadata_host, minute)
            parts.append(started.enter_context(scheduler))
        try:
            yield parts
        finally:
            # All at once, for stopping one after the other takes its time.
            for part in parts:
                part.ask_to_stop()
