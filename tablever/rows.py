"""When two values are equal, and what a set of rows is called by its content.

Equality: the same type and value; null equals null, NaN equals NaN, -0.0 equals 0.0; text by code point, instants by
microsecond, decimals by value, nested values by their elements in order. Polars compares so; pyarrow and SQL do not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

_GROUP, _PLACE = "__tv_group", "__tv_place"


def differs(left: pl.DataFrame, right: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    """For two frames of equal height, whether row i of one differs from row i of the other in any of the columns."""
    if not columns:
        return pl.repeat(False, left.height, dtype=pl.Boolean, eager=True)
    unequal = [left[name].ne_missing(right[name]) for name in columns]
    return pl.DataFrame([s.alias(str(i)) for i, s in enumerate(unequal)]).select(pl.any_horizontal(pl.all()))["0"]


def equal_groups(frames: Sequence[pl.DataFrame], columns: Sequence[str]) -> list[pl.Series]:
    """For each row of some frames a number, the same exactly where rows, of any frame, are equal in the columns."""
    whole = pl.concat([frame.select(columns) for frame in frames]).with_row_index(_PLACE)
    groups = whole.group_by(list(columns)).agg(pl.col(_PLACE)).with_row_index(_GROUP).select(_GROUP, _PLACE)
    numbers = groups.explode(_PLACE).sort(_PLACE)[_GROUP]
    ends = list(accumulate((frame.height for frame in frames), initial=0))
    return [numbers[start:end] for start, end in pairwise(ends)]


def digest(rows: pa.Table) -> str:
    """SHA-256 (hex) over column names, types and values in row order: equal for equal tables, however chunked.

    What lies under a null, and how text is laid out, does not count.
    """
    content = hashlib.sha256()
    for field in rows.schema:
        content.update(f"{field.name}\0{field.type}\0{rows.num_rows}\0".encode())
        column = rows.column(field.name).combine_chunks()
        for part in _parts(column):
            content.update(part)
    return content.hexdigest()


def _parts(array: pa.Array | pa.ChunkedArray) -> Iterator[bytes | pa.Buffer]:
    """The bytes that say what an array holds: validity first, then values, then children."""
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    yield array.is_valid().cast(pa.int8()).buffers()[1] or b""
    kind = array.type
    if pa.types.is_struct(kind):
        for i in range(kind.num_fields):
            yield from _parts(pc.struct_field(array, [i]))
    elif pa.types.is_map(kind):
        yield from _parts(array.cast(pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)]))))
    elif pa.types.is_list(kind):
        yield from _parts(pc.fill_null(pc.list_value_length(array), 0).cast(pa.int64()))
        yield from _parts(pc.list_flatten(array))
    elif pa.types.is_string(kind) or pa.types.is_binary(kind):
        filled = pc.fill_null(array.cast(pa.binary()), b"")
        yield from _fixed(pc.binary_length(filled).cast(pa.int64()))
        yield b"".join(filled.to_pylist())
    elif not pa.types.is_null(kind):
        yield from _fixed(array)


def _fixed(array: pa.Array) -> Iterator[pa.Buffer | bytes]:
    """The bytes of values of one width, nulls as zero, every zero and every NaN alike."""
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.int8())
    if pa.types.is_floating(array.type):
        array = pc.if_else(pc.equal(array, 0), pa.scalar(0, array.type), array)
        array = pc.if_else(pc.is_nan(array), pa.scalar(float("nan"), array.type), array)
    if pa.types.is_temporal(array.type):
        array = array.view(pa.int32() if array.type.bit_width == 32 else pa.int64())
    filled = pc.fill_null(array, pa.scalar(0, array.type))
    width = array.type.bit_width // 8
    buffer = filled.buffers()[1]
    yield b"" if buffer is None else buffer.slice(filled.offset * width, len(filled) * width)
