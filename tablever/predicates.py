"""Which files can hold a row that a WHERE accepts: conjuncts from DuckDB's parse tree, judged by Delta statistics.

A conjunct counts only where the constant is of the column's own kind, so that DuckDB compares without a cast. Where
anything is in doubt the file is kept: a pruned read gives the same rows as an unpruned one, also on statistics that
others wrote. Bounds are widened by what writers are known to cut: timestamps to milliseconds, decimals to doubles,
singles to their shortest text, strings to a prefix. NaN is in no statistics and is greater than every number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any

import numpy as np
import pyarrow as pa

from tablever.delta import partitions, stats
from tablever.layout import physical_name
from tablever.model import DataFile, Metadata

Tree = Mapping[str, Any]
Resolve = Callable[[Sequence[str]], str | None]


class Operator(Enum):
    """What a conjunct asks of its column."""

    EQUAL = "="
    LESS = "<"
    LESS_EQUAL = "<="
    GREATER = ">"
    GREATER_EQUAL = ">="
    IS_NULL = "is null"
    IS_NOT_NULL = "is not null"


@dataclass(frozen=True)
class Conjunct:
    """``column operator value``; EQUAL holds several values for IN, the null tests none."""

    column: str
    operator: Operator
    values: tuple[Any, ...] = ()


_COMPARISONS = {
    "COMPARE_EQUAL": Operator.EQUAL,
    "COMPARE_LESSTHAN": Operator.LESS,
    "COMPARE_LESSTHANOREQUALTO": Operator.LESS_EQUAL,
    "COMPARE_GREATERTHAN": Operator.GREATER,
    "COMPARE_GREATERTHANOREQUALTO": Operator.GREATER_EQUAL,
}
_FLIPPED = {
    Operator.EQUAL: Operator.EQUAL,
    Operator.LESS: Operator.GREATER,
    Operator.LESS_EQUAL: Operator.GREATER_EQUAL,
    Operator.GREATER: Operator.LESS,
    Operator.GREATER_EQUAL: Operator.LESS_EQUAL,
}
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d{1,6})?")
_ZONED = re.compile(r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d{1,6})?) ?(?:Z|([+-]\d\d)(?::?(\d\d))?)")
_INTEGER_TYPES = frozenset({"TINYINT", "SMALLINT", "INTEGER", "INT", "BIGINT"})


def conjuncts(where: Tree | None, schema: pa.Schema, *, resolve: Resolve, null_tests: bool = True) -> list[Conjunct]:
    """The parts of a WHERE that must all hold and that statistics can judge; the others are left out.

    Args:
        where: the tree of the condition, as json_serialize_sql gives it.
        schema: the table's columns in canonical types.
        resolve: the column of ``schema`` that a possibly qualified name means, or None where that is not certain.
        null_tests: whether IS NULL counts. It must not where the table may be on the null-extended side of a join.
    """
    found = [conjunct for part in _parts(where) for conjunct in _read(part, schema, resolve)]
    return [part for part in found if null_tests or part.operator is not Operator.IS_NULL]


def single_table(schema: pa.Schema) -> Resolve:
    """A resolver for a condition over one table alone: unqualified names, letter case ignored as DuckDB does."""
    by_lower = {name.lower(): name for name in schema.names}
    return lambda path: by_lower.get(path[0].lower()) if len(path) == 1 else None


def _parts(tree: Tree | None) -> Iterator[Tree]:
    if tree is None:
        return
    if tree.get("type") == "CONJUNCTION_AND":
        for child in tree["children"]:
            yield from _parts(child)
    else:
        yield tree


def _read(tree: Tree, schema: pa.Schema, resolve: Resolve) -> list[Conjunct]:
    kind = tree.get("type")
    if kind in _COMPARISONS:
        operator = _COMPARISONS[kind]
        return _comparison(tree["left"], operator, tree["right"], schema, resolve) or _comparison(
            tree["right"], _FLIPPED[operator], tree["left"], schema, resolve
        )
    if kind == "COMPARE_BETWEEN":
        return [
            *_comparison(tree["input"], Operator.GREATER_EQUAL, tree["lower"], schema, resolve),
            *_comparison(tree["input"], Operator.LESS_EQUAL, tree["upper"], schema, resolve),
        ]
    if kind == "COMPARE_IN":
        return _in_list(tree["children"][0], tree["children"][1:], schema, resolve)
    if kind in ("OPERATOR_IS_NULL", "OPERATOR_IS_NOT_NULL"):
        column = _column(tree["children"][0], resolve)
        operator = Operator.IS_NULL if kind == "OPERATOR_IS_NULL" else Operator.IS_NOT_NULL
        return [] if column is None else [Conjunct(column, operator)]
    return []


def _comparison(left: Tree, operator: Operator, right: Tree, schema: pa.Schema, resolve: Resolve) -> list[Conjunct]:
    column = _column(left, resolve)
    if column is None:
        return []
    value = _constant(right, schema.field(column).type)
    return [] if value is None else [Conjunct(column, operator, (value,))]


def _in_list(left: Tree, items: Sequence[Tree], schema: pa.Schema, resolve: Resolve) -> list[Conjunct]:
    column = _column(left, resolve)
    if column is None:
        return []
    # All items share one kind, or DuckDB would cast the column to a type that holds them all.
    values = tuple(_constant(item, schema.field(column).type) for item in items)
    return [] if None in values else [Conjunct(column, Operator.EQUAL, values)]


def _column(tree: Tree, resolve: Resolve) -> str | None:
    return resolve(tree["column_names"]) if tree.get("type") == "COLUMN_REF" else None


def _constant(tree: Tree, kind: pa.DataType) -> Any:
    """A constant as a value that compares with the column's, None where DuckDB might compare otherwise."""
    cast = None
    if tree.get("type") == "OPERATOR_CAST" and not tree["try_cast"]:
        cast = str(tree["type_expr"].get("type_name", "")).upper()
        tree = tree["child"]
    if tree.get("type") != "VALUE_CONSTANT":
        return None
    literal = tree["literal"]
    form, text = literal["kind"], literal["text"].replace("_", "") if literal["kind"] != "STRING" else literal["text"]
    if cast is not None and not _keeps_kind(cast, form, kind):
        return None
    try:
        return _value(form, text, kind)
    except (ValueError, OverflowError, InvalidOperation):
        return None


