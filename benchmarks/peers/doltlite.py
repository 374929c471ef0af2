"""DoltLite: SQLite's interface on Dolt's storage. A moment is microseconds, a truth value 0 or 1."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import doltlite  # noqa: F401 - makes itself the SQLite of this process
import pyarrow as pa

from benchmarks.peers.child import Call
from benchmarks.peers.common import AGGREGATE, STATE, counts, ids, lots

LIBRARIES = ("doltlite",)
COLUMNS = (
    "id INTEGER PRIMARY KEY, user_id INTEGER, source TEXT, label TEXT, score REAL, confidence REAL, created INTEGER, "
    "verified INTEGER, votes INTEGER, text TEXT"
)
NAMES = [column.split()[0] for column in COLUMNS.split(", ")]
INSERT = f"INSERT INTO t VALUES ({', '.join('?' * len(NAMES))})"
UPSERT = f"{INSERT} ON CONFLICT (id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in NAMES[1:])}"
DIFF = "SELECT sum(diff_type = 'added'), sum(diff_type = 'removed'), sum(diff_type = 'modified') FROM dolt_diff_t(?, ?)"


def create(table: Path, rows: str, **_: object) -> Sequence[Call]:
    """A table, its rows in transactions of 100,000, a commit."""

    def call() -> None:
        table.mkdir()
        connection = _open(table)
        connection.execute(f"CREATE TABLE t ({COLUMNS})")
        for lot in lots(rows, 100_000):
            _write(connection, INSERT, _tuples(lot))
        _commit(connection)

    return [call]


def append(table: Path, rows: str, each: int | None = None) -> Sequence[Call]:
    """INSERT and commit, again and again on one connection."""
    return _writes(table, INSERT, rows, each)


def upsert(table: Path, rows: str, each: int | None = None) -> Sequence[Call]:
    """INSERT … ON CONFLICT DO UPDATE, and commit."""
    return _writes(table, UPSERT, rows, each)


def delete(table: Path, keys: str) -> Sequence[Call]:
    """DELETE by key, and commit."""
    found = [(key,) for key in ids(keys)]

    def call() -> None:
        connection = _open(table)
        _write(connection, "DELETE FROM t WHERE id = ?", found)
        _commit(connection)

    return [call]


def delete_where(table: Path, where: str) -> Sequence[Call]:
    """DELETE by a predicate, and commit."""

    def call() -> None:
        connection = _open(table)
        connection.execute(f"DELETE FROM t WHERE {where}")
        _commit(connection)

    return [call]


def read(table: Path, version: str | None = None, columns: list[str] | None = None) -> Sequence[Call]:
    """SELECT, its tuples made a table of Arrow."""
    names = columns or NAMES
    source, given = ("t", ()) if version is None else ("dolt_at_t(?)", (version,))

    def call() -> pa.Table:
        found = _open(table).execute(f"SELECT {', '.join(names)} FROM {source}", given).fetchall()
        return pa.table(dict(zip(names, zip(*found, strict=True), strict=True)))

    return [call]


def aggregate(table: Path) -> Sequence[Call]:
    """SELECT of an aggregate."""

    def call() -> list[dict[str, Any]]:
        found = _open(table).execute(AGGREGATE.format("t")).fetchall()
        return [dict(zip(("source", "label", "n", "mean"), row, strict=True)) for row in found]

    return [call]


def diff(table: Path, older: str, newer: str) -> Sequence[Call]:
    """dolt_diff_t, counted."""

    def call() -> list[int]:
        found = _open(table).execute(DIFF, (older, newer)).fetchone()
        return counts(*(number or 0 for number in found))

    return [call]


def row_history(table: Path, rows: str, each: int) -> Sequence[Call]:
    """dolt_history_t of a key: the number of its texts."""
    key = lots(rows, each)[0]["id"][0].as_py()
    sql = "SELECT count(DISTINCT text) FROM dolt_history_t WHERE id = ?"
    return [lambda: _open(table).execute(sql, (key,)).fetchone()[0]]


def content_hash(table: Path) -> Sequence[Call]:
    """dolt_hashof_table: recorded, so nothing is computed."""
    return [lambda: _open(table).execute("SELECT dolt_hashof_table('t')").fetchone()[0]]


def log(table: Path) -> Sequence[Call]:
    """dolt_log: how many, but for the one that made the database."""
    return [lambda: _open(table).execute("SELECT count(*) - 1 FROM dolt_log").fetchone()[0]]


def head(table: Path) -> str:
    """The hash of the latest commit."""
    found: str = _open(table).execute("SELECT commit_hash FROM dolt_log LIMIT 1").fetchone()[0]
    return found


def state(table: Path) -> list[int]:
    """See ``state_of``."""
    return list(_open(table).execute(STATE.format("t")).fetchone())


def _writes(table: Path, sql: str, rows: str, each: int | None) -> Sequence[Call]:
    connection = _open(table)

    def call(found: list[tuple[Any, ...]]) -> None:
        _write(connection, sql, found)
        _commit(connection)

    return [partial(call, _tuples(lot)) for lot in lots(rows, each)]


def _open(table: Path) -> Any:
    import sqlite3

    return sqlite3.connect(table / "reviews.db", isolation_level=None)


def _write(connection: Any, sql: str, rows: list[tuple[Any, ...]]) -> None:
    connection.execute("BEGIN")
    connection.executemany(sql, rows)
    connection.execute("COMMIT")


def _commit(connection: Any) -> None:
    connection.execute("SELECT dolt_commit('-A', '-m', 'a change')").fetchone()


def _tuples(rows: pa.Table) -> list[tuple[Any, ...]]:
    created = rows.column_names.index("created")
    plain = rows.set_column(created, "created", rows["created"].cast(pa.int64()))
    return list(zip(*(column.to_pylist() for column in plain.columns), strict=True))
