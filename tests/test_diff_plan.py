"""What a diff plans to read: the right way, for its stated price, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given
from hypothesis import strategies as st

import tablever as tv
from tablever import deletions, errors, frames
from tablever.delta.vectors import load_once
from tablever.diff import planner
from tablever.diff.value import Diff, diff_rows, diff_versions
from tablever.findings import Plan
from tablever.storage import LocalStorage
from tests.comparing import by_way
from tests.sealing import rewrite

ROWS = 60_000


def table(rows: int = ROWS) -> pa.Table:
    ids = pa.array(range(rows), pa.int64())
    return pa.table({"id": ids, "text": [f"{n * 2654435761 % 2**32:08x}" for n in range(rows)], "n": ids})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tv.create_table(tmp_path / "t", table(), key="id")
    return tmp_path / "t"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The Parquet files that are opened for their rows."""
    files: set[str] = set()
    scan, read = pl.scan_parquet, pq.ParquetFile

    def scanned(source: Any, *args: Any, **options: Any) -> Any:
        files.update(Path(one).name for one in source)
        return scan(source, *args, **options)

    def parsed(source: Any, *args: Any, **options: Any) -> Any:
        files.add(Path(source).name)
        return read(source, *args, **options)

    monkeypatch.setattr(frames.pl, "scan_parquet", scanned)
    monkeypatch.setattr(pq, "ParquetFile", parsed)
    return files


def named(plan: Plan) -> set[str]:
    return {Path(file.path).name for file in plan.files if file.path.endswith(".parquet")}


def changed(path: Path, step: int) -> None:
    rows = table().to_pandas().iloc[::step].copy() if step else None
    assert rows is not None
    tv.upsert(path, pa.table({"id": rows.id.to_list(), "text": ["new"] * len(rows), "n": rows.n.to_list()}))


def test_a_few_updates_are_read_from_the_feed(path: Path, opened: set[str]) -> None:
    """A few updated rows of a large table: the change file alone is read, and the plan says so before."""
    changed(path, 600)
    opened.clear()
    diff = diff_versions(path, 0, 1)
    assert diff.plan.way == "changes"
    assert not opened
    assert diff.plan.at_most_rows == 200
    assert diff.summary.updated == 100
    assert opened == named(diff.plan)
    assert diff.plan.rejected is not None
    assert diff.plan.rejected.bytes is not None
    assert diff.plan.bytes < diff.plan.rejected.bytes


def test_without_a_feed_only_rows_under_the_vectors_are_read(path: Path, opened: set[str]) -> None:
    """Deleted rows of a table without a feed: read from their file, counted in pages; nothing else."""
    entry = path / "_delta_log" / f"{0:020d}.json"
    rewrite(
        entry, entry.read_text().replace('"delta.enableChangeDataFeed":"true"', '"delta.enableChangeDataFeed":"false"')
    )
    tv.delete(path, where="id IN (5, 40000)")
    tv.append(path, pa.table({"id": [ROWS], "text": ["x"], "n": [0]}))
    diff = diff_versions(path, 0, 2)
    assert diff.plan.way == "snapshots"
    assert diff.plan.at_most_rows == 3
    assert [file.bytes < file.size for file in diff.plan.files] == [True, False]
    opened.clear()
    assert (diff.summary.added, diff.summary.removed) == (1, 2)
    assert opened == named(diff.plan)


