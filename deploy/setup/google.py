"""Calls Google's REST APIs with gcloud's application default credentials."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple, TypeVar

from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import (
    BadRequest,
    Forbidden,
    GoogleAPICallError,
    NotFound,
    ServiceUnavailable,
    TooManyRequests,
    from_http_response,
)
from google.api_core.retry import Retry
from google.auth.credentials import Credentials
from google.auth.transport.requests import AuthorizedSession

Json = dict[str, Any]
T = TypeVar("T")

CALL_TIMEOUT_S = 30


class PendingChange(NamedTuple):
    """Holds a pending change: its description and the action."""

    description: str
    apply: Callable[[], object]


Changes = Iterator[PendingChange]


@dataclass(frozen=True)
class Google:
    """Holds a project and the credentials for it; calls raise google.api_core.exceptions.

    For `propagation_timeout_s`, calls are retried that fail because a new object is not visible everywhere
    yet. It is 0 for a plan, which creates nothing and treats objects of a disabled API as missing.
    """

    project: str
    credentials: Credentials
    endpoint: str
    propagation_timeout_s: float
    backoff_s: float

    @cached_property
    def number(self) -> str:
        """Returns the project's number."""
        # Service Usage is the one API that every new project has enabled.
        service = self.call("serviceusage", "GET", f"v1/projects/{self.project}/services/run.googleapis.com")
        return str(service["parent"]).removeprefix("projects/")

    def call(self, service: str, method: str, path: str, body: Json | None = None) -> Json:
        """Sends a request with retries; returns the JSON of the answer."""
        return self.retry(lambda: self._request(service, method, path, body), creates=method != "GET")

    def find(self, service: str, path: str) -> Json | None:
        """Reads an object, or None if it does not exist."""
        return self.read_optional(lambda: self.call(service, "GET", path))

    def finish(self, service: str, version: str, operation: Json) -> None:
        """Waits for the end of a long-running operation; raises its error."""
        if not operation.get("done"):
            path = f"{version}/{operation['name']}"
            operation = Retry(
                predicate=lambda error: isinstance(error, _Running),
                initial=self.backoff_s,
                maximum=5 * self.backoff_s,
                timeout=max(self.propagation_timeout_s, CALL_TIMEOUT_S),
            )(lambda: self._read_operation(service, path))()
        if error := operation.get("error"):
            raise GoogleAPICallError(error["message"])

    def read_optional(self, read: Callable[[], T]) -> T | None:
        """Returns the result of a call, or None if the object does not exist or its API is disabled."""
        try:
            return self.retry(read)
        except NotFound:
            return None
        except Forbidden as error:
            if is_disabled(error):
                return None
            raise

    def retry(self, call: Callable[[], T], *, creates: bool = False) -> T:
        """Retries a call while the service is busy or a new object is not visible yet."""
        with_retry = Retry(
            predicate=partial(self._is_transient, creates),
            initial=self.backoff_s,
            maximum=5 * self.backoff_s,
            timeout=max(self.propagation_timeout_s, CALL_TIMEOUT_S),
        )
        result: T = with_retry(call)()
        return result

    def options(self, service: str) -> ClientOptions:
        """Returns the options with which Google's own clients reach a service."""
        return ClientOptions(api_endpoint=self.endpoint.format(service=service))

    @cached_property
    def _session(self) -> AuthorizedSession:
        return AuthorizedSession(self.credentials)

    def _request(self, service: str, method: str, path: str, body: Json | None) -> Json:
        url = f"{self.endpoint.format(service=service)}/{path}"
        response = self._session.request(method, url, json=body, timeout=CALL_TIMEOUT_S)
        if not response.ok:
            raise from_http_response(response)
        answer: Json = response.json()
        return answer

    def _read_operation(self, service: str, path: str) -> Json:
        operation = self.call(service, "GET", path)
        if not operation.get("done"):
            raise _Running(f"{path} takes too long")
        return operation

    def _is_transient(self, creates: bool, error: Exception) -> bool:
        if isinstance(error, TooManyRequests | ServiceUnavailable):
            return True
        return self.propagation_timeout_s > 0 and (
            is_disabled(error) or (creates and _is_not_yet_visible(error))
        )


class _Running(Exception):
    """Signals that an operation has not ended."""


def is_disabled(error: Exception) -> bool:
    """Tells whether an API is disabled, or was enabled only just now."""
    return isinstance(error, Forbidden) and error.reason == "SERVICE_DISABLED"


def _is_not_yet_visible(error: Exception) -> bool:
    # A new service account may have no policy yet, and other policies cannot name it yet.
    return isinstance(error, NotFound) or (
        isinstance(error, BadRequest) and "does not exist" in error.message
    )
