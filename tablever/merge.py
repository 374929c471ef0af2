"""The keyed plan: rows of a table that an input's keys meet, and what makes a key valid."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress

import polars as pl
import pyarrow as pa

from tablever.changes import duplicated
from tablever.delta import partitions, ranges, stats
from tablever.errors import DuplicateKeyError, InvalidKeyError
from tablever.frames import find_keys
from tablever.layout import physical_name, table_schema
from tablever.log import Log
from tablever.model import DataFile, Snapshot
from tablever.scan import Scan, open_scan

SHOWN_KEYS = 5


def require_key(log: Log, head: Snapshot, verb: str) -> tuple[str, ...]:
    """The table's key.

    Raises:
        InvalidKeyError: it has none.
    """
    if not head.metadata.key:
        raise InvalidKeyError(
            f"cannot {verb} by key: '{log.name}' has no key", hint="set one first: set_key(table, 'column')"
        )
    return head.metadata.key


def check_keys(log: Log, rows: pl.DataFrame, key: Sequence[str]) -> None:
    """Refuse rows whose keys are null or not unique.

    Raises:
        InvalidKeyError: a key column holds nulls; ``rows`` says where, at most five.
        DuplicateKeyError: a key comes twice; ``keys`` holds up to five of them.
    """
    for name in key:
        if rows[name].null_count():
            at = rows[name].is_null().arg_true().head(SHOWN_KEYS).to_list()
            raise InvalidKeyError(
                f"key column '{name}' of '{log.name}' cannot hold nulls: found {rows[name].null_count()}, "
                f"first at row {', '.join(map(str, at))} (counted from 0)",
                hint="drop or fill those rows",
                column=name,
                rows=at,
            )
    twice = duplicated(rows, key)
    if twice.height:
        keys = show_keys(twice)
        raise DuplicateKeyError(
            f"keys come more than once in the rows for '{log.name}': {_listed(keys, twice.height)}",
            hint="keep one row of each key",
            keys=keys,
        )


def refuse_existing(log: Log, head: Snapshot, keys: pl.DataFrame) -> None:
    """Refuse to append keys that the table has.

    Raises:
        DuplicateKeyError: ``keys`` holds up to five of them.
    """
    scan = candidates(log, head, keys)
    if not scan.files:
        return
    known = find_keys(scan, keys, keys.columns)
    if known.height:
        shown = show_keys(known.select(keys.columns))
        raise DuplicateKeyError(
            f"'{log.name}' has keys of these rows already: {_listed(shown, known.height)}",
            hint="upsert replaces rows that are there",
            keys=shown,
        )


def show_keys(keys: pl.DataFrame) -> list[object]:
    """Up to five keys, for a message: values, or tuples of values."""
    rows = keys.head(SHOWN_KEYS).rows()
    return [row[0] if len(row) == 1 else row for row in rows]


def _listed(keys: list[object], count: int) -> str:
    shown = ", ".join(map(repr, keys))
    return f"{shown}, … ({count} in all)" if count > len(keys) else shown


def candidates(log: Log, head: Snapshot, keys: pl.DataFrame) -> Scan:
    """The files that may hold any of the keys, by their statistics and partition values."""
    return open_scan(log, head, prune(head, keys))


def prune(head: Snapshot, keys: pl.DataFrame) -> tuple[DataFile, ...]:
    """The files of a snapshot that may hold any of the keys (no nulls)."""
    files = head.files
    schema = table_schema(head.metadata)
    for column in keys.columns:
        name = physical_name(head.metadata, column)
        kind = schema.field(column).type
        if column in head.metadata.partition_columns:
            each = pl.Series(partitions.parse([file.partition_values.get(name) for file in files], kind))
            files = tuple(compress(files, each.is_in(keys[column].unique().implode()).fill_null(False)))
            continue
        if files is head.files and keys.height and pa.types.is_integer(kind):
            values = keys[column].to_numpy()
            files = ranges.overlapping(head, name, kind, int(values.min()), int(values.max()))
        if files:
            files = tuple(stats.may_hold(files, name, kind, keys[column].unique().sort().to_list()))
    return files
