"""Linear's GraphQL API (linear.app/developers), as far as the desk needs it.

Refused                 an answer that is not the one asked for; an Undelivered, so it says whether it is permanent
├── Unauthorized        the key is wrong or may not do this: ours to mend
├── InvalidInput        Linear will never take it
│   ├── Conflict        something with this id exists already
│   └── NotFound        what it is about does not exist
├── RateLimited         nothing more until `retry_after` seconds are over
├── UsageLimit          the workspace's plan is full
└── Unavailable         no answer, or none that can be read: it may have been carried out
"""

import math
import time
from collections.abc import Mapping
from typing import Any, TypeVar

import httpx
from pydantic import AliasPath, BaseModel, Field, ValidationError

from shared.issues import Comment, Issue
from shared.outbox import Undelivered

SECONDS = 10.0
PAGE = 100
TEAMS_KEPT_SECONDS = 600
USAGE_PAUSE = 3600
MENDING_PAUSE = 300
UNKNOWN_PAUSE = 60
LONGEST_PAUSE = 24 * 3600
# The limits that Linear counts, by the middle of their headers' names.
COUNTED = ("Requests", "Endpoint-Requests", "Complexity")
# Below this share of a limit the drain takes a breather, for what people wait for still has to go through.
RESERVE = 0.02

KNOWN = " fragment Known on Issue { id identifier url updatedAt trashed state { name type } }"
CREATE_ISSUE = (
    """mutation CreateIssue($input: IssueCreateInput!) {
  issueCreate(input: $input) { success issue { ...Known } }
}"""
    + KNOWN
)
READ_ISSUE = "query Issue($id: String!) { issue(id: $id) { ...Known } }" + KNOWN
MOVE_ISSUE = (
    """mutation MoveIssue($id: String!, $stateId: String!) {
  issueUpdate(id: $id, input: { stateId: $stateId }) { success issue { ...Known } }
}"""
    + KNOWN
)
CREATE_COMMENT = """mutation CreateComment($input: CommentCreateInput!) {
  commentCreate(input: $input) { success comment { id } }
}"""
READ_COMMENT = "query Comment($id: String!) { comment(id: $id) { id } }"
ATTACH = """mutation Attach($input: AttachmentCreateInput!) {
  attachmentCreate(input: $input) { success attachment { id } }
}"""
TEAM = """query Team($key: String!) {
  teams(filter: { key: { eq: $key } }, first: 1) {
    nodes { id key states(first: 100) { nodes { id type position } } }
  }
}"""
LABELS = """query Labels($name: String!) {
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
  ) { nodes { ...Known } pageInfo { hasNextPage endCursor } }
}"""
    + KNOWN
)
NEW_COMMENTS = """query NewComments($since: DateTimeOrDuration!, $teams: [String!]!, $first: Int!, $after: String) {
  comments(
    filter: { createdAt: { gte: $since }, issue: { team: { key: { in: $teams } } } }
    orderBy: createdAt, first: $first, after: $after
  ) { nodes { id body issue { id } user { name } botActor { name } } pageInfo { hasNextPage endCursor } }
}"""
DOCUMENTS = (
    CREATE_ISSUE, READ_ISSUE, MOVE_ISSUE, CREATE_COMMENT, READ_COMMENT, ATTACH, TEAM, LABELS, CREATE_LABEL,
    CHANGED_ISSUES, NEW_COMMENTS,
)  # fmt: skip


class Refused(Undelivered):
    def __init__(self, reason: str, *, permanent: bool = False, retry_after: int | None = None) -> None:
        super().__init__(f"linear: {reason}", permanent=permanent, retry_after=retry_after)


class Unauthorized(Refused):
    def __init__(self, reason: str) -> None:
        super().__init__(reason, retry_after=MENDING_PAUSE)


class InvalidInput(Refused):
    def __init__(self, reason: str) -> None:
        super().__init__(reason, permanent=True)


class Conflict(InvalidInput):
    pass


class NotFound(InvalidInput):
    pass


class RateLimited(Refused):
    def __init__(self, reason: str, retry_after: int) -> None:
        super().__init__(reason, retry_after=retry_after)
        self.seconds = retry_after


class UsageLimit(Refused):
    def __init__(self, reason: str) -> None:
        super().__init__(reason, retry_after=USAGE_PAUSE)


class Unavailable(Refused):
    pass


class State(BaseModel):
    id: str
    type: str
    position: float


