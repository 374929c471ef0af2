"""A list of dicts into Arrow: parsed against the table's schema where it has the column, inferred where it has not.

Python's own types are told apart: ``True`` is no integer, a naive datetime is no instant, text is no number. Numbers
are judged by what was written: ``1.0`` is an integer's value, ``0.1`` a 32-bit float's, since it reads back as 0.1.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any

import pyarrow as pa

from tablever.errors import InvalidInputError, SchemaMismatchError
from tablever.inference import inferred_type, is_unicode, plain, shown

Parser = Callable[[Any], Any]
_WANTED = 3
_EXACT = Context(prec=76, traps=[Inexact, InvalidOperation])


class _UnfitError(ValueError):
    """A value that the type cannot hold; caught where the column is known."""


def from_records(records: Sequence[Any], schema: pa.Schema | None) -> pa.Table:
    """Rows as a table: the schema's columns that any row has, in its order, then the others in order of appearance.

    A key that some rows lack is null in them. Columns that the schema has and no row are left out.

    Raises:
        InvalidInputError: something other than a dict in the list, a key that is no text, or no columns at all.
        SchemaMismatchError: values that the column's type cannot hold, or values of several types in one column.
    """
    keys = _keys(records)
    if schema is not None and not records:
        return schema.empty_table()
    if not keys:
        raise InvalidInputError("the rows have no columns", hint="give a pyarrow schema, or rows with values")
    known = {f.name: f.type for f in schema} if schema is not None else {}
    ordered = [name for name in known if name in keys] + [name for name in keys if name not in known]
    columns = {}
    for name in ordered:
        values = [plain(record.get(name)) for record in records]
        kind = known[name] if name in known else inferred_type(values, name)
        columns[name] = _array(values, kind, name)
    return pa.table(columns)


def _keys(records: Sequence[Any]) -> dict[str, None]:
    keys: dict[str, None] = {}
    for index, record in enumerate(records):
        if not isinstance(record, Mapping):
            raise InvalidInputError(
                f"row {index} of the list is a {type(record).__name__}, not a dict",
                hint="a list of rows is a list of dicts, column name to value",
                row=index,
            )
        for name in record:
            if name not in keys:
                keys[_checked_name(name, index)] = None
    return keys


def _checked_name(name: Any, index: int) -> str:
    if not isinstance(name, str) or not is_unicode(name):
        raise InvalidInputError(f"row {index} has the key {name!r}, which is no text", hint="column names are strings")
    return name


def _array(values: list[Any], kind: pa.DataType, name: str) -> pa.Array:
    parser = _parser(kind)
    parsed, misfits = [], []
    for index, value in enumerate(values):
        try:
            parsed.append(None if value is None else parser(value))
        except _UnfitError as error:
            misfits.append((index, error.args[0] if error.args else value))
            if len(misfits) == _WANTED:
                break
    if misfits:
        texts = ", ".join(f"{shown(value)} (row {index})" for index, value in misfits)
        raise SchemaMismatchError(
            f"column '{name}' of type {kind} cannot hold {texts}",
            hint=_hint(misfits[0][1], kind),
            column=name,
            expected=kind,
            values=tuple(value for _, value in misfits),
            rows=tuple(index for index, _ in misfits),
        )
    return pa.array(parsed, kind)


def _hint(value: Any, kind: pa.DataType) -> str:
    if isinstance(value, datetime) and pa.types.is_timestamp(kind):
        if value.tzinfo is not None and kind.tz is None:
            return "give datetimes without a tzinfo"
        if value.tzinfo is None and kind.tz is not None:
            return "say the zone, e.g. value.replace(tzinfo=datetime.UTC)"
    if isinstance(value, str) and pa.types.is_date(kind) | pa.types.is_timestamp(kind):
        return "parse the text, e.g. datetime.fromisoformat(value)"
    return f"give values that {kind} holds, or give the column another type"


def _parser(kind: pa.DataType) -> Parser:
    """What turns a Python value (not None) into one that pyarrow stores in the type as it is; raises _UnfitError."""
    if pa.types.is_struct(kind):
        return _struct_parser({f.name: _parser(f.type) for f in kind})
    if pa.types.is_map(kind):
        return _map_parser(_parser(kind.key_type), _parser(kind.item_type))
    if pa.types.is_list(kind):
        return _list_parser(_parser(kind.value_type))
    if pa.types.is_integer(kind):
        return _integer_parser(kind.bit_width)
    if pa.types.is_decimal(kind):
        return _decimal_parser(kind.precision, kind.scale)
    if pa.types.is_timestamp(kind):
        return _naive if kind.tz is None else _instant
    return _PARSERS[kind]


def _each(parser: Parser, values: Iterable[Any]) -> list[Any]:
    return [None if value is None else parser(value) for value in map(plain, values)]


def _list_parser(parser: Parser) -> Parser:
    def parse(value: Any) -> Any:
        if not isinstance(value, list | tuple):
            raise _UnfitError(value)
        return _each(parser, value)

    return parse


def _struct_parser(parsers: dict[str, Parser]) -> Parser:
    def parse(value: Any) -> Any:
        if not isinstance(value, Mapping) or not value.keys() <= parsers.keys():
            raise _UnfitError(value)
        return {name: _each(parser, [value.get(name)])[0] for name, parser in parsers.items()}

    return parse


def _map_parser(key: Parser, item: Parser) -> Parser:
    def parse(value: Any) -> Any:
        pairs = list(value.items()) if isinstance(value, Mapping) else value
        if not isinstance(pairs, list) or any(not isinstance(p, tuple | list) or len(p) != 2 for p in pairs):
            raise _UnfitError(value)
        keys = _each(key, [k for k, _ in pairs])
        if None in keys:
            raise _UnfitError(value)
        return list(zip(keys, _each(item, [v for _, v in pairs]), strict=True))

    return parse


def _integer_parser(bits: int) -> Parser:
    def parse(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            raise _UnfitError(value)
        try:
            whole = int(value)
        except (ValueError, OverflowError):  # NaN, infinity
            raise _UnfitError(value) from None
        if whole != value or not -(2 ** (bits - 1)) <= whole < 2 ** (bits - 1):
            raise _UnfitError(value)
        return whole

    return parse


def _decimal_parser(precision: int, scale: int) -> Parser:
    unit = Decimal((0, (1,), -scale))

    def parse(value: Any) -> Any:
        try:
            number = _as_decimal(value).quantize(unit, context=_EXACT)
        except (Inexact, InvalidOperation):
            raise _UnfitError(value) from None
        if not number.is_finite() or (number and number.adjusted() >= precision - scale):
            raise _UnfitError(value)
        return number

    return parse


def _as_decimal(value: Any) -> Decimal:
    """The number as it was written: a float by its shortest text."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise _UnfitError(value)
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


