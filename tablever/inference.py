"""The Arrow type of Python values, where no schema says it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from tablever.arrow_types import ELEMENT, UTC_MICROSECONDS
from tablever.errors import SchemaMismatchError
from tablever.texts import listed

_INFERRED = {
    "bool": pa.bool_(),
    "int": pa.int64(),
    "float": pa.float64(),
    "str": pa.string(),
    "bytes": pa.binary(),
    "date": pa.date32(),
    "naive datetime": pa.timestamp("us"),
    "aware datetime": UTC_MICROSECONDS,
}
_KINDS: tuple[tuple[str, type | tuple[type, ...]], ...] = (
    ("bool", bool),
    ("int", int),
    ("float", float),
    ("decimal", Decimal),
    ("str", str),
    ("bytes", (bytes, bytearray, memoryview)),
    ("list", (list, tuple)),
    ("dict", Mapping),
)


def inferred_type(values: Iterable[Any], path: str) -> pa.DataType:
    """The one type of a column's values; ``null`` where there are none.

    Raises:
        SchemaMismatchError: values of several kinds, or of one that no column holds.
    """
    first: dict[str, tuple[int, Any]] = {}
    present = []
    for index, value in enumerate(values):
        if value is not None:
            present.append(value)
            first.setdefault(_kind(value), (index, value))
    kinds = set(first)
    if not kinds:
        return pa.null()
    if kinds in ({"int", "float"}, {"int"}, {"float"}):
        return _INFERRED["float" if "float" in kinds else "int"]
    if "decimal" in kinds and kinds <= {"int", "decimal"}:
        return _inferred_decimal(present, path)
    if len(kinds) > 1:
        seen = " and ".join(f"{kind} (row {index}: {shown(value)})" for kind, (index, value) in first.items())
        raise SchemaMismatchError(
            f"column '{path}' holds {seen}", hint="give one type of value in a column", column=path, found=tuple(first)
        )
    kind = kinds.pop()
    if kind == "list":
        inner = inferred_type([plain(item) for value in present for item in value], f"{path}.{ELEMENT}")
        return pa.list_(pa.field(ELEMENT, inner))
    if kind == "dict":
        return _inferred_struct(present, path)
    if kind not in _INFERRED:
        raise SchemaMismatchError(
            f"column '{path}' holds {shown(first[kind][1])}, which no column can hold",
            hint=f"columns hold {listed([*_INFERRED, 'Decimal', 'list', 'dict'])}",
            column=path,
            found=kind,
        )
    return _INFERRED[kind]


def _kind(value: Any) -> str:
    for name, types in _KINDS:
        if isinstance(value, types):
            return name
    if isinstance(value, datetime):
        return "naive datetime" if value.utcoffset() is None else "aware datetime"
    return "date" if isinstance(value, date) else type(value).__name__


def _inferred_struct(values: list[Mapping[Any, Any]], path: str) -> pa.DataType:
    names: dict[Any, None] = {}
    for value in values:
        names |= dict.fromkeys(value)
    wrong = [name for name in names if not isinstance(name, str) or not is_unicode(name)]
    if wrong:
        raise SchemaMismatchError(
            f"column '{path}' holds a dict with the key {wrong[0]!r}, which is no text",
            hint="keys of a struct are strings; for a map create the table with a pyarrow schema",
            column=path,
        )
    return pa.struct(
        [pa.field(name, inferred_type([plain(v.get(name)) for v in values], f"{path}.{name}")) for name in names]
    )


def _inferred_decimal(values: list[Any], path: str) -> pa.DataType:
    numbers = [Decimal(value) for value in values]
    finite = [number for number in numbers if number.is_finite()]
    scale = max([0, *(-int(n.as_tuple().exponent) for n in finite)])
    whole = max([1, *(n.adjusted() + 1 for n in finite if n)])
    if whole + scale > 38 or len(finite) < len(numbers):
        raise SchemaMismatchError(
            f"column '{path}' holds decimals that no type of 38 digits can hold together",
            hint="round them, or give floats",
            column=path,
        )
    return pa.decimal128(max(whole + scale, 1), scale)


def is_unicode(value: str) -> bool:
    """Whether text can be written as UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def plain(value: Any) -> Any:
    """NumPy's and pandas' values as Python's; a missing one as None."""
    module = type(value).__module__
    if module == "numpy" and type(value).__name__ not in ("datetime64", "timedelta64"):
        return value.tolist() if hasattr(value, "tolist") else value
    if module.startswith("pandas") and type(value).__name__ in ("NaTType", "NAType"):
        return None
    return value


def shown(value: Any) -> str:
    """A value and its type, short enough for a message."""
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '…'} of type {type(value).__name__}"
