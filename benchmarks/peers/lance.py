"""Lance: datasets whose versions are manifests, with deletion files and fragments."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.peers.child import Call
from benchmarks.peers.common import AGGREGATE, STATE_COLUMNS, counts, is_in, lots, state_of

LIBRARIES = ("pylance", "pyarrow")


def create(table: Path, rows: str, *, tracked: bool = False, **_: object) -> Sequence[Call]:
    """write_dataset; ``tracked``: with stable row ids, without which it tells no changes."""
    return [lambda: lance.write_dataset(pq.read_table(rows), str(table), enable_stable_row_ids=tracked)]


def append(table: Path, rows: str, each: int | None = None) -> Sequence[Call]:
    """LanceDataset.insert, again and again on one handle."""
    handle = lance.dataset(str(table))
    return [partial(handle.insert, lot) for lot in lots(rows, each)]


def upsert(table: Path, rows: str, each: int | None = None) -> Sequence[Call]:
    """merge_insert by key."""

    def merge(lot: pa.Table) -> None:
        merger = lance.dataset(str(table)).merge_insert("id")
        merger.when_matched_update_all().when_not_matched_insert_all().execute(lot)

    return [partial(merge, lot) for lot in lots(rows, each)]


def delete(table: Path, keys: str) -> Sequence[Call]:
    """Its delete of the keys in a list."""
    predicate = is_in(keys)
    return [lambda: lance.dataset(str(table)).delete(predicate)]


def delete_where(table: Path, where: str) -> Sequence[Call]:
    """Its delete by a predicate."""
    return [lambda: lance.dataset(str(table)).delete(where)]


def read(table: Path, version: int | None = None, columns: list[str] | None = None) -> Sequence[Call]:
    """LanceDataset.to_table."""
    return [lambda: lance.dataset(str(table), version=version).to_table(columns=columns)]


def point(table: Path, key: int) -> Sequence[Call]:
    """to_table, filtered."""
    return [lambda: lance.dataset(str(table)).to_table(filter=f"id = {key}")]


def aggregate(table: Path) -> Sequence[Call]:
    """Its SQL."""

    def call() -> pa.Table:
        query = lance.dataset(str(table)).sql(AGGREGATE.format("dataset")).build()
        return pa.Table.from_batches(query.to_batch_records())

    return [call]


def diff(table: Path, older: int, newer: int) -> Sequence[Call]:
    """The rows that LanceDataset.delta gives: inserted and updated whole, deleted by row id."""

    def call() -> list[int]:
        delta = lance.dataset(str(table), version=newer).delta(begin_version=older, end_version=newer)
        inserted, updated = delta.get_inserted_rows().read_all(), delta.get_updated_rows().read_all()
        return counts(inserted.num_rows, _number(delta.get_deleted_row_ids()), updated.num_rows)

    return [call]


def open_number(table: Path, number: int) -> Sequence[Call]:
    """A dataset of a version by number; its first is 1."""
    return [lambda: str(lance.dataset(str(table), version=number + 1).version)]


def log(table: Path) -> Sequence[Call]:
    """LanceDataset.versions: how many."""
    return [lambda: len(lance.dataset(str(table)).versions())]


def head(table: Path) -> int:
    """The number of the latest version."""
    found: int = lance.dataset(str(table)).version
    return found


def state(table: Path) -> list[int]:
    """See ``state_of``."""
    return state_of(lance.dataset(str(table)).to_table(columns=STATE_COLUMNS))


def _number(found: Any) -> int:
    rows = found.read_all() if hasattr(found, "read_all") else found
    return int(rows.num_rows) if hasattr(rows, "num_rows") else len(rows)
