"""One part of the stack: a process that is started, awaited, watched and never left behind."""

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
PATIENCE = 60.0
GRACE = 8.0
PR_SET_PDEATHSIG = 1


class StackError(Exception):
    """Something a person can act on: printed as it is, without a traceback."""


@dataclass(frozen=True)
class Part:
    """A running process and everything that tells how it is doing."""

    name: str
    command: Sequence[str | Path]
    env: Mapping[str, str]
    process: "subprocess.Popen[bytes]"
    log: Path
    pid_file: Path
    ready: Callable[[], bool]
    stop_signal: Signals

    def wait(self) -> None:
        """Return once it gives a real answer: an open port may belong to somebody else."""
        deadline = time.monotonic() + PATIENCE
        while not self.ready():
            self.check()
            if time.monotonic() > deadline:
                raise StackError(f"{self.name} did not answer within {PATIENCE:.0f} s{self.tail()}")
            time.sleep(0.02)

    def check(self) -> None:
        """Raise if it has ended."""
        status = self.process.poll()
        if status is not None:
            raise StackError(f"{self.name} ended with status {status}{self.tail()}")

    def tail(self, lines: int = 20) -> str:
        """The end of its log, to be put behind a message."""
        text = self.log.read_text(errors="replace").splitlines()[-lines:]
        return "".join([f"; the end of {self.log}:", *(f"\n    {line}" for line in text)])

    def ask_to_stop(self) -> None:
        """Ask, without waiting."""
        with suppress(ProcessLookupError):
            self.process.send_signal(self.stop_signal)

    def stop(self) -> None:
        """Terminate, then kill, the process and whatever it has started itself."""
        self.ask_to_stop()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(GRACE)
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
    """Run one part, its log and its pid file below `home`, until the block is left."""
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
            # Its own session: Ctrl-C reaches the supervisor alone, which stops the parts in order.
            start_new_session=True,
            pass_fds=[lock],
            preexec_fn=partial(_introduce, lock, os.getpid(), stop_signal),
        )
    part = Part(name, command, env, process, log, pid_file, ready, stop_signal)
    try:
        yield part
    finally:
        part.stop()


def necessities() -> dict[str, str]:
    """What any process needs of our own environment; everything else is given by name."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZDIR", "SYSTEMROOT")
    return {name: os.environ[name] for name in kept if name in os.environ}


@contextmanager
def locked(pid_file: Path) -> Iterator[int]:
    """Hold a pid file's lock; processes that inherit the descriptor go on holding it.

    The kernel lets go of it with the last of them, however it ends. So a lock that is held proves that the
    process group named in the file is still ours, and no pid is ever signalled on a guess.
    """
    lock = os.open(pid_file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
        yield lock
    finally:
        os.close(lock)


def holder(pid_file: Path) -> int | None:
    """The pid in a pid file whose lock is held, or None."""
    try:
        with locked(pid_file):
            return None
    except BlockingIOError:
        return int(pid_file.read_text() or "0")


def end_predecessor(home: Path) -> None:
    """Stop what is left of a stack whose supervisor was killed: it may be on its way out, and holds its ports till then."""
    for pid_file in (home / "run").glob("*.pid"):
        end_leftovers(pid_file)


def end_leftovers(pid_file: Path) -> None:
    """Stop the processes that still run under a pid file."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + GRACE
        while (group := holder(pid_file)) is not None:
            if time.monotonic() > deadline:
                break
            _signal_group(group, how)
            time.sleep(0.05)
        else:
            return
    raise StackError(f"{pid_file.stem} of an earlier run (pid {group}) does not stop")


def _signal_group(group: int, how: Signals) -> None:
    # 0 is a process that has not yet written its pid; killpg(0) would be ourselves.
    if group:
        with suppress(ProcessLookupError):
            os.killpg(group, how)


def _introduce(lock: int, parent: int, orphaned: Signals) -> None:
    """In the child, before exec: write the pid file and ask to be stopped when the supervisor dies."""
    os.write(lock, str(os.getpid()).encode())
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, orphaned)
    if os.getppid() != parent:
        os._exit(1)