def _keeps_kind(cast: str, form: str, kind: pa.DataType) -> bool:
    if form == "STRING":
        return (
            (cast == "DATE" and pa.types.is_date(kind))
            or (cast == "TIMESTAMP" and pa.types.is_timestamp(kind) and kind.tz is None)
            or (cast in ("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE") and pa.types.is_timestamp(kind) and bool(kind.tz))
            or (cast in ("VARCHAR", "TEXT", "STRING") and pa.types.is_string(kind))
        )
    return form == "INTEGER" and cast in _INTEGER_TYPES and pa.types.is_integer(kind)


def _value(form: str, text: str, kind: pa.DataType) -> Any:
    if form in ("INTEGER", "NUMERIC"):
        return _number(form, text, kind)
    if form == "BOOLEAN":
        return text == "true" if pa.types.is_boolean(kind) else None
    return _text(text, kind) if form == "STRING" else None


def _number(form: str, text: str, kind: pa.DataType) -> Any:
    if pa.types.is_floating(kind):
        value = float(text)
        return value if math.isfinite(value) else None
    if "e" in text.lower():
        return None
    number = Decimal(text)
    digits = len(number.as_tuple().digits)
    exponent = number.as_tuple().exponent
    scale = -exponent if isinstance(exponent, int) and exponent < 0 else 0
    if pa.types.is_integer(kind):
        if form == "INTEGER":
            return int(text)
        # Beyond 38 digits DuckDB compares as doubles: 19 digits of the column and the constant's scale fit.
        return number if digits <= 19 and scale <= 19 else None
    if pa.types.is_decimal(kind):
        return number if scale <= kind.scale and digits - scale + kind.scale <= 38 else None
    return None


def _text(text: str, kind: pa.DataType) -> Any:
    if pa.types.is_string(kind):
        return text
    if pa.types.is_date(kind):
        return date.fromisoformat(text) if _DATE.fullmatch(text) else None
    if pa.types.is_timestamp(kind) and kind.tz is None:
        return datetime.fromisoformat(_six_digits(text)) if _TIMESTAMP.fullmatch(text) else None
    if pa.types.is_timestamp(kind) and (match := _ZONED.fullmatch(text)):
        moment, hours, minutes = match.groups()
        offset = f"{hours or '+00'}:{minutes or '00'}"
        return datetime.fromisoformat(_six_digits(moment) + offset).astimezone(UTC)
    return None