class Team(BaseModel):
    id: str
    key: str
    states: list[State] = Field(validation_alias=AliasPath("states", "nodes"))

    def state(self, state_type: str) -> str:
        """The first state of that type, as the team has ordered them."""
        found = sorted(
            (state for state in self.states if state.type == state_type), key=lambda each: each.position
        )
        if not found:
            raise Refused(f"team {self.key} has no state of the type {state_type}", retry_after=MENDING_PAUSE)
        return found[0].id


class Page(BaseModel):
    nodes: list[dict[str, Any]]
    has_next: bool = Field(validation_alias=AliasPath("pageInfo", "hasNextPage"))
    end: str | None = Field(default=None, validation_alias=AliasPath("pageInfo", "endCursor"))


class Error(BaseModel):
    message: str = ""
    extensions: dict[str, Any] = {}


class GraphQL(BaseModel):
    data: dict[str, Any] | None = None
    errors: list[Error] = []


M = TypeVar("M", bound=BaseModel)


class Linear:
    """One connection pool, and the workspace's teams and labels as they were a few minutes ago."""

    def __init__(self, authorization: str, *, url: str) -> None:
        headers = {"Authorization": authorization, "User-Agent": "supadesk"}
        self._url = url
        self._client = httpx.AsyncClient(headers=headers, timeout=SECONDS, follow_redirects=False)
        self._kept: dict[tuple[str, ...], tuple[float, Any]] = {}
        self.is_scarce = False
        """Whether the latest answer said that little is left of one of Linear's limits."""

    async def create_issue(self, **given: Any) -> Issue:
        """Raises Conflict when there is an issue with this id; `given` is an IssueCreateInput."""
        return _read(Issue, await self._mutate(CREATE_ISSUE, "issueCreate", "issue", {"input": given}))

    async def issue(self, issue_id: str) -> Issue:
        return _read(Issue, (await self._ask(READ_ISSUE, {"id": issue_id})).get("issue"))

    async def move_issue(self, issue_id: str, state_id: str) -> Issue:
        arguments = {"id": issue_id, "stateId": state_id}
        return _read(Issue, await self._mutate(MOVE_ISSUE, "issueUpdate", "issue", arguments))

    async def create_comment(self, comment_id: str, issue_id: str, body: str) -> None:
        """Raises Conflict when there is a comment with this id."""
        given = {"id": comment_id, "issueId": issue_id, "body": body}
        await self._mutate(CREATE_COMMENT, "commentCreate", "comment", {"input": given})

    async def require_comment(self, comment_id: str) -> None:
        await self._ask(READ_COMMENT, {"id": comment_id})

    async def attach(self, issue_id: str, url: str, title: str, subtitle: str) -> None:
        """A link on the issue; the same URL again updates it."""
        given = {"issueId": issue_id, "url": url, "title": title, "subtitle": subtitle}
        await self._mutate(ATTACH, "attachmentCreate", "attachment", {"input": given})

    async def team(self, key: str) -> Team:
        """The team with this key; one that is missing is for the desk's admins to mend, not for good."""
        kept: Team | None = self._keep("team", key)
        if kept is None:
            nodes = _read(_Nodes, (await self._ask(TEAM, {"key": key})).get("teams")).nodes
            if not nodes:
                raise Refused(f"there is no team {key}", retry_after=MENDING_PAUSE)
            kept = _read(Team, nodes[0])
            self._keep("team", key, value=kept)
        return kept

    async def label(self, name: str, team_id: str) -> str:
        """The id of the team's or the workspace's label of that name, which is made when it is missing."""
        kept: str | None = self._keep("label", name, team_id)
        if kept is None:
            kept = await self._label(name, team_id)
            self._keep("label", name, team_id, value=kept)
        return kept

    def forget(self) -> None:
        """Teams and labels are asked for anew."""
        self._kept.clear()

    async def changed_issues(
        self, since: str, teams: list[str], after: str | None
    ) -> tuple[list[Issue], Page]:
        page = await self._page(CHANGED_ISSUES, "issues", since, teams, after)
        return [_read(Issue, node) for node in page.nodes], page

    async def new_comments(
        self, since: str, teams: list[str], after: str | None
    ) -> tuple[list[Comment], Page]:
        page = await self._page(NEW_COMMENTS, "comments", since, teams, after)
        return [_read(Comment, node) for node in page.nodes], page

    async def _label(self, name: str, team_id: str) -> str:
        async def found() -> str | None:
            nodes = _read(_Nodes, (await self._ask(LABELS, {"name": name})).get("issueLabels")).nodes
            usable = [node["id"] for node in nodes if (node.get("team") or {"id": team_id})["id"] == team_id]
            return str(usable[0]) if usable else None

        label = await found()
        if label is None:
            try:
                given = {"name": name, "teamId": team_id}
                made = await self._mutate(CREATE_LABEL, "issueLabelCreate", "issueLabel", {"input": given})
                return str(made["id"])
            except Conflict:  # another forwarder was quicker
                label = await found()
        if label is None:
            raise Unavailable("a label that exists cannot be found")
        return label

    def _keep(self, *key: str, value: Any = None) -> Any:
        now = time.monotonic()
        if value is not None:
            self._kept[key] = (now + TEAMS_KEPT_SECONDS, value)
        until, kept = self._kept.get(key, (0.0, None))
        return kept if now < until else None

    async def _page(self, document: str, field: str, since: str, teams: list[str], after: str | None) -> Page:
        arguments = {"since": since, "teams": teams, "first": PAGE, "after": after}
        return _read(Page, (await self._ask(document, arguments)).get(field))

    async def _mutate(
        self, document: str, field: str, made: str, arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        payload = (await self._ask(document, arguments)).get(field)
        if not isinstance(payload, dict) or payload.get("success") is not True:
            raise Unavailable(f"{field} did not succeed")
        return payload.get(made) or {}

    async def _ask(self, document: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        try:
            answer = await self._client.post(
                self._url, json={"query": document, "variables": dict(arguments)}
            )
        except httpx.HTTPError as error:
            raise Unavailable(type(error).__name__) from None
        self.is_scarce = _is_scarce(answer.headers)
        try:
            body = GraphQL.model_validate_json(answer.content)
        except ValidationError:
            body = GraphQL()
        if body.errors or answer.status_code != 200 or body.data is None:
            raise refusal(answer, body.errors)
        return body.data


class _Nodes(BaseModel):
    nodes: list[dict[str, Any]]


def refusal(answer: httpx.Response, errors: list[Error]) -> Refused:
    """What an error answer means. Its messages stay out of the reason: they may quote what was sent."""
    error = errors[0] if errors else Error()
    code = str(error.extensions.get("code") or error.extensions.get("type") or "").upper().replace(" ", "_")
    said = f"{error.message} {error.extensions.get('userPresentableMessage') or ''}".lower()
    reason = f"{answer.status_code} {code[:40] or 'unreadable'}"
    if code.startswith("RATELIMIT") or answer.status_code == 429:
        return RateLimited(reason, _seconds_until_reset(answer.headers))
    if code.startswith(("AUTHENTICATION", "FORBIDDEN", "FEATURE_NOT")) or answer.status_code in (401, 403):
        return Unauthorized(reason)
    if code.startswith("USAGE_LIMIT"):
        return UsageLimit(reason)
    if "conflict on insert" in said or "already exists" in said:
        return Conflict(reason + " conflict")
    if "entity not found" in said or "could not find" in said:
        return NotFound(reason + " not found")
    if code.startswith(("INPUT_ERROR", "INVALID_INPUT", "USER_ERROR", "GRAPHQL_", "BAD_USER_INPUT")):
        return InvalidInput(reason)
    return Unavailable(reason)


def _read(model: type[M], value: object) -> M:
    try:
        return model.model_validate(value)
    except ValidationError:
        raise Unavailable(f"an answer without a readable {model.__name__}") from None


def _is_scarce(headers: httpx.Headers) -> bool:
    for name in COUNTED:
        limit, remaining = (_number(headers, f"X-RateLimit-{name}-{part}") for part in ("Limit", "Remaining"))
        if limit is not None and remaining is not None and remaining < limit * RESERVE:
            return True
    return False


def _seconds_until_reset(headers: httpx.Headers) -> int:
    """Until the limit that is used up starts anew; where no header says which one that is, until all have."""
    resets = {name: _number(headers, f"X-RateLimit-{name}-Reset") for name in COUNTED}
    used_up = [name for name in COUNTED if _number(headers, f"X-RateLimit-{name}-Remaining") == 0]
    moments = [reset for name, reset in resets.items() if reset is not None and name in (used_up or COUNTED)]
    if not moments:
        return UNKNOWN_PAUSE
    seconds = math.ceil(max(moments) / 1000 - time.time())
    return min(max(1, seconds), LONGEST_PAUSE)


def _number(headers: httpx.Headers, name: str) -> int | None:
    value = headers.get(name, "")
    return int(value[:15]) if value.isascii() and value.isdecimal() else None
