"""Changes by group: how many rows each group of rows has, and how many of them changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import pyarrow as pa

from tablever.columns import unknown_column
from tablever.diff.aggregates import relation
from tablever.diff.netting import Parts, images
from tablever.diff.sides import Scope, Side
from tablever.engine import identifier
from tablever.errors import InvalidInputError
from tablever.findings import Segment, Segments
from tablever.frames import to_frame
from tablever.texts import listed

MOST_GROUPS = 1_000

_COUNTS = ("rows", "added", "removed", "updated")


def count_segments(left: Side, right: Side, scope: Scope, parts: Parts, by: Sequence[str]) -> Segments:
    """Rows and changed rows of each group: those of the left side, and those that came.

    An updated row counts in the group that it was in. Null is a group; a column that a side lacks is null there. At
    most 1,000 groups, those with the most changed rows, then the most rows, first; the others are summed.

    Args:
        by: columns that the comparison shows.

    Raises:
        InvalidInputError: no column, one twice, or one that is retyped or not shown.
        SchemaMismatchError: neither side has such a column.
        VersionVacuumedError, CorruptionError, UnsupportedFeatureError: a file cannot be read.
        StorageError: no memory or disk is left.
    """
    kinds = _types(left, right, scope, by)
    group = _names(by)
    before = {image.column: image.name for image in images(scope) if not image.came}
    counted = [
        _before(left, scope, by, kinds),
        _groups(parts.added, by, kinds, rows=1, added=1),
        _groups(parts.removed, list(by), kinds, removed=1),
        _groups(parts.updated, [before.get(name, name) for name in by], kinds, updated=1),
    ]
    changed = (pl.col("added") + pl.col("removed") + pl.col("updated")).alias("changed")
    found = (
        pl.concat(counted)
        .group_by(group)
        .agg(pl.col(_COUNTS).sum())
        .with_columns(changed)
        .sort(["changed", "rows", *group], descending=[True, True, *([False] * len(group))], nulls_last=True)
    )
    total = found.select(pl.col(*_COUNTS, "changed").sum()).row(0, named=True)
    shown, rest = found.head(MOST_GROUPS), found.slice(MOST_GROUPS)
    others = rest.select(pl.col(*_COUNTS, "changed").sum()).row(0, named=True)
    return Segments(
        by=tuple(by),
        groups=tuple(_segment(row, total, tuple(row[name] for name in group)) for row in shown.iter_rows(named=True)),
        other=_segment(others, total, ()) if rest.height else None,
        others=rest.height,
    )


def _types(left: Side, right: Side, scope: Scope, by: Sequence[str]) -> list[pa.DataType]:
    """The type in which each column groups both sides' rows."""
    if isinstance(by, str) or not by or len(set(by)) < len(by):
        raise InvalidInputError(f"by must be a list of different columns, not {by!r}", hint='by=["source"]')
    either = list(dict.fromkeys(n for side in (right, left) if side.schema is not None for n in side.schema.names))
    for name in by:
        if name not in either:
            raise unknown_column(name, either, f"by names '{name}', which neither side has")
        if name not in scope.columns:
            raise InvalidInputError(
                f"changes cannot be counted by '{name}', which is not compared: {listed(scope.columns)} are",
                hint=f"add '{name}' to columns=, or leave it out of exclude=",
                column=name,
            )
        kind = scope.types[name]
        if kind is None or pa.types.is_nested(kind):
            raise InvalidInputError(
                f"changes cannot be counted by '{name}': "
                + ("its types on the two sides have none in common" if kind is None else f"its type is {kind}"),
                hint="group by a column of one simple type",
                column=name,
            )
    return [scope.types[name] for name in by]


def _before(left: Side, scope: Scope, by: Sequence[str], kinds: Sequence[pa.DataType]) -> pl.DataFrame:
    """Rows of the left side by group."""
    if left.is_nothing:
        return _groups(pa.table({}), by, kinds)
    there = [identifier(name) if name in scope.before.names else "NULL" for name in by]
    columns = ", ".join(f"{column} AS {name}" for column, name in zip(there, _names(by), strict=True))
    with relation(left, scope.before) as rows:
        counted = rows.rows(f"SELECT {columns}, count(*) AS rows FROM ({rows.sql}) GROUP BY ALL")
    groups = [counted.column(name).cast(kind) for name, kind in zip(_names(by), kinds, strict=True)]
    counts = [counted.column("rows"), *([pa.array([0] * counted.num_rows, pa.int64())] * (len(_COUNTS) - 1))]
    return to_frame(pa.table([*groups, *counts], [*_names(by), *_COUNTS]))


def _groups(part: pa.Table, columns: Sequence[str], kinds: Sequence[pa.DataType], **counts: int) -> pl.DataFrame:
    """Changed rows by group, each row with these counts; a column that they lack is null."""
    values = [
        part.column(name).cast(kind) if name in part.column_names else pa.nulls(part.num_rows, kind)
        for name, kind in zip(columns, kinds, strict=True)
    ]
    frame = to_frame(pa.table(values, _names(columns)))
    each = [(pl.len().cast(pl.Int64) * counts.get(name, 0)).alias(name) for name in _COUNTS]
    return frame.group_by(_names(columns)).agg(each)


def _names(by: Sequence[str]) -> list[str]:
    return [f"g{i}" for i in range(len(by))]


def _segment(counts: Mapping[str, int], total: Mapping[str, int], group: tuple[Any, ...]) -> Segment:
    possible = counts["rows"] and total["changed"]
    share = counts["changed"] / counts["rows"] if possible else 0.0
    return Segment(
        group=group,
        rows=counts["rows"],
        changed=counts["changed"],
        added=counts["added"],
        removed=counts["removed"],
        updated=counts["updated"],
        lift=share * total["rows"] / total["changed"] if possible else None,
    )
