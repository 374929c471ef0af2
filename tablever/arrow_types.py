"""What an Arrow type becomes in a table: the few types that Delta has, each in one Arrow form.

Canonical are ``string`` and ``binary`` (32-bit offsets), signed integers, ``float``, ``double``, ``bool``, ``date32``,
``timestamp[us]`` with zone UTC or none, ``decimal128``, ``list`` with an item named ``element``, ``struct``, ``map``.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from tablever.errors import SchemaMismatchError

UTC_MICROSECONDS = pa.timestamp("us", "UTC")
ELEMENT = "element"
_AS_THEY_ARE = (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.float32(), pa.float64(), pa.bool_())
_BECOMES = {kind: kind for kind in _AS_THEY_ARE} | {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.int64(),
    pa.float16(): pa.float32(),
}
_INTEGERS = (pa.int8(), pa.int16(), pa.int32(), pa.int64())
_DIGITS = dict(zip(_INTEGERS, (3, 5, 10, 19), strict=True))


def canonical_type(kind: pa.DataType, column: str) -> pa.DataType:
    """The type in which a table holds values of an Arrow type, with nothing lost.

    64-bit unsigned integers, nanoseconds, ``date64`` and wide decimals are judged by value when rows are converted.

    Raises:
        SchemaMismatchError: Delta has no type for it; the message names ``column``.
    """
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return canonical_type(kind.value_type, column)
    if pa.types.is_nested(kind):
        return _canonical_nested(kind, column)
    if pa.types.is_decimal(kind):
        return _canonical_decimal(kind, column)
    if kind in _BECOMES:
        return _BECOMES[kind]
    if is_text(kind) or is_json(kind):
        return pa.string()
    if is_bytes(kind):
        return pa.binary()
    if pa.types.is_date(kind):
        return pa.date32()
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us") if kind.tz is None else UTC_MICROSECONDS
    raise _no_type(column, kind, _advice(kind))


def is_json(kind: pa.DataType) -> bool:
    """Whether a type is Arrow's JSON extension: text by another name."""
    return isinstance(kind, pa.BaseExtensionType) and kind.extension_name == "arrow.json"


