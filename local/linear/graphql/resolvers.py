"""Resolves the API's fields that do not follow from the rows alone; the names are the API's."""

from collections.abc import Callable
from typing import Any

from local.linear.records import Row
from local.linear.seed import APP_USER
from local.linear.workspace import PRIORITIES, Workspace


class Context:
    """Holds a request's workspace and its caller: an OAuth application (`bot`), or the key's owner."""

    def __init__(self, workspace: Workspace, bot: Row | None) -> None:
        self.workspace = workspace
        self._bot = bot

    def bot(self, values: Row) -> Row | None:
        """Returns the acting application under the name of `createAsUser`."""
        return self._bot and {**self._bot, "userDisplayName": values.get("createAsUser")}


# Takes the request's context, the parent row (empty at the root) and the field's arguments.
Resolver = Callable[[Context, Row, Row], Any]


def _issue_create(context: Context, _: Row, arguments: Row) -> Row:
    values = arguments["input"]
    return _payload("issue", context.workspace.create_issue(values, APP_USER, context.bot(values)))


def _issue_update(context: Context, _: Row, arguments: Row) -> Row:
    issue = context.workspace.update_issue(arguments["id"], arguments["input"], APP_USER)
    return _payload("issue", issue)


def _comment_create(context: Context, _: Row, arguments: Row) -> Row:
    values = arguments["input"]
    return _payload("comment", context.workspace.create_comment(values, APP_USER, context.bot(values)))


def _attachment_create(context: Context, _: Row, arguments: Row) -> Row:
    return _payload("attachment", context.workspace.attach(arguments["input"], APP_USER))


def _issue_label_create(context: Context, _: Row, arguments: Row) -> Row:
    return _payload("issueLabel", context.workspace.create_label(arguments["input"]))


def _webhook_create(context: Context, _: Row, arguments: Row) -> Row:
    return _payload("webhook", context.workspace.create_webhook(arguments["input"], APP_USER))


def _payload(name: str, value: Row) -> Row:
    return {"success": True, name: value}


RELATIONS = {"issue": "Issue", "team": "Team"}
RESOLVERS: dict[tuple[str, str], Resolver] = {
    ("Query", "viewer"): lambda context, _, arguments: context.workspace.get("User", APP_USER),
    ("Query", "issue"): lambda context, _, arguments: context.workspace.get_issue(arguments["id"]),
    ("Query", "comment"): lambda context, _, arguments: context.workspace.get(
        "Comment", arguments.get("id") or ""
    ),
    ("Mutation", "issueCreate"): _issue_create,
    ("Mutation", "issueUpdate"): _issue_update,
    ("Mutation", "commentCreate"): _comment_create,
    ("Mutation", "attachmentCreate"): _attachment_create,
    ("Mutation", "issueLabelCreate"): _issue_label_create,
    ("Mutation", "webhookCreate"): _webhook_create,
    ("User", "email"): lambda context, user, arguments: f"{user['displayName']}@example.com",
    ("Issue", "url"): lambda context, issue, arguments: context.workspace.issue_url(issue),
    ("Issue", "priorityLabel"): lambda context, issue, arguments: PRIORITIES[issue["priority"]],
    ("Comment", "url"): lambda context, comment, arguments: context.workspace.comment_url(comment),
}
