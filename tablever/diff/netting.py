"""Rows that went and came into added, removed and updated ones.

Equal rows cancel, first in all columns, so that what is left really are rows of the two sides, then in those that
decide. Only keys that came more than once need that: a key that is once on either side, which is nearly every one, is
paired by a join.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import polars as pl
import pyarrow as pa

from tablever import merge
from tablever.changes import Changes, Pairs, cancel, pairs
from tablever.diff.sides import AFTER, Scope, Side
from tablever.diff.spilling import Gathered, Scattered, remove_folder
from tablever.errors import DuplicateKeyError, InvalidKeyError
from tablever.frames import find_keys, polars_types, to_arrow, to_frame
from tablever.model import EMPTY
from tablever.texts import listed, plural

MEMORY_LIMIT = 256 << 20
_SIGN, _WENT, _HELD = "__tv_sign", "__tv_went", "__tv_held"


@dataclass(frozen=True)
class Parts:
    """What a diff is made of.

    Attributes:
        added, removed: rows in ``scope.after``, ``scope.before``.
        updated: the key, then ``from_<column>``, ``to_<column>`` for every other column.
        cells: changed cells by column, of updated rows; columns without one are left out.
        unpaired: keys that were not single, so that their rows are removed and added; empty without a key.
        folder: where the tables lie, if they are larger than memory should be.
    """

    added: pa.Table
    removed: pa.Table
    updated: pa.Table
    cells: Mapping[str, int] = field(default_factory=lambda: EMPTY)
    unpaired: pa.Table = field(default_factory=lambda: pa.table({}))
    folder: Path | None = None


def net_batches(batches: Iterable[tuple[bool, pl.DataFrame]], scope: Scope, *, limit: int = MEMORY_LIMIT) -> Parts:
    """Net the rows that the two ways give.

    Args:
        batches: rows in ``scope.layout``, and whether they came.
        limit: bytes of rows that are held in memory; more are scattered over files by their key, or without one by
            the columns that decide and are not nested, and netted a part at a time: the parts' rows come one after
            the other then.

    Raises:
        StorageError: the temporary files cannot be written.
    """
    held: list[tuple[bool, pl.DataFrame]] = []
    size = 0
    rest = iter(batches)
    for came, frame in rest:
        held.append((came, frame))
        size += int(frame.estimated_size())
        if size > limit:
            return _spilled(chain(held, rest), scope)
    empty = pl.DataFrame(schema=dict(scope.layout))
    went, came_ = (pl.concat([empty, *(frame for side, frame in held if side == came)]) for came in (False, True))
    return settle(went, came_, scope)


def _spilled(batches: Iterable[tuple[bool, pl.DataFrame]], scope: Scope) -> Parts:
    flat = [name for name in scope.deciding if not scope.layout[name].is_nested()]
    scattered = Scattered(scope.layout, scope.key or flat)
    folder = scattered.folder
    try:
        for came, frame in batches:
            scattered.add(came, frame)
        schemas = {"added": scope.after, "removed": scope.before, "updated": updated_schema(scope)}
        tables = {name: Gathered(folder / f"{name}.arrow", schema) for name, schema in schemas.items()}
        cells: Counter[str] = Counter()
        unpaired = []
        for went, came_ in scattered.partitions():
            part = settle(went, came_, scope)
            for name, table in tables.items():
                table.add(getattr(part, name))
            cells.update(part.cells)
            unpaired.append(part.unpaired)
        whole = {name: table.table() for name, table in tables.items()}
        parts = Parts(**whole, cells=cells, unpaired=pa.concat_tables(unpaired), folder=folder)
    except BaseException:
        remove_folder(folder)
        raise
    weakref.finalize(parts, remove_folder, folder)  # what is mapped stays readable
    return parts


def settle(went: pl.DataFrame, came: pl.DataFrame, scope: Scope) -> Parts:
    """Net rows that are in memory."""
    found = pairs(Changes(*_net(went, came, scope), scope.deciding, scope.key), scope.tolerance)
    order = sorting(scope, unpaired=bool(found.unpaired.height))
    removed, added = (frame.sort(order, nulls_last=True, maintain_order=True) for frame in (found.removed, found.added))
    places = found.before.with_row_index("__tv_index").sort(order, nulls_last=True)["__tv_index"] if order else None
    before, after = (frame if places is None else frame[places] for frame in (found.before, found.after))
    return Parts(
        added=_side(added, scope, scope.after, came=True),
        removed=_side(removed, scope, scope.before, came=False),
        updated=_updated(before, after, scope),
        cells=_cells(found),
        unpaired=to_arrow(found.unpaired, pa.schema([scope.after.field(name) for name in scope.key])),
    )


def _net(went: pl.DataFrame, came: pl.DataFrame, scope: Scope) -> tuple[pl.DataFrame, pl.DataFrame]:
    if not scope.key:
        return _cancelled(went, came, scope)
    key = list(scope.key)
    odd = [keys for keys in (_odd_keys(frame, key) for frame in (went, came)) if keys.height]
    if not odd:
        return went, came
    keys = pl.concat(odd).unique()
    firm = [frame.join(keys, on=key, how="anti", nulls_equal=True, maintain_order="left") for frame in (went, came)]
    odd = [frame.join(keys, on=key, how="semi", nulls_equal=True, maintain_order="left") for frame in (went, came)]
    left, right = _cancelled(odd[0], odd[1], scope)
    return pl.concat([firm[0], left]), pl.concat([firm[1], right])


def _odd_keys(frame: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """Keys that come more than once, or are null."""
    keys = frame.select(key)
    return keys.filter(keys.is_duplicated() | keys.select(pl.any_horizontal(pl.all().is_null())).to_series())


def _cancelled(went: pl.DataFrame, came: pl.DataFrame, scope: Scope) -> tuple[pl.DataFrame, pl.DataFrame]:
    if scope.carried:
        went, came = cancel(went, came, list(scope.layout))
    return cancel(went, came, scope.deciding)


def sorting(scope: Scope, *, unpaired: bool = False) -> list[str]:
    """The columns by which rows are ordered: the key's; also all that sort where keys are not single, or are none."""
    flat = [name for name, kind in scope.layout.items() if not kind.is_nested()]
    if not scope.key:
        return flat
    return [*scope.key, *(name for name in flat if unpaired and name not in scope.key)]


