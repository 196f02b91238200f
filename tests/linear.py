"""Linear's double as tests see it: through its API, as an engineer on its page, and behind its back."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from deploy.local.linear.workspace import stable_id

Row = dict[str, Any]
ENG = stable_id("team ENG")
CREATE = "mutation($input: IssueCreateInput!) { issueCreate(input: $input) { issue { id identifier } } }"


def state_id(name: str, team: str = "ENG") -> str:
    """A workflow state's id; it outlives resets."""
    return stable_id(f"state {team} {name}")


class Linear:
    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.key = key
        self._client = httpx.Client(base_url=url, timeout=10, trust_env=False)

    def call(self, query: str, key: str | None = None, **variables: Any) -> httpx.Response:
        """A call as any client makes it."""
        headers = {"Authorization": self.key if key is None else key}
        return self._client.post("/graphql", json={"query": query, "variables": variables}, headers=headers)

    def data(self, query: str, **variables: Any) -> Row:
        """What a call gives that has to succeed."""
        answer = self.call(query, **variables).json()
        assert "errors" not in answer, answer
        data: Row = answer["data"]
        return data

    def create(self, title: str = "The export does nothing", **more: Any) -> Row:
        """A new issue's id and identifier."""
        made: Row = self.data(CREATE, input={"teamId": ENG, "title": title, **more})["issueCreate"]["issue"]
        return made

    def records(self, kind: str) -> list[Row]:
        """Everything that is kept of a kind (Issue, Comment, Attachment, …), whatever faults are set."""
        rows: list[Row] = self._client.get("/control/records").raise_for_status().json()[kind]
        return rows

    def comments(self, issue_id: str) -> list[str]:
        """The texts under an issue."""
        return [row["body"] for row in self.records("Comment") if row["issueId"] == issue_id]

    def state(self, issue_id: str) -> str:
        """The name of the state that an issue is in."""
        [issue] = [row for row in self.records("Issue") if row["id"] == issue_id]
        [state] = [row for row in self.records("WorkflowState") if row["id"] == issue["stateId"]]
        return str(state["name"])

    def reset(self) -> None:
        """Forget issues, faults and counters."""
        self._client.delete("/control/records").raise_for_status()

    @contextmanager
    def failing(self, *rules: Row, **settings: Any) -> Iterator[None]:
        """Follow these rules for a while; deploy/local/linear/faults.py says which there are."""
        self._client.put("/control/faults", json={"rules": rules, **settings}).raise_for_status()
        try:
            yield
        finally:
            self._client.delete("/control/faults").raise_for_status()

    def told(self) -> Row:
        """The plan of faults, and how often what was called and injected under it."""
        counted: Row = self._client.get("/control/faults").json()
        return counted

    def act(self, identifier: str, action: str, **fields: str) -> None:
        """Do as an engineer does on the issue's page: `state`, `comments`, `delete`, `restore`."""
        answer = self._client.post(f"/issue/{identifier}/{action}", data=fields)
        assert answer.status_code == 303, answer.text
