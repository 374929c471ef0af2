"""PyIceberg: a table of a catalog in SQLite, both in one folder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.expressions import EqualTo, In

from benchmarks.peers.child import Call
from benchmarks.peers.common import STATE_COLUMNS, aggregate_of, ids, lots, state_of

LIBRARIES = ("pyiceberg", "pyarrow")


def create(table: Path, rows: str, **_: object) -> Sequence[Call]:
    """A catalog, a table, and an append."""

    def call() -> None:
        table.mkdir()
        found = pq.read_table(rows)
        catalog = _catalog(table)
        catalog.create_namespace("space")
        catalog.create_table("space.reviews", schema=found.schema).append(found)

    return [call]


def append(table: Path, rows: str, each: int | None = None) -> Sequence[Call]:
    """Its append, again and again on one handle."""
    handle = _open(table)
    return [partial(handle.append, lot) for lot in lots(rows, each)]


def upsert(table: Path, rows: str, each: int | None = None) -> Sequence[Call]:
    """Its upsert by key: two snapshots."""

    def call(lot: Any) -> None:
        _open(table).upsert(lot, join_cols=["id"])

    return [partial(call, lot) for lot in lots(rows, each)]


def delete(table: Path, keys: str) -> Sequence[Call]:
    """Its delete of the keys in a list."""
    found = ids(keys)
    return [lambda: _open(table).delete(In("id", found))]


def delete_where(table: Path, where: str) -> Sequence[Call]:
    """Its delete by a predicate."""
    return [lambda: _open(table).delete(where)]


def read(table: Path, version: int | None = None, columns: list[str] | None = None) -> Sequence[Call]:
    """Scan to Arrow."""
    fields = tuple(columns or ["*"])
    return [lambda: _open(table).scan(snapshot_id=version, selected_fields=fields).to_arrow()]


def point(table: Path, key: int) -> Sequence[Call]:
    """Scan to Arrow, filtered."""
    return [lambda: _open(table).scan(row_filter=EqualTo("id", key)).to_arrow()]


def aggregate(table: Path) -> Sequence[Call]:
    """It has none: Arrow's, of a scan of three columns."""
    fields = ("source", "label", "score")
    return [lambda: aggregate_of(_open(table).scan(selected_fields=fields).to_arrow())]


def log(table: Path) -> Sequence[Call]:
    """Its snapshots: how many."""
    return [lambda: len(_open(table).snapshots())]


def head(table: Path) -> int:
    """The id of the current snapshot."""
    found: int = _open(table).current_snapshot().snapshot_id
    return found


def state(table: Path) -> list[int]:
    """See ``state_of``."""
    return state_of(_open(table).scan(selected_fields=tuple(STATE_COLUMNS)).to_arrow())


def _catalog(table: Path) -> Any:
    return SqlCatalog("benchmarks", uri=f"sqlite:///{table}/catalog.db", warehouse=f"file://{table}")


def _open(table: Path) -> Any:
    return _catalog(table).load_table("space.reviews")