def _double(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise _UnfitError(value)
    try:
        number = float(value)
    except OverflowError:
        raise _UnfitError(value) from None
    if isinstance(value, Decimal):
        same = value.is_nan() or Decimal(repr(number)) == value
    else:
        same = number == value or number != number
    if not same:
        raise _UnfitError(value)
    return number


def _single(value: Any) -> float:
    """A number whose digits, as written, a 32-bit float gives back."""
    number = _double(value)
    try:
        nearest = float(struct.unpack("f", struct.pack("f", number))[0])
    except OverflowError:
        raise _UnfitError(value) from None
    digits = len(Decimal(repr(number)).as_tuple().digits)
    if nearest != number and number == number and float(f"{nearest:.{digits}g}") != number:
        raise _UnfitError(value)
    return nearest


def _nothing(value: Any) -> Any:
    raise _UnfitError(value)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _UnfitError(value)
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not is_unicode(value):
        raise _UnfitError(value)
    return value


def _bytes(value: Any) -> bytes:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise _UnfitError(value)
    return bytes(value)


def _day(value: Any) -> date:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise _UnfitError(value)
    return value


def _moment(value: Any, *, aware: bool) -> datetime:
    if not isinstance(value, datetime) or (value.utcoffset() is not None) != aware:
        raise _UnfitError(value)
    if getattr(value, "nanosecond", 0):  # pandas' timestamps are datetimes with more digits
        raise _UnfitError(value)
    return value


def _naive(value: Any) -> datetime:
    return _moment(value, aware=False)


def _instant(value: Any) -> datetime:
    try:
        return _moment(value, aware=True).astimezone(UTC)
    except OverflowError:
        raise _UnfitError(value) from None


_PARSERS: dict[pa.DataType, Parser] = {
    pa.null(): _nothing,
    pa.bool_(): _boolean,
    pa.float32(): _single,
    pa.float64(): _double,
    pa.string(): _text,
    pa.binary(): _bytes,
    pa.date32(): _day,
}
