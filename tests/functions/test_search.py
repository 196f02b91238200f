"""Tests full text through list-tickets: what people paste or type finds the ticket that has it."""

# ruff: noqa: RUF001

from typing import Any

import pytest

from deploy.migrate import Connection
from local.people import Client, NewPerson, Person
from tests.assertions import assert_problem
from tests.payloads import file

URL = "https://shop.example.com/orders/778899?ref=mail"
FOUND = [
    # Case outside ASCII.
    ("Ошибка при оплате", "ошибка"),
    ("ÜBERWEISUNG FEHLT", "überweisung"),
    ("ΠΑΡΑΓΓΕΛΊΑ ΧΩΡΊΣ ΤΙΜΟΛΌΓΙΟ", "παραγγελία"),
    ("Été sans colis", "été"),
    ("ВОЗВРАТ ДЕНЕГ", "возврат"),
    ("ŁÓDŹ się pali", "łódź"),
    ("İADE istiyorum", "iade"),
    # Marks that phones and word processors make.
    ("I was “charged” twice", "charged"),
    ("I was charged twice", "“charged twice”"),
    ("The customer’s card", "customer"),
    ("Une erreur\u00a0: rien", "erreur"),
    ("card—blocked", "blocked"),
    ("twice… and again", "twice"),
    ("«Возврат» не пришёл", "возврат"),
    ("我要退款，订单没有收到。", "我要退款"),
    ("注文　番号", "番号"),
    ("O’Brien", "O'Brien"),
    ("O'Brien", "o’brien"),
    ("pre\u00adpaid voucher", "prepaid"),
    ("copied\u200b text", "copied text"),
    # Joined words.
    ("login/logout on iOS/Android", "android"),
    ("login/logout on iOS/Android", "ios/android"),
    ("It failed.Please help", "failed"),
    ("see error.log", "error"),
    ("see error.log", "error.log"),
    ("My balance <refund amount> is wrong", "refund"),
    ("<b>bold</b> claim", "bold"),
    ("in C:\\Temp\\Report_final-v2.docx", "report_final-v2.docx"),
    ("in C:\\Temp\\Report_final-v2.docx", "final"),
    ("so annoyed #brokenApp @support", "brokenapp"),
    ("so annoyed #brokenApp", "#brokenApp"),
    ("snake_case_name", "case"),
    ("key=value;other=thing", "thing"),
    # Identifiers, whole and in parts.
    ("Where is ORD-7654321?", "ORD-7654321"),
    ("Where is ORD-7654321?", "7654321"),
    ("Where is ORD-7654321?", "#7654321"),
    ("Where is ORD-7654321?", "ORD 7654321"),
    ("Where is ORD-7654321?", "ord7654321"),
    ("Where is ORD7654321?", "ORD-7654321"),
    ("Invoice INV-2024-12345", "2024-12345"),
    ("Invoice INV-2024-12345", "inv-2024"),
    ("Invoice INV-2024-12345", "INV/2024/12345"),
    ("from DE89370400440532013000", "DE89 3704 0044 0532 0130 00"),
    ("from DE89 3704 0044 0532 0130 00", "DE89370400440532013000"),
    ("from GB29 NWBK 6016 1331 9268 19", "60161331926819"),
    ("call +49 (170) 123-4567", "+491701234567"),
    ("call +491701234567", "+49 170 1234567"),
    ("call 0170/1234567", "01701234567"),
    ("since version 2.14.3-beta", "2.14.3"),
    ("since version 2.14.3-beta", "v2.14.3 OR 2.14"),
    ("SKU AB_12/34.x", "ab_12/34"),
    ("550e8400-e29b-41d4-a716-446655440000", "550e8400e29b41d4a716446655440000"),
    ("the balance is -12345", "12345"),
    ("it cost $1,234.50", "1,234.50"),
    ("from 10.20.30.40:8443", "10.20.30.40"),
    ("طلب رقم ٤٥١٢", "4512"),
    # Addresses of pages and people.
    (f"See {URL} and then", URL),
    (f"See {URL} and then", "778899"),
    (f"See {URL} and then", "shop.example.com"),
    ("It is shop.example.com/o/8812, I think", "shop.example.com/o/8812"),
    ("write to jane.doe+shop@mail.example", "jane.doe+shop@mail.example"),
    ("write to <jane.doe@mail.example>", "doe"),
    # Accents, compatible forms and normalisation.
    ("le colis n'est pas arrivé", "arrive"),
    ("Überweisung", "uberweisung"),
    ("zwei Rechnungen", "rechnung"),
    ("Cafe\u0301 ferme\u0301", "café"),
    ("Café fermé", "cafe\u0301"),
    ("Straße gesperrt", "strasse"),
    ("ﬁle ﬂow", "file flow"),
    ("ＦＵＬＬ　ｗｉｄｔｈ １２３", "full width 123"),
    ("đơn hàng của tôi", "don hang"),
    ("ёлка", "елка"),
    ("कृपया पैसे वापस करें", "वापस"),
    ("הכסף לא הגיע", "הגיע"),
    ("لم يصل الطلب", "الطلب"),
    ("나는 환불을 원해요", "환불"),
    ("カードが使えません", "使え"),
    ("ｶｰﾄﾞ", "カード"),
    ("我要退款", "退款"),
    ("ขอคืนเงินค่าสินค้า", "คืนเงิน"),
    # Beside and of emoji.
    ("Great😀service 👍🏽", "service"),
    ("Great😀service 👍🏽", "😀"),
    # Words that are stop words, and words among them.
    ("IT will not start", "IT"),
    ("IT will not start", "will"),
    ("bague or 18 carats", "or"),
    ("bague or 18 carats", "bague or 18"),
    ("Tobias is here", "tobias"),
    ("two refunds", "where is the refund"),
    # The beginning of the last word.
    ("the zeppelinfahrer", "the zeppe"),
    ("INV-2024-12345", "INV-2024-123"),
    # Operators.
    ("refund of the invoice", '"refund of the" -payment'),
    ("refund of the invoice", "payment OR invoice"),
    ("refund of the invoice", "OR invoice OR"),
    ("refund of the invoice", '"refund of'),
]
NOT_FOUND = [
    ("refund of the invoice", "refund -invoice"),
    ("refund of the invoice", '"invoice refund"'),
    ("refund of the invoice", '"the refund"'),
    ("refund of the invoice", "payment"),
    ("refund of the invoice", '"refun"'),
    ("refund of the invoice", "re"),
    ("我要退款", "款退"),
    ("INV-2024-12345", "2345"),
    ("anything", "!!! … --"),
]
HOSTILE = [
    "' | 'a",
    "a:* & !b",
    "!(a <-> b) | c:ABCD",
    "\\' \\",
    "')); drop table desk.support_tickets; --",
    "<-> <2> & | ! :*",
    "%s %L {} $1 \\u0000",
    '"""""',
    "-" * 200,
    "(" * 200,
    "x" * 200,
    "退" * 200,
    "1-" * 100,
    "1 " * 100,
    "😀" * 200,
    "\u0301" * 200,
    "ﷺ" * 200,
    "a OR " * 40,
    '-"' * 100,
    "\u2028\u0085\ufeff\u202e",
]


