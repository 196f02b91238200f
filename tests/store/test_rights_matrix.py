"""Tries every access of every kind of person straight on PostgREST, against tests/store/access_matrix.txt.

tests/store/grants.txt pins what the catalog grants; this is what comes of it under RLS and behind the RPCs' own checks.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from local.people import Client, NewPerson, Person, RunningStack

MATRIX = Path(__file__).with_name("access_matrix.txt")
PEOPLE = ("anon", "customer", "other", "visitor", "agent", "north", "south", "revoked", "admin", "service")
# Of each table the column that names a row, and one to change.
DATA = {
    "escalation_requests": ("id", "reason"),
    "notifications": ("id", "read_at"),
    "support_tickets": ("id", "subject"),
    "ticket_attachments": ("id", "url"),
    "ticket_events": ("ticket_id", "type"),
    "ticket_messages": ("id", "body"),
    "ticket_ratings": ("ticket_id", "comment"),
    "user_feedback": ("id", "description"),
}
CONFIGURATION = {
    "business_calendars": ("slug", "name"),
    "customer_branches": ("customer_id", "branch_id"),
    "reply_templates": ("slug", "name"),
    "sla_policies": ("category", "warn_minutes"),
    "support_agents": ("user_id", "display_name"),
    "ticket_categories": ("slug", "name"),
}
TABLES = DATA | CONFIGURATION

Cells = dict[str, str]


def expected(person: str) -> Cells:
    """The person's column of the file."""
    lines = [line for line in MATRIX.read_text().splitlines() if line and not line.startswith("#")]
    assert tuple(lines[0].split()[2:]) == PEOPLE
    rows = [line.split() for line in lines[1:]]
    return {" ".join(row[:2]): row[2 + PEOPLE.index(person)] for row in rows}


@dataclass
class Desk:
    """A customer of the branch north, and what the desk has of theirs."""

    db: psycopg.Connection[Any]
    new: NewPerson
    customer: Person
    mine: httpx.Client
    desk: httpx.Client

    def ticket(self, status: str | None = None) -> str:
        """A new one of the customer's, in that state, filed by an agent, whom no quota holds up."""
        form = {"issue_type": "support", "subject": "s", "description": "d", "customer": self.customer.email}
        number = str(called(self.desk, "create_ticket", form)["ticket_number"])
        if status:
            called(self.desk, "update_ticket", {"ticket": number, "changes": {"status": status}})
        return number

    def escalation(self) -> str:
        asked = called(self.mine, "request_escalation", {"ticket": self.ticket(), "reason": "Soon."})
        return str(asked["escalation_id"])

    def feedback(self) -> str:
        given = called(self.mine, "create_feedback", {"category": "praise", "description": "Good."})
        return str(given["feedback_id"])

    def rows(self, agent: Person) -> dict[str, str]:
        """Of each table a row that is about the customer, or for the agent: what names it."""
        number = self.ticket("resolved")
        answer = {"ticket": number, "body": "A reply.", "attachments": ["https://files.example.com/1"]}
        message = called(self.desk, "add_message", answer)
        note = called(self.desk, "add_message", {"ticket": number, "body": "A note.", "is_internal": True})
        called(self.mine, "rate_ticket", {"ticket": number, "rating": 4})
        ticket = str(message["ticket_id"])
        find = "select id from desk.ticket_attachments where ticket_id = %s limit 1"
        tell = "insert into desk.notifications (user_id, ticket_id, kind) values (%s, %s, 'assigned') returning id"
        return {
            "escalation_requests": self.escalation(),
            "notifications": self.value(tell, agent.id, ticket),
            "support_tickets": ticket,
            "ticket_attachments": self.value(find, ticket),
            "ticket_events": ticket,
            "ticket_messages": str(message["message_id"]),
            "internal_notes": str(note["message_id"]),
            "ticket_ratings": ticket,
            "user_feedback": self.feedback(),
        } | {table: str(self.put(table)[key]) for table, (key, _) in CONFIGURATION.items()}

    def value(self, query: str, *arguments: Any) -> str:
        row = self.db.execute(query, arguments).fetchone()
        assert row
        return str(row[0])

    def row(self, table: str) -> dict[str, Any]:
        """A new row of configuration, as an admin would write it."""
        slug = f"m_{uuid4().hex[:12]}"
        match table:
            case "business_calendars":
                return {
                    "slug": slug,
                    "name": "n",
                    "time_zone": "UTC",
                    "hours": {"monday": [["09:00", "17:00"]]},
                }
            case "customer_branches":
                return {"customer_id": str(self.new().id), "branch_id": "west"}
            case "reply_templates":
                return {"slug": slug, "name": "n", "body": "b"}
            case "sla_policies":
                minutes = {"first_response_minutes": 60, "resolution_minutes": 120, "warn_minutes": 10}
                category = self.put("ticket_categories")["slug"]
                return {"category": category, "priority": "low"} | minutes
            case "support_agents":
                return {"user_id": str(self.new().id), "display_name": "n", "role": "agent"}
            case _:
                return {"slug": slug, "name": "n"}

    def put(self, table: str) -> dict[str, Any]:
        row = self.row(table)
        places = sql.SQL(", ").join([sql.Placeholder()] * len(row))
        names = sql.SQL(", ").join(map(sql.Identifier, row))
        statement = sql.SQL("insert into {} ({}) values ({})").format(
            sql.Identifier("desk", table), names, places
        )
        self.db.execute(
            statement, [Jsonb(value) if isinstance(value, dict) else value for value in row.values()]
        )
        return row


