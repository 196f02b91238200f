"""Stores the plans of all statements inside an RPC, from auto_explain."""

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
    """Runs `call` as a person under `role`; writes its plans to build/bench/plans and returns them."""
    claims: Mapping[str, Any] = {"role": role} | ({"sub": str(person.id)} if person else {})
    notices: list[str] = []
    with database.connect(SUPERUSER) as connection, connection.transaction():
        connection.execute("load 'auto_explain'")
        for setting, value in SETTINGS.items():
            connection.execute(f"set local auto_explain.{setting} = '{value}'")
        connection.execute("select set_config('request.jwt.claims', %s, true)", (json.dumps(claims),))
        connection.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
        connection.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
        connection.execute(call.encode())
    PLANS.mkdir(parents=True, exist_ok=True)
    text = "\n\n".join([call, *notices])
    (PLANS / f"{name}.txt").write_text(text + "\n")
    return text
