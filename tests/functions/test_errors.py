"""Every error that a caller can be told is documented, and every state of the store has its answer."""

import json
import re
from pathlib import Path

import pytest

from shared import errors
from shared.errors import BY_SQLSTATE, Invalid, NotConfigured, Problem, from_store

MIGRATIONS = Path(__file__).parents[2] / "supabase" / "migrations"


def every_problem() -> list[type[Problem]]:
    found: list[type[Problem]] = []
    waiting = Problem.__subclasses__()
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting.extend(kind.__subclasses__())
    return found


@pytest.mark.parametrize("kind", every_problem())
def test_every_error_is_in_the_tree_at_the_top_of_its_module(kind: type[Problem]) -> None:
    assert re.search(rf"── {kind.__name__} +{kind.status} +(\w+, )?{kind.code}\b", errors.__doc__ or "")


def test_every_state_that_the_migrations_raise_is_in_the_table() -> None:
    sql = "".join(path.read_text() for path in MIGRATIONS.glob("*.sql"))
    assert set(re.findall(r"'(SD\w{3})'", sql)) <= set(BY_SQLSTATE)


@pytest.mark.parametrize(
    ("sqlstate", "status", "code"),
    [
        ("SD401", 401, "unauthenticated"),
        ("SD403", 403, "forbidden"),
        ("SD404", 404, "not_found"),
        ("SD422", 422, "invalid"),
        ("SD429", 429, "quota_exceeded"),
        ("SD091", 409, "illegal_transition"),
        ("SD092", 409, "stale_version"),
        ("SD093", 409, "idempotency_key_reused"),
        ("SD094", 409, "conflict"),
        ("22P02", 422, "invalid"),
        ("22P05", 422, "invalid"),
        ("22001", 422, "invalid"),
        ("22003", 422, "invalid"),
        ("22007", 422, "invalid"),
        ("22008", 422, "invalid"),
        ("22009", 422, "invalid"),
        ("2201B", 422, "invalid"),
        ("23502", 422, "invalid"),
        ("23503", 409, "conflict"),
        ("23505", 409, "conflict"),
        ("23514", 422, "invalid"),
        ("42501", 403, "forbidden"),
        ("54000", 422, "invalid"),
        ("54001", 422, "invalid"),
        ("PGRST301", 401, "unauthenticated"),
        ("PGRST303", 401, "unauthenticated"),
        ("PGRST000", 503, "store_unavailable"),
        ("PGRST001", 503, "store_unavailable"),
        ("PGRST002", 503, "store_unavailable"),
        ("PGRST003", 503, "store_unavailable"),
        ("PGRST106", 503, "not_configured"),
        ("08006", 503, "store_unavailable"),
        ("53300", 503, "store_unavailable"),
        ("57014", 503, "store_unavailable"),
        ("57P01", 503, "store_unavailable"),
        ("XX000", 503, "store_unavailable"),
        ("40001", 503, "store_unavailable"),
        ("40P01", 503, "store_unavailable"),
        ("55P03", 503, "store_unavailable"),
        ("PGRST202", 500, "internal"),
        ("42P01", 500, "internal"),
        ("P0001", 500, "internal"),
        ("", 503, "store_unavailable"),
    ],
)
def test_what_a_state_of_the_store_means_for_the_caller(sqlstate: str, status: int, code: str) -> None:
    body = json.dumps({"code": sqlstate, "message": "What the database said.", "details": None})
    problem = from_store(400, body.encode())
    assert (problem.status, problem.code) == (status, code)
    # Only what the migrations raise was written for the caller to read.
    assert (problem.sentence == "What the database said.") == sqlstate.startswith("SD")
    assert (problem.permanent is False) == (status in (429, 503) and code != "not_configured")
    assert ("Retry-After" in problem.headers) == (status in (429, 503))


def test_every_row_of_the_table_is_tried_above() -> None:
    marks = test_what_a_state_of_the_store_means_for_the_caller.pytestmark  # type: ignore[attr-defined]
    tried = [row[0] for row in marks[0].args[1]]
    assert all(any(state.startswith(row) for state in tried) for row in BY_SQLSTATE)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"null", b'{"code": 5}', b'{"code": null}', b"\xff"])
@pytest.mark.parametrize(("status", "expected"), [(400, 500), (404, 500), (500, 500), (502, 503), (503, 503)])
def test_an_answer_that_cannot_be_read_is_an_error_of_ours(body: bytes, status: int, expected: int) -> None:
    assert from_store(status, body).status == expected


@pytest.mark.parametrize("details", [None, "", "no JSON", "[]", '{"fields": 5}', '{"fields": [5]}', 5])
@pytest.mark.parametrize("state", ["SD422", "SD429", "SD092"])
def test_details_that_cannot_be_read_are_left_out(state: str, details: object) -> None:
    problem = from_store(400, json.dumps({"code": state, "message": "No.", "details": details}).encode())
    assert problem.code == BY_SQLSTATE[state].code
    assert problem.fields == []


def test_a_stale_version_shows_the_current_one() -> None:
    details = json.dumps({"current": {"version": 3}})
    problem = from_store(400, json.dumps({"code": "SD092", "message": "No.", "details": details}).encode())
    assert problem.body("id")["current"] == {"version": 3}


def test_a_field_is_told_by_the_name_that_the_caller_used() -> None:
    details = json.dumps({"fields": [{"path": "category", "message": "must be one of a, b"}]})
    body = json.dumps({"code": "SD422", "message": "category: must be one of a, b", "details": details})
    problem = from_store(400, body.encode())
    assert isinstance(problem, Invalid)
    renamed = problem.renamed(lambda argument: f"payload.{argument}").body("id")
    assert renamed["error"] == "payload.category must be one of a, b."
    assert renamed["fields"] == [{"path": "payload.category", "message": "must be one of a, b"}]


def test_a_schema_that_is_not_exposed_is_named_in_the_log() -> None:
    found = from_store(
        406, b'{"code":"PGRST106","message":"The schema must be one of the following: public"}'
    )
    assert isinstance(found, NotConfigured)
    assert found.reason == "the store answered 406 PGRST106: add desk to the exposed schemas of the project"
