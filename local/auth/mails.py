"""Sends Auth's mails to the local mail server."""

import smtplib
from email.message import EmailMessage
from urllib.parse import urlencode

from local.auth.one_time import OneTimeToken
from local.auth.request import AuthRequest

SUBJECTS = {
    "signup": "Confirm your sign-up",
    "invite": "You have been invited",
    "magiclink": "Your sign-in link",
    "recovery": "Reset your password",
    "email_change": "Confirm your new address",
}
SENDER = "auth@example.com"


def verification_link(call: AuthRequest, hashed: str, type_: str, redirect_to: str) -> str:
    """Returns the link that redeems a token."""
    query = urlencode({"token": hashed, "type": type_, "redirect_to": redirect_to})
    return f"{call.service.issuer}/verify?{query}"


def send(call: AuthRequest, address: str, type_: str, token: OneTimeToken) -> None:
    """Sends a link and its code; numbers get nothing."""
    port = call.service.mail_port
    if port is None or "@" not in address:
        return
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = SENDER, address, SUBJECTS[type_]
    link = verification_link(call, token.hashed, type_, call.redirect_to)
    mail.set_content(f"Open this link:\n\n{link}\n\nOr enter this code: {token.code}\n", cte="8bit")
    with smtplib.SMTP("127.0.0.1", port, "localhost", timeout=10) as client:
        client.send_message(mail)
