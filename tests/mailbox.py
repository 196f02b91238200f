"""The mails that the local mail server has taken, and how it treats those to come."""

import json
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path


class Mailbox:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def to(self, address: str | None) -> list[EmailMessage]:
        """Lists the mails to this address, in the order of their arrival."""
        return [mail for mail in self.all() if str(address) in str(mail["To"])]

    def all(self) -> list[EmailMessage]:
        files = sorted(self._folder.glob("*.eml"))
        return [message_from_bytes(file.read_bytes(), policy=default) for file in files]

    def treat(self, pattern: str, behaviour: str) -> None:
        """Refuse, defer or drop what is for addresses like this one from now on; take everything else."""
        draft = self._folder / "behaviour.part"
        draft.write_text(json.dumps({pattern: behaviour}))
        draft.rename(self._folder / "behaviour.json")

    def take_everything(self) -> None:
        (self._folder / "behaviour.json").unlink(missing_ok=True)


def bodies(mail: EmailMessage) -> tuple[str, str]:
    """A mail's text and HTML."""
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text
    assert html
    return text.get_content().replace("\r\n", "\n"), html.get_content().replace("\r\n", "\n")
