"""JSON values to and from the values of Arrow types: strict, with the place of what does not fit."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Context, Decimal, Inexact, InvalidOperation
from math import isfinite
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tablever.json_values import JSON, to_json

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}(\.\d{1,6}0*)?)?(Z|[+-]\d{2}(:?\d{2})?)?)?", re.ASCII)
_LARGEST_FLOAT32 = (2 - 2**-24) * 2.0**127  # from here on the nearest float32 is infinite


class Misfit(Exception):  # noqa: N818  # it is a finding, turned into an error where the line is known
    """A JSON value that does not fit its type; ``path`` is where in the row, as in ``tags[2].name``."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.path = path
        self.reason = reason


def type_name(kind: pa.DataType) -> str:
    """The type as messages and `tablever schema` write it."""
    if pa.types.is_timestamp(kind):
        return "timestamp" if kind.tz else "timestamp_ntz"
    if pa.types.is_decimal(kind):
        return f"decimal({kind.precision}, {kind.scale})"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"list<{type_name(kind.value_type)}>"
    if pa.types.is_struct(kind):
        return "struct<" + ", ".join(f"{item.name}: {type_name(item.type)}" for item in kind) + ">"
    if pa.types.is_map(kind):
        return f"map<{type_name(kind.key_type)}, {type_name(kind.item_type)}>"
    simple = {"double": "float64", "float": "float32", "date32[day]": "date", "large_string": "string"}
    return simple.get(str(kind), str(kind))


def fit(value: Any, kind: pa.DataType, path: str = "") -> Any:
    """The JSON value as what pyarrow takes for ``kind``; Misfit where something would be lost or guessed."""
    if value is None:
        return None
    if pa.types.is_list(kind):
        items = _expect(value, list, kind, path)
        return [fit(item, kind.value_type, f"{path}[{index}]") for index, item in enumerate(items)]
    if pa.types.is_struct(kind):
        return _fit_struct(_expect(value, dict, kind, path), kind, path)
    if pa.types.is_map(kind):
        return _fit_map(value, kind, path)
    for is_kind, convert in _SCALARS:
        if is_kind(kind):
            return convert(value, kind, path)
    raise Misfit(path, f"no JSON value is of type {type_name(kind)}")


def _wrong(value: Any, kind: pa.DataType, path: str, more: str = "") -> Misfit:
    text = str(value) if isinstance(value, Decimal) else repr(value)
    text = text if len(text) <= 60 else text[:57] + "…"
    return Misfit(path, f"{text} is not of type {type_name(kind)}{more}")


def _expect(value: Any, python: type, kind: pa.DataType, path: str) -> Any:
    if not isinstance(value, python) or (isinstance(value, bool) and python is not bool):
        raise _wrong(value, kind, path)
    return value


def _fit_struct(value: dict[str, Any], kind: pa.DataType, path: str) -> dict[str, Any]:
    names = [item.name for item in kind]
    unknown = [name for name in value if name not in names]
    if unknown:
        raise Misfit(f"{path}.{unknown[0]}".lstrip("."), f"there is no such field in {type_name(kind)}")
    inside = f"{path}." if path else ""
    return {item.name: fit(value.get(item.name), item.type, inside + item.name) for item in kind}


def _fit_map(value: Any, kind: pa.DataType, path: str) -> list[tuple[Any, Any]]:
    if isinstance(value, dict) and pa.types.is_string(kind.key_type):
        return [(key, fit(item, kind.item_type, f"{path}[{key!r}]")) for key, item in value.items()]
    pairs = []
    for index, pair in enumerate(_expect(value, list, kind, path)):
        if not isinstance(pair, list) or len(pair) != 2 or pair[0] is None:
            raise Misfit(f"{path}[{index}]", "a map is an object, or a list of [key, value]")
        pairs.append((fit(pair[0], kind.key_type, path), fit(pair[1], kind.item_type, f"{path}[{index}]")))
    return pairs


def _integer(value: Any, kind: pa.DataType, path: str) -> int:
    limit = 1 << kind.bit_width - 1
    number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    if not number or not -limit <= value < limit or value != int(value):
        raise _wrong(value, kind, path)
    return int(value)


def _float(value: Any, kind: pa.DataType, path: str) -> float:
    if value in ("NaN", "Infinity", "-Infinity") and isinstance(value, str):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise _wrong(value, kind, path)
    try:
        number = float(value)
    except OverflowError:
        number = float("inf")
    largest = _LARGEST_FLOAT32 if kind == pa.float32() else float("inf")
    if not isinstance(value, float) and abs(number) >= largest:
        raise _wrong(value, kind, path, " (too large)")
    return number


