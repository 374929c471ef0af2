"""Files are left out only where no row of theirs can satisfy the condition, whoever wrote their statistics."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tablever import engine, expressions
from tablever.delta import stats
from tablever.model import DataFile, Metadata
from tablever.predicates import conjuncts, prune, single_table
from tablever.schema import arrow_to_delta

NAN = float("nan")
UTC = dt.UTC


def data_file(number: int, statistics: str | None, **values: str | None) -> DataFile:
    return DataFile(f"part-{number}.parquet", 1, number, partition_values=values, stats=statistics)


def kept(
    where: str, schema: pa.Schema, *files: DataFile, partition_by: tuple[str, ...] = (), null_tests: bool = True
) -> list[int]:
    """The numbers of the files that stay."""
    metadata = Metadata("id", arrow_to_delta(schema), partition_by)
    tree = engine.check_expression(where, schema, "where", predicate=True)
    parts = conjuncts(tree, schema, resolve=single_table(schema), null_tests=null_tests)
    return [file.modification_time for file in prune(files, parts, schema, metadata)]


def ranged(number: int, low: Any, high: Any, **more: Any) -> DataFile:
    known = {"numRecords": 10, "minValues": {"v": low}, "maxValues": {"v": high}, "nullCount": {"v": 0}}
    return data_file(number, json.dumps(known | more))


INTEGERS = pa.schema([("v", pa.int64())])
FILES = (ranged(0, 0, 9), ranged(1, 10, 19), ranged(2, 20, 29))


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("v = 15", [1]),
        ("15 = v", [1]),
        ("V = 15", [1]),
        ("v < 10", [0]),
        ("v <= 10", [0, 1]),
        ("10 >= v", [0, 1]),
        ("v > 19", [2]),
        ("v >= 19", [1, 2]),
        ("v BETWEEN 5 AND 12", [0, 1]),
        ("v IN (3, 25)", [0, 2]),
        ("v > 5 AND v < 8", [0]),
        ("v > 9.5 AND v < 19.5", [1]),
        ("v = CAST(15 AS INTEGER)", [1]),
        ("v IS NULL", []),
        ("v IS NOT NULL", [0, 1, 2]),
        ("v <> 15", [0, 1, 2]),
        ("v = 1 OR v = 25", [0, 1, 2]),
        ("NOT v = 15", [0, 1, 2]),
        ("v + 0 = 15", [0, 1, 2]),
        ("v = 15.0e0", [0, 1, 2]),
        ("v = 1 OR v IS NULL", [0, 1, 2]),
    ],
)
def test_integers(where: str, expected: list[int]) -> None:
    """A comparison of a column with a constant of its kind keeps the files whose bounds it reaches, and no others."""
    assert kept(where, INTEGERS, *FILES) == expected


@pytest.mark.parametrize(
    "statistics",
    [
        None,
        "",
        "{",
        "[]",
        "null",
        '{"numRecords": 3}',
        '{"minValues": {"v": 1}}',
        '{"minValues": {"v": "a"}, "maxValues": {"v": "b"}}',
        '{"minValues": {"v": true}, "maxValues": {"v": true}}',
        '{"minValues": {"v": 1.5}, "maxValues": {"v": 2.5}}',
        '{"minValues": {"v": {"x": 1}}, "maxValues": {"v": {"x": 1}}}',
        '{"minValues": [1], "maxValues": [2]}',
        '{"minValues": {"v": null}, "maxValues": {"v": null}, "nullCount": {"v": null}}',
        '{"minValues": {"V": 1}, "maxValues": {"V": 1}}',
    ],
)
@pytest.mark.parametrize("where", ["v = 99", "v IS NULL", "v > 99", "v IS NOT NULL"])
def test_statistics_that_say_nothing_prune_nothing(statistics: str | None, where: str) -> None:
    """Missing, damaged or foreign statistics keep the file."""
    assert kept(where, INTEGERS, data_file(0, statistics)) == [0]


def test_null_counts_count_only_where_they_are_exact() -> None:
    """Null counts of files with wide bounds say nothing; IS NULL prunes nothing where a join may make the nulls."""
    assert kept("v IS NULL", INTEGERS, ranged(0, 0, 9, tightBounds=False)) == [0]
    assert kept("v IS NULL", INTEGERS, ranged(0, 0, 9), null_tests=False) == [0]
    all_null = data_file(0, json.dumps({"numRecords": 3, "nullCount": {"v": 3}}))
    assert kept("v IS NOT NULL", INTEGERS, all_null) == []
    assert kept("v IS NULL", INTEGERS, all_null) == [0]
    assert kept("v = 30", INTEGERS, ranged(0, 0, 9, tightBounds=False)) == []


@pytest.mark.parametrize(
    ("kind", "low", "high", "where"),
    [
        (pa.float64(), 0.0, 1.0, "v > 5"),  # NaN is greater than every number
        (pa.float64(), 0.0, 1.0, "v >= 'NaN'::DOUBLE"),
        (pa.float64(), -1.0, -0.0, "v = 0.0"),
        (pa.float64(), 0.0, 1.0, "v = -0.0"),
        (pa.float32(), 0.1, 0.1, "v > 0.1::DOUBLE"),
        (pa.float32(), 0.1, 0.1, "v = 0.1"),
        (pa.float32(), 0.1, 0.1, "v <= 0.1"),
        (
            pa.timestamp("us", "UTC"),
            "2026-01-01T00:00:00.123Z",
            "2026-01-01T00:00:00.123Z",
            "v = TIMESTAMPTZ '2026-01-01 00:00:00.123456+00'",
        ),
        (
            pa.timestamp("us", "UTC"),
            "2026-01-01T00:00:00.123Z",
            "2026-01-01T00:00:00.123Z",
            "v > '2026-01-01 01:00:00.123400+01'",
        ),
        (
            pa.timestamp("us"),
            "1960-01-01T00:00:00.124",
            "1960-01-01T00:00:00.124",
            "v = TIMESTAMP '1960-01-01 00:00:00.123456'",
        ),
        (
            pa.timestamp("us"),
            "9999-12-31T23:59:59.999",
            "9999-12-31T23:59:59.999",
            "v = TIMESTAMP '9999-12-31 23:59:59.999999'",
        ),
        (pa.timestamp("us", "UTC"), "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "v = '2026-01-01 01:00:00'"),
        (pa.string(), "a", "abc", "v = 'abcd'"),
        (pa.string(), "a", "x" * 32 + "\x7f", "v = '" + "x" * 32 + "é'"),
        (pa.string(), "a", "x" * 32 + "\ufffd", "v > '" + "x" * 32 + "😀'"),
        (pa.decimal128(38, 2), 12345678901234567.89, 12345678901234567.89, "v = 12345678901234567.89"),
        (pa.decimal128(10, 2), 1.5, 1.5, "v = 1.50"),
        (pa.decimal128(10, 2), "NaN", "NaN", "v = 1.50"),
        (pa.bool_(), False, False, "v = true"),
        (pa.binary(), "a", "b", "v = 'z'::BLOB"),
        (pa.date32(), "2026-01-01", "2026-01-02", "v > TIMESTAMP '2026-01-01 12:00:00'"),
        (pa.int32(), 1, 2, "v = 1.00000000000000000000000000000000000001"),
    ],
)
def test_bounds_are_taken_as_wide_as_writers_may_have_cut_them(
    kind: pa.DataType, low: Any, high: Any, where: str
) -> None:
    """Where a value outside the written bounds may be in the file, the file stays."""
    assert kept(where, pa.schema([("v", kind)]), ranged(0, low, high)) == [0]


@pytest.mark.parametrize(
    ("kind", "low", "high", "where"),
    [
        (pa.float64(), 0.0, 1.0, "v = 5"),
        (pa.float64(), 0.0, 1.0, "v < 0"),
        (pa.float32(), 0.1, 0.2, "v = 0.5"),
        (
            pa.timestamp("us", "UTC"),
            "2026-01-01T00:00:00.123Z",
            "2026-01-01T00:00:00.123Z",
            "v > TIMESTAMPTZ '2026-01-01 00:00:00.126+00'",
        ),
        (pa.timestamp("us"), "2026-01-01T00:00:00", "2026-01-01T00:00:00", "v >= '2026-01-02 00:00:00'"),
        (pa.string(), "a", "m", "v = 'z'"),
        (pa.string(), "b", "m", "v < 'b'"),
        (pa.decimal128(10, 2), 1.5, 2.5, "v > 2.51"),
        (pa.date32(), "2026-01-01", "2026-01-31", "v >= DATE '2026-02-01'"),
        (pa.date32(), "2026-01-01", "2026-01-31", "v < '2026-01-01'"),
    ],
)
def test_what_lies_outside_is_left_out(kind: pa.DataType, low: Any, high: Any, where: str) -> None:
    """A constant that lies outside bounds, however they were cut, leaves the file out."""
    assert kept(where, pa.schema([("v", kind)]), ranged(0, low, high)) == []


@pytest.mark.parametrize(
    ("kind", "texts", "where", "expected"),
    [
        (pa.string(), ["a", "b", None, ""], "p = 'b'", [1]),
        (pa.string(), ["a", "b", None, ""], "p IS NULL", [2, 3]),
        (pa.string(), ["a", "b", None, ""], "p IS NOT NULL", [0, 1]),
        (pa.int32(), ["9", "10", None], "p >= 10", [1]),
        (pa.date32(), ["2026-01-01", "2026-02-01"], "p < '2026-01-15'", [0]),
        (pa.bool_(), ["true", "false"], "p = true", [0]),
        (pa.decimal128(10, 2), ["1.50", "2.50"], "p = 2.5", [1]),
        (pa.timestamp("us"), ["2026-01-01 00:00:00", "2026-01-02 00:00:00"], "p = '2026-01-02 00:00:00'", [1]),
        (
            pa.timestamp("us", "UTC"),
            ["2026-01-01T00:00:00.000000Z", "2026-01-02 00:00:00"],
            "p = TIMESTAMPTZ '2026-01-02 00:00:00+00'",
            [1],
        ),
    ],
)
def test_partitions(kind: pa.DataType, texts: list[str | None], where: str, expected: list[int]) -> None:
    """Partition values are compared as values of their column's type; an empty text is null."""
    schema = pa.schema([("v", pa.int64()), ("p", kind)])
    files = [data_file(i, None, p=text) for i, text in enumerate(texts)]
    assert kept(where, schema, *files, partition_by=("p",)) == expected


