"""Sends mail by SMTP: encrypted or not, refused or deferred."""

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from local.ports import free_ports
from shared.config import load_mail
from shared.errors import NotConfigured
from shared.mail import smtp
from shared.mail.message import Mail, mail_of
from shared.mail.smtp import Server, Smtp, server_of
from shared.outbox import Row, Undelivered

ENV = {
    "MAIL_FROM": "support@example.com",
    "DESK_URL": "https://desk.example.com",
    "SMTP_URL": "smtp://127.0.0.1",
}
TO_ADA = {"to": "ada@example.com", "ticket_number": "SUP-00042", "subject": "Charged twice"}


class Taking:
    """A server's side of the conversation, with one answer of its own."""

    def __init__(self, step: str = "", answer: str = "250 OK") -> None:
        self.taken: list[Envelope] = []
        self.encrypted: list[bool] = []
        self._step, self._answer = step, answer

    def _at(self, step: str) -> str:
        return self._answer if step == self._step else "250 OK"

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        return self._at("MAIL")

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.rcpt_tos.append(address)
        return self._at("RCPT")

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.taken.append(envelope)
        self.encrypted.append(session.ssl is not None)
        return self._at("DATA")


Start = Callable[..., int]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a server as it should be; gives its port."""
    with ExitStack() as running:

        def run(handler: Taking, **settings: Any) -> int:
            [port] = free_ports(1)
            controller = Controller(handler, "127.0.0.1", port, **settings)
            controller.start()
            running.callback(controller.stop)
            return port

        yield run


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ssl.SSLContext]:
    """A server's, for 127.0.0.1, from an authority that we trust for this test."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "server.pem").write_bytes(pem + made.public_bytes(serialization.Encoding.PEM))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
    smtp._tls.cache_clear()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    yield context
    smtp._tls.cache_clear()


def mail(to: str = "ada@example.com") -> Mail:
    return mail_of(Row(7, "lease", "created", 1, TO_ADA | {"to": to}), load_mail(ENV))


def send(url: str, to: str = "ada@example.com") -> None:
    asyncio.run(Smtp(server_of(url)).send(mail(to)))


def failure(server: Server, to: str = "ada@example.com") -> Undelivered:
    with pytest.raises(Undelivered) as caught:
        asyncio.run(Smtp(server).send(mail(to)))
    assert "ada" not in caught.value.reason
    return caught.value


def test_a_mail_is_handed_over_once(start: Start) -> None:
    handler = Taking()
    send(f"smtp://127.0.0.1:{start(handler)}")

    [taken] = handler.taken
    assert (taken.mail_from, taken.rcpt_tos) == ("support@example.com", ["ada@example.com"])


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://localhost:1025", Server("localhost", 1025, None, "", "none")),
        ("smtp://127.0.0.1", Server("127.0.0.1", 587, None, "", "none")),
        ("smtp://smtp.example.com", Server("smtp.example.com", 587, None, "", "starttls")),
        ("smtp://127.0.0.1.example.com:25", Server("127.0.0.1.example.com", 25, None, "", "starttls")),
        ("smtps://me%40x:p%3A%2F@smtp.example.com", Server("smtp.example.com", 465, "me@x", "p:/", "tls")),
        ("smtps://localhost", Server("localhost", 465, None, "", "tls")),
    ],
)
def test_only_a_server_on_the_same_machine_is_spoken_to_in_the_open(url: str, server: Server) -> None:
    assert server_of(url) == server


@pytest.mark.parametrize("url", ["smtp.example.com", "https://smtp.example.com", "smtp://", "smtp://h:port"])
def test_an_address_that_is_no_servers_is_named(url: str) -> None:
    with pytest.raises(NotConfigured) as caught:
        server_of(url)
    assert "SMTP_URL" in str(caught.value.reason)


