# ruff: noqa: RUF001
"""Composes mails from arbitrary texts and rows."""

import re
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html.parser import HTMLParser
from typing import Any

import pytest

from shared.config import MailConfig, load_mail
from shared.errors import NotConfigured
from shared.mail.layout import Letter, as_html
from shared.mail.message import mail_of
from shared.mail.texts import TO_REQUESTER
from shared.outbox import Row, Undelivered
from tests.mailbox import bodies

ENV = {
    "MAIL_FROM": "Acme Support <support@example.com>",
    "DESK_URL": "https://desk.example.com",
    "SMTP_URL": "smtp://127.0.0.1",
}
TICKET = "6ab5bb02-3c51-4d6c-9a30-0a2b3b5d6f11"
TO_ADA = {
    "to": "ada@example.com",
    "to_name": "Ada",
    "ticket_id": TICKET,
    "ticket_number": "SUP-00042",
    "subject": "Charged twice",
}
TO_STRANGER = {"to": "ada@example.com", "ticket_id": TICKET, "ticket_number": "SUP-00042"}
DIGEST = {"to": "grace@example.com", "counts": {"created": 1}, "items": []}
NASTY = "<script>alert('x')</script> & \"quotes\" {number} {0} %s =?utf-8?q?hidden?="


def made(
    kind: str = "created", payload: dict[str, Any] = TO_ADA, row_id: int = 7, **env: str
) -> EmailMessage:
    """The mail as its reader's program reads it."""
    config = load_mail(ENV | env)
    mail = mail_of(Row(row_id, "lease", kind, 1, payload), config)
    return message_from_bytes(mail.message().as_bytes(), policy=default)


