"""Pins each role's rights: every table, column grant and function of the catalog against one readable table."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from local.postgres import Database, DefaultPrivileges
from tests.database import Connection

# One line an object and role; what is not in this file is not allowed.
RIGHTS = Path(__file__).with_name("grants.txt")
ROLES = ("anon", "authenticated", "service_role")

TABLES = """
select 'table ' || c.relname,
  coalesce(string_agg(right_given, ' ' order by place), '-')
from pg_class c
left join lateral (
  select 1 as place, 'select' as right_given where has_table_privilege(%(role)s, c.oid, 'select')
  union all
  select 2, 'delete' where has_table_privilege(%(role)s, c.oid, 'delete')
  union all
  select 3, lower(p) from unnest(array['TRUNCATE', 'REFERENCES', 'TRIGGER', 'INSERT', 'UPDATE']) p
  where has_table_privilege(%(role)s, c.oid, p)
  union all
  select 4 + d.place, lower(d.p) || '(' || string_agg(a.attname, ' ' order by a.attnum) || ')'
  from (values (0, 'SELECT'), (1, 'INSERT'), (2, 'UPDATE'), (3, 'REFERENCES')) d (place, p), pg_attribute a
  where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    and not has_table_privilege(%(role)s, c.oid, d.p) and has_column_privilege(%(role)s, c.oid, a.attnum, d.p)
  group by d.place, d.p
) given on true
where c.relnamespace = 'desk'::regnamespace and c.relkind in ('r', 'v', 'm', 'p', 'f')
group by c.relname
"""
SEQUENCES = """
select 'sequence ' || c.relname, '-' from pg_class c
where c.relnamespace = 'desk'::regnamespace and c.relkind = 'S'
"""
FUNCTIONS = """
select case p.pronamespace when 'desk_private'::regnamespace then 'private ' else 'function ' end || p.proname, case when has_function_privilege(%(role)s, p.oid, 'execute') then 'execute' else '-' end
from pg_proc p
where p.pronamespace = 'desk'::regnamespace or (p.pronamespace = 'desk_private'::regnamespace and exists (
  select from unnest(array['anon', 'authenticated', 'service_role']) as r where has_function_privilege(r, p.oid, 'execute')))
"""

DatabaseWith = Callable[[DefaultPrivileges], AbstractContextManager[Database]]


@pytest.fixture(scope="module", params=["granted", "none"])
def either_db(request: pytest.FixtureRequest, database_with: DatabaseWith) -> Iterator[Connection]:
    """A migrated database, once with each style of default privileges that hosted projects have."""
    with database_with(request.param) as database, database.connect() as connection:
        yield connection


def written_down() -> list[str]:
    lines = RIGHTS.read_text().splitlines()
    return [line.rstrip() for line in lines if line and not line.startswith("#")]


def in_the_catalog(db: Connection) -> list[str]:
    found = [
        f"{name:<32} {role:<14} {right}"
        for role in ROLES
        for query in (TABLES, SEQUENCES, FUNCTIONS)
        for name, right in db.execute(query, {"role": role})
        if right != "-"
    ]
    return sorted(found)


def names(db: Connection, query: str) -> list[str]:
    return [name for (name,) in db.execute(query)]


def test_nobody_may_do_more_or_less_than_is_written_down(either_db: Connection) -> None:
    assert in_the_catalog(either_db) == written_down()


def test_no_table_of_the_private_schema_is_open_to_a_client(either_db: Connection) -> None:
    query = """
        select c.relname from pg_class c, unnest(array['anon', 'authenticated', 'service_role']) role,
          unnest(array['select', 'insert', 'update', 'delete']) p
        where c.relnamespace = 'desk_private'::regnamespace and c.relkind in ('r', 'v', 'm')
          and (has_table_privilege(role, c.oid, p) or (p <> 'delete' and has_any_column_privilege(role, c.oid, p)))
    """
    assert names(either_db, query) == []


def test_every_public_table_has_row_level_security_and_a_policy(db: Connection) -> None:
    query = """
        select c.relname from pg_class c
        where c.relnamespace = 'desk'::regnamespace and c.relkind in ('r', 'p')
          and (not c.relrowsecurity or not exists (select from pg_policy where polrelid = c.oid))
    """
    assert names(db, query) == []


def test_every_function_pins_its_search_path(db: Connection) -> None:
    query = """
        select p.oid::regprocedure::text from pg_proc p
        where p.pronamespace in ('desk'::regnamespace, 'desk_private'::regnamespace)
          and not coalesce('search_path=""' = any (p.proconfig), false)
    """
    assert names(db, query) == []


def test_public_functions_run_as_their_caller(db: Connection) -> None:
    query = "select proname from pg_proc where pronamespace = 'desk'::regnamespace and prosecdef"
    assert names(db, query) == []


def test_the_private_schema_is_not_exposed(rest: Any, agent: Any) -> None:
    answer = rest(agent).get("/settings", headers={"Accept-Profile": "desk_private"})
    assert answer.status_code == 406


def test_nothing_is_made_in_schemas_that_belong_to_the_platform(db: Connection) -> None:
    query = """
        select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname in ('auth', 'storage', 'realtime') and pg_get_userbyid(c.relowner) = 'postgres'
    """
    assert names(db, query) == []
