"""Holds every list of values to one place in Python, and that place to the database's CHECKs."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from deploy.table import ROOT
from shared import choices
from shared.mail.texts import TO_REQUESTER
from shared.requests.confirmations import FEEDBACK_SENTENCES
from tests.database import Connection

CHOICES = {
    name: set(get_args(getattr(choices, name)))
    for name in ("Status", "Priority", "EscalationOutcome", "FeedbackCategory", "FeedbackStatus")
}
MODULES = [
    path
    for top in ("shared", "functions", "contract", "deploy")
    for path in (ROOT / top).rglob("*.py")
    if path != ROOT / "shared" / "choices.py"
]


def collections(path: Path) -> Iterator[tuple[set[str], bool]]:
    """Yields the strings of each tuple, list, set, Literal and dict's keys; True for a dict."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            yield strings(node.elts), False
        elif isinstance(node, ast.Dict):
            yield strings(node.keys), True


def strings(nodes: "list[ast.expr] | list[ast.expr | None]") -> set[str]:
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_other_module_lists_the_values(path: Path) -> None:
    """Allows a dict with a key for each of them."""
    for values, is_dict in collections(path):
        for name, known in CHOICES.items():
            assert len(values & known) < 2 or (is_dict and values == known), name


def test_every_value_has_its_sentence() -> None:
    decided = {f"escalation_decided.{outcome}" for outcome in CHOICES["EscalationOutcome"]}
    changed = {f"status_changed.{status}" for status in CHOICES["Status"]}
    dotted = {kind for kind in TO_REQUESTER if kind.startswith(("escalation_decided.", "status_changed."))}
    assert dotted == decided | changed
    assert set(FEEDBACK_SENTENCES) == CHOICES["FeedbackCategory"]


@pytest.mark.parametrize(
    ("table", "column", "name"),
    [
        ("support_tickets", "status", "Status"),
        ("support_tickets", "priority", "Priority"),
        ("sla_policies", "priority", "Priority"),
        ("user_feedback", "category", "FeedbackCategory"),
        ("user_feedback", "status", "FeedbackStatus"),
    ],
)
def test_the_database_takes_the_same_values(db: Connection, table: str, column: str, name: str) -> None:
    assert allowed(db, table, column) == CHOICES[name]


def test_a_pending_escalation_becomes_an_outcome(db: Connection) -> None:
    assert allowed(db, "escalation_requests", "status") == {"pending", *CHOICES["EscalationOutcome"]}


def allowed(db: Connection, table: str, column: str) -> set[str]:
    """Reads the values from the CHECK of a column."""
    [(check,)] = db.execute(
        """
        select pg_get_constraintdef(c.oid) from pg_constraint c
        join pg_attribute a on a.attrelid = c.conrelid and c.conkey = array[a.attnum]
        where c.contype = 'c' and c.conrelid::regclass::text in (%(table)s, 'public.' || %(table)s, 'desk.' || %(table)s)
          and a.attname = %(column)s
        """,
        {"table": table, "column": column},
    ).fetchall()
    return set(re.findall(r"'([^']+)'::text", check))
