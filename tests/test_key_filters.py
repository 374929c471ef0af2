"""Bloom filters of keys: what they hold they never deny, and rarely take another for it."""

from __future__ import annotations

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tablever import key_filters
from tablever.digests import cell_sums
from tablever.errors import CorruptionError
from tablever.key_filters import KeyFilter, build, may_hold

KEYS = st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=60)


def digests(keys: list[int]) -> pl.Series:
    return cell_sums(pa.table({"id": pa.array(keys, pa.int64())}))


@given(KEYS)
def test_what_is_held_is_never_denied(keys: list[int]) -> None:
    """Every key that went in may be held, also after the filter was written to an entry and read again."""
    made = build(["id"], digests(keys))
    assert may_hold(made, digests(keys)).all()
    assert KeyFilter.from_json(made.to_json()) == made


@pytest.mark.parametrize("count", [1, 100, key_filters.MAX_ROWS])
def test_others_are_rarely_taken_for_held(count: int) -> None:
    """Of keys that did not go in, less than one in a hundred may be held; the filter has 12 bits a key."""
    made = build(["id"], digests(list(range(count))))
    assert len(made.bits) == max(16, -(-count * 12 // 8))
    assert may_hold(made, digests(list(range(10**6, 10**6 + 20_000)))).mean() < 0.01


def test_the_bytes_of_a_filter() -> None:
    """The layout is part of the format: the same keys give the same bits for ever."""
    made = build(["id"], digests([1, 2]))
    assert made.to_json() == {"columns": ["id"], "filter": "AQAkACUAiABQAAICQBAIgA=="}


def test_no_keys() -> None:
    """A filter of nothing holds nothing."""
    assert not may_hold(build([], digests([])), digests([1, 2, 3])).any()


@pytest.mark.parametrize(
    "value", [None, [], {}, {"columns": ["a"]}, {"columns": 1, "filter": "AA=="}, {"columns": [1], "filter": "AA=="},
              {"columns": ["a"], "filter": "?"}, {"columns": ["a"], "filter": ""}, {"columns": ["a"], "filter": 1},
              {"columns": ["a"], "filter": "é"}, {"columns": "a", "filter": "AA=="},
              {"columns": {"a": 1}, "filter": "AA=="}],
)  # fmt: skip
def test_what_is_no_filter(value: object) -> None:
    """Anything else in its place is damage, and never an empty filter."""
    with pytest.raises(CorruptionError, match="no filter"):
        KeyFilter.from_json(value)