def numbers(client: Any, q: str) -> list[str]:
    response = client.get("/list-tickets", params={"q": q})
    assert response.status_code == 200, response.text
    return [ticket["ticket_number"] for ticket in response.json()["tickets"]]


@pytest.mark.parametrize(("text", "q"), FOUND)
def test_what_people_paste_is_found(text: str, q: str, api: Client, customer: Person) -> None:
    number = file(api(customer), title="x", description=text)["ticket_number"]
    assert numbers(api(customer), q) == [number]


@pytest.mark.parametrize(("text", "q"), NOT_FOUND)
def test_what_is_not_there_is_not_found(text: str, q: str, api: Client, customer: Person) -> None:
    file(api(customer), title="x", description=text)
    assert numbers(api(customer), q) == []


@pytest.mark.parametrize("q", HOSTILE)
def test_operators_of_the_store_are_plain_text(q: str, api: Client, customer: Person, other: Person) -> None:
    file(api(other), title="secret a b c", description="1 退 x 😀")
    assert numbers(api(customer), q) == []


def test_thirty_terms_are_searched(api: Client, customer: Person) -> None:
    terms = [f"w{n}ord" for n in range(30)]
    number = file(api(customer), title="x", description=" ".join(terms))["ticket_number"]
    assert numbers(api(customer), " ".join(reversed(terms))) == [number]
    assert numbers(api(customer), " ".join([*terms[1:], "absent"])) == []


