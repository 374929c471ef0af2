"""DuckLake: DuckDB's extension, from its package, with a catalog in a DuckDB file; both in one folder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import duckdb_extension_ducklake
import pyarrow as pa

from benchmarks.peers.child import Call
from benchmarks.peers.common import AGGREGATE, STATE, counts, lots

LIBRARIES = ("duckdb", "duckdb-extension-ducklake")
_KEPT: dict[Path, Any] = {}  # a catalog can be opened once at a time
MERGE = "MERGE INTO t USING lot ON t.id = lot.id WHEN MATCHED THEN UPDATE WHEN NOT MATCHED THEN INSERT"
CHANGES = """
SELECT count(*) FILTER (change_type = 'insert'), count(*) FILTER (change_type = 'delete'),
    count(*) FILTER (change_type = 'update_postimage')
FROM (FROM ducklake_table_changes('lake', 'main', 't', {} + 1, {}))
"""


def create(table: Path, rows: str, **_: object) -> Sequence[Call]:
    """CREATE TABLE … AS FROM read_parquet."""

    def call() -> None:
        table.mkdir()
        _run(table, f"CREATE TABLE t AS FROM read_parquet('{rows}')")

    return [call]


def append(table: Path, rows: str, each: int | None = None) -> Sequence[Call]:
    """INSERT, again and again on one connection."""
    connection = _KEPT[table] = _open(table)

    def call(lot: pa.Table) -> None:
        connection.register("lot", lot)
        connection.execute("INSERT INTO t FROM lot")

    return [partial(call, lot) for lot in lots(rows, each)]


def upsert(table: Path, rows: str, each: int | None = None) -> Sequence[Call]:
    """MERGE by key."""
    return [partial(_run, table, MERGE, lot) for lot in lots(rows, each)]


def delete(table: Path, keys: str) -> Sequence[Call]:
    """DELETE of the keys in another table."""
    (lot,) = lots(keys, None)
    return [lambda: _run(table, "DELETE FROM t WHERE id IN (SELECT id FROM lot)", lot)]


def delete_where(table: Path, where: str) -> Sequence[Call]:
    """DELETE by a predicate."""
    return [lambda: _run(table, f"DELETE FROM t WHERE {where}")]


def read(table: Path, version: int | None = None, columns: list[str] | None = None) -> Sequence[Call]:
    """SELECT … AT (VERSION => …), to Arrow."""
    at = "" if version is None else f" AT (VERSION => {version})"
    return [lambda: _arrow(table, f"SELECT {', '.join(columns or ['*'])} FROM t{at}")]


def point(table: Path, key: int) -> Sequence[Call]:
    """SELECT of one key."""
    return [lambda: _arrow(table, f"FROM t WHERE id = {key}")]


def aggregate(table: Path) -> Sequence[Call]:
    """SELECT of an aggregate."""
    return [lambda: _arrow(table, AGGREGATE.format("t"))]


def diff(table: Path, older: int, newer: int) -> Sequence[Call]:
    """ducklake_table_changes of the commits between, counted: net only where no row changed twice."""
    return [lambda: counts(*_one(table, CHANGES.format(older, newer)))]


def log(table: Path) -> Sequence[Call]:
    """ducklake_snapshots: how many, but for the one that made the schema."""
    return [lambda: _one(table, "SELECT count(*) - 1 FROM ducklake_snapshots('lake')")[0]]


def head(table: Path) -> int:
    """The number of the latest snapshot."""
    return int(_one(table, "SELECT max(snapshot_id) FROM ducklake_snapshots('lake')")[0])


def state(table: Path) -> list[int]:
    """See ``state_of``."""
    if kept := _KEPT.pop(table, None):
        kept.close()
    return [int(number) for number in _one(table, STATE.format("t"))]


def _open(table: Path) -> Any:
    (package,) = duckdb_extension_ducklake.__path__
    extension = Path(package) / "extensions" / f"v{duckdb.__version__}" / "ducklake.duckdb_extension"
    connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    connection.execute(f"LOAD '{extension}'")
    connection.execute("SET timezone = 'UTC'")
    connection.execute(f"ATTACH 'ducklake:{table}/catalog.ducklake' AS lake (DATA_PATH '{table}/rows/')")
    connection.execute("USE lake")
    return connection


def _run(table: Path, sql: str, lot: pa.Table | None = None) -> None:
    with _open(table) as connection:
        if lot is not None:
            connection.register("lot", lot)
        connection.execute(sql)


def _arrow(table: Path, sql: str) -> pa.Table:
    with _open(table) as connection:
        return connection.execute(sql).fetch_arrow_table()


def _one(table: Path, sql: str) -> Any:
    with _open(table) as connection:
        return connection.execute(sql).fetchone()
