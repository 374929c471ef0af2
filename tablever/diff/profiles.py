"""Each column on both sides of a diff.

Side a is read once. What b costs follows from the changes: nothing for a column whose values are the same ones; their
counts alone where a has so few different values that all are counted; else b is read too, those columns only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow as pa

from tablever.diff.aggregates import Relation, Scanned, of_counted, relation, scan
from tablever.diff.counted import close
from tablever.diff.netting import Parts, images
from tablever.diff.sides import Scope, Side
from tablever.engine import identifier
from tablever.findings import ColumnStatistics, Profile
from tablever.frames import to_frame
from tablever.measures import is_discrete, is_number

# Beyond so many changed rows, reading b costs less than to set them against each other.
MOST_CHANGED = 1_000_000


def compare_profiles(left: Side, right: Side, scope: Scope, parts: Parts) -> tuple[ColumnStatistics, ...]:
    """The shown columns on both sides, in the order of ``scope.columns``.

    A side that is nothing has no profiles. Rows that are not committed count as the version they would make.

    Raises:
        VersionVacuumedError, CorruptionError, UnsupportedFeatureError: a file cannot be read.
        StorageError: no memory or disk is left.
    """
    before = {} if left.is_nothing else _types(scope, scope.before)
    after = {} if right.is_nothing else _types(scope, scope.after)
    with relation(left, scope.before) as rows:
        first = scan(rows, before, {})
    second = _without_reading(first, before, after, scope, parts)
    rest = {name: kind for name, kind in after.items() if name not in second}
    edges = {name: first[name].edges for name in rest if name in first and _alike(before[name], rest[name])}
    with _after(left, right, scope, parts) as rows:
        second |= scan(rows, rest, edges)
    found = []
    for name in scope.columns:
        kind = after[name] if name in after else before[name]
        was, now = first.get(name), second.get(name)
        if was is not None and now is not None and _alike(before[name], kind):
            profiles: tuple[Profile | None, Profile | None] = _together(was, now, discrete=is_discrete(kind))
        else:
            profiles = _alone(was, before.get(name, kind)), _alone(now, kind)
        unchanged = was is now and not parts.cells.get(name)
        found.append(ColumnStatistics(name, kind, *profiles, unchanged=unchanged))
    return tuple(found)


def _types(scope: Scope, schema: pa.Schema) -> dict[str, pa.DataType]:
    """A side's columns, in the type that holds both sides' values where there is one."""
    return {item.name: scope.types[item.name] or item.type for item in schema}


def _alike(one: pa.DataType, other: pa.DataType) -> bool:
    """Whether the measures of two types mean the same."""
    return bool(one == other or (is_number(one) and is_number(other)))


def _without_reading(
    first: Mapping[str, Scanned],
    before: Mapping[str, pa.DataType],
    after: Mapping[str, pa.DataType],
    scope: Scope,
    parts: Parts,
) -> dict[str, Scanned]:
    """What is known of b's columns from a's and the changes; rows within a tolerance are no changes, yet others."""
    if parts.added.num_rows + parts.removed.num_rows + parts.updated.num_rows > MOST_CHANGED:
        return {}
    moved = _moved(scope, parts)
    found = {}
    for name, was in first.items():
        if after.get(name) != before[name] or name in scope.tolerance:
            continue
        delta = _delta(moved[name], before[name])
        if not delta.height:
            found[name] = was
        elif was.counted is not None:
            found[name] = of_counted(was.counted.plus(delta.rows()), was.edges)
    return found


def _moved(scope: Scope, parts: Parts) -> dict[str, list[tuple[pa.ChunkedArray, int]]]:
    """For each column of both sides, the values that came (with 1) and went (with -1)."""
    shared = set(scope.before.names) & set(scope.after.names)
    moved = {name: [(parts.added.column(name), 1), (parts.removed.column(name), -1)] for name in shared}
    for image in images(scope):
        if image.column in shared:
            moved[image.column].append((parts.updated.column(image.name), 1 if image.came else -1))
    return moved


def _delta(moved: Sequence[tuple[pa.ChunkedArray, int]], kind: pa.DataType) -> pl.DataFrame:
    """How much more often each value occurs in b than in a: value and count, those left out that occur as often."""
    sides = [
        to_frame(pa.table({"value": values.cast(kind)})).with_columns(pl.lit(sign, dtype=pl.Int64).alias("sign"))
        for values, sign in moved
    ]
    counted = pl.concat(sides).group_by("value").agg(pl.col("sign").sum())
    return counted.filter(pl.col("sign") != 0)


def _alone(side: Scanned | None, kind: pa.DataType) -> Profile | None:
    """A side's profile, its histogram over edges of its own."""
    if side is None or side.low is None or side.high is None:
        return None if side is None else side.profile
    return replace(
        side.profile, bins=close(side.edges, [side.bins], side.low, side.high, discrete=is_discrete(kind))[0]
    )


def _together(first: Scanned, second: Scanned, *, discrete: bool) -> tuple[Profile, Profile]:
    """Both sides' profiles, their histograms over the same edges."""
    ends = [end for side in (first, second) for end in (side.low, side.high) if end is not None]
    if not ends:
        return first.profile, second.profile
    edges = first.edges if len(first.edges) else second.edges
    counts = [side.bins if len(side.edges) else np.zeros(len(edges) + 1, np.int64) for side in (first, second)]
    one, other = close(edges, counts, min(ends), max(ends), discrete=discrete)
    return replace(first.profile, bins=one), replace(second.profile, bins=other)


@contextmanager
def _after(left: Side, right: Side, scope: Scope, parts: Parts) -> Iterator[Relation]:
    """As ``relation``, of the right side; rows that are not committed stand upon the left's, as after an upsert."""
    if right.rows is None or left.snapshot is None:
        with relation(right, scope.after) as rows:
            yield rows
        return
    with relation(left, scope.before) as rows:
        key, names = scope.key, scope.after.names
        rows.register("__tv_added", parts.added)
        rows.register("__tv_updated", parts.updated)
        kept = _list(f"a.{identifier(name)}" if name in scope.before.names else "NULL" for name in names)
        after = {image.column: image.name for image in images(scope) if image.came}
        new = _list(identifier(after.get(name, name)) for name in names)
        same = " AND ".join(f"a.{identifier(name)} = u.{identifier(name)}" for name in key) or "false"
        unchanged = f"SELECT {kept} FROM ({rows.sql}) AS a WHERE NOT EXISTS (FROM __tv_updated AS u WHERE {same})"
        changed = [f"SELECT {new} FROM __tv_updated"] if key else []
        added = f"SELECT {_list(map(identifier, names))} FROM __tv_added"
        parted = "\nUNION ALL\n".join([unchanged, *changed, added])
        columns = _list(map(identifier, names))
        yield replace(rows, sql=f"SELECT * FROM ({parted}) AS b({columns})")


def _list(items: Iterable[str]) -> str:
    return ", ".join(items)
