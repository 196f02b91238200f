"""Everything that a caller can be told went wrong, and what the store's errors become.

Problem                     status  code
├── Malformed                  400  malformed_json, malformed_request
├── Unauthenticated            401  unauthenticated
│   └── InvalidToken           401  unauthenticated
│       └── AccountDeleted     401  unauthenticated
├── Forbidden                  403  forbidden
├── NotFound                   404  not_found
├── MethodNotAllowed           405  method_not_allowed
├── Conflict                   409  conflict
│   ├── IllegalTransition      409  illegal_transition
│   ├── StaleVersion           409  stale_version
│   └── IdempotencyKeyReused   409  idempotency_key_reused
├── TooLarge                   413  body_too_large
├── UnsupportedMediaType       415  unsupported_media_type
├── Invalid                    422  invalid
│   └── TooComplex             422  invalid
├── QuotaExceeded              429  quota_exceeded
├── Internal                   500  internal
└── Unavailable                503  store_unavailable
    ├── AuthUnavailable        503  auth_unavailable
    └── NotConfigured          503  not_configured

A problem's sentence goes to the caller. Its `reason` goes to the log, and holds nothing that a person wrote.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic_core import from_json


class FieldError(NamedTuple):
    """A field that was refused: its dotted path in the request, and what it must be; together, a sentence."""

    path: str
    message: str


class Problem(Exception):
    status = 500
    code = "internal"
    sentence = "Something went wrong on our side. Please try again, and tell us the request_id if it stays."
    permanent = True

    def __init__(
        self,
        sentence: str | None = None,
        *,
        code: str | None = None,
        fields: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
        reason: str | None = None,
    ) -> None:
        self.sentence = sentence or self.sentence
        self.code = code or self.code
        self.fields = list(fields)
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})
        self.reason = reason
        super().__init__(self.code)

    def body(self, request_id: str) -> dict[str, Any]:
        return {
            "success": False,
            "error": self.sentence,
            "code": self.code,
            "fields": [field._asdict() for field in self.fields],
            "request_id": request_id,
            **self.extra,
        }


class Malformed(Problem):
    status = 400
    code = "malformed_json"
    sentence = "The body is not valid JSON."


class Unauthenticated(Problem):
    status = 401
    code = "unauthenticated"
    sentence = "Please sign in, and send your access token as Authorization: Bearer <token>."

    challenge = "Bearer"

    def __init__(self, sentence: str | None = None, *, reason: str | None = None) -> None:
        super().__init__(sentence, headers={"WWW-Authenticate": self.challenge}, reason=reason)


class InvalidToken(Unauthenticated):
    sentence = "Your access token is not valid here: please sign in again."
    challenge = 'Bearer error="invalid_token"'


class AccountDeleted(InvalidToken):
    sentence = "The account of your access token was deleted or blocked: please sign in again."


class Forbidden(Problem):
    status = 403
    code = "forbidden"
    sentence = "You may not do this."


class NotFound(Problem):
    status = 404
    code = "not_found"
    sentence = "There is nothing here under this address."


class MethodNotAllowed(Problem):
    status = 405
    code = "method_not_allowed"

    def __init__(self, allowed: Sequence[str]) -> None:
        methods = ", ".join(allowed)
        super().__init__(f"This address takes {methods} only.", headers={"Allow": methods})


class Conflict(Problem):
    status = 409
    code = "conflict"
    sentence = "This does not go together with how things are now."


class IllegalTransition(Conflict):
    code = "illegal_transition"


class StaleVersion(Conflict):
    code = "stale_version"


class IdempotencyKeyReused(Conflict):
    code = "idempotency_key_reused"


class TooLarge(Problem):
    status = 413
    code = "body_too_large"
    sentence = "The body is larger than 256 KiB: send a shorter text, and files as links."


class UnsupportedMediaType(Problem):
    status = 415
    code = "unsupported_media_type"
    sentence = "Send the body as Content-Type: application/json, in UTF-8 and not compressed."


class Invalid(Problem):
    status = 422
    code = "invalid"
    sentence = "One of the values cannot be stored as it is."

    def __init__(
        self, sentence: str | None = None, *, fields: Sequence[FieldError] = (), reason: str | None = None
    ) -> None:
        super().__init__(sentence or _in_short(fields), fields=fields, reason=reason)

    @classmethod
    def at(cls, path: str, message: str) -> "Invalid":
        return cls(fields=[FieldError(path, message)])

    def renamed(self, path_of: Callable[[str], str]) -> "Invalid":
        """The same refusal, with the store's argument names as the paths of the request they came from."""
        return Invalid(fields=[FieldError(path_of(path), message) for path, message in self.fields])


class TooComplex(Invalid):
    sentence = "One of the values is too large or too complex to be stored."


def _in_short(fields: Sequence[FieldError]) -> str | None:
    """The first field is a sentence: payload.category must be one of bug, billing."""
    if not fields:
        return None
    more = f", and {len(fields) - 1} more of the fields must change too" if len(fields) > 1 else ""
    return f"{fields[0].path} {fields[0].message}{more}."


class QuotaExceeded(Problem):
    status = 429
    code = "quota_exceeded"
    sentence = "That was too much in a short time. Please try again later."
    permanent = False


class Internal(Problem):
    pass