def _decimal(value: Any, kind: pa.DataType, path: str) -> Decimal:
    exact = Context(prec=kind.precision, traps=[Inexact, InvalidOperation])
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise _wrong(value, kind, path)
    try:
        number = Decimal(value)
        if number.is_finite():
            return number.quantize(Decimal(1).scaleb(-kind.scale), context=exact)
    except Inexact:
        raise _wrong(value, kind, path, " (more decimals than the type holds)") from None
    except InvalidOperation:
        pass
    raise _wrong(value, kind, path)


def _date(value: Any, kind: pa.DataType, path: str) -> date:
    try:
        return date.fromisoformat(_matching(_DATE, value, kind, path))
    except ValueError:
        raise _wrong(value, kind, path) from None


def _timestamp(value: Any, kind: pa.DataType, path: str) -> datetime:
    try:
        instant = datetime.fromisoformat(_matching(_INSTANT, value, kind, path))
        if (instant.tzinfo is None) != bool(kind.tz):
            return instant.astimezone(UTC) if kind.tz else instant
    except (ValueError, OverflowError):
        raise _wrong(value, kind, path) from None
    raise _wrong(value, kind, path, " (a zone is missing)" if kind.tz else " (the column's times have no zone)")


def _matching(pattern: re.Pattern[str], value: Any, kind: pa.DataType, path: str) -> str:
    text: str = _expect(value, str, kind, path)
    if not pattern.fullmatch(text):
        raise _wrong(value, kind, path)
    return text


def _binary(value: Any, kind: pa.DataType, path: str) -> bytes:
    try:
        return base64.b64decode(_expect(value, str, kind, path), validate=True)
    except (ValueError, binascii.Error):
        raise _wrong(value, kind, path, " (bytes are written in base64)") from None


def _string(value: Any, kind: pa.DataType, path: str) -> str:
    return str(_expect(value, str, kind, path))


def _boolean(value: Any, kind: pa.DataType, path: str) -> bool:
    return bool(_expect(value, bool, kind, path))


_SCALARS: tuple[tuple[Callable[[pa.DataType], bool], Callable[[Any, pa.DataType, str], Any]], ...] = (
    (pa.types.is_string, _string),
    (pa.types.is_integer, _integer),
    (pa.types.is_floating, _float),
    (pa.types.is_boolean, _boolean),
    (pa.types.is_decimal, _decimal),
    (pa.types.is_date, _date),
    (pa.types.is_timestamp, _timestamp),
    (pa.types.is_binary, _binary),
)


_ESCAPED = r'["\\\p{C}\p{Zl}\p{Zp}]'  # and a few more, which JSON.encode leaves as they are


def json_objects(rows: pa.RecordBatch) -> pa.LargeStringArray:
    """Each row as the text of a JSON object, without spaces; what JSON lacks as ``to_json`` has it."""
    parts: list[str | pa.LargeStringArray] = []
    for name, column in zip(rows.schema.names, rows.columns, strict=True):
        parts += [("," if parts else "{") + JSON.encode(name) + ":", json_texts(column)]
    return joined(*parts, "}")


def json_texts(column: pa.Array) -> pa.LargeStringArray:
    """Each value as the text of a JSON value; null as ``null``."""
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        texts = column.cast(pa.large_string())
    elif pa.types.is_string(kind):
        texts = joined('"', column.cast(pa.large_string()), '"')
        escaped = pc.fill_null(pc.match_substring_regex(column, _ESCAPED), False)
        if escaped.true_count:
            rest = pa.array(map(JSON.encode, column.filter(escaped).to_pylist()), pa.large_string())
            texts = pc.replace_with_mask(texts, escaped, rest)
    else:
        values = column.to_pylist()
        texts = pa.array([None if value is None else _json_text(value) for value in values], pa.large_string())
    return pc.fill_null(texts, "null")


def _json_text(value: Any) -> str:
    return repr(value) if type(value) is float and isfinite(value) else JSON.encode(to_json(value))


def joined(*parts: str | pa.LargeStringArray) -> pa.LargeStringArray:
    """Texts put together row by row; null where one of them is."""
    texts = [pa.scalar(part, pa.large_string()) if isinstance(part, str) else part for part in parts]
    return pc.binary_join_element_wise(*texts, pa.scalar("", pa.large_string()))


def column_texts(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Values as text, as CSV has them: JSON for nested ones; whole floats keep their ``.0``. Null stays null."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    array = pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole
    kind = array.type
    if pa.types.is_string(kind):
        return array
    if pa.types.is_floating(kind):
        texts = pc.cast(array, pa.string())
        bare = pc.match_substring_regex(texts, "^-?[0-9]+$")
        return pc.if_else(bare, pc.binary_join_element_wise(texts, ".0", ""), texts)
    plain = (pa.types.is_integer, pa.types.is_decimal, pa.types.is_boolean, pa.types.is_large_string)
    if any(is_plain(kind) for is_plain in plain) or pa.types.is_string_view(kind):
        return pc.cast(array, pa.string())
    return pa.array([_text(to_json(value)) for value in array.to_pylist()], pa.string())


def _text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
