"""The store's chapters read in order, and what several places know is the same in all of them."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from deploy.migrate import apply_migrations
from local.postgres import Database
from local.process import ROOT

Connection = psycopg.Connection[Any]

CHAPTERS = sorted((ROOT / "supabase" / "migrations").glob("*.sql"))
CONTRACT = json.loads((ROOT / "contract" / "openapi.json").read_text())
MAX_COLUMNS = 100
MAX_POSITIONAL = 6

BODIES = """
select p.oid::regprocedure::text, regexp_replace(p.prosrc, '--[^\n]*', '', 'g') from pg_proc p
where p.pronamespace in ('desk'::regnamespace, 'desk_private'::regnamespace)
"""
KNOWN = """
select p.pronamespace::regnamespace || '.' || p.proname || '(' from pg_proc p
where p.pronamespace in ('desk'::regnamespace, 'desk_private'::regnamespace)
union
select c.relnamespace::regnamespace || '.' || c.relname from pg_class c
where c.relnamespace in ('desk'::regnamespace, 'desk_private'::regnamespace)
union
select d.dictnamespace::regnamespace || '.' || d.dictname from pg_ts_dict d
where d.dictnamespace = 'desk_private'::regnamespace
"""
# The bits of pg_trigger.tgtype: 1 row, 2 before, 4 insert, 8 delete, 16 update.
TRIGGERS = """
select t.tgname, c.relname,
  case when t.tgtype & 2 > 0 then 'before ' else 'after ' end || concat_ws(' or ',
    case when t.tgtype & 4 > 0 then 'insert' end, case when t.tgtype & 16 > 0 then 'update' end,
    case when t.tgtype & 8 > 0 then 'delete' end),
  case when t.tgtype & 1 > 0 then 'row' else 'statement' end
from pg_trigger t join pg_class c on c.oid = t.tgrelid
where not t.tgisinternal and c.relnamespace in ('desk'::regnamespace, 'desk_private'::regnamespace)
"""
# Everything in the catalog that may repeat a list of values.
DEFINITIONS = """
select p.oid::regprocedure::text, regexp_replace(p.prosrc, '--[^\n]*', '', 'g') from pg_proc p
where p.pronamespace in ('desk'::regnamespace, 'desk_private'::regnamespace)
union all
select c.conrelid::regclass || '.' || c.conname, pg_get_constraintdef(c.oid) from pg_constraint c
where c.contype = 'c' and c.connamespace in ('desk'::regnamespace, 'desk_private'::regnamespace)
union all
select indexname, indexdef from pg_indexes where schemaname in ('desk', 'desk_private')
union all
select tgname, pg_get_triggerdef(t.oid) from pg_trigger t where not tgisinternal
"""
LENGTHS = r"""
select substr(c.conrelid::regclass || '.' || a.attname, length('desk.') + 1),
  substring(pg_get_constraintdef(c.oid) from 'char_length\(\w+\) <= (\d+)')::integer
from pg_constraint c join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
where c.contype = 'c' and c.connamespace = 'desk'::regnamespace
  and pg_get_constraintdef(c.oid) ~ 'char_length\(\w+\) <= \d'
