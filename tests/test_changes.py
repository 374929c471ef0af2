"""The algebra of changes against a count of rows in plain Python."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from math import isclose, isnan

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tablever.changes import Changes, apply, between, compose, invert, net, pairs, unlike
from tablever.errors import ConflictError, InvalidInputError
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


# The value: laws over rows, keyed and keyless, with floats and nested values


def over(before: list, after: list, key: bool) -> Changes:
    return between(frame(before), frame(after), COLUMNS, ["k"] if key else [])


def told(changes: Changes) -> tuple[Counter, Counter]:
    return counted(changes.went), counted(changes.came)


def counted(rows_: pl.DataFrame) -> Counter:
    return Counter(cells(rows_.to_dicts()))


keys = st.booleans()


@given(a=many, b=many)
def test_apply_takes_rows_to_rows(a: list, b: list) -> None:
    """apply(a, between(a, b)) = b, as multisets."""
    assert counted(apply(frame(a), over(a, b, key=False))) == Counter(cells(b))


@given(a=keyed, b=keyed)
def test_apply_by_key(a: list, b: list) -> None:
    """The same with a key that is single on both sides."""
    assert counted(apply(frame(a), over(a, b, key=True))) == Counter(cells(b))


@given(a=many, b=many, key=keys)
def test_changes_have_nothing_in_common(a: list, b: list, key: bool) -> None:
    """What went and what came are the two differences of multisets, so that no row is in both."""
    assert told(over(a, b, key)) == (Counter(cells(a)) - Counter(cells(b)), Counter(cells(b)) - Counter(cells(a)))


@given(a=many, b=many, key=keys)
def test_invert(a: list, b: list, key: bool) -> None:
    """between(a, a) is empty; invert(between(a, b)) = between(b, a); invert twice is nothing done."""
    change = over(a, b, key)
    assert not over(a, a[::-1], key)
    assert told(invert(change)) == told(over(b, a, key))
    assert told(invert(invert(change))) == told(change)


@given(a=many, b=many, c=many, d=many, key=keys)
def test_compose(a: list, b: list, c: list, d: list, key: bool) -> None:
    """compose takes a to c over b; it is associative, has a unit, and every change has its inverse."""
    x, y, z = over(a, b, key), over(b, c, key), over(c, d, key)
    assert told(compose(x, y)) == told(over(a, c, key))
    assert told(compose(compose(x, y), z)) == told(compose(x, compose(y, z)))
    assert told(compose(x, over(a, a, key))) == told(x)
    assert not compose(x, invert(x))


@given(a=many, b=many, c=many)
def test_apply_refuses_rows_that_are_not_there(a: list, b: list, c: list) -> None:
    """apply is all or nothing: a row that went must be in the rows as often as it went."""
    change = over(a, b, key=False)
    if counted(change.went) <= Counter(cells(c)):
        assert counted(apply(frame(c), change)) == Counter(cells(c)) - counted(change.went) + counted(change.came)
    else:
        with pytest.raises(ConflictError):
            apply(frame(c), change)


def test_apply_refuses_a_key_that_is_taken() -> None:
    """With a key, a row that comes may not meet one that stays."""
    row = {"k": 1, "f": None, "l": None}
    with pytest.raises(ConflictError):
        apply(frame([{**row, "f": 2.0}]), over([], [row], key=True))


def test_compose_wants_the_same_columns_and_key() -> None:
    """Changes of other columns, or by another key, cannot be composed."""
    with pytest.raises(InvalidInputError):
        compose(over([], [], key=True), over([], [], key=False))


@given(a=many, b=many)
def test_pairs(a: list, b: list) -> None:
    """A key that is once on either side is a pair; the others are removed and added, and named."""
    change = over(a, b, key=True)
    found = pairs(change)
    counts = [Counter(side["k"].to_list()) for side in (change.went, change.came)]
    single = {k for k in counts[0] if counts[0][k] == 1 == counts[1][k]}
    assert sorted(found.before["k"]) == sorted(found.after["k"]) == sorted(single)
    assert found.before["k"].to_list() == found.after["k"].to_list()
    assert counted(found.removed) + counted(found.before) == counted(change.went)
    assert counted(found.added) + counted(found.after) == counted(change.came)
    assert set(found.unpaired["k"]) == {k for side in counts for k in side if side[k] > 1}
    for name, flags in found.changed.items():
        assert flags.to_list() == found.before[name].ne_missing(found.after[name]).to_list()


numbers = st.sampled_from([0.0, 1.0, 1.05, 1.1, -1.0, 1e300, float("inf"), float("-inf"), float("nan"), None])


@given(
    values=st.lists(st.tuples(numbers, numbers)),
    absolute=st.sampled_from([0.0, 0.06]),
    relative=st.sampled_from([0.0, 0.05]),
)
def test_tolerance_is_isclose(values: list, absolute: float, relative: float) -> None:
    """Values are alike within a tolerance as math.isclose has it; null is like null alone, NaN like NaN."""
    before, after = (pl.Series([pair[i] for pair in values], dtype=pl.Float64) for i in (0, 1))

    def alike(x: float | None, y: float | None) -> bool:
        if x is None or y is None:
            return x is y
        return (isnan(x) and isnan(y)) or isclose(x, y, rel_tol=relative, abs_tol=absolute)

    assert unlike(before, after, (absolute, relative)).to_list() == [not alike(*pair) for pair in values]


def test_tolerance_holds_for_decimals_wider_than_doubles() -> None:
    """Decimals that are one double and differ by more than the tolerance allows are not alike."""
    near, far = Decimal("123456789012345678.01"), Decimal("123456789012345678.05")
    before, after = (pl.Series([value], dtype=pl.Decimal(20, 2)) for value in (near, far))
    assert unlike(before, after, (0.001, 0.0)).to_list() == [True]
    assert unlike(before, after, (100.0, 0.0)).to_list() == [False]
    small, other = (pl.Series([Decimal(text)], dtype=pl.Decimal(10, 2)) for text in ("1.00", "1.50"))
    assert unlike(small, other, (0.5, 0.0)).to_list() == [False]
