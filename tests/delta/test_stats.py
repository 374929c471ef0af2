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
        ([[math.nan, 1.0, math.nan, -2.5], [math.nan]], (-2.5, 1.0)),
        ([[math.nan], [None, 0.5]], (0.5, 0.5)),
        ([[math.nan, None], [math.nan]], None),
        ([[1.0, math.inf]], None),
    ],
)
def test_bounds_of_floats_pass_over_nan(
    kind: pa.DataType, chunks: list[Any], bounds: tuple[float, float] | None
) -> None:
    """Bounds are those of the numbers; where there are none, or they are not finite, the column has no bounds."""
    said = json.loads(stats.gather(pa.table({"f": pa.chunked_array(chunks, kind)})))
    found = (said["minValues"]["f"], said["maxValues"]["f"]) if said["minValues"] else None
    assert found == bounds