"""
WORDS = r"'[a-z_]+'(?:::text)?"
LISTS = re.compile(rf"\{{[a-z_]+(?:,[a-z_]+)+\}}|[(\[]{WORDS}(?:, {WORDS})+[)\]]")
TABLE = re.compile(r"--   on (\w+)")
TRIGGER = re.compile(r"--     (\w+) +((?:before|after) [a-z ]+?) +(row|statement) +(\w+)")


def title(chapter: Path) -> str:
    """The name of a chapter: `tickets` for 20261101000004_tickets.sql."""
    return chapter.stem.partition("_")[2]


def calls(body: str) -> Iterator[tuple[str, list[str]]]:
    """Finds every call of a function of ours, with its arguments as text."""
    for match in re.finditer(r"\b((?:desk_private|desk)\.\w+)\(", body):
        yield match[1], arguments(body[match.end() :])


def arguments(text: str) -> list[str]:
    """Splits the text behind an opening parenthesis at its own commas, up to the closing one."""
    found, start, depth, is_quoted = [], 0, 0, False
    for place, letter in enumerate(text):
        is_quoted ^= letter == "'"
        if is_quoted:
            continue
        if (letter == ")" and depth == 0) or (letter == "," and depth == 0):
            found.append(text[start:place].strip())
            start = place + 1
            if letter == ")":
                break
        depth += (letter in "([") - (letter in ")]")
    return [argument for argument in found if argument]


def mapped(text: str) -> Iterator[tuple[str, ...]]:
    """Reads the map: the table is a heading, each trigger a line with its time, level and chapter."""
    table = ""
    for line in text.splitlines():
        if heading := TABLE.fullmatch(line):
            table = heading[1]
        elif trigger := TRIGGER.fullmatch(line):
            name, *rest = trigger.groups()
            yield (name, table, *rest)


@pytest.fixture
def empty(database_with: Callable[..., AbstractContextManager[Database]]) -> Iterator[Connection]:
    """A database as a hosted project begins."""
    with database_with("none", migrated=False) as database, database.connect() as connection:
        yield connection


def test_arguments_are_split_at_their_own_commas() -> None:
    assert arguments("a, b(c, d), 'e, f)', name => array[1, 2]) || g(h, i)") == [
        "a",
        "b(c, d)",
        "'e, f)'",
        "name => array[1, 2]",
    ]
    assert arguments(") from there") == []


@pytest.mark.parametrize("chapter", CHAPTERS, ids=title)
def test_no_line_is_too_long(chapter: Path) -> None:
    lines = enumerate(chapter.read_text().splitlines(), start=1)
    assert [number for number, line in lines if len(line) > MAX_COLUMNS] == []


def test_no_chapter_uses_what_a_later_one_makes(empty: Connection, tmp_path: Path) -> None:
    """A body of plpgsql is looked into at its first call only, so that PostgreSQL would not object."""
    missing = {}
    for chapter in CHAPTERS:
        shutil.copy(chapter, tmp_path)
        apply_migrations(empty, tmp_path)
        known = {name for (name,) in empty.execute(KNOWN)}
        used = {
            (function, name)
            for function, body in empty.execute(BODIES)
            for name in re.findall(r"\b(?:desk_private|desk)\.\w+(?:\(|\b)", body)
        }
        missing[title(chapter)] = sorted(use for use in used if use[1] not in known)
    assert {chapter: uses for chapter, uses in missing.items() if uses} == {}


def test_long_lists_of_arguments_are_named(db: Connection) -> None:
    positional = {
        (caller, called)
        for caller, body in db.execute(BODIES)
        for called, given in calls(body)
        if sum("=>" not in argument for argument in given) > MAX_POSITIONAL
    }
    assert positional == set()


def test_the_map_of_triggers_is_the_catalogs(db: Connection) -> None:
    texts = {title(chapter): chapter.read_text() for chapter in CHAPTERS}
    made_in = {
        name: chapter
        for chapter, text in texts.items()
        for name in re.findall(r"^create trigger (\w+)", text, re.MULTILINE)
    }
    in_the_catalog = [(*trigger, made_in[trigger[0]]) for trigger in db.execute(TRIGGERS)]
    assert sorted(mapped(texts["tickets"])) == sorted(in_the_catalog)


class Text(NamedTuple):
    """A text that people write: its limit, and all places that know the limit."""

    limit: int
    column: str | None
    check: tuple[str, str]
    properties: tuple[str, ...]


TEXTS = [
    Text(
        255,
        "support_tickets.subject",
        ("ticket_problems", "subject"),
        ("Contact.subject", "Support.subject", "PartnerTicket.subject"),
    ),
    Text(200, None, ("kind_problems", "subject"), ("Other.title",)),
    Text(
        20000,
        "support_tickets.description",
        ("ticket_problems", "description"),
        (
            "Bug.description",
            "Contact.description",
            "Other.description",
            "Support.description",
            "PartnerTicket.description",
            "CompanionRequest.description",
        ),
    ),
    Text(
        200,
        "support_tickets.requester_name",
        ("ticket_problems", "requester_name"),
        (
            "Bug.reporter_name",
            "Chatbot.reporter_name",
            "Contact.reporter_name",
            "Contact.name",
            "Other.reporter_name",
            "Support.reporter_name",
        ),
    ),
    Text(
        20000,
        "support_tickets.resolution",
        ("change_problems", "resolution"),
        ("TicketChange.resolution", "BulkChange.resolution"),
    ),
    Text(20000, "ticket_messages.body", ("add_message", "body"), ("Reply.body",)),
    Text(
        20000, "ticket_messages.body", ("prepare_changes", "note"), ("TicketChange.note", "BulkChange.note")
    ),
    Text(20000, "ticket_messages.body", ("transcript_problems", "body"), ("Message.content",)),
    Text(2000, "ticket_ratings.comment", ("rate_ticket", "comment"), ("Opinion.comment",)),
    Text(2000, "escalation_requests.reason", ("request_escalation", "reason"), ("EscalationRequest.reason",)),
    Text(
        2000, "escalation_requests.decision_note", ("decide_escalation", "note"), ("EscalationDecision.note",)
    ),
    Text(20000, "user_feedback.description", ("keep_feedback", "description"), ("Feedback.description",)),
    Text(100, "user_feedback.feature_name", ("keep_feedback", "feature_name"), ("Feedback.feature_name",)),
    Text(20000, "user_feedback.admin_response", ("review_feedback", "admin_response"), ()),
    Text(
        255,
        None,
        ("file_transfer", "conversation_id"),
        ("Transfer.conversationId", "PartnerTransfer.conversationId", "Chat.conversationId"),
    ),
    Text(
        9000,
        None,
        ("file_transfer", "summary"),
        ("Transfer.summaryOfIssue", "PartnerTransfer.summaryOfIssue"),
    ),
    Text(
        9000,
        None,
        ("file_transfer", "suggestion"),
        ("Transfer.suggestedResolution", "PartnerTransfer.suggestedResolution"),
    ),
    Text(
        255,
        None,
        ("answered_partner", "external_id"),
        ("PartnerTicket.externalId", "CompanionRequest.externalId"),
    ),
    # Nobody writes these: the functions and the integrations' names make them.
    Text(1000, None, ("file_transfer", "findings"), ()),
    Text(100, None, ("answered_partner", "integration"), ()),
    Text(100, None, ("receive_transfer", "integration"), ()),
    Text(255, None, ("receive_linear", "delivery"), ()),
]


def maximum(name: str) -> int | None:
    """Reads the longest text that the contract allows in a property such as `Reply.body`."""
    schema, _, key = name.partition(".")
    found = re.search(
        r'"maxLength": (\d+)', json.dumps(CONTRACT["components"]["schemas"][schema]["properties"][key])
    )
    return int(found[1]) if found else None


def enums(node: Any) -> Iterator[list[str]]:
    """Finds every list of values in a JSON document."""
    if isinstance(node, dict):
        if isinstance(node.get("enum"), list):
            yield node["enum"]
        for child in node.values():
            yield from enums(child)
    elif isinstance(node, list):
        for child in node:
            yield from enums(child)


def lists(db: Connection, values: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Finds every list in the store with two of these values or more, and where it is."""
    for name, text in db.execute(DEFINITIONS):
        for match in LISTS.findall(text):
            found = re.findall(r"[a-z_]+", match.replace("::text", ""))
            if len(set(found) & set(values)) > 1:
                yield name, found


