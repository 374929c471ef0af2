"""What Hypothesis feeds the store: types, values that are known to break stores, tables, rows, predicates.

Values are drawn from small pools of hard cases (NaN, -0.0, the first and last of every type, empty, astral and
right-to-left text) so that rows and keys meet again; now and then from the whole type.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from tests.model import Check, Column, Row

INTEGERS = {pa.int8(): 8, pa.int16(): 16, pa.int32(): 32, pa.int64(): 64}
TEXTS = (
    "", "a", "A", "ab", " ", "\t\n", "null", "NaN", "é", "e\u0301", "ﬃ", "שלום", "مرحبا", "日本", "😀", "𐐷", "\u200b",
    "\uffff", "'", '"', "%41/..\\:;#?+=&", "{}", "a\0b", "-1", "1.0",
)  # fmt: skip
BYTES = (b"", b"\0", b"\xff\xfe", b"abc", b"'", bytes(range(256)))
DATES = (date(1, 1, 1), date(1582, 10, 14), date(1969, 12, 31), date(1970, 1, 1), date(2024, 2, 29), date(9999, 12, 31))
MOMENTS = (
    datetime(1, 1, 1),  # noqa: DTZ001 - the zone is added where the type has one
    datetime(1969, 12, 31, 23, 59, 59, 999999),  # noqa: DTZ001
    datetime(1970, 1, 1),  # noqa: DTZ001
    datetime(2024, 3, 31, 1, 30, 0, 123456),  # noqa: DTZ001
    datetime(2024, 3, 31, 1, 30, 0, 123457),  # noqa: DTZ001
    datetime(9999, 12, 31, 23, 59, 59, 999999),  # noqa: DTZ001
)
FLOATS = (0.0, -0.0, 1.0, -1.5, 0.1, math.inf, -math.inf, math.nan, 5e-324, 1.7976931348623157e308, 2.0**53 + 1)
NAMES = (
    "a", "b", "c", "Label", "text", "order", "select", "value", "ünï", "名前", "x'y", 'q"q', "dot.ted", "back`tick",
    "filename", "file_row_number", "index", "row", "key", "version", "50%", "a/b", "#", "$1", "t", "left", "right",
    "went", "c0", "i", "count",
)  # fmt: skip

PRIMITIVES: tuple[pa.DataType, ...] = (
    *INTEGERS,
    pa.float32(),
    pa.float64(),
    pa.bool_(),
    pa.string(),
    pa.binary(),
    pa.date32(),
    pa.timestamp("us", "UTC"),
    pa.timestamp("us"),
    pa.decimal128(5, 2),
    pa.decimal128(18, 0),
    pa.decimal128(38, 10),
)
KEY_TYPES = tuple(kind for kind in PRIMITIVES if not pa.types.is_floating(kind))
PARTITION_TYPES = tuple(kind for kind in KEY_TYPES if not pa.types.is_binary(kind))
NESTED: tuple[pa.DataType, ...] = (
    pa.list_(pa.int64()),
    pa.list_(pa.string()),
    pa.list_(pa.float64()),
    pa.list_(pa.list_(pa.int32())),
    pa.struct([("x", pa.float64()), ("y", pa.string())]),
    pa.struct([("inner", pa.struct([("n", pa.int64())])), ("l", pa.list_(pa.decimal128(5, 2)))]),
    pa.list_(pa.struct([("x", pa.int64()), ("b", pa.binary())])),
    pa.map_(pa.string(), pa.int64()),
    pa.map_(pa.int64(), pa.list_(pa.string())),
)


def single(value: float) -> float:
    """The nearest value that 32 bits hold; too large becomes infinite."""
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def largest(kind: pa.DataType) -> Decimal:
    """The largest value of a decimal type."""
    return Decimal((0, (9,) * kind.precision, -kind.scale))


def edges(kind: pa.DataType) -> tuple[Any, ...]:
    """The hard cases of a primitive type."""
    if kind in INTEGERS:
        top = 2 ** (INTEGERS[kind] - 1)
        return (0, 1, 2, 3, -1, top - 1, -top)
    if pa.types.is_float32(kind):
        return tuple(single(value) for value in FLOATS)
    if pa.types.is_floating(kind):
        return FLOATS
    if pa.types.is_boolean(kind):
        return (True, False)
    if pa.types.is_decimal(kind):
        unit = Decimal((0, (1,), -kind.scale))
        return (Decimal(0), unit, unit.copy_negate(), unit * 50, largest(kind), largest(kind).copy_negate())
    if pa.types.is_date(kind):
        return DATES
    if pa.types.is_timestamp(kind):
        return MOMENTS if kind.tz is None else tuple(moment.replace(tzinfo=UTC) for moment in MOMENTS)
    return BYTES if pa.types.is_binary(kind) else TEXTS


def anything(kind: pa.DataType) -> st.SearchStrategy[Any]:
    """Any value of a primitive type."""
    if kind in INTEGERS:
        top = 2 ** (INTEGERS[kind] - 1)
        return st.integers(-top, top - 1)
    if pa.types.is_floating(kind):
        return st.floats(width=32 if pa.types.is_float32(kind) else 64)
    if pa.types.is_decimal(kind):
        limit = 10**kind.precision - 1
        return st.integers(-limit, limit).map(lambda n: Decimal((n < 0, tuple(map(int, str(abs(n)))), -kind.scale)))
    if pa.types.is_date(kind):
        return st.dates()
    if pa.types.is_timestamp(kind):
        return st.datetimes(timezones=st.just(UTC)) if kind.tz else st.datetimes()
    if pa.types.is_boolean(kind):
        return st.booleans()
    if pa.types.is_binary(kind):
        return st.binary(max_size=40)
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def values(kind: pa.DataType, *, nulls: bool = True, pool: Sequence[Any] | None = None) -> st.SearchStrategy[Any]:
    """Values of a type, mostly from ``pool`` or the type's hard cases; nulls among them where allowed."""
    strategy: st.SearchStrategy[Any]
    if pool is not None:
        strategy = st.sampled_from(list(pool))
    elif pa.types.is_map(kind):
        pairs = st.tuples(values(kind.key_type, nulls=False), values(kind.item_type))
        strategy = st.lists(pairs, max_size=3, unique_by=lambda pair: pair[0])
    elif pa.types.is_list(kind):
        strategy = st.lists(values(kind.value_type), max_size=3)
    elif pa.types.is_struct(kind):
        strategy = st.fixed_dictionaries({child.name: values(child.type) for child in kind})
    else:
        strategy = st.sampled_from(edges(kind)) | st.sampled_from(edges(kind)) | anything(kind)
    return strategy | st.none() if nulls else strategy


