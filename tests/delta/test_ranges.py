"""Files told apart by arrays of bounds, against the bounds of each."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tablever.delta import ranges, stats
from tablever.model import DataFile, Metadata, Protocol, Snapshot

LIMIT = 2**63
NUMBERS = st.integers(-5, 5) | st.sampled_from([-LIMIT, LIMIT - 1, -LIMIT - 1, LIMIT])


@st.composite
def files(draw: st.DrawFn) -> DataFile:
    """A file whose statistics have bounds, one of them, or none."""
    low, high = sorted((draw(NUMBERS), draw(NUMBERS)))
    known = draw(st.sampled_from(["both", "lower", "none"]))
    values = {"minValues": {"k": low} if known != "none" else {}, "maxValues": {"k": high} if known == "both" else {}}
    return DataFile(f"f{draw(st.integers(0, 10**9))}", 1, 0, stats=json.dumps({"numRecords": 1, **values}))


def snapshot(held: tuple[DataFile, ...]) -> Snapshot:
    return Snapshot(0, datetime(2026, 1, 1, tzinfo=UTC), Protocol(1, 2), Metadata("id", ""), held)


@given(st.lists(files(), max_size=8), st.lists(st.integers(0, 7), max_size=4), st.lists(files(), max_size=3), NUMBERS)
def test_ranges_drop_no_file_that_bounds_keep(
    first: list[DataFile], changed: list[int], more: list[DataFile], key: int
) -> None:
    """Whatever version the arrays were made for before, a file is kept exactly where its own bounds meet the keys."""
    key = max(-LIMIT, min(key, LIMIT - 1))
    before = snapshot(tuple(first))
    ranges.overlapping(before, "k", pa.int64(), key, key)
    others = [replace(file, size=2) if i in changed else file for i, file in enumerate(first)]
    after = snapshot((*others, *more))
    after.ranges.update(before.ranges)
    for version in (after, before, after):
        found = ranges.overlapping(version, "k", pa.int64(), key, key)
        assert stats.may_hold(found, "k", pa.int64(), [key]) == stats.may_hold(version.files, "k", pa.int64(), [key])
        assert list(found) == [file for file in version.files if any(file is each for each in found)]
