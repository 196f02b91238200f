"""Google's REST APIs, called with the credentials that gcloud keeps on this machine."""

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

TIMEOUT = 30  # seconds, a call


class Change(NamedTuple):
    """What is missing, in words, and what brings it about."""

    says: str
    make: Callable[[], object]


Changes = Iterator[Change]


@dataclass(frozen=True)
class Google:
    """A project, and the way to it; errors are those of google.api_core.exceptions.

    `patience` is for how many seconds to go on where something made a moment ago is not to be seen everywhere yet; a
    plan makes nothing, so it has none, and takes what lies behind an API that is off for not there.
    """

    project: str
    credentials: Credentials
    endpoint: str
    patience: float
    pause: float

    @cached_property
    def number(self) -> str:
        """The project's number."""
        # Asked of the one API that is on in every new project.
        service = self.call("serviceusage", "GET", f"v1/projects/{self.project}/services/run.googleapis.com")
        return str(service["parent"]).removeprefix("projects/")

    def call(self, service: str, method: str, path: str, body: Json | None = None) -> Json:
        """The answer to one request."""
        return self.patiently(lambda: self._request(service, method, path, body), makes=method != "GET")

    def find(self, service: str, path: str) -> Json | None:
        """What is at this address, if anything."""
        return self.found(lambda: self.call(service, "GET", path))

    def finish(self, service: str, version: str, operation: Json) -> None:
        """Wait until a long-running operation has ended."""
        if not operation.get("done"):
            path = f"{version}/{operation['name']}"
            operation = Retry(
                predicate=lambda error: isinstance(error, _Unfinished),
                initial=self.pause,
                maximum=5 * self.pause,
                timeout=max(self.patience, TIMEOUT),
            )(lambda: self._finished(service, path))()
        if error := operation.get("error"):
            raise GoogleAPICallError(error["message"])

    def found(self, read: Callable[[], T]) -> T | None:
        """What a call gives, or None where there is nothing yet."""
        try:
            return self.patiently(read)
        except NotFound:
            return None
        except Forbidden as error:
            if is_switched_off(error):
                return None
            raise

    def patiently(self, call: Callable[[], T], *, makes: bool = False) -> T:
        """What a call gives in the end: again where the service is busy or has not heard yet of what was made."""
        retry = Retry(
            predicate=partial(self._passes, makes),
            initial=self.pause,
            maximum=5 * self.pause,
            timeout=max(self.patience, TIMEOUT),
        )
        result: T = retry(call)()
        return result

    def options(self, service: str) -> ClientOptions:
        """Where Google's own clients find a service."""
        return ClientOptions(api_endpoint=self.endpoint.format(service=service))

    @cached_property
    def _session(self) -> AuthorizedSession:
        return AuthorizedSession(self.credentials)

    def _request(self, service: str, method: str, path: str, body: Json | None) -> Json:
        url = f"{self.endpoint.format(service=service)}/{path}"
        response = self._session.request(method, url, json=body, timeout=TIMEOUT)
        if not response.ok:
            raise from_http_response(response)
        answer: Json = response.json()
        return answer

    def _finished(self, service: str, path: str) -> Json:
        operation = self.call(service, "GET", path)
        if not operation.get("done"):
            raise _Unfinished(f"{path} takes too long")
        return operation

    def _passes(self, makes: bool, error: Exception) -> bool:
        if isinstance(error, TooManyRequests | ServiceUnavailable):
            return True
        return self.patience > 0 and (is_switched_off(error) or (makes and _is_unheard_of(error)))


class _Unfinished(Exception):
    """An operation goes on."""


def is_switched_off(error: Exception) -> bool:
    """Whether an API is off, or was switched on too short a while ago."""
    return isinstance(error, Forbidden) and error.reason == "SERVICE_DISABLED"


def _is_unheard_of(error: Exception) -> bool:
    # A service account that was made a moment ago may have no policy yet, and cannot be named in any.
    return isinstance(error, NotFound) or (
        isinstance(error, BadRequest) and "does not exist" in error.message
    )
