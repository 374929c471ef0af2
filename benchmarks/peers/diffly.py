"""diffly: two frames of Polars, compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl
from diffly import compare_frames

from benchmarks.peers.child import Call
from benchmarks.peers.common import counts

LIBRARIES = ("diffly", "polars")


def diff(table: Path, before: str, after: str) -> Sequence[Call]:  # noqa: ARG001 - the files are all it takes
    """compare_frames by the key, without tolerance."""

    def call() -> list[int]:
        both = pl.scan_parquet(before), pl.scan_parquet(after)
        found = compare_frames(*both, primary_key="id", rel_tol=0.0)
        return counts(found.num_rows_right_only(), found.num_rows_left_only(), found.num_rows_joined_unequal())

    return [call]
