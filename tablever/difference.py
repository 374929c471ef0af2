"""The rows in which two sets of logical files differ; what they have in common is not read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from tablever.changes import Net, net
from tablever.delta.replay import identity
from tablever.frames import batches_at, load
from tablever.layout import table_schema
from tablever.log import Log
from tablever.model import DataFile, Snapshot
from tablever.scan import Scan, only_in, open_scan


@dataclass(frozen=True)
class Difference:
    """Rows that are only in the first, and only in the second; equal rows in rewritten files are in both."""

    went: pl.DataFrame
    came: pl.DataFrame


def snapshots_differ(log: Log, first: Snapshot, second: Snapshot) -> Difference:
    """The rows in which two snapshots' files differ, each in its own snapshot's columns."""
    ours = {identity(file): file for file in first.files}
    theirs = {identity(file): file for file in second.files}
    removed = [file for name, file in ours.items() if name not in theirs]
    added = [file for name, file in theirs.items() if name not in ours]
    return files_differ(log, first, removed, second, added)


def files_differ(
    log: Log, first: Snapshot, removed: Sequence[DataFile], second: Snapshot, added: Sequence[DataFile]
) -> Difference:
    """The rows that go and come when logical files of one snapshot are replaced by those of another.

    Where a file stays and only its vector changes, just the rows in which the vectors differ are read.
    """
    before = open_scan(log, first, removed)
    after = open_scan(log, second, added)
    return Difference(_rows_only_in(before, after), _rows_only_in(after, before))


def _rows_only_in(scan: Scan, other: Scan) -> pl.DataFrame:
    """The live rows of a scan, but for those that live in the same physical file of the other."""
    elsewhere = {file.location: file.file for file in other.files}
    chosen = [only_in(scan.storage, file.file, elsewhere.get(file.location), file.rows) for file in scan.files]
    return pl.concat([scan_nothing(scan), *batches_at(scan, chosen, scan.schema.names)])


def scan_nothing(scan: Scan) -> pl.DataFrame:
    """No rows, in a scan's columns and types."""
    return load(Scan(scan.storage, scan.snapshot, ()))


def net_difference(difference: Difference, first: Snapshot, second: Snapshot, key: tuple[str, ...]) -> Net:
    """The net of a difference, by a key or as multisets.

    A column that only one side has counts as null on the other; a column retyped makes every row another.
    """
    left, right = table_schema(first.metadata), table_schema(second.metadata)
    old, new = left.names, set(right.names)
    retyped = any(right.field(n).type != left.field(n).type for n in old if n in new)
    went, came = difference.went, difference.came
    if retyped or not went.height or not came.height:
        nothing = np.empty(0, np.int64)
        return Net(np.arange(went.height), np.arange(came.height), nothing, nothing)
    columns = list(dict.fromkeys([*old, *right.names]))
    return net(_widened(went, came, columns), _widened(came, went, columns), columns, key)


def shared_key(first: Snapshot, second: Snapshot) -> tuple[str, ...]:
    """The key of both snapshots, empty where they have none in common."""
    return first.metadata.key if first.metadata.key == second.metadata.key else ()


def _widened(frame: pl.DataFrame, other: pl.DataFrame, columns: list[str]) -> pl.DataFrame:
    # No literals: a null of a map has no type that Polars 2.1 keeps.
    there = set(frame.columns)
    missing = [other[name].clear(frame.height) for name in columns if name not in there]
    return frame.with_columns(missing).select(columns)
