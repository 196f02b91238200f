"""A notification, a mail or a row for Linear that cannot be written never fails what it belongs to."""

from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.attacks.test_null import CALLS, TALK, Arguments, Caller, caller

__all__ = ["caller"]

BREAK = """
create function pg_temp.break_down() returns trigger language plpgsql as $$
begin
  raise exception using errcode = '{state}', message = 'broken for the test';
end
$$;
create trigger aa_break before insert on {table} for each row execute function pg_temp.break_down();
"""
BY_PRODUCTS = (
    "desk.notifications",
    "desk_private.staff_news",
    "desk_private.outbox",
    "desk_private.linear_issues",
)
# Values cause these; a check, a missing account, a row that is too large.
STATES = ("23514", "23503", "54000", "22001")
FILED: list[tuple[str, str, Arguments]] = [
    ("customer", "create_ticket", CALLS["create_ticket"] | {"issue_type": "bug"}),
    ("customer", "create_ticket", CALLS["create_ticket"] | {"category": "bug"}),
    ("anon", "create_contact", CALLS["create_contact"]),
    ("customer", "create_transfer", CALLS["create_transfer"] | {"transcript": TALK}),
    ("customer", "add_message", CALLS["add_message"]),
    ("agent", "add_message", CALLS["add_message"]),
    ("customer", "request_escalation", CALLS["request_escalation"]),
    ("agent", "update_ticket", {"ticket": "<ticket>", "changes": Jsonb({"status": "resolved"})}),
    ("agent", "update_ticket", {"ticket": "<ticket>", "changes": Jsonb({"assigned_to": "me"})}),
    ("agent", "update_ticket", {"ticket": "<ticket>", "changes": Jsonb({"category": "bug"})}),
]


def break_down(db: psycopg.Connection[Any], table: str, state: str) -> None:
    db.execute(BREAK.format(table=table, state=state).encode())


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("table", BY_PRODUCTS)
def test_a_broken_by_product_lets_the_write_through(caller: Caller, table: str, state: str) -> None:
    break_down(caller.db, table, state)
    refused = [
        (role, rpc, caller.error) for role, rpc, given in FILED if caller.status(role, rpc, given) != 200
    ]
    assert refused == []


@pytest.mark.parametrize("state", ["40001", "53100", "57014"])
def test_what_a_retry_can_mend_is_not_left_out(caller: Caller, state: str) -> None:
    break_down(caller.db, "desk_private.outbox", state)
    assert caller.status("agent", "add_message", CALLS["add_message"]) == 503
