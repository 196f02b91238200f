"""Writes build/<function>/, exactly what is sent to Google, and hashes it."""

import os
import shutil
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from deploy.table import ROOT, DeployError, Function

# The oldest time that a zip archive can store: equal files make an equal archive at any time.
MTIME = 315_532_800


class Staged(NamedTuple):
    """Holds a folder to deploy, and the hash of its files and of its row in the table."""

    folder: Path
    hash: str


def stage(function: Function, root: Path = ROOT) -> Staged:
    """Writes the function's folder anew; raises DeployError for a syntax error."""
    files = _files(function, root)
    for name, content in files.items():
        if name.endswith(".py") and (error := _syntax_error(name, content)):
            raise DeployError(f"{function.name}: {error}")
    folder = root / "build" / function.name
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in files.items():
        _write(folder / name, content)
    for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        os.utime(path, (MTIME, MTIME))
    return Staged(folder, _hash(function, files))


def _files(function: Function, root: Path) -> dict[str, bytes]:
    """Reads the files of a function: content by path in the staged folder, sorted."""
    shared = root / "shared"
    sources = {
        f"shared/{path.relative_to(shared).as_posix()}": path
        for path in shared.rglob("*")
        if path.is_file() and path.suffix != ".pyc" and not path.name.startswith(".")
    }
    sources["main.py"] = root / "functions" / function.name / "main.py"
    sources["requirements.txt"] = root / "requirements.txt"
    return {name: sources[name].read_bytes() for name in sorted(sources)}


@cache  # Every function has the same files in shared/.
def _syntax_error(name: str, content: bytes) -> str | None:
    """Finds the syntax errors that the build, which compiles every file, would find later."""
    try:
        compile(content, name, "exec", dont_inherit=True)
    except SyntaxError as error:
        return f"{name}, line {error.lineno}: {error.msg}"
    return None


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o644)
    os.utime(path, (MTIME, MTIME))


def _hash(function: Function, files: dict[str, bytes]) -> str:
    # A deployment sets neither the schedule nor the summary.
    row = function.model_dump_json(exclude={"summary", "schedule", "time_zone", "smoke"})
    digest = sha256(row.encode())
    for name, content in files.items():
        digest.update(f"\n{name} {sha256(content).hexdigest()}".encode())
    return digest.hexdigest()
