"""Rows from anywhere become one Arrow table with every value as it was."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tablever.columns import canonical_schema
from tablever.errors import InvalidInputError, SchemaMismatchError, StorageError
from tablever.fitting import normalise
from tablever.incoming import to_table
from tests.strategies import shapes
from tests.test_normalise import same

BATCH = pa.record_batch({"id": pa.array([1, 2], pa.int64()), "s": pa.array(["a", None], pa.string())})


class Streamed:
    """Something that offers its rows by ``__arrow_c_stream__`` alone."""

    def __init__(self, reader: Any) -> None:
        self.reader = reader

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.reader.__arrow_c_stream__(requested_schema)


class Arrayed:
    """Something that offers its rows by ``__arrow_c_array__`` alone."""

    def __arrow_c_array__(self, requested_schema: Any = None) -> Any:
        return BATCH.__arrow_c_array__(requested_schema)


def reader(batches: Iterator[pa.RecordBatch], schema: pa.Schema = BATCH.schema) -> pa.RecordBatchReader:
    return pa.RecordBatchReader.from_batches(schema, batches)


SOURCES = {
    "table": lambda: pa.Table.from_batches([BATCH]),
    "batch": lambda: BATCH,
    "reader": lambda: reader(iter([BATCH])),
    "stream": lambda: Streamed(reader(iter([BATCH]))),
    "array": Arrayed,
    "polars": lambda: pl.DataFrame({"id": [1, 2], "s": ["a", None]}),
    "lazy": lambda: pl.LazyFrame({"id": [1, 2], "s": ["a", None]}),
    "pandas": lambda: pd.DataFrame({"id": [1, 2], "s": ["a", None]}),
    "duckdb": lambda: duckdb.connect().sql("SELECT * FROM (VALUES (1::BIGINT, 'a'), (2, NULL)) t(id, s)"),
    "dicts": lambda: [{"id": 1, "s": "a"}, {"id": 2}],
    "tuple": lambda: ({"id": 1, "s": "a"}, {"id": 2, "s": None}),
}


@pytest.mark.parametrize("source", SOURCES)
def test_sources(source: str) -> None:
    """Every kind of rows gives the same table."""
    table = to_table(SOURCES[source]())
    got = normalise(table, canonical_schema(table))
    assert got.schema == BATCH.schema
    assert got.to_pylist() == BATCH.to_pylist()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (None, "NoneType"),
        ("rows.parquet", "str"),
        (3, "int"),
        ({"id": [1]}, "dict"),
        (np.array([1]), "numpy.ndarray"),
        (BATCH.schema, "Schema"),
        (iter([{"id": 1}]), "iterator"),
        (object(), "object"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_not_rows(rows: Any, message: str) -> None:
    """What is not rows is refused with its type and what is accepted."""
    with pytest.raises(InvalidInputError, match="is not rows") as caught:
        to_table(rows)
    assert message in str(caught.value)
    assert "list of dicts" in str(caught.value.hint)


@pytest.mark.parametrize(
    "column",
    [pl.Series("a", [1]), pl.Series([{"a": 1}, None]), pd.Series([1]), pa.array([1]), pa.chunked_array([[1]])],
    ids=lambda value: f"{type(value).__module__}.{type(value).__name__}",
)
def test_one_column(column: Any) -> None:
    """A single column is not rows, a column of structs neither: its nulls would be lost."""
    with pytest.raises(InvalidInputError, match="one column, not rows") as caught:
        to_table(column)
    assert caught.value.hint


@given(st.data())
def test_streams_of_any_type(data: st.DataObject) -> None:
    """A stream's rows arrive as they are, in memory or by way of the disk."""
    shape = data.draw(shapes())
    table = pa.Table.from_pylist(data.draw(shape.rows()), schema=shape.schema)
    limit = data.draw(st.sampled_from([0, 1 << 20]))
    got = to_table(Streamed(reader(iter(table.to_batches() * 3), table.schema)), memory_limit=limit)
    assert got.schema == table.schema
    assert same(got.to_pylist(), table.to_pylist() * 3)


