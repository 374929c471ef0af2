"""What is measured: each task prepares its input, then gives the calls to time.

A task is given the table (a copy of its own) and the size, and returns calls; each is timed by itself. The last
call's value is compared between contenders, so that nobody is fast by doing something else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import deltalake
import duckdb
import polars as pl
import pyarrow as pa

import tablever as tv
from benchmarks import data
from benchmarks.tables import APPENDED, COMMITS, HISTORY_ROWS, UPSERTS, Size, files_of, forget

Call = Callable[[], object]
Task = Callable[[Path, Size], Sequence[Call]]

AGGREGATE = "SELECT source, label, count(*) AS n, round(avg(score), 6) AS mean FROM {} GROUP BY ALL ORDER BY ALL"


def upsert(table: Path, size: Size) -> Sequence[Call]:
    """tv.upsert: change scattered rows by key."""
    rows = data.corrected(size.rows, size.changed)
    return [lambda: tv.upsert(str(table), rows)]


def upserts(table: Path, size: Size) -> Sequence[Call]:
    """tv.upsert, a hundred times: each changes other scattered rows."""
    seeds = range(1, UPSERTS + 1)
    return [partial(tv.upsert, str(table), data.corrected(size.rows, size.changed, seed=seed)) for seed in seeds]


def create(table: Path, size: Size) -> Sequence[Call]:
    """tv.create_table: the same rows anew, in a folder inside."""
    rows = data.reviews(size.rows)
    return [lambda: tv.create_table(str(table / "again"), rows, key="id")]


def merge(table: Path, size: Size) -> Sequence[Call]:
    """Deltalake's merge, the same rows."""
    rows = data.corrected(size.rows, size.changed)

    def call() -> None:
        merger = deltalake.DeltaTable(str(table)).merge(rows, "t.id = s.id", source_alias="s", target_alias="t")
        merger.when_matched_update_all().when_not_matched_insert_all().execute()

    return [call]


def delete(table: Path, size: Size) -> Sequence[Call]:
    """tv.delete: remove scattered rows by key."""
    keys = data.scattered(size.rows, size.changed).to_frame()
    return [lambda: tv.delete(str(table), keys=keys)]


def delete_where(table: Path, size: Size) -> Sequence[Call]:
    """tv.delete: remove the same rows by a predicate."""
    predicate = _is_in(size)
    return [lambda: tv.delete(str(table), where=predicate)]


def peer_delete(table: Path, size: Size) -> Sequence[Call]:
    """Deltalake's delete, the same rows."""
    predicate = _is_in(size)
    return [lambda: deltalake.DeltaTable(str(table)).delete(predicate)]


def _is_in(size: Size) -> str:
    return f"id IN ({', '.join(map(str, data.scattered(size.rows, size.changed)))})"


def append(table: Path, size: Size) -> Sequence[Call]:
    """tv.append, again and again on one handle."""
    handle = tv.open_table(str(table))
    return [partial(tv.append, handle, rows) for rows in _appended(size)]


def peer_append(table: Path, size: Size) -> Sequence[Call]:
    """Deltalake's append, again and again on one handle."""
    handle = deltalake.DeltaTable(str(table))
    return [partial(deltalake.write_deltalake, handle, rows, mode="append") for rows in _appended(size)]


def _appended(size: Size) -> list[pa.Table]:
    start = size.rows + 10 * size.many * APPENDED
    return [data.reviews(APPENDED, start=start + n * APPENDED) for n in range(size.appends)]


def read(table: Path, size: Size) -> Sequence[Call]:  # noqa: ARG001 - every task has the same two
    """tv.read_version, whole."""
    return [lambda: tv.read_version(str(table))]


def peer_read(table: Path, size: Size) -> Sequence[Call]:  # noqa: ARG001
    """polars.read_parquet(files).to_arrow(), whole."""
    files = files_of(table)
    return [lambda: pl.read_parquet(files).to_arrow()]


