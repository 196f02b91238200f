"""Runs the programs that the functions are compared with, in their own virtual environment."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from bench.figures import FOLDER, NotMeasured
from local.process import ROOT, necessities

CODE = ROOT / "bench" / "peer"
PROGRAMS = FOLDER / "peer" / "bin"


def run_python(*arguments: str | Path, env: Mapping[str, str], seconds: float = 120) -> str:
    """Runs the interpreter with these arguments and returns its output; raises NotMeasured for a failure."""
    command: list[str | Path] = [PROGRAMS / "python", *arguments]
    process = subprocess.run(
        command, env={**necessities(), **env}, capture_output=True, text=True, timeout=seconds
    )
    if process.returncode != 0:
        raise NotMeasured(f"{' '.join(map(str, arguments))} failed: {process.stderr[-500:]}")
    return process.stdout
