"""Calls the part of Linear's GraphQL API (linear.app/developers) that Supadesk needs. The errors:

Refused                 any error; an Undelivered, so it says whether it is permanent
├── Unauthorized        the key is wrong or lacks a right: an admin must fix it
├── InvalidInput        permanent: Linear will never accept it
│   ├── DuplicateId     an object with this id exists already
│   └── MissingObject   the object does not exist
├── RateLimited         no request before `retry_after` seconds have passed
├── UsageLimit          the plan of the workspace is used up
└── NoAnswer            no readable answer: the operation may have been carried out
"""

import math
import time
from collections.abc import Mapping
from typing import Any, TypeVar

import httpx
from pydantic import AliasPath, BaseModel, Field, ValidationError

from shared.linear.models import Comment, Issue
from shared.outbox import Undelivered

TIMEOUT_S = 10.0
PAGE = 100
TEAMS_TTL_S = 600
USAGE_BACKOFF_S = 3600
CONFIGURATION_BACKOFF_S = 300
UNKNOWN_BACKOFF_S = 60
MAX_BACKOFF_S = 24 * 3600
# Linear's limits, by the middle part of their headers' names.
LIMITS = ("Requests", "Endpoint-Requests", "Complexity")
# Below this share of a limit the drain backs off, so that dispatches still get through.
RESERVED_SHARE = 0.02

ISSUE_FIELDS = " fragment IssueFields on Issue { id identifier url updatedAt trashed state { name type } }"
CREATE_ISSUE = (
    """mutation CreateIssue($input: IssueCreateInput!) {
  issueCreate(input: $input) { success issue { ...IssueFields } }
}"""
    + ISSUE_FIELDS
)
READ_ISSUE = "query Issue($id: String!) { issue(id: $id) { ...IssueFields } }" + ISSUE_FIELDS
MOVE_ISSUE = (
    """mutation MoveIssue($id: String!, $stateId: String!) {
  issueUpdate(id: $id, input: { stateId: $stateId }) { success issue { ...IssueFields } }
}"""
    + ISSUE_FIELDS
)
CREATE_COMMENT = """mutation CreateComment($input: CommentCreateInput!) {
  commentCreate(input: $input) { success comment { id } }
}"""
READ_COMMENT = "query Comment($id: String!) { comment(id: $id) { id } }"
CREATE_ATTACHMENT = """mutation CreateAttachment($input: AttachmentCreateInput!) {
  attachmentCreate(input: $input) { success attachment { id } }
}"""
READ_TEAM = """query Team($key: String!) {
  teams(filter: { key: { eq: $key } }, first: 1) {
    nodes { id key states(first: 100) { nodes { id type position } } }
  }
}"""
READ_LABELS = """query Labels($name: String!) {
  issueLabels(filter: { name: { eqIgnoreCase: $name } }, first: 100) { nodes { id team { id } } }
}"""
CREATE_LABEL = """mutation CreateLabel($input: IssueLabelCreateInput!) {
  issueLabelCreate(input: $input) { success issueLabel { id } }
}"""
CHANGED_ISSUES = (
    """query ChangedIssues($since: DateTimeOrDuration!, $teams: [String!]!, $first: Int!, $after: String) {
  issues(
    filter: { updatedAt: { gte: $since }, team: { key: { in: $teams } } }
    orderBy: updatedAt, includeArchived: true, first: $first, after: $after
  ) { nodes { ...IssueFields } pageInfo { hasNextPage endCursor } }
}"""
    + ISSUE_FIELDS
)
NEW_COMMENTS = """query NewComments(
  $since: DateTimeOrDuration!, $teams: [String!]!, $first: Int!, $after: String
) {
  comments(
    filter: { createdAt: { gte: $since }, issue: { team: { key: { in: $teams } } } }
    orderBy: createdAt, first: $first, after: $after
  ) { nodes { id body issue { id } user { name } botActor { name } } pageInfo { hasNextPage endCursor } }
}"""
DOCUMENTS = (
    CREATE_ISSUE, READ_ISSUE, MOVE_ISSUE, CREATE_COMMENT, READ_COMMENT, CREATE_ATTACHMENT, READ_TEAM,
    READ_LABELS, CREATE_LABEL, CHANGED_ISSUES, NEW_COMMENTS,
)  # fmt: skip


class Refused(Undelivered):
    """Says why Linear did not carry an operation out."""

    def __init__(self, reason: str, *, permanent: bool = False, retry_after: int | None = None) -> None:
        super().__init__(f"linear: {reason}", permanent=permanent, retry_after=retry_after)


class Unauthorized(Refused):
    def __init__(self, reason: str) -> None:
        super().__init__(reason, retry_after=CONFIGURATION_BACKOFF_S)


class InvalidInput(Refused):
    def __init__(self, reason: str) -> None:
        super().__init__(reason, permanent=True)


class DuplicateId(InvalidInput):
    pass


class MissingObject(InvalidInput):
    pass


class RateLimited(Refused):
    def __init__(self, reason: str, retry_after: int) -> None:
        super().__init__(reason, retry_after=retry_after)
        self.seconds = retry_after