def test_mapped_columns_are_found_by_their_physical_name() -> None:
    """Under column mapping, statistics and partition values carry the physical names."""
    field = {"name": "v", "type": "long", "nullable": True, "metadata": {"delta.columnMapping.physicalName": "col-1"}}
    metadata = Metadata(
        "id", json.dumps({"type": "struct", "fields": [field]}), configuration={"delta.columnMapping.mode": "name"}
    )
    files = [
        data_file(i, json.dumps({"minValues": {"col-1": i}, "maxValues": {"col-1": i}, "nullCount": {"v": 0}}))
        for i in range(3)
    ]
    tree = engine.check_expression("v = 1", INTEGERS, "where")
    parts = conjuncts(tree, INTEGERS, resolve=single_table(INTEGERS))
    assert [file.modification_time for file in prune(files, parts, INTEGERS, metadata)] == [1]


VALUES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.int32(): st.sampled_from([-(2**31), -1, 0, 1, 2, 3, 2**31 - 1]),
    pa.int64(): st.sampled_from([-(2**63), -(2**53) - 1, -1, 0, 1, 2**53, 2**53 + 1, 2**63 - 1]),
    pa.float64(): st.sampled_from([NAN, float("inf"), float("-inf"), -0.0, 0.0, 0.1, 1.0, 1e300, -5.5, 2.0**53]),
    pa.float32(): st.sampled_from([NAN, float("inf"), -0.0, 0.0, 0.1, 0.2, 1.5, -5.5, 16777216.0]),
    pa.string(): st.sampled_from(
        ["", "a", "A", "ab", "b", "é", "😀", "x" * 32, "x" * 33, "x" * 31 + "\uffff😀", "\x7f"]
    ),
    pa.decimal128(20, 2): st.sampled_from([Decimal(t) for t in ("0.00", "-1.50", "1.50", "123456789012345678.91")]),
    pa.date32(): st.sampled_from([dt.date(1, 1, 1), dt.date(1969, 12, 31), dt.date(2026, 1, 1), dt.date(9999, 12, 31)]),
    pa.timestamp("us"): st.sampled_from(
        [dt.datetime(1960, 1, 1, 0, 0, 0, m, UTC).replace(tzinfo=None) for m in (0, 1, 999_999)]
        + [dt.datetime(2026, 1, 1, 0, 0, 0, m, UTC).replace(tzinfo=None) for m in (123_000, 123_456, 124_000)]
    ),
    pa.timestamp("us", "UTC"): st.sampled_from(
        [dt.datetime(2026, 1, 1, 0, 0, 0, m, UTC) for m in (123_000, 123_456, 124_000)]
        + [dt.datetime(1883, 1, 1, tzinfo=UTC), dt.datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)]
    ),
    pa.bool_(): st.booleans(),
}


