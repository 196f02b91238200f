"""Reads the environment: only here, once, at first use.

A malformed value raises NotConfigured, which names the variable.
"""

import os
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

from shared.errors import NotConfigured

T = TypeVar("T")

_ADDRESS = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+"
MAILBOX = re.compile(
    rf'(?P<bare>{_ADDRESS})|"?(?P<name>[^"<>\x00-\x1f\x7f]{{0,100}})"?\s*<(?P<address>{_ADDRESS})>'
)
# A rotation needs two live secrets; a third is a leftover.
PARTNER = re.compile(r"([a-z][a-z0-9_-]{0,39})=(whsec_[A-Za-z0-9+/=]{24,}(?:,whsec_[A-Za-z0-9+/=]{24,})?)")


class Config(NamedTuple):
    """Holds the settings that every function has."""

    supabase_url: str
    rest_url: str
    db_schema: str
    anon_key: str
    allowed_origins: frozenset[str]
    trusted_hops: int
    intake_secret: str | None
    secret_key: str | None
    audience: str | None
    invokers: frozenset[str]
    linear_forward_url: str | None
    linear_forward_audience: str | None
    metadata_host: str

    @property
    def auth_url(self) -> str:
        """Returns the address of Supabase Auth, which is also the issuer of its tokens."""
        return self.supabase_url + "/auth/v1"


class Mailbox(NamedTuple):
    """Holds a display name, possibly empty, and an e-mail address."""

    name: str
    address: str


class MailConfig(NamedTuple):
    """Holds the settings of send-notifications. Exactly one of the last two fields is set."""

    sender: Mailbox
    reply_to: Mailbox | None
    desk_url: str
    resend_api_key: str | None
    smtp_url: str | None


class LinearConfig(NamedTuple):
    """Holds the settings of linear-forward."""

    authorization: str
    url: str
    desk_url: str


class WebhookConfig(NamedTuple):
    """Holds the secrets that sign webhooks. Without its secret, a sender is refused."""

    linear_secret: str | None
    partners: Mapping[str, Sequence[str]]


@cache
def config() -> Config:
    """Returns the settings of every function; raises NotConfigured."""
    return load(os.environ)


@cache
def mail_config() -> MailConfig:
    """Returns the settings of send-notifications; raises NotConfigured."""
    return load_mail(os.environ)


@cache
def linear_config() -> LinearConfig | None:
    """Returns the settings of linear-forward, or None without Linear; raises NotConfigured."""
    return load_linear(os.environ)


@cache
def webhook_config() -> WebhookConfig:
    """Returns the settings of receive-webhook; raises NotConfigured."""
    return load_webhooks(os.environ)


@cache
def cloud_project() -> str | None:
    """Returns the Google Cloud project; reads nothing else, because malformed settings are logged too."""
    return _text(os.environ, "GOOGLE_CLOUD_PROJECT")


@cache
def cloud_revision() -> str | None:
    """Returns the name of the Cloud Run revision."""
    return _text(os.environ, "K_REVISION")


def load(env: Mapping[str, str]) -> Config:
    """Parses the variables that every function has; raises NotConfigured."""
    supabase_url = _url(env, "SUPABASE_URL")
    return Config(
        supabase_url=supabase_url,
        rest_url=_url(env, "POSTGREST_URL", default=supabase_url + "/rest/v1"),
        db_schema=_schema(env, "SUPABASE_DB_SCHEMA", default="desk"),
        anon_key=_required(env, "SUPABASE_ANON_KEY", _key(env, "SUPABASE_ANON_KEY")),
        allowed_origins=_origins(env, "ALLOWED_ORIGINS"),
        trusted_hops=_count(env, "TRUSTED_HOPS", default=1),
        intake_secret=_secret(env, "INTAKE_SECRET", at_least=16),
        secret_key=_key(env, "SUPABASE_SECRET_KEY"),
        audience=_text(env, "AUDIENCE"),
        invokers=frozenset(env.get("INVOKERS", "").replace(",", " ").split()),
        linear_forward_url=_url(env, "LINEAR_FORWARD_URL") if _text(env, "LINEAR_FORWARD_URL") else None,
        linear_forward_audience=_text(env, "LINEAR_FORWARD_AUDIENCE"),
        metadata_host=_text(env, "GCE_METADATA_HOST") or "metadata.google.internal",
    )


