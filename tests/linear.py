"""Drives the fake of Linear: through its API, its page and its control endpoints."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx

from local.linear.seed import stable_id

Row = dict[str, Any]
ENG = stable_id("team ENG")
HOOK = "mutation($input: WebhookCreateInput!) { webhookCreate(input: $input) { webhook { id secret } } }"
CREATE = "mutation($input: IssueCreateInput!) { issueCreate(input: $input) { issue { id identifier } } }"


def state_id(name: str, team: str = "ENG") -> str:
    """Returns a workflow state's id, which is stable across resets."""
    return stable_id(f"state {team} {name}")


class Linear:
    """Calls the fake under one key."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.key = key
        self._client = httpx.Client(base_url=url, timeout=10, trust_env=False)

    def call(self, query: str, key: str | None = None, **variables: Any) -> httpx.Response:
        """Makes a call and returns the raw response."""
        headers = {"Authorization": self.key if key is None else key}
        return self._client.post("/graphql", json={"query": query, "variables": variables}, headers=headers)

    def data(self, query: str, **variables: Any) -> Row:
        """Makes a call that must succeed and returns its data."""
        answer = self.call(query, **variables).json()
        assert "errors" not in answer, answer
        data: Row = answer["data"]
        return data

    def create(self, title: str = "The export does nothing", **more: Any) -> Row:
        """Creates an issue and returns its id and identifier."""
        made: Row = self.data(CREATE, input={"teamId": ENG, "title": title, **more})["issueCreate"]["issue"]
        return made

    def records(self, kind: str) -> list[Row]:
        """Returns all rows of a kind (Issue, Comment, Attachment, …), unaffected by faults."""
        rows: list[Row] = self._client.get("/control/records").raise_for_status().json()[kind]
        return rows

    def comments(self, issue_id: str) -> list[str]:
        """Returns the texts of an issue's comments."""
        return [row["body"] for row in self.records("Comment") if row["issueId"] == issue_id]

    def state(self, issue_id: str) -> str:
        """Returns the name of an issue's state."""
        [issue] = [row for row in self.records("Issue") if row["id"] == issue_id]
        [state] = [row for row in self.records("WorkflowState") if row["id"] == issue["stateId"]]
        return str(state["name"])

    def hook(self, url: str, **more: Any) -> str:
        """Creates a webhook and returns its signing secret."""
        given = {"url": url, "resourceTypes": ["Issue", "Comment"], "allPublicTeams": True, **more}
        made: Row = self.data(HOOK, input=given)["webhookCreate"]["webhook"]
        return str(made["secret"])

    def reset(self) -> None:
        """Removes issues, faults and counters."""
        self._client.delete("/control/records").raise_for_status()

    @contextmanager
    def failing(self, *rules: Row, **settings: Any) -> Iterator[None]:
        """Injects faults for the length of a block; local/linear/faults.py defines the rules."""
        self._client.put("/control/faults", json={"rules": rules, **settings}).raise_for_status()
        try:
            yield
        finally:
            self._client.delete("/control/faults").raise_for_status()

    def counters(self) -> Row:
        """Returns the plan of faults and the counters of calls, faults and webhooks."""
        report: Row = self._client.get("/control/faults").json()
        return report

    def act(self, identifier: str, action: str, **fields: str) -> None:
        """Submits a form of the issue's page: `state`, `comments`, `delete`, `restore`."""
        answer = self._client.post(f"/issue/{identifier}/{action}", data=fields)
        assert answer.status_code == 303, answer.text


class Listener:
    """Receives webhooks and responds with one status after another, then with 200."""

    def __init__(self, *statuses: int) -> None:
        self.heard: list[tuple[Message, bytes]] = []
        self._server = HTTPServer(("127.0.0.1", 0), partial(_Handler, self.heard, list(statuses)))
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self) -> "Listener":
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait(self, count: int) -> list[Row]:
        """Waits for that many webhooks and returns their bodies."""
        deadline = time.monotonic() + 5
        while len(self.heard) < count:
            assert time.monotonic() < deadline, f"heard {len(self.heard)} of {count}"
            time.sleep(0.01)
        return [json.loads(body) for _, body in self.heard[:count]]


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, heard: list[tuple[Message, bytes]], statuses: list[int], *rest: Any) -> None:
        self._heard, self._statuses = heard, statuses
        super().__init__(*rest)

    def do_POST(self) -> None:
        self._heard.append((self.headers, self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(self._statuses.pop(0) if self._statuses else 200)
        self.end_headers()

    def log_message(self, *about: object) -> None:
        """Keeps the log off the tests' output."""
