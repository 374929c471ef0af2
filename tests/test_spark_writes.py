"""Apache Spark with Delta Lake writes to our tables, and we go on from there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import tablever as tv
from tablever import errors
from tablever.log import open_log
from tests import comparing, feature_tables, reading
from tests.engines.child import EngineError
from tests.engines.spark import Spark
from tests.model import multiset
from tests.spark_tables import agree, changes_agree, columns_of, numbers

pytestmark = pytest.mark.xdist_group("spark")  # one JVM, not one for each worker


def head_of(table: Path) -> int:
    return tv.resolve_version(table, "latest").number


# Spark writes to our tables, and we go on


@dataclass(frozen=True)
class Turns:
    """A way to make a table of ours, and the statements that Spark carries out on it, one a turn."""

    options: Mapping[str, Any]
    statements: Sequence[str]


STATEMENTS = {
    "delete": "DELETE FROM {t} WHERE id % 11 = 3",
    "append": "INSERT INTO {t} SELECT id + 90000, 'by Spark', 'one' FROM range(25)",
    "update": "UPDATE {t} SET text = concat(text, '!'), part = 'moved' WHERE id % 13 = 5",
    "merge": """MERGE INTO {t} t USING (SELECT id * 4 AS id, 'merged' AS text, 'm' AS part FROM range(90)) s
                ON t.id = s.id WHEN MATCHED AND t.id % 8 = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET *
                WHEN NOT MATCHED THEN INSERT *""",
    "optimize": "OPTIMIZE {t}",
    "restore": "RESTORE TABLE {t} TO VERSION AS OF 2",
    "purge": "REORG TABLE {t} APPLY (PURGE)",
    "overwrite": "INSERT OVERWRITE {t} SELECT id, concat('o', id), 'o' FROM range(40)",
}
SAME_ROWS = ("optimize", "purge")
TURNS = {
    "vectors": Turns({}, tuple(STATEMENTS)),
    "partitions": Turns({"partition_by": "part"}, ("update", "merge", "overwrite")),
    "copy-on-write": Turns({"deletes": "copy-on-write"}, ("merge", "restore")),
}


def our_turn(table: Path, turn: int) -> None:
    """One of each of our writes, on top of what Spark left."""
    some = tv.read_version(table)["id"].to_pylist()[:3]
    tv.append(table, [{"id": 700_000 + turn, "text": "ours", "part": "x"}])
    tv.upsert(table, [{"id": id_, "text": f"up {turn}", "part": "y"} for id_ in (*some[:2], 800_000 + turn)])
    tv.delete(table, keys=[{"id": id_} for id_ in some[2:]])


@pytest.mark.parametrize("kind", TURNS)
def test_taking_turns(spark: Spark, tmp_path: Path, kind: str) -> None:
    """Spark and tablever commit in turns to one table of ours: after each of Spark's statements we read, hash, diff
    and verify what it wrote, then write; Spark reads all that. No version ever changes; our vacuum takes what it says.
    """
    table = tmp_path / "t"
    tv.create_table(table, pa.Table.from_pylist(feature_tables.ROWS[:150]), key="id", **TURNS[kind].options)
    tv.append(table, [{"id": 5_000 + n, "text": "more", "part": "one"} for n in range(1_100)])
    tv.delete(table, where="id % 50 = 7 OR (id >= 5000 AND id % 2 = 1)")
    files = {file.path: file.vector for file in open_log(table).head().files}
    if kind == "vectors":
        assert {each and each.storage_type for each in files.values()} == {"i", "u"}, "in the log, and in a file"
    columns = columns_of(tv.read_version(table))
    known: dict[int, Any] = {n: multiset(tv.read_version(table, n).to_pylist(), columns) for n in numbers(table)}
    written: dict[str, int] = {}
    for turn, name in enumerate(TURNS[kind].statements):
        last = head_of(table)
        spark.run(STATEMENTS[name].format(t=f"delta.`{table}`"))
        written[name] = head = head_of(table)
        assert head == last + 1, name
        assert tv.list_versions(table)[-1].number == head
        rows = tv.read_version(table)
        assert tv.content_hash(table) == tv.content_hash_of(rows)
        diff = tv.diff_versions(table, last, head)
        comparing.assert_right(diff, comparing.state_of(table, last), comparing.state_of(table, head))
        if name in SAME_ROWS:
            assert diff.summary.changed + diff.summary.updated == 0
        if kind == "vectors" and name == "delete":
            after = open_log(table).head().files
            assert [file.vector for file in after if file.path in files] != list(files.values())
            assert all(file.vector.storage_type == "u" for file in after if file.vector), "Spark's, over ours"
        our_turn(table, turn)
        agree(spark, table, [head, head_of(table)])
        for number in range(len(known), head_of(table) + 1):
            known[number] = multiset(tv.read_version(table, number).to_pylist(), columns)
    for number, expected in known.items():
        assert multiset(tv.read_version(table, number).to_pylist(), columns) == expected, number
    report = tv.verify(table, level="rows")
    assert not report.damaged
    assert report.versions == tuple(known)
    changes_agree(spark, table, 3, head_of(table), times=False, net=True)
    if "update" in written:
        events = [(event.version, event.change) for event in tv.row_history(table, 18)]
        assert (written["update"], "update") in events, "a row's life spans Spark's commits"
    chosen = written["merge"]
    tv.restore(table, chosen)
    tv.compact(table, min_files=1)
    tv.vacuum(table, keep="3 versions", safety="0 days", dry_run=False)
    kept = numbers(table)
    assert multiset(tv.read_version(table).to_pylist(), columns) == known[chosen]
    assert all(multiset(tv.read_version(table, n).to_pylist(), columns) == known[n] for n in kept if n in known)
    assert not tv.verify(table, level="rows").damaged
    agree(spark, table, kept[-1:])


@pytest.mark.parametrize("kind", ["every primitive type", "lists, structs, maps"])
def test_values_of_every_type_written_by_spark(spark: Spark, tmp_path: Path, kind: str) -> None:
    """What Spark puts into columns of every type is what it took, read whole and by its statistics; rows of its are
    deleted and put back by us, and the version is the same one again.
    """
    table = tmp_path / "t"
    feature_tables.TABLES[kind](table)
    first = tv.read_version(table, 0)
    columns = columns_of(first)
    others = ", ".join(f"`{name}`" for name in first.column_names if name != "id")
    spark.run(
        f"INSERT INTO delta.`{table}` SELECT id + 100, {others} FROM delta.`{table}` VERSION AS OF 0",
        f"UPDATE delta.`{table}` SET id = id + 1000 WHERE id % 2 = 1 AND id > 100",
    )
    head = head_of(table)
    theirs = tv.read_version(table, where="id >= 100")
    same = [{**row, "id": row["id"] % 1_000 - 100} for row in theirs.to_pylist()]
    assert multiset(same, columns) == multiset(first.to_pylist(), columns)
    for condition, expected in conditions_on(tv.read_version(table)):
        found = tv.read_version(table, where=condition)
        assert multiset(found.to_pylist(), columns) == multiset(expected.to_pylist(), columns), condition
    tv.delete(table, where="id >= 1000")
    tv.append(table, theirs.filter(pc.greater_equal(theirs["id"], 1_000)))
    assert tv.content_hash(table) == tv.content_hash(table, head)
    agree(spark, table, [head_of(table)])
    changes_agree(spark, table, head - 1, head_of(table), times=False)
    assert not tv.verify(table, level="rows").damaged


def conditions_on(rows: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """A condition for the first and the last value of each plain column, and the rows for which it holds, by DuckDB
    alone: there statistics lie, if they do.
    """
    with duckdb.connect() as connection:
        connection.register("rows", rows)
        for name in [field.name for field in rows.schema if not pa.types.is_nested(field.type)]:
            ends = f'min("{name}")::VARCHAR, max("{name}")::VARCHAR, typeof(min("{name}"))'
            ((first, last, kind),) = connection.sql(f"SELECT {ends} FROM rows").fetchall()
            for value in (first, last):
                literal = value.replace("'", "''")
                condition = f"\"{name}\" = CAST('{literal}' AS {kind})"
                yield condition, connection.sql(f"SELECT * FROM rows WHERE {condition}").to_arrow_table()


def test_spark_keeps_our_constraints_and_we_its(spark: Spark, tmp_path: Path) -> None:
    """Spark refuses rows that break our NOT NULL and CHECK; its constraints and columns hold for our writes. Of our
    key it knows nothing: keys that it doubles are read so, and our upsert of one leaves one row.
    """
    table = tmp_path / "t"
    feature_tables.constrained(table)
    before = head_of(table)
    for values in ("200, -1, 'x'", "200, 1, NULL", "NULL, 1, 'x'"):
        with pytest.raises(EngineError, match=r"(?i)constraint"):
            spark.run(f"INSERT INTO delta.`{table}` VALUES ({values})")
    assert head_of(table) == before
    spark.run(
        f"ALTER TABLE delta.`{table}` ADD CONSTRAINT short CHECK (length(word) < 10)",
        f"ALTER TABLE delta.`{table}` ADD COLUMNS (more DOUBLE, tags ARRAY<STRING>)",
        f"INSERT INTO delta.`{table}` VALUES (300, 1, 'x', 2.5, array('a', NULL))",
    )
    row = {"id": 301, "score": 2.0, "word": "y", "more": None, "tags": []}
    with pytest.raises(errors.ConstraintError, match="short"):
        tv.append(table, [{**row, "word": "a word too long"}])
    tv.upsert(table, [{**row, "id": 300}])
    with pytest.raises(errors.DuplicateKeyError):
        tv.append(table, [{**row, "id": 300}])
    spark.run(f"INSERT INTO delta.`{table}` VALUES (300, 5, 'z', 2.5, NULL)")
    doubled = head_of(table)
    assert sorted(tv.read_version(table, where="id = 300")["score"].to_pylist()) == [2.0, 5.0]
    tv.upsert(table, [{**row, "id": 300, "score": 3.0}])
    assert tv.read_version(table, where="id = 300")["score"].to_pylist() == [3.0]
    agree(spark, table, [doubled, head_of(table)])


def test_checkpoints_of_spark(spark: Spark, tmp_path: Path) -> None:
    """Checkpoints that Spark makes of our table, classic and v2, lead us to the same versions as before, in the same
    order of rows, and we write on under them.
    """
    table = tmp_path / "t"
    log = table / "_delta_log"
    feature_tables.changed(table)
    before = {number: tv.read_version(table, number) for number in numbers(table)}
    spark.run(f"ALTER TABLE delta.`{table}` SET TBLPROPERTIES ('delta.checkpointInterval' = '1')")
    our_turn(table, 0)
    spark.run(f"INSERT INTO delta.`{table}` VALUES (40000, 's', 'p')")
    assert list(log.glob("*.checkpoint.parquet"))
    our_turn(table, 1)
    classic = head_of(table)
    spark.run(
        f"ALTER TABLE delta.`{table}` SET TBLPROPERTIES ('delta.checkpointPolicy' = 'v2')",
        f"INSERT INTO delta.`{table}` VALUES (50000, 's', 'p'), (50001, 's', 'p')",
        f"DELETE FROM delta.`{table}` WHERE id = 50000",
    )
    assert list((log / "_sidecars").glob("*.parquet"))
    our_turn(table, 2)
    for number, rows in before.items():
        assert reading.same(tv.read_version(table, number), rows), number
    agree(spark, table, [len(before) + 3, classic, head_of(table)])
    assert not tv.verify(table, level="rows").damaged


def test_features_that_spark_gives_our_table(spark: Spark, tmp_path: Path) -> None:
    """To a table of ours with in-commit times from Spark we write such times, by which both find the same versions,
    whatever the times of the log's files. One to which it gives mapped columns we read at every version, and refuse
    to write to by the feature's name.
    """
    table = tmp_path / "t"
    feature_tables.small_vectors(table)
    spark.run(f"ALTER TABLE delta.`{table}` SET TBLPROPERTIES ('delta.enableInCommitTimestamps' = 'true')")
    enabled = head_of(table)
    our_turn(table, 0)
    spark.run(f"UPDATE delta.`{table}` SET text = 'set' WHERE id = 10")
    our_turn(table, 1)
    for file in (table / "_delta_log").glob("*.json"):
        os.utime(file, (1, 1))
    moments = [version.timestamp for version in tv.list_versions(table)[enabled:]]
    assert moments == sorted(set(moments))
    for number, moment in enumerate(moments, enabled):
        entry = (table / "_delta_log" / f"{number:020}.json").read_text().splitlines()[0]
        assert json.loads(entry)["commitInfo"]["inCommitTimestamp"] == round(moment.timestamp() * 1000)
        found = spark.rows(f"SELECT * FROM delta.`{table}` TIMESTAMP AS OF '{moment:%Y-%m-%d %H:%M:%S.%f}'")
        expected = tv.read_version(table, number)
        reading.assert_rows(found, columns_of(expected), expected.to_pylist(), f"{number}")
    last = head_of(table)
    spark.run(
        f"ALTER TABLE delta.`{table}` SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name')",
        f"ALTER TABLE delta.`{table}` RENAME COLUMN text TO words",
        f"UPDATE delta.`{table}` SET words = 'set' WHERE id = 12",
    )
    agree(spark, table, [last, *range(last + 2, head_of(table) + 1)])
    contents = reading.contents(table)
    with pytest.raises(errors.UnsupportedFeatureError, match="columnMapping"):
        tv.append(table, tv.read_version(table).slice(0, 1))
    assert reading.contents(table) == contents
    assert not tv.verify(table, level="rows").damaged


# Spark's VACUUM


def test_spark_cannot_vacuum_vectors_that_lie_in_the_log(spark: Spark, tmp_path: Path) -> None:
    """Spark's VACUUM stops at a deletion vector that lies in the log, before it removes or writes anything; as long as
    it is to keep history also where no file has one any more.
    """
    table = tmp_path / "t"
    feature_tables.small_vectors(table)
    before = reading.contents(table)
    with pytest.raises(EngineError, match="MatchError"):
        spark.run(f"VACUUM delta.`{table}` RETAIN 0 HOURS")
    assert reading.contents(table) == before
    tv.overwrite(table, tv.read_version(table).slice(0, 0))
    assert not open_log(table).head().files
    before = reading.contents(table)
    with pytest.raises(EngineError, match="MatchError"):
        spark.run(f"VACUUM delta.`{table}`")
    assert reading.contents(table) == before


def test_a_vacuum_of_spark_leaves_what_the_head_needs(spark: Spark, tmp_path: Path) -> None:
    """On a table of ours whose vectors all lie in files a VACUUM of Spark's that is told to keep no history takes files
    of older versions alone: the head reads, its vectors are there, tags stand, what is gone is told so by every reader
    of rows and changes, and both go on.
    """
    table = tmp_path / "t"
    feature_tables.large_vectors(table)
    last = head_of(table)
    tv.tag(table, "v1.0", last)
    before = {number: tv.read_version(table, number) for number in numbers(table)}
    contents = reading.contents(table)
    spark.run(f"VACUUM delta.`{table}` RETAIN 0 HOURS")
    gone = contents.keys() - reading.contents(table).keys()
    assert gone
    assert not [path for path in gone if path.startswith(("_dv/", "_tablever/", "_delta_log/"))]
    assert reading.same(tv.read_version(table), before[last])
    assert tv.resolve_version(table, "v1.0").number == last
    assert reading.same(tv.read_version(table, "v1.0"), before[last])
    for number in range(1, last):
        with pytest.raises(errors.VersionVacuumedError):
            tv.read_version(table, number)
        with pytest.raises(errors.VersionVacuumedError):
            tv.query(f"SELECT * FROM table_changes('t', {number}, {number})", tables={"t": table})
    report = tv.verify(table, level="rows")
    assert not report.damaged
    assert {found.object for found in report.vacuumed} == gone
    tv.upsert(table, [{"id": 2, "text": "up", "part": "y"}, {"id": 900_000, "text": "new", "part": "z"}])
    tv.delete(table, where="id % 10 = 0")
    agree(spark, table, [head_of(table)])


def test_a_vacuum_of_spark_on_a_copy_on_write_table(spark: Spark, tmp_path: Path) -> None:
    """A table of ours without vectors, of every operation, Spark's VACUUM takes as any: by our settings nothing."""
    table = tmp_path / "t"
    feature_tables.changed(table, deletes="copy-on-write")
    contents = reading.contents(table)
    spark.run(f"VACUUM delta.`{table}`")
    assert contents.items() <= reading.contents(table).items()
    assert not tv.verify(table, level="rows").damaged
