"""Reply templates, with which agents answer and categories answer at once."""

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest

from local.people import Client, Person
from tests.assertions import assert_problem
from tests.database import Connection
from tests.payloads import file, send


@pytest.fixture
def template(db: Connection) -> Callable[[str], str]:
    """Write a template with that body; its name."""

    def write(body: str) -> str:
        slug = f"t{uuid4().hex[:12]}"
        db.execute(
            "insert into desk.reply_templates (slug, name, body) values (%s, 'Tested', %s)", (slug, body)
        )
        return slug

    return write


@pytest.fixture
def category(db: Connection) -> str:
    """A category of the test's own."""
    slug = f"c{uuid4().hex[:12]}"
    db.execute("insert into desk.ticket_categories (slug, name) values (%s, 'Gardening')", (slug,))
    return slug


@pytest.fixture
def ticket(api: Client, customer: Person) -> dict[str, Any]:
    return file(api(customer), title="It {{rains}}", reporter_name="Ada")


def reply(client: httpx.Client, ticket: dict[str, Any], template: str, **fields: Any) -> httpx.Response:
    return client.post(f"/add-message/{ticket['ticket_id']}", json={"template": template} | fields)


def last_message(client: httpx.Client, ticket: dict[str, Any], **headers: str) -> dict[str, Any]:
    answer = client.get(f"/list-tickets/{ticket['ticket_id']}", headers=headers)
    message: dict[str, Any] = answer.json()["messages"][-1]
    return message


def answer_at_once(client: httpx.Client, category: str, template: str) -> httpx.Response:
    """Have an admin make the template the automatic reply of the category."""
    return client.patch(
        "/ticket_categories", params={"slug": f"eq.{category}"}, json={"auto_reply": template}
    )


def test_an_agent_replies_with_a_template_and_its_variables(
    api: Client, agent: Person, customer: Person, ticket: dict[str, Any]
) -> None:
    answer = reply(api(agent), ticket, "need_details", variables={"question": "which browser?"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["author"] == "agent"
    number = ticket["ticket_number"]
    assert last_message(api(customer), ticket)["body"] == (
        f"Hello Ada,\n\nto help with {number} we need to know: which browser?\n\nAgent"
    )


def test_a_template_knows_the_ticket_the_customer_and_the_agent(
    api: Client, agent: Person, ticket: dict[str, Any], template: Callable[[str], str]
) -> None:
    names = ["ticket_number", "status", "priority", "category", "subject", "customer_name", "agent_name"]
    slug = template("|".join(f"{{{{{name}}}}}" for name in names))
    reply(api(agent), ticket, slug)
    said = last_message(api(agent), ticket)["body"].split("|")
    assert said[:3] == [ticket["ticket_number"], "open", "medium"]
    assert said[4:] == ["It {{rains}}", "Ada", "Agent"]


def test_variables_that_are_missing_are_named(
    api: Client, agent: Person, ticket: dict[str, Any], template: Callable[[str], str]
) -> None:
    slug = template("{{one}} {{two}} {{three}} {{one}} {{agent_name}}")
    answer = reply(api(agent), ticket, slug, variables={"two": "2"})
    assert_problem(answer, 422, "invalid", "variables")
    assert "one, three" in answer.json()["error"]
    assert api(agent).get(f"/list-tickets/{ticket['ticket_id']}").json()["messages"] == []


def test_a_template_that_is_unknown_or_retired_is_refused_with_those_there_are(
    api: Client, agent: Person, db: Connection, ticket: dict[str, Any], template: Callable[[str], str]
) -> None:
    retired = template("Goodbye.")
    db.execute("update desk.reply_templates set is_active = false where slug = %s", (retired,))
    for name in ("nonsense", retired):
        answer = reply(api(agent), ticket, name)
        assert_problem(answer, 422, "invalid", "template")
        assert "need_details" in answer.json()["error"]
        assert retired not in answer.json()["error"]


def test_a_template_and_a_body_exclude_each_other(api: Client, agent: Person, ticket: dict[str, Any]) -> None:
    assert_problem(reply(api(agent), ticket, "resolved", body="Done."), 422, "invalid", "template")


def test_values_that_look_like_templates_stay_as_they_are(
    api: Client, agent: Person, ticket: dict[str, Any], template: Callable[[str], str]
) -> None:
    slug = template("{{subject}} / {{x}} / {{y}}")
    reply(api(agent), ticket, slug, variables={"x": "{{agent_name}}", "y": r"\1 & $1 \\ {{x}}"})
    assert last_message(api(agent), ticket)["body"] == r"It {{rains}} / {{agent_name}} / \1 & $1 \\ {{x}}"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("{{ x }}{{x}}", "11"),
        ("{{\nx\t}}", "1"),
        ("{{{x}}}", "{1}"),
        ("{x} {{x", "{x} {{x"),
        ("}}{{x}}{{", "}}1{{"),
    ],
)
def test_only_a_name_in_double_braces_is_replaced(
    api: Client, agent: Person, ticket: dict[str, Any], template: Callable[[str], str], body: str, said: str
) -> None:
    assert reply(api(agent), ticket, template(body), variables={"x": 1}).status_code == 200
    assert last_message(api(agent), ticket)["body"] == said


