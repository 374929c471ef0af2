"""Data files whose footers and pages lie: an error of ours, and no memory beyond what is there."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

import tablever as tv
from tablever.errors import CorruptionError, TableverError
from tests.cli.conftest import Shell
from tests.hostile import parquet
from tests.hostile.making import added, good_table, write_entry

NUMBERS = parquet.zeros("id", 1000)
NO_TEXT = parquet.zeros("\udce4", 1000)  # a name of one byte that no text begins with
FILES = {
    "rows that are not there": parquet.file_of([NUMBERS], 2**31 - 1),
    "a page that says it unpacks to 2 GiB": parquet.file_of([NUMBERS.lying(unpacked=2**31 - 1)], 1000),
    "a page of less than nothing": parquet.file_of([NUMBERS.lying(unpacked=-5)], 1000),
    "a page that is packed in more than the file": parquet.file_of([NUMBERS.lying(packed=2**31 - 1)], 1000),
    "a page that unpacks to more than it says": parquet.file_of([NUMBERS.lying(unpacked=80)], 1000),
    "a page that says more values than it has": parquet.file_of([NUMBERS.lying(values=2**31 - 1)], 2**31 - 1),
}


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def most_resident(stop: threading.Event, found: list[int]) -> None:
    while not stop.wait(0.002):
        found.append(resident())


def table_of(path: Path, data: bytes, rows: int) -> Path:
    """A table whose version 1 adds a file of these bytes."""
    table = good_table(path)
    (table / "x.parquet").write_bytes(data)
    write_entry(table, 1, added("x.parquet", len(data), stats=json.dumps({"numRecords": rows})))
    return table


@pytest.mark.parametrize("name", FILES)
def test_a_page_that_lies_is_damage(tmp_path: Path, name: str) -> None:
    """Sizes and counts that a page or footer does not hold are an error that names the table; memory stays as it is."""
    table = table_of(tmp_path / "orders", FILES[name], 2**31 - 1 if "rows" in name or "values" in name else 1000)
    stop, seen = threading.Event(), [before := resident()]
    watch = threading.Thread(target=most_resident, args=(stop, seen))
    watch.start()
    try:
        with pytest.raises(CorruptionError):
            tv.read_version(table)
        with pytest.raises(CorruptionError):
            list(tv.iter_batches(table))
    finally:
        stop.set()
        watch.join()
    assert max(seen) - before < 500_000_000
    assert tv.read_version(table, 0).num_rows == 4


def test_one_text_said_many_times_is_counted_unread(tmp_path: Path) -> None:
    """A file of a few hundred bytes that holds a terabyte of text costs nothing where the text is not asked for."""
    data = parquet.file_of(
        [parquet.zeros("id", 100_000), parquet.repeated("label", b"x" * 10_000_000, 100_000)], 100_000
    )
    table = table_of(tmp_path / "orders", data, 100_000)
    assert len(data) < 10_000
    assert tv.read_version(table, columns=["id"]).num_rows == 100_004
    assert tv.query("SELECT count(*) AS n FROM orders", root=tmp_path).to_pylist() == [{"n": 100_004}]


def test_a_column_name_that_is_no_text_is_damage(tmp_path: Path, shell: Shell) -> None:
    """A file with a column whose name is no UTF-8 is refused where it must be decoded, and as input."""
    data = parquet.file_of([NUMBERS, NO_TEXT], 1000)
    table = table_of(tmp_path / "orders", data, 1000)
    for call in (tv.read_version, lambda t: list(tv.iter_batches(t)), lambda t: tv.verify(t, level="rows")):
        try:
            call(table)
        except TableverError:
            continue
    file = table / "x.parquet"
    assert shell("create", tmp_path / "new", file).code == 5
    assert shell("apply", table, file).code == 5
