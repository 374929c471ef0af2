"""Folds over net change rows: lifetimes, events, last writes. Pure: frames in, frames out.

An image that came opens a row, one that went closes one. Of equal rows, which nothing tells apart, the oldest closes
first; so those that are left are the newest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from tablever.changes import Changes, pairs
from tablever.errors import CorruptionError
from tablever.history.images import STEP, Images
from tablever.rows import equal_groups

ADDED, REMOVED = "_added_version", "_removed_version"
CHANGE, WRITTEN = "_change_type", "_commit_version"
BEGUN, ENDED = "__tv_begun", "__tv_ended"
_GROUP, _RANK = "__tv_group", "__tv_rank"


def lifetimes(images: Images) -> pl.DataFrame:
    """One row for each row that came: the view's columns, the version that brought it, the one that ended it or null.

    By the version that brought it.

    Raises CorruptionError where a row went that was not there.
    """
    opened, closed = _ranked([images.came, images.went], images.view.columns)
    strays = closed.join(opened, on=[_GROUP, _RANK], how="anti")[STEP].to_list()
    if strays:
        first = min(strays)
        raise CorruptionError(
            f"version {first} says that it took out a row that was not there: its change rows are not what it changed",
            hint=f"compare the versions themselves: tablever diff TABLE@{first - 1} TABLE@{first}",
            version=first,
        )
    ends = closed.select(_GROUP, _RANK, pl.col(STEP).alias(REMOVED))
    found = opened.join(ends, on=[_GROUP, _RANK], how="left", maintain_order="left")
    return found.select(*images.view.columns, pl.col(STEP).alias(ADDED), REMOVED)


def _ranked(frames: Sequence[pl.DataFrame], columns: Sequence[str]) -> list[pl.DataFrame]:
    """The frames, each with the group of rows, over all frames, that a row is equal to, and its rank in its own."""
    numbers = equal_groups(frames, columns)
    named = [frame.with_columns(group.alias(_GROUP)) for frame, group in zip(frames, numbers, strict=True)]
    return [frame.with_columns(pl.int_range(pl.len()).over(_GROUP).alias(_RANK)) for frame in named]


def standing(asked: pl.DataFrame, lives: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Of each row that is asked about, its lifetimes that last, the newest that ended where none does, or nothing.

    Returns:
        The columns, ``_change_type`` (insert; delete for one that ended) and ``_commit_version``, where it began or
        ended; in the order of those asked.
    """
    numbers, groups = equal_groups([asked, lives], columns)
    named = lives.with_columns(groups.alias(_GROUP))
    alive, gone = (named.filter(pl.col(REMOVED).is_null() == lasts) for lasts in (True, False))
    gone = gone.sort(REMOVED).unique(_GROUP, keep="last").join(alive, on=_GROUP, how="anti")
    found = pl.concat(
        side.select(_GROUP, *columns, pl.lit(word).alias(CHANGE), pl.col(at).alias(WRITTEN))
        for side, word, at in ((alive, "insert", ADDED), (gone, "delete", REMOVED))
    )
    return pl.DataFrame({_GROUP: numbers}).join(found, on=_GROUP, maintain_order="left_right").drop(_GROUP)


def align(rows: pl.DataFrame, alive: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    """For each of some rows, the version that brought it, from the lifetimes of the same rows in another order."""
    first, second = _ranked([rows, alive], columns)
    second = second.select(_GROUP, _RANK, ADDED)
    return first.join(second, on=[_GROUP, _RANK], how="left", maintain_order="left")[ADDED]


@dataclass(frozen=True)
class Writes:
    """What the steps did to rows that a key names. Rows in the view's columns, after ``__tv_step``.

    Attributes:
        inserted, deleted: rows that came in nothing's place, and that went with nothing in theirs.
        before, after: of equal height; row i of one became row i of the other.
        changed: of each column that has any, whether it changed in row i of the pairs.
    """

    inserted: pl.DataFrame
    deleted: pl.DataFrame
    before: pl.DataFrame
    after: pl.DataFrame
    changed: dict[str, pl.Series]


def writes(images: Images) -> Writes:
    """The images, paired by the view's key at each step; without a key nothing is paired."""
    key = (STEP, *images.view.key) if images.view.key else ()
    found = pairs(Changes(images.went, images.came, (STEP, *images.view.columns), key))
    return Writes(found.added, found.removed, found.before, found.after, dict(found.changed))


def last_writes(done: Writes, key: Sequence[str], columns: Sequence[str]) -> pl.DataFrame:
    """For each key the last step that wrote or deleted it, and for each of ``columns`` the last step that set it.

    Returns:
        The key, ``_change_type`` (insert, update, delete), ``_commit_version``; ``__tv_begun``, ``__tv_ended``: the
        last step that inserted it, that deleted it; then the columns, as versions; null where no step did.
    """
    parts = [
        _written(done.deleted, key, "delete", {}, columns),
        _written(done.inserted, key, "insert", dict.fromkeys(columns, True), columns),
        _written(done.after, key, "update", done.changed, columns),
    ]
    whole = pl.concat(parts).sort(WRITTEN, maintain_order=True)
    groups = whole.group_by(list(key), maintain_order=True)
    return groups.agg(pl.col(CHANGE, WRITTEN).last(), pl.col(BEGUN, ENDED, *columns).max())


def _written(
    rows: pl.DataFrame, key: Sequence[str], change: str, flags: Mapping[str, pl.Series | bool], columns: Sequence[str]
) -> pl.DataFrame:
    steps, nothing = rows[STEP], pl.Series(dtype=pl.Int64).clear(rows.height)
    found = {BEGUN: change == "insert", ENDED: change == "delete", **{name: flags.get(name, False) for name in columns}}
    set_by = [
        (steps.zip_with(flag, nothing) if isinstance(flag, pl.Series) else steps if flag else nothing).alias(name)
        for name, flag in found.items()
    ]
    return rows.select(*key, pl.lit(change).alias(CHANGE), steps.alias(WRITTEN), *set_by)


def newest(found: Sequence[pl.DataFrame], key: Sequence[str], columns: Sequence[str]) -> pl.DataFrame:
    """What ``last_writes`` found in some stretches of steps, the newest stretch first, as one."""
    groups = pl.concat(found).group_by(list(key), maintain_order=True)
    return groups.agg(pl.col(CHANGE, WRITTEN).first(), pl.col(BEGUN, ENDED, *columns).max())


def is_torn(count: pl.Expr) -> pl.Expr:
    """Of what ``newest`` gives, the keys that rows of the version have (so many) and that were not always single.

    They are there more than once, or were deleted and not inserted again.
    """
    return (count > 1) | ((count == 1) & (pl.col(ENDED) >= pl.col(BEGUN).fill_null(-1)))
