"""Parses arbitrary input: it is accepted, or refused in the contract's words."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic_core import to_json

from shared.errors import Invalid, Malformed, Problem
from shared.requests.filters import TicketFilters
from shared.requests.parsing import parse_body, parse_query
from shared.requests.tickets import AnyTicket, CreateTicket, Feedback
from tests.payloads import PAYLOADS

text = st.text(st.characters(exclude_categories=()), max_size=20)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | text
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(text, inner), max_leaves=8)
names = st.sampled_from(sorted({name for fields in PAYLOADS.values() for name in fields} | {"customer"}))


def refused_or_taken(body: bytes) -> None:
    """Raises if it is neither; accepted input can be stored, refused input has a short error."""
    outcome: AnyTicket | Feedback | Problem
    try:
        outcome = parse_body(CreateTicket, body).payload
    except (Malformed, Invalid) as problem:
        outcome = problem
    if isinstance(outcome, Problem):
        assert outcome.fields or isinstance(outcome, Malformed)
        assert len(to_json(outcome.body("id"))) < 50_000
    else:
        arguments = outcome.arguments()
        # Somebody may type a backslash and u0000; only the character itself cannot be stored.
        assert b"\\u0000" not in to_json(arguments).replace(b"\\\\", b"")
        assert isinstance(outcome, Feedback) or 1 <= len(arguments["subject"]) <= 255


@given(st.binary(max_size=200))
@example(b'\xef\xbb\xbf{"payload": {}}')
@example(b'{"payload": ' + b"[" * 300)
def test_any_bytes(body: bytes) -> None:
    refused_or_taken(body)


@given(values)
def test_any_json(value: Any) -> None:
    refused_or_taken(json.dumps(value).encode())
    refused_or_taken(json.dumps({"payload": value}).encode())


@given(st.sampled_from(sorted(PAYLOADS)), st.dictionaries(names | text, values, max_size=3))
def test_any_fields(kind: str, changes: dict[str, Any]) -> None:
    payload = {**PAYLOADS[kind], **changes, "issue_type": kind}
    refused_or_taken(json.dumps({"payload": payload}).encode())


@given(st.lists(st.tuples(st.sampled_from(sorted(TicketFilters.model_fields)) | text, text), max_size=5))
def test_any_query(pairs: list[tuple[str, str]]) -> None:
    with suppress(Invalid):
        parse_query(TicketFilters, pairs).arguments()


def test_a_thousand_wrong_fields_are_not_all_told() -> None:
    body = {"payload": {"issue_type": "bug", **{"x" * 500 + str(n): 1 for n in range(1000)}}}
    with pytest.raises(Invalid) as caught:
        parse_body(CreateTicket, json.dumps(body).encode())
    assert len(to_json(caught.value.body("id"))) < 50_000


@pytest.mark.parametrize(
    ("given_moment", "taken"),
    [
        ("2026-01-31T09:30:00Z", "2026-01-31T09:30:00Z"),
        ("2026-01-31t09:30:00.123456789z", "2026-01-31T09:30:00.123456789Z"),
        ("2026-01-31 09:30:00-05:00", "2026-01-31T09:30:00-05:00"),
        ("2026-01-31T09:30:00 02:00", "2026-01-31T09:30:00+02:00"),
    ],
)
def test_a_time_may_be_written_in_every_way_of_rfc_3339(given_moment: str, taken: str) -> None:
    assert parse_query(TicketFilters, [("created_after", given_moment)]).created_after == taken


def test_errors_count_what_a_person_counts() -> None:
    """Texts have characters, also where their length is checked after another validator; lists have entries."""
    payload = PAYLOADS["other"] | {"issue_type": "other", "title": "x" * 201}
    with pytest.raises(Invalid) as refused:
        parse_body(CreateTicket, to_json({"payload": payload}))
    assert [(field.path, field.message) for field in refused.value.fields] == [
        ("payload.title", "must be at most 200 characters")
    ]
    payload = PAYLOADS["support"] | {"issue_type": "support", "attachments": ["https://example.com"] * 11}
    with pytest.raises(Invalid) as refused:
        parse_body(CreateTicket, to_json({"payload": payload}))
    assert [(field.path, field.message) for field in refused.value.fields] == [
        ("payload.attachments", "must have at most 10 entries")
    ]


@pytest.mark.parametrize("body", [b"", b" \n"])
def test_an_empty_body_is_called_empty(body: bytes) -> None:
    with pytest.raises(Malformed) as refused:
        parse_body(CreateTicket, body)
    assert "empty" in refused.value.body("id")["error"]
