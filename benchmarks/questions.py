"""The figures: who is measured against whom, on which table, and what the goals are."""

from __future__ import annotations

from typing import Any

from benchmarks.figures import (
    Contender,
    Figure,
    Goal,
    at_most,
    by,
    faster,
    grows_at_most,
    under_mb,
    under_ms,
    under_peak_mb,
)
from benchmarks.recipes import LARGE
from benchmarks.sizes import Size

POLARS, DUCKDB, SCAN_DELTA = "Polars on the files", "DuckDB on the files", "polars.scan_delta"
DUCKDB_JOIN, POLARS_JOIN = "DuckDB, full join", "Polars, full join"
THE_TABLE = "the table itself, by Polars, zstd"
CREATE, WRITE, READ, DIFF = "Creating a table", "Changing rows", "Reading", "Comparing two versions"
HASH, HISTORY, VERSIONS, SPACE = "Content hash", "The history of a row", "Many versions", "Space"
START = "Starting"
ROW_LEVEL = ("lance", "ducklake", "doltlite")  # they write in proportion to the change
STORES = ("deltalake", "lance", "iceberg", "ducklake", "arcticdb", "doltlite")


def figures(size: Size) -> dict[str, Figure]:
    """All of them, by name."""
    return {**_creating(), **_writing(size), **_reading(size), **_comparing(size), **_identity(size), **_versions(size)}


def _creating() -> dict[str, Figure]:
    stores = tuple(by(peer, "create", "", rows="base") for peer in STORES)
    polars = by("plain", "polars_create", "", label="Polars, zstd", rows="base")
    return {
        "create": Figure(
            CREATE,
            "create from a Parquet file",
            (by("ours", "create", "", rows="base"), polars, *stores),
            (grows_at_most(1.02, "Polars, zstd"),),
            writes=True,
        )
    }


def _writing(size: Size) -> dict[str, Figure]:
    few, many = f"{size.changed:,}", f"{size.many:,}"
    # An upsert by PyIceberg takes minutes: it is spared those before.
    seen = {peer: "base" if peer == "iceberg" else "merged" for peer in ("ours", *STORES)}

    def all_of(verb: str, *peers: str, **parameters: Any) -> tuple[Contender, ...]:
        return tuple(by(peer, verb, seen[peer], **parameters, same=peer != "iceberg") for peer in ("ours", *peers))

    deleting = tuple(peer for peer in STORES if peer != "arcticdb")
    quick = (at_most(1.5, "Lance"), faster(15, "deltalake"), under_mb(1))
    return {
        "append": Figure(
            WRITE,
            f"append {few} rows, {size.appends} times",
            all_of("append", *STORES, rows=f"new-{size.appends * size.changed}", each=size.changed),
            (under_ms(5), at_most(1, "deltalake")),
            writes=True,
        ),
        "upsert": Figure(
            WRITE,
            f"upsert {few} scattered rows",
            all_of("upsert", *STORES, rows=f"scattered-{size.changed}-99"),
            (*quick, under_peak_mb(800)),
            writes=True,
        ),
        "upsert-clustered": Figure(
            WRITE,
            f"upsert {few} neighbouring rows",
            all_of("upsert", *STORES, rows=f"clustered-{size.changed}"),
            quick,
            writes=True,
        ),
        "upsert-many": Figure(
            WRITE,
            f"upsert {many} scattered rows",
            all_of(
                "upsert", "deltalake", "lance", "ducklake", "arcticdb", "doltlite", rows=f"scattered-{size.many}-99"
            ),
            (faster(3, "deltalake"),),
            writes=True,
        ),
        "upsert-many-clustered": Figure(
            WRITE,
            f"upsert {many} neighbouring rows",
            all_of("upsert", "deltalake", "lance", "ducklake", "arcticdb", "doltlite", rows=f"clustered-{size.many}"),
            (faster(3, "deltalake"),),
            writes=True,
        ),
        "delete": Figure(
            WRITE,
            f"delete {few} scattered rows by key",
            all_of("delete", *deleting, keys=f"keys-{size.changed}"),
            quick,
            writes=True,
        ),
        "delete-tenth": Figure(
            WRITE,
            "delete a tenth of the rows by a predicate",
            all_of("delete_where", *deleting, where="votes < 5"),
            (faster(3, "deltalake"),),
            writes=True,
        ),
        "upserts": Figure(
            SPACE,
            f"{size.upserts} upserts of {few} scattered rows, one after the other",
            (
                *(
                    by(peer, "upsert", rows=f"lots-{size.changed}-{size.upserts}", each=size.changed)
                    for peer in ("ours", *STORES)
                ),
                by("plain", "polars_create", "", label=THE_TABLE, same=False, rows="base"),
            ),
            (grows_at_most(1.2, "Lance"), grows_at_most(0.15, THE_TABLE)),
            writes=True,
            rounds=1,
        ),
    }


