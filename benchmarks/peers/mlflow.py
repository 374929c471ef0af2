"""MLflow: the digest by which it names a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import mlflow.data
import pandas as pd

from benchmarks.peers.child import Call

LIBRARIES = ("mlflow-skinny", "pandas")


def digest(table: Path, rows: str) -> Sequence[Call]:  # noqa: ARG001 - the file is all it takes
    """mlflow.data.from_pandas(…).digest of a frame in memory."""
    frame = pd.read_parquet(rows)
    return [lambda: mlflow.data.from_pandas(frame).digest]
