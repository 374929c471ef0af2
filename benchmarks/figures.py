"""The figures: who is measured against whom, on which table, and what the goal is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from benchmarks.data import ROWS
from benchmarks.measure import Measured
from benchmarks.tables import COMMITS, LARGE, UPSERTS


@dataclass(frozen=True)
class Contender:
    """A task (benchmarks.tasks) on a table (benchmarks.tables)."""

    task: str
    table: str


@dataclass(frozen=True)
class Result:
    """A contender's rounds. Times in milliseconds; ``median`` is over the rounds' medians."""

    rounds: tuple[Measured, ...]

    @property
    def times(self) -> list[float]:
        """One time a round: the median of its calls."""
        return [1_000 * median(measured.seconds) for measured in self.rounds]

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return median(self.times)

    @property
    def slowest_call(self) -> float:
        """The slowest of all calls, as a median over the rounds: for appends, the one that writes a checkpoint."""
        return median(1_000 * max(measured.seconds) for measured in self.rounds)

    @property
    def peak_mb(self) -> float:
        """Peak resident memory of the process, libraries included."""
        return median(measured.peak_mb for measured in self.rounds)

    @property
    def read_mb(self) -> float:
        """Bytes read from the disk: what was not in the page cache."""
        return median(measured.read_mb for measured in self.rounds)

    @property
    def written_mb(self) -> float:
        """Bytes of new files."""
        return median(measured.written_mb for measured in self.rounds)


@dataclass(frozen=True)
class Figure:
    """``ours`` against ``peer``; ``met`` says whether the goal is reached."""

    name: str
    ours: Contender
    peer: Contender
    goal: str
    met: Callable[[Result, Result], bool]
    same_answer: bool = True


def at_most(ratio: float, more_ms: float = 0) -> Callable[[Result, Result], bool]:
    """Ours takes at most ``ratio`` times the peer's time, or at most ``more_ms`` more."""
    return lambda ours, peer: ours.median <= ratio * peer.median or (ours.median - peer.median) <= more_ms


def faster(times: float) -> Callable[[Result, Result], bool]:
    """Ours takes at most the ``times``-th part of the peer's time."""
    return lambda ours, peer: times * ours.median <= peer.median


def rows_a_second(wanted: int) -> Callable[[Result, Result], bool]:
    """Ours goes through the whole table at that speed."""
    return lambda ours, _: 1_000 * ROWS / ours.median >= wanted


def _row_level(ours: Result, peer: Result) -> bool:
    return faster(10)(ours, peer) and ours.written_mb < 1


def _upsert(ours: Result, peer: Result) -> bool:
    return _row_level(ours, peer) and ours.peak_mb < 800


def _append(ours: Result, peer: Result) -> bool:
    return ours.median < 10 and ours.median < peer.median


def _reads_little(ours: Result, peer: Result) -> bool:
    return 0 < ours.read_mb <= 0.02 * peer.read_mb


def _little_more(ours: Result, peer: Result) -> bool:
    return ours.written_mb <= 0.15 * peer.written_mb


READ, POLARS = Contender("read", "ours"), Contender("peer_read", "ours")
COLUMN, POLARS_COLUMN = Contender("read_column", "ours"), Contender("peer_read_column", "ours")
SQL, DUCKDB = Contender("aggregate", "ours"), Contender("peer_aggregate", "ours")
FEW, MANY = Contender("append", "ours-few"), Contender("append", "ours-many")
PLAIN_FEW, PLAIN_MANY = Contender("append", "plain-few"), Contender("append", "plain-many")
DIFF, DUCKDB_DIFF = Contender("diff", "changed"), Contender("duckdb_diff", "rewritten")
PEER_FEW, PEER_MANY = Contender("peer_append", "peer-few"), Contender("peer_append", "peer-many")

