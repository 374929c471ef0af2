"""Who wrote the rows of a version last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import polars as pl
import pyarrow as pa

from tablever import merge
from tablever.columns import refuse_taken
from tablever.frames import find_keys, load, to_arrow
from tablever.history import folds
from tablever.history.images import STEP, read_images
from tablever.history.keys import some_rows
from tablever.history.probe import Probe
from tablever.history.reading import read_told
from tablever.history.steps import Journal, Step, read_journal
from tablever.history.view import View, view_of
from tablever.incoming import Rows
from tablever.log import Log, TableLike, open_log
from tablever.model import Snapshot
from tablever.refs import Ref
from tablever.scan import open_scan

FIRST_BLOCK = 64  # steps that are read at once, from the newest back; each block is twice the one before
_COUNT, _WORD = "__tv_count", "__tv_word"
_SIGNED = {"timestamp": pa.timestamp("us", "UTC"), "author": pa.string(), "message": pa.string()}


def blame(table: TableLike, ref: Ref = "latest", *, keys: Rows | None = None, cells: bool = False) -> pa.Table:
    """Which version last wrote each row of a version; who, when, and why.

    Args:
        keys: only these rows: a list of keys as ``row_history`` takes one, or rows of the key's columns. Keys that
            the version lacks and one before it had are there too, as deleted; keys that none had are left out.
        cells: also say of each cell which version last set it.

    Returns:
        The key's columns, or without a key all; ``_change_type`` (``insert``, ``update``; ``delete`` for a row that
        is no longer there); ``_commit_version``, ``_commit_timestamp``, ``_commit_author``, ``_commit_message``;
        with ``cells`` a ``_commit_version_<column>`` for every column outside the key, null for deleted rows. Rows
        come in the order of ``read_version``, or of ``keys``. Of equal rows without a key, the newest are there. Where
        a key was not always single, its rows are traced by all of their values, and cells count as set with them.

    Raises:
        RefError, VersionNotFoundError, VersionVacuumedError: no such version, or no longer.
        InvalidKeyError, SchemaMismatchError: keys that name no rows of the version. The second also where a column of
            the table, which another tool made, is called as one of these.
        TableNotFoundError, UnsupportedFeatureError, CorruptionError: it cannot be read right.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}, {"id": 2, "stars": 3}], key="id")
        >>> v = upsert(table, [{"id": 2, "stars": 4}], message="second thoughts")
        >>> blame(table).select(["id", "_change_type", "_commit_version"]).to_pylist()[1]
        {'id': 2, '_change_type': 'update', '_commit_version': 1}
        >>> blame(table, keys=[2], cells=True)["_commit_version_stars"].to_pylist()
        [1]
    """
    log = open_log(table)
    number = log.resolve(ref)
    snapshot = log.snapshot(number)
    view = view_of(snapshot.metadata)
    sought = None if keys is None else some_rows(log, view, keys)
    probe = None if sought is None else Probe(view, sought)
    journal = read_journal(log, number, lambda _: probe)
    columns = [name for name in view.columns if name not in view.naming] if cells else []
    beside = [folds.CHANGE, folds.WRITTEN, *(f"_commit_{name}" for name in _SIGNED), *map(_setting, columns)]
    beside += [folds.ADDED, folds.REMOVED]  # of the lifetimes by which rows without a key are traced
    refuse_taken(view.columns, beside, f"blame of '{log.name}'")
    if view.key:
        held = _held(log, snapshot, view, sought)
        wanted = held.unique(maintain_order=True) if sought is None else sought
        counts = held.group_by(view.key).len(_COUNT)
        about = wanted, counts, probe, columns
        found = read_told(log, journal, view, probe, lambda steps: _blame_keys(log, journal, steps, view, *about))
    else:
        found = read_told(log, journal, view, probe, lambda s: _blame_values(log, journal, s, view, probe))
    return _signed(log, found, view, columns)


def _blame_keys(
    log: Log,
    journal: Journal,
    steps: Sequence[Step],
    view: View,
    wanted: pl.DataFrame,
    counts: pl.DataFrame,
    probe: Probe | None,
    columns: Sequence[str],
) -> pl.DataFrame:
    """From the newest step back, until each key has met the step that brought it; without cells, one that wrote it."""
    key = list(view.key)
    bare = View(pa.schema([view.schema.field(name) for name in key]), view.key)  # all that a row needs that only came
    left, found = wanted, []
    for block in _backwards(steps):
        if not left.height:
            break
        some = None if probe is None else Probe(view, left)
        done = folds.writes(read_images(log, journal.first, [s for s in block if not s.only_adds], view, some))
        came = read_images(log, journal.first, [s for s in block if s.only_adds], bare, some).came
        inserted = pl.concat([done.inserted.select(STEP, *key), came])
        found.append(folds.last_writes(replace(done, inserted=inserted), key, columns))
        settled = found[-1].filter(pl.any_horizontal(pl.col(folds.BEGUN, folds.ENDED).is_not_null()))
        left = left.join(settled if columns else found[-1], on=key, nulls_equal=True, how="anti")
    versions = [folds.WRITTEN, folds.BEGUN, folds.ENDED, *columns]
    types = {**bare.types, folds.CHANGE: pl.String(), **dict.fromkeys(versions, pl.Int64())}
    last = folds.newest([pl.DataFrame(schema=types), *found], key, columns)
    last = wanted.join(last, on=key, nulls_equal=True, how="inner", maintain_order="left")
    last = last.join(counts, on=key, nulls_equal=True, how="left", maintain_order="left")
    torn = last.filter(folds.is_torn(pl.col(_COUNT).fill_null(0)))
    if not torn.height:
        return last
    return _with_torn(log, journal, steps, view, last, torn.select(key), columns)


def _held(log: Log, snapshot: Snapshot, view: View, keys: pl.DataFrame | None) -> pl.DataFrame:
    """The keys of a version's rows, or of those that have some keys."""
    names = list(view.key)
    if keys is None:
        return load(open_scan(log, snapshot), names)
    return find_keys(merge.candidates(log, snapshot, keys), keys, names).select(names)


