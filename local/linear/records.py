"""Stores the fake's rows: read from memory, written through to an SQLite file that outlives the process."""

import json
import sqlite3
from collections import defaultdict
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class Records:
    """Stores rows by kind and id; a row is replaced as a whole, never changed in place."""

    def __init__(self, path: Path | str) -> None:
        self._file = sqlite3.connect(path, isolation_level=None)
        # Without fsync a killed process still leaves a whole file; only a power cut could lose the last rows.
        self._file.executescript("pragma journal_mode = wal; pragma synchronous = off;")
        self._file.execute(
            "create table if not exists rows (kind text, id text, row text, primary key (kind, id))"
        )
        self._rows: defaultdict[str, dict[str, Row]] = defaultdict(dict)
        for kind, row_id, row in self._file.execute("select kind, id, row from rows order by rowid"):
            self._rows[kind][row_id] = json.loads(row)

    def find(self, kind: str, row_id: str | None) -> Row | None:
        """Returns the row with that id, if any."""
        return self._rows[kind].get(row_id or "")

    def all(self, kind: str) -> list[Row]:
        """Returns a kind's rows in the order of insertion."""
        return list(self._rows[kind].values())

    def where(self, kind: str, name: str, value: object) -> list[Row]:
        """Returns a kind's rows whose field has that value."""
        return [row for row in self._rows[kind].values() if row.get(name) == value]

    def put(self, kind: str, row: Row) -> Row:
        """Inserts or replaces a row."""
        upsert = "insert into rows values (?, ?, ?) on conflict do update set row = excluded.row"
        self._file.execute(upsert, (kind, row["id"], json.dumps(row)))
        self._rows[kind][row["id"]] = row
        return row

    def remove(self, kind: str, row_id: str) -> None:
        """Removes a row."""
        self._file.execute("delete from rows where kind = ? and id = ?", (kind, row_id))
        self._rows[kind].pop(row_id, None)

    def clear(self) -> None:
        """Removes every row."""
        self._file.execute("delete from rows")
        self._rows.clear()
