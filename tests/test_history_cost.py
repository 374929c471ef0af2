"""What a row's history costs: the files that are opened for one key, counted."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tablever as tv
from tablever import frames, rows
from tablever.changes import cancel
from tablever.creation import Deletes
from tablever.history import folds, images, probe
from tablever.logfiles import START
from tests.sealing import rewrite

pytestmark = pytest.mark.xdist_group("history cost")  # one table, not one for each worker

ROWS, COMMITS, CHANGED = 20_000, 150, 10
SPARE = 5


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Many commits of ten scattered rows each; every fiftieth changes key 7, some bring rows in or take them out."""
    path = tmp_path_factory.mktemp("history") / "t"
    sync, os.fsync = os.fsync, lambda _: None
    try:
        ids = pa.array(range(ROWS), pa.int64())
        tv.create_table(path, pa.table({"id": ids, "x": [0] * ROWS}), key="id")
        for number in range(1, COMMITS + 1):
            keys = [8 + (number * 7919 + i * 1987) % (ROWS - 8) for i in range(CHANGED)]
            if number % 50 == 0:
                keys[0] = 7
            elif number % 10 == 1:
                keys[0] = ROWS + number
            if number % 10 == 5:
                tv.delete(path, keys=[{"id": key} for key in keys])
            else:
                tv.upsert(path, [{"id": key, "x": number} for key in dict.fromkeys(keys)])
    finally:
        os.fsync = sync
    return path


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The Parquet files that are opened, whether for their rows or their footers."""
    files: list[str] = []
    scan, footer, whole = pl.scan_parquet, pq.read_metadata, pq.ParquetFile

    def note(source: Any) -> None:
        files.extend(Path(one).name for one in (source if isinstance(source, list) else [source]))

    def wrapped(read: Any) -> Any:
        def opening(source: Any, *args: Any, **options: Any) -> Any:
            if isinstance(source, str | Path | list):  # not a checkpoint, which comes as bytes
                note(source)
            return read(source, *args, **options)

        return opening

    monkeypatch.setattr(frames.pl, "scan_parquet", wrapped(scan))
    monkeypatch.setattr(pq, "read_metadata", wrapped(footer))
    monkeypatch.setattr(pq, "ParquetFile", wrapped(whole))
    return files


def test_one_key_opens_the_files_of_its_changes(table: Path, opened: list[str]) -> None:
    """Files opened for one key over many commits: at most five, and those of its changes."""
    events = tv.row_history(table, 7)
    assert [event.version for event in events] == [0, *range(50, COMMITS + 1, 50)]
    assert len(set(opened)) <= SPARE + len(events)


def test_a_key_that_was_never_there_opens_next_to_nothing(table: Path, opened: list[str]) -> None:
    """For a key beyond all bounds not even the first version's file is opened."""
    assert tv.row_history(table, -1) == []
    assert len(set(opened)) <= SPARE


def test_blame_of_a_key_stops_at_its_last_write(table: Path, opened: list[str]) -> None:
    """Blame goes back from the version, and no further than the key's last write."""
    assert tv.blame(table, keys=[7])["_commit_version"].to_pylist() == [COMMITS]
    assert len(set(opened)) <= SPARE + 3  # where the key is, its change, and what the same block holds of it


def test_a_row_without_a_key_is_looked_for_by_its_values(tmp_path: Path, opened: list[str]) -> None:
    """Without a key, too: commits that record other rows, and files whose bounds exclude it, are not opened."""
    path = tmp_path / "t"
    tv.create_table(path, pa.table({"x": range(100), "y": pa.nulls(100, pa.string())}))
    for n in range(100, 140):
        tv.append(path, [{"x": n, "y": "a"}, {"x": n, "y": None}])
    opened.clear()
    (event,) = tv.row_history(path, {"x": 120, "y": None})
    assert (event.version, event.change) == (21, "insert")
    assert len(set(opened)) <= SPARE + 1


@pytest.mark.parametrize("left", [0, 1, 5, 10, 11, 12])
def test_the_start_of_an_entry_that_ends_anywhere(tmp_path: Path, left: int) -> None:
    """New settings are seen wherever the first kilobytes of their entry end, in their first letters too."""
    tables = [tv.create_table(tmp_path / name, [{"id": 1, "x": 2}]) for name in ("probe", "t")]
    size = 0
    for table, length in zip(tables, (0, START - 1), strict=True):
        tv.set_key(table, "id", metadata={"why": "m" * (length - left - size)})
        size = (Path(table.uri) / "_delta_log" / f"{1:020d}.json").read_bytes().index(b"\n")
    assert size == START - 1 - left
    v2 = tv.update(tables[1], {"x": "3"}, where="id = 1")
    assert v2 is not None
    assert [event.version for event in tv.row_history(tables[1], 1)] == [0, v2.number]


