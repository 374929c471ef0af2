"""lake-sift: two Parquet files, compared to the cell."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import lakesift

from benchmarks.peers.child import Call
from benchmarks.peers.common import counts

LIBRARIES = ("lake-sift", "duckdb")


def diff(table: Path, before: str, after: str) -> Sequence[Call]:  # noqa: ARG001 - the files are all it takes
    """Its diff by the key, in numbers."""

    def call() -> list[int]:
        with lakesift.diff(lakesift.ParquetSource(before), lakesift.ParquetSource(after), ["id"]) as found:
            summary = found.summary()
        return counts(summary["added"], summary["removed"], summary["changed"])

    return [call]
