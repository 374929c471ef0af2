"""Oxen: its diff of two files, outside of any repository."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import oxen

from benchmarks.peers.child import Call
from benchmarks.peers.common import counts

LIBRARIES = ("oxenai", "polars")


def diff(table: Path, before: str, after: str) -> Sequence[Call]:  # noqa: ARG001 - the files are all it takes
    """oxen.diff by the key; its frame counted by status."""

    def call() -> list[int]:
        status = oxen.diff(before, to=after, keys=["id"]).get().data["_oxen_diff_status"]
        return counts(*((status == kind).sum() for kind in ("added", "removed", "modified")))

    return [call]