def test_files_of_others_are_left_out_by_their_statistics(tmp_path: Path, opened: list[str]) -> None:
    """A table without change rows and filters: appended files that cannot hold the key are not opened."""
    from deltalake import write_deltalake

    path = tmp_path / "t"
    for n in range(20):
        write_deltalake(path, pa.table({"id": range(10 * n, 10 * n + 10)}), mode="append")
    tv.set_key(path, "id")
    opened.clear()
    assert [event.version for event in tv.row_history(path, 55)] == [5]
    assert len(set(opened)) == 1


def without_feed(path: Path, rows: int, *, deletes: Deletes) -> tv.Table:
    """A table whose change feed is off, so that its files alone say what changed."""
    columns = pa.table({"id": pa.array(range(rows), pa.int64()), "x": pa.array([0] * rows, pa.int64())})
    tv.create_table(path, columns, key="id", deletes=deletes)
    entry = path / "_delta_log" / f"{0:020d}.json"
    feed = '"delta.enableChangeDataFeed":"true"'
    assert feed in entry.read_text()
    rewrite(entry, entry.read_text().replace(feed, feed.replace("true", "false")))
    return tv.open_table(path)


def test_rows_that_vectors_took_are_read_once(tmp_path: Path, opened: list[str]) -> None:
    """Where vectors alone say what went, the file that they are of is read once, not for each commit."""
    path = tmp_path / "t"
    table = without_feed(path, 5_000, deletes="merge-on-read")
    for number in range(1, 9):
        tv.delete(table, where=f"id % 100 = {number}")
    tv.restore(table, 4)
    opened.clear()
    spans = tv.query("FROM table_history('t') WHERE id < 10 ORDER BY ALL", tables={"t": path}).to_pylist()
    ends = [(row["id"], row["_added_version"], row["_removed_version"]) for row in spans]
    assert ends == [
        (0, 0, None),
        *((n, 0, n) for n in range(1, 5)),
        *(end for n in range(5, 9) for end in ((n, 0, n), (n, 9, None))),
        (9, 0, None),
    ]
    reads = 3  # the first version's rows, those that went, those that came
    assert len(opened) <= reads + 1, "and the file's footer"


def test_rewritten_files_are_netted_some_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a table whose every commit rewrote its file, no more rows are held than of a few commits."""
    path = tmp_path / "t"
    table = without_feed(path, 100, deletes="copy-on-write")
    for number in range(1, 9):
        tv.upsert(table, [{"id": number, "x": 1}])
    expected = tv.query("FROM table_history('t')", tables={"t": path})
    assert expected["_removed_version"].drop_null().to_pylist() == list(range(1, 9))
    sizes: list[int] = []

    def counted(went: pl.DataFrame, came: pl.DataFrame, columns: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
        sizes.append(went.height)
        return cancel(went, came, columns)

    monkeypatch.setattr(images, "ROWS_AT_ONCE", 450)
    monkeypatch.setattr(images, "cancel", counted)
    assert tv.query("FROM table_history('t')", tables={"t": path}).equals(expected)
    assert sizes == [100 + 99, 98 + 97, 96 + 95, 94 + 93], "each commit rewrote all rows that were left"
    assert [event.version for event in tv.row_history(path, 7)] == [0, 7]


def test_many_rows_without_a_key_cost_no_more_than_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that are asked about by their values are told from the others at once, not one after the other."""
    path = tmp_path / "t"
    table = tv.create_table(path, pa.table({"x": [*range(60), 7, 8], "f": [0.0] * 62}))
    tv.append(table, [{"x": 7, "f": -0.0}])
    tv.delete(table, where="x = 8 OR x = 9")
    asked = pa.table({"x": [9, 90, 8, *range(8), 10], "f": [-0.0] * 12})
    calls = []
    groups = rows.equal_groups

    def counted(frames: Sequence[pl.DataFrame], columns: Sequence[str]) -> list[pl.Series]:
        calls.append(len(frames))
        return groups(frames, columns)

    for module in (folds, probe):
        monkeypatch.setattr(module, "equal_groups", counted)
    found = tv.blame(table, keys=asked).select(["x", "_change_type", "_commit_version"]).to_pylist()
    assert [tuple(row.values()) for row in found] == [
        (9, "delete", 2),
        (8, "delete", 2),
        *((x, "insert", 0) for x in range(7)),
        *[(7, "insert", 0)] * 2,
        (7, "insert", 1),
        (10, "insert", 0),
    ]
    assert len(calls) <= 6, "one for each read, and two to tell the answer"