class UsageLimit(Refused):
    def __init__(self, reason: str) -> None:
        super().__init__(reason, retry_after=USAGE_BACKOFF_S)


class NoAnswer(Refused):
    pass


class WorkflowState(BaseModel):
    id: str
    type: str
    position: float


class Team(BaseModel):
    id: str
    key: str
    states: list[WorkflowState] = Field(validation_alias=AliasPath("states", "nodes"))

    def state(self, state_type: str) -> str:
        """Returns the id of the team's first state of this type; raises Refused if it has none."""
        states = [state for state in self.states if state.type == state_type]
        if not states:
            reason = f"team {self.key} has no state of the type {state_type}"
            raise Refused(reason, retry_after=CONFIGURATION_BACKOFF_S)
        return min(states, key=lambda state: state.position).id


class Page(BaseModel):
    nodes: list[dict[str, Any]]
    has_next: bool = Field(validation_alias=AliasPath("pageInfo", "hasNextPage"))
    end: str | None = Field(default=None, validation_alias=AliasPath("pageInfo", "endCursor"))


class GraphQLError(BaseModel):
    message: str = ""
    extensions: dict[str, Any] = {}


class GraphQLResponse(BaseModel):
    data: dict[str, Any] | None = None
    errors: list[GraphQLError] = []


M = TypeVar("M", bound=BaseModel)


