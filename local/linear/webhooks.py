"""Linear's webhooks: what they say, how they are signed, and how often they are tried."""

import asyncio
import hashlib
import hmac
import json
import time
import uuid
from typing import Any

import httpx

from local.linear.faults import Faults, Rule
from local.linear.moments import now
from local.linear.records import Row
from local.linear.seed import ORGANIZATION
from local.linear.workspace import PRIORITIES, Change, Workspace

# Minutes until a delivery that failed is tried again.
RETRIES = (1, 60, 360)
PATIENCE = 5.0
AT_ONCE = 8


class Webhooks:
    """The deliveries; they are kept like everything else, so that a restart loses none."""

    def __init__(self, workspace: Workspace, faults: Faults, minute: float) -> None:
        self._workspace = workspace
        self._records = workspace.records
        self._faults = faults
        self._minute = minute
        self._tasks: set[asyncio.Task[None]] = set()
        self._gate = asyncio.Semaphore(AT_ONCE)
        self._client = httpx.AsyncClient(timeout=PATIENCE, trust_env=False)
        workspace.tell = self.tell

    def resume(self) -> None:
        """Go on with what an earlier process has left."""
        for delivery in self._records.all("Delivery"):
            self._start(delivery)

    async def stop(self) -> None:
        """Leave the rest to the next process."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    def tell(self, change: Change) -> None:
        """Write a delivery for every webhook that wants to hear of this."""
        rule = self._faults.for_webhook(change.kind)
        if rule and rule.kind == "webhook_lost":
            return
        team = self._workspace.issue_of(change.kind, change.row)["teamId"]
        for webhook in self._records.all("Webhook"):
            wanted = webhook["allPublicTeams"] or webhook["teamId"] == team
            if webhook["enabled"] and wanted and change.kind in webhook["resourceTypes"]:
                self._write(webhook, change, rule)

    def _write(self, webhook: Row, change: Change, rule: Rule | None) -> None:
        body = json.dumps(payload(self._workspace, webhook, change), ensure_ascii=False)
        late = rule.seconds if rule and rule.kind == "webhook_delayed" else 0
        times = 2 if rule and rule.kind == "webhook_duplicated" else 1
        about = {"webhookId": webhook["id"], "kind": change.kind, "body": body}
        # Whatever is sent twice is the same delivery.
        number = str(uuid.uuid4())
        for _ in range(times):
            row = {
                "id": str(uuid.uuid4()),
                "number": number,
                "attempt": 0,
                "due": time.time() + late,
                **about,
            }
            self._start(self._records.put("Delivery", row))

    def _start(self, delivery: Row) -> None:
        task = asyncio.get_running_loop().create_task(self._deliver(delivery["id"]))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, delivery_id: str) -> None:
        """Until it has arrived, nobody waits for it any more, or it has been tried often enough."""
        while delivery := self._records.find("Delivery", delivery_id):
            await asyncio.sleep(delivery["due"] - time.time())
            webhook = self._records.find("Webhook", delivery["webhookId"])
            if webhook is None or not self._records.find("Delivery", delivery_id):
                break
            async with self._gate:
                arrived = await self._send(webhook, delivery)
            self._faults.webhooks["delivered" if arrived else "failed"] += 1
            attempt = delivery["attempt"]
            if arrived or attempt == len(RETRIES):
                break
            wait = RETRIES[attempt] * (self._faults.plan.minute or self._minute)
            if self._records.find("Delivery", delivery_id):
                self._records.put("Delivery", {**delivery, "attempt": attempt + 1, "due": time.time() + wait})
        self._records.remove("Delivery", delivery_id)

    async def _send(self, webhook: Row, delivery: Row) -> bool:
        body = delivery["body"].encode()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Linear-Webhook",
            "Linear-Delivery": delivery["number"],
            "Linear-Event": delivery["kind"],
            "Linear-Signature": hmac.new(webhook["secret"].encode(), body, hashlib.sha256).hexdigest(),
        }
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await self._client.post(webhook["url"], content=body, headers=headers)
        except (httpx.HTTPError, TimeoutError):
            return False
        return answer.status_code == 200


def payload(workspace: Workspace, webhook: Row, change: Change) -> Row:
    """What a webhook says about a change."""
    issue = workspace.issue_of(change.kind, change.row)
    actor = workspace.get("User", change.actor)
    told: Row = {
        "action": change.action,
        "actor": {**_person(actor), "type": "user"},
        "createdAt": now(),
        "data": _issue(workspace, issue)
        if change.kind == "Issue"
        else _comment(workspace, change.row, issue),
        "url": workspace.issue_url(issue) if change.kind == "Issue" else workspace.comment_url(change.row),
        "type": change.kind,
        "organizationId": ORGANIZATION,
        "webhookTimestamp": int(time.time() * 1000),
        "webhookId": webhook["id"],
    }
    if change.action == "update":
        told["updatedFrom"] = {
            name: value for name, value in change.before.items() if change.row.get(name) != value
        }
    return told


def _issue(workspace: Workspace, issue: Row) -> Row:
    state, team = workspace.get("WorkflowState", issue["stateId"]), workspace.get("Team", issue["teamId"])
    labels = [workspace.get("IssueLabel", label_id) for label_id in issue["labelIds"]]
    return {
        **_known(issue),
        "url": workspace.issue_url(issue),
        "priorityLabel": PRIORITIES[issue["priority"]],
        "previousIdentifiers": [],
        "botActor": issue["botActor"],
        "state": _some(state, "id", "name", "type", "color"),
        "team": _some(team, "id", "key", "name"),
        "labels": [_some(label, "id", "name", "color") for label in labels],
    }


def _comment(workspace: Workspace, comment: Row, issue: Row) -> Row:
    user = workspace.records.find("User", comment["userId"])
    return {
        **_known(comment),
        "botActor": comment["botActor"],
        "issue": _some(issue, "id", "identifier", "title", "teamId") | {"url": workspace.issue_url(issue)},
        **({"user": _person(user)} if user else {}),
    }


def _person(user: Row) -> Row:
    return _some(user, "id", "name") | {"email": f"{user['displayName']}@example.com"}


def _known(row: Row) -> Row:
    """Without what is null: Linear leaves that out."""
    return {name: value for name, value in row.items() if value is not None}


def _some(row: Row, *names: str) -> dict[str, Any]:
    return {name: row[name] for name in names}