@given(st.data())
def test_dicts_against_a_schema(data: st.DataObject) -> None:
    """Python values parsed against the table's schema are the values they were."""
    shape = data.draw(shapes())
    rows = data.draw(shape.rows())
    target = canonical_schema(shape.schema)
    assert same(normalise(to_table(rows, schema=target), target).to_pylist(), rows)


def views(count: int) -> Iterator[pa.RecordBatch]:
    whole = pa.array([f"a text that is long enough {i}" for i in range(1000)], pa.string_view())
    nested = pa.ListArray.from_arrays(pa.array(range(1001), pa.int32()), whole)
    for i in range(count):
        yield pa.record_batch({"v": whole[i : i + 1], "l": nested[i : i + 1]})


def test_spooling_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit a stream goes to a file without a name, and its rows are read from there."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen: list[list[str]] = []

    def batches() -> Iterator[pa.RecordBatch]:
        for i in range(50):
            seen.append(os.listdir(tmp_path))
            yield pa.record_batch({"id": pa.array(range(i, i + 1000))})

    before = pa.total_allocated_bytes()
    table = to_table(reader(batches(), pa.schema([("id", pa.int64())])), memory_limit=10_000)
    assert table.column("id").to_pylist() == [k for i in range(50) for k in range(i, i + 1000)]
    assert pa.total_allocated_bytes() - before < 50_000
    assert not any(seen)
    assert not os.listdir(tmp_path)


def test_spooled_views_take_their_own_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches that share one buffer of text are counted and written by what they hold, not by what they share."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    schema = pa.schema([("v", pa.string_view()), ("l", pa.list_(pa.string_view()))])
    in_memory = to_table(reader(views(200), schema))
    assert in_memory.nbytes < 50_000
    on_disk = to_table(reader(views(200), schema), memory_limit=0)
    assert on_disk.column("v").to_pylist() == [f"a text that is long enough {i}" for i in range(200)]
    assert on_disk.to_pylist() == in_memory.to_pylist()


def test_spooling_dictionaries() -> None:
    """Dictionaries that change from batch to batch survive the way by the disk."""
    kind = pa.dictionary(pa.int8(), pa.string())

    def batches() -> Iterator[pa.RecordBatch]:
        for i in range(3):
            yield pa.record_batch({"d": pa.DictionaryArray.from_arrays(pa.array([0, 0], pa.int8()), [f"k{i}"])})

    table = to_table(reader(batches(), pa.schema([("d", kind)])), memory_limit=0)
    assert table.column("d").to_pylist() == ["k0", "k0", "k1", "k1", "k2", "k2"]


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A spool that cannot be written is a storage error that says so."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: full.open("r+b", buffering=0))
    with pytest.raises(StorageError, match="cannot spool the rows to a temporary file: No space left"):
        to_table(reader(iter([BATCH] * 3)), memory_limit=0)


def failing() -> Iterator[pa.RecordBatch]:
    yield BATCH
    raise ZeroDivisionError("the third shard is broken")


@pytest.mark.parametrize("limit", [0, 1 << 20])
def test_failing_streams(limit: int) -> None:
    """What fails in a stream surfaces: as it is in Python, with its words through the C interface."""
    with pytest.raises(ZeroDivisionError, match="third shard"):
        to_table(reader(failing()), memory_limit=limit)
    with pytest.raises(InvalidInputError, match=r"the rows cannot be read: .*third shard is broken") as caught:
        to_table(Streamed(reader(failing())), memory_limit=limit)
    assert "Traceback" not in str(caught.value)


def test_failing_query() -> None:
    """A DuckDB relation that fails while it is read says why."""
    relation = duckdb.connect().sql("SELECT (CASE WHEN i = 500000 THEN 'x' ELSE '1' END)::INT FROM range(1000000) t(i)")
    with pytest.raises(InvalidInputError, match="Could not convert string 'x'"):
        to_table(relation)