def _reading(size: Size) -> dict[str, Figure]:
    key, score = size.rows // 3, ["score"]
    after = f"after {size.upserts} upserts"
    found: dict[str, Figure] = {}

    def on_ours(table: str, suffix: str, what: str, whole: float, sql: float) -> None:
        # The files hold the deleted rows too: what reads them alone gives more.
        same = table == "base"

        def plain(verb: str, label: str, **parameters: Any) -> Contender:
            return by("plain", verb, table, maker="ours", label=label, same=same, **parameters)

        def delta(verb: str, **parameters: Any) -> Contender:
            return by("deltalake", verb, table, maker="ours", label=SCAN_DELTA, **parameters)

        others = ("lance", "ducklake", "doltlite") if table == "upserted" else ("lance", "ducklake")
        stores = STORES if same else others
        found[f"read{suffix}"] = Figure(
            READ,
            f"whole{what}",
            (
                by("ours", "read", table),
                plain("polars_read", POLARS),
                plain("duckdb_read", DUCKDB),
                delta("scan_delta"),
                *(by(peer, "read", table) for peer in stores if peer != "doltlite"),
            ),
            (at_most(whole, POLARS),),
        )
        found[f"column{suffix}"] = Figure(
            READ,
            f"one column{what}",
            (
                by("ours", "read", table, columns=score),
                plain("polars_read", POLARS, columns=score),
                plain("duckdb_read", DUCKDB, columns=score),
                delta("scan_delta", columns=score),
                *(by(peer, "read", table, columns=score) for peer in stores),
            ),
            (at_most(1.3, DUCKDB, more_ms=10), at_most(1.5, POLARS, more_ms=10)),
        )
        points = tuple(peer for peer in stores if peer not in {"deltalake", "doltlite"})
        found[f"point{suffix}"] = Figure(
            READ,
            f"one row by key{what}",
            (
                by("ours", "point", table, key=key),
                plain("polars_point", POLARS, key=key),
                plain("duckdb_point", DUCKDB, key=key),
                delta("scan_delta_point", key=key),
                *(by(peer, "point", table, key=key, same=peer != "arcticdb") for peer in points),
            ),
            (at_most(1.3, DUCKDB, more_ms=10),),
        )
        groups = tuple(peer for peer in stores if peer != "arcticdb")
        found[f"sql{suffix}"] = Figure(
            READ,
            f"SQL aggregate{what}",
            (
                by("ours", "aggregate", table),
                plain("duckdb_aggregate", DUCKDB),
                *(by(peer, "aggregate", table) for peer in groups),
            ),
            (at_most(sql, DUCKDB),),
        )

    on_ours("base", "", "", 1.1, 1.2)
    on_ours("deleted", "-deleted", ", 1 % deleted", 1.2, 2.2)
    on_ours("upserted", "-upserted", f" {after}", 1.2, 2.2)
    for name, title, version in (
        ("middle", "the middle version", size.upserts // 2),
        ("first", "the first version", 0),
    ):
        found[f"read-{name}"] = Figure(
            READ,
            f"{title}, whole, {after}",
            tuple(by(peer, "read", "upserted", version=version) for peer in ("ours", "lance", "ducklake")),
        )
    found["read-compacted"] = Figure(
        READ,
        f"whole {after}, against the same compacted",
        (by("ours", "read", "upserted"), by("ours", "read", "compacted", label="compacted")),
        (at_most(1.5, "compacted"),),
    )
    for name, title in (("read", "whole"), ("column", "one column"), ("point", "one row by key")):
        warm = found[name]
        found[f"{name}-cold"] = Figure(
            READ, f"{title}, first call, nothing in memory", warm.contenders, cold=True, first=True
        )
    return found


def _comparing(size: Size) -> dict[str, Figure]:
    def two(table: str, *peers: str) -> tuple[Contender, ...]:
        return tuple(by(peer, "diff", table, older=-2, newer=-1) for peer in ("ours", *peers))

    def joins(changed: int, after: str = "after") -> tuple[Contender, ...]:
        given: dict[str, Any] = {"before": "base", "after": f"{after}-{changed}-1"}
        return (
            by("plain", "duckdb_diff", "", label=DUCKDB_JOIN, **given),
            by("plain", "polars_diff", "", label=POLARS_JOIN, **given),
            *(by(peer, "diff", "", **given) for peer in ("datacompy", "diffly", "lakesift", "oxen")),
        )

    found = {}
    for name, table, changed, goal in (
        ("diff", "changed", size.changed, faster(100, DUCKDB_JOIN, POLARS_JOIN)),
        ("diff-many", "much", size.many, at_most(1, DUCKDB_JOIN, POLARS_JOIN)),
        ("diff-half", "half", size.rows // 2, at_most(1, DUCKDB_JOIN, POLARS_JOIN)),
    ):
        ours, *peers = two(table, *ROW_LEVEL)
        counted = by("ours", "diff_summary", table, label="tablever, in numbers", older=-2, newer=-1)
        goals = (goal, under_peak_mb(2_000))
        found[name] = Figure(DIFF, f"{changed:,} rows updated", (ours, counted, *peers, *joins(changed)), goals)
    for name, kind, title in (("rewritten", "after", "in the same order"), ("shuffled", "shuffled", "in random order")):
        ours = by("ours", "diff", name, maker="deltalake", older=-2, newer=-1, key="id")
        found[f"diff-{name}"] = Figure(
            DIFF,
            f"every file rewritten by deltalake {title}, {size.changed:,} rows updated",
            (ours, *joins(size.changed, kind)[:2]),
            (at_most(1, DUCKDB_JOIN, POLARS_JOIN),),
        )
    for most in (1, 10, 100):
        commits = min(most, size.upserts)
        found[f"diff-commits-{most}"] = Figure(
            DIFF,
            f"over {commits} of {size.upserts} commits of {size.changed:,} updated rows",
            tuple(
                by(peer, "diff", "upserted", older=-1 - commits, newer=-1, same=peer != "ducklake")
                for peer in ("ours", *ROW_LEVEL)
            ),
        )
    found["diff-large"] = Figure(
        DIFF,
        f"{size.changed:,} rows updated in {LARGE} times the rows",
        (*two("large"), by("ours", "diff", "changed", label="in the rows", older=-2, newer=-1)),
        (at_most(1.3, "in the rows"),),
    )
    found["diff-cold"] = Figure(
        DIFF,
        f"{size.changed:,} rows updated, first call, nothing in memory",
        (*two("changed", *ROW_LEVEL), by("ours", "read", "changed", label="reading it whole", same=False)),
        (Goal("reads under 2 % of the table", ("reading it whole",), lambda o, p: o.read_mb <= 0.02 * p.read_mb),),
        cold=True,
        first=True,
    )
    sides: dict[str, Any] = {"before": "base", "after": f"after-{size.changed}-1"}
    found["diff-statistics"] = Figure(
        DIFF,
        "statistics of every column on both sides",
        (
            by("ours", "statistics", "changed", older=-2, newer=-1),
            by("plain", "duckdb_statistics", "", label="DuckDB, SUMMARIZE", same=False, **sides),
        ),
        (at_most(1, "DuckDB, SUMMARIZE"),),
    )
    return found


def _identity(size: Size) -> dict[str, Figure]:
    def history(table: str, rows: str, each: int) -> Figure:
        given: dict[str, Any] = {"rows": rows, "each": each}
        contenders = (
            by("ours", "row_history", table, **given),
            by("ours", "changes_of_row", table, label="the change rows of every commit", **given),
            by("doltlite", "row_history", table, same=False, **given),  # with the row as it was at first
        )
        return Figure(HISTORY, f"{size.history:,} commits of {each:,} rows", contenders, (under_ms(100),))

    def rows_a_second(millions: float) -> Goal:
        return Goal(f"{millions:g} million rows a second", (), lambda o, _: size.rows / o.median >= 1_000 * millions)

    thousand = min(1_000, size.history_rows // 10)
    reading = by("plain", "polars_read", "", label="reading it with Polars", same=False, rows="base")
    return {
        "hash": Figure(
            HASH,
            "of rows in memory",
            (
                by("ours", "hash_rows", "", rows="base"),
                by("plain", "polars_hash_rows", "", label="Polars, hash_rows", same=False, rows="base"),
                by("mlflow", "digest", "", same=False, rows="base"),
            ),
            (rows_a_second(6),),
        ),
        "hash-files": Figure(
            HASH,
            "of a version that another tool wrote",
            (
                by("ours", "hash_files", maker="deltalake"),
                reading,
                by("plain", "sha256", label="SHA-256 of the files", maker="deltalake", same=False),
                by("doltlite", "content_hash", label="DoltLite, recorded", same=False),
            ),
            (at_most(3.2, "reading it with Polars"), rows_a_second(4)),
        ),
        "history": history("tens", f"early-10-{size.history}", 10),
        "history-thousands": history("thousands", f"early-{thousand}-{size.history}", thousand),
    }


def _versions(size: Size) -> dict[str, Figure]:
    found: dict[str, Figure] = {}
    rows: dict[str, Any] = {"rows": f"new-{size.appends * size.changed}", "each": size.changed}
    for table, versions in zip(("few", "some", "most"), size.versions, strict=True):
        peers = ("deltalake", "lance") if table != "most" else ("deltalake",)
        both, there = ("ours", *peers), f"at {versions:,} versions"
        number, before = versions // 2, "tablever, with few versions"
        appending = tuple(by(peer, "append", table, **rows) for peer in both)
        if table != "few":
            appending += (by("ours", "append", "few", label=before, same=False, **rows),)
        found |= {
            f"append-{table}": Figure(
                VERSIONS,
                f"append {size.changed:,} rows {there}",
                appending,
                (under_ms(5), at_most(1, "deltalake"), *([at_most(1.5, before)] if table != "few" else [])),
                writes=True,
            ),
            f"open-{table}": Figure(
                VERSIONS,
                f"open the middle one by number {there}, first call",
                tuple(by(peer, "open_number", table, same=False, number=number) for peer in both),
                (under_ms(50),),
                first=True,
            ),
            f"time-{table}": Figure(
                VERSIONS,
                f"resolve a time in the middle {there}, first call",
                tuple(by(peer, "resolve_time", table, number=number) for peer in both if peer != "lance"),
                (under_ms(50),),
                first=True,
            ),
            f"log-{table}": Figure(
                VERSIONS,
                f"list them {there}",
                tuple(by(peer, "log", table) for peer in both),
            ),
        }
    found["start-help"] = Figure(
        START,
        "`tablever --help`, whole process",
        (by("ours", "command", "few", arguments=["--help"]),),
        (under_ms(150),),
    )
    found["start-log"] = Figure(
        START,
        f"`tablever log` of {size.versions[1]:,} versions, whole process",
        (by("ours", "command", "some", arguments=["log", "{table}"]),),
        (under_ms(400),),
    )
    return found
