"""Netting in memory, spilled, by place and by hash: the same parts, whichever way."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tablever as tv
from tablever import errors
from tablever.diff import netting, snapshots
from tablever.diff.netting import Parts, net_batches
from tablever.diff.sides import Scope, Side, read_as, scope_of
from tablever.diff.value import Diff, diff_versions
from tests.model import Column, multiset
from tests.strategies import arrow_table

COLUMNS = [
    Column("k", pa.int64()),
    Column("f", pa.float64()),
    Column("l", pa.list_(pa.float64())),
    Column("m", pa.map_(pa.string(), pa.int64())),
]
floats = st.sampled_from([0.0, -0.0, 1.5, float("nan"), None])
rows = st.fixed_dictionaries(
    {
        "k": st.integers(0, 30) | st.none(),
        "f": floats,
        "l": st.none() | st.lists(floats, max_size=2),
        "m": st.none() | st.just([("a", 1)]),
    }
)
many = st.lists(rows, max_size=40)


def table(values: Sequence[dict[str, Any]]) -> pa.Table:
    return arrow_table(values, COLUMNS)


def scope(key: Sequence[str]) -> Scope:
    side = Side(rows=table([]))
    return scope_of(side, side, key=key)


def batches(scope: Scope, went: list[dict[str, Any]], came: list[dict[str, Any]], size: int) -> list[Any]:
    found = []
    for side, values in ((False, went), (True, came)):
        frame = read_as(scope, pl.DataFrame(table(values)), side)
        found += [(side, frame[start : start + size]) for start in range(0, frame.height, size)]
    return found


def words(parts: Parts) -> tuple[Any, ...]:
    """Parts without the order of their rows."""
    updated = [Column(f.name, f.type) for f in parts.updated.schema]
    return (
        multiset(parts.added.to_pylist(), COLUMNS),
        multiset(parts.removed.to_pylist(), COLUMNS),
        multiset(parts.updated.to_pylist(), updated),
        {name: count for name, count in parts.cells.items() if count},
        Counter(map(str, parts.unpaired.to_pylist())),
    )


@given(went=many, came=many, keyed=st.booleans(), size=st.integers(1, 50))
def test_spilled_equals_in_memory(went: list, came: list, keyed: bool, size: int) -> None:
    """Rows scattered over files net to what they net to in memory; the files go with the parts."""
    one = scope(["k"] if keyed else [])
    spilled = net_batches(batches(one, went, came, size), one, limit=64)
    held = net_batches(batches(one, went, came, 1000), one)
    assert words(spilled) == words(held)
    assert held.folder is None
    folder, added = spilled.folder, spilled.added
    assert folder is None or folder.exists()
    before = added.to_pylist()
    del spilled
    gc.collect()
    assert folder is None or not folder.exists()
    assert str(added.to_pylist()) == str(before), "a table outlives the parts that it is of"


@pytest.mark.parametrize("nested", [["l", "m"], ["f", "l", "m"]])
def test_nested_columns_do_not_say_where_rows_are_scattered(nested: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key, rows are scattered by flat columns, and are in one part where there are none.

    How an engine hashes a list or a map need not agree with what is equal.
    """
    honest = pl.DataFrame.hash_rows

    def flat(self: pl.DataFrame, seed: int = 0) -> pl.Series:
        assert not any(kind.is_nested() for kind in self.dtypes)
        return honest(self, seed)

    monkeypatch.setattr(pl.DataFrame, "hash_rows", flat)
    side = Side(rows=table([]).select(nested))
    one = scope_of(side, side)
    went = [{"k": 1, "f": 0.5, "l": [n / 2], "m": [("a", 1)]} for n in range(50)]
    spilled = net_batches(batches(one, went[:40], went[10:], 10), one, limit=64)
    assert spilled.folder is not None
    assert words(spilled) == words(net_batches(batches(one, went[:40], went[10:], 10), one))
    assert (spilled.added.num_rows, spilled.removed.num_rows) == (10, 10)