def test_starttls_encrypts_before_the_password_and_the_mail(
    start: Start, certificate: ssl.SSLContext
) -> None:
    seen: list[LoginPassword] = []

    def check(*given: object) -> AuthResult:
        assert isinstance(given[-1], LoginPassword)
        seen.append(given[-1])
        return AuthResult(success=given[-1].password == b"secret", handled=False)

    handler = Taking()
    port = start(handler, tls_context=certificate, authenticator=check, auth_required=True)
    asyncio.run(Smtp(Server("127.0.0.1", port, "me", "secret", "starttls")).send(mail()))

    assert handler.encrypted == [True]
    assert [given.login for given in seen] == [b"me"]
    wrong = failure(Server("127.0.0.1", port, "me", "wrong", "starttls"))
    assert (wrong.permanent, wrong.reason) == (False, "smtp: SMTPAuthenticationError 535")


def test_tls_from_the_start(start: Start, certificate: ssl.SSLContext) -> None:
    handler = Taking()
    port = start(handler, ssl_context=certificate)
    asyncio.run(Smtp(Server("127.0.0.1", port, None, "", "tls")).send(mail()))
    assert len(handler.taken) == 1


def test_a_server_without_tls_gets_no_mail_where_tls_is_wanted(start: Start) -> None:
    handler = Taking()
    problem = failure(Server("127.0.0.1", start(handler), None, "", "starttls"))
    assert (problem.permanent, problem.reason) == (False, "smtp: SMTPNotSupportedError")
    assert handler.taken == []


def test_a_certificate_of_nobody_we_know_gets_no_mail(
    start: Start, certificate: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    handler = Taking()
    problem = failure(Server("127.0.0.1", start(handler, tls_context=certificate), None, "", "starttls"))
    assert (problem.permanent, problem.reason) == (False, "smtp: SSLCertVerificationError")
    assert handler.taken == []


@pytest.mark.parametrize(
    ("step", "answer", "permanent", "reason"),
    [
        (
            "RCPT",
            "550 5.1.1 <ada@example.com>: no such user",
            True,
            "the recipient was refused with 550 5.1.1",
        ),
        ("RCPT", "550 no such user", True, "the recipient was refused with 550"),
        ("RCPT", "452 4.2.2 mailbox full", False, "the recipient was refused with 452 4.2.2"),
        ("RCPT", "421 4.7.0 busy", False, "the recipient was refused with 421 4.7.0"),
        ("DATA", "554 5.6.0 ada@example.com does not want this", True, "the mail was refused with 554 5.6.0"),
        ("DATA", "451 4.3.0 later", False, "the mail was refused with 451 4.3.0"),
        ("MAIL", "550 5.7.1 not your domain", False, "SMTPSenderRefused 550"),
        ("MAIL", "451 4.3.0 later", False, "SMTPSenderRefused 451"),
    ],
)
def test_what_is_refused_for_good_and_what_waits(
    start: Start, step: str, answer: str, permanent: bool, reason: str
) -> None:
    problem = failure(Server("127.0.0.1", start(Taking(step, answer)), None, "", "none"))
    assert (problem.permanent, problem.reason) == (permanent, f"smtp: {reason}")


def test_a_mail_waits_while_there_is_no_server() -> None:
    problem = failure(Server("127.0.0.1", free_ports(1)[0], None, "", "none"))
    assert (problem.permanent, problem.reason) == (False, "smtp: ConnectionRefusedError")


def test_an_old_address_with_dots_side_by_side_is_quoted(start: Start) -> None:
    handler = Taking()
    send(f"smtp://127.0.0.1:{start(handler)}", "ada..l.@example.com")
    assert b'\r\nTo: "ada..l."@example.com\r\n' in (handler.taken[0].original_content or b"")


def test_an_address_beyond_ascii_goes_to_servers_that_know_how(start: Start) -> None:
    knows = Taking()
    send(f"smtp://127.0.0.1:{start(knows, enable_SMTPUTF8=True)}", "jörg@example.com")
    assert knows.taken[0].rcpt_tos == ["jörg@example.com"]
    assert "\r\nTo: jörg@example.com\r\n".encode() in (knows.taken[0].original_content or b"")

    problem = failure(
        Server("127.0.0.1", start(Taking(), enable_SMTPUTF8=False), None, "", "none"), "jörg@example.com"
    )
    assert (problem.permanent, problem.reason) == (True, "smtp: the server takes ASCII addresses only")