def column(db: Connection, query: str) -> list[str]:
    return [value for (value,) in db.execute(query)]


def checked(db: Connection, constraint: str) -> list[str]:
    """Reads the values that a CHECK allows, in their order."""
    query = "select pg_get_constraintdef(oid) from pg_constraint where conname = %s"
    [(definition,)] = db.execute(query, [constraint])
    return re.findall(r"'(\w+)'", definition)


def test_every_list_of_statuses_is_one_of_the_tables(db: Connection) -> None:
    statuses = column(db, "select status from desk_private.statuses order by position")
    kinds = [
        statuses,
        column(db, "select status from desk_private.statuses where is_running order by position"),
        column(db, "select status from desk_private.statuses where is_settled order by position"),
        column(db, "select status from desk_private.statuses where not is_settled order by position"),
    ]
    assert statuses == checked(db, "support_tickets_status_check")
    assert [(name, found) for name, found in lists(db, statuses) if found not in kinds] == []
    written = [found for found in enums(CONTRACT) if len(set(found) & set(statuses)) > 1]
    assert written
    assert all(found == statuses for found in written)


def test_the_constants_of_hot_paths_are_the_tables(db: Connection) -> None:
    query = """
        select status from desk_private.statuses
        where (desk_private.is_running(status), desk_private.is_settled(status)) is distinct from (is_running, is_settled)
    """
    assert column(db, query) == []


