"""What Spark and we make of one table, compared; and the tables that Spark makes (``engines/made_by_spark.sql``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

import tablever as tv
from tests import reader_results, reading
from tests.engines.spark import Spark
from tests.model import Column, identity, multiset


def columns_of(found: pa.Table) -> list[Column]:
    return [Column(field.name, field.type) for field in found.schema]


def types_of(found: pa.Table) -> dict[str, str]:
    return {column.name: column.delta for column in columns_of(found)}


numbers = reader_results.readable


def agree(spark: Spark, table: Path, which: Sequence[int] | None = None) -> None:
    """Spark reads what we read, columns, types and rows, at every version; and we read alike in each of our ways."""
    for number in numbers(table) if which is None else which:
        ours, theirs = tv.read_version(table, number), spark.read(table, number)
        what = f"{table.name}@{number}"
        assert types_of(ours) == types_of(theirs), what
        for name, reader in reading.OURS.items():
            reading.assert_rows(reader(table, number), columns_of(ours), theirs.to_pylist(), f"{what} through {name}")


def netted(changes: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> Counter[Hashable]:
    """Change rows without each delete that an insert of an equal row in its version makes good, and that insert."""
    left = multiset(changes, columns)
    for row in changes:
        pair = [identity({**row, "_change_type": kind}, columns) for kind in ("insert", "delete")]
        if row["_change_type"] == "insert" and all(left[each] > 0 for each in pair):
            left.subtract(pair)
    return +left


def changes_agree(spark: Spark, table: Path, first: int, last: int, *, times: bool = True, net: bool = False) -> None:
    """Spark's change feed gives our change rows: their kind, their version, and its time.

    Of a commit of its own Spark tells the time at which the log's file was put, we the one that the commit says.
    """
    ours = tv.query(f"SELECT * FROM table_changes('t', {first}, {last})", tables={"t": table})
    theirs = spark.changes(table, first, last)
    assert sorted(theirs.column_names) == sorted(ours.column_names)
    columns = [column for column in columns_of(ours) if times or column.name != "_commit_timestamp"]
    got, wanted = ((netted if net else multiset)(each.to_pylist(), columns) for each in (ours, theirs))
    assert not got - wanted, f"ours alone: {str(got - wanted)[:2_000]}"
    assert not wanted - got, f"Spark's alone: {str(wanted - got)[:2_000]}"


@dataclass(frozen=True)
class Made:
    """Statements that make a table, and the feature that keeps us from writing to it, or from reading it."""

    statements: tuple[str, ...]
    not_written: str | None = None
    not_read: str | None = None


def made_by_spark() -> dict[str, Made]:
    """The tables of ``made_by_spark.sql``, by name."""
    found = {}
    for part in (Path(__file__).parent / "engines" / "made_by_spark.sql").read_text("utf-8").split("\n\n")[1:]:
        title, *lines = part.strip().splitlines()
        name, _, limit = title.removeprefix("-- ").partition(" | ")
        verb, _, feature = limit.partition(": ")
        statements = tuple(text.strip() for text in " ".join(lines).split(";") if text.strip())
        found[name] = Made(statements, **({verb.replace(" ", "_"): feature} if feature else {}))
    return found


MADE = {name: each for name, each in made_by_spark().items() if each.not_read is None}
UNREADABLE = {name: each for name, each in made_by_spark().items() if each.not_read is not None}


def make(spark: Spark, table: Path, kind: Made) -> None:
    """Carry out the statements that make a table."""
    for sql in kind.statements:
        text = sql.replace("{t}_source", f"delta.`{table}_source`").replace("{t}", f"delta.`{table}`")
        spark.run(text.replace("{path}", str(table)))