@pytest.mark.parametrize("kind", [pl.Object, pl.Int128, pl.UInt128])
def test_polars_types_without_arrow(kind: Any) -> None:
    """Polars types that Arrow does not know are refused by column; objects would be exported as addresses."""
    with pytest.raises(SchemaMismatchError, match="column 'o' has the Polars type") as caught:
        to_table(pl.DataFrame({"o": pl.Series([1], dtype=kind)}))
    assert "cast it" in str(caught.value.hint)


def test_pandas_index() -> None:
    """An index with names is columns, plain row numbers are nothing, anything else has to be said."""
    frame = pd.DataFrame({"a": [1.0, 2.0]})
    assert to_table(frame).column_names == ["a"]
    assert to_table(frame.iloc[1:]).column_names == ["a"]
    assert to_table(frame.rename_axis("id")).to_pylist() == [{"id": 0, "a": 1.0}, {"id": 1, "a": 2.0}]
    two = frame.set_index(pd.MultiIndex.from_tuples([("x", 1), ("y", 2)], names=["k", "n"]))
    assert to_table(two).column_names == ["k", "n", "a"]
    with pytest.raises(InvalidInputError, match="index without a name") as caught:
        to_table(frame.set_index(pd.Index(["x", "y"])))
    assert "reset_index(drop=True)" in str(caught.value.hint)
    with pytest.raises(InvalidInputError, match="both an index and a column named 'a'"):
        to_table(frame.rename_axis("a"))


def test_pandas_values() -> None:
    """NaN is missing in pandas and null here; nanoseconds that are whole microseconds, categories and text fit."""
    frame = pd.DataFrame(
        {
            "f": [1.0, np.nan],
            "t": pd.Series(pd.to_datetime(["2024-01-01 00:00:00.000001", None])).astype("datetime64[ns]"),
            "c": pd.Categorical(["x", "y"]),
            "o": pd.Series([Decimal("1.5"), None], dtype=object),
        }
    )
    target = pa.schema(
        [("f", pa.int8()), ("t", pa.timestamp("us")), ("c", pa.string()), ("o", pa.decimal128(3, 1))],
    )
    assert normalise(to_table(frame), target).to_pylist() == [
        {"f": 1, "t": datetime(2024, 1, 1, microsecond=1), "c": "x", "o": Decimal("1.5")},  # noqa: DTZ001
        {"f": None, "t": None, "c": "y", "o": None},
    ]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame([[1, 2]]), "a column named 0, which is no text"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two fields named 'a'"),
        (pd.DataFrame({"a": [1, "x"]}), "cannot hold: .*column a"),
        (
            pd.DataFrame({"a": pd.Series([datetime(2020, 1, 1), datetime(2020, 1, 1, tzinfo=UTC)], dtype=object)}),  # noqa: DTZ001
            "column 'a' holds naive datetime .* and aware datetime",
        ),
        (pd.DataFrame({"a": pd.Series(["x", b"x"], dtype=object)}), "column 'a' holds str .* and bytes"),
    ],
)
def test_bad_pandas(frame: Any, message: str) -> None:
    """Columns that pandas does not name or type plainly are refused, and nothing is mended in silence."""
    with pytest.raises(InvalidInputError, match=message) as caught:
        to_table(frame)
    assert caught.value.hint


