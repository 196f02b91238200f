"""The store without the functions: a token used straight on PostgREST."""

from typing import Any

import pytest

from local.people import Client, NewPerson, Person, RunningStack
from tests.payloads import file

TABLES = (
    "support_tickets",
    "ticket_messages",
    "ticket_attachments",
    "ticket_events",
    "ticket_ratings",
    "escalation_requests",
    "user_feedback",
    "notifications",
    "ticket_categories",
    "reply_templates",
    "sla_policies",
    "business_calendars",
    "support_agents",
    "customer_branches",
)
GOOD = {"issue_type": "support", "subject": "Subject", "description": "Description"}
CHATBOT = GOOD | {"issue_type": "chatbot"}
CONVERSATION = {
    "domain_id": "d",
    "session_id": "s",
    "issue_subtype": "not_accurate",
    "selected_message_content": "m",
}


@pytest.fixture
def ticket(api: Client, customer: Person) -> dict[str, Any]:
    return file(api(customer))


def count(db: Any, table: str = "desk.support_tickets") -> int:
    return int(db.execute(f"select count(*) from {table}").fetchone()[0])


@pytest.mark.parametrize("table", TABLES)
def test_a_customer_writes_no_table(
    rest: Client, customer: Person, ticket: dict[str, Any], table: str, db: Any
) -> None:
    mine = rest(customer)
    key = {"support_agents": "user_id", "customer_branches": "customer_id", "ticket_events": "ticket_id"}
    slugs = ("ticket_categories", "reply_templates", "business_calendars")
    column = key.get(table) or (
        "slug" if table in slugs else "ticket_id" if table == "ticket_ratings" else "id"
    )
    before = count(db, f"desk.{table}")
    anything = {column: "not.is.null"}
    inserted = mine.post(f"/{table}", json={column: ticket["ticket_id"]})
    assert inserted.status_code in (400, 401, 403), inserted.text
    changed = mine.patch(f"/{table}", params=anything, json={column: ticket["ticket_id"]})
    assert changed.status_code in (401, 403) or changed.headers["content-range"] == "*/*", changed.text
    mine.delete(f"/{table}", params=anything)
    assert count(db, f"desk.{table}") == before


@pytest.mark.parametrize("table", TABLES)
def test_nobody_reads_a_table_without_signing_in(rest: Client, table: str, ticket: dict[str, Any]) -> None:
    assert rest(None).get(f"/{table}").status_code == 401


def test_anybody_reads_the_categories_by_rpc(rest: Client) -> None:
    listed = rest(None).post("/rpc/list_categories", json={}).json()["categories"]
    assert "billing" in [category["category"] for category in listed]


@pytest.mark.parametrize("arguments", [
    GOOD | {"subject": " "},
    GOOD | {"subject": "x" * 256},
    GOOD | {"description": "x" * 20_001},
    GOOD | {"issue_type": "ai_transfer"},
    GOOD | {"issue_type": "nonsense"},
    GOOD | {"category": "nonsense"},
    GOOD | {"priority": "extreme"},
    GOOD | {"attachments": ["http://plain.example/file"]},
    GOOD | {"attachments": ["https://user:secret@files.example/"]},
    GOOD | {"attachments": ["javascript:alert(1)"]},
    GOOD | {"attachments": ["https://files.example/"] * 11},
    GOOD | {"context": {"nested": {"a": 1}}},
    GOOD | {"context": {"bad key": 1}},
    GOOD | {"context": {f"k{n}": 1 for n in range(41)}},
    GOOD | {"context": []},
    GOOD | {"requester_email": "not an address"},
    GOOD | {"requester_name": "x" * 201},
    GOOD | {"idempotency_key": "with blanks in it"},
    GOOD | {"issue_type": "other", "subject": "x" * 201},
    GOOD | {"issue_type": "other", "attachments": ["https://files.example/"]},
    GOOD | {"issue_type": "contact", "priority": "low"},
    CHATBOT,
    CHATBOT | {"context": {"domain_id": "d", "session_id": "s", "issue_subtype": "not_accurate"}},
    CHATBOT | {"context": CONVERSATION | {"issue_subtype": "nonsense"}},
    CHATBOT | {"context": CONVERSATION | {"conversation_link": "https://evil.example/"}},
    CHATBOT | {"context": CONVERSATION | {"unknown": "field"}},
    GOOD | {"subject": "a\x00b"},
])  # fmt: skip
def test_the_rpc_refuses_what_the_function_would(
    rest: Client, customer: Person, arguments: dict[str, Any], db: Any
) -> None:
    before = count(db)
    answer = rest(customer).post("/rpc/create_ticket", json=arguments)
    assert answer.status_code == 400, answer.text
    assert count(db) == before


def test_an_email_of_somebody_else_is_kept_aside_and_never_mailed(
    rest: Client, customer: Person, db: Any
) -> None:
    answer = rest(customer).post("/rpc/create_ticket", json=GOOD | {"requester_email": "victim@example.com"})
    row = "select requester_email, context ->> 'reporter_email' from desk.support_tickets where id = %s"
    assert db.execute(row, [answer.json()["ticket_id"]]).fetchone() == (customer.email, "victim@example.com")


