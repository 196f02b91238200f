"""Mail by SMTP: at least once, since an answer can be lost after the server has taken the mail.

smtp:// means STARTTLS, and smtps:// TLS from the start; only to a server on the same machine there is none.
"""

import asyncio
import re
import ssl
from contextlib import ExitStack
from functools import cache
from smtplib import (
    SMTP,
    SMTP_SSL,
    SMTPDataError,
    SMTPException,
    SMTPNotSupportedError,
    SMTPRecipientsRefused,
    SMTPResponseException,
)
from typing import Literal, NamedTuple
from urllib.parse import unquote, urlsplit

from shared.errors import NotConfigured
from shared.mail.headers import addr_spec
from shared.mail.message import Mail
from shared.outbox import Undelivered

# One step of the conversation; the whole of it is bounded by the drain.
STEP_SECONDS = 15
LOOPBACK = ("localhost", "127.0.0.1", "::1")
# The enhanced status (RFC 3463) that servers put before their text.
ENHANCED = re.compile(rb"\s*([245]\.[0-9]{1,3}\.[0-9]{1,3})\b")


class Server(NamedTuple):
    host: str
    port: int
    user: str | None
    password: str
    security: Literal["none", "starttls", "tls"]


def server_of(url: str) -> Server:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise NotConfigured("SMTP_URL is not a URL") from None
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise NotConfigured("SMTP_URL must be like smtps://user:password@smtp.example.com")
    user, password = unquote(parts.username or "") or None, unquote(parts.password or "")
    if parts.scheme == "smtps":
        return Server(parts.hostname, port or 465, user, password, "tls")
    security: Literal["none", "starttls"] = "none" if parts.hostname in LOOPBACK else "starttls"
    return Server(parts.hostname, port or 587, user, password, security)


class Smtp:
    def __init__(self, server: Server) -> None:
        self._server = server

    async def send(self, mail: Mail) -> None:
        await asyncio.to_thread(self._send, mail)

    def _send(self, mail: Mail) -> None:
        connection = self._connected(mail.sender.domain)
        try:
            connection.send_message(mail.message(), addr_spec(mail.sender), [addr_spec(mail.to)])
        except SMTPRecipientsRefused as refusal:
            [(code, text)] = refusal.recipients.values()
            raise _refused("the recipient", code, text) from None
        except SMTPDataError as refusal:
            raise _refused("the mail", refusal.smtp_code, refusal.smtp_error) from None
        except SMTPNotSupportedError:
            raise Undelivered("smtp: the server takes ASCII addresses only", permanent=True) from None
        except (SMTPException, OSError) as error:
            raise _broken(error) from None
        finally:
            _leave(connection)

    def _connected(self, own_name: str) -> SMTP:
        """A session that is ready to take mail. Whatever fails before that is no fault of the mail."""
        with ExitStack() as undo:
            try:
                connection = self._opened(own_name)
                undo.callback(connection.close)
                if self._server.security == "starttls":
                    connection.starttls(context=_tls())
                if self._server.user:
                    connection.login(self._server.user, self._server.password)
            except (SMTPException, OSError) as error:
                raise _broken(error) from None
            undo.pop_all()
            return connection

    def _opened(self, own_name: str) -> SMTP:
        host, port = self._server.host, self._server.port
        if self._server.security == "tls":
            return SMTP_SSL(host, port, own_name, timeout=STEP_SECONDS, context=_tls())
        return SMTP(host, port, own_name, timeout=STEP_SECONDS)


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _leave(connection: SMTP) -> None:
    """Say goodbye, and do not wait for the answer: the mail has been taken or not, whatever it says."""
    try:
        connection.putcmd("quit")
    except (SMTPException, OSError):
        pass
    finally:
        connection.close()


def _refused(what: str, code: int, text: bytes | str) -> Undelivered:
    found = ENHANCED.match(text.encode() if isinstance(text, str) else text)
    status = f"{code} {found[1].decode()}" if found else str(code)
    return Undelivered(f"smtp: {what} was refused with {status}", permanent=500 <= code <= 599)


def _broken(error: Exception) -> Undelivered:
    """The server's own trouble, or ours with it, such as a password it does not take."""
    status = f" {error.smtp_code}" if isinstance(error, SMTPResponseException) else ""
    return Undelivered(f"smtp: {type(error).__name__}{status}", permanent=False)