def read_column(table: Path, size: Size) -> Sequence[Call]:  # noqa: ARG001
    """tv.read_version, one column."""
    return [lambda: tv.read_version(str(table), columns=["score"])]


def peer_read_column(table: Path, size: Size) -> Sequence[Call]:  # noqa: ARG001
    """polars.read_parquet(files, columns=…).to_arrow(), one column."""
    files = files_of(table)
    return [lambda: pl.read_parquet(files, columns=["score"]).to_arrow()]


def aggregate(table: Path, size: Size) -> Sequence[Call]:  # noqa: ARG001
    """tv.query: an aggregate over all rows."""
    return [lambda: tv.query(AGGREGATE.format("reviews"), tables={"reviews": tv.open_table(str(table))})]


def peer_aggregate(table: Path, size: Size) -> Sequence[Call]:  # noqa: ARG001
    """DuckDB on the same list of files."""
    files = files_of(table)
    return [lambda: duckdb.connect().sql(AGGREGATE.format(f"read_parquet({files!r})")).to_arrow_table()]


def open_middle(table: Path, size: Size) -> Sequence[Call]:
    """tv.scan_version of the version in the middle: ready to collect."""
    return [lambda: tv.scan_version(str(table), size.many // 2)]


def peer_open_middle(table: Path, size: Size) -> Sequence[Call]:
    """deltalake.DeltaTable(version=…) of the version in the middle."""
    return [lambda: deltalake.DeltaTable(str(table), version=size.many // 2)]


def diff(table: Path, size: Size) -> Sequence[Call]:  # noqa: ARG001
    """tv.diff_versions: the latest version against the one before."""
    return [lambda: _counts(tv.diff_versions(str(table), "latest~1", "latest"))]


def diff_commits(table: Path, size: Size) -> Sequence[Call]:  # noqa: ARG001
    """tv.diff_versions over the last ten commits."""
    return [lambda: _counts(tv.diff_versions(str(table), f"latest~{COMMITS}", "latest"))]


def diff_cold(table: Path, size: Size) -> Sequence[Call]:
    """As ``diff``, and nothing of the table in memory."""
    forget(table)
    return diff(table, size)


def read_cold(table: Path, size: Size) -> Sequence[Call]:
    """As ``read``, and nothing of the table in memory."""
    forget(table)
    return read(table, size)


def _counts(found: tv.Diff) -> pa.Table:
    rows = {"added": found.added, "removed": found.removed, "updated": found.updated}
    return pa.table({name: [part.num_rows] for name, part in rows.items()})


def row_history(table: Path, size: Size) -> Sequence[Call]:
    """tv.row_history of one key."""
    key = corrected_key(size)
    return [lambda: pa.table({"versions": [event.version for event in tv.row_history(str(table), key)]})]


def changes_of_row(table: Path, size: Size) -> Sequence[Call]:
    """The change rows of every commit, and those of the key among them."""
    key = corrected_key(size)
    feed = f"table_changes('t', 0, 'latest') WHERE id = {key} AND _change_type NOT LIKE '%_preimage'"
    query = f"SELECT _commit_version AS versions FROM {feed} ORDER BY ALL"
    return [lambda: tv.query(query, tables={"t": str(table)})]


def corrected_key(size: Size) -> int:
    """The key of a review that the first commit corrected."""
    return int(data.corrected(min(size.rows, HISTORY_ROWS), 10, seed=1)["id"][0].as_py())


DIFF_SQL = """
SELECT count(*) FILTER (a.id IS NULL) AS added, count(*) FILTER (b.id IS NULL) AS removed,
    count(*) FILTER (a.id IS NOT NULL AND b.id IS NOT NULL) AS updated
FROM read_parquet({}) AS a FULL JOIN read_parquet({}) AS b ON a.id = b.id
WHERE a.id IS NULL OR b.id IS NULL OR {}
"""


def duckdb_diff(table: Path, size: Size) -> Sequence[Call]:  # noqa: ARG001
    """DuckDB: a full join of two versions' files by the key, every other column compared, null like null."""
    before, after = files_of(table, 1), files_of(table)
    differs = " OR ".join(f"a.{name} IS DISTINCT FROM b.{name}" for name in _compared(after))
    sql = DIFF_SQL.format(repr(before), repr(after), differs)
    return [lambda: duckdb.connect().sql(sql).to_arrow_table()]


def polars_diff(table: Path, size: Size) -> Sequence[Call]:  # noqa: ARG001
    """Polars: the same full join, streaming."""
    before, after = files_of(table, 1), files_of(table)
    names = _compared(after)

    def call() -> pa.Table:
        came, went = pl.col("id").is_null(), pl.col("id_b").is_null()
        differs = pl.any_horizontal([pl.col(name).ne_missing(pl.col(f"{name}_b")) for name in names])
        joined = pl.scan_parquet(before).join(pl.scan_parquet(after), on="id", how="full", suffix="_b")
        counts = [came.sum().alias("added"), went.sum().alias("removed"), (~came & ~went).sum().alias("updated")]
        return joined.filter(came | went | differs).select(counts).collect(engine="streaming").to_arrow()

    return [call]


def _compared(files: list[str]) -> list[str]:
    return [name for name in pl.read_parquet_schema(files[0]) if name != "id"]


def statistics(table: Path, size: Size) -> Sequence[Call]:  # noqa: ARG001
    """Diff.statistics: every column on both sides."""
    return [lambda: tv.diff_versions(str(table), "latest~1", "latest").statistics]


def duckdb_statistics(table: Path, size: Size) -> Sequence[Call]:  # noqa: ARG001
    """DuckDB's SUMMARIZE of both versions' files."""
    sides = [f"SUMMARIZE SELECT * FROM read_parquet({files_of(table, back)!r})" for back in (1, 0)]
    return [lambda: [duckdb.connect().sql(side).to_arrow_table() for side in sides]]


def hash_rows(table: Path, size: Size) -> Sequence[Call]:  # noqa: ARG001 - every task has the same two
    """tv.content_hash_of: rows in memory."""
    rows = data.reviews(size.rows)
    return [lambda: tv.content_hash_of(rows)]


def polars_hash_rows(table: Path, size: Size) -> Sequence[Call]:  # noqa: ARG001
    """Polars' own 64-bit hash of the same rows, which is not stable between its releases."""
    rows = pl.from_arrow(data.reviews(size.rows))
    assert isinstance(rows, pl.DataFrame)
    return [rows.hash_rows]


def hash_files(table: Path, size: Size) -> Sequence[Call]:  # noqa: ARG001
    """tv.content_hash of a version that another tool wrote, for the first time: every row is read."""
    return [lambda: tv.content_hash(str(table))]


def hash_bytes(table: Path, size: Size) -> Sequence[Call]:  # noqa: ARG001
    """SHA-256 of the same files' bytes: what tells damage, but not equal rows in other files."""
    files = files_of(table)

    def call() -> list[str]:
        digests = []
        for name in files:
            with Path(name).open("rb") as file:
                digests.append(hashlib.file_digest(file, "sha256").hexdigest())
        return digests

    return [call]


TASKS: dict[str, Task] = {
    task.__name__: task
    for task in (
        upsert, upserts, create, merge, delete, delete_where, peer_delete, append, peer_append, read, peer_read,
        read_column, peer_read_column, aggregate, peer_aggregate, open_middle, peer_open_middle, diff, diff_commits,
        diff_cold, read_cold, duckdb_diff, polars_diff, statistics, duckdb_statistics, row_history, changes_of_row,
        hash_rows, polars_hash_rows, hash_files, hash_bytes,
    )
}  # fmt: skip
