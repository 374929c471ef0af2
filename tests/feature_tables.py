"""Tables that tablever writes, one for each thing that a reader must know to read them: what other readers are given.

Each is a function of the folder that it makes. All are small; the same at every run, but for names and times.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa

import tablever as tv
from tests.strategies import NESTED, PARTITION_TYPES, PRIMITIVES, edges

Builder = Callable[[Path], None]
ROWS = [{"id": n, "text": f"row {n}", "part": "one" if n % 3 else None} for n in range(1_200)]
ODD = (
    "a/b", "50%", "é", "x=y", "a b", "q?", "[1]", "2024-01-01 00:00:00", "1.5", "-", "a:b", "+", "''\"", "%2F", "#1",
    "日本", "😀", "*", "back\\slash", "~", "a&b", "{}", ";", "null", "None",
)  # fmt: skip
COLUMN_NAMES = ("a b", "dot.ted", "ünï", "名前", "UPPER", "x'y", 'q"q', "back`tick", "50%", "a/b", "select", "#", "$1")


def appended(path: Path) -> None:
    """Three appends, an empty version among them."""
    tv.create_table(path, pa.Table.from_pylist(ROWS[:0], schema=pa.Table.from_pylist(ROWS[:3]).schema))
    for first in (0, 10, 20):
        tv.append(path, pa.Table.from_pylist(ROWS[first : first + 10]))


def small_vectors(path: Path, **options: Any) -> None:
    """Rows deleted from one file, again and again: vectors that lie in the log."""
    tv.create_table(path, pa.Table.from_pylist(ROWS), key="id", **options)
    for ids in ([0], [5, 7], [1_199, 600]):
        tv.delete(path, keys=[{"id": n} for n in ids])


def large_vectors(path: Path, **options: Any) -> None:
    """Vectors that lie in files of their own, then grow; one file loses its last row."""
    tv.create_table(path, pa.Table.from_pylist(ROWS), key="id", **options)
    tv.append(path, pa.Table.from_pylist([{"id": n, "text": "more", "part": "x"} for n in range(5_000, 8_000)]))
    tv.delete(path, where="id % 2 = 1")
    tv.delete(path, where="id % 3 = 0")
    tv.delete(path, where="id >= 5000")


def changed(path: Path, **options: Any) -> None:
    """Every operation that changes rows, with its change rows."""
    tv.create_table(path, pa.Table.from_pylist(ROWS[:300]), key="id", **options)
    tv.upsert(path, [{"id": n, "text": "up", "part": "two"} for n in (6, 8, 5_000)])
    tv.update(path, {"text": "'set'"}, where="id BETWEEN 100 AND 120")
    tv.delete(path, where="id % 7 = 0")
    tv.overwrite(path, tv.read_version(path, where="id > 40"))
    tv.restore(path, 1)
    tv.revert(path, 1)
    tv.delete(path, where="true")
    tv.append(path, pa.Table.from_pylist(ROWS[:10]))


def unkeyed(path: Path) -> None:
    """Duplicates among the rows, some of them deleted, all overwritten."""
    rows = [{"n": n % 5, "x": [math.nan, -0.0, 0.0, None, 1.5][n % 5]} for n in range(40)]
    tv.create_table(path, rows)
    tv.delete(path, where="n = 3")
    tv.append(path, rows[:12])
    tv.overwrite(path, rows[:7])


def evolved(path: Path, **options: Any) -> None:
    """Columns that came later, a struct among them; rows changed before and after."""
    tv.create_table(path, [{"id": n, "text": f"{n}"} for n in range(30)], key="id", **options)
    tv.delete(path, keys=[{"id": 3}])
    tv.append(path, pa.table({"id": [100], "text": ["new"], "more": [1.5]}), evolve=True)
    point = pa.array([{"x": 1, "tags": ["a", None]}])
    tv.upsert(path, pa.table({"id": [5], "text": ["up"], "more": [None], "point": point}), evolve=True)
    tv.update(path, {"more": "2.5"}, where="id < 10")
    tv.restore(path, 1)


def checkpointed(path: Path) -> None:
    """A checkpoint after 50 commits, vectors and all, and commits after it."""
    tv.create_table(path, pa.Table.from_pylist(ROWS[:200]), key="id")
    for n in range(1, 54):
        if n % 3 == 0:
            tv.delete(path, keys=[{"id": n}])
        elif n % 3 == 1:
            tv.append(path, [{"id": 10_000 + n, "text": "appended", "part": None}])
        else:
            tv.upsert(path, [{"id": n + 50, "text": "again", "part": str(n)}])


def constrained(path: Path) -> None:
    """NOT NULL and CHECK, at the creation's end and later."""
    tv.create_table(path, [{"id": n, "score": n / 2, "word": "a"} for n in range(10)], key="id")
    tv.add_constraint(path, "positive", "score >= 0 AND word IS NOT NULL")
    tv.set_not_null(path, "word")
    tv.append(path, [{"id": 100, "score": 1.5, "word": "b"}])


