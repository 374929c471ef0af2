"""Equality and content, value by value."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl
import pyarrow as pa
import pytest

from tablever.rows import differs, digest

NAN = float("nan")
EQUAL = [(None, None), (NAN, NAN), (0.0, -0.0), (1.5, 1.5)]
NESTED = pl.Struct({"x": pl.List(pl.Float64)})


@pytest.mark.parametrize(("left", "right"), EQUAL)
def test_equal_floats(left: float | None, right: float | None) -> None:
    """Null equals null, NaN equals NaN, -0.0 equals 0.0, alone and inside lists and structs."""
    for wrap, kind in ((lambda v: v, pl.Float64), (lambda v: [v], pl.List(pl.Float64)), (lambda v: {"x": [v]}, NESTED)):
        a, b = (pl.DataFrame({"v": [wrap(value)]}, schema={"v": kind}) for value in (left, right))
        assert differs(a, b, ["v"]).to_list() == [False]


def test_unequal_values() -> None:
    """Null is not empty, text is compared by code point, a shorter list is another list."""
    pairs = [
        (["e\u0301"], ["\u00e9"], pl.String),
        ([None], [""], pl.String),
        ([[1.0]], [[1.0, None]], pl.List(pl.Float64)),
        ([None], [[]], pl.List(pl.Float64)),
        ([None], [NAN], pl.Float64),
    ]
    for left, right, kind in pairs:
        a, b = (pl.DataFrame({"v": values}, schema={"v": kind}) for values in (left, right))
        assert differs(a, b, ["v"]).to_list() == [True]


TABLE = pa.table(
    {
        "i": pa.array([1, None, -3], pa.int8()),
        "f": pa.array([0.0, NAN, None], pa.float32()),
        "s": ["x", None, "ünï"],
        "b": pa.array([b"", None, b"\x00"]),
        "t": pa.array([True, None, False]),
        "d": pa.array([date(1, 1, 1), None, date(9999, 12, 31)]),
        "ts": pa.array(
            [datetime(2020, 1, 1, tzinfo=UTC), None, datetime(1, 1, 1, tzinfo=UTC)], pa.timestamp("us", "UTC")
        ),
        "dec": pa.array([Decimal("1.50"), None, Decimal("-0.01")], pa.decimal128(38, 2)),
        "l": pa.array([[1, None], None, []], pa.list_(pa.int64())),
        "st": pa.array([{"q": "a"}, None, {"q": None}]),
        "m": pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int64())),
    }
)


def test_chunks_and_slices_do_not_count() -> None:
    """A table's digest does not depend on how it is cut into chunks, nor on what lies around a slice."""
    chunked = pa.concat_tables([TABLE[:1], TABLE[1:1], TABLE[1:]])
    sliced = pa.concat_tables([TABLE, TABLE]).combine_chunks().slice(2, 3)
    assert digest(chunked) == digest(TABLE)
    assert digest(sliced) == digest(pa.concat_tables([TABLE[2:], TABLE[:2]]))


def test_signs_of_zero_and_payloads_of_nulls_do_not_count() -> None:
    """Equal values have equal digests, whatever bits they are made of."""
    minus = TABLE.set_column(1, "f", pa.array([-0.0, NAN, None], pa.float32()))
    assert digest(minus) == digest(TABLE)


@pytest.mark.parametrize("column", TABLE.column_names)
def test_every_cell_counts(column: str) -> None:
    """Moving, emptying or dropping one cell gives another digest."""
    at = TABLE.column_names.index(column)
    shifted = pa.concat_arrays([TABLE.column(column).chunk(0)[1:], TABLE.column(column).chunk(0)[:1]])
    assert digest(TABLE.set_column(at, column, shifted)) != digest(TABLE)
    assert digest(TABLE.set_column(at, column, pa.nulls(3, TABLE.schema.field(at).type))) != digest(TABLE)
    assert digest(TABLE[:2]) != digest(TABLE)