@dataclass(frozen=True)
class Shape:
    """How a table is made, and which values its key and partition columns draw from."""

    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    partition_by: tuple[str, ...] = ()
    deletes: str = "merge-on-read"
    pools: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    @property
    def schema(self) -> pa.Schema:
        return arrow_schema(self.columns)

    def row(self, columns: Sequence[Column] | None = None) -> st.SearchStrategy[Row]:
        """One row of the table's columns, or of those given."""
        return st.fixed_dictionaries(
            {
                c.name: values(c.type, nulls=c.nullable and c.name not in self.key, pool=self.pools.get(c.name))
                for c in columns or self.columns
            }
        )

    def rows(
        self, columns: Sequence[Column] | None = None, *, min_size: int = 0, max_size: int = 6
    ) -> st.SearchStrategy[list[Row]]:
        """Rows whose keys may repeat and may be in the table already."""
        return st.lists(self.row(columns), min_size=min_size, max_size=max_size)

    def unique_rows(
        self, columns: Sequence[Column] | None = None, *, min_size: int = 0, max_size: int = 6
    ) -> st.SearchStrategy[list[Row]]:
        """Rows whose keys differ from each other; fewer than ``min_size`` where there are few keys."""
        if not self.key:
            return self.rows(columns, min_size=min_size, max_size=max_size)
        keys = math.prod(len(set(self.pools[name])) if name in self.pools else 1000 for name in self.key)
        return st.lists(
            self.row(columns),
            min_size=min(min_size, keys // 2),
            max_size=max_size,
            unique_by=lambda row: tuple(row[k] for k in self.key),
        )


def arrow_schema(columns: Sequence[Column]) -> pa.Schema:
    """The columns as an Arrow schema."""
    return pa.schema([pa.field(c.name, c.type, nullable=c.nullable) for c in columns])


def arrow_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> pa.Table:
    """The rows as an Arrow table."""
    return pa.Table.from_pylist([dict(row) for row in rows], schema=arrow_schema(columns))


def column_names(taken: Sequence[str] = ()) -> st.SearchStrategy[str]:
    """A column name that no other column has, whatever its case."""
    lowered = {name.lower() for name in taken}
    return st.sampled_from([name for name in NAMES if name.lower() not in lowered])


@st.composite
def shapes(draw: st.DrawFn, *, keyed: bool | None = None, partitioned: bool | None = None) -> Shape:
    """Tables with or without a key, partitioned or not, deleting by vectors or by copying."""
    kinds = draw(st.lists(st.sampled_from(PRIMITIVES + NESTED), min_size=1, max_size=4))
    names = draw(st.lists(column_names(), min_size=len(kinds) + 3, max_size=len(kinds) + 3, unique_by=str.lower))
    columns = [
        Column(name, kind, draw(st.sampled_from([True, True, True, False])))
        for name, kind in zip(names, kinds, strict=False)
    ]
    pools: dict[str, tuple[Any, ...]] = {}
    key: list[str] = []
    for name in names[len(kinds) : len(kinds) + 2] if draw_flag(draw, keyed) else ():
        if not key or draw(st.integers(0, 3)) == 0:
            kind = draw(st.sampled_from(KEY_TYPES))
            columns.insert(draw(st.integers(0, len(columns))), Column(name, kind, nullable=False))
            pools[name] = pool(draw, kind)
            key.append(name)
    partition_by: list[str] = []
    if draw_flag(draw, partitioned):
        kind = draw(st.sampled_from(PARTITION_TYPES))
        columns.append(Column(names[-1], kind, nullable=draw(st.booleans())))
        pools[names[-1]] = tuple(filter(fits_partition, pool(draw, kind))) or edges(kind)[-2:]
        partition_by.append(names[-1])
    deletes = draw(st.sampled_from(["merge-on-read", "merge-on-read", "copy-on-write"]))
    return Shape(tuple(columns), tuple(key), tuple(partition_by), deletes, pools)


def fits_partition(value: Any) -> bool:
    """Whether a value may stand in a partition column; text that readers take for null, or no folder bears, may not."""
    return not isinstance(value, str) or (value not in ("", "__HIVE_DEFAULT_PARTITION__") and "\0" not in value)


def draw_flag(draw: st.DrawFn, wanted: bool | None) -> bool:
    """What is wanted, or either."""
    return draw(st.booleans()) if wanted is None else wanted


def pool(draw: st.DrawFn, kind: pa.DataType) -> tuple[Any, ...]:
    """A few values of a type, so that keys and partitions meet again."""
    drawn = draw(st.lists(values(kind, nulls=False), min_size=5, max_size=8))
    distinct = {repr(value): value for value in drawn}
    return tuple(distinct.values())


@st.composite
def more_columns(draw: st.DrawFn, columns: Sequence[Column], *, count: int = 1) -> tuple[Column, ...]:
    """Columns that a table does not have yet; they may be null, as rows that are there have nothing in them."""
    added: list[Column] = []
    for _ in range(draw(st.integers(1, count))):
        name = draw(column_names([c.name for c in (*columns, *added)]))
        added.append(Column(name, draw(st.sampled_from(PRIMITIVES + NESTED))))
    return tuple(added)


# Predicates: the same condition as DuckDB text and as a Python function with SQL's three truth values.


@dataclass(frozen=True)
class Predicate:
    """A condition in DuckDB's SQL, and what it says of a row: True, False or None (unknown)."""

    sql: str
    test: Callable[[Mapping[str, Any]], bool | None]


@dataclass(frozen=True)
class Assignment:
    """``SET column = sql``, and the value that it gives a row."""

    column: str
    sql: str
    value: Callable[[Mapping[str, Any]], Any]


def quoted(name: str) -> str:
    """A column's name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def sql_type(kind: pa.DataType) -> str:
    """DuckDB's name of a primitive type."""
    if pa.types.is_decimal(kind):
        return f"DECIMAL({kind.precision},{kind.scale})"
    if pa.types.is_timestamp(kind):
        return "TIMESTAMPTZ" if kind.tz else "TIMESTAMP"
    names = {
        "int8": "TINYINT", "int16": "SMALLINT", "int32": "INTEGER", "int64": "BIGINT", "float": "FLOAT",
        "double": "DOUBLE", "bool": "BOOLEAN", "string": "VARCHAR", "binary": "BLOB", "date32[day]": "DATE",
    }  # fmt: skip
    return names[str(kind)]


def literal(value: Any, kind: pa.DataType) -> str:
    """A value of a primitive type in SQL."""
    if value is None:
        return f"CAST(NULL AS {sql_type(kind)})"
    if isinstance(value, bytes):
        return f"from_hex('{value.hex()}')"
    if isinstance(value, Decimal):
        text = f"{value:f}"
    else:
        text = value.isoformat(" ") if isinstance(value, datetime) else str(value)
    return f"CAST('{text.replace(chr(39), chr(39) * 2)}' AS {sql_type(kind)})"


def sort_key(value: Any) -> Any:
    """DuckDB's order: NaN is the greatest number and equal to itself, -0.0 equals 0.0, text by code points."""
    return (math.isnan(value), 0.0 if math.isnan(value) else value) if isinstance(value, float) else value


def comparison(column: Column, operator: str, value: Any) -> Predicate:
    """``column operator value``: unknown where the column is null."""
    right = sort_key(value)
    verdicts: dict[str, Callable[[Any], bool]] = {
        "=": lambda left: bool(left == right),
        "<>": lambda left: bool(left != right),
        "<": lambda left: bool(left < right),
        "<=": lambda left: bool(left <= right),
        ">": lambda left: bool(left > right),
        ">=": lambda left: bool(left >= right),
    }

    def test(row: Mapping[str, Any]) -> bool | None:
        left = row.get(column.name)
        return None if left is None else verdicts[operator](sort_key(left))

    return Predicate(f"{quoted(column.name)} {operator} {literal(value, column.type)}", test)


def is_null(column: Column, *, wanted: bool) -> Predicate:
    """``column IS NULL`` or ``IS NOT NULL``."""
    text = "IS NULL" if wanted else "IS NOT NULL"
    return Predicate(f"{quoted(column.name)} {text}", lambda row: (row.get(column.name) is None) == wanted)


def negated(inner: Predicate) -> Predicate:
    """``NOT inner``."""

    def test(row: Mapping[str, Any]) -> bool | None:
        verdict = inner.test(row)
        return None if verdict is None else not verdict

    return Predicate(f"NOT ({inner.sql})", test)


def joined(word: str, left: Predicate, right: Predicate) -> Predicate:
    """``left AND right``, ``left OR right``."""
    decisive = word == "OR"

    def test(row: Mapping[str, Any]) -> bool | None:
        verdicts = (left.test(row), right.test(row))
        if decisive in verdicts:
            return decisive
        return None if None in verdicts else not decisive

    return Predicate(f"({left.sql}) {word} ({right.sql})", test)


def comparable(columns: Sequence[Column]) -> list[Column]:
    """The columns of a primitive type."""
    return [column for column in columns if column.type in PRIMITIVES]


def literals(
    column: Column, pools: Mapping[str, Sequence[Any]], rows: Sequence[Mapping[str, Any]] = ()
) -> st.SearchStrategy[Any]:
    """Values to compare a column with, mostly those that ``rows`` hold; SQL text cannot carry NUL."""
    drawn = values(column.type, nulls=False, pool=pools.get(column.name))
    held = [row[column.name] for row in rows if row.get(column.name) is not None]
    if held:
        drawn = st.sampled_from(held) | st.sampled_from(held) | drawn
    return drawn.filter(lambda value: not (isinstance(value, str) and "\0" in value))


@st.composite
def predicates(
    draw: st.DrawFn,
    columns: Sequence[Column],
    pools: Mapping[str, Sequence[Any]],
    rows: Sequence[Mapping[str, Any]] = (),
    depth: int = 2,
) -> Predicate:
    """Conditions over the columns; ``rows`` are those that they shall be true of more often than not."""
    leaves = ["compare", "compare", "compare", "null"]
    kind = draw(st.sampled_from([*leaves, "not", "and", "or"] if depth else leaves))
    if kind in ("and", "or"):
        left, right = (draw(predicates(columns, pools, rows, depth - 1)) for _ in range(2))
        return joined(kind.upper(), left, right)
    if kind == "not":
        return negated(draw(predicates(columns, pools, rows, depth - 1)))
    candidates = comparable(columns)
    if kind == "null" or not candidates:
        return is_null(draw(st.sampled_from(list(columns))), wanted=draw(st.booleans()))
    column = draw(st.sampled_from(candidates))
    value = draw(literals(column, pools, rows))
    return comparison(column, draw(st.sampled_from(["=", "<=", ">=", "<", ">", "<>"])), value)


@st.composite
def checks(draw: st.DrawFn, columns: Sequence[Column], name: str) -> Check:
    """A constraint that most rows satisfy: a bound of numbers, a text that texts are not, of others that they are."""
    column = draw(st.sampled_from(list(columns)))
    of, in_spark = column.name, "`" + column.name.replace("`", "``") + "`"
    if column.type in INTEGERS and draw(st.booleans()):
        return Check(name, f"{in_spark} >= -1", of, lambda row: row.get(of) is not None and row[of] >= -1)
    if pa.types.is_string(column.type) and draw(st.booleans()):
        return Check(name, f"{in_spark} IS NULL OR {in_spark} <> 'a'", of, lambda row: row.get(of) != "a")
    return Check(name, f"{in_spark} IS NOT NULL", of, lambda row: row.get(of) is not None)


@st.composite
def assignments(draw: st.DrawFn, shape: Shape, columns: Sequence[Column]) -> list[Assignment]:
    """One or two columns outside the key set to a literal, to NULL or to another column of their type."""
    targets = [column for column in comparable(columns) if column.name not in shape.key]
    chosen: list[Assignment] = []
    for column in draw(st.lists(st.sampled_from(targets), min_size=1, max_size=2, unique=True)) if targets else ():
        others = [
            c
            for c in columns
            if c.type == column.type and c.name not in shape.partition_by and (column.nullable or not c.nullable)
        ]
        if others and column.name not in shape.partition_by and draw(st.booleans()):
            chosen.append(copy_of(column, draw(st.sampled_from(others))))
        else:
            drawn = literals(column, shape.pools)
            chosen.append(constant(column, draw(drawn | st.none() if column.nullable else drawn)))
    return chosen


def constant(column: Column, value: Any) -> Assignment:
    """``SET column = value``."""
    return Assignment(column.name, literal(value, column.type), lambda _row: value)


def copy_of(column: Column, source: Column) -> Assignment:
    """``SET column = source``."""
    return Assignment(column.name, quoted(source.name), lambda row: row.get(source.name))


def retyped(shape: Shape, columns: Sequence[Column]) -> Shape:
    """The same table with other columns; pools stay for those that keep their type."""
    kinds = {column.name: column.type for column in columns}
    before = {column.name: column.type for column in shape.columns}
    pools = {name: pool for name, pool in shape.pools.items() if kinds.get(name) == before.get(name)}
    return replace(shape, columns=tuple(columns), pools=pools)
