# ruff: noqa: RUF001
"""A subject and a name reach the reader as they were written, in any script and at any length."""

import random
from email import message_from_bytes
from email.header import decode_header, make_header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import compat32, default
from email.utils import getaddresses

import pytest

from shared.mail.headers import POLICY, Field, addr_spec, address_field, text_field, token_field
from tests.vendors.header_reader import BrokenError, Mailbox, mailboxes_of, text_of

WORDS = {
    "English": "the order that I paid for has not arrived can't you check it please (urgent) $99.90, RE: FW:",
    "German": "Überweisung größe Straße fehlt müssen Rückerstattung für die Bestellung Donaudampfschifffahrt",
    "French": "reçu été déjà où ça s'il vous plaît\u00a0: problème « commande » l’adresse",
    "Russian": "Ошибка при оплате заказа не приходит письмо подтверждения пожалуйста",
    "Greek": "Παραγγελία δεν έφτασε ακόμα λόγος επιστροφή χρημάτων",
    "Arabic": "رقم الطلب تم إلغاؤه لم يصل بعد (Premium) استرداد",
    "Persian": "سفارش من نمی‌رسد می‌خواهم پول را پس بگیرم",
    "Hebrew": "הזמנה לא הגיעה עדיין החזר כספי בבקשה",
    "Hindi": "मेरा ऑर्डर अभी तक नहीं पहुँचा कृपया जाँच करें",
    "Thai": "คำสั่งซื้อ ยังไม่มาถึง ขอคืนเงินค่าสินค้า",
    "Chinese": "我要退款，订单没有收到。 请尽快处理 账户被锁定 注文　番号",
    "Korean": "주문이 아직 도착하지 않았습니다 환불 부탁드립니다",
    "emoji": "👩‍👩‍👧 🏳️‍🌈 😡 ❤️ 🇺🇦 𝒳𝓎𝓏 👍🏽",
}
LIKE_HEADERS = '=?utf-8?q?hidden?= =?x =?utf-8?b?//8=?= a@b.example <a@b.example>, "quoted" \\ ; : () [] , . _ = ? undisclosed:;'
SEED = 2047
ROUNDS = 10_000


def natural(rng: random.Random, longest: int) -> str:
    """Words of one script or two, now and then something like a header, or a second blank."""
    scripts = rng.sample(sorted(WORDS), rng.choice((1, 1, 1, 2)))
    words = [word for script in scripts for word in WORDS[script].split(" ")]
    if rng.random() < 0.2:
        words += LIKE_HEADERS.split(" ")
    length = rng.choice((1, 3, 8, 20, 60))
    blanks = (" ", " ", " ", " ", " ", "  ", "   ") if rng.random() < 0.2 else (" ",)
    text = "".join(rng.choice(words) + rng.choice(blanks) for _ in range(length))
    return text[: rng.randint(1, longest)].strip(" ") or "x"


def as_sent(*fields: Field) -> bytes:
    message = EmailMessage(policy=POLICY)
    for field in fields:
        message[field.name] = field
    return message.as_bytes()


def line_of(field: Field) -> str:
    return as_sent(field).decode("ascii").removesuffix("\r\n")


def test_ten_thousand_subjects_and_names_reach_a_strict_reader() -> None:
    rng = random.Random(SEED)
    for _ in range(ROUNDS):
        subject, name = natural(rng, 300), natural(rng, 200)
        assert text_of(line_of(text_field("Subject", subject))) == subject
        found = mailboxes_of(line_of(address_field("Reply-To", Address(name, "ada", "example.com"))))
        assert found == [Mailbox(name, "ada@example.com")]


