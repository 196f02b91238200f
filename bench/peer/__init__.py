"""What the functions are compared with: programs of a virtual environment of their own."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from bench.figures import FOLDER, NotMeasured
from local.process import ROOT, necessities

CODE = ROOT / "bench" / "peer"
PROGRAMS = FOLDER / "peer" / "bin"


def run_python(*arguments: str | Path, env: Mapping[str, str], seconds: float = 120) -> str:
    """Its interpreter with these arguments, to its end: what it printed. NotMeasured when it failed."""
    command: list[str | Path] = [PROGRAMS / "python", *arguments]
    ran = subprocess.run(
        command, env={**necessities(), **env}, capture_output=True, text=True, timeout=seconds
    )
    if ran.returncode != 0:
        raise NotMeasured(f"{' '.join(map(str, arguments))} failed: {ran.stderr[-500:]}")
    return ran.stdout