def _side(frame: pl.DataFrame, scope: Scope, schema: pa.Schema, *, came: bool) -> pa.Table:
    """Rows of one side in its columns and types."""
    kinds = polars_types(schema)
    return to_arrow(frame.select(_own(scope, name, kinds[name], came=came) for name in schema.names), schema)


def _own(scope: Scope, name: str, kind: pl.DataType, *, came: bool) -> pl.Expr:
    """A side's values of a column, back in its type, which they fit since they came from it."""
    source = AFTER + name if came and scope.types[name] is None else name
    value = pl.col(source)
    return (value if scope.layout[source] == kind else value.cast(kind)).alias(name)


@dataclass(frozen=True)
class Image:
    """A column of ``updated``: the value of ``column`` in the left side's row (or, ``came``, in the right's)."""

    name: str
    column: str
    came: bool
    type: pa.DataType


def images(scope: Scope) -> tuple[Image, ...]:
    """The columns of ``updated`` after the key's, which a name like theirs pushes to ``_from_<column>``."""
    sides = [
        (word, {item.name: item.type for item in schema}, came)
        for word, schema, came in (("from_", scope.before, False), ("to_", scope.after, True))
    ]
    found = []
    for column in scope.columns:
        if column in scope.key:
            continue
        for word, types, came in sides:
            if column in types:
                name = word + column
                while name in scope.key:
                    name = "_" + name
                found.append(Image(name, column, came, types[column]))
    return tuple(found)


