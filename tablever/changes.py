"""The algebra of changes: what is left when rows that went and rows that came are set against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

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
    keys = frame.select(key)
    twice = keys.is_duplicated()
    return keys.filter(twice).unique(maintain_order=True) if twice.any() else keys.clear()