ZONE = timezone(timedelta(hours=2))
TARGET = pa.schema(
    [
        ("i", pa.int32()), ("f", pa.float32()), ("d", pa.float64()), ("dec", pa.decimal128(5, 2)),
        ("t", pa.timestamp("us", "UTC")), ("n", pa.timestamp("us")), ("day", pa.date32()), ("s", pa.string()),
        ("b", pa.binary()), ("o", pa.bool_()), ("l", pa.list_(pa.int8())), ("m", pa.map_(pa.string(), pa.int8())),
        ("st", pa.struct([("x", pa.int8()), ("y", pa.string())])),
    ]
)  # fmt: skip


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("i", 1.0, 1),
        ("i", Decimal("2.0"), 2),
        ("i", np.int64(3), 3),
        ("f", 0.1, float(np.float32(0.1))),
        ("f", 7, 7.0),
        ("f", np.float32(0.3), float(np.float32(0.3))),
        ("d", 2**60, 2.0**60),
        ("d", Decimal("0.1"), 0.1),
        ("dec", Decimal("1.5"), Decimal("1.50")),
        ("dec", 7, Decimal("7.00")),
        ("dec", 0.1, Decimal("0.10")),
        ("dec", Decimal("1.5000"), Decimal("1.50")),
        ("t", datetime(2024, 1, 1, 2, tzinfo=ZONE), datetime(2024, 1, 1, tzinfo=UTC)),
        ("t", pd.Timestamp("2024-01-01", tz="UTC"), datetime(2024, 1, 1, tzinfo=UTC)),
        ("t", pd.NaT, None),
        ("n", datetime(2024, 1, 1), datetime(2024, 1, 1)),  # noqa: DTZ001
        ("o", np.bool_(True), True),
        ("b", bytearray(b"x"), b"x"),
        ("l", (1, 2.0, None), [1, 2, None]),
        ("l", np.array([1, 2]), [1, 2]),
        ("m", {"a": 1}, [("a", 1)]),
        ("m", [("a", None)], [("a", None)]),
        ("st", {"x": 1}, {"x": 1, "y": None}),
    ],
)
def test_values_that_fit(column: str, value: Any, expected: Any) -> None:
    """A Python value is taken where the column's type holds what was written."""
    table = to_table([{column: value}, {column: None}], schema=TARGET)
    assert table.schema.field(column).type == TARGET.field(column).type
    assert table.to_pylist() == [{column: expected}, {column: None}]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("i", True), ("i", 1.5), ("i", 2**31), ("i", "1"), ("i", float("nan")), ("i", Decimal("Infinity")),
        ("f", 0.12345678901), ("f", 2**24 + 1), ("f", 1e300), ("d", 2**53 + 1), ("d", "0.5"), ("d", False),
        ("d", 10**400), ("dec", Decimal("1.234")), ("dec", Decimal(1000)), ("dec", Decimal("NaN")), ("dec", 0.125),
        ("t", datetime(2024, 1, 1)), ("t", pd.Timestamp(1, tz="UTC")), ("t", date(2024, 1, 1)),  # noqa: DTZ001
        ("n", datetime(2024, 1, 1, tzinfo=UTC)), ("day", datetime(2024, 1, 1)), ("day", "2024-01-01"),  # noqa: DTZ001
        ("t", datetime.max.replace(tzinfo=timezone(-timedelta(hours=2)))),
        ("s", 1), ("s", b"x"), ("s", "\ud800"), ("b", "x"), ("o", 1), ("l", [300]), ("l", "abc"), ("l", 1),
        ("m", {1: 1}), ("m", [("a",)]), ("m", {None: 1}), ("st", {"z": 1}), ("st", [1]),
        ("day", np.datetime64("2024-01-01")),
    ],
)  # fmt: skip
def test_values_that_do_not_fit(column: str, value: Any) -> None:
    """A value that the column's type cannot hold is refused with column, type, value and row."""
    with pytest.raises(SchemaMismatchError, match=f"column '{column}' of type .* cannot hold .*row 1") as caught:
        to_table([{column: None}, {column: value}], schema=TARGET)
    assert caught.value.hint
    assert (caught.value.column, caught.value.rows) == (column, (1,))


def test_three_values_are_shown() -> None:
    """Up to three values that do not fit are named with their rows."""
    with pytest.raises(SchemaMismatchError) as caught:
        to_table([{"i": v} for v in (1, "a", 2, "b", "c", "d")], schema=TARGET)
    assert caught.value.rows == (1, 3, 4)


