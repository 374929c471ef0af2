"""The changed cells of updated rows, old beside new, and where within them the texts differ."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from tablever.findings import Findings

Tolerance = tuple[float, float]
EXACT: Tolerance = (0.0, 0.0)
INTEGER_DIGITS = {pa.int8(): 3, pa.int16(): 5, pa.int32(): 10, pa.int64(): 19}
SHORT_INTEGERS = (pa.int8(), pa.int16(), pa.int32())  # a float64 holds all of their values
MOST_PRECISE = 38
MOST_DIGITS = 26  # of a difference: the context's 28, less a carry


@dataclass(frozen=True)
class Cell:
    """A value that changed."""

    column: str
    old: Any
    new: Any


@dataclass(frozen=True)
class UpdatedRow:
    """A row that is in both versions by its key, and its changed cells in the columns' order."""

    key: tuple[Any, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class _Pair:
    column: str
    old: int | None
    new: int | None
    alike: Callable[[Any, Any], bool]


def updated_rows(findings: Findings, rows: pa.Table | pa.RecordBatch) -> Iterator[UpdatedRow]:
    """The rows of ``Diff.updated`` (the key, ``from_<column>``, ``to_<column>``), in their order.

    Only compared columns can have changed; a side that lacks the column counts as null.
    """
    width = len(findings.key)
    pairs = _pairs(findings, rows.schema)
    columns = [column.to_pylist() for column in rows.columns]
    for index in range(rows.num_rows):
        cells = []
        for pair in pairs:
            old, new = (None if place is None else columns[place][index] for place in (pair.old, pair.new))
            if not pair.alike(old, new):
                cells.append(Cell(pair.column, old, new))
        yield UpdatedRow(tuple(column[index] for column in columns[:width]), tuple(cells))


def _pairs(findings: Findings, schema: pa.Schema) -> list[_Pair]:
    places = {name: index for index, name in enumerate(schema.names)}
    pairs = []
    for column in findings.compared:
        if column in findings.key:
            continue
        old, new = (places.get(_pushed(word + column, findings.key)) for word in ("from_", "to_"))
        left, right = (None if place is None else schema.field(place).type for place in (old, new))
        pairs.append(_Pair(column, old, new, _comparison(left, right, findings.tolerance.get(column, EXACT))))
    return pairs


def _pushed(name: str, key: tuple[str, ...]) -> str:
    """As ``Diff.updated`` names its columns: one that is called like a key column goes out of its way."""
    return _pushed(f"_{name}", key) if name in key else name


def _comparison(old: pa.DataType | None, new: pa.DataType | None, tolerance: Tolerance) -> Callable[[Any, Any], bool]:
    if old is None or new is None or comparable(old, new):
        return lambda a, b: alike(a, b, tolerance)
    return lambda a, b: a is None and b is None


def comparable(old: pa.DataType, new: pa.DataType) -> bool:
    """Whether a type holds every value of both exactly, so that values of both can be compared."""
    if old == new:
        return True
    types = pa.types
    if types.is_list(old) and types.is_list(new):
        return comparable(old.value_type, new.value_type)
    if types.is_map(old) and types.is_map(new):
        return comparable(old.key_type, new.key_type) and comparable(old.item_type, new.item_type)
    if types.is_struct(old) and types.is_struct(new):
        names = [item.name for item in old]
        return names == [item.name for item in new] and all(
            comparable(old.field(n).type, new.field(n).type) for n in names
        )
    return {old, new} == {pa.date32(), pa.timestamp("us")} or _comparable_numbers(old, new)


def _comparable_numbers(old: pa.DataType, new: pa.DataType) -> bool:
    types, pair = pa.types, (old, new)
    if any(types.is_floating(kind) for kind in pair):
        return all(types.is_floating(kind) or kind in SHORT_INTEGERS for kind in pair)
    if any(types.is_decimal(kind) for kind in pair):
        shapes = [_digits(kind) for kind in pair]
        return None not in shapes and _precision([shape for shape in shapes if shape]) <= MOST_PRECISE
    return bool(types.is_integer(old) and types.is_integer(new))


def _digits(kind: pa.DataType) -> tuple[int, int] | None:
    """Digits before the point, and after it."""
    if pa.types.is_decimal(kind):
        return kind.precision - kind.scale, kind.scale
    return (INTEGER_DIGITS[kind], 0) if kind in INTEGER_DIGITS else None


def _precision(shapes: Sequence[tuple[int, int]]) -> int:
    return max(whole for whole, _ in shapes) + max(fraction for _, fraction in shapes)


def alike(old: Any, new: Any, tolerance: Tolerance = EXACT) -> bool:
    """Whether two values are equal as versions have it: null is null, NaN is NaN, -0.0 is 0.0; or nearly, as told."""
    if old is None or new is None:
        return old is None and new is None
    if isinstance(old, float | Decimal) or isinstance(new, float | Decimal):
        return _near(old, new, tolerance)
    if isinstance(old, list | tuple) and isinstance(new, list | tuple):
        return len(old) == len(new) and all(map(alike, old, new))
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return list(old) == list(new) and all(alike(old[name], new[name]) for name in old)
    if isinstance(old, date) and isinstance(new, date) and isinstance(old, datetime) != isinstance(new, datetime):
        return _midnight(old) == _midnight(new)
    return bool(old == new)


def _near(old: float | Decimal, new: float | Decimal, tolerance: Tolerance) -> bool:
    if old == new or (math.isnan(old) and math.isnan(new)):
        return True
    absolute, relative = tolerance
    return math.isclose(old, new, abs_tol=absolute, rel_tol=relative) if absolute or relative else False


def _midnight(value: date) -> datetime:
    return value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)  # noqa: DTZ001


def difference(old: Any, new: Any) -> Decimal | None:
    """New minus old of two finite numbers, exact in the digits that are shown; None for anything else."""
    if not all(isinstance(value, int | float | Decimal) and not isinstance(value, bool) for value in (old, new)):
        return None
    numbers = [Decimal(str(value)) for value in (old, new)]
    if not all(value.is_finite() for value in numbers):
        return None
    lowest = min(int(value.as_tuple().exponent) for value in numbers)
    highest = max(value.adjusted() for value in numbers)
    if highest - lowest > MOST_DIGITS:
        return None
    return numbers[1] - numbers[0]


@dataclass(frozen=True)
class Texts:
    """Two texts as what they begin with in common, where they differ, and what they end with in common."""

    head: str
    old: str
    new: str
    tail: str


def compare_texts(old: str, new: str) -> Texts:
    """The common beginning and end of two texts; a letter is not parted from its accents.

    Example:
        >>> compare_texts("Akiak Airport", "Akiak Regional Airport")
        Texts(head='Akiak ', old='', new='Regional ', tail='Airport')
    """
    shortest = min(len(old), len(new))
    start = next((i for i in range(shortest) if old[i] != new[i]), shortest)
    while start and any(_is_mark(text[start : start + 1]) for text in (old, new)):
        start -= 1
    left = shortest - start
    end = next((i for i in range(left) if old[-1 - i] != new[-1 - i]), left)
    while end and _is_mark(old[len(old) - end]):
        end -= 1
    return Texts(old[:start], old[start : len(old) - end], new[start : len(new) - end], old[len(old) - end :])


def _is_mark(char: str) -> bool:
    return bool(char) and (unicodedata.combining(char) != 0 or char in "\u200d\ufe0f")