PLACEHOLDERS = [
    "{{}}",
    "{{ }}",
    "{{1}}",
    "{{x-y}}",
    "{{contact.name}}",
    "{{ customer name }}",
    "{{customer-name}}",
    "{{Customer_Name}}",
    "{{ÜBER}}",
    "{{two\nlines}}",
    "{{x}} and {{ {y} }}",
]


@pytest.mark.parametrize("body", PLACEHOLDERS)
def test_what_is_no_variable_is_refused_in_double_braces(
    rest: Client, admin: Person, template: Callable[[str], str], body: str
) -> None:
    row = {"slug": f"t{uuid4().hex[:12]}", "name": "Tested", "body": body}
    where = {"slug": f"eq.{template('Hello.')}"}
    for answer in (
        rest(admin).post("/reply_templates", json=row),
        rest(admin).patch("/reply_templates", params=where, json={"body": body}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (400, "SD422")
        [field] = json.loads(answer.json()["details"])["fields"]
        assert field["path"] == "body"


@pytest.mark.parametrize("body", PLACEHOLDERS)
def test_a_template_from_before_that_check_is_not_sent(
    api: Client, db: Connection, agent: Person, ticket: dict[str, Any], body: str
) -> None:
    slug = f"t{uuid4().hex[:12]}"
    with db.transaction():
        db.execute("alter table desk.reply_templates disable trigger templates_05_check_placeholders")
        db.execute("insert into desk.reply_templates (slug, name, body) values (%s, 'Old', %s)", (slug, body))
        db.execute("alter table desk.reply_templates enable trigger templates_05_check_placeholders")
    assert_problem(reply(api(agent), ticket, slug, variables={"x": "1"}), 422, "invalid", "template")


def test_variables_do_not_overrule_what_the_ticket_says(
    api: Client, agent: Person, ticket: dict[str, Any], template: Callable[[str], str]
) -> None:
    slug = template("{{ticket_number}} {{agent_name}}")
    reply(api(agent), ticket, slug, variables={"ticket_number": "SUP-1", "agent_name": "The Queen"})
    assert last_message(api(agent), ticket)["body"] == f"{ticket['ticket_number']} Agent"


def test_customers_do_not_reply_with_templates(api: Client, customer: Person, ticket: dict[str, Any]) -> None:
    assert_problem(reply(api(customer), ticket, "resolved"), 403, "forbidden")


def test_what_a_template_makes_is_as_long_as_a_message_may_be(
    api: Client, agent: Person, ticket: dict[str, Any], template: Callable[[str], str]
) -> None:
    slug = template("{{x}}" * 3)
    assert_problem(reply(api(agent), ticket, slug, variables={"x": "x" * 9000}), 422, "invalid", "body")


def test_only_admins_edit_templates(rest: Client, admin: Person, agent: Person, customer: Person) -> None:
    row = {"slug": f"t{uuid4().hex[:12]}", "name": "Tested", "body": "Hello."}
    where = {"slug": f"eq.{row['slug']}"}
    assert rest(agent).post("/reply_templates", json=row).status_code == 403
    assert rest(admin).post("/reply_templates", json=row).status_code == 201
    assert rest(customer).get("/reply_templates").json() == []
    assert rest(agent).patch("/reply_templates", params=where, json={"body": "Bye."}).status_code == 204
    [kept] = rest(agent).get("/reply_templates", params=where).json()
    assert kept["body"] == "Hello."
    assert rest(admin).delete("/reply_templates", params=where).status_code == 204


def test_a_category_answers_at_once(
    api: Client, rest: Client, admin: Person, customer: Person, category: str, template: Callable[[str], str]
) -> None:
    slug = template(
        "Hello {{customer_name}}, {{ticket_number}} about {{category}}: {{subject}}. {{agent_name}}"
    )
    assert answer_at_once(rest(admin), category, slug).status_code == 204
    ticket = file(api(customer), "support", category=category, subject="Weeds")
    message = last_message(api(customer), ticket)
    assert message["author"] == "system"
    assert message["body"] == f"Hello there, {ticket['ticket_number']} about Gardening: Weeds. Support"
    detail = api(customer).get(f"/list-tickets/{ticket['ticket_id']}").json()
    assert [(entry["type"], entry["actor"]) for entry in detail["timeline"]] == [
        ("created", "customer"),
        ("replied", "system"),
    ]
    assert (detail["status"], detail["sla"]["first_response"]["met_at"]) == ("open", None)


def test_an_automatic_reply_that_needs_more_than_the_ticket_is_refused_when_it_is_saved(
    rest: Client, admin: Person, category: str
) -> None:
    answer = answer_at_once(rest(admin), category, "need_details")
    assert (answer.status_code, answer.json()["code"]) == (400, "SD422")
    [field] = json.loads(answer.json()["details"])["fields"]
    assert field["path"] == "auto_reply"
    assert "question" in field["message"]
    assert "customer_name" in field["message"]


def test_a_template_in_use_as_an_automatic_reply_cannot_come_to_need_more(
    rest: Client, admin: Person, category: str, template: Callable[[str], str]
) -> None:
    slug = template("Hello.")
    answer_at_once(rest(admin), category, slug)
    where = {"slug": f"eq.{slug}"}
    answer = rest(admin).patch("/reply_templates", params=where, json={"body": "Hello {{stranger}}."})
    assert (answer.status_code, answer.json()["code"]) == (400, "SD422")
    assert rest(admin).patch("/reply_templates", params=where, json={"body": "Hi."}).status_code == 204


@pytest.mark.parametrize(
    "end", ["update desk.reply_templates set is_active = false", "delete from desk.reply_templates"]
)
def test_a_template_that_is_gone_answers_nobody(
    api: Client,
    rest: Client,
    admin: Person,
    customer: Person,
    db: Connection,
    category: str,
    template: Callable[[str], str],
    end: str,
) -> None:
    slug = template("Hello.")
    answer_at_once(rest(admin), category, slug)
    db.execute(f"{end} where slug = %s", (slug,))
    ticket = file(api(customer), "support", category=category)
    assert api(customer).get(f"/list-tickets/{ticket['ticket_id']}").json()["messages"] == []


def test_an_automatic_reply_that_comes_out_too_long_keeps_nobody_from_filing(
    api: Client, rest: Client, admin: Person, customer: Person, category: str, template: Callable[[str], str]
) -> None:
    answer_at_once(rest(admin), category, template("{{subject}}" * 1500))
    ticket = file(api(customer), "support", category=category, subject="x" * 255)
    assert len(last_message(api(customer), ticket)["body"]) == 20_000


def test_an_automatic_reply_to_an_anonymous_form_has_none_of_its_words(
    api: Client, rest: Client, admin: Person, category: str, template: Callable[[str], str]
) -> None:
    slug = template(
        "{{customer_name}} {{subject}} {{category}} {{ticket_number}} {{agent_name}} {{status}} {{priority}}"
    )
    answer_at_once(rest(admin), category, slug)
    said: dict[str, Any] = {
        "email": "victim@example.com",
        "name": "BUY-1",
        "subject": "BUY-2",
        "description": "BUY-3",
    }
    answer = send(api(None), "contact", category=category, **said)
    assert answer.status_code == 200, answer.text
    filed = answer.json()
    message = last_message(api(None), filed, **{"X-Ticket-Token": filed["access_token"]})
    assert message["author"] == "system"
    assert message["body"] == f"there your request Gardening {filed['ticket_number']} Support open medium"