class Tags(HTMLParser):
    """Collects the tags and links of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str | None] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name == "href"]


def test_a_mail_says_the_same_in_text_and_in_html() -> None:
    mail = made("agent_replied", TO_ADA | {"agent_name": "Grace", "body": "One.\n\nTwo."})

    text, html = bodies(mail)
    assert str(mail["From"]) == "Acme Support <support@example.com>"
    assert str(mail["To"]) == "Ada <ada@example.com>"
    assert mail.get_content_type() == "multipart/alternative"
    assert (
        "Hello Ada,\n\nGrace replied to your request SUP-00042:\n\n> One.\n>\n> Two.\n\nAnswer: https" in text
    )
    for said in ("Hello Ada,", "Grace replied to your request SUP-00042:", "One.<br>\n<br>\nTwo."):
        assert said in html
    assert Tags(html).links == ["https://desk.example.com/tickets/SUP-00042"]


@pytest.mark.parametrize("kind", sorted(TO_REQUESTER))
@pytest.mark.parametrize("payload", [TO_ADA, TO_STRANGER], ids=["signed in", "anonymous"])
def test_every_kind_of_mail_can_be_written_to_everybody(kind: str, payload: dict[str, Any]) -> None:
    kind, _, came_to = kind.partition(".")
    outcome = {"status": came_to} if kind == "status_changed" else {"decision": came_to} if came_to else {}
    mail = made(kind, payload | outcome)

    text, html = bodies(mail)
    assert "None" not in text + html
    assert "{" not in text
    assert text.count("SUP-00042") >= 1


def test_a_kind_that_this_code_does_not_know_yet_still_tells_that_there_is_news() -> None:
    assert "There is news about your request SUP-00042." in bodies(made("merged"))[0]
    assert "There is news" in bodies(made("status_changed", TO_ADA | {"status": "on_hold"}))[0]


@pytest.mark.parametrize("field", ["to_name", "subject", "agent_name", "body", "resolution"])
def test_what_people_wrote_is_text_and_never_markup(field: str) -> None:
    payload = TO_ADA | {"agent_name": "Grace", "body": "Hello"} | {field: NASTY}
    if field == "resolution":
        payload.pop("body")
    mail = made("agent_replied", payload)

    plain = Tags(bodies(made("agent_replied", TO_ADA | {"body": "Hello"}))[1])
    tags = Tags(bodies(mail)[1])
    assert (tags.tags, tags.links) == (plain.tags, plain.links)
    assert not mail.defects
    if field != "subject":
        assert NASTY in bodies(mail)[0]


def test_a_digests_subjects_are_text_too() -> None:
    news = {
        "kind": "created",
        "ticket_number": "SUP-00001",
        "subject": NASTY,
        "status": "open",
        "priority": "low",
    }
    _, html = bodies(made("digest", DIGEST | {"items": [news]}))

    assert "script" not in Tags(html).tags
    assert "&lt;script&gt;" in html


@pytest.mark.parametrize("line_break", ["\r\n", "\n", "\r", "\u2028", "\x85", "\x0b", "\r\n "])
@pytest.mark.parametrize("field", ["to_name", "subject"])
def test_a_line_break_in_a_name_or_a_subject_begins_no_header(field: str, line_break: str) -> None:
    mail = made(
        "created", TO_ADA | {field: f"Ada{line_break}Bcc: eve@example.com{line_break}{line_break}Body"}
    )

    assert set(mail.keys()) == set(made().keys())
    assert "Bcc: eve@example.com" in str(mail["To" if field == "to_name" else "Subject"])
    assert [address.addr_spec for address in mail["To"].addresses] == ["ada@example.com"]
    assert "\nBcc" not in bodies(mail)[0]


BREAKS = ["\r\n", "\n", "\r", "\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e"]


@pytest.mark.parametrize("line_break", BREAKS)
@pytest.mark.parametrize("field", ["body", "resolution"])
def test_text_and_html_break_lines_at_the_same_characters(field: str, line_break: str) -> None:
    text, html = bodies(made("agent_replied", TO_ADA | {field: f"Step one.{line_break}Step two."}))

    assert "> Step one.\n> Step two.\n" in text
    assert "Step one.<br>\nStep two." in html


@pytest.mark.parametrize("break_in_title", BREAKS)
def test_a_line_break_in_a_digests_subject_glues_no_words(break_in_title: str) -> None:
    news = {"kind": "created", "ticket_number": "SUP-00001", "subject": f"Step one{break_in_title}two"}
    for body in bodies(made("digest", DIGEST | {"items": [news]})):
        assert "Step one two" in body


@pytest.mark.parametrize(
    "hidden",
    [
        "\u061c",
        "\u200b",
        "\ufeff",
        "\u2060",
        "\u2064",
        "\u3164",
        "\u180e",
        "\u115f",
        "\U000e0041",
        "\U000e0020",
        "\u202e",
    ],
)
def test_what_nobody_sees_is_in_no_mail(hidden: str) -> None:
    mail = made(
        "agent_replied",
        TO_ADA | {"to_name": f"A{hidden}da", "subject": f"Char{hidden}ged", "body": f"By{hidden}e"},
    )

    assert str(mail["To"]) == "Ada <ada@example.com>"
    assert mail["Subject"] == "[SUP-00042] Charged"
    assert "> Bye\n" in bodies(mail)[0]
    assert hidden not in "".join(bodies(mail))


@pytest.mark.parametrize(
    "text", ["👩‍👩‍👧", "می‌خواهم", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "❤️", "葛󠄀城", "क्‍ष", "Donau\u00addampf", "Une erreur\u00a0: a　b"]
)
def test_what_shapes_the_letters_around_it_stays(text: str) -> None:
    mail = made("agent_replied", TO_ADA | {"to_name": text, "subject": text, "body": text})

    assert mail["To"].addresses[0].display_name == text
    assert mail["Subject"] == f"[SUP-00042] {text}"
    for body in bodies(mail):
        assert text in body


class Directions(HTMLParser):
    """The direction that each text of a page is laid out in, and the page's language."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self._open: list[str | None] = []
        self.directions: dict[str, str | None] = {}
        self.language: str | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "html":
            self.language = given.get("lang")
        if tag not in ("meta", "br"):
            self._open.append(given.get("dir") or (self._open[-1] if self._open else None))

    def handle_endtag(self, tag: str) -> None:
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.directions[data.strip()] = self._open[-1]


def test_right_to_left_words_are_laid_out_right_to_left() -> None:
    arabic = "مرحبًا، رقم الطلب 4512 (Premium) تم إلغاؤه."
    shown = Directions(
        bodies(made("agent_replied", TO_ADA | {"to_name": "ليلى", "agent_name": "سارة", "body": arabic}))[1]
    )

    assert shown.directions[arabic] == "auto"
    news = {"kind": "created", "ticket_number": "SUP-00001", "subject": "استفسار (1)"}
    shown = Directions(bodies(made("digest", DIGEST | {"items": [news]}))[1])
    assert shown.directions["استفسار (1)"] == "auto"


def test_a_name_from_right_to_left_turns_no_sentence_around() -> None:
    named = TO_ADA | {"to_name": "ليلى", "agent_name": "سارة", "body": "Hello"}
    text, html = bodies(made("agent_replied", named))

    assert "<bdi>سارة</bdi> replied</h1>" in html
    assert "Hello <bdi>ليلى</bdi>," in html
    assert "<title>سارة replied</title>" in html
    assert "Hello ليلى,\n\nسارة replied to your request SUP-00042:" in text


