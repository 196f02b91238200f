"""Refusals in GoTrue's shape."""

from typing import Any


class AuthError(Exception):
    """An answer other than success: status, GoTrue's error code, and a message for developers."""

    def __init__(self, status: int, code: str, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"code": status, "error_code": code, "msg": message, **extra}


def invalid(message: str) -> AuthError:
    """Returns the refusal of a value."""
    return AuthError(400, "validation_failed", message)
