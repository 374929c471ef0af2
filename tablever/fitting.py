"""Rows into exactly a table's columns: matched by name, converted without loss, checked for what readers choke on."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tablever.arrow_types import ELEMENT, check_distinct, is_text
from tablever.conversion import convert, in_years, misfit
from tablever.errors import ConstraintError, InvalidInputError, SchemaMismatchError
from tablever.texts import did_you_mean, listed

Rows = np.ndarray[tuple[int], np.dtype[np.int64]]


def normalise(rows: pa.Table, target: pa.Schema) -> pa.Table:
    """Rows in a table's columns, order and types; columns are matched by name. Copies nothing that has them.

    Args:
        rows: as they came.
        target: the table's schema, canonical types.

    Raises:
        SchemaMismatchError: columns missing, unknown or ambiguous; types with nothing in common; values that do not
            fit; text that is not UTF-8; dates or times outside the years 1 to 9999; a map with a key twice.
        ConstraintError: nulls in a NOT NULL column; ``rows`` holds the indices of up to five of them.
    """
    _match(rows.schema, target)
    table = pa.Table.from_arrays([_column(rows.column(field.name), field) for field in target], schema=target)
    check_not_null(table, target)
    return table


def _match(schema: pa.Schema, target: pa.Schema) -> None:
    if not len(schema):
        raise SchemaMismatchError("the rows have no columns", hint=f"the table has {listed(target.names)}")
    names, wanted = schema.names, target.names
    missing = _without(wanted, names)
    extra = _without(names, wanted)
    if not missing and not extra and len(schema) == len(target):
        return
    check_distinct(schema.names, "the rows")
    parts = [f"they lack {listed(missing)}"] if missing else []
    parts += [f"the table has no column {listed(extra)}"] if extra else []
    raise SchemaMismatchError(
        f"the rows do not have the table's columns: {'; '.join(parts)}",
        hint=_matching_hint(missing, extra, target.names),
        missing=tuple(missing),
        extra=tuple(extra),
    )


def _without(names: list[str], others: list[str]) -> list[str]:
    there = set(others)
    return [name for name in names if name not in there]


def _matching_hint(missing: list[str], extra: list[str], names: list[str]) -> str:
    near = [hint for hint in (did_you_mean(name, missing or names) for name in extra) if hint]
    hints = [f"{near[0]} (names are matched exactly, case too)"] if near else []
    if extra:
        hints.append("evolve=True adds new columns to the table")
    if missing and not near:
        hints.append("give every column, null where there is no value")
    return "; ".join(hints)


def _column(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    pieces: list[pa.Array] = []
    for chunk in column.chunks:
        _validate(chunk, field.name)
        pieces += _pieces(chunk, field)
    for piece in pieces:
        _check_values(piece, field.name)
    return pa.chunked_array(pieces, field.type)


def _pieces(chunk: pa.Array, field: pa.Field) -> list[pa.Array]:
    """Convert a chunk, in halves where it holds more than 32-bit offsets reach."""
    try:
        return [convert(chunk, field.type, field.name)]
    except (pa.ArrowInvalid, pa.ArrowCapacityError, pa.ArrowNotImplementedError) as error:
        if len(chunk) < 2 or isinstance(error, pa.ArrowNotImplementedError):
            raise InvalidInputError(
                f"column '{field.name}' of type {chunk.type} cannot be converted to {field.type}: {error}",
                hint=f"cast the column to {field.type} before writing; a value holds less than 2 GiB",
                column=field.name,
            ) from error
        half = len(chunk) // 2
        return _pieces(chunk[:half], field) + _pieces(chunk[half:], field)


def _validate(chunk: pa.Array, name: str) -> None:
    """Buffers, offsets and text as Arrow demands them: producers do not check, and readers crash or refuse."""
    if pa.types.is_primitive(chunk.type):
        return
    try:
        chunk.validate(full=True)
    except pa.ArrowInvalid as error:
        if "UTF8" not in str(error):
            raise InvalidInputError(f"column '{name}' is not valid Arrow data: {error}", column=name) from error
        values = _invalid_text(chunk) if is_text(chunk.type) else ()
        raise SchemaMismatchError(
            f"column '{name}' holds text that is not UTF-8" + "".join(f", {value!r}" for value in values),
            hint="decode it with its true encoding, or keep it in a binary column",
            column=name,
            values=values,
        ) from error


def _invalid_text(chunk: pa.Array) -> tuple[bytes, ...]:
    return tuple(v for v in chunk.cast(pa.large_binary()).to_pylist() if v is not None and not _is_utf8(v))[:3]


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _check_values(array: pa.Array, path: str) -> None:
    """Refuse values of a canonical type that not every reader can show: see ``normalise``."""
    kind = array.type
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        count = array.view(pa.int32() if pa.types.is_date(kind) else pa.int64())
        fits = in_years(count, kind)
        if pc.all(fits).as_py() is False:
            raise _outside(path, array.filter(pc.invert(fits))[:3])
    elif pa.types.is_map(kind):
        entries = _entries(array)
        _check_values(entries.flatten(), path)
        _check_map_keys(entries, path)
    elif pa.types.is_list(kind) and pa.types.is_nested(kind.value_type) | pa.types.is_temporal(kind.value_type):
        _check_values(array.flatten(), f"{path}.{ELEMENT}")
    elif pa.types.is_struct(kind):
        for field, child in zip(kind, array.flatten(), strict=True):
            _check_values(child, f"{path}.{field.name}")


def _outside(path: str, values: pa.Array) -> SchemaMismatchError:
    error = misfit(path, values.type, values.type, values)
    shown = ", ".join(error.values)
    return SchemaMismatchError(
        f"column '{path}' holds dates or times outside the years 1 to 9999: {shown}",
        hint="these mostly come of a wrong unit; Python and Spark cannot show them. Keep them as integers if meant",
        column=path,
        values=error.values,
    )


def _entries(array: pa.Array) -> pa.Array:
    """A map as a list of structs of key and value; slices and nulls are kept."""
    kind = array.type
    entry = pa.struct([pa.field("key", kind.key_type), pa.field("value", kind.item_type)])
    return array.cast(pa.list_(entry))


def _check_map_keys(entries: pa.Array, path: str) -> None:
    keys = entries.flatten().field("key")
    if pa.types.is_nested(keys.type):  # not hashable; nothing looks up by such a key
        return
    pairs = pa.table({"row": _parents(entries), "key": keys})
    if pairs.group_by(["row", "key"]).aggregate([]).num_rows < len(keys):
        raise SchemaMismatchError(
            f"column '{path}' holds a map with a key twice",
            hint="readers keep one of them or neither: make the keys of each map unique",
            column=path,
        )


def _parents(array: pa.Array) -> Rows:
    """For each item of a flattened list array, the index of its list."""
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    return np.repeat(np.arange(len(array), dtype=np.int64), lengths)


def check_not_null(rows: pa.Table, schema: pa.Schema) -> None:
    """Refuse nulls where a schema says NOT NULL, at any depth.

    Args:
        rows: the schema's columns at least, in its types.
        schema: the table's.

    Raises:
        ConstraintError: ``column``, ``count`` and ``rows``, the indices of up to five such rows.
    """
    for field in schema:
        column = rows.column(field.name)
        if _is_nullable(field):
            continue
        found: dict[str, list[int]] = {}
        start = 0
        for chunk in column.chunks:
            for path, indices in _violations(chunk, field, field.name):
                found.setdefault(path, []).extend((indices + start).tolist())
            start += len(chunk)
        for path, nulls in found.items():
            raise ConstraintError(
                f"column '{path}' is NOT NULL, but is null in {len(nulls)} of {len(column)} rows, "
                f"the first at index {', '.join(map(str, nulls[:5]))}",
                hint="fill the nulls in, or leave these rows out",
                column=path,
                count=len(nulls),
                rows=tuple(nulls[:5]),
            )


def _is_nullable(field: pa.Field) -> bool:
    """Whether a field and all that lies below it may be null."""
    return bool(field.nullable) and all(_is_nullable(inner) for inner in _below(field.type))


def _below(kind: pa.DataType) -> list[pa.Field]:
    if pa.types.is_map(kind):
        return [kind.key_field, kind.item_field]
    return [kind.field(i) for i in range(kind.num_fields)] if pa.types.is_nested(kind) else []


def _violations(array: pa.Array, field: pa.Field, path: str) -> Iterator[tuple[str, Rows]]:
    """The paths below a field that are null where they must not be, with the indices of the array's rows."""
    if not field.nullable and array.null_count:
        yield path, _where(array.is_null())
    kind = array.type
    if pa.types.is_struct(kind):
        rows = _where(array.is_valid())
        children = array.filter(array.is_valid()).flatten()
    elif pa.types.is_list(kind) or pa.types.is_map(kind):
        lists = _entries(array) if pa.types.is_map(kind) else array
        rows = _parents(lists)
        children = lists.flatten().flatten() if pa.types.is_map(kind) else [lists.flatten()]
    else:
        return
    for inner, child in zip(_below(field.type), children, strict=True):
        for below, indices in _violations(child, inner, f"{path}.{inner.name}"):
            yield below, np.unique(rows[indices])


def _where(mask: pa.Array) -> Rows:
    return np.flatnonzero(mask.to_numpy(zero_copy_only=False)).astype(np.int64)