def test_transitions_are_between_statuses(db: Connection) -> None:
    query = """
        (select from_status from desk_private.status_transitions union select to_status from desk_private.status_transitions)
        except select status from desk_private.statuses
    """
    assert column(db, query) == []


def test_every_list_of_priorities_is_the_tables(db: Connection) -> None:
    priorities = column(db, "select priority from desk_private.priorities order by position")
    assert priorities == checked(db, "support_tickets_priority_check")
    assert [
        (name, found) for name, found in lists(db, priorities) if found not in (priorities, priorities[1:])
    ] == []
    written = [found for found in enums(CONTRACT) if len(set(found) & set(priorities)) > 1]
    assert written
    assert all(found == priorities for found in written)


@pytest.mark.parametrize("constraint", ["user_feedback_category_check", "user_feedback_status_check"])
def test_every_list_of_feedback_is_the_checks(db: Connection, constraint: str) -> None:
    values = checked(db, constraint)
    assert [(name, found) for name, found in lists(db, values) if found != values] == []
    written = [found for found in enums(CONTRACT) if len(set(found) & set(values)) > 1]
    assert written
    assert all(found == values for found in written)


def test_the_check_of_issue_types_is_their_table(db: Connection) -> None:
    types = column(db, "select issue_type from desk_private.issue_types")
    assert sorted(types) == sorted(checked(db, "support_tickets_issue_type_check"))


def test_a_status_knows_the_states_that_fit_in_linear(db: Connection) -> None:
    """Every type of state of Linear fits some status."""
    fitting = set(column(db, "select distinct unnest(linear_states) from desk_private.statuses"))
    assert fitting == {"triage", "backlog", "unstarted", "started", "completed", "canceled", "duplicate"}


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: ".".join(text.check))
def test_every_place_knows_the_same_limit(db: Connection, text: Text) -> None:
    if text.column:
        assert dict(db.execute(LENGTHS).fetchall())[text.column] == text.limit
    assert checks(db)[text.check] == text.limit
    assert {name: maximum(name) for name in text.properties} == dict.fromkeys(text.properties, text.limit)


def test_every_limit_is_listed_here(db: Connection) -> None:
    assert set(checks(db)) == {text.check for text in TEXTS}


def test_context_fields_have_the_contracts_limits(db: Connection) -> None:
    schemas = CONTRACT["components"]["schemas"]
    for issue_type, field, longest in db.execute(
        "select issue_type, field, longest from desk_private.context_fields"
    ):
        if field in schemas[issue_type.title()]["properties"] and maximum(f"{issue_type.title()}.{field}"):
            assert (field, maximum(f"{issue_type.title()}.{field}")) == (field, longest)


def checks(db: Connection) -> dict[tuple[str, str], int]:
    """Reads the limit of each call of text_problem, by the function that calls it and the name of the text."""
    found = {}
    for caller, body in db.execute(BODIES):
        for called, given in calls(body):
            if called == "desk_private.text_problem" and given[2].isdigit():
                function = caller.partition("(")[0].removeprefix("desk_private.")
                name = re.findall(r"\w+", given[0])[-1]
                found[function, name] = int(given[2])
    return found


def test_the_flags_of_a_transaction_name_their_functions(db: Connection) -> None:
    [events] = [chapter.read_text() for chapter in CHAPTERS if title(chapter) == "events"]
    listed = {
        flag: (set(readers.split(", ")), set(writers.split(", ")))
        for flag, readers, writers in re.findall(
            r"--   (supadesk\.\w+) .*\n--     read by +(.+)\n--     written by +(.+)\n", events
        )
    }
    used: dict[str, tuple[set[str], set[str]]] = {}
    for caller, body in db.execute(BODIES):
        for how, flag in re.findall(r"(current_setting|set_config)\('(supadesk\.\w+)'", body):
            found = used.setdefault(flag, (set(), set()))
            found[how == "set_config"].add(caller.partition("(")[0].removeprefix("desk_private."))
    assert used == listed
