"""NULL in place of every argument of every RPC, as every role: a clear refusal or an answer, and nobody is let in."""

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from local.people import Client, Person
from shared.errors import from_store
from tests.payloads import file

Arguments = dict[str, Any]
ROLES = ("anon", "customer", "agent", "admin", "service_role")

# The arguments of a call that goes through for whoever may make it; "ticket" and the like stand for what the fixture made.
FORM = {
    "subject": "s",
    "description": "d",
    "requester_email": "a@example.com",
    "access_token": "x" * 43,
    "mail_token": "y" * 43,
}
CONTACT = FORM | {"network": "0" * 64, "intake_secret": "the secret"}
TALK = Jsonb([{"author": "customer", "body": "Hello"}])
PARTNER = {"integration": "shop", "customer": "<customer>"}
NEWS = Jsonb([{"issue_id": str(uuid4()), "updated_at": "2026-11-01T00:00:00Z"}])
CALLS: dict[str, Arguments] = {
    "add_message": {"ticket": "<ticket>", "body": "b"},
    "begin_analysis": {},
    "begin_linear_poll": {},
    "claim_linear": {},
    "claim_mail": {},
    "close_ticket": {"ticket": "<ticket>"},
    "create_contact": CONTACT,
    "create_feedback": {"category": "praise", "description": "d"},
    "create_ticket": {"issue_type": "support", "subject": "s", "description": "d"},
    "create_transfer": {"conversation_id": "c", "subject": "s", "summary": "s", "transcript": TALK},
    "decide_escalation": {"escalation": str(uuid4()), "decision": "approved"},
    "delete_ticket": {"ticket": "<ticket>"},
    "get_ticket": {"ticket": "<ticket>"},
    "learn_linear": {"issues": NEWS},
    "list_categories": {},
    "list_dead_letters": {},
    "list_tickets": {},
    "pause_linear": {"seconds": 1},
    "rate_ticket": {"ticket": "<ticket>", "rating": 5},
    "read_notifications": {},
    "receive_feedback": PARTNER | {"external_id": "f", "category": "praise", "description": "d"},
    "receive_linear": {"delivery": "d", "issues": NEWS},
    "receive_ticket": PARTNER
    | {"external_id": "t", "issue_type": "support", "subject": "s", "description": "d"},
    "receive_transfer": PARTNER
    | {"conversation_id": "c", "subject": "s", "summary": "s", "transcript": TALK},
    "request_escalation": {"ticket": "<ticket>", "reason": "r"},
    "retry_dead_letter": {"id": 1},
    "review_feedback": {"feedback": str(uuid4())},
    "settle_outbox": {"row_id": 1, "token": str(uuid4()), "outcome": "done"},
    "stats": {},
    "sweep": {},
    "update_ticket": {"ticket": "<ticket>", "changes": Jsonb({"priority": "low"})},
    "update_tickets": {"tickets": ["<ticket>"], "changes": Jsonb({"priority": "low"})},
}
ALL_ARGUMENTS = """
select p.proname, coalesce(p.proargnames[:p.pronargs], '{}')
from pg_proc p where p.pronamespace = 'desk'::regnamespace and p.prokind = 'f' and p.prorettype <> 'trigger'::regtype
order by 1
"""


