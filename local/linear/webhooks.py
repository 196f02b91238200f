"""Delivers Linear's webhooks: payloads, signatures and retries."""

import asyncio
import hashlib
import hmac
import json
import time
import uuid
from typing import Any

import httpx

from local.linear.faults import Faults, Rule
from local.linear.records import Row
from local.linear.seed import ORGANIZATION
from local.linear.timestamps import now
from local.linear.workspace import PRIORITIES, Change, Workspace

# Minutes between a failed attempt and the next one.
RETRY_MINUTES = (1, 60, 360)
TIMEOUT_S = 5.0
MAX_CONCURRENT = 8


class Webhooks:
    """Delivers changes to webhooks; deliveries are stored, so that a restart loses none."""

    def __init__(self, workspace: Workspace, faults: Faults, minute: float) -> None:
        self._workspace = workspace
        self._records = workspace.records
        self._faults = faults
        self._minute = minute
        self._tasks: set[asyncio.Task[None]] = set()
        self._semaphore = asyncio.Semaphore(MAX_CONCURRENT)
        self._client = httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False)
        workspace.on_change = self.enqueue

    def resume(self) -> None:
        """Continues the deliveries of an earlier process."""
        for delivery in self._records.all("Delivery"):
            self._start(delivery)

    async def stop(self) -> None:
        """Leaves open deliveries to the next process."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    def enqueue(self, change: Change) -> None:
        """Stores and starts a delivery for each webhook that subscribes to the change."""
        rule = self._faults.for_webhook(change.kind)
        if rule and rule.kind == "webhook_lost":
            return
        team = self._workspace.issue_of(change.kind, change.row)["teamId"]
        for webhook in self._records.all("Webhook"):
            in_scope = webhook["allPublicTeams"] or webhook["teamId"] == team
            if webhook["enabled"] and in_scope and change.kind in webhook["resourceTypes"]:
                self._enqueue_for(webhook, change, rule)

    def _enqueue_for(self, webhook: Row, change: Change, rule: Rule | None) -> None:
        delay = rule.seconds if rule and rule.kind == "webhook_delayed" else 0
        # A duplicate carries the same delivery number.
        delivery = {
            "number": str(uuid.uuid4()),
            "attempt": 0,
            "due": time.time() + delay,
            "webhookId": webhook["id"],
            "kind": change.kind,
            "body": json.dumps(payload(self._workspace, webhook, change), ensure_ascii=False),
        }
        for _ in range(2 if rule and rule.kind == "webhook_duplicated" else 1):
            self._start(self._records.put("Delivery", {"id": str(uuid.uuid4()), **delivery}))

    def _start(self, delivery: Row) -> None:
        task = asyncio.get_running_loop().create_task(self._deliver(delivery["id"]))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, delivery_id: str) -> None:
        """Retries until the delivery succeeds, its webhook is gone, or no attempts are left."""
        while delivery := self._records.find("Delivery", delivery_id):
            await asyncio.sleep(delivery["due"] - time.time())
            webhook = self._records.find("Webhook", delivery["webhookId"])
            if webhook is None or not self._records.find("Delivery", delivery_id):
                break
            async with self._semaphore:
                is_delivered = await self._send(webhook, delivery)
            self._faults.webhooks["delivered" if is_delivered else "failed"] += 1
            attempt = delivery["attempt"]
            if is_delivered or attempt == len(RETRY_MINUTES):
                break
            due = time.time() + RETRY_MINUTES[attempt] * (self._faults.plan.minute or self._minute)
            # A reset during the attempt has removed the delivery, which must not come back.
            if self._records.find("Delivery", delivery_id):
                self._records.put("Delivery", {**delivery, "attempt": attempt + 1, "due": due})
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
            async with asyncio.timeout(TIMEOUT_S):
                response = await self._client.post(webhook["url"], content=body, headers=headers)
        except (httpx.HTTPError, TimeoutError):
            return False
        return response.status_code == 200


def payload(workspace: Workspace, webhook: Row, change: Change) -> Row:
    """Returns a webhook's body."""
    issue, is_issue = workspace.issue_of(change.kind, change.row), change.kind == "Issue"
    body: Row = {
        "action": change.action,
        "actor": {**_user(workspace.get("User", change.actor)), "type": "user"},
        "createdAt": now(),
        "data": _issue(workspace, issue) if is_issue else _comment(workspace, change.row, issue),
        "url": workspace.issue_url(issue) if is_issue else workspace.comment_url(change.row),
        "type": change.kind,
        "organizationId": ORGANIZATION,
        "webhookTimestamp": int(time.time() * 1000),
        "webhookId": webhook["id"],
    }
    if change.action == "update":
        body["updatedFrom"] = {
            name: value for name, value in change.before.items() if change.row.get(name) != value
        }
    return body


def _issue(workspace: Workspace, issue: Row) -> Row:
    state, team = workspace.get("WorkflowState", issue["stateId"]), workspace.get("Team", issue["teamId"])
    labels = [workspace.get("IssueLabel", label_id) for label_id in issue["labelIds"]]
    return {
        **_without_nulls(issue),
        "url": workspace.issue_url(issue),
        "priorityLabel": PRIORITIES[issue["priority"]],
        "previousIdentifiers": [],
        "botActor": issue["botActor"],
        "state": _subset(state, "id", "name", "type", "color"),
        "team": _subset(team, "id", "key", "name"),
        "labels": [_subset(label, "id", "name", "color") for label in labels],
    }


def _comment(workspace: Workspace, comment: Row, issue: Row) -> Row:
    user = workspace.records.find("User", comment["userId"])
    summary = _subset(issue, "id", "identifier", "title", "teamId")
    return {
        **_without_nulls(comment),
        "botActor": comment["botActor"],
        "issue": {**summary, "url": workspace.issue_url(issue)},
        **({"user": _user(user)} if user else {}),
    }


def _user(user: Row) -> Row:
    return _subset(user, "id", "name") | {"email": f"{user['displayName']}@example.com"}


def _without_nulls(row: Row) -> Row:
    """Leaves out nulls, as Linear does."""
    return {name: value for name, value in row.items() if value is not None}


def _subset(row: Row, *names: str) -> dict[str, Any]:
    return {name: row[name] for name in names}
