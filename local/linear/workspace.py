"""One workspace with Linear's rules: what may be created, what a change changes, and who is told."""

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from local.linear.inputs import a_past, a_text, a_uuid, given_of
from local.linear.moments import now
from local.linear.records import Records, Row
from local.linear.refusals import conflict, dangling, invalid, not_found
from local.linear.seed import DESK_WEBHOOK, furnish

PRIORITIES = ("No priority", "Urgent", "High", "Medium", "Low")
# When an issue gets into a state of this type, it is noted here.
REACHED = {
    "started": "startedAt",
    "completed": "completedAt",
    "canceled": "canceledAt",
    "duplicate": "canceledAt",
}


@dataclass(frozen=True)
class Change:
    """What somebody has done, as webhooks tell it."""

    action: str
    kind: str
    row: Row
    actor: str
    before: Row = field(default_factory=dict)


class Workspace:
    """All that the API and the page can do; `tell` hears of every change."""

    def __init__(self, records: Records, url: str) -> None:
        self.records = records
        self.url = url
        self.tell: Callable[[Change], None] = lambda change: None
        furnish(self.records)

    def reset(self) -> None:
        """Forget everything that has been done; the desk's own webhook stays."""
        webhook = self.records.find("Webhook", DESK_WEBHOOK)
        self.records.clear()
        furnish(self.records)
        if webhook:
            self.records.put("Webhook", webhook)

    def find_issue(self, key: str) -> Row | None:
        """By id or by an identifier like ENG-12."""
        if re.fullmatch(r"[A-Za-z0-9]+-[0-9]+", key):
            return next(iter(self.records.where("Issue", "identifier", key.upper())), None)
        return self.records.find("Issue", key)

    def get_issue(self, key: str) -> Row:
        """The same, and a refusal when there is none."""
        return _existing("Issue", self.find_issue(key))

    def find_team(self, key: str) -> Row:
        """By id or by a key like ENG."""
        by_key = next(iter(self.records.where("Team", "key", key)), None)
        return _existing("Team", by_key or self.records.find("Team", key))

    def get(self, kind: str, row_id: str) -> Row:
        """The row of that id, and a refusal when there is none."""
        return _existing(kind, self.records.find(kind, row_id))

    def states(self, team_id: str) -> list[Row]:
        """A team's states in their order."""
        return sorted(self.records.where("WorkflowState", "teamId", team_id), key=lambda row: row["position"])

    def issue_of(self, kind: str, row: Row) -> Row:
        """The issue that a row is, or belongs to."""
        return row if kind == "Issue" else self.get("Issue", row["issueId"])

    def issue_url(self, issue: Row) -> str:
        """Where a person looks at it."""
        return f"{self.url}/issue/{issue['identifier']}"

    def comment_url(self, comment: Row) -> str:
        """The same for a comment."""
        return f"{self.issue_url(self.get('Issue', comment['issueId']))}#comment-{comment['id'][:8]}"

    def create_issue(self, given: Row, actor: str, bot: Row | None = None) -> Row:
        """issueCreate."""
        new_id = self._new_id("Issue", given)
        team = self.records.find("Team", a_uuid("teamId", given["teamId"]))
        if team is None:
            raise dangling("teamId")
        a_text("title", given)
        created = a_past("createdAt", given.get("createdAt"))
        state_id = given.get("stateId") or self.states(team["id"])[0]["id"]
        usual = {"description": None, "priority": 0, "labelIds": [], "stateId": state_id}
        told = given_of(given, "title", "description", "priority", "stateId", "labelIds")
        made = {"id": new_id, "teamId": team["id"], "creatorId": None if bot else actor, "botActor": bot}
        times = dict.fromkeys(("startedAt", "completedAt", "canceledAt", "archivedAt", "trashed"))
        issue = {**usual, **told, **made, **times, "createdAt": created, "updatedAt": now()}
        self._check(issue)
        self._reach(issue, None)
        number = team["issueCount"] + 1
        self.records.put("Team", {**team, "issueCount": number})
        issue |= {"number": number, "identifier": f"{team['key']}-{number}"}
        return self._done("create", "Issue", issue, actor)

    def update_issue(self, key: str, given: Row, actor: str) -> Row:
        """issueUpdate; what changes nothing leaves no trace."""
        before = self.get_issue(key)
        issue = {**before, **given_of(given, "title", "description", "priority", "stateId", "labelIds")}
        a_text("title", issue)
        added, removed = given.get("addedLabelIds") or [], given.get("removedLabelIds") or []
        labels = dict.fromkeys([*issue["labelIds"], *added])
        issue["labelIds"] = [label for label in labels if label not in removed]
        if "trashed" in given:
            issue["trashed"] = given["trashed"] or None
            issue["archivedAt"] = now() if given["trashed"] else None
        self._check(issue)
        self._reach(issue, before)
        return self._changed(issue, before, actor)

    def archive_issue(self, key: str, actor: str, *, trash: bool) -> Row:
        """issueArchive and issueDelete: out of sight; the trash keeps it for a while."""
        before = self.get_issue(key)
        if before["archivedAt"] and bool(before["trashed"]) == trash:
            return before
        issue = {**before, "archivedAt": now(), "trashed": trash or None, "updatedAt": now()}
        return self._done("remove" if trash else "update", "Issue", issue, actor, before)

    def restore_issue(self, key: str, actor: str) -> Row:
        """issueUnarchive."""
        before = self.get_issue(key)
        return self._changed({**before, "archivedAt": None, "trashed": None}, before, actor)

    def destroy_issue(self, key: str, actor: str) -> Row:
        """issueDelete, for good."""
        issue = self.get_issue(key)
        for kind in ("Comment", "Attachment"):
            for row in self.records.where(kind, "issueId", issue["id"]):
                self.records.remove(kind, row["id"])
        self.records.remove("Issue", issue["id"])
        issue = {**issue, "trashed": True, "archivedAt": issue["archivedAt"] or now()}
        self.tell(Change("remove", "Issue", issue, actor))
        return issue

    def create_comment(self, given: Row, actor: str, bot: Row | None = None) -> Row:
        """commentCreate; the issue itself stays as old as it is."""
        new_id = self._new_id("Comment", given)
        issue = self.find_issue(given.get("issueId") or "")
        if issue is None:
            raise dangling("issueId")
        body = a_text("body", given)
        times = {"createdAt": a_past("createdAt", given.get("createdAt")), "updatedAt": now()}
        made = {"userId": None if bot else actor, "botActor": bot, "editedAt": None, "archivedAt": None}
        comment = {"id": new_id, "issueId": issue["id"], "body": body, **made, **times}
        return self._done("create", "Comment", comment, actor)

    def update_comment(self, comment_id: str, given: Row, actor: str) -> Row:
        """commentUpdate."""
        before = self.get("Comment", comment_id)
        body = a_text("body", given)
        comment = {**before, "body": body, "editedAt": now(), "updatedAt": now()}
        return self._done("update", "Comment", comment, actor, before)

    def delete_comment(self, comment_id: str, actor: str) -> Row:
        """commentDelete."""
        comment = self.get("Comment", comment_id)
        self.records.remove("Comment", comment_id)
        self.tell(Change("remove", "Comment", comment, actor))
        return comment

    def attach(self, given: Row, actor: str) -> Row:
        """attachmentCreate: the same address on the same issue is the same attachment."""
        issue = self.find_issue(given["issueId"])
        if issue is None:
            raise dangling("issueId")
        linked = self.records.where("Attachment", "issueId", issue["id"])
        known = next((row for row in linked if row["url"] == given["url"]), None)
        about = {
            "title": given["title"],
            "subtitle": given.get("subtitle"),
            "metadata": given.get("metadata") or {},
        }
        if known:
            return self.records.put("Attachment", {**known, **about, "updatedAt": now()})
        attachment = {"id": self._new_id("Attachment", given), "issueId": issue["id"], "url": given["url"]}
        times = {"createdAt": now(), "updatedAt": now(), "archivedAt": None}
        made = {"creatorId": actor, "groupBySource": bool(given.get("groupBySource"))}
        return self.records.put("Attachment", {**attachment, **about, **made, **times})

    def create_label(self, given: Row) -> Row:
        """issueLabelCreate; one of a name in a team, or in the workspace."""
        new_id = self._new_id("IssueLabel", given)
        team_id = given.get("teamId")
        if team_id and not self.records.find("Team", team_id):
            raise dangling("teamId")
        same = self.records.where("IssueLabel", "name", given["name"])
        if any(label["teamId"] in (None, team_id) for label in same):
            raise invalid("name", "is taken by another label")
        label = {
            "id": new_id,
            "name": given["name"],
            "teamId": team_id,
            "description": given.get("description"),
        }
        made = {"color": given.get("color") or "#bec2c8", "createdAt": now(), "updatedAt": now()}
        return self.records.put("IssueLabel", {**label, **made})

    def create_webhook(self, given: Row, actor: str) -> Row:
        """webhookCreate."""
        new_id = self._new_id("Webhook", given)
        if not given.get("teamId") and not given.get("allPublicTeams"):
            raise invalid("teamId", "or allPublicTeams is needed")
        told = given_of(given, "url", "resourceTypes", "teamId", "allPublicTeams", "secret", "label")
        webhook = {"teamId": None, "allPublicTeams": False, "secret": uuid.uuid4().hex, "label": None} | told
        made = {"id": new_id, "enabled": given.get("enabled") is not False, "creatorId": actor}
        return self.records.put("Webhook", {**webhook, **made, "createdAt": now(), "updatedAt": now()})

    def _check(self, issue: Row) -> None:
        if issue["priority"] not in range(len(PRIORITIES)):
            raise invalid("priority", "must be one of 0, 1, 2, 3, 4")
        state = self.records.find("WorkflowState", issue["stateId"])
        if state is None or state["teamId"] != issue["teamId"]:
            raise dangling("stateId")
        for label_id in issue["labelIds"]:
            label = self.records.find("IssueLabel", label_id)
            if label is None or label["teamId"] not in (None, issue["teamId"]):
                raise dangling("labelIds")

    def _reach(self, issue: Row, before: Row | None) -> None:
        """Note when it got into its state; work that goes on is neither completed nor canceled."""
        if before and before["stateId"] == issue["stateId"]:
            return
        issue |= {"completedAt": None, "canceledAt": None}
        reached = REACHED.get(self.get("WorkflowState", issue["stateId"])["type"])
        if reached:
            issue[reached] = issue[reached] or now()

    def _changed(self, issue: Row, before: Row, actor: str) -> Row:
        if issue == before:
            return before
        action = "remove" if issue["trashed"] and not before["trashed"] else "update"
        return self._done(action, "Issue", {**issue, "updatedAt": now()}, actor, before)

    def _done(self, action: str, kind: str, row: Row, actor: str, before: Row | None = None) -> Row:
        self.records.put(kind, row)
        self.tell(Change(action, kind, row, actor, before or {}))
        return row

    def _new_id(self, kind: str, given: Row) -> str:
        new_id = a_uuid("id", given.get("id") or str(uuid.uuid4()))
        if self.records.find(kind, new_id):
            raise conflict(kind, new_id)
        return new_id


def _existing(kind: str, row: Row | None) -> Row:
    if row is None:
        raise not_found(kind)
    return row
