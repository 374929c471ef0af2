"""The algebra of changes: what is left when rows that went and rows that came are set against each other.

``Net`` says it as indices into two frames, for writers. ``Changes`` is the value: two multisets of rows that have
nothing in common. For rows ``a``, ``b``, ``c`` and changes ``x``, ``y``, ``z`` over the same columns:

    apply(a, between(a, b)) = b                             between(a, a) is empty
    invert(between(a, b)) = between(b, a)                   invert(invert(x)) = x
    compose(between(a, b), between(b, c)) = between(a, c)   compose(compose(x, y), z) = compose(x, compose(y, z))
    compose(x, invert(x)) is empty                          compose(x, empty) = x

A key only gives names to pairs: composing need not know what an update is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from tablever.errors import ConflictError, InvalidInputError
from tablever.model import EMPTY
from tablever.rows import differs

Indices = np.ndarray[tuple[int], np.dtype[np.int64]]

_ROW = "__tv_index"
_SIDE = "__tv_side"
_WENT, _CAME, _BOTH = "__tv_went", "__tv_came", "__tv_both"


@dataclass(frozen=True)
class Net:
    """The net of some rows that went and some that came, as indices into the two frames, each ascending.

    Attributes:
        deleted: rows that went, with nothing in their place.
        inserted: rows that came, in nothing's place.
        before, after: of equal length; row ``before[i]`` became ``after[i]``, with the same key and other values.
            Ascending in ``after``. Empty without a key.
    """

    deleted: Indices
    inserted: Indices
    before: Indices
    after: Indices

    @property
    def rows_added(self) -> int:
        """Rows that are in the table and were not, updated ones included."""
        return len(self.inserted) + len(self.after)

    @property
    def rows_removed(self) -> int:
        """Rows that were in the table and are not, updated ones included."""
        return len(self.deleted) + len(self.before)

    @property
    def rows_updated(self) -> int:
        """Keys whose row has other values than before."""
        return len(self.after)

    @property
    def gone(self) -> Indices:
        """Every row that went for good, in order."""
        return np.sort(np.concatenate([self.deleted, self.before]))

    @property
    def came(self) -> Indices:
        """Every row that came new, in order."""
        return np.sort(np.concatenate([self.inserted, self.after]))

    def __bool__(self) -> bool:
        return bool(self.rows_added or self.rows_removed)


def net(went: pl.DataFrame, came: pl.DataFrame, columns: Sequence[str], key: Sequence[str] = ()) -> Net:
    """Set rows that went against rows that came.

    With a key, a key on both sides is an update, or nothing where the rows are equal. Another tool may have given
    one side a key twice: then its first row is the one that counts as updated, and the others go or come. Without a
    key, rows are a multiset: of equal rows as many cancel as both sides have, the earliest first.
    """
    return _net_by_key(went, came, columns, key) if key else _net_by_value(went, came, columns)


def _net_by_key(went: pl.DataFrame, came: pl.DataFrame, columns: Sequence[str], key: Sequence[str]) -> Net:
    left, right = (
        frame.select(key).with_row_index(side).unique(subset=list(key), keep="first", maintain_order=True)
        for frame, side in ((went, _WENT), (came, _CAME))
    )
    pairs = right.join(left, on=list(key), how="inner", maintain_order="left")
    before, after = _array(pairs[_WENT]), _array(pairs[_CAME])
    others = [name for name in columns if name not in key]
    changed = differs(went[before], came[after], others).to_numpy()
    return Net(
        deleted=np.setdiff1d(np.arange(went.height), before),
        inserted=np.setdiff1d(np.arange(came.height), after),
        before=before[changed],
        after=after[changed],
    )


def _net_by_value(went: pl.DataFrame, came: pl.DataFrame, columns: Sequence[str]) -> Net:
    sides = [
        frame.select(columns).with_row_index(_ROW).with_columns(pl.lit(came_here).alias(_SIDE))
        for frame, came_here in ((went, False), (came, True))
    ]
    groups = (
        pl.concat(sides)
        .group_by(list(columns))
        .agg(
            pl.col(_ROW).filter(~pl.col(_SIDE)).sort().alias(_WENT),
            pl.col(_ROW).filter(pl.col(_SIDE)).sort().alias(_CAME),
        )
        .select(_WENT, _CAME, pl.min_horizontal(pl.col(_WENT).list.len(), pl.col(_CAME).list.len()).alias(_BOTH))
    )
    deleted, inserted = (
        _array(groups.select(pl.col(side).list.slice(pl.col(_BOTH)).list.explode())[side].drop_nulls().sort())
        for side in (_WENT, _CAME)
    )
    nothing = np.empty(0, np.int64)
    return Net(deleted, inserted, nothing, nothing)


def _array(series: pl.Series) -> Indices:
    return series.cast(pl.Int64).to_numpy()


def duplicated(frame: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """The keys that occur more than once, each once, in the order in which they come."""
    keys = frame[list(key)]
    twice = keys.is_duplicated()
    return keys.filter(twice).unique(maintain_order=True) if twice.any() else keys.clear()


@dataclass(frozen=True)
class Changes:
    """What takes some rows to others: a sum with signs, nothing in common between the two.

    Attributes:
        went: rows that the first have more often.
        came: rows that the second have more often.
        columns: those that decide; others are carried along.
        key: the columns that name a row; empty for multisets.
    """

    went: pl.DataFrame
    came: pl.DataFrame
    columns: tuple[str, ...]
    key: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.went.height or self.came.height)


def between(before: pl.DataFrame, after: pl.DataFrame, columns: Sequence[str], key: Sequence[str] = ()) -> Changes:
    """The changes that take the rows before to the rows after."""
    return Changes(*cancel(before, after, columns), tuple(columns), tuple(key))


def invert(changes: Changes) -> Changes:
    """The changes that undo the changes."""
    return Changes(changes.came, changes.went, changes.columns, changes.key)


def compose(first: Changes, second: Changes) -> Changes:
    """One change after another, as one.

    Raises:
        InvalidInputError: they are over other columns, or another key.
    """
    if (first.columns, first.key) != (second.columns, second.key):
        raise InvalidInputError(
            f"changes of {list(first.columns)} by {list(first.key)} cannot be composed with changes of "
            f"{list(second.columns)} by {list(second.key)}",
            hint="compare the same columns by the same key",
        )
    went, came = pl.concat([first.went, second.went]), pl.concat([first.came, second.came])
    return Changes(*cancel(went, came, first.columns), first.columns, first.key)


def apply(rows: pl.DataFrame, changes: Changes) -> pl.DataFrame:
    """The rows with those that went taken out, of equal ones the earliest, and those that came at the end.

    Raises:
        ConflictError: a row that went is not there; or a key that came is taken by a row that stays.
    """
    left, missing = cancel(rows, changes.went, changes.columns, keep_first=False)
    if missing.height:
        raise ConflictError(
            f"the changes do not fit: {missing.height} of the {changes.went.height} rows to take out are not there",
            rows=missing.head(5).rows(),
        )
    if changes.key:
        taken = changes.came.join(left, on=list(changes.key), how="semi")
        if taken.height:
            raise ConflictError(
                f"the changes do not fit: {taken.height} keys to put in are there already",
                keys=taken.select(changes.key).head(5).rows(),
            )
    return pl.concat([left, changes.came.select(left.columns)])


def cancel(
    went: pl.DataFrame, came: pl.DataFrame, columns: Sequence[str], *, keep_first: bool = True
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What is left of two multisets when equal rows are taken out of both, as many as both have; in their order.

    Of rows that went and are equal in ``columns`` the first stay (or else the last), of those that came the last:
    where a row changed more than once, its first image is the old one, its last the new.
    """
    if not went.height or not came.height:
        return went, came
    backwards = np.arange(went.height)[::-1]  # a gather: reversed, lists that are all null lose their type
    left = _net_by_value(went[backwards] if keep_first else went, came, columns)
    gone = went.height - 1 - left.deleted[::-1] if keep_first else left.deleted
    return went[gone], came[left.inserted]