@pytest.mark.parametrize("suffix", ["-came.arrows", "added.arrow"])
def test_a_full_disk_is_a_storage_error(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the temporary folder is full, that is a StorageError that says what to do, and nothing is left behind."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    real = pa.OSFile

    def full(path: str, mode: str = "rb") -> Any:
        return real("/dev/full" if mode == "wb" and path.endswith(suffix) else path, mode)

    monkeypatch.setattr(pa, "OSFile", full)
    one = scope(["k"])
    with pytest.raises(errors.StorageError, match="No space left") as refused:
        net_batches(batches(one, [], [{"k": n} for n in range(50)], 10), one, limit=64)
    assert "TMPDIR" in str(refused.value.hint)
    assert not list(tmp_path.iterdir())


def test_no_temporary_folder_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no temporary folder can be made, that is a StorageError; a small diff needs none."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    one = scope(["k"])
    with pytest.raises(errors.StorageError, match="temporary folder"):
        net_batches(batches(one, [], [{"k": n} for n in range(50)], 10), one, limit=64)
    assert net_batches(batches(one, [], [{"k": 1}], 10), one).added.num_rows == 1


def test_what_was_spilled_is_removed_when_netting_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No temporary folder is left behind when the rows cannot be read to the end."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    one = scope([])

    def broken() -> Any:
        yield from batches(one, [{"k": 1}] * 50, [], 10)
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        net_batches(broken(), one, limit=64)
    assert not list(tmp_path.iterdir())


def rewritten(folder: Path, before: list[dict[str, Any]], after: list[dict[str, Any]]) -> Diff:
    """Two versions that share no file."""
    path = folder / "t"
    tv.create_table(path, table(before))
    tv.overwrite(path, table(after))
    return diff_versions(path, 0, "latest", columns=["k", "f", "l", "m"])


@given(data=st.data(), base=st.lists(rows, min_size=1, max_size=40), share=st.sampled_from([0.0, 0.1, 1.0]))
def test_by_place_equals_by_hash(data: st.DataObject, base: list, share: float, tmp_path_factory: Any) -> None:
    """Rewritten files give the same rows however much of a stretch is remembered by hash, in any order of rows."""
    after = data.draw(st.permutations(base) | st.just(base), label="order")
    for _ in range(data.draw(st.integers(0, 3), label="changes")):
        place = data.draw(st.integers(0, len(after)), label="place")
        after = [*after[:place], data.draw(rows), *after[place + data.draw(st.integers(0, 1)) :]]
    diff = rewritten(tmp_path_factory.mktemp("t"), base, after)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshots, "MOSTLY", share)
        left, right = multiset(base, COLUMNS), multiset(after, COLUMNS)
        assert multiset(diff.removed.to_pylist(), COLUMNS) == left - right
        assert multiset(diff.added.to_pylist(), COLUMNS) == right - left


def test_a_hash_that_two_rows_share_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the hash that matches rows takes a changed row for an unchanged one, the other hash notices."""
    honest = pl.DataFrame.hash_rows

    def poor(self: pl.DataFrame, seed: int = 0) -> pl.Series:
        found = honest(self, seed)
        return found * 0 + 2 if seed == snapshots._SEEDS[0] else found

    monkeypatch.setattr(pl.DataFrame, "hash_rows", poor)
    before = [{"k": k} for k in range(20)]
    diff = rewritten(tmp_path, before, [{"k": k + 100} for k in range(20)])
    assert (diff.summary.added, diff.summary.removed) == (20, 20)


@given(went=many, came=many, keyed=st.booleans())
def test_rows_come_in_order(went: list, came: list, keyed: bool) -> None:
    """Rows are ordered by the key, nulls last; without one by the columns that sort."""
    parts = net_batches(batches(one := scope(["k"] if keyed else []), went, came, 7), one)
    for rows_ in (parts.added, parts.removed, parts.updated):
        keys = [(row["k"] is None, row["k"] or 0) for row in rows_.to_pylist() if "k" in row]
        assert keys == sorted(keys)
    assert netting.sorting(one)[0] == "k"