class Unavailable(Problem):
    status = 503
    code = "store_unavailable"
    sentence = "The desk cannot be reached at the moment. Please try again in a few seconds."
    permanent = False

    def __init__(self, reason: str | None = None) -> None:
        super().__init__(headers={"Retry-After": "5"}, reason=reason)


class AuthUnavailable(Unavailable):
    code = "auth_unavailable"
    sentence = "Signing in cannot be checked at the moment. Please try again in a few seconds."


class NotConfigured(Unavailable):
    """The deployment lacks something; the reason names the variable and never its value."""

    code = "not_configured"
    sentence = "This part of the desk is not set up yet. Please tell the people who run it."
    permanent = True

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.headers["Retry-After"] = "60"


# The one table of what PostgreSQL (SQLSTATE, by code or by class) and PostgREST (PGRST…) say.
# SD… are ours, raised by the migrations, and the only ones whose text was written for the caller.
BY_SQLSTATE: dict[str, type[Problem]] = {
    "SD401": Unauthenticated,
    "SD403": Forbidden,
    "SD404": NotFound,
    "SD422": Invalid,
    "SD429": QuotaExceeded,
    "SD091": IllegalTransition,
    "SD092": StaleVersion,
    "SD093": IdempotencyKeyReused,
    "SD094": Conflict,
    "22001": Invalid,  # string_data_right_truncation
    "22003": Invalid,  # numeric_value_out_of_range
    "22007": Invalid,  # invalid_datetime_format
    "22008": Invalid,  # datetime_field_overflow
    "22009": Invalid,  # invalid_time_zone_displacement_value
    "22P02": Invalid,  # invalid_text_representation
    "22P05": Invalid,  # untranslatable_character: U+0000 in jsonb
    "2201B": Invalid,  # invalid_regular_expression
    "23502": Invalid,  # not_null_violation
    "23503": Conflict,  # foreign_key_violation, but see DELETED_ACCOUNT
    "23505": Conflict,  # unique_violation
    "23514": Invalid,  # check_violation
    "40001": Unavailable,  # serialization_failure
    "40P01": Unavailable,  # deadlock_detected
    "42501": Forbidden,  # insufficient_privilege
    "55P03": Unavailable,  # lock_not_available
    "08": Unavailable,  # connection exceptions
    "53": Unavailable,  # insufficient resources
    "54": TooComplex,  # program limits exceeded
    "57": Unavailable,  # operator intervention: shutdown, statement timeout
    "XX": Unavailable,  # internal errors of PostgreSQL
    "PGRST000": Unavailable,  # no connection
    "PGRST001": Unavailable,  # connection lost
    "PGRST002": Unavailable,  # no schema cache yet
    "PGRST003": Unavailable,  # pool is full
    "PGRST106": NotConfigured,  # the schema is not exposed
    "PGRST301": InvalidToken,  # the token could not be verified
    "PGRST303": InvalidToken,  # a claim was refused: expired
}

# A row for a person whom Auth has deleted, and whose token lives on for an hour at most.
DELETED_ACCOUNT = re.compile(r'"\w+_(customer|user)_id_fkey"')
MISSING_USER = 'is not present in table "users".'


def from_store(status: int, body: bytes) -> Problem:
    """What an error answer of the store means for the caller; `body` is whatever came, JSON or not."""
    answer = _object(body)
    sqlstate = str(answer.get("code") or "")
    kind = BY_SQLSTATE.get(sqlstate) or BY_SQLSTATE.get(sqlstate[:2]) or Internal
    reason = f"the store answered {status} {sqlstate[:8] or 'without a code'}"
    if kind is NotConfigured:
        return NotConfigured(f"{reason}: add desk to the exposed schemas of the project")
    # PostgREST has an empty code, and status 400, for a connection that broke under the statement.
    broke = answer.get("code") == ""
    if issubclass(kind, Unavailable) or broke or (kind is Internal and status in (502, 503, 504)):
        return Unavailable(reason)
    if kind is Internal:
        return Internal(reason=reason)
    if sqlstate.startswith("SD"):
        return raised(sqlstate, str(answer.get("message") or ""), _object(answer.get("details") or ""))
    if sqlstate == "23503" and _misses_user(answer):
        return AccountDeleted(reason=reason)
    return kind(reason=reason)


def _misses_user(answer: Mapping[str, Any]) -> bool:
    message, details = str(answer.get("message")), str(answer.get("details"))
    return bool(DELETED_ACCOUNT.search(message)) and details.endswith(MISSING_USER)


def raised(sqlstate: str, message: str, details: Mapping[str, Any]) -> Problem:
    """One of our own SQLSTATEs, with what its details say."""
    kind = BY_SQLSTATE[sqlstate]
    if kind is Invalid:
        return Invalid(message, fields=_fields(details.get("fields")))
    if kind is QuotaExceeded:
        seconds = max(1, int(details.get("retry_after", 60)))
        return QuotaExceeded(message, headers={"Retry-After": str(seconds)})
    if kind is StaleVersion:
        return StaleVersion(message, extra=details)
    return kind(message)


def _fields(listed: object) -> list[FieldError]:
    found = [field for field in listed if isinstance(field, dict)] if isinstance(listed, list) else []
    return [FieldError(str(field.get("path")), str(field.get("message"))) for field in found]


def _object(text: Any) -> dict[str, Any]:
    try:
        value = from_json(text)
    except (TypeError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