def updated_schema(scope: Scope) -> pa.Schema:
    """The columns of ``updated``."""
    key = [scope.after.field(name) for name in scope.key]
    return pa.schema([*key, *(pa.field(image.name, image.type) for image in images(scope))])


def _updated(before: pl.DataFrame, after: pl.DataFrame, scope: Scope) -> pa.Table:
    old, new = _side(before, scope, scope.before, came=False), _side(after, scope, scope.after, came=True)
    columns = [new.column(name) for name in scope.key]
    columns += [(new if image.came else old).column(image.column) for image in images(scope)]
    return pa.Table.from_arrays(columns, schema=updated_schema(scope))


def _cells(found: Pairs) -> dict[str, int]:
    """Changed cells by column; one whose types cannot be compared stands there twice."""
    flags: dict[str, pl.Series] = {}
    for name, changed in found.changed.items():
        column = name.removeprefix(AFTER)
        flags[column] = flags[column] | changed if column in flags else changed
    return {column: int(changed.sum()) for column, changed in flags.items()}


def check_claim(left: Side, right: Side, scope: Scope, parts: Parts) -> None:
    """Whether a key named at the call is single in every row that changed, also where its twin did not change.

    Raises:
        InvalidKeyError: it is null in a row that changed.
        DuplicateKeyError: it is twice on a side; ``keys`` holds up to five of them.
    """
    key = list(scope.key)
    kinds = {name: scope.layout[name] for name in key}
    updated = [(parts.updated, 1), (parts.updated, -1)]
    moved = pl.concat(
        [
            to_frame(rows.select(key)).cast(kinds).with_columns(pl.lit(sign).alias(_SIGN))  # type: ignore[arg-type]
            for rows, sign in [*updated, (parts.added, 1), (parts.removed, -1)]
        ]
    )
    null = moved.filter(pl.any_horizontal(pl.col(key).is_null()))
    if null.height:
        raise InvalidKeyError(
            f"the key {listed(key)} is null in {plural(null.height)} that changed between {left.name} and {right.name}",
            hint="name a key that every row has, or key=[] to compare without one",
        )
    counts = moved.group_by(key).agg(pl.col(_SIGN).sum(), (pl.col(_SIGN) < 0).sum().alias(_WENT))
    counts = counts.join(_held(left, scope, counts.select(key)), on=key, how="left").with_columns(
        pl.max_horizontal(pl.col(_HELD).fill_null(0), _WENT).cast(pl.Int64).alias(_HELD)
    )
    twice = counts.filter((pl.col(_HELD) > 1) | (pl.col(_HELD) + pl.col(_SIGN) > 1)).sort(key)
    if twice.height:
        shown = merge.show_keys(twice.select(key))
        raise DuplicateKeyError(
            f"the key {listed(key)} is not unique in {left.name} or {right.name}: {plural(twice.height, 'key')} of "
            f"changed rows come more than once, among them {', '.join(map(repr, shown))}",
            hint="name a key that is, or key=[] to compare without one",
            keys=shown,
        )


def _held(side: Side, scope: Scope, keys: pl.DataFrame) -> pl.DataFrame:
    """How many rows of a side have each of some keys."""
    key = list(scope.key)
    if side.log is None or side.snapshot is None or not keys.height:
        return keys.clear().with_columns(pl.lit(None, dtype=pl.Int64).alias(_HELD))
    theirs = polars_types(scope.before)
    # A key of the other side that does not fit this one's type is none of its keys.
    wanted = keys.select(pl.col(name).cast(theirs[name], strict=False) for name in key).drop_nulls()
    scan = merge.candidates(side.log, side.snapshot, wanted)
    found = find_keys(scan, wanted, key).select(pl.col(name).cast(scope.layout[name]) for name in key)
    return found.group_by(key).len(_HELD)
