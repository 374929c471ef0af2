"""ArcticDB on LMDB. Rows are pandas frames there; it deletes by time alone, and groups by one column."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from arcticdb import Arctic, QueryBuilder

from benchmarks.peers.child import Call
from benchmarks.peers.common import STATE_COLUMNS, lots, state_of

LIBRARIES = ("arcticdb", "pandas", "pyarrow")


def create(table: Path, rows: str, **_: object) -> Sequence[Call]:
    """Library.write."""
    return [lambda: _open(table).write("reviews", pq.read_table(rows).to_pandas())]


def append(table: Path, rows: str, each: int | None = None) -> Sequence[Call]:
    """Library.append, again and again on one handle."""
    handle = _open(table)
    return [partial(handle.append, "reviews", lot.to_pandas()) for lot in lots(rows, each)]


def upsert(table: Path, rows: str, each: int | None = None) -> Sequence[Call]:
    """Library.merge_experimental by key."""

    def call(lot: Any) -> None:
        _open(table).merge_experimental("reviews", lot, on=["id"])

    return [partial(call, lot.to_pandas()) for lot in lots(rows, each)]


def read(table: Path, version: int | None = None, columns: list[str] | None = None) -> Sequence[Call]:
    """Library.read, to Arrow."""
    return [lambda: _arrow(table, as_of=version, columns=columns)]


def point(table: Path, key: int) -> Sequence[Call]:
    """Library.read, filtered."""
    query = QueryBuilder()
    return [lambda: _arrow(table, query_builder=query[query["id"] == key])]


def log(table: Path) -> Sequence[Call]:
    """Library.list_versions: how many."""
    return [lambda: len(_open(table).list_versions("reviews"))]


def head(table: Path) -> int:
    """The number of the latest version."""
    return max(int(key.version) for key in _open(table).list_versions("reviews"))


def state(table: Path) -> list[int]:
    """See ``state_of``."""
    return state_of(_arrow(table, columns=STATE_COLUMNS))


def _open(table: Path) -> Any:
    return Arctic(f"lmdb://{table}").get_library("benchmarks", create_if_missing=True)


def _arrow(table: Path, **options: Any) -> pa.Table:
    return _open(table).read("reviews", output_format="pyarrow", **options).data