@pytest.mark.parametrize(
    ("items", "kind"),
    [
        ([True, None], pa.bool_()),
        ([1, 2], pa.int64()),
        ([1, 2.5], pa.float64()),
        ([Decimal("1.25"), 100], pa.decimal128(5, 2)),
        ([Decimal("1E+3"), Decimal("0.5")], pa.decimal128(5, 1)),
        ([datetime(2024, 1, 1, tzinfo=ZONE)], pa.timestamp("us", "UTC")),
        ([datetime(2024, 1, 1)], pa.timestamp("us")),  # noqa: DTZ001
        ([date(2024, 1, 1)], pa.date32()),
        (["a"], pa.string()),
        ([b"a"], pa.binary()),
        ([[], [1], [None, 2]], pa.list_(pa.int64())),
        ([{"x": 1}, {"y": "a"}], pa.struct([("x", pa.int64()), ("y", pa.string())])),
        ([[{"x": [1.5]}]], pa.list_(pa.struct([("x", pa.list_(pa.float64()))]))),
        ([None], pa.null()),
    ],
    ids=str,
)
def test_inferred(items: list[Any], kind: pa.DataType) -> None:
    """Without a schema a column's type is that of its values."""
    assert to_table([{"c": item} for item in items]).schema.field("c").type == kind


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([1, "x"], r"column 'c' holds int \(row 0: 1 of type int\) and str \(row 1: 'x' of type str\)"),
        ([True, 1], "holds bool .* and int"),
        ([Decimal(1), 0.5], "holds decimal .* and float"),
        ([date(2024, 1, 1), datetime(2024, 1, 1)], "holds date .* and naive datetime"),  # noqa: DTZ001
        ([datetime(2024, 1, 1), datetime(2024, 1, 1, tzinfo=UTC)], "holds naive datetime .* and aware"),  # noqa: DTZ001
        ([{"x": 1}, {"x": "a"}], r"column 'c\.x' holds int"),
        ([[1], ["a"]], r"column 'c\.element' holds int"),
        ([2**53 + 1, 0.5], "column 'c' of type double cannot hold 9007199254740993"),
        ([2**63], "column 'c' of type int64 cannot hold"),
        ([Decimal("1e30"), Decimal("1e-30")], "no type of 38 digits"),
        ([timedelta(1)], "which no column can hold"),
        ([{1: 2}], "a dict with the key 1"),
        ([{"\ud800": 2}], "a dict with the key"),
    ],
    ids=str,
)
def test_mixed_types(items: list[Any], message: str) -> None:
    """Values of several types in one column are refused, with the types and where they are."""
    with pytest.raises(SchemaMismatchError, match=message) as caught:
        to_table([{"c": item} for item in items])
    assert caught.value.hint


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no columns"),
        ([{}], "no columns"),
        ([{"a": 1}, 5], "row 1 of the list is a int, not a dict"),
        ([{"a": 1}, {2: 1}], "row 1 has the key 2, which is no text"),
        ([{"\ud800": 1}], "which is no text"),
    ],
)
def test_bad_lists(rows: list[Any], message: str) -> None:
    """A list of rows is a list of dicts with names for keys."""
    with pytest.raises(InvalidInputError, match=message) as caught:
        to_table(rows)
    assert caught.value.hint


def test_keys_of_dicts() -> None:
    """Columns come in the schema's order, new ones last; a key that no row has is left for the table to miss."""
    rows = [{"new": 1, "s": "a"}, {"i": 2}]
    assert to_table(rows, schema=TARGET).to_pylist() == [
        {"i": None, "s": "a", "new": 1}, {"i": 2, "s": None, "new": None},
    ]  # fmt: skip
    assert to_table(rows, schema=TARGET).column_names == ["i", "s", "new"]
    assert to_table([], schema=TARGET) == TARGET.empty_table()
    with pytest.raises(SchemaMismatchError, match="the table has no column 'sx'") as caught:
        normalise(to_table([{"sx": "a"}], schema=TARGET), TARGET)
    assert "did you mean 's'?" in str(caught.value.hint)
