"""A mail as it leaves: its addresses, its headers, and both of its bodies.

Mails of one ticket form a thread. All of them refer to one root, `<ticket@domain>`, that no mail has: which of them
arrived, and whether a provider replaced their own ids, makes no difference then.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import quote

from pydantic_core import to_json

from shared.config import Mailbox, MailConfig
from shared.domains import ascii_domain
from shared.mail.headers import POLICY, address_field, text_field, token_field
from shared.mail.layout import as_html, as_text
from shared.mail.texts import Payload, letter_of, subject_of
from shared.outbox import Row, Undelivered
from shared.text import INVISIBLE, cut, one_line

LONGEST_NAME = 100
LONGEST_SUBJECT = 200
# Nobody's holiday notice shall answer; bounces shall come.
AUTOMATIC = {"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "OOF, AutoReply"}


class Mail(NamedTuple):
    key: str
    """The same at every attempt, and no other mail's."""
    sender: Address
    to: Address
    reply_to: Address | None
    subject: str
    text: str
    html: str
    headers: Mapping[str, str]

    def message(self) -> EmailMessage:
        message = EmailMessage(policy=POLICY)
        message["From"] = address_field("From", self.sender)
        message["To"] = address_field("To", self.to)
        if self.reply_to:
            message["Reply-To"] = address_field("Reply-To", self.reply_to)
        message["Subject"] = text_field("Subject", self.subject)
        message["Date"] = token_field("Date", format_datetime(datetime.now(UTC)))
        for name, value in self.headers.items():
            message[name] = token_field(name, value)
        message.set_content(self.text)
        message.add_alternative(self.html, subtype="html")
        return message


Mailer = Callable[[Mail], Awaitable[None]]
"""Hands a mail over to whoever delivers it; raises Undelivered where that one does not take it."""


def mail_of(row: Row, config: MailConfig) -> Mail:
    payload = Payload.model_validate(row.payload)
    letter = letter_of(row.kind, payload, config.desk_url)
    key = f"{row.id}-{sha256(to_json([row.kind, row.payload])).hexdigest()[:32]}"
    sender = _address(config.sender)
    return Mail(
        key=key,
        sender=sender,
        to=_address(Mailbox(payload.to_name, payload.to)),
        reply_to=_address(config.reply_to) if config.reply_to else None,
        subject=cut(one_line(subject_of(row.kind, payload)), LONGEST_SUBJECT),
        text=as_text(letter),
        html=as_html(letter),
        headers=AUTOMATIC | _thread(row, payload, key, sender.domain) | _list(row.kind, config),
    )


def _thread(row: Row, payload: Payload, key: str, domain: str) -> dict[str, str]:
    if payload.ticket_id is None:
        return {"Message-ID": f"<{key}@{domain}>"}
    root = f"<{payload.ticket_id}@{domain}>"
    own = f"<{payload.ticket_id}.{row.id}@{domain}>"
    return {"Message-ID": own, "In-Reply-To": root, "References": root}


def _list(kind: str, config: MailConfig) -> dict[str, str]:
    """A digest comes again and again, so it says where to end that; mails on a ticket end with the ticket."""
    if kind != "digest":
        return {}
    address = quote((config.reply_to or config.sender).address, safe="@")
    return {"List-Unsubscribe": f"<mailto:{address}?subject=unsubscribe>"}


def _address(mailbox: Mailbox) -> Address:
    local, _, domain = mailbox.address.rpartition("@")
    name = cut(one_line(mailbox.name), LONGEST_NAME)
    try:
        address = Address(name, local, ascii_domain(domain))
    except ValueError:
        address = Address()
    if not (address.username and address.domain) or INVISIBLE.search(address.username):
        raise Undelivered("the address is none that mail can go to", permanent=True)
    return address