def is_text(kind: pa.DataType) -> bool:
    """Whether a type holds text in any layout."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def holds_floats(kind: pa.DataType) -> bool:
    """Whether values of a type are, or contain at any depth, floats: NaN may hide among them."""
    if pa.types.is_nested(kind):
        return any(holds_floats(kind.field(i).type) for i in range(kind.num_fields))
    return bool(pa.types.is_floating(kind))


def is_bytes(kind: pa.DataType) -> bool:
    """Whether a type holds bytes in any layout."""
    types = pa.types
    return bool(
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_binary_view(kind)
        or types.is_fixed_size_binary(kind)
    )


def _canonical_nested(kind: pa.DataType, column: str) -> pa.DataType:
    def inner(item: pa.Field, name: str) -> pa.Field:
        return pa.field(name, canonical_type(item.type, f"{column}.{name}"), item.nullable)

    if pa.types.is_struct(kind) and kind.num_fields:
        check_distinct([f.name for f in kind], f"column '{column}'")
        return pa.struct([inner(f, f.name) for f in kind])
    if pa.types.is_map(kind):
        return pa.map_(canonical_type(kind.key_type, f"{column}.key"), inner(kind.item_field, "value"))
    if is_list_like(kind):
        return pa.list_(inner(kind.value_field, ELEMENT))
    advice = "leave it out: a struct without fields holds nothing" if pa.types.is_struct(kind) else _advice(kind)
    raise _no_type(column, kind, advice)


def is_list_like(kind: pa.DataType) -> bool:
    """Whether a type is a list of any layout; maps are not."""
    types = pa.types
    return bool(
        types.is_list(kind)
        or types.is_large_list(kind)
        or types.is_fixed_size_list(kind)
        or types.is_list_view(kind)
        or types.is_large_list_view(kind)
    )


def _canonical_decimal(kind: pa.DataType, column: str) -> pa.DataType:
    precision, scale = kind.precision, kind.scale
    if scale < 0:
        precision, scale = precision - scale, 0
    precision = max(precision, scale)
    if precision > 38:
        raise _no_type(column, kind, "cast it to a decimal of at most 38 digits")
    return pa.decimal128(precision, scale)


def _advice(kind: pa.DataType) -> str:
    if isinstance(kind, pa.BaseExtensionType):
        return "cast it to its storage type, or to a string"
    if pa.types.is_null(kind):
        return "it holds nothing but nulls: give it a type, e.g. by a pyarrow schema"
    if pa.types.is_time(kind):
        return "cast it to a string, or to integer microseconds of the day"
    if pa.types.is_duration(kind):
        return "cast it to an integer and say the unit in the column's name"
    if pa.types.is_union(kind):
        return "give each member of the union a column of its own"
    return "cast it to a string"


def _no_type(column: str, kind: pa.DataType, advice: str) -> SchemaMismatchError:
    return SchemaMismatchError(
        f"column '{column}' has the type {kind}, for which Delta has none", hint=advice, column=column, found=kind
    )


def common_type(left: pa.DataType, right: pa.DataType) -> pa.DataType | None:
    """The narrowest type that holds every value of both types exactly; None where there is none."""
    if left == right:
        return left
    if pa.types.is_nested(left) or pa.types.is_nested(right):
        return _common_nested(left, right)
    pair = {left, right}
    if pair <= {*_INTEGERS}:
        return max(pair, key=_INTEGERS.index)
    if pair == {pa.date32(), pa.timestamp("us")}:
        return pa.timestamp("us")
    if pair <= {*_INTEGERS[:3], pa.float32(), pa.float64()}:
        return pa.float64()
    if all(pa.types.is_decimal(kind) or kind in _DIGITS for kind in pair):
        shapes = [(_DIGITS[kind], 0) if kind in _DIGITS else (kind.precision, kind.scale) for kind in pair]
        scale = max(scale for _, scale in shapes)
        precision = max(precision - scale_ for precision, scale_ in shapes) + scale
        return pa.decimal128(precision, scale) if precision <= 38 else None
    return None


def _common_nested(left: pa.DataType, right: pa.DataType) -> pa.DataType | None:
    if pa.types.is_list(left) and pa.types.is_list(right):
        inner = common_type(left.value_type, right.value_type)
        return None if inner is None else pa.list_(left.value_field.with_type(inner).with_nullable(True))
    if pa.types.is_map(left) and pa.types.is_map(right):
        parts = [common_type(left.key_type, right.key_type), common_type(left.item_type, right.item_type)]
        return None if None in parts else pa.map_(parts[0], pa.field("value", parts[1]))
    if pa.types.is_struct(left) and pa.types.is_struct(right):
        if [item.name for item in left] != [item.name for item in right]:
            return None
        inner = [common_type(left.field(item.name).type, item.type) for item in right]
        names = [item.name for item in right]
        return None if None in inner else pa.struct([pa.field(n, k) for n, k in zip(names, inner, strict=True)])
    return None


def check_distinct(names: Sequence[str], where: str) -> None:
    """Refuse names of columns, or of a struct's fields, that not every reader could tell apart or name.

    Raises:
        SchemaMismatchError: an empty name, one twice there or equal to another but for case (SQL does not tell them
            apart), one with a NUL character, or one that Polars reads as a pattern (``*``, ``^…$``).
    """
    seen: dict[str, str] = {}
    for name in names:
        if not name or "\0" in name or name == "*" or (name.startswith("^") and name.endswith("$")):
            raise SchemaMismatchError(
                f"{where} cannot have a field named {name!r}",
                hint="rename it: not every reader takes an empty name, a NUL character, '*' or '^…$' for a name",
                column=name,
            )
        other = seen.get(name.lower())
        seen[name.lower()] = name
        if other is not None:
            what = f"two fields named '{name}'" if other == name else f"'{other}' and '{name}', equal but for case"
            raise SchemaMismatchError(
                f"{where}: {what}", hint="rename one: SQL does not tell them apart", columns=(other, name)
            )