@dataclass(frozen=True)
class Pairs:
    """Changes told apart by the key.

    Attributes:
        removed, added: rows whose key is on one side only, and those that cannot be paired.
        before, after: of equal height; row i of one became row i of the other.
        changed: of each column outside the key that has any, whether row i of the pairs differs in it.
        unpaired: the keys that cannot be paired, each once: null, or more than once on a side.
    """

    removed: pl.DataFrame
    added: pl.DataFrame
    before: pl.DataFrame
    after: pl.DataFrame
    changed: Mapping[str, pl.Series]
    unpaired: pl.DataFrame


def pairs(changes: Changes, tolerance: Mapping[str, tuple[float, float]] = EMPTY) -> Pairs:
    """Removed, added and updated rows by the key; without one, nothing is updated.

    Args:
        changes: net, as ``between`` and ``compose`` give them.
        tolerance: column to (absolute, relative): values that are alike so do not make a row updated. Pairs that are
            alike in every column are left out.
    """
    went, came, key = changes.went, changes.came, list(changes.key)
    if not key:
        return Pairs(went, came, went.clear(), came.clear(), {}, went.select([]))
    unpaired = _unpaired(went, came, key)
    left, right = (frame.select(key).with_row_index(side) for frame, side in ((went, _WENT), (came, _CAME)))
    if unpaired.height:
        left, right = (side.join(unpaired, on=key, how="anti", nulls_equal=True) for side in (left, right))
    met = right.join(left, on=key, how="inner", maintain_order="left")
    old, new = _array(met[_WENT]), _array(met[_CAME])
    before, after = went[old], came[new]
    changed = {
        name: unlike(before[name], after[name], tolerance.get(name)) for name in changes.columns if name not in key
    }
    changed = {name: flags for name, flags in changed.items() if flags.any()}
    kept = pl.DataFrame(list(changed.values())).select(pl.any_horizontal(pl.all())).to_series() if changed else None
    if kept is None:
        before, after = before.clear(), after.clear()
    elif not kept.all():
        before, after = before.filter(kept), after.filter(kept)
        changed = {name: flags.filter(kept) for name, flags in changed.items()}
    return Pairs(
        removed=_without(went, old),
        added=_without(came, new),
        before=before,
        after=after,
        changed=changed,
        unpaired=unpaired,
    )


