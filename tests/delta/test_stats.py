"""What a file's statistics say of floats."""

from __future__ import annotations

import json
import math
from typing import Any

import pyarrow as pa
import pytest

from tablever.delta import stats
from tablever.model import DataFile


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()])
@pytest.mark.parametrize(
    ("chunks", "bounds"),
    [
        ([[1.0, -2.5], [None, 0.5]], (-2.5, 1.0)),
        ([[math.nan], [None, 0.5]], None),
        ([[math.nan, None], [math.nan]], None),
        ([[1.0, math.inf]], None),
    ],
)
def test_bounds_of_floats_hold_for_every_value(
    kind: pa.DataType, chunks: list[Any], bounds: tuple[float, float] | None
) -> None:
    """Where a value is NaN, which no bounds hold, or a bound is not finite, the column has none."""
    said = json.loads(stats.gather(pa.table({"f": pa.chunked_array(chunks, kind)})))
    found = (said["minValues"]["f"], said["maxValues"]["f"]) if said["minValues"] else None
    assert found == bounds


@pytest.mark.parametrize("number", ["1e99999999999", "-1e99999999999", "1e-99999999999", "NaN", "1e999999"])
def test_bounds_that_no_decimal_holds_are_none(number: str) -> None:
    """Statistics of others may say any number: what cannot be computed with prunes nothing."""
    said = json.dumps({"numRecords": 1, "minValues": {"d": number}, "maxValues": {"d": number}})
    file = DataFile("x", 1, 0, {}, stats=said.replace(f'"{number}"', number) if number != "NaN" else said)
    found = stats.bounds(file, "d", pa.decimal128(10, 2))
    assert found is None or found.lower <= found.upper


@pytest.mark.parametrize("text", ["[1]", "3", '"numRecords"', "null", "true", "{", None])
def test_statistics_that_are_no_object_say_nothing(text: str | None) -> None:
    """Of a file whose statistics are JSON but no object, those that a delete leaves it say its rows, and no more."""
    left = stats.loosened(DataFile("f", 1, 0, stats=text), 7)
    assert json.loads(left) == {"numRecords": 7, "tightBounds": False}
