"""Looking one thing up by what people name it: the right one, by an index."""

from typing import Any
from uuid import uuid4

import psycopg
import pytest

from local.people import Client, NewPerson, Person, RunningStack
from tests.payloads import file, send

LOOKUPS = {
    "a ticket by number": "select desk_private.find_ticket('SUP-999999')",
    "a ticket by id": "select desk_private.find_ticket(gen_random_uuid()::text)",
    "an account by id": "select desk_private.account_of(gen_random_uuid()::text)",
    "an account by address": "select desk_private.account_of('Nobody@Example.com')",
}


def plans(stack: RunningStack, statement: str) -> str:
    """Returns the plans of all statements inside, where the planner avoids sequential scans if it can."""
    notices: list[str] = []
    with psycopg.connect(stack.admin_url) as connection:
        connection.execute("load 'auto_explain'")
        for name, value in (
            ("log_min_duration", 0),
            ("log_nested_statements", "on"),
            ("log_level", "notice"),
        ):
            connection.execute(f"set auto_explain.{name} = '{value}'".encode())
        connection.execute("set enable_seqscan = off")
        connection.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
        connection.execute(statement.encode())
    return "\n".join(notices)


@pytest.mark.parametrize("what", LOOKUPS)
def test_a_look_up_has_its_index(stack: RunningStack, what: str) -> None:
    found = plans(stack, LOOKUPS[what])
    assert "Index Scan" in found or "Index Only Scan" in found
    assert "Seq Scan" not in found


@pytest.mark.parametrize("spelled", [str, str.upper, lambda ref: ref.lower()])
@pytest.mark.parametrize("named", ["ticket_id", "ticket_number"])
def test_a_ticket_is_found_however_it_is_spelled(
    api: Client, customer: Person, named: str, spelled: Any
) -> None:
    filed = file(api(customer))
    detail = api(customer).get(f"/list-tickets/{spelled(filed[named])}").json()
    assert detail["ticket_id"] == filed["ticket_id"]


@pytest.mark.parametrize(
    "columns",
    [
        {"email_confirmed_at": None},
        {"is_sso_user": True},
        {"deleted_at": "2026-11-01"},
        {"is_anonymous": True},
    ],
    ids=["unconfirmed", "of an SSO provider", "deleted", "anonymous"],
)
def test_an_address_that_proves_nothing_names_nobody(
    api: Client, agent: Person, person: NewPerson, columns: dict[str, Any]
) -> None:
    response = send(api(agent), "support", customer=person(**columns).email)
    assert (response.status_code, response.json()["fields"][0]["path"]) == (422, "payload.customer")


def test_the_confirmed_account_is_meant_whatever_else_has_its_address(
    api: Client, agent: Person, person: NewPerson
) -> None:
    address = f"twin-{uuid4().hex[:12]}@example.com"
    twins = [person(email=address, is_sso_user=True) for _ in range(2)]
    meant = person(email=address)
    filed = file(api(agent), "support", customer=address.upper())
    assert api(meant).get("/list-tickets").json()["tickets"][0]["ticket_id"] == filed["ticket_id"]
    assert all(api(twin).get("/list-tickets").json()["tickets"] == [] for twin in twins)


@pytest.mark.parametrize("columns", [{"email_confirmed_at": None}, {"is_anonymous": True}])
def test_an_id_names_confirmed_accounts_only(
    api: Client, agent: Person, person: NewPerson, columns: dict[str, Any]
) -> None:
    assert send(api(agent), "support", customer=str(person(**columns).id)).status_code == 422


def test_somebody_who_signs_in_by_sso_is_named_by_id(api: Client, agent: Person, person: NewPerson) -> None:
    somebody = person(is_sso_user=True)
    filed = file(api(agent), "support", customer=str(somebody.id))
    assert api(somebody).get("/list-tickets").json()["tickets"][0]["ticket_id"] == filed["ticket_id"]
