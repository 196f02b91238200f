"""A Google Cloud project of the tests: a checkout to deploy from, the double of gcloud, and addresses that answer."""

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from deploy.__main__ import main
from deploy.table import ROOT

ENV = {
    "GOOGLE_CLOUD_PROJECT": "acme-desk",
    "SUPABASE_URL": "https://acme.supabase.co",
    "SUPABASE_ANON_KEY": "sb_publishable_x",
    "ALLOWED_ORIGINS": "https://app.example.com,https://admin.example.com",
    "MAIL_FROM": "Support <support@example.com>",
    "DESK_URL": "https://app.example.com",
}
SECRETS = {
    "supadesk-intake-secret": [1],
    "supadesk-supabase-secret-key": [1, 10, 9],
    "supadesk-linear-api-key": [1],
    "supadesk-smtp-url": [2],
}
REQUEST_ID = "6c1b1e9e-6f0c-4a55-9b1c-0d3f8f5b7a11"


@dataclass(frozen=True)
class Answer:
    """Holds a server's answer to every request."""

    status: int
    body: Mapping[str, Any] | str
    request_id: str | None = None


def problem(status: int, code: str) -> Answer:
    """An error as the functions tell it."""
    body = {"success": False, "error": "No.", "code": code, "fields": [], "request_id": REQUEST_ID}
    return Answer(status, body, REQUEST_ID)


GATE = Answer(403, "<html><title>403 Forbidden</title></html>")


@contextmanager
def answering(answers: Mapping[str, Answer] | Answer) -> Iterator[str]:
    """A server that gives one answer, or one for each path; its address."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            answer = answers if isinstance(answers, Answer) else answers[self.path]
            text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
            self.send_response(answer.status)
            if answer.request_id:
                self.send_header("X-Request-Id", answer.request_id)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(frozen=True)
class Project:
    """A checkout in `root`, and Google as far as gcloud tells of it."""

    root: Path
    home: Path

    @classmethod
    def make(cls, home: Path, patch: pytest.MonkeyPatch) -> "Project":
        """A copy of what is deployed, and a project that set-up has been through, with gcloud signed in to it."""
        root = home / "checkout"
        for folder in ("functions", "shared"):
            shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
        (root / "deploy").mkdir()
        for file in ("deploy/functions.toml", "requirements.txt"):
            shutil.copy(ROOT / file, root / file)
        program = home / "bin" / "gcloud"
        program.parent.mkdir()
        program.write_text(
            f'#!/bin/sh\nexec "{sys.executable}" -I -S "{Path(__file__).with_name("gcloud.py")}" "$@"\n'
        )
        program.chmod(0o755)
        patch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
        patch.setenv("GCLOUD_DOUBLE", str(home))
        project = cls(root, home)
        empty: dict[str, Any] = {"services": {}, "revisions": {}, "urls": {}, "broken_builds": []}
        project.save({"accounts": ["ada@example.com"], "secrets": SECRETS, **empty})
        return project

    def deploy(self, *arguments: str, **changes: str | None) -> int:
        """`python -m deploy …`, with variables changed or, where None, left out; its status."""
        env = {name: value for name, value in {**ENV, **changes}.items() if value is not None}
        return main([*arguments], env, self.root)

    @property
    def state(self) -> Any:
        return json.loads((self.home / "state").read_text())

    def save(self, state: Any) -> None:
        (self.home / "state").write_text(json.dumps(state))

    def change(self, **changes: Any) -> None:
        self.save(self.state | changes)

    def serve(self, name: str, **urls: str) -> None:
        """A function answers at these addresses: `url` for people, others by tag."""
        own = {"" if tag == "url" else tag: url for tag, url in urls.items()}
        self.change(urls=self.state["urls"] | {name: self.state["urls"].get(name, {}) | own})

    def serving(self, name: str) -> dict[str, int]:
        """Returns each revision's share of the traffic."""
        traffic: dict[str, int] = self.state["services"][name]["traffic"]
        return traffic

    @property
    def calls(self) -> list[list[str]]:
        """All that gcloud was called with."""
        file = self.home / "calls"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def changes(self) -> list[list[str]]:
        """Those calls that change something."""
        return [call for call in self.calls if call[:2] == ["run", "deploy"] or "update-traffic" in call]

    def edit(self, path: str, old: str, new: str) -> None:
        """Change a file of the checkout."""
        file = self.root / path
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new, 1))
