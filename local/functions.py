"""Runs the functions of deploy/functions.toml, each in a process of its own as Google does."""

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
    """Returns the functions of functions.toml; fails if a folder and a row disagree."""
    functions = read_table()
    check_folders(functions)
    return functions


def environment(function: Function, settings: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables that the table lists for the function, and no others."""
    values = {**os.environ, **settings}
    if function.is_private:
        values |= {"AUDIENCE": address(function, settings), "INVOKERS": ACCOUNT}
    values["LINEAR_FORWARD_URL"] = f"{settings['FUNCTIONS_URL']}/linear-forward"
    listed = {name: values[name] for name in function.variables if name in values}
    # A variable of the platform, which every function has.
    return listed | {"GCE_METADATA_HOST": settings["GCE_METADATA_HOST"]}


def address(function: Function, settings: Mapping[str, str]) -> str:
    """Returns the function's address, which is also the audience of its identity tokens."""
    return f"{settings['FUNCTIONS_URL']}/{function.name}"


def serving_command(source: Path, entry_point: str, port: int, *options: str) -> list[str]:
    """Returns the command that serves a function by functions-framework; options go to the interpreter."""
    target = ["--target", entry_point, "--source", str(source)]
    address = ["--host", "127.0.0.1", "--port", str(port)]
    return [sys.executable, *options, "-m", "functions_framework", "--asgi", *target, *address]


@contextmanager
def run_function(home: Path, function: Function, env: Mapping[str, str], port: int) -> Iterator[Part]:
    """Runs a function behind functions-framework, with that environment alone."""
    command = serving_command(function.source, function.entry_point, port)
    # A path of the framework itself: the function may need parts that do not run yet.
    ready = answering(port, "/robots.txt", status=404)
    with running(
        function.name, command, home=home, env={"PYTHONPATH": str(ROOT), **env}, ready=ready
    ) as part:
        yield part


@contextmanager
def run_functions(
    home: Path, settings: Mapping[str, str], port: int, *, minute: float | None = None
) -> Iterator[list[Part]]:
    """Runs all functions, their gateway, the metadata server and the scheduler.

    `minute` is the seconds of the scheduler's minute; without it there is no scheduler.
    """
    functions = load_functions()
    ports = dict(zip((function.name for function in functions), free_ports(len(functions)), strict=True))
    upstreams = {name: f"http://127.0.0.1:{number}" for name, number in ports.items()}
    private = {function.name: address(function, settings) for function in functions if function.is_private}
    schedules = {
        address(function, settings): function.schedule for function in functions if function.schedule
    }
    metadata_host = settings["GCE_METADATA_HOST"]
    with ExitStack() as started:
        parts = [
            started.enter_context(
                run_function(home, function, environment(function, settings), ports[function.name])
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
            # Signalled all at once: stopping them one by one would take the sum of their times.
            for part in parts:
                part.ask_to_stop()
