"""The change rows of commits, as Delta's change data feed gives them.

Source: Delta protocol, "Change Data Files": a version's ``cdc`` actions, where it has any, are its change rows; else
its added files' rows are inserts and its removed files' rows deletes. A file that is removed and added again with
another vector changed in those rows alone in which the vectors differ; rows that a rewritten file carries over are
no change.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import polars as pl
import pyarrow as pa

from tablever.columns import refuse_taken
from tablever.datafiles import CHANGE_TYPE
from tablever.delta.actions import Action, Add, Remove
from tablever.delta.replay import identity
from tablever.difference import files_differ, net_difference
from tablever.errors import InvalidInputError, SchemaMismatchError
from tablever.frames import load, to_arrow, to_frame
from tablever.layout import table_schema
from tablever.log import Log
from tablever.model import ChangeFile, Metadata, Protocol, Snapshot
from tablever.scan import change_scan

COMMIT_VERSION = "_commit_version"
COMMIT_TIMESTAMP = "_commit_timestamp"


def change_rows(log: Log, first: int, last: int) -> pa.Table:
    """The change rows of the commits ``first`` to ``last``, both included.

    Returns:
        The columns of version ``last``, then ``_change_type`` (insert, delete, update_preimage, update_postimage),
        ``_commit_version`` and ``_commit_timestamp``; by commit, in the order in which each wrote them. Columns that
        a version did not have yet are null.

    Raises:
        InvalidInputError: ``first`` is after ``last``.
        VersionNotFoundError, VersionVacuumedError: a version, or the one before the first, is gone.
        SchemaMismatchError: a column has another type in the last version than in one before, or the name of one of
            those that say what changed.
    """
    if first > last:
        raise InvalidInputError(
            f"the changes of versions {first} to {last} of '{log.name}': the first comes after the last",
            hint=f"both are included: {last} to {first}",
        )
    schema = feed_schema(table_schema(log.snapshot(last).metadata))
    parts: list[pa.Table] = []
    after: Snapshot | None = None
    for entry in log.entries(range(first, last + 1)):
        after = _after(log, entry.number, entry.actions, after)
        parts += _of_version(log, after, entry.actions, schema)
    return pa.concat_tables(parts)


def feed_schema(columns: pa.Schema) -> pa.Schema:
    """A table's columns, and those that say what changed when. Raises SchemaMismatchError where it has one of these."""
    stamps = [
        pa.field(CHANGE_TYPE, pa.string()),
        pa.field(COMMIT_VERSION, pa.int64()),
        pa.field(COMMIT_TIMESTAMP, pa.timestamp("us", "UTC")),
    ]
    refuse_taken(columns.names, [field.name for field in stamps], "the change feed")
    return pa.schema([*(field.with_nullable(True) for field in columns), *stamps])


def _after(log: Log, number: int, actions: tuple[Action, ...], before: Snapshot | None) -> Snapshot:
    """A version; without its files where its commit wrote change rows under the settings before, which tell all."""
    told = any(isinstance(action, ChangeFile) for action in actions)
    if before is None or not told or any(isinstance(action, Metadata | Protocol) for action in actions):
        return log.snapshot(number)
    return replace(before, version=number, timestamp=log.version(number).timestamp, files=())


def _of_version(log: Log, after: Snapshot, actions: tuple[Action, ...], schema: pa.Schema) -> list[pa.Table]:
    files = [action for action in actions if isinstance(action, ChangeFile)]
    parts = [_read(log, after, files)] if files else _implied(log, after, actions)
    return [_stamped(rows, after.version, after.timestamp, schema) for rows in parts]


def _read(log: Log, after: Snapshot, files: list[ChangeFile]) -> pl.DataFrame:
    return load(change_scan(log, after, files, CHANGE_TYPE))


def _implied(log: Log, after: Snapshot, actions: tuple[Action, ...]) -> list[pl.DataFrame]:
    """What the version's adds and removes say by themselves."""
    added = [action.file for action in actions if isinstance(action, Add) and action.data_change]
    removed = {identity(action.file) for action in actions if isinstance(action, Remove) and action.data_change}
    if after.version == 0 or not removed:
        before, gone = after, []
    else:
        before = log.snapshot(after.version - 1)
        gone = [file for file in before.files if identity(file) in removed]
    difference = files_differ(log, before, gone, after, added)
    change = net_difference(difference, before, after, ())  # rows that a rewritten file carries over are no change
    return [
        difference.went[change.deleted].with_columns(pl.lit("delete").alias(CHANGE_TYPE)),
        difference.came[change.inserted].with_columns(pl.lit("insert").alias(CHANGE_TYPE)),
    ]


def _stamped(rows: pl.DataFrame, number: int, moment: datetime, schema: pa.Schema) -> pa.Table:
    types = to_frame(schema.empty_table()).schema
    for name, kind in rows.schema.items() if rows.height else ():
        if name in types and kind != types[name]:
            raise SchemaMismatchError(
                f"column '{name}' is {kind} in the changes of version {number} and {types[name]} in the last version",
                hint="ask for the changes before and after the column's type changed apart",
                column=name,
            )
    if not rows.height:
        return schema.empty_table()
    there = set(rows.columns)
    stamped = rows.with_columns(
        *(pl.lit(None, dtype=kind).alias(name) for name, kind in types.items() if name not in there),
    ).with_columns(
        pl.lit(number, dtype=pl.Int64).alias(COMMIT_VERSION),
        pl.lit(moment).cast(pl.Datetime("us", "UTC")).alias(COMMIT_TIMESTAMP),
    )
    return to_arrow(stamped, schema)
