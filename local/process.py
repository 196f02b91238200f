"""Runs the stack's processes: starts, awaits and watches them, and never leaves one behind."""

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from signal import Signals

ROOT = Path(__file__).resolve().parents[1]
READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 8.0
PR_SET_PDEATHSIG = 1


class StackError(Exception):
    """Reports a problem that a person can solve; printed without a traceback."""


@dataclass(frozen=True)
class Part:
    """Holds a running process, its log, its pid file and its readiness probe."""

    name: str
    command: Sequence[str | Path]
    env: Mapping[str, str]
    process: "subprocess.Popen[bytes]"
    log: Path
    pid_file: Path
    ready: Callable[[], bool]
    stop_signal: Signals

    def wait(self) -> None:
        """Waits for a real response: an open port may belong to another program."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not self.ready():
            self.check()
            if time.monotonic() > deadline:
                raise StackError(f"{self.name} did not answer within {READY_TIMEOUT_S:.0f} s{self.tail()}")
            time.sleep(0.02)

    def check(self) -> None:
        """Raises if the process has ended."""
        status = self.process.poll()
        if status is not None:
            raise StackError(f"{self.name} ended with status {status}{self.tail()}")

    def tail(self, lines: int = 20) -> str:
        """Returns the end of the log as a message's suffix."""
        text = self.log.read_text(errors="replace").splitlines()[-lines:]
        return "".join([f"; the end of {self.log}:", *(f"\n    {line}" for line in text)])

    def ask_to_stop(self) -> None:
        """Sends the stop signal, without waiting."""
        with suppress(ProcessLookupError):
            self.process.send_signal(self.stop_signal)

    def stop(self) -> None:
        """Terminates, then kills, the process and its children."""
        self.ask_to_stop()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_TIMEOUT_S)
        end_leftovers(self.pid_file)
        self.process.wait()


@contextmanager
def running(
    name: str,
    command: Sequence[str | Path],
    *,
    home: Path,
    env: Mapping[str, str],
    ready: Callable[[], bool],
    stop_signal: Signals = signal.SIGTERM,
) -> Iterator[Part]:
    """Runs a process for the length of a block, with log and pid file below `home`."""
    pid_file = home / "run" / f"{name}.pid"
    log = home / "log" / f"{name}.log"
    for path in (pid_file, log):
        path.parent.mkdir(parents=True, exist_ok=True)
    end_leftovers(pid_file)
    with locked(pid_file) as lock, log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**necessities(), **env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # A session of its own: Ctrl-C reaches the supervisor alone, which stops the parts in order.
            start_new_session=True,
            pass_fds=[lock],
            preexec_fn=partial(_prepare_child, lock, os.getpid(), stop_signal),
        )
    part = Part(name, command, env, process, log, pid_file, ready, stop_signal)
    try:
        yield part
    finally:
        part.stop()


def necessities() -> dict[str, str]:
    """Returns the variables that any process needs; all others are passed by name."""
    names = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZDIR", "SYSTEMROOT")
    return {name: os.environ[name] for name in names if name in os.environ}


@contextmanager
def locked(pid_file: Path) -> Iterator[int]:
    """Holds a pid file's lock, which processes that inherit the descriptor share.

    The kernel releases it when the last of them ends, however it ends. A held lock therefore proves that
    the process group in the file is still ours, so that no reused pid is ever signalled.
    """
    lock = os.open(pid_file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
        yield lock
    finally:
        os.close(lock)


def holder(pid_file: Path) -> int | None:
    """Returns the pid in a locked pid file, or None if nothing holds the lock."""
    try:
        with locked(pid_file):
            return None
    except BlockingIOError:
        return int(pid_file.read_text() or "0")


def end_predecessor(home: Path) -> None:
    """Stops the leftovers of a stack whose supervisor was killed, as they may still hold its ports."""
    for pid_file in (home / "run").glob("*.pid"):
        end_leftovers(pid_file)


def end_leftovers(pid_file: Path) -> None:
    """Stops the processes that still hold a pid file's lock."""
    for stop_signal in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while (group := holder(pid_file)) is not None:
            if time.monotonic() > deadline:
                break
            _signal_group(group, stop_signal)
            time.sleep(0.05)
        else:
            return
    raise StackError(f"{pid_file.stem} of an earlier run (pid {group}) does not stop")


def _signal_group(group: int, stop_signal: Signals) -> None:
    # 0: the process has not yet written its pid. killpg(0) would signal our own group.
    if group:
        with suppress(ProcessLookupError):
            os.killpg(group, stop_signal)


def _prepare_child(lock: int, parent: int, orphaned: Signals) -> None:
    """Runs in the child before exec: writes the pid file and ties the child's life to the supervisor's."""
    os.write(lock, str(os.getpid()).encode())
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, orphaned)
    if os.getppid() != parent:
        os._exit(1)
