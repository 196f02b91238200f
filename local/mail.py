"""The mail server: takes every mail and delivers none, but keeps each as a file that any mail program opens.

How it treats a recipient can be changed while it runs: in `behaviour.json` beside the mails, patterns of addresses have
one of BEHAVIOURS as their value. Where the file does not say, a mail is taken.
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
    "drop": "",  # takes the mail, and hangs up before it says so
}


@contextmanager
def run_mail(home: Path, port: int) -> Iterator[Part]:
    """The server; mails are kept in `home`/mail."""
    env = {"PYTHONPATH": str(ROOT), "PORT": str(port), "FOLDER": str(home / "mail")}
    command = [sys.executable, "-m", "local.mail"]
    with running("mail", command, home=home, env=env, ready=partial(_answers, port)) as part:
        yield part


def mail_settings(port: int) -> dict[str, str]:
    """For functions that send mail: whatever else the developer's environment names, it stays here."""
    return {
        "SMTP_URL": f"smtp://127.0.0.1:{port}",
        "RESEND_API_KEY": "",
        "MAIL_FROM": "support@example.com",
        "DESK_URL": "http://localhost:5173",
    }


class Handler:
    """What the server does with a conversation; the names are aiosmtpd's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        refusal = BEHAVIOURS.get(self._behaviour(address))
        if refusal:
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.content, bytes)
        keep(self._folder, envelope.rcpt_tos, envelope.content)
        if any(self._behaviour(address) == "drop" for address in envelope.rcpt_tos):
            assert isinstance(server.transport, asyncio.Transport)
            server.transport.abort()
        return "250 OK"

    def _behaviour(self, address: str) -> str:
        behaviour = self._folder / "behaviour.json"
        if not behaviour.exists():
            return ""
        patterns: dict[str, str] = json.loads(behaviour.read_text())
        return next((how for pattern, how in patterns.items() if fnmatchcase(address, pattern)), "")


def keep(folder: Path, recipients: list[str], content: bytes) -> None:
    """One file a mail, named by when, to whom and what about; whole or not at all."""
    subject = str(message_from_bytes(content, policy=MAIL)["Subject"] or "")
    told = re.sub(r"[^\w@.+-]+", "-", f"{' '.join(recipients)} {subject}")[:120].strip("-.")
    name = f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}-{told}"
    draft = folder / f"{name}.part"
    draft.write_bytes(content)
    draft.rename(folder / f"{name}.eml")


def _answers(port: int) -> bool:
    try:
        with smtplib.SMTP("127.0.0.1", port, "localhost", timeout=5) as client:
            return client.noop()[0] == 250
    except OSError:
        return False


async def listen(handler: Handler, port: int) -> None:
    """Serve on the loopback interface until told to stop."""
    loop = asyncio.get_running_loop()

    def session() -> SMTP:
        return SMTP(handler, hostname="localhost", enable_SMTPUTF8=True)

    await (await loop.create_server(session, "127.0.0.1", port)).serve_forever()


def main() -> None:
    """Serve with what the environment says."""
    folder = Path(os.environ["FOLDER"])
    folder.mkdir(exist_ok=True)
    asyncio.run(listen(Handler(folder), int(os.environ["PORT"])))


if __name__ == "__main__":
    main()