def constant(value: Any, kind: pa.DataType) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, float):
        return repr(value) if value == value and abs(value) != float("inf") else f"'{value}'::DOUBLE"
    if isinstance(value, str):
        return engine.literal(value)
    if isinstance(value, dt.datetime):
        return f"{engine.sql_type(kind)} '{value.isoformat(' ')}'"
    return f"DATE '{value.isoformat():0>10}'" if isinstance(value, dt.date) else str(value)


@given(data=st.data())
def test_pruned_reads_give_the_same_rows(data: st.DataObject) -> None:
    """No file that holds a row for which the condition is true is left out, whatever the type and the comparison."""
    kind = data.draw(st.sampled_from(list(VALUES)))
    schema = pa.schema([("v", kind)])
    groups = data.draw(st.lists(st.lists(st.none() | VALUES[kind], min_size=1, max_size=3), min_size=1, max_size=4))
    first, second = (constant(data.draw(VALUES[kind]), kind) for _ in range(2))
    shape = data.draw(
        st.sampled_from(["v {} {a}", "{a} {} v", "v IN ({a}, {b})", "v BETWEEN {a} AND {b}", "v IS NULL"])
    )
    where = shape.format(data.draw(st.sampled_from(["=", "<", "<=", ">", ">="])), a=first, b=second)
    tables = [pa.table({"v": pa.array(group, kind)}) for group in groups]
    files = [data_file(i, stats.gather(table)) for i, table in enumerate(tables)]
    holds = {i for i, table in enumerate(tables) if True in engine.evaluate(table, {"x": where})["x"].to_pylist()}
    assert holds <= set(kept(where, schema, *files)), where


def test_only_columns_of_the_table_are_asked_about() -> None:
    """What a name means is the caller's to say: an unresolved one leaves nothing out."""
    tree = engine.check_expression("v = 99", INTEGERS, "where")
    assert conjuncts(tree, INTEGERS, resolve=lambda _: None) == []
    assert expressions.columns_of(tree, INTEGERS) == {"v"}
