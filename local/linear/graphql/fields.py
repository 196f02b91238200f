"""What the API's fields say and do, as far as it does not follow from the rows alone; the names are the API's."""

from collections.abc import Callable
from typing import Any

from local.linear.records import Row
from local.linear.seed import DESK
from local.linear.workspace import PRIORITIES, Workspace


class Call:
    """Who calls what: an application (`bot`), or nobody but the owner of the key."""

    def __init__(self, workspace: Workspace, bot: Row | None) -> None:
        self.workspace = workspace
        self._bot = bot

    def bot(self, given: Row) -> Row | None:
        """The application that acts, under the name it was told to use."""
        return self._bot and {**self._bot, "userDisplayName": given.get("createAsUser")}


# Of a call, the row that the field belongs to (empty at the root) and the field's arguments.
Rule = Callable[[Call, Row, Row], Any]


def _issue_create(call: Call, _: Row, given: Row) -> Row:
    told = given["input"]
    return _payload("issue", call.workspace.create_issue(told, DESK, call.bot(told)))


def _issue_update(call: Call, _: Row, given: Row) -> Row:
    return _payload("issue", call.workspace.update_issue(given["id"], given["input"], DESK))


def _issue_archive(call: Call, _: Row, given: Row) -> Row:
    issue = call.workspace.archive_issue(given["id"], DESK, trash=bool(given.get("trash")))
    return _payload("entity", issue)


def _issue_unarchive(call: Call, _: Row, given: Row) -> Row:
    return _payload("entity", call.workspace.restore_issue(given["id"], DESK))


def _issue_delete(call: Call, _: Row, given: Row) -> Row:
    if given.get("permanentlyDelete"):
        return _payload("entity", call.workspace.destroy_issue(given["id"], DESK))
    return _payload("entity", call.workspace.archive_issue(given["id"], DESK, trash=True))


def _comment_create(call: Call, _: Row, given: Row) -> Row:
    told = given["input"]
    return _payload("comment", call.workspace.create_comment(told, DESK, call.bot(told)))


def _comment_update(call: Call, _: Row, given: Row) -> Row:
    return _payload("comment", call.workspace.update_comment(given["id"], given["input"], DESK))


def _comment_delete(call: Call, _: Row, given: Row) -> Row:
    return _payload("entityId", call.workspace.delete_comment(given["id"], DESK)["id"])


def _attachment_create(call: Call, _: Row, given: Row) -> Row:
    return _payload("attachment", call.workspace.attach(given["input"], DESK))


def _issue_label_create(call: Call, _: Row, given: Row) -> Row:
    return _payload("issueLabel", call.workspace.create_label(given["input"]))


def _webhook_create(call: Call, _: Row, given: Row) -> Row:
    return _payload("webhook", call.workspace.create_webhook(given["input"], DESK))


def _webhook_delete(call: Call, _: Row, given: Row) -> Row:
    call.workspace.get("Webhook", given["id"])
    call.workspace.records.remove("Webhook", given["id"])
    return _payload("entityId", given["id"])


def _payload(name: str, value: Any) -> Row:
    return {"success": True, "lastSyncId": 0, name: value}


def _user(call: Call, _: Row, given: Row) -> Row:
    return call.workspace.get("User", DESK if given["id"] == "me" else given["id"])


RELATIONS = {"issue": "Issue", "team": "Team", "state": "WorkflowState"}
RULES: dict[tuple[str, str], Rule] = {
    ("Query", "viewer"): lambda call, _, given: call.workspace.get("User", DESK),
    ("Query", "team"): lambda call, _, given: call.workspace.find_team(given["id"]),
    ("Query", "user"): _user,
    ("Query", "workflowState"): lambda call, _, given: call.workspace.get("WorkflowState", given["id"]),
    ("Query", "issueLabel"): lambda call, _, given: call.workspace.get("IssueLabel", given["id"]),
    ("Query", "issue"): lambda call, _, given: call.workspace.get_issue(given["id"]),
    ("Query", "comment"): lambda call, _, given: call.workspace.get("Comment", given.get("id") or ""),
    ("Query", "attachment"): lambda call, _, given: call.workspace.get("Attachment", given["id"]),
    ("Mutation", "issueCreate"): _issue_create,
    ("Mutation", "issueUpdate"): _issue_update,
    ("Mutation", "issueArchive"): _issue_archive,
    ("Mutation", "issueUnarchive"): _issue_unarchive,
    ("Mutation", "issueDelete"): _issue_delete,
    ("Mutation", "commentCreate"): _comment_create,
    ("Mutation", "commentUpdate"): _comment_update,
    ("Mutation", "commentDelete"): _comment_delete,
    ("Mutation", "attachmentCreate"): _attachment_create,
    ("Mutation", "issueLabelCreate"): _issue_label_create,
    ("Mutation", "webhookCreate"): _webhook_create,
    ("Mutation", "webhookDelete"): _webhook_delete,
    ("User", "isMe"): lambda call, user, given: user["id"] == DESK,
    ("User", "email"): lambda call, user, given: f"{user['displayName']}@example.com",
    ("User", "url"): lambda call, user, given: f"{call.workspace.url}/",
    ("Team", "defaultIssueState"): lambda call, team, given: call.workspace.states(team["id"])[0],
    ("Issue", "url"): lambda call, issue, given: call.workspace.issue_url(issue),
    ("Issue", "priorityLabel"): lambda call, issue, given: PRIORITIES[issue["priority"]],
    ("Comment", "url"): lambda call, comment, given: call.workspace.comment_url(comment),
}