def test_a_page_names_the_language_of_its_words() -> None:
    assert Directions(as_html(Letter("Hello", [], "Bye"))).language == "en"
    assert Directions(as_html(Letter("Hallo", [], "Tschüss", language="de"))).language == "de"


def test_a_mail_keeps_to_the_colours_of_its_reader() -> None:
    html = bodies(made("agent_replied", TO_ADA | {"body": "Hello"}))[1]

    assert '<meta name="color-scheme" content="light dark">' in html
    assert "background" not in html
    assert re.search(r"[;\"]color:", html) is None
    assert "table" not in Tags(html).tags


def test_characters_that_turn_the_direction_of_text_are_left_out() -> None:
    mail = made("agent_replied", TO_ADA | {"to_name": "Ada\u202e\u2066", "body": "a\u202eb\x00\x1b[31m"})

    assert str(mail["To"]) == "Ada <ada@example.com>"
    assert "> ab[31m" in bodies(mail)[0]


def test_names_and_subjects_of_any_script_arrive_and_long_ones_are_cut() -> None:
    mail = made(payload=TO_ADA | {"to_name": "Åsa, 注文 👩‍👩‍👧", "subject": "ü" * 255})

    assert mail["To"].addresses[0].display_name == "Åsa, 注文 👩‍👩‍👧"
    assert len(mail["Subject"]) == 200
    assert str(mail["Subject"]).endswith("ü…")
    assert len(made(payload=TO_ADA | {"to_name": "name " * 1000})["To"].addresses[0].display_name) == 100


@pytest.mark.parametrize("domain", ["example.com", f"{'long' * 15}.{'name' * 15}.example.com"])
def test_the_mails_of_a_ticket_refer_to_one_root(domain: str) -> None:
    first, second = (made(row_id=row_id, MAIL_FROM=f"support@{domain}") for row_id in (7, 8))

    assert first["Message-ID"] == f"<{TICKET}.7@{domain}>"
    assert second["Message-ID"] == f"<{TICKET}.8@{domain}>"
    for mail in (first, second):
        assert mail["In-Reply-To"] == mail["References"] == f"<{TICKET}@{domain}>"


def test_a_digest_stands_alone() -> None:
    first, second = made("digest", DIGEST, 1), made("digest", DIGEST, 2)

    assert first["In-Reply-To"] is None
    assert first["References"] is None
    assert first["Message-ID"] != second["Message-ID"]


def test_a_mail_has_one_key_at_every_attempt_that_no_other_mail_has() -> None:
    config = load_mail(ENV)
    first = mail_of(Row(7, "lease", "created", 1, TO_ADA), config)
    again = mail_of(Row(7, "another lease", "created", 2, TO_ADA), config)
    other_project = mail_of(Row(7, "lease", "created", 1, TO_ADA | {"to": "eve@example.com"}), config)

    assert first.key == again.key
    assert first.key != other_project.key
    assert len(first.key) <= 256


def test_an_answer_goes_where_configuration_says() -> None:
    assert made()["Reply-To"] is None
    assert str(made(MAIL_REPLY_TO="Desk <answers@example.com>")["Reply-To"]) == "Desk <answers@example.com>"


def test_no_automatic_answer_comes_back() -> None:
    assert made()["Auto-Submitted"] == "auto-generated"
    assert made()["X-Auto-Response-Suppress"] == "OOF, AutoReply"


def test_an_anonymous_ticket_is_opened_by_its_first_mail_alone() -> None:
    token = "t" * 43
    first, later = made(payload=TO_STRANGER | {"access_token": token}), made("agent_replied", TO_STRANGER)

    url = f"https://desk.example.com/tickets/SUP-00042#token={token}"
    assert Tags(bodies(first)[1]).links == [url]
    assert url in bodies(first)[0]
    assert Tags(bodies(later)[1]).links == []
    assert "open the link in our first mail" in bodies(later)[0]
    for mail in (first, later):
        assert mail["Subject"] == "[SUP-00042] Your request"
        assert "If that was not you, please ignore this mail." in bodies(mail)[0]


def test_what_the_database_has_no_value_for_is_left_out() -> None:
    nothing = dict.fromkeys(
        ["to_name", "agent_name", "body", "resolution", "status", "decision", "access_token"]
    )
    assert "Hello,\n" in bodies(made("agent_replied", TO_ADA | nothing))[0]
    assert "Our team replied" in bodies(made("agent_replied", TO_ADA | nothing))[0]

    news = {
        "kind": "created",
        "ticket_number": "SUP-00001",
        "subject": None,
        "status": None,
        "priority": None,
    }
    mail = made("digest", DIGEST | {"to_name": None, "items": [news]})
    assert str(mail["To"]) == "grace@example.com"
    assert "Hello,\n" in bodies(mail)[0]
    assert "None" not in bodies(mail)[0]
    made("digest", DIGEST | {"counts": None, "items": None})


