"""Seeds a workspace: its users, its teams with their states, Supadesk's webhook."""

import hashlib
import uuid

from local.linear.records import Records, Row
from local.linear.timestamps import now

TEAMS = {"ENG": "Engineering", "OPS": "Operations"}
# A new team's states in Linear's order; an issue begins in the first.
STATES = (
    ("Backlog", "backlog", "#bec2c8"),
    ("Todo", "unstarted", "#e2e2e2"),
    ("In Progress", "started", "#f2c94c"),
    ("In Review", "started", "#0f783c"),
    ("Done", "completed", "#5e6ad2"),
    ("Canceled", "canceled", "#95a2b3"),
    ("Duplicate", "duplicate", "#95a2b3"),
)


def stable_id(name: str) -> str:
    """Derives a UUID from a name: a team or a state has the same id after a reset."""
    return str(uuid.UUID(bytes=hashlib.sha256(name.encode()).digest()[:16], version=4))


ORGANIZATION = stable_id("organization")
# Supadesk acts as one user through the API, the page as another.
APP_USER = stable_id("user app")
ENGINEER = stable_id("user engineer")
APP_WEBHOOK = stable_id("webhook app")


def seed(records: Records) -> None:
    """Adds the rows that are missing."""
    for user_id, name in ((APP_USER, "Supadesk"), (ENGINEER, "Engineer")):
        _put_once(records, "User", {"id": user_id, "name": name, "displayName": name.lower(), "active": True})
    for key, name in TEAMS.items():
        team = stable_id(f"team {key}")
        _put_once(
            records, "Team", {"id": team, "key": key, "name": name, "displayName": name, "issueCount": 0}
        )
        for position, (label, kind, color) in enumerate(STATES):
            state = {"id": stable_id(f"state {key} {label}"), "name": label, "type": kind, "color": color}
            _put_once(records, "WorkflowState", {**state, "position": position, "teamId": team})


def register_webhook(records: Records, url: str, secret: str) -> None:
    """Adds or updates Supadesk's own webhook."""
    webhook = {"id": APP_WEBHOOK, "url": url, "secret": secret, "label": "Supadesk", "enabled": True}
    scope = {"resourceTypes": ["Issue", "Comment"], "teamId": None, "allPublicTeams": True}
    records.put(
        "Webhook", {**webhook, **scope, "creatorId": APP_USER, "createdAt": now(), "updatedAt": now()}
    )


def _put_once(records: Records, kind: str, row: Row) -> None:
    if not records.find(kind, row["id"]):
        records.put(kind, {**row, "createdAt": now(), "updatedAt": now()})
