"""Reads the CPU time and memory of processes from /proc."""

import os
from collections.abc import Iterator
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


def cpu_seconds(pid: int) -> float:
    """Sums user and system time of a process, its children and those it has waited for; to 10 ms."""
    return sum(map(_ticks, (pid, *children(pid)))) * TICK


def memory_megabytes(pid: int) -> float:
    """Sums the resident memory of a process and its children; shared pages count once."""
    return sum(_proportional_kilobytes(process) for process in (pid, *children(pid))) * 1024 / 1e6


def children(pid: int) -> Iterator[int]:
    """Yields the running child processes."""
    for entry in PROC.iterdir():
        if entry.name.isdigit() and _parent(int(entry.name)) == pid:
            yield int(entry.name)


def _proportional_kilobytes(pid: int) -> int:
    lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _ticks(pid: int) -> int:
    try:
        return sum(map(int, _stat(pid)[11:15]))
    except (FileNotFoundError, ProcessLookupError):
        return 0  # it has ended since it was listed, and its parent counts it now


def _parent(pid: int) -> int | None:
    try:
        return int(_stat(pid)[1])
    except (FileNotFoundError, ProcessLookupError):
        return None  # it has ended since it was listed


def _stat(pid: int) -> list[str]:
    """Reads the fields after the command's name, which may contain blanks: state, ppid, …"""
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
