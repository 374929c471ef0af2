"""What a row's history costs: the files that are opened for one key, counted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tablever as tv
from tablever import frames
from tablever.logfiles import FIRST_LINE

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
    for table, length in zip(tables, (0, FIRST_LINE - 1), strict=True):
        tv.set_key(table, "id", metadata={"why": "m" * (length - left - size)})
        size = (Path(table.uri) / "_delta_log" / f"{1:020d}.json").read_bytes().index(b"\n")
    assert size == FIRST_LINE - 1 - left
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
