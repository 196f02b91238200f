"""Values nobody thought of in place of every argument of every RPC, as every role.

Each is answered or clearly refused, within the recommended timeout, and lets nobody in.
"""

import json
import time
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.attacks.test_null import CALLS, ROLES, Arguments, Caller, caller

__all__ = ["caller"]

TYPES = """
select p.proname, coalesce(p.proargnames[:p.pronargs], '{}'),
  array(select t::regtype::text from unnest(p.proargtypes) as t)
from pg_proc p where p.pronamespace = 'desk'::regnamespace and p.prokind = 'f' and p.prorettype <> 'trigger'::regtype
"""
STATEMENT_TIMEOUT = "3s"
NIL, LAST = "0" * 8 + "-0000-0000-0000-" + "0" * 12, "f" * 8 + "-ffff-ffff-ffff-" + "f" * 12


def array(*elements: str) -> str:
    return "{" + ",".join(elements) + "}"


def nested(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


# Literals by type, as text that PostgreSQL casts, like PostgREST's JSON.
MOMENTS = ["infinity", "-infinity", "294276-12-31", "4713-01-01 BC", "1970-01-01"]
NUMBERS = ["0", "-1", "2147483647", "-2147483648"]
TALKS = [
    '[{"author": "customer", "body": []}]',
    '[{"author": "customer", "body": "b", "said_at": "infinity"}]',
    '[{"author": "customer", "body": "b", "said_at": "yesterday"}]',
    '[{"author": null, "body": null}]',
]
NEWS = [
    '[{"issue_id": {}}]',
    '[{"issue_id": "<id>", "updated_at": null}]',
    '[{"issue_id": "<id>", "updated_at": "never"}]',
    '[{"issue_id": "<id>", "updated_at": "infinity"}]',
    '[{"issue_id": "<id>", "updated_at": "2027-01-01", "removed": "perhaps"}]',
    '[{"issue_id": "<id>", "comment_id": "x", "body": "b"}]',
    '[{"issue_id": "<id>", "comment_id": "<id>"}]',
]
SCALARS = ["null", "true", "0", "1e999", '""', "[]", "{}", "[null]", "[[]]", "[{}]"]
OBJECTS = ['{"": null}', '{"a": null}', '{"a": []}', '{"a": {}}', '{"a": 1e999}', nested(100)]
CHANGES = ['{"status": []}', '{"assigned_to": {}}', '{"resolution": []}']
WORDS = [
    "me",
    "auto",
    "none",
    "null",
    "NaN",
    "-infinity",
    "SUP-",
    "SUP-1",
    NIL,
    "Europe/Paris",
    "XXX-24:59:59",
]
SIGNS = ["", " ", "\t\n", "\x01", "\u202e", "\ufffe", "\u3164", "%", "\\", "((((", "{{", '"', "' or true --"]
CURSORS = [f"294276-12-31T00:00:00.000Z_{NIL}", f"2026-99-99T99:99:99.999Z_{NIL}"]
VALUES: dict[str, list[str]] = {
    "text": [*WORDS, *SIGNS, *CURSORS],
    "text[]": [array(), array("null"), array('""'), array("a", "null"), "{{a},{b}}", "[5:6]={a,b}"],
    "uuid": [NIL, LAST],
    "uuid[]": [array(), array("null"), array(NIL, "null"), "{{" + NIL + "}}"],
    "integer": NUMBERS,
    "bigint": [*NUMBERS, str(2**63 - 1), str(-(2**63))],
    "boolean": ["true", "false"],
    "timestamp with time zone": MOMENTS,
    "date": [*MOMENTS, "5874897-12-31"],
    "jsonb": [*SCALARS, *OBJECTS, *CHANGES, *TALKS, *NEWS],
}
HUGE: dict[str, list[str]] = {
    "text": [
        "a" * 1_000_000,
        " " * 1_000_000,
        "😀" * 250_000,
        "SUP-" + "9" * 100_000,
        "a@" * 100_000,
        "(" * 100_000,
    ],
    "text[]": [array(*["a"] * 100_000), array("a" * 1_000_000), array(*["null"] * 100_000)],
    "uuid[]": [array(*[NIL] * 100_000)],
    "jsonb": [
        nested(5_000),
        json.dumps([None] * 100_000),
        json.dumps({f"key_{n}": str(n) for n in range(20_000)}),
        json.dumps({"a": "b" * 1_000_000}),
        json.dumps([{"author": "customer", "body": "b"}] * 20_000),
    ],
}
# More ways through an RPC, beside the one of test_null.
MORE_CALLS: dict[str, list[Arguments]] = {
    "list_tickets": [
        {"q": "word"},
        {"q": "word", "sort": "-updated_at"},
        {"context": Jsonb({"order_id": "5"})},
    ],
    "create_ticket": [
        {"issue_type": "bug", "subject": "s", "description": "d", "context": Jsonb({"device_info": "d"})},
        {"issue_type": "support", "subject": "s", "description": "d", "customer": "<customer>"},
    ],
    "add_message": [
        {"ticket": "<ticket>", "template": "need_details", "variables": Jsonb({"question": "q"})}
    ],
    "stats": [{"from_day": "2026-11-01", "to_day": "2026-11-02"}],
    "update_ticket": [{"ticket": "<ticket>", "changes": Jsonb({"status": "resolved"}), "note": "n"}],
    "rate_ticket": [{"ticket": "<ticket>", "rating": 5, "comment": "c"}],
}


def types(db: psycopg.Connection[Any]) -> dict[str, dict[str, str]]:
    return {name: dict(zip(names, kinds, strict=True)) for name, names, kinds in db.execute(TYPES).fetchall()}


def failures(caller: Caller, rpc: str, values: dict[str, list[str]], is_let_in: bool) -> list[Any]:
    found = []
    for arguments in [CALLS[rpc], *MORE_CALLS.get(rpc, [])]:
        for role in ROLES:
            usual = caller.status(role, rpc, arguments)
            if (usual in (401, 403)) is is_let_in:
                continue
            for name, kind in types(caller.db)[rpc].items():
                for value in values.get(kind, []):
                    literal = value.replace("<id>", caller.ticket_id)
                    status = caller.status(role, rpc, arguments | {name: literal}, {name: kind})
                    if status >= 500 or (not is_let_in and status < 400):
                        found.append((role, name, value[:60], status, caller.error))
    return found


@pytest.fixture(autouse=True)
def as_recommended(caller: Caller) -> None:
    caller.db.execute(f"set local statement_timeout = '{STATEMENT_TIMEOUT}'")


def test_each_type_has_values(db: psycopg.Connection[Any]) -> None:
    assert {kind for arguments in types(db).values() for kind in arguments.values()} == set(VALUES)


@pytest.mark.parametrize("rpc", sorted(CALLS))
def test_no_value_breaks_a_call_of_who_may_make_it(caller: Caller, rpc: str) -> None:
    assert failures(caller, rpc, VALUES, is_let_in=True) == []


@pytest.mark.parametrize("rpc", sorted(CALLS))
def test_no_value_lets_in_who_was_refused(caller: Caller, rpc: str) -> None:
    assert failures(caller, rpc, VALUES, is_let_in=False) == []


@pytest.mark.parametrize("rpc", sorted(CALLS))
def test_no_size_breaks_a_call(caller: Caller, rpc: str) -> None:
    assert failures(caller, rpc, HUGE, is_let_in=True) == []


TOO_MANY: dict[str, tuple[str, Arguments]] = {
    "context keys of a list": ("list_tickets", {"context": Jsonb({f"k{n}": "v" for n in range(2_000)})}),
    "statuses of a list": ("list_tickets", {"status": ["open"] * 2_000}),
    "context keys of a ticket": (
        "create_ticket",
        CALLS["create_ticket"] | {"context": Jsonb({f"k{n}": "v" for n in range(2_000)})},
    ),
    "attachments": (
        "create_ticket",
        CALLS["create_ticket"] | {"attachments": ["https://a.example/b"] * 2_000},
    ),
    "changes": (
        "update_ticket",
        {"ticket": "<ticket>", "changes": Jsonb({f"k{n}": 1 for n in range(2_000)})},
    ),
}


@pytest.mark.parametrize("what", TOO_MANY)
def test_too_many_are_refused_before_they_are_read(caller: Caller, what: str) -> None:
    rpc, arguments = TOO_MANY[what]
    role = "agent" if rpc == "update_ticket" else "customer"
    seconds = []
    for _ in range(5):
        begun = time.perf_counter()
        assert caller.status(role, rpc, arguments) == 422
        seconds.append(time.perf_counter() - begun)
    assert min(seconds) < 0.02


def test_a_resolution_that_is_no_text_is_refused(caller: Caller) -> None:
    values: list[object] = [[], {}, 5, True]
    for resolution in values:
        arguments = {"ticket": "<ticket>", "changes": Jsonb({"resolution": resolution})}
        assert caller.status("agent", "update_ticket", arguments) == 422


@pytest.mark.parametrize(
    "said_at", ["infinity", "-infinity", "yesterday", "0001-01-01 BC", "20261101", "2026-13-01"]
)
def test_a_transcript_has_times_that_an_answer_can_carry(caller: Caller, said_at: str) -> None:
    talk = Jsonb([{"author": "customer", "body": "b", "said_at": said_at}])
    arguments = CALLS["create_transfer"] | {"transcript": talk}
    assert caller.status("customer", "create_transfer", arguments) == 422
