"""Every statement that an RPC runs has an index for each table that grows."""

import json
import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from local.people import Client, Person, RunningStack
from tests.attacks.test_null import CALLS, ROLES, Caller
from tests.attacks.test_values import MORE_CALLS
from tests.payloads import file

# Configuration: read whole, because it is small.
SMALL = {
    "business_calendars",
    "context_fields",
    "issue_types",
    "linear_sync",
    "priorities",
    "quota_limits",
    "reply_templates",
    "settings",
    "sla_policies",
    "status_transitions",
    "statuses",
    "support_agents",
    "ticket_categories",
}
EXPLAIN = {
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_level": "notice",
    "auto_explain.log_format": "json",
    "enable_seqscan": "off",
}


@pytest.fixture
def explained(
    stack: RunningStack, api: Client, customer: Person, agent: Person, admin: Person
) -> Iterator[tuple[Caller, list[str]]]:
    """Calls RPCs as each role, and collects the plans of all statements inside."""
    filed = file(api(customer))
    notices: list[str] = []
    people = {"customer": customer, "agent": agent, "admin": admin}
    with psycopg.connect(stack.admin_url) as connection:
        connection.execute("load 'auto_explain'")
        connection.execute(
            "select desk_private.set_setting('intake_secret_sha256', to_jsonb(desk_private.sha256('the secret')))"
        )
        for name, value in EXPLAIN.items():
            connection.execute("select set_config(%s, %s, false)", [name, value])
        connection.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
        yield Caller(connection, people, filed["ticket_number"], filed["ticket_id"]), notices
        connection.rollback()


def scanned(notices: list[str]) -> set[str]:
    """Names the tables that were read from one end to the other."""
    found: set[str] = set()

    def walk(node: dict[str, Any]) -> None:
        if node["Node Type"] == "Seq Scan":
            found.add(node["Relation Name"])
        for child in node.get("Plans", []):
            walk(child)

    for notice in notices:
        if match := re.search(r"plan:\s*(\{.*\})", notice, re.DOTALL):
            walk(json.loads(match[1])["Plan"])
    return found


@pytest.mark.parametrize("rpc", sorted(CALLS))
def test_no_call_reads_a_growing_table_whole(explained: tuple[Caller, list[str]], rpc: str) -> None:
    caller, notices = explained
    for arguments in [CALLS[rpc], *MORE_CALLS.get(rpc, [])]:
        for role in ROLES:
            assert caller.status(role, rpc, arguments) < 500
    assert notices
    assert scanned(notices) - SMALL == set()


@pytest.mark.parametrize(
    ("index", "rpc", "table"),
    [
        ("desk.ticket_messages_ticket", "get_ticket", "ticket_messages"),
        ("desk_private.linear_issues_team", "begin_linear_poll", "linear_issues"),
    ],
)
def test_a_missing_index_is_noticed(
    explained: tuple[Caller, list[str]], index: str, rpc: str, table: str
) -> None:
    caller, notices = explained
    caller.db.execute(
        "insert into desk_private.linear_issues (ticket_id, team, identifier) values (%s, 'ENG', 'ENG-1') "
        "on conflict (ticket_id) do update set identifier = 'ENG-1'",
        [caller.ticket_id],
    )
    caller.db.execute(
        "update desk_private.linear_sync set polled_at = '-infinity', paused_until = '-infinity'"
    )
    notices.clear()
    role = "agent" if rpc == "get_ticket" else "service_role"
    assert caller.status(role, rpc, CALLS[rpc]) == 200
    assert scanned(notices) - SMALL == set()
    caller.db.execute(f"drop index {index}".encode())
    notices.clear()
    assert caller.status(role, rpc, CALLS[rpc]) == 200
    assert scanned(notices) - SMALL == {table}