# What configuration is left, so that other tests find theirs.
TIDY = (
    r"delete from desk.sla_policies where category like 'm\_%'",
    r"delete from desk.ticket_categories where slug like 'm\_%'",
    r"delete from desk.reply_templates where slug like 'm\_%'",
    r"delete from desk.business_calendars where slug like 'm\_%'",
    "delete from desk.support_agents where display_name in ('n', 'changed')",
)


@pytest.fixture
def desk(db: Any, person: NewPerson, customer: Person, agent: Person, rest: Client) -> Iterator[Desk]:
    db.execute("insert into desk.customer_branches values (%s, 'north')", [customer.id])
    yield Desk(db, person, customer, rest(customer), rest(agent))
    for statement in TIDY:
        db.execute(statement)


@pytest.fixture
def clients(
    stack: RunningStack,
    rest: Client,
    person: NewPerson,
    customer: Person,
    other: Person,
    agent: Person,
    admin: Person,
) -> dict[str, httpx.Client]:
    people = {
        "customer": customer,
        "other": other,
        "visitor": person(is_anonymous=True),
        "agent": agent,
        "north": person("agent", display_name="North", branch_id="north"),
        "south": person("agent", display_name="South", branch_id="south"),
        "revoked": person("agent", display_name="Gone", active=False),
        "admin": admin,
    }
    service = rest(None)
    service.headers["apikey"] = stack.secret_key
    return {"anon": rest(None), "service": service} | {who: rest(people[who]) for who in people}


@pytest.mark.parametrize("who", PEOPLE)
def test_each_can_do_on_the_tables_what_is_written_down(
    who: str, desk: Desk, clients: dict[str, httpx.Client], agent: Person
) -> None:
    client, rows = clients[who], desk.rows(agent)
    found: Cells = {}
    for table, (key, column) in TABLES.items():
        found[f"{table} select"] = told(
            client.get(f"/{table}", params={key: f"eq.{rows[table]}", "select": key})
        )
        new = desk.row(table) if table in CONFIGURATION else {key: rows[table]}
        found[f"{table} insert"] = told(
            client.post(f"/{table}", json=new, headers=WITH_ROWS, params={"select": key})
        )
        for method in ("patch", "delete"):
            name = desk.put(table)[key] if table in CONFIGURATION else rows[table]
            value = 5 if column == "warn_minutes" else None if column == "read_at" else "changed"
            response = client.request(
                method,
                f"/{table}",
                params={key: f"eq.{name}", "select": key},
                headers=WITH_ROWS,
                json={column: value} if method == "patch" else None,
            )
            found[f"{table} {'update' if method == 'patch' else 'delete'}"] = told(response)
    note = {"id": f"eq.{rows['internal_notes']}", "select": "id"}
    found["internal_notes select"] = told(client.get("/ticket_messages", params=note))
    assert found == {cell: right for cell, right in expected(who).items() if not cell.endswith(" execute")}


@pytest.mark.parametrize("who", PEOPLE)
def test_each_can_call_what_is_written_down(
    who: str, desk: Desk, clients: dict[str, httpx.Client], stack: RunningStack
) -> None:
    found = {
        f"{name} execute": told(clients[who].post(f"/rpc/{name}", json=arguments(desk)))
        for name, arguments in RPCS.items()
    }
    assert found == {cell: right for cell, right in expected(who).items() if cell.endswith(" execute")}


