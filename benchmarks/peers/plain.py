"""Polars, DuckDB and hashlib on plain Parquet files: those of a Delta table's version, or the inputs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
from deltalake import DeltaTable

from benchmarks.peers.child import Call
from benchmarks.peers.common import AGGREGATE, STATE_COLUMNS, counts, state_of

LIBRARIES = ("duckdb", "polars")

DIFF = """
SELECT count(*) FILTER (a.id IS NULL) AS added, count(*) FILTER (b.id IS NULL) AS removed,
    count(*) FILTER (a.id IS NOT NULL AND b.id IS NOT NULL) AS updated
FROM read_parquet({}) AS a FULL JOIN read_parquet({}) AS b ON a.id = b.id
WHERE a.id IS NULL OR b.id IS NULL OR {}
"""


def polars_create(table: Path, rows: str) -> Sequence[Call]:
    """read_parquet, write_parquet: one file, zstd."""

    def call() -> None:
        table.mkdir()
        pl.read_parquet(rows).write_parquet(table / "rows.parquet", compression="zstd")

    return [call]


def polars_read(table: Path, columns: list[str] | None = None, rows: str | None = None) -> Sequence[Call]:
    """polars.read_parquet(files).to_arrow()."""
    files = _files(table, rows)
    return [lambda: pl.read_parquet(files, columns=columns).to_arrow()]


def duckdb_read(table: Path, columns: list[str] | None = None) -> Sequence[Call]:
    """DuckDB's read_parquet of the same files."""
    names, files = ", ".join(columns or ["*"]), _files(table)
    return [lambda: duckdb.connect().sql(f"SELECT {names} FROM read_parquet({files!r})").to_arrow_table()]


def polars_point(table: Path, key: int) -> Sequence[Call]:
    """Polars' scan of the files, filtered."""
    files = _files(table)
    return [lambda: pl.scan_parquet(files).filter(pl.col("id") == key).collect().to_arrow()]


def duckdb_point(table: Path, key: int) -> Sequence[Call]:
    """DuckDB's read_parquet of the files, filtered."""
    files = _files(table)
    sql = f"SET timezone = 'UTC'; SELECT * FROM read_parquet({files!r}) WHERE id = {key}"
    return [lambda: duckdb.connect().sql(sql).to_arrow_table()]


def duckdb_aggregate(table: Path) -> Sequence[Call]:
    """DuckDB on the same list of files."""
    sql = AGGREGATE.format(f"read_parquet({_files(table)!r})")
    return [lambda: duckdb.connect().sql(sql).to_arrow_table()]


def duckdb_diff(table: Path, before: str, after: str) -> Sequence[Call]:  # noqa: ARG001 - the files are all it takes
    """DuckDB: a full join by the key, every other column compared, null like null."""
    differs = " OR ".join(f"a.{name} IS DISTINCT FROM b.{name}" for name in _compared(after))
    sql = DIFF.format(repr(before), repr(after), differs)

    def call() -> list[int]:
        (found,) = duckdb.connect().sql(sql).fetchall()
        return counts(*found)

    return [call]


def polars_diff(table: Path, before: str, after: str) -> Sequence[Call]:  # noqa: ARG001
    """Polars: the same full join, streaming."""
    names = _compared(after)

    def call() -> list[int]:
        came, went = pl.col("id").is_null(), pl.col("id_b").is_null()
        differs = pl.any_horizontal([pl.col(name).ne_missing(pl.col(f"{name}_b")) for name in names])
        joined = pl.scan_parquet(before).join(pl.scan_parquet(after), on="id", how="full", suffix="_b")
        sums = [came.sum().alias("added"), went.sum().alias("removed"), (~came & ~went).sum().alias("updated")]
        return counts(*joined.filter(came | went | differs).select(sums).collect(engine="streaming").row(0))

    return [call]


def duckdb_statistics(table: Path, before: str, after: str) -> Sequence[Call]:  # noqa: ARG001
    """DuckDB's SUMMARIZE of both."""
    sides = [f"SUMMARIZE SELECT * FROM read_parquet({file!r})" for file in (before, after)]
    return [lambda: [duckdb.connect().sql(side).fetchall() for side in sides]]


def polars_hash_rows(table: Path, rows: str) -> Sequence[Call]:  # noqa: ARG001
    """Polars' own 64-bit hash of rows in memory, which is not stable between its releases."""
    frame = pl.read_parquet(rows)
    return [lambda: frame.hash_rows().sum()]


def sha256(table: Path) -> Sequence[Call]:
    """SHA-256 of the files' bytes: it tells damage, but not equal rows in other files."""
    files = _files(table)

    def call() -> list[str]:
        digests = []
        for name in files:
            with Path(name).open("rb") as file:
                digests.append(hashlib.file_digest(file, "sha256").hexdigest())
        return digests

    return [call]


def state(table: Path) -> list[int]:
    """See ``state_of``."""
    found: pa.Table = pl.read_parquet(table / "rows.parquet", columns=STATE_COLUMNS).to_arrow()
    return state_of(found)


def _files(table: Path, rows: str | None = None) -> list[str]:
    return [rows] if rows else DeltaTable(str(table)).file_uris()


def _compared(file: str) -> list[str]:
    return [name for name in pl.read_parquet_schema(file) if name != "id"]