def test_only_a_digest_says_where_to_end_it() -> None:
    assert made()["List-Unsubscribe"] is None
    assert made("digest", DIGEST)["List-Unsubscribe"] == "<mailto:support@example.com?subject=unsubscribe>"
    answered = made("digest", DIGEST, MAIL_REPLY_TO="Desk <desk+a@example.com>")
    assert answered["List-Unsubscribe"] == "<mailto:desk%2Ba@example.com?subject=unsubscribe>"


def test_a_digest_counts_what_matters_most_first() -> None:
    mail = made(
        "digest", DIGEST | {"counts": {"created": 1, "customer_replied": 2, "breached": 1200, "new_kind": 3}}
    )

    text, _ = bodies(mail)
    assert mail["Subject"] == "1,200 tickets have missed a deadline"
    assert "Also: 2 customers' replies came in; 1 new ticket came in." in text
    assert "And 1,204 more, in your queue." not in text
    assert "And 1,206 more, in your queue." in text


@pytest.mark.parametrize(
    ("domain", "ascii_domain"),
    [
        ("exämple.com", "xn--exmple-cua.com"),
        ("straße.example", "xn--strae-oqa.example"),
        ("βόλος.example", "xn--nxasmm1c.example"),
        ("نامه‌ای.com", "xn--mgba3gch31f060k.com"),
        ("ｅｘａｍｐｌｅ.com", "example.com"),
        ("EXÄMPLE.com", "xn--exmple-cua.com"),
        ("exam\u00adple.com\u200b", "example.com"),
        ("under_score.example.com", "under_score.example.com"),
    ],
)
def test_mail_goes_to_the_domain_that_was_typed_and_to_no_other(domain: str, ascii_domain: str) -> None:
    assert made(payload=TO_ADA | {"to": f"ada@{domain}"})["To"].addresses[0].domain == ascii_domain


@pytest.mark.parametrize(
    "name",
    [
        "Department of Water and Sewage of the Greater Metropolitan Area, Attn: Jane Doe (Billing)",
        "a" * 50 + ", victim@example.org, " + "b" * 20,
    ],
)
def test_a_long_name_is_one_recipient(name: str) -> None:
    [address] = made(payload=TO_ADA | {"to_name": name})["To"].addresses
    assert (address.display_name, address.addr_spec) == (name, "ada@example.com")


def test_a_subject_that_looks_encoded_stays_as_it_was_typed() -> None:
    subject = "=?utf-8?q?Urgent=3A_=E2=80=AEtest?= x"
    assert made(payload=TO_ADA | {"subject": subject})["Subject"] == f"[SUP-00042] {subject}"


@pytest.mark.parametrize(
    "address",
    [
        "ada",
        "ada@",
        "ada@..",
        "ada@" + "x" * 64 + ".com",
        "ada\r\nbcc@example.com",
        "\u200bada@example.com",
        "ada@exam\u202eple.com",
    ],
)
def test_an_address_that_no_mail_can_go_to_is_refused_for_good(address: str) -> None:
    with pytest.raises(Undelivered) as refusal:
        mail_of(Row(7, "lease", "created", 1, TO_ADA | {"to": address}), load_mail(ENV))
    assert refusal.value.permanent
    assert address not in refusal.value.reason


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAIL_FROM", ""),
        ("MAIL_FROM", "support"),
        ("MAIL_FROM", "Support support@example.com"),
        ("MAIL_FROM", "a@example.com, b@example.com"),
        ("MAIL_REPLY_TO", "nobody"),
        ("DESK_URL", ""),
        ("DESK_URL", "desk.example.com"),
        ("RESEND_API_KEY", "re_1 2"),
        ("RESEND_API_KEY", "re_beside_smtp"),
        ("SMTP_URL", ""),
    ],
)
def test_configuration_that_cannot_work_is_named(name: str, value: str) -> None:
    with pytest.raises(NotConfigured) as caught:
        load_mail(ENV | {name: value})
    assert name in str(caught.value.reason)
    assert caught.value.permanent


def test_a_senders_name_may_be_quoted() -> None:
    config: MailConfig = load_mail(ENV | {"MAIL_FROM": '"Acme, Support" <support@example.com>'})
    assert config.sender == ("Acme, Support", "support@example.com")
