"""A file's statistics: gathered when it is written, read as bounds when files are pruned.

Source: Delta protocol, "Per-file Statistics". NaN is in no statistics; timestamps are cut to milliseconds, so an
upper bound read from the log may be up to 1 ms too low; strings are cut to 32 characters, the upper one raised.
"""

from __future__ import annotations

import json
import math
import re
import uuid
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tablever import strict_json
from tablever.model import DataFile

INDEXED_COLUMNS = 32
STRING_PREFIX = 32
HIGHEST_CHARACTER = "\U0010ffff"
MILLISECOND = timedelta(milliseconds=1)
DOUBLE_ERROR = Decimal("1e-15")
# What writers put after a string that they cut, so that it is no lower than the whole.
CUT_SUFFIXES = ("\x7f", "\ufffd", HIGHEST_CHARACTER)


@dataclass(frozen=True)
class Bounds:
    """What the log says of one column in one file; ``lower`` and ``upper`` are inclusive, NaN lies outside them."""

    lower: Any
    upper: Any


def gather(rows: pa.Table) -> str:
    """The statistics JSON of a file that holds these rows: row count, and per column bounds and null count."""
    lower: dict[str, Any] = {}
    upper: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    for name in rows.column_names[:INDEXED_COLUMNS]:
        column = rows.column(name)
        if pa.types.is_nested(column.type):
            continue
        nulls[name] = column.null_count
        bounds = _bounds_of(column)
        if bounds is not None:
            lower[name], upper[name] = bounds.lower, bounds.upper
    stats = {
        "numRecords": rows.num_rows,
        "minValues": lower,
        "maxValues": upper,
        "nullCount": nulls,
        "tightBounds": True,
    }
    return json.dumps(stats, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _bounds_of(column: pa.ChunkedArray) -> Bounds | None:
    kind = column.type
    if pa.types.is_boolean(kind) or pa.types.is_binary(kind) or column.null_count == len(column):
        return None
    if pa.types.is_floating(kind) and pc.any(pc.is_nan(column)).as_py():
        return (
            None  # bounds that NaN lies outside of: deltalake 1.6.6 takes [NaN, 1.5] for a column of 1.5, and writes it
        )
    low, high = pc.min_max(column).values()
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return _time_bounds(low, high, kind)
    return _json_bounds(low.as_py(), high.as_py())


def _time_bounds(low: pa.Scalar, high: pa.Scalar, kind: pa.DataType) -> Bounds | None:
    try:
        first, last = low.as_py(), high.as_py()
    except (ValueError, OverflowError):
        return None
    if pa.types.is_date(kind):
        return Bounds(first.isoformat(), last.isoformat())
    zone = "Z" if kind.tz else ""
    return Bounds(*(moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + zone for moment in (first, last)))


def _json_bounds(low: Any, high: Any) -> Bounds | None:
    if isinstance(low, str):
        return Bounds(low[:STRING_PREFIX], _raised(high))
    if isinstance(low, Decimal):
        exact = [_exact_number(value) for value in (low, high)]
        return None if None in exact else Bounds(*exact)
    if isinstance(low, float) and not (math.isfinite(low) and math.isfinite(high)):
        return None
    return Bounds(low, high)


def _raised(text: str) -> str:
    if len(text) <= STRING_PREFIX:
        return text
    cut = STRING_PREFIX
    while cut < len(text) and text[cut] == HIGHEST_CHARACTER:
        cut += 1
    return text[:cut] + (HIGHEST_CHARACTER if cut < len(text) else "")


def _exact_number(value: Decimal) -> int | float | None:
    if value == value.to_integral_value():
        return int(value)
    number = float(value)
    return number if Decimal(repr(number)) == value else None


def loosened(file: DataFile, rows: int) -> str:
    """A file's statistics once some of its rows are deleted: the same bounds, said to be wide.

    Numbers are carried over digit by digit: a bound that is rounded may be a bound no more.
    """
    mark = uuid.uuid4().hex
    try:
        known = strict_json.loads(file.stats or "{}", parse_float=lambda digits: mark + digits)
    except ValueError:
        known = {}
    text = json.dumps(
        {"numRecords": rows, **(known if isinstance(known, dict) else {}), "tightBounds": False},
        ensure_ascii=False,
        separators=(",", ":"),
        allow_nan=False,
    )
    return re.sub(f'"{mark}([^"]*)"', r"\1", text)


def bounds(file: DataFile, column: str, kind: pa.DataType) -> Bounds | None:
    """What a file's statistics promise about a column, as Python values of its type; None where they promise nothing.

    ``column`` is the physical name. Bounds hold whether or not they are tight: rows that a vector deletes only
    narrow what is there. A statistic that is not a value of the column's type promises nothing.
    """
    return bounds_of([file], column, kind)[0]


def bounds_of(files: Sequence[DataFile], column: str, kind: pa.DataType) -> list[Bounds | None]:
    """As ``bounds``, for many files."""
    name = f"{kind} {column}"
    found = []
    for file in files:  # thousands at every commit, of which all but the newest have been read before
        known = file.typed_bounds
        found.append(known[name] if name in known else known.setdefault(name, _read_bounds(file, column, kind)))
    return found


def _read_bounds(file: DataFile, column: str, kind: pa.DataType) -> Bounds | None:
    stats = file.parsed_stats
    low, high = _value(stats.get("minValues"), column), _value(stats.get("maxValues"), column)
    try:
        lower, upper = _typed(low, kind), _typed(high, kind)
        return None if lower is None or upper is None else _widened(lower, upper)
    except (ValueError, TypeError, ArithmeticError):  # decimals have errors of their own for what overflows
        return None


def _widened(lower: Any, upper: Any) -> Bounds | None:
    """Bounds that hold whatever the writer cut: some write decimals as doubles and cut instants to milliseconds."""
    if isinstance(lower, Decimal):
        if not (lower.is_finite() and upper.is_finite()):
            return None
        return Bounds(lower - abs(lower) * DOUBLE_ERROR, upper + abs(upper) * DOUBLE_ERROR)
    if isinstance(lower, datetime):
        first, last = datetime.min.replace(tzinfo=lower.tzinfo), datetime.max.replace(tzinfo=lower.tzinfo)
        return Bounds(
            first if lower - first < MILLISECOND else lower - MILLISECOND,
            last if last - upper < MILLISECOND else upper + MILLISECOND,
        )
    return Bounds(lower, upper)


def surely_above(value: Any, upper: Any) -> bool:
    """Whether a value lies above everything that an upper bound stands for.

    The upper bound of text may be a mere prefix of the highest, with or without a raised last character.
    """
    if isinstance(upper, str):
        prefix = upper[:-1] if upper.endswith(CUT_SUFFIXES) else upper
        return bool(value[: len(prefix)] > prefix)
    return bool(value > upper)


def null_count(file: DataFile, column: str) -> int | None:
    """How many nulls a column has, where the statistics say it exactly."""
    if file.vector is not None or file.parsed_stats.get("tightBounds") is False:
        return None
    value = _value(file.parsed_stats.get("nullCount"), column)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _value(values: Any, column: str) -> Any:
    return values.get(column) if isinstance(values, dict) else None


def _typed(value: Any, kind: pa.DataType) -> Any:
    if value is None or isinstance(value, bool):
        return None
    if pa.types.is_integer(kind):
        return value if isinstance(value, int) else None
    if pa.types.is_floating(kind):
        return float(value) if isinstance(value, int | Decimal) and math.isfinite(value) else None
    if pa.types.is_decimal(kind):
        return Decimal(value)
    if pa.types.is_string(kind):
        return value if isinstance(value, str) else None
    if pa.types.is_date(kind):
        return date.fromisoformat(value)
    if pa.types.is_timestamp(kind):
        moment = datetime.fromisoformat(value)
        if kind.tz:
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        return None if moment.tzinfo is not None else moment
    return None


def may_hold(files: Sequence[DataFile], column: str, kind: pa.DataType, ordered: Sequence[Any]) -> list[DataFile]:
    """The files whose bounds do not exclude every one of some values, which are sorted ascending and not null."""
    if not ordered:
        return []
    known = zip(files, bounds_of(files, column, kind), strict=True)
    lowest, highest = ordered[0], ordered[-1]
    if isinstance(lowest, str):  # an upper bound of text says less than it looks
        return [
            file for file, limits in known if limits is None or (limits.lower <= highest and _reach(limits, ordered))
        ]
    return [
        file
        for file, limits in known
        # Most files lie apart from all the values, which is told before a value is looked for between the bounds.
        if limits is None or (limits.lower <= highest and limits.upper >= lowest and _reach(limits, ordered))
    ]


def _reach(limits: Bounds, ordered: Sequence[Any]) -> bool:
    """Whether the first value that is not below the lower bound, and there is one, is not above the upper."""
    return not surely_above(ordered[bisect_left(ordered, limits.lower)], limits.upper)
