"""deltalake: another writer and reader of Delta tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import deltalake
import polars as pl
import pyarrow.parquet as pq
from deltalake import DeltaTable, QueryBuilder

from benchmarks.peers.child import Call
from benchmarks.peers.common import AGGREGATE, STATE_COLUMNS, is_in, lots, state_of

LIBRARIES = ("deltalake", "polars")


def create(table: Path, rows: str, **_: object) -> Sequence[Call]:
    """write_deltalake, from a Parquet file."""
    return [lambda: deltalake.write_deltalake(str(table), pq.read_table(rows))]


def append(table: Path, rows: str, each: int | None = None) -> Sequence[Call]:
    """Its append, again and again on one handle."""
    handle = DeltaTable(str(table))
    return [partial(deltalake.write_deltalake, handle, lot, mode="append") for lot in lots(rows, each)]


def upsert(table: Path, rows: str, each: int | None = None) -> Sequence[Call]:
    """Its merge by key."""

    def merge(lot: object) -> None:
        merger = DeltaTable(str(table)).merge(lot, "t.id = s.id", source_alias="s", target_alias="t")  # type: ignore[arg-type]
        merger.when_matched_update_all().when_not_matched_insert_all().execute()

    return [partial(merge, lot) for lot in lots(rows, each)]


def delete(table: Path, keys: str) -> Sequence[Call]:
    """Its delete of the keys in a list."""
    predicate = is_in(keys)
    return [lambda: DeltaTable(str(table)).delete(predicate)]


def delete_where(table: Path, where: str) -> Sequence[Call]:
    """Its delete by a predicate."""
    return [lambda: DeltaTable(str(table)).delete(where)]


def overwrite(table: Path, rows: str) -> Sequence[Call]:
    """write_deltalake: all files anew."""
    return [lambda: deltalake.write_deltalake(str(table), pq.read_table(rows), mode="overwrite")]


def read(table: Path, version: int | None = None, columns: list[str] | None = None) -> Sequence[Call]:
    """DeltaTable.to_pyarrow_table."""
    return [lambda: DeltaTable(str(table), version=version).to_pyarrow_table(columns=columns)]


def scan_delta(table: Path, version: int | None = None, columns: list[str] | None = None) -> Sequence[Call]:
    """polars.scan_delta, collected to Arrow."""

    def call() -> object:
        frame = pl.scan_delta(str(table), version=version)
        return (frame.select(columns) if columns else frame).collect().to_arrow()

    return [call]


def scan_delta_point(table: Path, key: int) -> Sequence[Call]:
    """polars.scan_delta, one key."""
    return [lambda: pl.scan_delta(str(table)).filter(pl.col("id") == key).collect().to_arrow()]


def aggregate(table: Path) -> Sequence[Call]:
    """Its QueryBuilder: DataFusion's SQL."""

    def call() -> object:
        return QueryBuilder().register("t", DeltaTable(str(table))).execute(AGGREGATE.format("t")).read_all()

    return [lambda: _pyarrow(call())]


def open_number(table: Path, number: int) -> Sequence[Call]:
    """DeltaTable of a version by number."""
    return [lambda: str(DeltaTable(str(table), version=number).version())]


def open_time(table: Path, number: int) -> Sequence[Call]:
    """DeltaTable of a version by a moment just after it."""
    when = _when(table, number)

    def call() -> object:
        handle = DeltaTable(str(table))
        handle.load_as_version(when)
        return handle.version()

    return [call]


resolve_time = open_time


def log(table: Path) -> Sequence[Call]:
    """DeltaTable.history: how many."""
    return [lambda: len(DeltaTable(str(table)).history())]


def head(table: Path) -> int:
    """The number of the latest version."""
    return DeltaTable(str(table)).version()


def state(table: Path) -> list[int]:
    """See ``state_of``."""
    return state_of(DeltaTable(str(table)).to_pyarrow_table(columns=STATE_COLUMNS))


def _when(table: Path, number: int) -> datetime:
    entry = (table / "_delta_log" / f"{number:020d}.json").stat()
    return datetime.fromtimestamp(round(entry.st_mtime, 3), UTC) + timedelta(milliseconds=1)


def _pyarrow(found: object) -> object:
    import pyarrow as pa

    return pa.table(found)
