"""Defines Linear's errors: its codes, types and messages (its SDK tells errors apart by `type`).

`statusCode` is what Linear puts into the error; the response may still have HTTP status 200.
"""

from typing import Any

ErrorEntry = dict[str, Any]


class LinearError(Exception):
    """Refuses a request as Linear does."""

    def __init__(
        self,
        message: str,
        detail: str,
        code: str = "INPUT_ERROR",
        kind: str = "invalid input",
        status: int = 400,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.extensions = {
            "code": code,
            "type": kind,
            "statusCode": status,
            "userError": status < 500,
            "userPresentableMessage": detail,
        }

    def entry(self) -> ErrorEntry:
        """Returns the entry of a response's `errors`."""
        return {"message": str(self), "extensions": self.extensions}


def invalid(name: str, rule: str) -> LinearError:
    """Refuses an argument that breaks a rule."""
    return LinearError("Argument Validation Error", f"{name} {rule}.", "INVALID_INPUT")


def not_found(kind: str) -> LinearError:
    """Refuses a request for an entity that does not exist."""
    return LinearError(f"Entity not found: {kind}", f"Could not find referenced {kind}.")


def dangling(name: str) -> LinearError:
    """Refuses a reference to an entity that does not exist, or belongs elsewhere."""
    detail = f"{name} contained an entry that could not be found."
    return LinearError(f"Entity not found in validateAccess: {name}", detail)


def conflict(kind: str, row_id: str) -> LinearError:
    """Refuses an id that is in use."""
    return LinearError(f"conflict on insert of {kind}", f"Entity {kind} with id {row_id} already exists.")


def unauthenticated() -> LinearError:
    """Refuses a missing or wrong key."""
    return LinearError(
        "Authentication required, not authenticated",
        "You need to authenticate to access this operation.",
        "AUTHENTICATION_ERROR",
        "authentication error",
        401,
    )


def key_as_bearer() -> LinearError:
    """Refuses an API key with the prefix of OAuth tokens."""
    message = (
        "It looks like you're trying to use an API key as a Bearer token. "
        "Remove the Bearer prefix from the Authorization header."
    )
    return LinearError(message, message)


def forbidden() -> LinearError:
    """Refuses for missing permissions."""
    return LinearError("Forbidden", "You don't have permission to do this.", "FORBIDDEN", "forbidden", 403)


def feature_not_accessible() -> LinearError:
    """Refuses a feature that the workspace's plan does not include."""
    detail = "Your plan does not include this feature."
    return LinearError(
        "Feature not accessible", detail, "FEATURE_NOT_ACCESSIBLE", "feature not accessible", 403
    )


def usage_limit_exceeded() -> LinearError:
    """Refuses an issue beyond the plan's limit."""
    detail = "The workspace has as many issues as its plan allows."
    return LinearError("Usage limit exceeded", detail, "USAGE_LIMIT_EXCEEDED", "usage limit exceeded")


def lock_timeout() -> LinearError:
    """Refuses after waiting too long for a lock."""
    return LinearError("Lock timeout", "Try again.", "LOCK_TIMEOUT", "lock timeout", 409)


def internal_error() -> LinearError:
    """Fails by Linear's own fault."""
    return LinearError("Internal server error", "Try again.", "INTERNAL_SERVER_ERROR", "internal error", 500)


def rate_limited(limit: int) -> LinearError:
    """Refuses beyond the hour's limit; sent with HTTP 400, although `statusCode` is 429."""
    message = f"Rate limit exceeded. Only {limit} requests are allowed per 1 hour."
    return LinearError(message, message, "RATELIMITED", "ratelimited", 429)