FIGURES = {
    "upsert": Figure(
        "upsert 1,000 scattered rows by key",
        Contender("upsert", "ours"),
        Contender("merge", "peer"),
        "10x faster than deltalake's merge; under 1 MB written; peak under 800 MB",
        _upsert,
    ),
    "delete": Figure(
        "delete 1,000 scattered rows by key",
        Contender("delete", "ours"),
        Contender("peer_delete", "peer"),
        "10x faster than deltalake's delete; under 1 MB written",
        _row_level,
    ),
    "delete-where": Figure(
        "delete the same rows by predicate (`id IN (…)`)",
        Contender("delete_where", "ours"),
        Contender("peer_delete", "peer"),
        "10x faster than deltalake's delete; under 1 MB written",
        _row_level,
    ),
    "append-few": Figure(
        "append 1,000 rows at version 10, keyed", FEW, PEER_FEW, "under 10 ms; below deltalake's", _append
    ),
    "append-many": Figure(
        "append 1,000 rows at version 2,000, keyed", MANY, PEER_MANY, "under 10 ms; below deltalake's", _append
    ),
    "append-growth": Figure(
        "append at version 2,000 against version 10, keyed", MANY, FEW, "within 1.5x", at_most(1.5)
    ),
    "append-plain-few": Figure(
        "append 1,000 rows at version 10, no key", PLAIN_FEW, PEER_FEW, "under 10 ms; below deltalake's", _append
    ),
    "append-plain-many": Figure(
        "append 1,000 rows at version 2,000, no key", PLAIN_MANY, PEER_MANY, "under 10 ms; below deltalake's", _append
    ),
    "append-plain-growth": Figure(
        "append at version 2,000 against version 10, no key", PLAIN_MANY, PLAIN_FEW, "within 1.5x", at_most(1.5)
    ),
    "read": Figure("read_version whole", READ, POLARS, "at most 1.15x polars.read_parquet", at_most(1.15)),
    "read-deleted": Figure(
        "read_version whole, 1 % deleted",
        Contender("read", "ours-deleted"),
        Contender("peer_read", "ours-deleted"),
        "at most 1.25x polars.read_parquet",
        at_most(1.25),
        same_answer=False,
    ),
    "column": Figure(
        "read_version, one column",
        COLUMN,
        POLARS_COLUMN,
        "at most 1.5x polars.read_parquet, or 10 ms more",
        at_most(1.5, 10),
    ),
    "column-deleted": Figure(
        "read_version, one column, 1 % deleted",
        Contender("read_column", "ours-deleted"),
        Contender("peer_read_column", "ours-deleted"),
        "at most 1.5x polars.read_parquet, or 10 ms more",
        at_most(1.5, 10),
        same_answer=False,
    ),
    "sql": Figure("SQL aggregate", SQL, DUCKDB, "at most 1.2x DuckDB on the files", at_most(1.2)),
    "sql-deleted": Figure(
        "SQL aggregate, 1 % deleted",
        Contender("aggregate", "ours-deleted"),
        Contender("peer_aggregate", "ours-deleted"),
        "at most 2.5x DuckDB on the files",
        at_most(2.5),
        same_answer=False,
    ),
    "open": Figure(
        "open version 1,000 of 2,000 by number",
        Contender("open_middle", "ours-many"),
        Contender("peer_open_middle", "peer-many"),
        "under 50 ms",
        lambda ours, _: ours.median < 50,
    ),
    "space": Figure(
        f"{UPSERTS} upserts of 1,000 scattered rows, against creating the table",
        Contender("upserts", "ours"),
        Contender("create", "ours"),
        "what they write is at most 0.15x the table",
        _little_more,
        same_answer=False,
    ),
    "read-upserted": Figure(
        f"read_version whole after {UPSERTS} upserts, against the same compacted",
        Contender("read", "upserted"),
        Contender("read", "compacted"),
        "at most 1.5x",
        at_most(1.5),
    ),
    "diff": Figure(
        "diff, 1,000 scattered rows updated, against DuckDB",
        DIFF,
        DUCKDB_DIFF,
        "40x faster than DuckDB's full join",
        faster(40),
    ),
    "diff-polars": Figure(
        "the same against Polars",
        DIFF,
        Contender("polars_diff", "rewritten"),
        "40x faster than Polars' full join",
        faster(40),
    ),
    "diff-bytes": Figure(
        "the same, nothing in memory, against read_version whole",
        Contender("diff_cold", "changed"),
        Contender("read_cold", "changed"),
        "reads under 2 % of the table",
        _reads_little,
        same_answer=False,
    ),
    "diff-large": Figure(
        f"diff, 1,000 rows updated in {LARGE} times the rows",
        Contender("diff", "large"),
        DIFF,
        "at most 1.3x the time",
        at_most(1.3),
    ),
    "diff-commits": Figure(
        f"diff over {COMMITS} commits of 1,000 updated rows, against one",
        Contender("diff_commits", "commits"),
        DIFF,
        "at most 3x the time",
        at_most(3),
        same_answer=False,
    ),
    "diff-rewritten": Figure(
        "diff, every file rewritten by deltalake, 1,000 rows updated",
        Contender("diff", "rewritten"),
        DUCKDB_DIFF,
        "no slower than DuckDB's full join",
        at_most(1),
    ),
    "diff-shuffled": Figure(
        "the same, rewritten in random order",
        Contender("diff", "shuffled"),
        Contender("duckdb_diff", "shuffled"),
        "no slower than DuckDB's full join",
        at_most(1),
    ),
    "history": Figure(
        "row_history of one key over 1,000 commits of 10 rows",
        Contender("row_history", "tens"),
        Contender("changes_of_row", "tens"),
        "under 100 ms",
        lambda ours, _: ours.median < 100,
    ),
    "history-thousands": Figure(
        "row_history of one key over 1,000 commits of 1,000 rows",
        Contender("row_history", "thousands"),
        Contender("changes_of_row", "thousands"),
        "under 100 ms",
        lambda ours, _: ours.median < 100,
    ),
    "diff-statistics": Figure(
        "statistics of every column on both sides of the diff",
        Contender("statistics", "changed"),
        Contender("duckdb_statistics", "rewritten"),
        "no slower than DuckDB's SUMMARIZE of both",
        at_most(1),
    ),
    "hash": Figure(
        "content hash of the rows in memory, against Polars' hash_rows",
        Contender("hash_rows", "peer"),
        Contender("polars_hash_rows", "peer"),
        "6 million rows/s",
        rows_a_second(6_000_000),
        same_answer=False,
    ),
    "hash-files": Figure(
        "content hash of a version by deltalake, against SHA-256 of its files",
        Contender("hash_files", "peer"),
        Contender("hash_bytes", "peer"),
        "4 million rows/s",
        rows_a_second(4_000_000),
        same_answer=False,
    ),
}
