"""Apache Spark with Delta Lake, the reference: it reads our tables, and we its. One JVM serves all tests with it.

Skipped where there is no Java, Maven or jars; ``TABLEVER_TESTS_NEED=spark`` makes that a failure.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import settings

import tablever as tv
from tablever.log import open_log
from tests import feature_tables, golden, reader_results, reading
from tests.engines.others import until
from tests.engines.spark import Spark
from tests.model import multiset
from tests.spark_tables import MADE, agree, changes_agree, columns_of, numbers, types_of

pytestmark = pytest.mark.xdist_group("spark")  # one JVM, not one for each worker


# What we write


@pytest.fixture(scope="module", params=feature_tables.TABLES)
def ours(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A table of ours, of each kind; it is read, not written to."""
    table = tmp_path_factory.mktemp("ours") / "t"
    feature_tables.TABLES[request.param](table)
    return request.param, table


def test_spark_reads_every_version(spark: Spark, ours: tuple[str, Path]) -> None:
    """Spark reads the same columns, types and rows as we do, at every version of a table of any kind."""
    _, table = ours
    agree(spark, table, reader_results.sampled(numbers(table)))


def test_spark_gives_our_change_rows(spark: Spark, ours: tuple[str, Path], tmp_path: Path) -> None:
    """Spark's ``table_changes`` over the whole history gives exactly our change rows, with our times. It reads changes
    in the columns of the head alone: where these changed, each version's are those of a table that ends with it.

    Of rows that an overwrite without a key puts back, Spark tells that they went and came, we that nothing changed.
    """
    kind, table = ours
    there = numbers(table)
    first = 0 if there[0] == 0 else there[1]
    if kind in ("columns added", "NOT NULL and CHECK"):
        for number in range(first, there[-1] + 1):
            changes_agree(spark, until(table, number, tmp_path / str(number)), number, number)
    else:
        changes_agree(spark, table, first, there[-1], net=kind == "no key, duplicates")


def test_a_delete_that_only_vectors_tell(spark: Spark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deletes so large that no change rows are written give the same ones to Spark, and the rest reads the same."""
    for module in ("plan", "write"):
        monkeypatch.setattr(f"tablever.{module}.MAX_DELETED_CHANGE_ROWS", 1_000)
    table = tmp_path / "t"
    tv.create_table(table, pa.table({"id": range(1_500)}), key="id")
    tv.delete(table, where="id % 10 < 7")
    tv.delete(table, where="id % 10 = 8")
    assert len(list((table / "_change_data").glob("*.parquet"))) == 1, "the first delete is told by vectors alone"
    agree(spark, table)
    changes_agree(spark, table, 1, 2)


def test_versions_by_time(spark: Spark, tmp_path: Path) -> None:
    """Spark's ``TIMESTAMP AS OF`` gives the version that ours gives, just before, at and after each commit's time."""
    table = tmp_path / "t"
    feature_tables.appended(table)
    versions = tv.list_versions(table)
    for version in versions[1:]:
        for moment in (version.timestamp - timedelta(milliseconds=1), version.timestamp):
            found = spark.rows(f"SELECT * FROM delta.`{table}` TIMESTAMP AS OF '{moment:%Y-%m-%d %H:%M:%S.%f}'")
            expected = tv.read_version(table, moment)
            reading.assert_rows(found, columns_of(expected), expected.to_pylist(), f"{moment}")


def test_spark_prunes_by_our_statistics(spark: Spark, tmp_path: Path) -> None:
    """What Spark finds when it skips files by our statistics is what there is."""
    table = tmp_path / "t"
    feature_tables.pruned(table)
    conditions = {
        "f > 100": [1, 3], "f = 0": [2], "s > 'b'": [1], "s >= ''": [1, 2, 3], "d < 0": [1], "d >= 99.99": [2],
        "t >= TIMESTAMP '2024-01-01 00:00:00.123456'": [2, 3], "t = TIMESTAMP '2024-01-01 00:00:00.123456'": [2],
        "t > TIMESTAMP '9999-12-31 23:59:59.999'": [3], "t < TIMESTAMP '0001-01-02 00:00:00'": [1],
        "day IS NULL": [2], "d IS NOT NULL": [1, 2], "isnan(f)": [1],
    }  # fmt: skip
    for condition, expected in conditions.items():
        found = spark.rows(f"SELECT id FROM delta.`{table}` WHERE {condition}")
        assert sorted(found["id"].to_pylist()) == expected, condition


# Tables that Spark made


@pytest.fixture(params=MADE)
def theirs(request: pytest.FixtureRequest, made: Callable[[str], Path]) -> tuple[str, Path]:
    """A table of Spark's, of each kind. The tests that use it do not write to it."""
    return request.param, made(request.param)


def test_every_version_of_a_table_of_spark(spark: Spark, theirs: tuple[str, Path]) -> None:
    """Every version of a table that Spark made with a feature reads as Spark reads it: columns, types and rows."""
    _, table = theirs
    before = reading.contents(table)
    agree(spark, table)
    assert not tv.verify(table, level="rows").damaged
    assert reading.contents(table) == before, "reading wrote something"


def test_change_rows_of_a_table_of_spark(spark: Spark, theirs: tuple[str, Path]) -> None:
    """Where the table has a change feed, Spark's rows of it are ours, but that Spark lists rows that an overwrite or a
    restore puts back as gone and come again; everywhere our change rows lead from a version to the next.
    """
    _, table = theirs
    there = numbers(table)
    log = open_log(table)
    for before, after in itertools.pairwise(there):
        old, new = tv.read_version(table, before), tv.read_version(table, after)
        if types_of(old) != types_of(new):
            continue
        if log.snapshot(after).metadata.flag("delta.enableChangeDataFeed"):
            changes_agree(spark, table, after, after, times=False, net=True)
        changes = tv.query(f"SELECT * FROM table_changes('t', {after}, {after})", tables={"t": table}).to_pylist()
        columns = columns_of(new)
        came = multiset([r for r in changes if r["_change_type"] in ("insert", "update_postimage")], columns)
        went = multiset([r for r in changes if r["_change_type"] in ("delete", "update_preimage")], columns)
        assert multiset(new.to_pylist(), columns) + went == multiset(old.to_pylist(), columns) + came, after


# Tables that Spark made for other projects

# A Rust library padded this vector's text with "#" ("##093" for the two bytes 03 00). The protocol has no such padding:
# Spark takes it for a row beyond the file, and shows one that is deleted to us, and by the change rows of the suite.
PADDED = ("cdf-table-with-dv", 5)


def test_golden_versions_without_published_rows(spark: Spark, tmp_path: Path) -> None:
    """Versions of the golden tables whose rows no suite publishes read as Spark reads them: the last such one of each
    table that is kept here, but for those of DAT; every one of every table with ``HYPOTHESIS_PROFILE=thorough``. One
    is left out, see PADDED.
    """
    thorough = settings().max_examples >= 1_000
    for table in golden.tables():
        few = table.suite != "dat" and (golden.HERE / table.suite / table.name).is_dir()
        if table.name in golden.REFUSED or not (thorough or few):
            continue
        path = table.copy(tmp_path)
        published = {tv.resolve_version(path, ref).number for ref, _ in table.expectations()}
        left = [n for n in numbers(path) if n not in published and (table.name, n) != PADDED]
        agree(spark, path, left if thorough else left[-1:])
