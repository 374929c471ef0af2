"""tablever, by its public functions."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

import tablever as tv
from benchmarks.peers.child import Call
from benchmarks.peers.common import AGGREGATE, STATE_COLUMNS, counts, lots, state_of

LIBRARIES = ("deltalake", "duckdb", "polars", "pyarrow")
for library in LIBRARIES:  # as other scripts load theirs; tablever would in its first call
    importlib.import_module(library)
for function in tv.__all__:  # and as `import deltalake` loads all of deltalake
    getattr(tv, function)


def create(table: Path, rows: str, **_: object) -> Sequence[Call]:
    """tv.create_table, from a Parquet file."""
    return [lambda: tv.create_table(str(table), pq.read_table(rows), key="id")]


def append(table: Path, rows: str, each: int | None = None) -> Sequence[Call]:
    """tv.append, again and again on one handle."""
    handle = tv.open_table(str(table))
    return [partial(tv.append, handle, lot) for lot in lots(rows, each)]


def upsert(table: Path, rows: str, each: int | None = None) -> Sequence[Call]:
    """tv.upsert: change rows by key."""
    return [partial(tv.upsert, str(table), lot) for lot in lots(rows, each)]


def delete(table: Path, keys: str) -> Sequence[Call]:
    """tv.delete: remove rows by key."""
    found = pq.read_table(keys)
    return [lambda: tv.delete(str(table), keys=found)]


def delete_where(table: Path, where: str) -> Sequence[Call]:
    """tv.delete: remove rows by a predicate."""
    return [lambda: tv.delete(str(table), where=where)]


def overwrite(table: Path, rows: str) -> Sequence[Call]:
    """tv.overwrite: keyed, it commits what differs."""
    return [lambda: tv.overwrite(str(table), pq.read_table(rows))]


def compact(table: Path) -> Sequence[Call]:
    """tv.compact, files with few deleted rows included."""
    return [lambda: tv.compact(str(table), deleted=0.001)]


def read(table: Path, version: int | None = None, columns: list[str] | None = None) -> Sequence[Call]:
    """tv.read_version."""
    ref = "latest" if version is None else version
    return [lambda: tv.read_version(str(table), ref, columns=columns)]


def point(table: Path, key: int) -> Sequence[Call]:
    """tv.read_version of one key."""
    return [lambda: tv.read_version(str(table), where=f"id = {key}")]


def aggregate(table: Path) -> Sequence[Call]:
    """tv.query: an aggregate over all rows."""
    return [lambda: tv.query(AGGREGATE.format("reviews"), tables={"reviews": tv.open_table(str(table))})]


def diff(table: Path, older: int, newer: int, key: str | None = None) -> Sequence[Call]:
    """tv.diff_versions, all changed rows as Arrow."""

    def call() -> list[int]:
        found = tv.diff_versions(str(table), older, newer, key=key)
        return counts(found.added.num_rows, found.removed.num_rows, found.updated.num_rows)

    return [call]


def diff_summary(table: Path, older: int, newer: int) -> Sequence[Call]:
    """tv.diff_versions, in numbers alone, as full joins are asked."""

    def call() -> list[int]:
        found = tv.diff_versions(str(table), older, newer).summary
        return counts(found.added, found.removed, found.updated)

    return [call]


def statistics(table: Path, older: int, newer: int) -> Sequence[Call]:
    """Diff.statistics: every column on both sides."""
    return [lambda: tv.diff_versions(str(table), older, newer).statistics]


def row_history(table: Path, rows: str, each: int) -> Sequence[Call]:
    """tv.row_history of a key that the first lot of rows corrected: the number of its versions."""
    key = lots(rows, each)[0]["id"][0].as_py()
    return [lambda: len(tv.row_history(str(table), key))]


def changes_of_row(table: Path, rows: str, each: int) -> Sequence[Call]:
    """The change rows of every commit, and those of the key among them."""
    key = lots(rows, each)[0]["id"][0].as_py()
    feed = f"table_changes('t', 0, 'latest') WHERE id = {key} AND _change_type NOT LIKE '%_preimage'"

    def call() -> Any:
        return tv.query(f"SELECT count(*) FROM {feed}", tables={"t": str(table)}).column(0)[0].as_py()

    return [call]


def hash_rows(table: Path, rows: str) -> Sequence[Call]:  # noqa: ARG001 - every task is given the table
    """tv.content_hash_of: rows in memory."""
    found = pq.read_table(rows)
    return [lambda: str(tv.content_hash_of(found))]


def hash_files(table: Path) -> Sequence[Call]:
    """tv.content_hash of a version that another tool wrote, for the first time: every row is read."""
    return [lambda: tv.content_hash(str(table))]


def open_number(table: Path, number: int) -> Sequence[Call]:
    """tv.scan_version of a version by number: ready to collect."""
    return [lambda: tv.scan_version(str(table), number)]


def open_time(table: Path, number: int) -> Sequence[Call]:
    """tv.scan_version of a version by a moment just after it."""
    when = _when(table, number)
    return [lambda: tv.scan_version(str(table), when)]


def resolve_time(table: Path, number: int) -> Sequence[Call]:
    """tv.resolve_version: which version was the newest just after that one; its number."""
    when = _when(table, number)
    return [lambda: tv.resolve_version(str(table), when).number]


def log(table: Path) -> Sequence[Call]:
    """tv.list_versions: how many."""
    return [lambda: len(tv.list_versions(str(table)))]


def command(table: Path, arguments: list[str]) -> Sequence[Call]:
    """The shell's command, a whole process of it."""
    words = [sys.executable, "-m", "tablever", *(word.format(table=table) for word in arguments)]
    return [lambda: subprocess.run(words, check=True, capture_output=True).returncode]


def head(table: Path) -> int:
    """The number of the latest version."""
    return tv.resolve_version(str(table), "latest").number


def state(table: Path) -> list[int]:
    """See ``state_of``."""
    return state_of(tv.read_version(str(table), columns=STATE_COLUMNS))


def _when(table: Path, number: int) -> datetime:
    """Read from the log's files, so that the process that is measured has not listed the versions before."""
    entry = (table / "_delta_log" / f"{number:020d}.json").stat()
    return datetime.fromtimestamp(round(entry.st_mtime, 3), UTC) + timedelta(microseconds=500)
