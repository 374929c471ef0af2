"""What streams takes memory that does not grow with the table; what finds none says so, and changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, WriterProperties, write_deltalake

import tablever as tv
from tablever import engine, errors, scan
from tablever.storage import LocalStorage
from tests import reading
from tests.cli.conftest import Shell, shell

__all__ = ["shell"]  # a fixture

ROWS, SMALL, LARGE = 250_000, 10, 24
MEASURED = """
import json, sys
from pathlib import Path
import polars as pl
import tablever as tv

def peak():
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024

WAYS = {
    "iter_batches": lambda table: sum(batch.num_rows for batch in tv.iter_batches(table)),
    "scan_version": lambda table: tv.scan_version(table).select(pl.all().max()).collect(engine="streaming"),
    "content_hash": tv.content_hash,
}
small, large = sys.argv[1:]
for way in WAYS.values():
    way(small)
grown, before = {}, peak()
for name, way in WAYS.items():
    way(large)
    grown[name] = peak() - before
print(json.dumps(grown))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's record of a process's memory")
def test_streams_do_not_grow_with_the_table(tmp_path: Path) -> None:
    """Of many more rows, batches, a stream and the hash of a table of others do not hold half of them more at once."""
    rows = pa.table({"id": range(ROWS), "text": [f"{number:072d}" for number in range(ROWS)]})
    made = tmp_path / "made"
    write_deltalake(made, rows, writer_properties=WriterProperties(max_row_group_size=ROWS // 4))
    small, large = (repeated(made, tmp_path / str(times), times) for times in (SMALL, LARGE))
    environment = {**os.environ, "POLARS_MAX_THREADS": "2"}  # each has something in its hands
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, small, large], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    grown = json.loads(done.stdout)
    assert max(grown.values()) < rows.nbytes * (LARGE - SMALL) / 2, grown


def repeated(table: Path, copy: Path, times: int) -> Path:
    """A copy of a table of one file that has the file's rows so many times, the file as often."""
    shutil.copytree(table, copy)
    (file,) = copy.glob("*.parquet")
    entry = (copy / "_delta_log" / f"{0:020d}.json").read_text()
    (add,) = (line for line in entry.splitlines() if line.startswith('{"add"'))
    names = [f"copy-{number}.parquet" for number in range(1, times)]
    for name in names:
        os.link(file, copy / name)
    lines = [add.replace(file.name, name) + "\n" for name in names]
    (copy / "_delta_log" / f"{1:020d}.json").write_text("".join(lines))
    return copy


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Sixteen rows of three megabytes each, in next to no bytes, with a key."""
    path = tmp_path / "t"
    tv.create_table(path, pa.table({"id": range(16), "text": [chr(97 + n) * 3_000_000 for n in range(16)]}), key="id")
    return path


def refused(*_: object, **__: object) -> None:
    raise pa.ArrowMemoryError("malloc of size 1099511627776 failed")


def test_a_query_without_memory_is_no_damage(table: Path) -> None:
    """Where DuckDB finds no memory for rows, the table is not called damaged, and is as it was; with more, it works."""
    before, session = reading.contents(table), engine.cursor()
    allowed = session.execute("SELECT current_setting('memory_limit')").fetchone()
    assert allowed
    session.execute("SET memory_limit = '20MB'")
    try:
        for call in (
            lambda: tv.read_version(table, where="length(text) > 3"),
            lambda: tv.update(table, {"text": "text || 'y'"}, where="true"),
        ):
            with pytest.raises(errors.StorageError, match="not enough memory") as caught:
                call()
            assert "less at once" in str(caught.value.hint)
    finally:
        session.execute(f"SET memory_limit = '{allowed[0]}'")
    assert reading.contents(table) == before
    assert tv.read_version(table, where="length(text) > 3").num_rows == 16


def test_a_write_without_memory_leaves_nothing(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write for which Arrow finds no memory raises a MemoryError, and leaves table and folder as they were."""
    files = sorted(table.rglob("*.parquet"))
    new = pa.table({"id": [16], "text": ["new"]})
    with monkeypatch.context() as patched:
        patched.setattr(pq.ParquetWriter, "write_table", refused)
        for write in (tv.append, tv.upsert):
            with pytest.raises(MemoryError):
                write(table, new)
    assert sorted(table.rglob("*.parquet")) == files
    assert [version.number for version in tv.list_versions(table)] == [0]
    assert tv.append(table, new) is not None


def test_a_file_that_memory_does_not_hold_is_no_damage(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Footers and checkpoints for which Arrow finds no memory are not called damaged, nor moved aside by a repair."""
    DeltaTable(table).create_checkpoint()
    there = sorted(table.rglob("*"))
    (file,) = table.glob("*.parquet")
    with monkeypatch.context() as patched:
        patched.setattr(pq, "ParquetFile", refused)
        patched.setattr(pq, "read_metadata", refused)
        for call in (
            lambda: tv.repair(table),
            lambda: tv.verify(table, level="log"),
            lambda: tv.read_version(table),
            lambda: scan.read_footer(LocalStorage(table), file.name, file.stat().st_size),
        ):
            with pytest.raises(MemoryError):
                call()
    assert sorted(table.rglob("*")) == there
    assert not tv.verify(table).damaged


def test_the_shell_without_memory(table: Path, monkeypatch: pytest.MonkeyPatch, shell: Shell) -> None:
    """The shell calls a lack of memory by its name, says what to do, and not that it is a defect."""
    monkeypatch.setattr(pq.ParquetWriter, "write_table", refused)
    answer = shell("update", table, "--set", "text='y'", "--where", "id = 3")
    assert answer.code == 7
    assert "not enough memory: malloc of size 1099511627776 failed" in answer.err
    assert "less at once" in answer.err