@pytest.mark.parametrize("policy", [default, compat32], ids=["today's", "older"])
def test_pythons_readers_read_the_same(policy: object) -> None:
    rng = random.Random(SEED)
    for _ in range(ROUNDS // 10):
        subject, name = natural(rng, 300), natural(rng, 200)
        raw = as_sent(
            text_field("Subject", subject), address_field("To", Address(name, "ada", "example.com"))
        )
        message = message_from_bytes(raw, policy=policy)  # type: ignore[call-overload]
        if policy is compat32:
            assert unfolded(str(make_header(decode_header(message["Subject"])))) == subject
            [(read, address)] = getaddresses([unfolded(message["To"])])
            assert address == "ada@example.com"
            assert str(make_header(decode_header(read))) == name
        else:
            assert message["Subject"] == subject
            [mailbox] = message["To"].addresses
            assert mailbox.addr_spec == "ada@example.com"
            # Up to Python 3.13.1 this reader shows the blanks between the encoded words of a name.
            assert mailbox.display_name.replace(" ", "") == name.replace(" ", "")
            assert not message["To"].defects


def unfolded(text: str) -> str:
    return text.replace("\r\n", "").replace("\n", "")


@pytest.mark.parametrize("length", [*range(55, 85), 300, 2000])
@pytest.mark.parametrize("script", sorted(WORDS))
def test_blanks_between_words_survive_at_every_length(script: str, length: int) -> None:
    for text in ((WORDS[script] + " ") * 60, "x " + (WORDS[script] + "  ") * 60):
        subject = text[:length].strip(" ")
        assert text_of(line_of(text_field("Subject", subject))) == subject


@pytest.mark.parametrize(
    "name",
    [
        "a" * 50 + ", victim@example.org, " + "b" * 20,
        "Department of Water and Sewage of the Greater Metropolitan Area, Attn: Jane Doe (Billing)",
        "Müller, Jürgen",
        "O'Brien",
        "株式会社, <注文> (東京)",
        "ada@example.com",
        "Friends: ada@example.com, eve@example.com;",
        '"Ada"',
        '"' * 60,
        "\\" * 40 + "," + '"' * 40,
        "back\\slash\\",
        "Dr. A. Lovelace, Jr.",
        "(comment) Ada",
        "[SUP-1]",
        "=?utf-8?q?=2C_victim=40example=2Eorg=2C?=",
        '=?utf-8?q?x?= "Ada", eve@example.com',
        "x" * 200,
        "x" * 60 + "," + "y" * 60 + "," + "z" * 60,
        "a,  b",
    ],
)
def test_a_name_is_one_recipient_whatever_is_in_it(name: str) -> None:
    field = address_field("To", Address(name, "ada", "example.com"))

    assert mailboxes_of(line_of(field)) == [Mailbox(name, "ada@example.com")]
    assert [
        found.addr_spec for found in message_from_bytes(as_sent(field), policy=default)["To"].addresses
    ] == ["ada@example.com"]


@pytest.mark.parametrize(
    "subject",
    [
        "=?utf-8?q?Urgent=3A_=E2=80=AEtest?= x",
        "[SUP-00042] =?utf-8?q?Urgent?=",
        "=?utf-8?b?//8=?=",
        "is x=?",
        "ü =?utf-8?q?a?= =?utf-8?q?b?= ü",
    ],
)
def test_what_looks_encoded_stays_as_it_was_typed(subject: str) -> None:
    field = text_field("Subject", subject)

    assert text_of(line_of(field)) == subject
    assert message_from_bytes(as_sent(field), policy=default)["Subject"] == subject


def test_an_old_address_with_dots_side_by_side_is_quoted() -> None:
    assert addr_spec(Address("", "ada..l.", "example.com")) == '"ada..l."@example.com'
    assert addr_spec(Address("", "ada.l", "example.com")) == "ada.l@example.com"
    assert mailboxes_of(line_of(address_field("To", Address("A", "ada..l.", "example.com")))) == [
        Mailbox("A", "ada..l.@example.com")
    ]


def test_ids_are_never_encoded_and_never_broken() -> None:
    long_id = f"<{'i' * 120}@example.com>"
    field = token_field("References", f"<a@example.com> {long_id} <b@example.com>")

    assert as_sent(field) == f"References: <a@example.com>\r\n {long_id}\r\n <b@example.com>\r\n\r\n".encode()
    with pytest.raises(ValueError, match="References"):
        token_field("References", "<a@example.com>\r\nBcc: eve@example.com")


@pytest.mark.parametrize(
    "field",
    [
        "Subject: =?utf-8?q?a?=b",
        "Subject: " + "=?utf-8?q?" + "a" * 64 + "?=",
        "Subject: =?utf-8?b?w?=",
        "Subject: x\r\nBcc: eve@example.com",
        "Subject: " + "x " * 40,
    ],
)
def test_the_strict_reader_refuses_what_breaks_the_rules(field: str) -> None:
    with pytest.raises((BrokenError, ValueError)):
        text_of(field)


@pytest.mark.parametrize(
    "field", ["To: a, b <a@example.com>", "To: a.b <a@example.com>", 'To: "=?utf-8?q?a?=" <a@example.com>']
)
def test_the_strict_reader_refuses_names_outside_of_quotation_marks(field: str) -> None:
    with pytest.raises((BrokenError, ValueError)):
        mailboxes_of(field)