def test_every_table_and_every_function_is_in_the_file(db: Any) -> None:
    tables = db.execute(
        "select relname from pg_class where relnamespace = 'desk'::regnamespace and relkind = 'r'"
    )
    functions = db.execute(
        "select distinct proname from pg_proc where pronamespace = 'desk'::regnamespace and prorettype <> 'trigger'::regtype"
    )
    wanted = {f"{name} {right}" for (name,) in tables for right in ("select", "insert", "update", "delete")}
    wanted |= {f"{name} execute" for (name,) in functions} | {"internal_notes select"}
    assert set(expected("anon")) == wanted


WITH_ROWS = {"Prefer": "return=representation"}
NEITHER = str(uuid4())
# Each with arguments that are right for somebody: about the customer's own, in a state in which it can be done.
RPCS: dict[str, Callable[[Desk], dict[str, Any]]] = {
    "add_message": lambda desk: {"ticket": desk.ticket(), "body": "Hello."},
    "begin_analysis": lambda desk: {},
    "begin_linear_poll": lambda desk: {"every_seconds": 50},
    "claim_linear": lambda desk: {"ticket": NEITHER},
    "claim_mail": lambda desk: {"batch": 1, "lease_seconds": 1},
    "close_ticket": lambda desk: {"ticket": desk.ticket("resolved")},
    "create_contact": lambda desk: {
        "subject": "s",
        "description": "d",
        "requester_email": "a@example.com",
        "access_token": "x" * 43,
        "mail_token": "y" * 43,
        "network": "0" * 64,
        "intake_secret": "a guess, and a wrong one",
    },
    "create_feedback": lambda desk: {"category": "praise", "description": "Good."},
    "create_ticket": lambda desk: {"issue_type": "support", "subject": "s", "description": "d"},
    "create_transfer": lambda desk: {
        "conversation_id": uuid4().hex,
        "subject": "s",
        "summary": "s",
        "transcript": [{"author": "customer", "body": "b"}],
    },
    "decide_escalation": lambda desk: {"escalation": desk.escalation(), "decision": "denied"},
    "delete_ticket": lambda desk: {"ticket": desk.ticket()},
    "get_ticket": lambda desk: {"ticket": desk.ticket()},
    "learn_linear": lambda desk: {},
    "list_categories": lambda desk: {},
    "list_dead_letters": lambda desk: {},
    "list_tickets": lambda desk: {"scope": "queue"},
    "pause_linear": lambda desk: {"seconds": 0},
    "rate_ticket": lambda desk: {"ticket": desk.ticket("resolved"), "rating": 5},
    "read_notifications": lambda desk: {"ids": [NEITHER]},
    "receive_feedback": lambda desk: {
        "integration": "acme",
        "external_id": uuid4().hex,
        "customer": NEITHER,
        "category": "praise",
        "description": "d",
    },
    "receive_linear": lambda desk: {"delivery": uuid4().hex},
    "receive_ticket": lambda desk: {
        "integration": "acme",
        "external_id": uuid4().hex,
        "issue_type": "webhook",
        "customer": NEITHER,
        "subject": "s",
        "description": "d",
    },
    "receive_transfer": lambda desk: {
        "integration": "acme",
        "customer": NEITHER,
        "conversation_id": uuid4().hex,
        "subject": "s",
        "summary": "s",
        "transcript": [{"author": "customer", "body": "b"}],
    },
    "request_escalation": lambda desk: {"ticket": desk.ticket(), "reason": "Soon."},
    "retry_dead_letter": lambda desk: {"id": -1},
    "review_feedback": lambda desk: {"feedback": desk.feedback(), "status": "reviewed"},
    "settle_outbox": lambda desk: {"row_id": -1, "token": NEITHER, "outcome": "sent"},
    "stats": lambda desk: {},
    "sweep": lambda desk: {"batch": 1},
    "update_ticket": lambda desk: {"ticket": desk.ticket(), "changes": {"priority": "low"}},
    "update_tickets": lambda desk: {"tickets": [desk.ticket()], "changes": {"priority": "low"}},
}


def told(response: httpx.Response) -> str:
    """yes, none (no row is seen or touched), denied by the database's grants or policies, or the SQLSTATE of ours."""
    answer: Any = response.json() if response.content else None
    if response.is_success:
        return "none" if answer == [] else "yes"
    code = str(answer["code"])
    return "denied" if code == "42501" else code


def called(client: httpx.Client, name: str, arguments: dict[str, Any]) -> Any:
    response = client.post(f"/rpc/{name}", json=arguments)
    assert response.status_code == 200, response.text
    return response.json()
