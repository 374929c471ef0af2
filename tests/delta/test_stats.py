"""What a file's statistics say of floats."""

from __future__ import annotations

import json
import math
from typing import Any

import pyarrow as pa
import pytest

from tablever.delta import stats


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
