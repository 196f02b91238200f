"""Implements a workspace with Linear's rules: validation, side effects of changes, and change events."""

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from local.linear.errors import conflict, dangling, invalid, not_found
from local.linear.inputs import pick, require_past, require_text, require_uuid
from local.linear.records import Records, Row
from local.linear.seed import APP_WEBHOOK, seed
from local.linear.timestamps import now

PRIORITIES = ("No priority", "Urgent", "High", "Medium", "Low")
# The timestamp that a state of this type sets on an issue.
STATE_TIMESTAMPS = {
    "started": "startedAt",
    "completed": "completedAt",
    "canceled": "canceledAt",
    "duplicate": "canceledAt",
}


@dataclass(frozen=True)
class Change:
    """Describes a change for webhooks."""

    action: str
    kind: str
    row: Row
    actor: str
    before: Row = field(default_factory=dict)


class Workspace:
    """Carries out the operations of API and page; `on_change` receives every change."""

    def __init__(self, records: Records, url: str) -> None:
        self.records = records
        self.url = url
        self.on_change: Callable[[Change], None] = lambda change: None
        seed(self.records)

    def reset(self) -> None:
        """Restores the seed; Supadesk's own webhook stays."""
        webhook = self.records.find("Webhook", APP_WEBHOOK)
        self.records.clear()
        seed(self.records)
        if webhook:
            self.records.put("Webhook", webhook)

    def find_issue(self, key: str) -> Row | None:
        """Finds by id or by an identifier like ENG-12."""
        if re.fullmatch(r"[A-Za-z0-9]+-[0-9]+", key):
            return next(iter(self.records.where("Issue", "identifier", key.upper())), None)
        return self.records.find("Issue", key)

    def get_issue(self, key: str) -> Row:
        """Returns the issue with that id or identifier; raises if there is none."""
        return _require("Issue", self.find_issue(key))

    def get(self, kind: str, row_id: str) -> Row:
        """Returns the row with that id; raises if there is none."""
        return _require(kind, self.records.find(kind, row_id))

    def states(self, team_id: str) -> list[Row]:
        """Returns a team's states in their order."""
        return sorted(self.records.where("WorkflowState", "teamId", team_id), key=lambda row: row["position"])

    def issue_of(self, kind: str, row: Row) -> Row:
        """Returns the issue that a row is, or belongs to."""
        return row if kind == "Issue" else self.get("Issue", row["issueId"])

    def issue_url(self, issue: Row) -> str:
        """Returns the address of an issue's page."""
        return f"{self.url}/issue/{issue['identifier']}"

    def comment_url(self, comment: Row) -> str:
        """Returns the address of a comment on its issue's page."""
        return f"{self.issue_url(self.get('Issue', comment['issueId']))}#comment-{comment['id'][:8]}"

    def create_issue(self, values: Row, actor: str, bot: Row | None = None) -> Row:
        """Implements issueCreate."""
        new_id = self._new_id("Issue", values)
        team = self.records.find("Team", require_uuid("teamId", values["teamId"]))
        if team is None:
            raise dangling("teamId")
        require_text("title", values)
        created = require_past("createdAt", values.get("createdAt"))
        state_id = values.get("stateId") or self.states(team["id"])[0]["id"]
        defaults = {"description": None, "priority": 0, "labelIds": [], "stateId": state_id}
        content = pick(values, "title", "description", "priority", "stateId", "labelIds")
        origin = {"id": new_id, "teamId": team["id"], "creatorId": None if bot else actor, "botActor": bot}
        times = dict.fromkeys(("startedAt", "completedAt", "canceledAt", "archivedAt", "trashed"))
        issue = {**defaults, **content, **origin, **times, "createdAt": created, "updatedAt": now()}
        self._validate(issue)
        self._set_state_timestamps(issue, None)
        number = team["issueCount"] + 1
        self.records.put("Team", {**team, "issueCount": number})
        issue |= {"number": number, "identifier": f"{team['key']}-{number}"}
        return self._save("create", "Issue", issue, actor)

    def update_issue(self, key: str, values: Row, actor: str) -> Row:
        """Implements issueUpdate; an update without effect leaves no trace."""
        before = self.get_issue(key)
        issue = {**before, **pick(values, "title", "description", "priority", "stateId", "labelIds")}
        require_text("title", issue)
        is_trashed = bool(pick(values, "trashed").get("trashed", issue["trashed"]))
        if is_trashed != bool(issue["trashed"]):
            issue |= {"trashed": is_trashed or None, "archivedAt": now() if is_trashed else None}
        self._validate(issue)
        self._set_state_timestamps(issue, before)
        if issue == before:
            return before
        action = "remove" if issue["trashed"] and not before["trashed"] else "update"
        return self._save(action, "Issue", {**issue, "updatedAt": now()}, actor, before)

    def create_comment(self, values: Row, actor: str, bot: Row | None = None) -> Row:
        """Implements commentCreate; the issue's `updatedAt` stays."""
        new_id = self._new_id("Comment", values)
        issue = self.find_issue(values.get("issueId") or "")
        if issue is None:
            raise dangling("issueId")
        body = require_text("body", values)
        times = {"createdAt": require_past("createdAt", values.get("createdAt")), "updatedAt": now()}
        author = {"userId": None if bot else actor, "botActor": bot}
        comment = {"id": new_id, "issueId": issue["id"], "body": body, **author, **times}
        return self._save("create", "Comment", comment, actor)

    def attach(self, values: Row, actor: str) -> Row:
        """Implements attachmentCreate: the same URL on the same issue updates the attachment."""
        issue = self.find_issue(values["issueId"])
        if issue is None:
            raise dangling("issueId")
        attachments = self.records.where("Attachment", "issueId", issue["id"])
        existing = next((row for row in attachments if row["url"] == values["url"]), None)
        content = {
            "title": values["title"],
            "subtitle": values.get("subtitle"),
            "metadata": values.get("metadata") or {},
        }
        if existing:
            return self.records.put("Attachment", {**existing, **content, "updatedAt": now()})
        origin = {"id": self._new_id("Attachment", values), "issueId": issue["id"], "creatorId": actor}
        times = {"createdAt": now(), "updatedAt": now()}
        return self.records.put("Attachment", {**origin, "url": values["url"], **content, **times})

    def create_label(self, values: Row) -> Row:
        """Implements issueLabelCreate; a name is unique within its team and the workspace."""
        new_id = self._new_id("IssueLabel", values)
        team_id = values.get("teamId")
        if team_id and not self.records.find("Team", team_id):
            raise dangling("teamId")
        namesakes = self.records.where("IssueLabel", "name", values["name"])
        if any(label["teamId"] in (None, team_id) for label in namesakes):
            raise invalid("name", "is taken by another label")
        label = {"id": new_id, "name": values["name"], "teamId": team_id}
        color = values.get("color") or "#bec2c8"
        return self.records.put(
            "IssueLabel", {**label, "color": color, "createdAt": now(), "updatedAt": now()}
        )

    def create_webhook(self, values: Row, actor: str) -> Row:
        """Implements webhookCreate."""
        new_id = self._new_id("Webhook", values)
        if not values.get("teamId") and not values.get("allPublicTeams"):
            raise invalid("teamId", "or allPublicTeams is needed")
        defaults = {"teamId": None, "allPublicTeams": False, "secret": uuid.uuid4().hex, "label": None}
        content = pick(values, "url", "resourceTypes", "teamId", "allPublicTeams", "secret", "label")
        origin = {"id": new_id, "enabled": values.get("enabled") is not False, "creatorId": actor}
        times = {"createdAt": now(), "updatedAt": now()}
        return self.records.put("Webhook", {**defaults, **content, **origin, **times})

    def _validate(self, issue: Row) -> None:
        if issue["priority"] not in range(len(PRIORITIES)):
            raise invalid("priority", "must be one of 0, 1, 2, 3, 4")
        state = self.records.find("WorkflowState", issue["stateId"])
        if state is None or state["teamId"] != issue["teamId"]:
            raise dangling("stateId")
        for label_id in issue["labelIds"]:
            label = self.records.find("IssueLabel", label_id)
            if label is None or label["teamId"] not in (None, issue["teamId"]):
                raise dangling("labelIds")

    def _set_state_timestamps(self, issue: Row, before: Row | None) -> None:
        """Sets the new state's timestamp; an issue in progress is neither completed nor canceled."""
        if before and before["stateId"] == issue["stateId"]:
            return
        issue |= {"completedAt": None, "canceledAt": None}
        name = STATE_TIMESTAMPS.get(self.get("WorkflowState", issue["stateId"])["type"])
        if name:
            issue[name] = issue[name] or now()

    def _save(self, action: str, kind: str, row: Row, actor: str, before: Row | None = None) -> Row:
        self.records.put(kind, row)
        self.on_change(Change(action, kind, row, actor, before or {}))
        return row

    def _new_id(self, kind: str, values: Row) -> str:
        new_id = require_uuid("id", values.get("id") or str(uuid.uuid4()))
        if self.records.find(kind, new_id):
            raise conflict(kind, new_id)
        return new_id


def _require(kind: str, row: Row | None) -> Row:
    if row is None:
        raise not_found(kind)
    return row