def _six_digits(text: str) -> str:
    head, dot, fraction = text.partition(".")
    return f"{head}.{fraction:0<6}" if dot else head


def prune(
    files: Sequence[DataFile], parts: Sequence[Conjunct], schema: pa.Schema, metadata: Metadata
) -> tuple[DataFile, ...]:
    """The files that can hold a row for which every conjunct is true, in their order.

    Raises:
        CorruptionError: a partition value that a conjunct asks about is not a value of its column's type.
    """
    kept: Sequence[DataFile] = files
    for conjunct in parts:
        kind = schema.field(conjunct.column).type
        name = physical_name(metadata, conjunct.column)
        if conjunct.column in metadata.partition_columns:
            kept = _by_partition(kept, conjunct, name, kind)
        else:
            kept = [file for file in kept if _may_hold(file, conjunct, name, kind)]
    return tuple(kept)


def _by_partition(files: Sequence[DataFile], conjunct: Conjunct, name: str, kind: pa.DataType) -> list[DataFile]:
    texts = {file.partition_values.get(name) for file in files}
    judged: dict[str | None, bool] = {}
    for text in texts:
        try:
            value = partitions.parse([text], kind)[0].as_py()
        except (ValueError, OverflowError):  # a date beyond what Python holds
            judged[text] = True
        else:
            judged[text] = _accepts(value, conjunct, kind)
    return [file for file in files if judged[file.partition_values.get(name)]]


def _accepts(value: Any, conjunct: Conjunct, kind: pa.DataType) -> bool:
    if conjunct.operator is Operator.IS_NULL:
        return value is None
    if value is None:
        return False
    if conjunct.operator is Operator.IS_NOT_NULL or (isinstance(value, float) and not math.isfinite(value)):
        return True
    return any(_overlaps(bounds, conjunct.operator, conjunct.values, kind) for bounds in [_widened(value, value, kind)])


def _may_hold(file: DataFile, conjunct: Conjunct, name: str, kind: pa.DataType) -> bool:
    if conjunct.operator is Operator.IS_NULL:
        return stats.null_count(file, name) != 0
    if conjunct.operator is Operator.IS_NOT_NULL:
        nulls = stats.null_count(file, name)
        return nulls is None or nulls != file.physical_rows
    found = stats.bounds(file, name, kind)
    if found is None:
        return True
    return _overlaps(_widened(found.lower, found.upper, kind), conjunct.operator, conjunct.values, kind)


def _widened(lower: Any, upper: Any, kind: pa.DataType) -> tuple[Any, Any]:
    """Bounds of singles that hold also where they were cut to fewer digits."""
    if pa.types.is_float32(kind):
        with np.errstate(over="ignore"):
            return (
                float(np.nextafter(np.float32(lower), np.float32(-math.inf))),
                float(np.nextafter(np.float32(upper), np.float32(math.inf))),
            )
    return lower, upper


def _overlaps(bounds: tuple[Any, Any], operator: Operator, values: tuple[Any, ...], kind: pa.DataType) -> bool:
    lower, upper = bounds
    floating = pa.types.is_floating(kind)
    for value in values:
        # A single is compared as a single or as a double, depending on the constant's type: both must be outside.
        forms = {value, float(np.float32(value))} if pa.types.is_float32(kind) else {value}
        if any(_reaches(lower, upper, operator, form, floating) for form in forms):
            return True
    return False


def _reaches(lower: Any, upper: Any, operator: Operator, value: Any, floating: bool) -> bool:
    if operator is Operator.EQUAL:
        return bool(lower <= value and not _above(value, upper))
    if operator is Operator.LESS:
        return bool(lower < value)
    if operator is Operator.LESS_EQUAL:
        return bool(lower <= value)
    if floating:
        return True
    if operator is Operator.GREATER:
        return bool(upper > value or not _above(value, upper, or_equal=True))
    return not _above(value, upper)


def _above(value: Any, upper: Any, *, or_equal: bool = False) -> bool:
    """Whether a value surely lies above every value of the file (or is the highest, with ``or_equal``)."""
    return stats.surely_above(value, upper) or bool(or_equal and not isinstance(upper, str) and value == upper)