def test_vectors_are_in_the_plan(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of vectors that tell which rows are read are planned, for the bytes that are read of them."""
    monkeypatch.setattr(deletions, "INLINE_BYTES", 0)
    entry = path / "_delta_log" / f"{0:020d}.json"
    on, off = (f'"delta.enableChangeDataFeed":"{word}"' for word in ("true", "false"))
    rewrite(entry, entry.read_text().replace(on, off))
    tv.delete(path, where="id % 7 = 0")
    tv.delete(path, where="id % 5 = 0")
    read: dict[str, int] = {}
    ranges = LocalStorage.get_range

    def counted(self: LocalStorage, relative: str, start: int, length: int) -> bytes:
        read[relative] = read.get(relative, 0) + length
        return ranges(self, relative, start, length)

    monkeypatch.setattr(LocalStorage, "get_range", counted)
    for a, b in ((0, 2), (1, 2)):
        load_once.cache_clear()
        read.clear()
        planned: dict[str, int] = {}
        for way in ("changes", "snapshots"):
            diff = by_way(diff_versions(path, a, b), way)
            assert diff is not None
            assert diff.summary.removed
            vectors = {file.path: file.bytes for file in diff.plan.files if file.path.endswith(".bin")}
            assert len(vectors) == (2 if (a, way) != (0, "snapshots") else 1)
            planned |= vectors
        assert planned.keys() == {name for name in read if name.endswith(".bin")}
        assert all(read[name] - 1 == size for name, size in planned.items()), "all but the byte that is its format"


def test_keys_that_are_looked_up_are_in_the_plan(path: Path, opened: set[str]) -> None:
    """A key given at the call is looked up in the left version, and the plan has the files and their share."""
    changed(path, 600)
    own, given = diff_versions(path, 0, 1), diff_versions(path, 0, 1, key="id")
    assert own.plan.way == given.plan.way == "changes"
    looked_up = given.plan.bytes - own.plan.bytes
    assert planner.OPENING < looked_up <= planner.OPENING + 16 * ROWS
    opened.clear()
    assert given.summary.updated == 100
    assert opened == named(given.plan) > named(own.plan)


def test_nothing_is_read_where_nothing_can_differ(path: Path, opened: set[str]) -> None:
    """Settings that changed, and nothing else: no file is planned, none is opened."""
    tv.add_constraint(path, "sane", "n >= 0")
    opened.clear()
    diff = diff_versions(path, 0, 1)
    assert (diff.plan.way, diff.plan.files, diff.plan.shared_files, diff.plan.shared_rows) == ("nothing", (), 1, ROWS)
    assert not diff
    assert not opened
    assert [change.name for change in diff.schema] == ["delta.constraints.sane"]


def test_an_overwrite_is_compared_file_by_file(path: Path) -> None:
    """An overwrite that lists the table twice: the two versions' files are compared."""
    write_deltalake(str(path.parent / "f"), table(), configuration={"delta.enableChangeDataFeed": "true"})
    write_deltalake(str(path.parent / "f"), table(), mode="overwrite")
    plan = diff_versions(path.parent / "f", 0, 1, preview=True)
    assert plan.way == "snapshots"
    assert plan.rejected is not None
    assert plan.rejected.way == "changes"


def test_a_restored_version_shares_its_files(path: Path) -> None:
    """Back at a version whose files are still there: they are shared, and not read."""
    changed(path, 1)
    tv.restore(path, 0)
    diff = diff_versions(path, 0, 2)
    assert diff.plan.way == "nothing"
    assert not diff


def test_untouched_partitions(tmp_path: Path) -> None:
    """The partitions in which no file is read are named, by the columns' values."""
    rows = pa.table({"id": range(9), "part": ["a", "b", None] * 3})
    tv.create_table(tmp_path / "t", rows, partition_by="part")
    tv.delete(tmp_path / "t", where="id = 0")
    plan = diff_versions(tmp_path / "t", 0, 1, preview=True)
    assert plan.untouched_partitions == ({"part": None}, {"part": "b"})
    assert plan.at_most_rows == 1


def test_rows_are_looked_up_in_the_files_that_may_hold_them(path: Path, opened: set[str]) -> None:
    """diff_rows plans and reads only files whose bounds admit a key."""
    tv.append(path, pa.table({"id": [10**6], "text": ["x"], "n": [0]}))
    opened.clear()
    diff = diff_rows(path, [{"id": 10**6, "text": "y", "n": 0}])
    assert (diff.plan.way, len(diff.plan.files), diff.plan.shared_files) == ("rows", 1, 1)
    assert diff.summary.updated == 1
    assert opened == named(diff.plan)


def test_a_way_that_is_not_allowed_says_why(path: Path) -> None:
    """Where change rows cannot be netted, the plan says what is in the way."""
    changed(path, 600)
    diff = diff_versions(path, 0, 1, columns=["text"])
    tv.upsert(path, [{"id": 1, "text": "x", "n": 1, "new": 1}], evolve=True)
    asked = diff_versions(path, 0, 2, columns=["new"]).plan
    assert asked.rejected is not None
    assert asked.rejected.bytes is None
    assert "'new'" in asked.rejected.why
    with pytest.raises(errors.InvalidInputError, match="new"):
        planner.plan_reading(
            diff.left, diff_versions(path, 0, 2).right, diff_versions(path, 0, 2, columns=["new"]).scope, way="changes"
        )


def test_thousands_of_commits_are_not_read_for_a_small_table(tmp_path: Path) -> None:
    """Where the log entries between alone cost more than the files, they are not read."""
    tv.create_table(tmp_path / "t", [{"id": n} for n in range(3)], key="id")
    for n in range(8):
        tv.upsert(tmp_path / "t", [{"id": n + 3}])
        tv.delete(tmp_path / "t", where=f"id = {n}")
    tv.overwrite(tmp_path / "t", [{"id": 100}])
    plan = diff_versions(tmp_path / "t", 0, "latest", preview=True)
    assert plan.rejected is not None
    assert "log entries" in plan.rejected.why
    assert len(plan.commits) == 17


@given(step=st.sampled_from([1, 3, 50, 700, 9000]), feed=st.booleans())
def test_the_price_is_right(step: int, feed: bool, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Bytes counted are between what the files hold and nothing; rows that differ never exceed the bound."""
    path = tmp_path_factory.mktemp("t") / "t"
    tv.create_table(path, table(10_000), key="id")
    if not feed:
        entry = path / "_delta_log" / f"{0:020d}.json"
        actions = [json.loads(line) for line in entry.read_text().split("\n") if line]
        next(a["metaData"] for a in actions if "metaData" in a)["configuration"]["delta.enableChangeDataFeed"] = "false"
        entry.write_text("".join(json.dumps(action) + "\n" for action in actions))
    tv.update(path, {"text": "'x'"}, where=f"id % {step} = 0")
    diff = diff_versions(path, 0, 1)
    assert all(0 <= file.bytes <= file.size for file in diff.plan.files)
    assert diff.plan.at_most_rows == 2 * diff.summary.updated
    assert diff.plan.bytes == sum(file.bytes for file in diff.plan.files) + planner.OPENING * len(diff.plan.files)


def test_a_plan_needs_no_data(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """preview=True opens no data file, and Diff's repr shows the plan where counting would cost."""
    changed(path, 1)
    monkeypatch.setattr(frames.pl, "scan_parquet", lambda *_, **__: pytest.fail("a data file was opened"))
    plan = diff_versions(path, 0, 1, preview=True)
    assert isinstance(plan, Plan)
    assert plan.bytes > 0
    assert tv.open_table(path).diff(0, 1, preview=True) == plan
    diff = diff_versions(path, 0, 1)
    monkeypatch.setattr("tablever.diff.value.QUICK_BYTES", 1)
    assert "not computed" in repr(diff)
    assert isinstance(diff, Diff)


def test_compaction_costs_nothing(tmp_path: Path, opened: set[str]) -> None:
    """Some changes and a compaction: the change rows are read, the compacted files are not."""
    path = tmp_path / "t"
    configuration = {"delta.enableChangeDataFeed": "true"}
    write_deltalake(path, table(), configuration=configuration)
    write_deltalake(path, pa.table({"id": [ROWS], "text": ["x"], "n": [0]}), mode="append")
    DeltaTable(path).optimize.compact()
    diff = diff_versions(path, 0, 2)
    opened.clear()
    assert diff.plan.way == "changes"
    assert diff.summary.added == 1
    assert opened == named(diff.plan)
    assert len(opened) == 1
