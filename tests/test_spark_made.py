"""We write to tables that Apache Spark with Delta Lake made, and it goes on; what we cannot read of it is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import settings

import tablever as tv
from tablever import errors
from tablever.log import open_log
from tests import reading
from tests.engines.spark import Spark
from tests.spark_tables import MADE, UNREADABLE, agree, changes_agree, columns_of, make

pytestmark = pytest.mark.xdist_group("spark")  # one JVM, not one for each worker


# Tables whose features others have, too: written to with HYPOTHESIS_PROFILE=thorough alone.
PARTS = () if settings().max_examples >= 1_000 else ("as it comes", "deletion vectors")


def kinds(*, written: bool) -> list[str]:
    """The tables of Spark's that we write to, or do not."""
    return [name for name, kind in MADE.items() if (kind.not_written is None) == written and name not in PARTS]


@pytest.mark.parametrize("kind", kinds(written=True))
def test_writing_to_a_table_of_spark(spark: Spark, made: Callable[[str], Path], tmp_path: Path, kind: str) -> None:
    """A table of Spark's takes our append, delete, restore and compaction under the protocol that it has; Spark reads
    what we left, and writes on.
    """
    table = tmp_path / "t"
    shutil.copytree(made(kind), table)
    rows, before = tv.read_version(table), open_log(table).head()
    name = next(field.name for field in rows.schema if pa.types.is_integer(field.type))
    one, *_, other = sorted(value for value in rows[name].to_pylist() * 2 if value is not None)
    assert tv.append(table, rows.slice(0, 2)) is not None
    if kind == "append only":
        with pytest.raises(errors.ConstraintError, match="append-only"):
            tv.delete(table, where=f'"{name}" = {one}')
        agree(spark, table, [before.version + 1])
        return
    assert tv.delete(table, where=f'"{name}" = {one}') is not None
    agree(spark, table, [before.version + 2])
    if before.metadata.flag("delta.enableChangeDataFeed"):
        changes_agree(spark, table, before.version + 1, before.version + 2)
    tv.restore(table, before.version)
    tv.compact(table, min_files=1)
    assert open_log(table).head().protocol == before.protocol
    assert tv.content_hash(table) == tv.content_hash(table, before.version)
    spark.run(f"DELETE FROM delta.`{table}` WHERE `{name}` = {other}")
    expected = [row for row in rows.to_pylist() if row[name] != other]
    reading.assert_rows(tv.read_version(table), columns_of(rows), expected, "after Spark's delete")
    assert not tv.verify(table, level="rows").damaged


@pytest.mark.parametrize("kind", kinds(written=False))
def test_writes_to_a_table_of_spark_are_refused(made: Callable[[str], Path], tmp_path: Path, kind: str) -> None:
    """Every write to a table of Spark's that has what we do not write under is refused by the feature's name, and
    nothing is written.
    """
    table = tmp_path / "t"
    shutil.copytree(made(kind), table)
    assert_refused(table, MADE[kind].not_written)


@pytest.mark.parametrize(
    ("generated", "feature"), [("IDENTITY", "identityColumns"), ("CAST(length(text) AS BIGINT)", "generatedColumns")]
)
def test_columns_that_spark_works_out(spark: Spark, tmp_path: Path, generated: str, feature: str) -> None:
    """A table of Spark's whose column is worked out by its writers reads as any, and is written by them alone."""
    table = tmp_path / "t"
    spark.build(table, [("text", "STRING", None), ("n", "BIGINT", generated)])
    spark.run(f"INSERT INTO delta.`{table}` (text) VALUES ('a'), (NULL)")
    agree(spark, table, [1])
    assert_refused(table, feature)


def assert_refused(table: Path, feature: str | None) -> None:
    """No verb writes to the table: each names the feature, and leaves everything as it was."""
    rows, contents = tv.read_version(table), reading.contents(table)
    verbs: Sequence[Callable[[], object]] = (
        lambda: tv.append(table, rows),
        lambda: tv.delete(table, where="true"),
        lambda: tv.overwrite(table, rows.slice(0, 0)),
        lambda: tv.restore(table, 0),
        lambda: tv.compact(table, min_files=1),
    )
    for verb in verbs:
        with pytest.raises(errors.UnsupportedFeatureError) as caught:
            verb()
        assert caught.value.feature == feature
    assert reading.contents(table) == contents


@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_we_cannot_read_of_spark_is_refused(spark: Spark, tmp_path: Path, kind: str) -> None:
    """A table of Spark's that asks for more than we have is refused by what it asks for, by every reader; but a
    shallow clone is read where the folder of its files is allowed.
    """
    table, source = tmp_path / "t", tmp_path / "t_source"
    make(spark, table, UNREADABLE[kind])
    for reader in reading.OURS.values():
        with pytest.raises(errors.UnsupportedFeatureError) as caught:
            reader(table, 0)
        assert caught.value.feature == UNREADABLE[kind].not_read
    if kind == "shallow clone":
        allowed, theirs = tv.open_table(table, allow_folders=[source]), spark.read(table, 0)
        reading.assert_rows(tv.read_version(allowed), columns_of(theirs), theirs.to_pylist(), "the clone")
