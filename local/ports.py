"""Ports: which ones people know, which ones nobody has to know, and whether they are free."""

import http.client
import os
import random
import socket
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from tempfile import gettempdir
from typing import TextIO

from local.process import StackError

# Below the ephemeral range: there a connection can hit itself, or take the port before we do.
INTERNAL = range(20_000, 32_000)
# Open files are their locks; the oldest are closed, since by then their ports are bound.
RESERVED: deque[TextIO] = deque(maxlen=200)


@dataclass(frozen=True)
class Ports:
    """The ports that people know."""

    functions: int = 8080
    supabase: int = 54321
    database: int = 54322
    mail: int = 54325
    linear: int = 54390

    @classmethod
    def from_environment(cls) -> "Ports":
        """The usual ones, unless FUNCTIONS_PORT, SUPABASE_PORT, DATABASE_PORT, MAIL_PORT or LINEAR_PORT say otherwise."""
        return cls(**{name: _port(f"{name}_port".upper(), usual) for name, usual in vars(cls()).items()})

    @classmethod
    def free(cls) -> "Ports":
        """Some that nobody uses."""
        return cls(*free_ports(len(vars(cls()))))

    def require_free(self) -> None:
        """Name the port that is taken, what wants it and how to change it."""
        for name, port in vars(self).items():
            if not is_free(port):
                variable = f"{name}_port".upper()
                raise StackError(
                    f"port {port}, wanted for the {name}, is taken by another program: "
                    f"stop that program, or choose another port with {variable}={port + 1} make run"
                )


def free_ports(count: int) -> list[int]:
    """As many different free ports, which no other stack on this machine is handed meanwhile."""
    candidates = (port for port in random.sample(INTERNAL, len(INTERNAL)) if _reserve(port) and is_free(port))
    return [next(candidates) for _ in range(count)]


def _reserve(port: int) -> bool:
    """Locks a file that stands for the port: a server may bind it seconds later, and a second stack not in between."""
    try:
        lock = (Path(gettempdir()) / f"supadesk-port-{port}").open("w")
        flock(lock, LOCK_EX | LOCK_NB)
    except OSError:
        return False
    RESERVED.append(lock)
    return True


def is_free(port: int) -> bool:
    """Whether nobody listens on it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def answering(
    port: int, path: str, status: int = 200, headers: Mapping[str, str] | None = None
) -> Callable[[], bool]:
    """A question to be asked until the expected status comes back."""

    def ask() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path, headers=dict(headers or {}))
            return connection.getresponse().status == status
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return ask


def _port(variable: str, usual: int) -> int:
    text = os.environ.get(variable) or str(usual)
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65_536:
        raise StackError(f"{variable} must be a port number, not {text!r}")
    return int(text)
