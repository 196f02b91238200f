"""Assigns ports: fixed ones for people, free ones for internal services."""

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

# Below the ephemeral range, in which an outgoing connection could take the port first, or reach itself.
INTERNAL_PORTS = range(20_000, 32_000)
# An open file is a lock. The oldest are closed again: their ports have long been bound.
RESERVATIONS: deque[TextIO] = deque(maxlen=200)


@dataclass(frozen=True)
class Ports:
    """Holds the ports that people use."""

    functions: int = 8080
    supabase: int = 54321
    database: int = 54322
    mail: int = 54325
    linear: int = 54390

    @classmethod
    def from_environment(cls) -> "Ports":
        """Reads FUNCTIONS_PORT, SUPABASE_PORT, DATABASE_PORT, MAIL_PORT, LINEAR_PORT; each has a default."""
        return cls(**{name: _port(f"{name}_port".upper(), default) for name, default in vars(cls()).items()})

    @classmethod
    def free(cls) -> "Ports":
        """Returns unused ports."""
        return cls(*free_ports(len(vars(cls()))))

    def require_free(self) -> None:
        """Raises if a port is taken; the message says how to choose another."""
        for name, port in vars(self).items():
            if not is_free(port):
                variable = f"{name}_port".upper()
                raise StackError(
                    f"port {port}, wanted for the {name}, is taken by another program: "
                    f"stop that program, or choose another port with {variable}={port + 1} make run"
                )


def free_ports(count: int) -> list[int]:
    """Returns distinct free ports, reserved against other stacks on this machine."""
    candidates = (
        port
        for port in random.sample(INTERNAL_PORTS, len(INTERNAL_PORTS))
        if _reserve(port) and is_free(port)
    )
    return [next(candidates) for _ in range(count)]


def _reserve(port: int) -> bool:
    """Locks a file for the port, so that no second stack takes it before the server binds it."""
    try:
        lock = (Path(gettempdir()) / f"supadesk-port-{port}").open("w")
        flock(lock, LOCK_EX | LOCK_NB)
    except OSError:
        return False
    RESERVATIONS.append(lock)
    return True


def is_free(port: int) -> bool:
    """Tests by binding to it."""
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
    """Returns a readiness probe: one GET that expects the status."""

    def probe() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path, headers=dict(headers or {}))
            return connection.getresponse().status == status
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return probe


def _port(variable: str, default: int) -> int:
    text = os.environ.get(variable) or str(default)
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65_536:
        raise StackError(f"{variable} must be a port number, not {text!r}")
    return int(text)
