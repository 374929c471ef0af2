"""The algebra of changes against a count of rows in plain Python."""

from __future__ import annotations

from collections import Counter

import polars as pl
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tablever.changes import net
from tests.model import Column, identity

COLUMNS = ["k", "f", "l"]
TYPES = {"k": pl.Int64, "f": pl.Float64, "l": pl.List(pl.Float64)}
KINDS = [Column("k", pa.int64()), Column("f", pa.float64()), Column("l", pa.list_(pa.float64()))]

floats = st.sampled_from([0.0, -0.0, 1.5, float("nan"), None])
rows = st.fixed_dictionaries(
    {"k": st.integers(0, 4), "f": floats, "l": st.none() | st.lists(floats, max_size=2)},
)
many = st.lists(rows, max_size=8)
keyed = st.lists(rows, max_size=5, unique_by=lambda row: row["k"])


def frame(values: list[dict[str, object]]) -> pl.DataFrame:
    return pl.DataFrame(values, schema=TYPES)


def cells(values: list[dict[str, object]]) -> list[object]:
    return [identity(row, KINDS) for row in values]


@given(went=many, came=many)
def test_keyless_net_is_the_difference_of_multisets(went: list, came: list) -> None:
    """Without a key, what is left of the rows that went and came is the difference of the two multisets."""
    change = net(frame(went), frame(came), COLUMNS)
    before, after = Counter(cells(went)), Counter(cells(came))
    assert Counter(cells([went[i] for i in change.deleted])) == before - after
    assert Counter(cells([came[i] for i in change.inserted])) == after - before
    assert change.rows_updated == 0


@given(went=many, came=many)
def test_the_earliest_of_equal_rows_cancel(went: list, came: list) -> None:
    """Of equal rows the earliest cancel, so that those that stay net are the latest."""
    change = net(frame(went), frame(came), COLUMNS)
    for side, kept in ((cells(went), set(change.deleted.tolist())), (cells(came), set(change.inserted.tolist()))):
        for i, cell in enumerate(side):
            if i in kept:
                assert all(j in kept for j in range(i, len(side)) if side[j] == cell)


@given(went=keyed, came=keyed)
def test_keyed_net_pairs_rows_by_key(went: list, came: list) -> None:
    """With a key, a key on both sides is an update where a value differs, and nothing where none does."""
    change = net(frame(went), frame(came), COLUMNS, ["k"])
    old = {row["k"]: cell for row, cell in zip(went, cells(went), strict=True)}
    new = {row["k"]: cell for row, cell in zip(came, cells(came), strict=True)}
    assert {went[i]["k"] for i in change.deleted} == old.keys() - new.keys()
    assert {came[i]["k"] for i in change.inserted} == new.keys() - old.keys()
    assert {came[i]["k"] for i in change.after} == {k for k in old.keys() & new.keys() if old[k] != new[k]}
    assert [went[i]["k"] for i in change.before] == [came[i]["k"] for i in change.after]


@given(rows_=many)
def test_nothing_changes_against_itself(rows_: list) -> None:
    """Rows set against themselves, in any order, leave nothing."""
    assert not net(frame(rows_), frame(rows_[::-1]), COLUMNS)