def _with_torn(
    log: Log,
    journal: Journal,
    steps: Sequence[Step],
    view: View,
    last: pl.DataFrame,
    torn: pl.DataFrame,
    columns: Sequence[str],
) -> pl.DataFrame:
    """Keys that were not always single name no row: theirs are traced by all values, and cells count as set with them.

    That takes a key that was set later, or another tool that gave it twice.
    """
    key = list(view.key)
    images = read_images(log, journal.first, steps, view, Probe(view, torn))
    lives = folds.lifetimes(images)
    alive = lives.filter(pl.col(folds.REMOVED).is_null())
    updates = folds.writes(images).after.select(*key, pl.col(STEP).alias(folds.ADDED), pl.lit("update").alias(_WORD))
    alive = alive.join(updates.unique(), on=[*key, folds.ADDED], nulls_equal=True, how="left", maintain_order="left")
    rows = alive.select(
        *key,
        pl.col(_WORD).fill_null("insert").alias(folds.CHANGE),
        *(pl.col(folds.ADDED).alias(name) for name in (folds.WRITTEN, *columns)),
    )
    firm = last.join(torn, on=key, nulls_equal=True, how="anti", maintain_order="left").select(rows.columns)
    return last.select(key).join(pl.concat([firm, rows]), on=key, nulls_equal=True, how="inner", maintain_order="left")


def _backwards(steps: Sequence[Step]) -> Iterator[Sequence[Step]]:
    end, size = len(steps), FIRST_BLOCK
    while end > 0:
        yield steps[max(0, end - size) : end]
        end, size = end - size, size * 2


def _blame_values(log: Log, journal: Journal, steps: Sequence[Step], view: View, probe: Probe | None) -> pl.DataFrame:
    lives = folds.lifetimes(read_images(log, journal.first, steps, view, probe))
    if probe is not None:
        return folds.standing(probe.rows, lives, view.columns)
    rows = load(open_scan(log, log.snapshot(journal.last)), view.columns)
    alive = lives.filter(pl.col(folds.REMOVED).is_null())
    written = folds.align(rows, alive, view.columns)
    return rows.with_columns(written.alias(folds.WRITTEN), pl.lit("insert").alias(folds.CHANGE))


def _signed(log: Log, found: pl.DataFrame, view: View, columns: Sequence[str]) -> pa.Table:
    """The rows with what their versions' commits say."""
    signatures = {number: log.signature(number) for number in found[folds.WRITTEN].unique().to_list()}
    numbers = found[folds.WRITTEN].to_list()
    rows = to_arrow(found, pa.schema([view.schema.field(name) for name in view.naming]))
    rows = rows.append_column(folds.CHANGE, found[folds.CHANGE].to_arrow().cast(pa.string()))
    rows = rows.append_column(folds.WRITTEN, pa.array(numbers, pa.int64()))
    for name, kind in _SIGNED.items():
        said = {number: getattr(signed, name) for number, signed in signatures.items()}
        rows = rows.append_column(f"_commit_{name}", pa.array([said[number] for number in numbers], kind))
    gone = found[folds.CHANGE] == "delete"
    for name in columns:
        own = found[name].scatter(gone.arg_true(), None)
        rows = rows.append_column(_setting(name), pa.array(own.to_list(), pa.int64()))
    return rows


def _setting(column: str) -> str:
    """What the column is called that says which version set a column's cells."""
    return f"{folds.WRITTEN}_{column}"
