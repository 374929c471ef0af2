"""A comparison of two states in plain Python, and a diff in its words: what the tests of the diff compare with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

import tablever as tv
from tablever import errors
from tablever.diff import planner
from tablever.diff.value import Diff
from tests.model import Column, State, canonical, microseconds
from tests.strategies import INTEGERS

WAYS = (None, "changes", "snapshots")


@dataclass(frozen=True)
class Naive:
    """What two states differ in, by looking at every row of both."""

    added: Counter[Hashable]
    removed: Counter[Hashable]
    updated: Counter[Hashable]
    cells: dict[str, int]


def naive(before: State, after: State, key: Sequence[str], compared: Sequence[str]) -> Naive:
    """Compare all rows of both: by key where it is single on either side, as multisets otherwise."""
    old, new = ([(value(row, state, before, after, compared), row) for row in state.rows] for state in (before, after))
    common = Counter(v for v, _ in old) & Counter(v for v, _ in new)
    went, came = left_over(old, common), left_over(new, common)
    pairs = []
    if key:
        names = [[key_of(v, key) for v, _ in side] for side in (went, came)]
        counts = [Counter(side) for side in names]
        single = {k for k in counts[0] if counts[0][k] == 1 == counts[1][k] and None not in dict(k).values()}
        olds, news = (dict(zip(n, side, strict=True)) for n, side in zip(names, (went, came), strict=True))
        pairs = [(olds[k], news[k]) for k in single]
        went = [pair for k, pair in zip(names[0], went, strict=True) if k not in single]
        came = [pair for k, pair in zip(names[1], came, strict=True) if k not in single]
    cells: Counter[str] = Counter()
    for (a, _), (b, _) in pairs:
        cells.update(name for name in compared if dict(a)[name] != dict(b)[name])
    updated = Counter((a, b) for (a, _), (b, _) in pairs)
    return Naive(Counter(v for v, _ in came), Counter(v for v, _ in went), updated, dict(cells))


def left_over(rows: list[tuple[Any, Any]], common: Counter[Any]) -> list[tuple[Any, Any]]:
    """The rows without those in common, as often."""
    due, rest = Counter(common), []
    for pair in rows:
        if due[pair[0]] > 0:
            due[pair[0]] -= 1
        else:
            rest.append(pair)
    return rest


def key_of(row: Any, key: Sequence[str]) -> Hashable:
    return tuple((name, cell) for name, cell in row if name in key)


def value(row: Mapping[str, Any], state: State, before: State, after: State, compared: Sequence[str]) -> Hashable:
    """The compared columns of a row, so that equal values are equal; those that cannot be compared name their side."""
    cells: list[tuple[str, Hashable]] = []
    for name in compared:
        kinds = [s.column(name).type for s in (before, after) if name in {c.name for c in s.columns}]
        cell = row.get(name) if name in {c.name for c in state.columns} else None
        if cell is None:
            cells.append((name, None))
        elif len({str(kind) for kind in kinds}) == 1:
            cells.append((name, canonical(cell, kinds[0])))
        elif comparable(*kinds):
            own = state.column(name).type
            is_time = pa.types.is_date(own) or pa.types.is_timestamp(own)
            cells.append((name, instant(cell) if is_time else canonical(cell, own)))
        else:
            cells.append((name, (state is after, canonical(cell, state.column(name).type))))
    return tuple(cells)


def instant(cell: Any) -> int:
    return microseconds(cell if isinstance(cell, datetime) else datetime(cell.year, cell.month, cell.day, tzinfo=UTC))


def comparable(left: pa.DataType, right: pa.DataType) -> bool:
    """Whether one exact type holds both; of the types that the tests use."""
    digits = {pa.int8(): 3, pa.int16(): 5, pa.int32(): 10, pa.int64(): 19}
    pair = [left, right]
    if all(kind in INTEGERS for kind in pair):
        return True
    if all(pa.types.is_floating(kind) or kind in (pa.int8(), pa.int16(), pa.int32()) for kind in pair):
        return True
    if all(pa.types.is_decimal(kind) or kind in INTEGERS for kind in pair):
        shapes = [(digits[kind], 0) if kind in digits else (kind.precision, kind.scale) for kind in pair]
        return max(p - s for p, s in shapes) + max(s for _, s in shapes) <= 38
    return {str(kind) for kind in pair} == {"date32[day]", "timestamp[us]"}


def found(diff: Diff, before: State, after: State) -> Naive:
    """A diff's parts in the words of the naive comparison."""
    compared = diff.scope.compared
    added = [value(row, after, before, after, compared) for row in diff.added.to_pylist()]
    removed = [value(row, before, before, after, compared) for row in diff.removed.to_pylist()]
    updated = []
    for row in diff.updated.to_pylist():
        key = {name: row[name] for name in diff.key}
        images = [
            {**key, **{c.name: row[word + c.name] for c in state.columns if word + c.name in row}}
            for word, state in (("from_", before), ("to_", after))
        ]
        updated.append(
            (value(images[0], before, before, after, compared), value(images[1], after, before, after, compared))
        )
    return Naive(Counter(added), Counter(removed), Counter(updated), dict(diff.summary.cells))


def by_way(diff: Diff, way: Any) -> Diff | None:
    """The same diff computed in one way; None where that is not allowed."""
    other = Diff(diff.left, diff.right, diff.scope)
    try:
        other.__dict__["_reading"] = planner.plan_reading(diff.left, diff.right, diff.scope, way=way)
    except errors.InvalidInputError:
        return None
    return other


def assert_right(diff: Diff, before: State, after: State) -> list[str]:
    """Every way to the diff, and back, gives what looking at all rows gives; the ways that were allowed."""
    expected = naive(before, after, diff.key, diff.scope.compared)
    allowed = []
    for way in WAYS:
        one = by_way(diff, way)
        if one is None:
            continue
        allowed.append(str(way))
        got = found(one, before, after)
        for name in ("added", "removed", "updated", "cells"):
            theirs, ours = (Counter(getattr(side, name)) for side in (got, expected))
            assert theirs == ours, f"{way}, {name}: too many {theirs - ours}, missing {ours - theirs}; {one.plan.why}"
        assert one.summary.rows_after is None or one.summary.rows_after == len(after.rows)
        assert one.changes().read_all().num_rows == one.summary.changed + one.summary.updated
        if diff.key:
            assert one.cells.num_rows == sum(one.summary.cells.values())
        at_most = one.plan.at_most_rows
        assert at_most is None or one.summary.changed + one.summary.updated <= at_most
    return allowed


def state_of(table: Any, version: int) -> State:
    """A version as it reads."""
    rows = tv.read_version(table, version)
    return State(tuple(Column(f.name, f.type) for f in rows.schema), (), tuple(rows.to_pylist()))
