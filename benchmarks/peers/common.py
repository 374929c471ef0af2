"""What the contenders' scripts share: pyarrow and Python's own library are all that it needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

AGGREGATE = "SELECT source, label, count(*) AS n, round(avg(score), 6) AS mean FROM {} GROUP BY 1, 2 ORDER BY 1, 2"
TENTH = "votes < 5"  # a tenth of the rows
STATE = "SELECT count(*), count(*) FILTER (WHERE label = 'mixed'), sum(votes) FROM {}"
STATE_COLUMNS = ["label", "votes"]


def lots(rows: str, each: int | None) -> list[pa.Table]:
    """The rows of a file, in lots of ``each``; in one without."""
    table = pq.read_table(rows)
    each = each or table.num_rows
    return [table.slice(start, each) for start in range(0, table.num_rows, each)]


def ids(keys: str) -> list[int]:
    """The keys in a file."""
    found: list[int] = pq.read_table(keys)["id"].to_pylist()
    return found


def is_in(keys: str) -> str:
    """A predicate that those keys fulfil."""
    return f"id IN ({', '.join(map(str, ids(keys)))})"


def state_of(rows: pa.Table) -> list[int]:
    """What two tables of the same rows have in common: how many, how many corrected, and the sum of the votes."""
    corrected = pc.sum(pc.equal(rows["label"].cast(pa.string()), "mixed")).as_py()
    return [rows.num_rows, corrected or 0, pc.sum(rows["votes"]).as_py()]


def aggregate_of(rows: pa.Table) -> list[dict[str, Any]]:
    """The aggregate, for contenders whose own stops before the sorting and rounding."""
    grouped = rows.group_by(["source", "label"]).aggregate([([], "count_all"), ("score", "mean")])
    found = grouped.rename_columns({"count_all": "n", "score_mean": "mean"}).select(["source", "label", "n", "mean"])
    listed: list[dict[str, Any]] = found.sort_by([("source", "ascending"), ("label", "ascending")]).to_pylist()
    return [row | {"mean": round(row["mean"], 6)} for row in listed]


def counts(added: int, removed: int, updated: int) -> list[int]:
    """A diff, as it is compared."""
    return [int(added), int(removed), int(updated)]


def files_below(table: Path, ending: str) -> list[str]:
    """The files below a folder that end so."""
    return sorted(str(path) for path in table.rglob(f"*{ending}"))