def _without(frame: pl.DataFrame, rows: Indices) -> pl.DataFrame:
    kept = np.ones(frame.height, np.bool_)
    kept[rows] = False
    return frame.filter(kept)


def _unpaired(went: pl.DataFrame, came: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    found = []
    for frame in (went, came):
        keys = frame.select(key)
        odd = keys.is_duplicated() | keys.select(pl.any_horizontal(pl.all().is_null())).to_series()
        if odd.any():
            found.append(keys.filter(odd))
    return pl.concat(found).unique(maintain_order=True) if found else went.select(key).clear()


def unlike(before: pl.Series, after: pl.Series, tolerance: tuple[float, float] | None = None) -> pl.Series:
    """For two columns of equal length, where their values differ; with a tolerance by more than it allows.

    Alike is what Python's ``math.isclose`` says: |a - b| <= max(relative * max(|a|, |b|), absolute). Null is like null
    alone, NaN like NaN, an infinity like itself.
    """
    different = before.ne_missing(after)
    if tolerance is None or not different.any():
        return different
    absolute, relative = tolerance
    places = different.arg_true()
    a, b = (side.gather(places).cast(pl.Float64) for side in (before, after))
    gap = (a - b).abs()
    size = pl.select(pl.max_horizontal(a.abs(), b.abs())).to_series()
    if isinstance(before.dtype, pl.Decimal):  # more digits than a double has: alike only where that is sure
        inexact = size * 10.0**before.dtype.scale > 2.0**53
        gap = gap + size * 2.0**-52 * inexact.cast(pl.Float64)
    allowed = pl.select(pl.max_horizontal(size * relative, pl.lit(absolute))).to_series()
    near = ((gap <= allowed) & a.is_finite() & b.is_finite()).fill_null(False)
    return different.scatter(places.filter(near), False)
