"""Bounds of an integer column over all files of a version, as arrays: thousands of files are told apart in one step.

The arrays of one version are made from those of another: files that both begin with are not looked at again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import compress

import numpy as np
import pyarrow as pa

from tablever.delta.stats import bounds_of
from tablever.model import DataFile, Snapshot

_Integers = np.ndarray[tuple[int], np.dtype[np.int64]]
_LIMITS = np.iinfo(np.int64)


@dataclass(frozen=True)
class Ranges:
    """Inclusive bounds of each file; a file whose statistics promise nothing has the widest."""

    files: tuple[DataFile, ...] = ()
    lower: _Integers = field(default_factory=lambda: np.empty(0, np.int64))
    upper: _Integers = field(default_factory=lambda: np.empty(0, np.int64))

    def of(self, files: tuple[DataFile, ...], column: str, kind: pa.DataType) -> Ranges:
        """The ranges of other files, these used where they are of the same."""
        if files is self.files:
            return self
        same = _common_start(self.files, files)
        lower, upper = _bounds(files[same:], column, kind)
        return Ranges(files, np.concatenate([self.lower[:same], lower]), np.concatenate([self.upper[:same], upper]))

    def overlapping(self, lowest: int, highest: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """For each file whether its range meets the one from ``lowest`` to ``highest``, both included."""
        return (self.lower <= highest) & (self.upper >= lowest)


def overlapping(snapshot: Snapshot, column: str, kind: pa.DataType, lowest: int, highest: int) -> tuple[DataFile, ...]:
    """The files of a version whose bounds of an integer column meet a range, both ends included, in their order.

    ``column`` is the physical name. The snapshot remembers the bounds.
    """
    name = f"{kind} {column}"
    snapshot.ranges[name] = found = snapshot.ranges.get(name, Ranges()).of(snapshot.files, column, kind)
    return tuple(compress(snapshot.files, found.overlapping(lowest, highest)))


def _common_start(some: tuple[DataFile, ...], others: tuple[DataFile, ...]) -> int:
    """How many files both begin with."""
    if others[: len(some)] == some:  # by far the most usual, and told without a look into the files
        return len(some)
    return next((i for i, (one, other) in enumerate(zip(some, others, strict=False)) if one is not other), len(others))


def _bounds(files: Sequence[DataFile], column: str, kind: pa.DataType) -> tuple[_Integers, _Integers]:
    known = bounds_of(files, column, kind)
    lower = [_LIMITS.min if limits is None else _clipped(limits.lower) for limits in known]
    upper = [_LIMITS.max if limits is None else _clipped(limits.upper) for limits in known]
    return np.array(lower, np.int64), np.array(upper, np.int64)


def _clipped(value: int) -> int:
    return min(max(value, int(_LIMITS.min)), int(_LIMITS.max))