def partitioned(path: Path) -> None:
    """Partitions, a null one among them; rows that move from one to another."""
    changed(path, partition_by="part")


def odd_partitions(path: Path, **options: Any) -> None:
    """Partition values whose paths must be percent-encoded, and rows deleted from their files."""
    rows = [{"id": n, "part": ODD[n % len(ODD)]} for n in range(3 * len(ODD))]
    tv.create_table(path, rows, key="id", partition_by="part", **options)
    tv.delete(path, where=f"id < {len(ODD)}")
    tv.update(path, {"part": "'moved on'"}, where="part = 'a/b'")


def typed_partitions(path: Path) -> None:
    """A partition column of every type that can be one, at its edges."""
    kinds = [kind for kind in PARTITION_TYPES if kind != pa.string()]
    height = max(len(edges(kind)) for kind in kinds) + 1
    columns = {"id": pa.array(range(height), pa.int64())}
    for index, kind in enumerate(kinds):
        values = [None, *edges(kind)]
        columns[f"p{index}"] = pa.array([values[n % len(values)] for n in range(height)], kind)
    tv.create_table(path, pa.table(columns), key="id", partition_by=list(columns)[1:])
    tv.delete(path, where="id = 2")


def primitives(path: Path, **options: Any) -> None:
    """Every primitive type at its edges, with nulls; two rows deleted."""
    height = max(len(edges(kind)) for kind in PRIMITIVES) + 1
    columns = {"id": pa.array(range(height), pa.int64())}
    for index, kind in enumerate(PRIMITIVES):
        values = [None, *edges(kind)]
        columns[f"c{index}"] = pa.array([values[n % len(values)] for n in range(height)], kind)
    tv.create_table(path, pa.table(columns), key="id", **options)
    tv.delete(path, where="id IN (0, 2)")
    tv.update(path, {"c0": "7"}, where="id = 3")


def nested(path: Path) -> None:
    """Lists, maps and structs in each other; empty, null and holding nulls; one row deleted, one changed."""
    made: dict[str, list[Any]] = {
        "list<item: int64>": [[], [1, None]],
        "list<item: string>": [[""], ["a", None, "é"]],
        "list<item: double>": [[math.nan, -0.0], [None]],
        "list<item: list<item: int32>>": [[[]], [None, [1], [None]]],
        "map<string, int64>": [[("a", 1), ("", None)], []],
        "map<int64, list<item: string>>": [[(1, ["a"]), (2, None)], [(3, [])]],
        "struct<x: double, y: string>": [{"x": None, "y": None}, {"x": 1.0, "y": "é"}],
        "struct<inner: struct<n: int64>, l: list<item: decimal128(5, 2)>>": [
            {"inner": {"n": 1}, "l": [Decimal("1.50"), None]},
            {"inner": None, "l": []},
        ],
        "list<item: struct<x: int64, b: binary>>": [[{"x": 1, "b": b"\xff"}, None], []],
    }
    columns: dict[str, pa.Array] = {"id": pa.array(range(4), pa.int64())}
    for index, kind in enumerate(NESTED):
        values = [None, *made[str(kind)]]
        columns[f"n{index}"] = pa.array([values[n % len(values)] for n in range(4)], kind)
    tv.create_table(path, pa.table(columns), key="id")
    tv.delete(path, where="id = 1")
    tv.upsert(path, tv.read_version(path, 0, where="id = 1"))