def test_a_null_character_is_refused(api: Client, customer: Person) -> None:
    assert_problem(api(customer).get("/list-tickets?q=a%00b"), 422, "invalid", "q")


def test_a_subject_a_reply_and_a_resolution_are_found(api: Client, agent: Person, customer: Person) -> None:
    number = file(api(customer), title="The espressomaker", description="x")["ticket_number"]
    api(agent).post(f"/add-message/{number}", json={"body": "Try the drainvalve."})
    changes = {"status": "resolved", "resolution": "Replaced the gasketring of the valve"}
    assert api(agent).patch(f"/admin-update/{number}", json=changes).status_code == 200
    for word in ("espressomaker", "drainvalve", "gasketring", "espressomaker gasketring"):
        assert numbers(api(customer), word) == [number]


def test_notes_are_found_by_agents_alone(api: Client, agent: Person, customer: Person) -> None:
    number = file(api(customer), title="Wonky lampholder", description="x")["ticket_number"]
    api(agent).post(f"/add-message/{number}", json={"body": "Known whalebug.", "is_internal": True})
    assert numbers(api(agent), "whalebug lampholder") == [number]
    for q in ("whalebug", "whaleb", '"known whalebug"', "whalebug OR absent", "lampholder whalebug"):
        assert numbers(api(customer), q) == []
    assert numbers(api(customer), "lampholder -whalebug") == [number]


def test_requesters_are_found_by_name_and_address_until_they_are_deleted(
    api: Client, agent: Person, person: NewPerson, db: Connection
) -> None:
    customer = person(email="zoe.zimmermann77@mail.example")
    number = file(api(customer), reporter_name="Zoë Zimmermann", title="The xylophone")["ticket_number"]
    queries = ("zoe.zimmermann77@mail.example", "zoë zimmermann", "zimmermann77", "zimmer")
    for q in queries:
        assert number in numbers(api(agent), q)
        assert numbers(api(customer), q) == [number]
    db.execute("delete from auth.users where id = %s", [customer.id])
    for q in queries:
        assert number not in numbers(api(agent), q)
    assert number in numbers(api(agent), "xylophone")


def test_the_end_of_a_long_hand_over_is_found(api: Client, customer: Person) -> None:
    words = "the parcel did not arrive and the driver left it at another door please look again "
    said = [{"role": "user", "content": words * 110} for _ in range(11)]
    last = "My order is ORD-777123 by the way, at www.example.com/track/abc, 我要退款"
    talk = {
        "conversationId": "c",
        "summaryOfIssue": "parcel",
        "conversationHistory": [*said, {"role": "user", "content": last}],
    }
    response = api(customer).post("/ai-escalation", json=talk)
    assert response.status_code == 200, response.text
    number = response.json()["ticket_number"]
    api(customer).post(f"/add-message/{number}", json={"body": "And the invoice is INV-2024-999"})
    for q in ("ORD-777123", "777123", "example.com/track/abc", "退款", '"is ORD-777123"', "INV-2024-999"):
        assert numbers(api(customer), q) == [number], q


def test_the_last_word_is_a_whole_one_where_many_have_it(
    api: Client, agent: Person, customer: Person
) -> None:
    for _ in range(20):
        file(api(customer), title="Broken marzipan", description="x")
    other = file(api(customer), title="Marzipanbrot", description="x")["ticket_number"]
    assert other not in numbers(api(customer), "marzipan")
    assert numbers(api(customer), "marzipanb") == [other]
    assert api(customer).get("/list-tickets?q=marzipa").json()["total"] == 21
