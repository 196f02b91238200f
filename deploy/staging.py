"""build/<function>/: exactly what is sent to Google, and a hash that tells whether it would be anything new."""

import os
import shutil
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from deploy.table import ROOT, DeployError, Function

# The oldest that a zip archive can say: the same files make the same folder at any hour.
MTIME = 315_532_800


class Staged(NamedTuple):
    """A folder that can be deployed, and the hash of it and of what its row would set."""

    folder: Path
    hash: str


def stage(function: Function, root: Path = ROOT) -> Staged:
    """Write the function's folder anew; DeployError for a file that is no Python."""
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
    """The content of each file by its path in the staged folder, sorted."""
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
    """The build compiles every file as well, and would fail only after it had begun."""
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
    # Cloud Scheduler's part and the words are not what a deployment sets.
    row = function.model_dump_json(exclude={"summary", "schedule", "time_zone", "smoke"})
    digest = sha256(row.encode())
    for name, content in files.items():
        digest.update(f"\n{name} {sha256(content).hexdigest()}".encode())
    return digest.hexdigest()
