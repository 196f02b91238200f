"""Refuses invisible text as blank, and in names, addresses and URLs."""

import json
from typing import Any

import pytest

from shared.errors import Invalid
from shared.requests.fields import as_subject
from shared.requests.filters import TicketFilters
from shared.requests.parsing import parse_body, parse_query
from shared.requests.tickets import CreateTicket
from shared.text import is_blank
from tests.payloads import PAYLOADS

# By name, since in a list of characters nobody would see them.
INVISIBLE = [
    "\u00a0", "\u00ad", "\u034f", "\u061c", "\u115f", "\u1160", "\u180e", "\u200b", "\u200c", "\u200d", "\u200e",
    "\u202e", "\u2028", "\u2060", "\u2063", "\u2066", "\u206f", "\u2800", "\u3000", "\u3164", "\ufe0f", "\ufeff",
    "\uffa0", "\U0001d173", "\U000e0020", "\U000e0041", "\U000e0100", " \u200b\n\u2060 ",
]  # fmt: skip
names = [ascii(character) for character in INVISIBLE]
INSIDE = [character for character in INVISIBLE if not character.isspace() and len(character) == 1]


def parsed(kind: str, **fields: Any) -> dict[str, Any]:
    body = {"payload": PAYLOADS[kind] | {"issue_type": kind} | fields}
    return parse_body(CreateTicket, json.dumps(body).encode()).payload.arguments()


def refusal(kind: str, **fields: Any) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as caught:
        parsed(kind, **fields)
    return [(field.path, field.message) for field in caught.value.fields]


@pytest.mark.parametrize("text", INVISIBLE, ids=names)
@pytest.mark.parametrize(
    ("kind", "field"),
    [("other", "title"), ("other", "description"), ("support", "subject"), ("chatbot", "session_id")],
)
def test_a_text_that_nobody_sees_is_blank(kind: str, field: str, text: str) -> None:
    assert refusal(kind, **{field: text}) == [(f"payload.{field}", "must not be blank")]


@pytest.mark.parametrize("text", INVISIBLE, ids=names)
def test_an_optional_field_that_nobody_sees_counts_as_left_out(text: str) -> None:
    assert parsed("other", reporter_name=text, category=text)["requester_name"] is None
    assert parse_query(TicketFilters, [("q", text)]).q is None


@pytest.mark.parametrize("value", ["", " ", "\u200b"])
def test_a_value_of_the_context_may_be_blank(value: str) -> None:
    assert parsed("support", context={"coupon": value})["context"]["coupon"] == value


def test_the_subject_of_a_bug_is_its_first_line_that_can_be_seen() -> None:
    assert as_subject("\u200b\n\u3164\nThe export is empty") == "The export is empty"


@pytest.mark.parametrize("text", ["👩‍👩‍👧", "می‌خواهم", "1", ".", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "؀"])
def test_a_text_that_can_be_seen_is_taken_as_it_is(text: str) -> None:
    assert not is_blank(text)
    assert parsed("other", title=text, reporter_name=text)["subject"] == text
    assert parsed("other", reporter_name=text)["requester_name"] == text


@pytest.mark.parametrize("hidden", ["\u200b", "\u202e", "\ufeff", "\U000e0041", "\u3164"])
def test_what_hides_in_a_name_is_dropped(hidden: str) -> None:
    assert parsed("other", reporter_name=f"{hidden} A{hidden}da{hidden}")["requester_name"] == "Ada"


@pytest.mark.parametrize("hidden", INSIDE, ids=map(ascii, INSIDE))
@pytest.mark.parametrize("address", ["{}anna@example.com", "an{}na@example.com", "anna{}@example.com"])
def test_an_address_that_hides_something_is_refused_by_its_field(address: str, hidden: str) -> None:
    [(path, message)] = refusal("contact", email=address.format(hidden))
    assert path == "payload.email"
    assert message == "must not hold invisible characters before the @; please type the address anew"


@pytest.mark.parametrize(
    "domain", ["straße.example", "βόλος.example", "نامه‌ای.com", "exam\u00adple.com", "a.b-c.de"]
)
def test_an_address_in_any_script_is_taken(domain: str) -> None:
    assert parsed("contact", email=f"jörg@{domain}")["requester_email"] == f"jörg@{domain}"


@pytest.mark.parametrize(
    "domain",
    [
        "exam\u202eple.com",
        "-a.com",
        "a-.com",
        f"{'x' * 64}.com",
        "a..com",
        "❤.example",
        "\u200d.com",
        "ü" * 60 + ".com",
    ],
)
def test_a_domain_that_no_mail_can_go_to_is_refused(domain: str) -> None:
    [(path, message)] = refusal("contact", email=f"anna@{domain}")
    assert path == "payload.email"
    assert message.startswith("must be an e-mail address")


@pytest.mark.parametrize("hidden", INSIDE, ids=map(ascii, INSIDE))
def test_a_url_whose_host_hides_something_is_refused(hidden: str) -> None:
    [(path, _)] = refusal("support", attachments=[f"https://a{hidden}gpj.example/1.png"])
    assert path == "payload.attachments.0"


@pytest.mark.parametrize("hidden", ["\u202e", "\u2066", "\u200b", "\ufeff"])
def test_a_url_is_read_in_one_direction(hidden: str) -> None:
    assert refusal("support", attachments=[f"https://files.example.com/{hidden}gpj.exe"])


def test_a_url_in_any_script_is_taken() -> None:
    url = "https://fa.wikipedia.org/wiki/می‌خواهم?q=straße"
    assert parsed("support", attachments=[url])["attachments"] == [url]
