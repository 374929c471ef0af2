"""Rows into a table's columns and types, losing nothing: judged by value, never cast in silence.

A value fits where it can be written in the other type and read back as what it was: ``int64`` 7 into ``int32``,
``double`` 3.0 into ``int32``, whole microseconds into microseconds. Text, booleans, numbers and times do not turn into
each other, nor do times with a zone and without one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tablever.arrow_types import canonical_type, is_bytes, is_json, is_list_like, is_text
from tablever.errors import SchemaMismatchError

_DAY = 86_400_000  # milliseconds
_REPLACE = "or change the column's type with overwrite(…, replace_schema=True)"
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_FIRST_SECOND, _AFTER_LAST_SECOND = -62_135_596_800, 253_402_300_800  # the years 1 to 9999
_EXACT_DIGITS = {pa.float32(): 6, pa.float64(): 15}  # decimals of so many digits survive the way there and back


def convert(array: pa.Array, target: pa.DataType, path: str) -> pa.Array:
    """The array's values in another type.

    Args:
        array: values of any Arrow type.
        target: a canonical type, or one that differs from it in the size of offsets only.
        path: the column, and the fields below it, for messages.

    Raises:
        SchemaMismatchError: the types have nothing in common, or a value does not fit; ``values`` holds up to three.
        pyarrow.ArrowInvalid: more than 2 GiB of text in one array.
    """
    source = array.type
    if source.equals(target, check_metadata=True):
        return array
    if source == target:  # but for the names of list items and map entries
        return array.cast(target)
    if pa.types.is_null(source):
        return pa.nulls(len(array), target)
    if pa.types.is_dictionary(source):
        return convert(_decoded(array, path), target, path)
    if pa.types.is_run_end_encoded(source):
        return convert(pc.run_end_decode(array), target, path)
    if is_json(source):
        return convert(array.storage, target, path)
    for fits, conversion in _CONVERSIONS:
        if fits(source, target):
            return conversion(array, target, path)
    raise _no_conversion(path, source, target)


def _decoded(array: pa.Array, path: str) -> pa.Array:
    values = array.dictionary
    kind = values.type
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):  # no kernel takes from views
        values = convert(values, pa.large_string() if pa.types.is_string_view(kind) else pa.large_binary(), path)
    return values.take(array.indices)


def _text(array: pa.Array, target: pa.DataType, _: str) -> pa.Array:
    # From views by way of 64-bit offsets: straight to 32 bits, pyarrow overflows without a word.
    if pa.types.is_string_view(array.type):
        array = array.cast(pa.large_string())
    elif pa.types.is_binary_view(array.type):
        array = array.cast(pa.large_binary())
    return array.cast(target)


def _integers(array: pa.Array, target: pa.DataType, path: str) -> pa.Array:
    low, high = _bounds(target)
    mine = _bounds(array.type)
    if low > mine[0] or high < mine[1]:
        _require(_between(array, max(low, mine[0]), min(high, mine[1])), array, target, path)
    return array.cast(target, safe=False)


def _floats_to_integers(array: pa.Array, target: pa.DataType, path: str) -> pa.Array:
    low, high = _bounds(target)
    values = array.cast(pa.float64())
    inside = pc.and_(pc.greater_equal(values, float(low)), pc.less(values, float(high + 1)))
    _require(pc.and_(inside, pc.equal(values, pc.trunc(values))), array, target, path)
    return values.cast(target, safe=False)


def _integers_to_floats(array: pa.Array, target: pa.DataType, path: str) -> pa.Array:
    low, high = _bounds(array.type)
    values = array.cast(target, safe=False)
    inside = pc.and_(pc.greater_equal(values, float(low)), pc.less(values, float(high + 1)))
    _require(pc.and_(inside, pc.equal(values.cast(array.type, safe=False), array)), array, target, path)
    return values


def _floats(array: pa.Array, target: pa.DataType, path: str) -> pa.Array:
    values = array.cast(target, safe=False)
    if target.bit_width < array.type.bit_width:
        same = pc.or_(pc.equal(values.cast(array.type), array), pc.is_nan(array))
        _require(same, array, target, path)
    return values


def _decimals(array: pa.Array, target: pa.DataType, path: str) -> pa.Array:
    return _each(array, target, path, lambda part: _wide(part).cast(target))


def _integers_to_decimals(array: pa.Array, target: pa.DataType, path: str) -> pa.Array:
    return _each(array, target, path, lambda part: part.cast(pa.decimal128(20, 0)).cast(target))


def _decimals_to_integers(array: pa.Array, target: pa.DataType, path: str) -> pa.Array:
    return _each(array, target, path, lambda part: _wide(part).cast(pa.decimal128(38, 0)).cast(target))


def _decimals_to_floats(array: pa.Array, target: pa.DataType, path: str) -> pa.Array:
    limit = Decimal((0, (1,), _EXACT_DIGITS[target] - array.type.scale))
    _require(pc.less(pc.abs(_wide(array)), pa.scalar(limit)), array, target, path)
    return array.cast(pa.string()).cast(target)  # pyarrow's own cast is off by one bit: 1.1 becomes 1.0999999999999999


def _floats_to_decimals(array: pa.Array, target: pa.DataType, path: str) -> pa.Array:
    return _each(array, target, path, lambda part: part.cast(pa.string()).cast(target))


def _wide(array: pa.Array) -> pa.Array:
    # Casts from 32 and 64-bit decimals to integers fail on values that fit.
    return array.cast(pa.decimal256(76, array.type.scale))


def _dates(array: pa.Array, target: pa.DataType, path: str) -> pa.Array:
    milliseconds = array.view(pa.int64())
    days = pc.divide(milliseconds, _DAY)
    whole = pc.equal(pc.multiply(days, _DAY), milliseconds)
    _require(pc.and_(whole, in_years(days, pa.date32())), array, target, path)
    return days.cast(pa.int32()).view(target)


def _timestamps(array: pa.Array, target: pa.DataType, path: str) -> pa.Array:
    count = array.view(pa.int64())
    per_second = _PER_SECOND[array.type.unit]
    if per_second > 10**6:
        whole = pc.divide(count, 1000)
        _require(pc.equal(pc.multiply(whole, 1000), count), array, target, path)
        count = whole
    elif per_second < 10**6:
        _require(in_years(count, array.type), array, target, path)
        count = pc.multiply(count, 10**6 // per_second)
    return count.view(target)


def _lists(array: pa.Array, target: pa.DataType, path: str) -> pa.Array:
    lengths = pc.fill_null(pc.list_value_length(array), 0)
    offsets = np.concatenate([[0], np.cumsum(lengths.to_numpy(zero_copy_only=False), dtype=np.int64)])
    values = convert(array.flatten(), target.value_type, f"{path}.{target.value_field.name}")
    if pa.types.is_large_list(target):
        return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), values, type=target, mask=_nulls(array))
    return pa.ListArray.from_arrays(pa.array(offsets).cast(pa.int32()), values, type=target, mask=_nulls(array))


def _structs(array: pa.Array, target: pa.DataType, path: str) -> pa.Array:
    names = [field.name for field in array.type]
    if sorted(names) != sorted(field.name for field in target):
        raise _no_conversion(path, array.type, target)
    children = array.flatten()
    parts = [convert(children[names.index(f.name)], f.type, f"{path}.{f.name}") for f in target]
    return pa.StructArray.from_arrays(parts, fields=list(target), mask=_nulls(array))


def _maps(array: pa.Array, target: pa.DataType, path: str) -> pa.Array:
    first, last = array.offsets[0].as_py(), array.offsets[-1].as_py()
    keys = convert(array.keys.slice(first, last - first), target.key_type, f"{path}.key")
    items = convert(array.items.slice(first, last - first), target.item_type, f"{path}.value")
    offsets = pc.subtract(array.offsets, pa.scalar(first, pa.int32()))
    return pa.MapArray.from_arrays(offsets, keys, items, type=target, mask=_nulls(array))


def _nulls(array: pa.Array) -> pa.Array | None:
    return array.is_null() if array.null_count else None


def _bounds(kind: pa.DataType) -> tuple[int, int]:
    if pa.types.is_unsigned_integer(kind):
        return 0, 2**kind.bit_width - 1
    return -(2 ** (kind.bit_width - 1)), 2 ** (kind.bit_width - 1) - 1


def _between(array: pa.Array, low: int, high: int) -> pa.Array:
    return pc.and_(
        pc.greater_equal(array, pa.scalar(low, array.type)), pc.less_equal(array, pa.scalar(high, array.type))
    )


def in_years(count: pa.Array, kind: pa.DataType) -> pa.Array:
    """Which days (``date32``) or units of a timestamp's type since 1970 lie in the years 1 to 9999.

    Others are refused: neither Python nor Spark can show them, and they mostly are a wrong unit.
    """
    if pa.types.is_date(kind):
        return _between(count, _FIRST_SECOND // 86_400, _AFTER_LAST_SECOND // 86_400 - 1)
    per_second = _PER_SECOND[kind.unit]
    return _between(count, _FIRST_SECOND * per_second, _AFTER_LAST_SECOND * per_second - 1)


def _require(fits: pa.Array, array: pa.Array, target: pa.DataType, path: str) -> None:
    if pc.all(fits).as_py() is False:
        raise misfit(path, array.type, target, array.filter(pc.invert(fits))[:3])


def _each(array: pa.Array, target: pa.DataType, path: str, attempt: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """Convert by a checked cast; where it fails, find the values by halving."""
    try:
        return attempt(array)
    except pa.ArrowInvalid as error:
        failing = _failing(array, attempt, 3)
        raise misfit(path, array.type, target, pa.concat_arrays(failing)) from error


def _failing(array: pa.Array, attempt: Callable[[pa.Array], pa.Array], wanted: int) -> list[pa.Array]:
    try:
        attempt(array)
    except pa.ArrowInvalid:
        if len(array) == 1:
            return [array]
        half = len(array) // 2
        found = _failing(array[:half], attempt, wanted)
        return found + (_failing(array[half:], attempt, wanted - len(found)) if len(found) < wanted else [])
    return []


def misfit(path: str, source: pa.DataType, target: pa.DataType, values: pa.Array) -> SchemaMismatchError:
    """The error for values that the target type cannot hold."""
    shown = values.cast(pa.string()).to_pylist()
    hint = f"change or leave out these values, {_REPLACE}"
    if pa.types.is_timestamp(source) and source.unit == "ns":
        hint = "round to microseconds, e.g. in Polars .dt.cast_time_unit('us')"
    return SchemaMismatchError(
        f"column '{path}': the table has {target}, the rows have {source} with values that do not fit: "
        f"{', '.join(shown)}",
        hint=hint,
        column=path,
        expected=target,
        found=source,
        values=tuple(shown),
    )


def _no_conversion(path: str, source: pa.DataType, target: pa.DataType) -> SchemaMismatchError:
    canonical_type(source, path)  # a type that no table holds has an error of its own
    hint = f"cast the column to {target} before writing, {_REPLACE}"
    if pa.types.is_struct(source) and pa.types.is_struct(target):
        hint = f"give the struct exactly the table's fields, null where there is no value, {_REPLACE}"
    elif pa.types.is_timestamp(source) and pa.types.is_timestamp(target):
        hint = (
            "say which zone these times are in, e.g. in Polars .dt.replace_time_zone('UTC')"
            if source.tz is None
            else "drop the zone, e.g. in Polars .dt.convert_time_zone('UTC').dt.replace_time_zone(None)"
        )
    return SchemaMismatchError(
        f"column '{path}': the table has {target}, the rows have {source}",
        hint=hint,
        column=path,
        expected=target,
        found=source,
    )


_INTEGER, _FLOAT, _DECIMAL = pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal


def _both(kind: Callable[[pa.DataType], bool]) -> Callable[[pa.DataType, pa.DataType], bool]:
    return lambda source, target: kind(source) and kind(target)


def _from(
    one: Callable[[pa.DataType], bool], other: Callable[[pa.DataType], bool]
) -> Callable[[pa.DataType, pa.DataType], bool]:
    return lambda source, target: one(source) and other(target)


def _both_timestamps(source: pa.DataType, target: pa.DataType) -> bool:
    stamps = pa.types.is_timestamp(source) and pa.types.is_timestamp(target)
    return bool(stamps and (source.tz is None) == (target.tz is None))


_Conversion = Callable[[pa.Array, pa.DataType, str], pa.Array]
_CONVERSIONS: Sequence[tuple[Callable[[pa.DataType, pa.DataType], bool], _Conversion]] = (
    (_both(is_text), _text),
    (_both(is_bytes), _text),
    (_both(_INTEGER), _integers),
    (_both(_FLOAT), _floats),
    (_both(_DECIMAL), _decimals),
    (_from(_INTEGER, _FLOAT), _integers_to_floats),
    (_from(_FLOAT, _INTEGER), _floats_to_integers),
    (_from(_INTEGER, _DECIMAL), _integers_to_decimals),
    (_from(_DECIMAL, _INTEGER), _decimals_to_integers),
    (_from(_FLOAT, _DECIMAL), _floats_to_decimals),
    (_from(_DECIMAL, _FLOAT), _decimals_to_floats),
    (_both(pa.types.is_date), _dates),
    (_both_timestamps, _timestamps),
    (_both(is_list_like), _lists),
    (_both(pa.types.is_struct), _structs),
    (_both(pa.types.is_map), _maps),
)