def column_names(path: Path) -> None:
    """Columns whose names other stores mangle; rows deleted and changed."""
    tv.create_table(path, [{"id": n, **{name: f"{name} {n}" for name in COLUMN_NAMES}} for n in range(5)], key="id")
    tv.delete(path, keys=[{"id": 1}])
    tv.upsert(path, [{"id": 2, **dict.fromkeys(COLUMN_NAMES, "up")}])


def compacted(path: Path) -> None:
    """Small files and vectors merged; then sorted by the key; rows deleted after."""
    tv.create_table(path, pa.Table.from_pylist(ROWS[:20]), key="id")
    for first in (20, 40, 60):
        tv.append(path, pa.Table.from_pylist(ROWS[first : first + 20]))
    tv.delete(path, where="id % 4 = 0")
    tv.compact(path)
    tv.delete(path, where="id % 5 = 0")
    tv.compact(path, cluster=True, min_files=1)
    tv.delete(path, keys=[{"id": 1}])


def vacuumed(path: Path) -> None:
    """A table whose older versions were given up."""
    tv.create_table(path, pa.Table.from_pylist(ROWS[:20]), key="id")
    for n in range(4):
        tv.overwrite(path, [{"id": 100 * n + m, "text": f"{n}", "part": None} for m in range(10)])
        tv.delete(path, keys=[{"id": 100 * n}])
    tv.vacuum(path, keep="3 versions", dry_run=False, safety="0 days")
    tv.append(path, pa.Table.from_pylist(ROWS[:3]))


def pruned(path: Path) -> None:
    """Statistics that a reader may prune by, at the edges where they lie if they are taken for exact."""
    schema = pa.schema(
        [
            ("id", pa.int64()),
            ("f", pa.float64()),
            ("s", pa.string()),
            ("d", pa.decimal128(5, 2)),
            ("t", pa.timestamp("us", "UTC")),
            ("day", pa.date32()),
        ]
    )
    rows = [
        (1, math.nan, "\U0010ffff" * 40, Decimal("-0.50"), datetime(1, 1, 1, tzinfo=UTC), date(1, 1, 1)),
        (2, -0.0, "", Decimal("99.99"), datetime(2024, 1, 1, 0, 0, 0, 123456, tzinfo=UTC), None),
        (3, math.inf, "a" * 100, None, datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), date(9999, 12, 31)),
    ]
    for row in rows:
        one = pa.Table.from_pylist([dict(zip(schema.names, row, strict=True))], schema=schema)
        tv.append(path, one) if path.exists() else tv.create_table(path, one, key="id")


TABLES: Mapping[str, Builder] = {
    "appends": appended,
    "deletion vectors in the log": small_vectors,
    "deletion vectors in files": large_vectors,
    "copy-on-write": lambda path: changed(path, deletes="copy-on-write"),
    "every operation": changed,
    "no key, duplicates": unkeyed,
    "columns added": evolved,
    "checkpoint": checkpointed,
    "NOT NULL and CHECK": constrained,
    "partitions": partitioned,
    "partition values with special characters": odd_partitions,
    "partitions of every type": typed_partitions,
    "every primitive type": primitives,
    "lists, structs, maps": nested,
    "column names with special characters": column_names,
    "compacted": compacted,
    "vacuumed": vacuumed,
    "statistics at their edges": pruned,
}
