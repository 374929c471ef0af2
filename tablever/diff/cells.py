"""A diff's rows in other forms: changed cells one by one, and change rows as a change feed has them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
import pyarrow as pa

from tablever.arrow_json import column_texts
from tablever.changes import unlike
from tablever.datafiles import CHANGE_TYPE
from tablever.diff.netting import Image, Parts, images
from tablever.diff.sides import Scope
from tablever.frames import polars_types


def cell_schema(scope: Scope) -> pa.Schema:
    """The key's columns, then ``column``, ``old``, ``new``; a key column of such a name pushes ours to ``_column``."""
    names = []
    for name in ("column", "old", "new"):
        while name in scope.key:
            name = "_" + name  # noqa: PLW2901
        names.append(pa.field(name, pa.string()))
    return pa.schema([*(scope.after.field(name) for name in scope.key), *names])


def changed_cells(updated: pa.Table | pa.RecordBatch, scope: Scope) -> pa.Table:
    """Of each updated row, whether it differs in each compared column outside the key; in the columns' order."""
    flags = {
        name: _changed(updated, scope, name, old, new).to_arrow() for name, (old, new) in _both_images(scope).items()
    }
    return pa.table(flags)


def cell_batches(updated: pa.Table, scope: Scope, size: int) -> Iterator[pa.RecordBatch]:
    """Changed cells of updated rows, row by row in the columns' order; values as text as in CSV, null as null."""
    schema = cell_schema(scope)
    pairs = [(column, *both) for column, both in _both_images(scope).items()]
    for start in range(0, updated.num_rows, size):
        rows = updated.slice(start, size)
        parts = []
        for number, (column, old, new) in enumerate(pairs):
            changed = _changed(rows, scope, column, old, new)
            if not changed.any():
                continue
            at = changed.arg_true().cast(pl.Int64).to_numpy()
            places = pa.array(at)
            chosen = [None if image is None else rows.column(image.name).take(places) for image in (old, new)]
            texts = [pa.nulls(len(at), pa.string()) if column is None else column_texts(column) for column in chosen]
            parts.append((at, np.full(len(at), number), texts))
        if not parts:
            continue
        at, numbers = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
        order = pa.array(np.lexsort((numbers, at)))
        whose = pa.array([column for column, _, _ in pairs], pa.string()).take(pa.array(numbers))
        old_texts, new_texts = (pa.concat_arrays([part[2][i] for part in parts]) for i in (0, 1))
        keys = [rows.column(name).combine_chunks().take(pa.array(at)) for name in scope.key]
        table = pa.Table.from_arrays([*keys, whose, old_texts, new_texts], schema=schema).take(order)
        yield from table.combine_chunks().to_batches(max_chunksize=size)


def _both_images(scope: Scope) -> dict[str, tuple[Image | None, Image | None]]:
    """Each compared column outside the key, with its images before and after."""
    by_side = {(image.column, image.came): image for image in images(scope)}
    return {
        name: (by_side.get((name, False)), by_side.get((name, True)))
        for name in scope.compared
        if name not in scope.key
    }


def _changed(
    rows: pa.Table | pa.RecordBatch, scope: Scope, column: str, old: Image | None, new: Image | None
) -> pl.Series:
    kind = scope.types[column]
    if old is None or new is None or kind is None:
        there = [~pl.Series(rows.column(image.name).is_null()) for image in (old, new) if image is not None]
        return there[0] if len(there) == 1 else there[0] | there[1]
    wanted = polars_types(pa.schema([(column, kind)]))[column]
    before, after = (pl.Series(rows.column(image.name)).cast(wanted) for image in (old, new))
    return unlike(before, after, scope.tolerance.get(column))


def change_schema(scope: Scope) -> pa.Schema:
    """The columns of the right side, then those only the left has, then ``_change_type``.

    Retyped columns are in the wider type; where none holds both sides' values, as text.
    """
    columns = [pa.field(name, scope.types[name] or pa.string()) for name in scope.columns]
    return pa.schema([*columns, pa.field(CHANGE_TYPE, pa.string())])


def change_batches(parts: Parts, scope: Scope, size: int) -> Iterator[pa.RecordBatch]:
    """Change rows: deletes, then both images of each updated row one after the other, then inserts."""
    for rows, word in ((parts.removed, "delete"), (parts.added, "insert")):
        if word == "insert":
            yield from _image_batches(parts.updated, scope, size)
        for start in range(0, rows.num_rows, size):
            part = rows.slice(start, size)
            columns = {name: part.column(name) for name in part.column_names}
            yield from _typed(columns, part.num_rows, word, scope).combine_chunks().to_batches()


def _image_batches(updated: pa.Table, scope: Scope, size: int) -> Iterator[pa.RecordBatch]:
    for start in range(0, updated.num_rows, max(1, size // 2)):
        part = updated.slice(start, max(1, size // 2))
        sides = []
        for came, word in ((False, "update_preimage"), (True, "update_postimage")):
            columns = {name: part.column(name) for name in scope.key}
            columns |= {image.column: part.column(image.name) for image in images(scope) if image.came == came}
            sides.append(_typed(columns, part.num_rows, word, scope))
        in_turn = np.arange(2 * part.num_rows).reshape(2, part.num_rows).T.reshape(-1)
        yield from pa.concat_tables(sides).take(pa.array(in_turn)).combine_chunks().to_batches()


def _typed(columns: dict[str, pa.ChunkedArray], rows: int, word: str, scope: Scope) -> pa.Table:
    schema = change_schema(scope)
    kinds = polars_types(schema)
    arrays = []
    for item in list(schema)[:-1]:
        column = columns.get(item.name)
        if column is None:
            arrays.append(pa.nulls(rows, item.type))
        elif column.type == item.type:
            arrays.append(column)
        elif scope.types[item.name] is None:
            arrays.append(column_texts(column))
        else:
            arrays.append(pl.Series(column).cast(kinds[item.name]).to_arrow().cast(item.type))
    return pa.Table.from_arrays([*arrays, pa.array([word] * rows, pa.string())], schema=schema)