class Linear:
    """Holds a connection pool and a cache of the workspace's teams and labels.

    Every method raises Refused.
    """

    def __init__(self, authorization: str, *, url: str) -> None:
        headers = {"Authorization": authorization, "User-Agent": "supadesk"}
        self._url = url
        self._client = httpx.AsyncClient(headers=headers, timeout=TIMEOUT_S, follow_redirects=False)
        self._cache: dict[tuple[str, ...], tuple[float, Any]] = {}
        self.is_scarce = False
        """Set if the latest answer reported that a limit is nearly used up."""

    async def create_issue(self, **fields: Any) -> Issue:
        """Creates an issue from an IssueCreateInput; raises DuplicateId if an issue has this id."""
        return _parse(Issue, await self._mutate(CREATE_ISSUE, "issueCreate", "issue", {"input": fields}))

    async def issue(self, issue_id: str) -> Issue:
        """Reads an issue; raises MissingObject."""
        return _parse(Issue, (await self._ask(READ_ISSUE, {"id": issue_id})).get("issue"))

    async def move_issue(self, issue_id: str, state_id: str) -> Issue:
        """Moves an issue to a state of its team; raises MissingObject."""
        arguments = {"id": issue_id, "stateId": state_id}
        return _parse(Issue, await self._mutate(MOVE_ISSUE, "issueUpdate", "issue", arguments))

    async def create_comment(self, comment_id: str, issue_id: str, body: str) -> None:
        """Creates a comment; raises DuplicateId if a comment has this id."""
        fields = {"id": comment_id, "issueId": issue_id, "body": body}
        await self._mutate(CREATE_COMMENT, "commentCreate", "comment", {"input": fields})

    async def require_comment(self, comment_id: str) -> None:
        """Raises MissingObject if there is no such comment."""
        await self._ask(READ_COMMENT, {"id": comment_id})

    async def attach(self, issue_id: str, url: str, title: str, subtitle: str) -> None:
        """Puts a link on the issue; a second link with the same URL replaces the first."""
        fields = {"issueId": issue_id, "url": url, "title": title, "subtitle": subtitle}
        await self._mutate(CREATE_ATTACHMENT, "attachmentCreate", "attachment", {"input": fields})

    async def team(self, key: str) -> Team:
        """Returns the team with this key. A missing team is not permanent: an admin can configure another."""
        team: Team | None = self._cached("team", key)
        if team is None:
            nodes = _parse(_Nodes, (await self._ask(READ_TEAM, {"key": key})).get("teams")).nodes
            if not nodes:
                raise Refused(f"there is no team {key}", retry_after=CONFIGURATION_BACKOFF_S)
            team = _parse(Team, nodes[0])
            self._store(("team", key), team)
        return team

    async def label(self, name: str, team_id: str) -> str:
        """Returns the id of the team's or the workspace's label of this name; creates a missing one."""
        label: str | None = self._cached("label", name, team_id)
        if label is None:
            label = await self._require_label(name, team_id)
            self._store(("label", name, team_id), label)
        return label

    def forget(self) -> None:
        """Clears the cache of teams and labels."""
        self._cache.clear()

    async def changed_issues(
        self, since: str, teams: list[str], after: str | None
    ) -> tuple[list[Issue], Page]:
        """Reads a page of the teams' issues that have changed since a time, after a cursor."""
        page = await self._page(CHANGED_ISSUES, "issues", since, teams, after)
        return [_parse(Issue, node) for node in page.nodes], page

    async def new_comments(
        self, since: str, teams: list[str], after: str | None
    ) -> tuple[list[Comment], Page]:
        """Reads a page of the comments since a time on the teams' issues, after a cursor."""
        page = await self._page(NEW_COMMENTS, "comments", since, teams, after)
        return [_parse(Comment, node) for node in page.nodes], page

    async def _require_label(self, name: str, team_id: str) -> str:
        label = await self._find_label(name, team_id)
        if label is None:
            try:
                fields = {"name": name, "teamId": team_id}
                created = await self._mutate(
                    CREATE_LABEL, "issueLabelCreate", "issueLabel", {"input": fields}
                )
                return str(created["id"])
            except DuplicateId:  # another forwarder was quicker
                label = await self._find_label(name, team_id)
        if label is None:
            raise NoAnswer("a label that exists cannot be found")
        return label

    async def _find_label(self, name: str, team_id: str) -> str | None:
        nodes = _parse(_Nodes, (await self._ask(READ_LABELS, {"name": name})).get("issueLabels")).nodes
        usable = [node["id"] for node in nodes if (node.get("team") or {"id": team_id})["id"] == team_id]
        return str(usable[0]) if usable else None

    def _store(self, key: tuple[str, ...], value: Any) -> None:
        self._cache[key] = (time.monotonic() + TEAMS_TTL_S, value)

    def _cached(self, *key: str) -> Any:
        until, value = self._cache.get(key, (0.0, None))
        return value if time.monotonic() < until else None

    async def _page(self, document: str, field: str, since: str, teams: list[str], after: str | None) -> Page:
        arguments = {"since": since, "teams": teams, "first": PAGE, "after": after}
        return _parse(Page, (await self._ask(document, arguments)).get(field))

    async def _mutate(
        self, document: str, field: str, created: str, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        payload = (await self._ask(document, arguments)).get(field)
        if not isinstance(payload, dict) or payload.get("success") is not True:
            raise NoAnswer(f"{field} did not succeed")
        return payload.get(created) or {}

    async def _ask(self, document: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        try:
            response = await self._client.post(
                self._url, json={"query": document, "variables": dict(arguments)}
            )
        except httpx.HTTPError as error:
            raise NoAnswer(type(error).__name__) from None
        self.is_scarce = _is_scarce(response.headers)
        try:
            body = GraphQLResponse.model_validate_json(response.content)
        except ValidationError:
            body = GraphQLResponse()
        if body.errors or response.status_code != 200 or body.data is None:
            raise classify(response, body.errors)
        return body.data


class _Nodes(BaseModel):
    nodes: list[dict[str, Any]]


def classify(response: httpx.Response, errors: list[GraphQLError]) -> Refused:
    """Returns the error that a response means. Linear's messages may quote a person and are left out."""
    error = errors[0] if errors else GraphQLError()
    code = str(error.extensions.get("code") or error.extensions.get("type") or "").upper().replace(" ", "_")
    message = f"{error.message} {error.extensions.get('userPresentableMessage') or ''}".lower()
    reason = f"{response.status_code} {code[:40] or 'unreadable'}"
    if code.startswith("RATELIMIT") or response.status_code == 429:
        return RateLimited(reason, _seconds_until_reset(response.headers))
    if code.startswith(("AUTHENTICATION", "FORBIDDEN", "FEATURE_NOT")) or response.status_code in (401, 403):
        return Unauthorized(reason)
    if code.startswith("USAGE_LIMIT"):
        return UsageLimit(reason)
    if "conflict on insert" in message or "already exists" in message:
        return DuplicateId(reason + " conflict")
    if "entity not found" in message or "could not find" in message:
        return MissingObject(reason + " not found")
    if code.startswith(("INPUT_ERROR", "INVALID_INPUT", "USER_ERROR", "GRAPHQL_", "BAD_USER_INPUT")):
        return InvalidInput(reason)
    return NoAnswer(reason)


def _parse(model: type[M], value: object) -> M:
    try:
        return model.model_validate(value)
    except ValidationError:
        raise NoAnswer(f"an answer without a readable {model.__name__}") from None


def _is_scarce(headers: httpx.Headers) -> bool:
    for name in LIMITS:
        limit, remaining = (_number(headers, f"X-RateLimit-{name}-{part}") for part in ("Limit", "Remaining"))
        if limit is not None and remaining is not None and remaining < limit * RESERVED_SHARE:
            return True
    return False


def _seconds_until_reset(headers: httpx.Headers) -> int:
    """Returns the seconds until the used-up limit is reset; until all are if no header names it."""
    resets = {name: _number(headers, f"X-RateLimit-{name}-Reset") for name in LIMITS}
    used_up = [name for name in LIMITS if _number(headers, f"X-RateLimit-{name}-Remaining") == 0]
    timestamps = [
        reset for name, reset in resets.items() if reset is not None and name in (used_up or LIMITS)
    ]
    if not timestamps:
        return UNKNOWN_BACKOFF_S
    seconds = math.ceil(max(timestamps) / 1000 - time.time())
    return min(max(1, seconds), MAX_BACKOFF_S)


def _number(headers: httpx.Headers, name: str) -> int | None:
    value = headers.get(name, "")
    return int(value[:15]) if value.isascii() and value.isdecimal() else None