class Caller:
    """Calls RPCs in transactions that are rolled back, as PostgREST would for each role."""

    def __init__(
        self, db: psycopg.Connection[Any], people: dict[str, Person], ticket: str, ticket_id: str
    ) -> None:
        self.db, self.people, self.ticket, self.ticket_id = db, people, ticket, ticket_id
        self.error: tuple[str | None, str | None] | None = None

    def status(
        self, role: str, rpc: str, arguments: Arguments, types: Mapping[str, str] = MappingProxyType({})
    ) -> int:
        """Returns the HTTP status that a function would answer with; literals of `types` are cast."""
        self.error = None
        given = {name: self._filled(value) for name, value in arguments.items()}
        with self.db.transaction(force_rollback=True):
            person = self.people.get(role)
            claims = {"role": "authenticated", "sub": str(person.id)} if person else {"role": role}
            settings = "select set_config('request.jwt.claims', %s, true), set_config('role', %s, true)"
            try:
                self.db.execute(settings, [json.dumps(claims), claims["role"]])
                casts = {name: f"::{kind}" for name, kind in types.items()}
                named = ", ".join(f"{name} => %({name})s{casts.get(name, '')}" for name in given)
                self.db.execute(f"select desk.{rpc}({named})", given)
            except psycopg.errors.InsufficientPrivilege:
                return 403
            except psycopg.Error as error:
                self.error = (error.sqlstate, error.diag.message_primary)
                told = {"code": error.sqlstate, "message": "m", "details": error.diag.message_detail}
                return from_store(400, json.dumps(told).encode()).status
        return 200

    def _filled(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._filled(each) for each in value]
        return {"<ticket>": self.ticket, "<customer>": self.people["customer"].email}.get(str(value), value)


@pytest.fixture
def caller(
    db: psycopg.Connection[Any], api: Client, customer: Person, agent: Person, admin: Person
) -> Iterator[Caller]:
    filed = file(api(customer))
    with db.transaction(force_rollback=True):
        # What other tests left to be fanned out is not what is tried here.
        db.execute("delete from desk_private.staff_news")
        secret = "select desk_private.set_setting('intake_secret_sha256', to_jsonb(desk_private.sha256('the secret')))"
        db.execute(secret)
        people = {"customer": customer, "agent": agent, "admin": admin}
        yield Caller(db, people, filed["ticket_number"], filed["ticket_id"])


def declared(db: psycopg.Connection[Any]) -> dict[str, list[str]]:
    return dict(db.execute(ALL_ARGUMENTS).fetchall())


def test_every_rpc_is_tried(db: psycopg.Connection[Any]) -> None:
    assert sorted(CALLS) == sorted(declared(db))


@pytest.mark.parametrize("rpc", sorted(CALLS))
def test_null_lets_nobody_in_and_breaks_nothing(caller: Caller, rpc: str) -> None:
    for role in ROLES:
        usual = caller.status(role, rpc, CALLS[rpc])
        assert usual < 500, (role, usual)
        for argument in declared(caller.db)[rpc]:
            status = caller.status(role, rpc, CALLS[rpc] | {argument: None})
            assert status < 500, (role, argument, status)
            if usual in (401, 403):
                assert status >= 400, (role, argument, status)


@pytest.mark.parametrize("kept", [True, False], ids=["a secret is set", "no secret is set"])
@pytest.mark.parametrize("given", [None, "", "a guess"])
def test_the_contact_form_opens_to_its_secret_alone(caller: Caller, kept: bool, given: str | None) -> None:
    if not kept:
        caller.db.execute("delete from desk_private.settings where key = 'intake_secret_sha256'")
    assert caller.status("anon", "create_contact", CONTACT | {"intake_secret": given}) == 403
    assert caller.status("anon", "create_contact", CONTACT) == (200 if kept else 403)


def test_a_secret_that_is_json_null_opens_nothing(caller: Caller) -> None:
    caller.db.execute("update desk_private.settings set value = 'null' where key = 'intake_secret_sha256'")
    assert caller.status("anon", "create_contact", CONTACT | {"intake_secret": None}) == 403


def test_claims_without_a_role_are_not_the_service(db: psycopg.Connection[Any]) -> None:
    with db.transaction(force_rollback=True):
        db.execute("select set_config('request.jwt.claims', '{}', true)")
        assert db.execute("select desk_private.is_service()").fetchone() == (False,)


def test_a_bulk_change_of_null_is_refused(caller: Caller) -> None:
    nothing = CALLS["update_tickets"] | {"tickets": None}
    assert caller.status("agent", "update_tickets", nothing) == 422


@pytest.mark.parametrize("rpc", ["receive_ticket", "receive_feedback", "receive_transfer"])
def test_no_partner_escapes_the_quota_by_having_no_name(caller: Caller, rpc: str) -> None:
    assert caller.status("service_role", rpc, CALLS[rpc] | {"integration": None}) == 422
