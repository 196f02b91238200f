"""The plans of what an RPC runs, each statement in it with its text, as auto_explain tells them."""

import json
from collections.abc import Mapping
from typing import Any

from psycopg import sql

from bench.figures import FOLDER
from local.people import Person
from local.postgres import SUPERUSER, Database

PLANS = FOLDER / "plans"
SETTINGS = {
    "log_min_duration": "0",
    "log_nested_statements": "on",
    "log_analyze": "on",
    "log_buffers": "on",
    "log_level": "notice",
}


def keep_plans(database: Database, name: str, role: str, person: Person | None, call: str) -> str:
    """Run `call` as that person under `role`, and write the plans to build/bench/plans/<name>.txt; returns them."""
    claims: Mapping[str, Any] = {"role": role} | ({"sub": str(person.id)} if person else {})
    told: list[str] = []
    with database.connect(SUPERUSER) as connection, connection.transaction():
        connection.execute("load 'auto_explain'")
        for setting, value in SETTINGS.items():
            connection.execute(f"set local auto_explain.{setting} = '{value}'")
        connection.execute("select set_config('request.jwt.claims', %s, true)", (json.dumps(claims),))
        connection.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
        connection.add_notice_handler(lambda notice: told.append(notice.message_primary or ""))
        connection.execute(call.encode())
    PLANS.mkdir(parents=True, exist_ok=True)
    text = "\n\n".join([call, *told])
    (PLANS / f"{name}.txt").write_text(text + "\n")
    return text
