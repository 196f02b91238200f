"""Fakes a mail server: accepts every mail, delivers none, and stores each as an .eml file.

`behaviour.json` beside the mails changes its behaviour while it runs: it maps patterns of addresses to
BEHAVIOURS. Addresses that match no pattern are accepted.
"""

import asyncio
import json
import os
import re
import smtplib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import SMTP as MAIL
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from local.process import ROOT, Part, running

BEHAVIOURS = {
    "refuse": "550 5.1.1 No such mailbox",
    "defer": "451 4.3.0 Try again later",
    "drop": "",  # stores the mail, and closes the connection before confirming it
}


@contextmanager
def run_mail(home: Path, port: int) -> Iterator[Part]:
    """Runs the server; mails are stored in `home`/mail."""
    env = {"PYTHONPATH": str(ROOT), "PORT": str(port), "FOLDER": str(home / "mail")}
    command = [sys.executable, "-m", "local.mail"]
    with running("mail", command, home=home, env=env, ready=partial(_is_ready, port)) as part:
        yield part


def mail_settings(port: int) -> dict[str, str]:
    """Returns the functions' settings; they override the environment, so that no mail leaves the machine."""
    return {
        "SMTP_URL": f"smtp://127.0.0.1:{port}",
        "RESEND_API_KEY": "",
        "MAIL_FROM": "support@example.com",
        "DESK_URL": "http://localhost:5173",
    }


class Handler:
    """Handles SMTP commands; the method names are aiosmtpd's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        error = BEHAVIOURS.get(self._behaviour(address))
        if error:
            return error
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        store(self._folder, envelope.rcpt_tos, envelope.content)
        if any(self._behaviour(address) == "drop" for address in envelope.rcpt_tos):
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        return "250 OK"

    def _behaviour(self, address: str) -> str:
        path = self._folder / "behaviour.json"
        if not path.exists():
            return ""
        patterns: dict[str, str] = json.loads(path.read_text())
        return next((name for pattern, name in patterns.items() if fnmatchcase(address, pattern)), "")


def store(folder: Path, recipients: list[str], content: bytes) -> None:
    """Writes a mail to a file named by time, recipients and subject; atomic by renaming."""
    subject = str(message_from_bytes(content, policy=MAIL)["Subject"] or "")
    label = re.sub(r"[^\w@.+-]+", "-", f"{' '.join(recipients)} {subject}")[:120].strip("-.")
    name = f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}-{label}"
    draft = folder / f"{name}.part"
    draft.write_bytes(content)
    draft.rename(folder / f"{name}.eml")


def _is_ready(port: int) -> bool:
    try:
        with smtplib.SMTP("127.0.0.1", port, "localhost", timeout=5) as client:
            return client.noop()[0] == 250
    except OSError:
        return False


async def listen(handler: Handler, port: int) -> None:
    """Serves on the loopback interface until a signal stops it."""
    loop = asyncio.get_running_loop()

    def session() -> SMTP:
        return SMTP(handler, hostname="localhost", enable_SMTPUTF8=True)

    await (await loop.create_server(session, "127.0.0.1", port)).serve_forever()


def main() -> None:
    """Serves as the environment configures it."""
    folder = Path(os.environ["FOLDER"])
    folder.mkdir(exist_ok=True)
    asyncio.run(listen(Handler(folder), int(os.environ["PORT"])))


if __name__ == "__main__":
    main()
