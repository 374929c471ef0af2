"""What streams takes memory that does not grow with the table."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import WriterProperties, write_deltalake

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
