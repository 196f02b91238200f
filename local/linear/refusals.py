"""Linear's errors: the codes, types and sentences in which it refuses (its SDK tells them apart by `type`).

`statusCode` is what Linear puts into the error; the answer itself may all the same come with HTTP 200.
"""

from typing import Any

Error = dict[str, Any]


class Refusal(Exception):
    """A request that Linear does not carry out."""

    def __init__(
        self,
        message: str,
        told: str,
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
            "userPresentableMessage": told,
        }

    def as_error(self) -> Error:
        """As an answer has it in `errors`."""
        return {"message": str(self), "extensions": self.extensions}


def invalid(name: str, demand: str) -> Refusal:
    """An argument that is not what it has to be."""
    return Refusal("Argument Validation Error", f"{name} {demand}.", "INVALID_INPUT")


def not_found(kind: str) -> Refusal:
    """What is asked for does not exist."""
    return Refusal(f"Entity not found: {kind}", f"Could not find referenced {kind}.")


def dangling(name: str) -> Refusal:
    """An input refers to what does not exist, or does not belong there."""
    told = f"{name} contained an entry that could not be found."
    return Refusal(f"Entity not found in validateAccess: {name}", told)


def conflict(kind: str, row_id: str) -> Refusal:
    """Something else has that id."""
    return Refusal(f"conflict on insert of {kind}", f"Entity {kind} with id {row_id} already exists.")


def unauthenticated() -> Refusal:
    """No key, or a wrong one."""
    return Refusal(
        "Authentication required, not authenticated",
        "You need to authenticate to access this operation.",
        "AUTHENTICATION_ERROR",
        "authentication error",
        401,
    )


def key_as_bearer() -> Refusal:
    """An API key goes without the word that an OAuth token goes with."""
    message = "It looks like you're trying to use an API key as a Bearer token. Remove the Bearer prefix from the Authorization header."
    return Refusal(message, message)


def forbidden() -> Refusal:
    """The key's rights do not reach that far."""
    return Refusal("Forbidden", "You don't have permission to do this.", "FORBIDDEN", "forbidden", 403)


def feature_not_accessible() -> Refusal:
    """The plan does not include it."""
    told = "Your plan does not include this feature."
    return Refusal("Feature not accessible", told, "FEATURE_NOT_ACCESSIBLE", "feature not accessible", 403)


def usage_limit_exceeded() -> Refusal:
    """A free workspace is full."""
    told = "The workspace has as many issues as its plan allows."
    return Refusal("Usage limit exceeded", told, "USAGE_LIMIT_EXCEEDED", "usage limit exceeded")


def lock_timeout() -> Refusal:
    """Something else was at it for too long."""
    return Refusal("Lock timeout", "Try again.", "LOCK_TIMEOUT", "lock timeout", 409)


def internal_error() -> Refusal:
    """Linear's own fault."""
    return Refusal("Internal server error", "Try again.", "INTERNAL_SERVER_ERROR", "internal error", 500)


def rate_limited(limit: int) -> Refusal:
    """Too much within the hour; answered with HTTP 400, whatever is said inside."""
    message = f"Rate limit exceeded. Only {limit} requests are allowed per 1 hour."
    return Refusal(message, message, "RATELIMITED", "ratelimited", 429)
