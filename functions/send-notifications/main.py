"""Sends the mails of the outbox by Resend or SMTP, as configured."""

from functools import cache

from shared.config import mail_config
from shared.http.call import Call
from shared.http.endpoint import Answer, endpoint
from shared.mail.message import Mailer, mail_of
from shared.mail.resend import Resend
from shared.mail.smtp import Smtp, server_of
from shared.outbox import Row, drain

# Cloud Scheduler calls again a minute later, so a long backlog may be left to the next call.
RUN_S = 45


async def send_mails(call: Call) -> Answer:
    config, send = mail_config(), _mailer()

    async def send_row(row: Row) -> None:
        await send(mail_of(row, config))

    return await drain(call.rpc, "claim_mail", send_row, RUN_S)


@cache
def _mailer() -> Mailer:
    """Creates the mailer once per process."""
    config = mail_config()
    if config.resend_api_key:
        return Resend(config.resend_api_key).send
    return Smtp(server_of(config.smtp_url or "")).send


send_notifications = endpoint("send-notifications", {"POST /": send_mails}, private=True)
