"""The chapters of the store read in order: short lines, no forward references, named arguments, one map of triggers."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from deploy.local.migrations import apply_migrations
from deploy.local.part import ROOT
from deploy.local.postgres import Database

Connection = psycopg.Connection[Any]

CHAPTERS = sorted((ROOT / "deploy" / "supabase" / "migrations").glob("*.sql"))
MAX_COLUMNS = 100
MAX_POSITIONAL = 6

BODIES = """
select p.oid::regprocedure::text, regexp_replace(p.prosrc, '--[^\n]*', '', 'g') from pg_proc p
where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace)
"""
KNOWN = """
select p.pronamespace::regnamespace || '.' || p.proname || '(' from pg_proc p
where p.pronamespace in ('public'::regnamespace, 'private'::regnamespace)
union
select c.relnamespace::regnamespace || '.' || c.relname from pg_class c
where c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
"""
# The bits of pg_trigger.tgtype: 1 row, 2 before, 4 insert, 8 delete, 16 update.
TRIGGERS = """
select t.tgname, c.relname,
  case when t.tgtype & 2 > 0 then 'before ' else 'after ' end || concat_ws(' or ',
    case when t.tgtype & 4 > 0 then 'insert' end, case when t.tgtype & 16 > 0 then 'update' end,
    case when t.tgtype & 8 > 0 then 'delete' end),
  case when t.tgtype & 1 > 0 then 'row' else 'statement' end
from pg_trigger t join pg_class c on c.oid = t.tgrelid
where not t.tgisinternal and c.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
"""
TABLE = re.compile(r"--   on (\w+)")
TRIGGER = re.compile(r"--     (\w+) +((?:before|after) [a-z ]+?) +(row|statement) +(\w+)")


def title(chapter: Path) -> str:
    """The name of a chapter: `tickets` for 20261101000004_tickets.sql."""
    return chapter.stem.partition("_")[2]


def calls(body: str) -> Iterator[tuple[str, list[str]]]:
    """Finds every call of a function of ours, with its arguments as text."""
    for match in re.finditer(r"\b((?:private|public)\.\w+)\(", body):
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
            for name in re.findall(r"\b(?:private|public)\.\w+(?:\(|\b)", body)
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
