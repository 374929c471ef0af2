"""datacompy: two frames, compared; its implementation for Polars."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl
from datacompy import PolarsCompare

from benchmarks.peers.child import Call
from benchmarks.peers.common import counts

LIBRARIES = ("datacompy", "polars")


def diff(table: Path, before: str, after: str) -> Sequence[Call]:  # noqa: ARG001 - the files are all it takes
    """PolarsCompare by the key: rows on one side, and rows that are on both and do not match."""

    def call() -> list[int]:
        found = PolarsCompare(pl.read_parquet(before), pl.read_parquet(after), join_columns=["id"])
        updated = len(found.intersect_rows) - found.count_matching_rows()
        return counts(len(found.df2_unq_rows), len(found.df1_unq_rows), updated)

    return [call]
