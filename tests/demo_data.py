"""Builds the demo's data from the releases of airportsdata on PyPI: ``python tests/demo_data.py``.

The eight releases go into one Parquet file: each distinct row once, and beside it a bit mask of the releases that
hold it. Not a test; tests/test_demo.py compares what is shipped with what was released.
"""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tablever.demo.releases import COLUMNS, MASK, PATH, RELEASES

Row = tuple[str | float | None, ...]


def fetch(release: str, folder: Path) -> Path:
    """Download one release's wheel with pip into ``folder``; CalledProcessError where the registry is not reached."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    target = folder / release
    subprocess.run([*command, f"airportsdata=={release}", "--dest", str(target)], check=True, capture_output=True)
    (wheel,) = target.glob("*.whl")
    return wheel


def released_rows(wheel: Path) -> tuple[list[str], list[list[str | float]]]:
    """The header and rows of the wheel's airports.csv: quoted cells are strings, all others floats."""
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read("airportsdata/airports.csv").decode("utf-8")
    lines: Iterator[list[Any]] = csv.reader(io.StringIO(text, newline=""), quoting=csv.QUOTE_NONNUMERIC)
    return next(lines), list(lines)


def build(wheels: list[Path]) -> pa.Table:
    """The shipped table: COLUMNS and the mask (bit i for release i), by icao and then by release.

    The first release has no ``lid``: its row shares a later one's where all the other columns are the same.
    """
    masks: dict[Row, int] = {}
    without_lid: dict[Row, Row] = {}
    for index, wheel in reversed(list(enumerate(wheels))):
        header, rows = released_rows(wheel)
        if header not in (COLUMNS, COLUMNS[:-1]):
            raise ValueError(f"{wheel.name}: columns {header}")
        for cells in rows:
            full = tuple(cells)
            row = full if len(header) == len(COLUMNS) else without_lid.get(full, (*full, None))
            masks[row] = masks.get(row, 0) | 1 << index
            without_lid[row[:-1]] = row
    ordered = sorted(masks.items(), key=lambda item: (item[0][0], item[1] & -item[1]))
    columns = list(zip(*(row for row, _ in ordered), strict=True))
    types = [pa.float64() if name in ("elevation", "lat", "lon") else pa.string() for name in COLUMNS]
    arrays = [pa.array(column, kind) for column, kind in zip(columns, types, strict=True)]
    return pa.table([*arrays, pa.array([mask for _, mask in ordered], pa.uint8())], names=[*COLUMNS, MASK])


def main() -> None:
    """Fetch the releases and write the package's file."""
    with tempfile.TemporaryDirectory() as folder:
        wheels = [fetch(release.name, Path(folder)) for release in RELEASES]
        table = build(wheels)
    texts = ["subd", "country", "tz"]
    pq.write_table(table, PATH, compression="zstd", compression_level=19, use_dictionary=[*texts, MASK])
    print(f"{PATH}: {table.num_rows:,} rows, {PATH.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