def load_mail(env: Mapping[str, str]) -> MailConfig:
    """Parses the variables of send-notifications; raises NotConfigured."""
    resend_api_key, smtp_url = _key(env, "RESEND_API_KEY"), _key(env, "SMTP_URL")
    if (resend_api_key is None) == (smtp_url is None):
        raise NotConfigured("one of RESEND_API_KEY and SMTP_URL has to be set, and not both")
    return MailConfig(
        sender=_required(env, "MAIL_FROM", _mailbox(env, "MAIL_FROM")),
        reply_to=_mailbox(env, "MAIL_REPLY_TO"),
        desk_url=_url(env, "DESK_URL"),
        resend_api_key=resend_api_key,
        smtp_url=smtp_url,
    )


def load_linear(env: Mapping[str, str]) -> LinearConfig | None:
    """Parses the variables of linear-forward; returns None without Linear and raises NotConfigured."""
    api_key, oauth_token = _key(env, "LINEAR_API_KEY"), _key(env, "LINEAR_OAUTH_TOKEN")
    if api_key and oauth_token:
        raise NotConfigured("only one of LINEAR_API_KEY and LINEAR_OAUTH_TOKEN may be set")
    if not api_key and not oauth_token:
        return None
    return LinearConfig(
        authorization=api_key or f"Bearer {oauth_token}",
        url=_url(env, "LINEAR_API_URL", default="https://api.linear.app/graphql"),
        desk_url=_url(env, "DESK_URL"),
    )


def load_webhooks(env: Mapping[str, str]) -> WebhookConfig:
    """Parses the variables of receive-webhook; raises NotConfigured.

    PARTNER_SECRETS has a line per partner, with its name and one or two secrets: `acme=whsec_…,whsec_…`.
    """
    partners = {}
    for line in filter(None, map(str.strip, env.get("PARTNER_SECRETS", "").splitlines())):
        match = PARTNER.fullmatch(line)
        if not match:
            raise NotConfigured("PARTNER_SECRETS must have lines like: acme=whsec_<base64>,whsec_<base64>")
        partners[match[1]] = match[2].split(",")
    return WebhookConfig(_secret(env, "LINEAR_WEBHOOK_SECRET", at_least=16), partners)


def ticket_url(desk_url: str, number: str) -> str:
    """Returns the web address of a ticket by its number."""
    return f"{desk_url}/tickets/{number}"


def _text(env: Mapping[str, str], name: str) -> str | None:
    return env.get(name, "").strip() or None


def _required(env: Mapping[str, str], name: str, value: T | None) -> T:
    if value is None:
        raise NotConfigured(f"{name} is not set")
    return value


def _url(env: Mapping[str, str], name: str, default: str | None = None) -> str:
    value = _required(env, name, _text(env, name) or default).rstrip("/")
    try:
        parts = urlsplit(value)
        well_formed = bool(parts.scheme in ("http", "https") and parts.hostname and parts.port != 0)
    except ValueError:
        well_formed = False
    if not well_formed or parts.query or parts.fragment or re.search(r"\s", value):
        raise NotConfigured(f"{name} is not an http(s) URL")
    return value


def _key(env: Mapping[str, str], name: str) -> str | None:
    value = _text(env, name)
    # A key is sent in a header, where any other character would fail at every request.
    if value is not None and not re.fullmatch(r"[\x21-\x7e]+", value):
        raise NotConfigured(f"{name} holds characters that no key has")
    return value


def _schema(env: Mapping[str, str], name: str, default: str) -> str:
    value = _text(env, name) or default
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", value):
        raise NotConfigured(f"{name} is not the name of a schema")
    return value


def _secret(env: Mapping[str, str], name: str, at_least: int) -> str | None:
    value = _key(env, name)
    if value is not None and len(value) < at_least:
        raise NotConfigured(f"{name} is shorter than {at_least} characters")
    return value


def _mailbox(env: Mapping[str, str], name: str) -> Mailbox | None:
    value = _text(env, name)
    if value is None:
        return None
    match = MAILBOX.fullmatch(value)
    if not match:
        raise NotConfigured(f"{name} must be like support@example.com or Support <support@example.com>")
    return Mailbox((match["name"] or "").strip(), match["address"] or match["bare"])


def _origins(env: Mapping[str, str], name: str) -> frozenset[str]:
    origins = [origin.strip() for origin in env.get(name, "").split(",") if origin.strip()]
    for origin in origins:
        if not re.fullmatch(r"https?://[a-z0-9.\-\[\]:]+", origin):
            raise NotConfigured(f"{name} must list origins like https://app.example.com, with commas between")
    return frozenset(origins)


def _count(env: Mapping[str, str], name: str, default: int) -> int:
    value = _text(env, name) or str(default)
    if not re.fullmatch(r"[0-9]{1,2}", value):
        raise NotConfigured(f"{name} is not a small whole number")
    return int(value)
