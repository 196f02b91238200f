"""What is in the workspace before anybody does anything: its people, its teams with their states, the desk's webhook."""

import hashlib
import uuid

from local.linear.moments import now
from local.linear.records import Records, Row

TEAMS = {"ENG": "Engineering", "OPS": "Operations"}
# The states of a new team, in Linear's order; an issue begins in the first one that is no triage.
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
    """A UUID that is the same after a reset: whoever remembers a team or a state finds it again."""
    return str(uuid.UUID(bytes=hashlib.sha256(name.encode()).digest()[:16], version=4))


ORGANIZATION = stable_id("organization")
# The desk acts through the API as one person, the page as another.
DESK = stable_id("user desk")
ENGINEER = stable_id("user engineer")
DESK_WEBHOOK = stable_id("webhook desk")


def furnish(records: Records) -> None:
    """Put in what is missing."""
    for user_id, name in ((DESK, "Supadesk"), (ENGINEER, "Engineer")):
        _once(records, "User", {"id": user_id, "name": name, "displayName": name.lower(), "active": True})
    for key, name in TEAMS.items():
        team = stable_id(f"team {key}")
        _once(records, "Team", {"id": team, "key": key, "name": name, "displayName": name, "issueCount": 0})
        for position, (label, kind, color) in enumerate(STATES):
            state = {"id": stable_id(f"state {key} {label}"), "name": label, "type": kind, "color": color}
            _once(records, "WorkflowState", {**state, "position": position, "teamId": team})


def connect(records: Records, url: str, secret: str) -> None:
    """Make the desk's own webhook."""
    known = {"id": DESK_WEBHOOK, "url": url, "secret": secret, "label": "Supadesk", "enabled": True}
    wants = {"resourceTypes": ["Issue", "Comment"], "teamId": None, "allPublicTeams": True}
    records.put("Webhook", {**known, **wants, "creatorId": DESK, "createdAt": now(), "updatedAt": now()})


def _once(records: Records, kind: str, row: Row) -> None:
    if not records.find(kind, row["id"]):
        records.put(kind, {**row, "createdAt": now(), "updatedAt": now()})