def test_filing_for_somebody_else_is_for_agents(
    rest: Client, customer: Person, other: Person, agent: Person, db: Any
) -> None:
    for_other = GOOD | {"customer": other.email}
    assert rest(customer).post("/rpc/create_ticket", json=for_other).json()["code"] == "SD403"
    filed = rest(agent).post("/rpc/create_ticket", json=for_other).json()
    assert rest(other).get("/support_tickets").json()[0]["id"] == filed["ticket_id"]
    unknown = rest(agent).post("/rpc/create_ticket", json=GOOD | {"customer": "nobody@example.com"})
    assert unknown.json()["code"] == "SD422"


def test_the_contact_form_has_no_way_past_the_function(rest: Client, customer: Person) -> None:
    form = {
        "subject": "s",
        "description": "d",
        "requester_email": "a@example.com",
        "access_token": "x" * 43,
        "network": "0" * 64,
        "intake_secret": "a guess",
    }
    assert rest(None).post("/rpc/create_contact", json=form).json()["code"] == "SD403"
    assert rest(customer).post("/rpc/create_contact", json=form).status_code == 403


def test_an_anonymous_sign_in_counts_as_nobody(rest: Client, api: Client, person: NewPerson) -> None:
    visitor = person(is_anonymous=True)
    assert rest(visitor).post("/rpc/create_ticket", json=GOOD).json()["code"] == "SD401"
    assert rest(visitor).post("/rpc/list_tickets", json={}).json()["code"] == "SD401"
    assert api(visitor).get("/list-tickets").status_code == 401


def test_rights_never_come_from_the_token(
    rest: Client, stack: RunningStack, customer: Person, ticket: dict[str, Any], other: Person
) -> None:
    claims = {"app_metadata": {"role": "admin", "is_agent": True}, "user_role": "admin"}
    imposter = Person(other.id, other.email, stack.token(other.id, other.email, **claims))
    assert rest(imposter).get("/support_tickets").json() == []
    update = {"ticket": ticket["ticket_number"], "changes": {"priority": "low"}}
    assert rest(imposter).post("/rpc/update_ticket", json=update).json()["code"] == "SD403"


def test_taking_an_agents_row_away_works_at_once(
    rest: Client, agent: Person, ticket: dict[str, Any], db: Any
) -> None:
    desk = rest(agent)
    assert len(desk.get("/support_tickets", params={"id": f"eq.{ticket['ticket_id']}"}).json()) == 1
    db.execute("update desk.support_agents set active = false where user_id = %s", [agent.id])
    assert desk.get("/support_tickets", params={"id": f"eq.{ticket['ticket_id']}"}).json() == []


def test_a_branch_bound_agent_sees_the_branch_only(
    rest: Client, api: Client, person: NewPerson, customer: Person, other: Person, db: Any
) -> None:
    db.execute("insert into desk.customer_branches values (%s, 'east')", [customer.id])
    inside, outside = file(api(customer)), file(api(other))
    east = person("agent", display_name="East", branch_id="east")
    for found in (
        {row["id"] for row in rest(east).get("/support_tickets").json()},
        {
            row["ticket_id"]
            for row in api(east).get("/list-tickets", params={"q": "scroll"}).json()["tickets"]
        },
    ):
        assert inside["ticket_id"] in found
        assert outside["ticket_id"] not in found


def test_admins_edit_configuration_in_the_tables_and_agents_do_not(
    rest: Client, agent: Person, admin: Person, person: NewPerson
) -> None:
    row = {"slug": "new_category", "name": "New"}
    assert rest(agent).post("/ticket_categories", json=row).status_code == 403
    assert rest(admin).post("/ticket_categories", json=row).status_code == 201
    where = {"slug": "eq.new_category"}
    assert rest(admin).patch("/ticket_categories", params=where, json={"is_active": False}).status_code == 204
    hired = {"user_id": str(person().id), "display_name": "Hired", "skills": ["billing"]}
    assert rest(agent).post("/support_agents", json=hired).status_code == 403
    assert rest(admin).post("/support_agents", json=hired).status_code == 201
    misspelt = rest(admin).post(
        "/support_agents", json=hired | {"user_id": str(person().id), "skills": ["biling"]}
    )
    assert "biling" in misspelt.json()["message"]
    assert rest(admin).delete("/ticket_categories", params=where).status_code == 204


def test_each_reads_their_own_feedback_and_agents_of_all_branches_read_all(
    rest: Client, customer: Person, other: Person, agent: Person
) -> None:
    feedback = {"category": "praise", "description": "Very good."}
    given = rest(customer).post("/rpc/create_feedback", json=feedback).json()["feedback_id"]
    assert [row["id"] for row in rest(customer).get("/user_feedback").json()] == [given]
    assert rest(other).get("/user_feedback").json() == []
    assert given in [row["id"] for row in rest(agent).get("/user_feedback").json()]
