"""Keys as they are given: a value, a tuple, a dict, or rows; and rows without a key, by all of their values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import pyarrow as pa

from tablever import merge
from tablever.errors import InvalidInputError, InvalidKeyError
from tablever.fitting import normalise
from tablever.frames import to_frame
from tablever.history.view import View
from tablever.incoming import Rows, to_table
from tablever.log import Log
from tablever.texts import listed


def one_row(log: Log, view: View, key: Any) -> pl.DataFrame:
    """The row that a key names, as one row of the view's naming columns.

    Args:
        key: the value of a key of one column; a tuple or list of the values, in the key's order; a mapping from the
            key's columns, or without a key from all columns, to values.

    Raises:
        InvalidKeyError: values that name no row: too few, too many, of other columns, or null in a key.
        SchemaMismatchError: a value that does not fit its column; the hint says what does.
    """
    return _fitted(log, view, [_as_record(log, view, key)])


def some_rows(log: Log, view: View, keys: Rows) -> pl.DataFrame:
    """The rows that keys name, each once, in their order; ``keys`` may also be a list of what ``one_row`` takes.

    Raises: as ``one_row``; InvalidInputError for what is no rows.
    """
    if isinstance(keys, list | tuple):
        return _fitted(log, view, [_as_record(log, view, key) for key in keys])
    return _fitted(log, view, keys)


def _as_record(log: Log, view: View, key: Any) -> dict[str, Any]:
    names = view.naming
    if isinstance(key, Mapping):
        record = dict(key)
        if set(record) != set(names):
            given = f"the columns given are {listed(map(str, record))}" if record else "no column is given"
            raise _misnamed(log, view, given)
        return {name: record[name] for name in names}
    if not view.key:
        raise _misnamed(log, view, f"{key!r} is no mapping")
    values = tuple(key) if isinstance(key, tuple | list) else (key,)
    if len(values) != len(names):
        raise _misnamed(log, view, f"{len(values)} values are given")
    return dict(zip(names, values, strict=True))


def _misnamed(log: Log, view: View, found: str) -> InvalidKeyError:
    if view.key:
        what, hint = f"the key of '{log.name}' is {listed(view.key)}", "give the key's values, or {column: value}"
    else:
        what = f"'{log.name}' has no key, so a row is named by all of its columns, {listed(view.columns)}"
        hint = "give {column: value} for each of them, or set_key(table, 'column') first"
    return InvalidKeyError(f"{what}: {found}", hint=hint, key=view.key)


def _fitted(log: Log, view: View, rows: Rows) -> pl.DataFrame:
    schema = pa.schema([view.schema.field(name) for name in view.naming])
    if isinstance(rows, list) and not rows:
        return to_frame(schema.empty_table())
    try:
        fitted = normalise(to_table(rows, schema=schema), schema)
    except InvalidInputError as error:
        kinds = ", ".join(f"'{field.name}' ({field.type})" for field in schema)
        hint = f"a row of '{log.name}' is named by {kinds}; several by a list of keys, or by rows of these columns"
        raise type(error)(str(error), hint=hint, **error.facts) from error
    found = to_frame(fitted).unique(maintain_order=True)
    if view.key:
        merge.check_keys(log, found, view.key)
    return found
