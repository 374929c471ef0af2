"""Tables that Delta on Spark made: a few in ``tests/data/golden``, and the full set where it lies beside the clone."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pytest
from deltalake import DeltaTable

import tablever as tv
from tablever import errors
from tablever.delta.features import WRITTEN
from tablever.log import open_log
from tests import golden, golden_results, reading
from tests.golden import FULL, HERE, REFUSED, Golden
from tests.model import Column, multiset

TABLES = golden.tables()
READ = [pytest.param(table, id=table.name) for table in TABLES if table.name not in REFUSED]
BESIDE = pytest.mark.skipif(not FULL.is_dir(), reason="the full set of golden tables is not beside this clone")
# QueryBuilder reads these wrong or not at all: instants of year 9999 in INT96 wrap, mapped columns come empty.
QUERY_BUILDER_FAILS = {"kernel-timestamp-int96", "data-reader-primitives", "parquet-all-types"}


def expectations() -> Iterator[Any]:
    """Every (table, version) whose rows are known."""
    for table in TABLES:
        for ref, folder in table.expectations():
            yield pytest.param(table, ref, folder, id=f"{table.name}-{ref}")


def settings() -> Iterator[Any]:
    """Every (table, version) whose protocol and properties are known."""
    for table in TABLES:
        for ref, known in table.settings():
            yield pytest.param(table, ref, known, id=f"{table.name}-{ref}")


@pytest.fixture
def path(table: Golden, tmp_path: Path) -> Path:
    """A copy that may be written to: the suite itself stays as it is."""
    return table.copy(tmp_path)


def columns_of(found: pa.Table) -> list[Column]:
    return [Column(field.name, field.type) for field in found.schema]


@pytest.mark.parametrize(("table", "ref", "expected"), list(expectations()))
@pytest.mark.parametrize("reader", reading.OURS)
def test_rows_are_those_that_spark_reads(path: Path, ref: str, expected: Path, reader: str) -> None:
    """A version of a table by Delta on Spark holds the rows that its suite says, whichever way it is read."""
    wanted = golden.expected_rows(expected)
    number = tv.resolve_version(path, ref).number
    found = reading.OURS[reader](path, number)
    columns = columns_of(tv.read_version(path, number))
    assert sorted(found.column_names) == sorted(wanted.column_names)
    assert multiset(found.to_pylist(), columns) == multiset(wanted.to_pylist(), columns)


@pytest.mark.parametrize(("table", "ref", "known"), list(settings()))
def test_settings_are_those_of_the_suite(path: Path, ref: str, known: dict[str, Any]) -> None:
    """A version has the number, the protocol and the properties that its suite says."""
    snapshot = open_log(path).snapshot(tv.resolve_version(path, ref).number)
    assert snapshot.version == known["version"]
    assert dict(snapshot.metadata.configuration) == known["properties"]
    assert snapshot.protocol.min_reader == known["min_reader_version"]
    assert snapshot.protocol.min_writer == known["min_writer_version"]


@pytest.mark.parametrize("table", READ)
def test_every_version_reads_the_same_in_every_way(path: Path) -> None:
    """Every version in a foreign log reads, the same through each of our ways, and as deltalake reads it."""
    for version in tv.list_versions(path):
        try:
            found = tv.read_version(path, version.number)
        except errors.VersionVacuumedError as error:
            gone = path / unquote(error.file)
            assert not gone.exists()
            continue
        columns, rows = columns_of(found), found.to_pylist()
        for name, reader in reading.OURS.items():
            reading.assert_rows(reader(path, version.number), columns, rows, f"{version.number} through {name}")
        if path.name not in QUERY_BUILDER_FAILS:
            try:
                foreign = reading.query_builder(path, version.number)
            except Exception as error:  # noqa: BLE001 - what another library cannot read says nothing of ours
                print(f"{path.name}@{version.number}: {type(error).__name__}")
                continue
            reading.assert_rows(foreign, columns, rows, f"{version.number} through QueryBuilder")


@pytest.mark.parametrize("table", [pytest.param(t, id=t.name) for t in TABLES if t.name in REFUSED])
@pytest.mark.parametrize("reader", ["read_version", "scan_version", "sql"])
def test_what_cannot_be_read_is_refused(path: Path, reader: str) -> None:
    """A malformed table, or one that asks for more than we have, is refused: no rows, no traceback of a library."""
    kind, words = REFUSED[path.name]
    with pytest.raises(kind) as caught:
        reading.OURS[reader](path, tv.resolve_version(path, "latest").number)
    assert words in str(caught.value)
    if caught.type is errors.UnsupportedFeatureError:
        assert caught.value.feature


@pytest.mark.parametrize("table", [pytest.param(t, id=t.name) for t in TABLES if t.name in golden.feeds()])
def test_change_rows_are_those_that_spark_gives(table: Golden, path: Path) -> None:
    """``table_changes`` gives the change rows that Delta's own change feed gives."""
    case = golden.feeds()[table.name]
    found = tv.query("SELECT * FROM table_changes('t', 0, 0)", tables={"t": path})
    assert {"_change_type", "_commit_version", "_commit_timestamp"} <= set(found.column_names)
    assert golden.change_rows(path, case) == Counter(map(tuple, case["rows"]))


@pytest.mark.parametrize("table", READ)
def test_change_rows_lead_from_each_version_to_the_next(path: Path) -> None:
    """A version is the one before it less the rows that its change rows take out, and with those that they put in."""
    numbers = [version.number for version in tv.list_versions(path)]
    for before, after in itertools.pairwise(numbers):
        try:
            old, new = tv.read_version(path, before), tv.read_version(path, after)
        except errors.VersionVacuumedError:
            continue
        if not set(old.column_names) <= set(new.column_names):
            continue  # a column was renamed: its old name is none of the feed's
        changes = tv.query(f"SELECT * FROM table_changes('t', {after}, {after})", tables={"t": path}).to_pylist()
        columns = columns_of(new)
        came = [row for row in changes if row["_change_type"] in ("insert", "update_postimage")]
        went = [row for row in changes if row["_change_type"] in ("delete", "update_preimage")]
        assert len(came) + len(went) == len(changes)
        left = multiset(old.to_pylist(), columns)
        assert multiset(new.to_pylist(), columns) + multiset(went, columns) == left + multiset(came, columns), after


@BESIDE
def test_the_tables_kept_here_are_the_originals() -> None:
    """The tables in ``tests/data/golden`` are byte for byte those of the full set."""
    for file in HERE.rglob("*"):
        if file.is_file() and file.parent != HERE:
            assert file.read_bytes() == (FULL / file.relative_to(HERE)).read_bytes()


@BESIDE
@pytest.mark.parametrize("table", [pytest.param(t, id=t.name) for t in TABLES])
def test_the_page_of_results_says_what_is_found(table: Golden) -> None:
    """Each table's line in the reference is what a run gives (``python -m tests.golden_results`` renews the page)."""
    found = golden_results.result_of(table)
    assert not found.wrong
    assert found.line(table) in golden_results.PAGE.read_text("utf-8").splitlines()


@BESIDE
def test_the_page_of_results_has_every_table() -> None:
    """The reference has a line for each table, none for others, and sums that its lines add up to."""
    text = golden_results.PAGE.read_text("utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    assert [line.split("`")[1] for line in lines] == [table.name for table in TABLES]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    sums = golden_results.summary(
        [
            golden_results.Result(
                int(expected or 0), int(others or 0), int(gone or 0), (), int(changes) if changes else None, refused
            )
            for _, expected, others, gone, changes, refused in cells
        ]
    )
    assert sums in text


@pytest.mark.parametrize("table", READ)
def test_a_foreign_table_takes_our_commits_or_names_what_is_in_the_way(path: Path) -> None:
    """A table of another's takes an append and a delete under the protocol that it has, or refuses both by the name
    of a feature that we do not write under; either way every version before stays what it was.
    """
    log = open_log(path)
    head, protocol = tv.read_version(path), log.head().protocol
    columns, last = columns_of(head), log.head().version
    if any(pa.types.is_binary(head.schema.field(name).type) for name in log.head().metadata.partition_columns):
        with pytest.raises(errors.SchemaMismatchError, match="cannot partition"):
            tv.append(path, head.slice(0, 1))
        return
    features = protocol.writer_features or frozenset()
    try:
        appended = tv.append(path, head.slice(0, 1))
    except errors.UnsupportedFeatureError as error:
        feature = error.feature
    else:
        feature = None
    if feature is not None:
        assert feature in features or (not features and feature not in WRITTEN)
        with pytest.raises(errors.UnsupportedFeatureError, match=feature):
            tv.delete(path, where="true")
        assert open_log(path).head().version == last
    else:
        assert features <= WRITTEN
        if head.num_rows:
            assert appended is not None
            expected = [*head.to_pylist(), head.to_pylist()[0]]
            reading.assert_rows(tv.read_version(path), columns, expected, "after the append")
            assert tv.delete(path, where="true") is not None
            assert tv.read_version(path).num_rows == 0
        assert open_log(path).head().protocol == protocol
    reading.assert_rows(tv.read_version(path, last), columns, head.to_pylist(), "the version before")


@pytest.mark.parametrize("table", [p for p in READ if p.id in ("basic_append", "basic_partitioned", "with_checkpoint")])
def test_a_spark_table_takes_our_commits(path: Path) -> None:
    """A table by Spark without deletion vectors takes an append and a delete, its protocol as it was."""
    before = DeltaTable(path).protocol()
    head = tv.read_version(path)
    tv.append(path, head.slice(0, 1))
    tv.delete(path, where="true")
    assert tv.read_version(path).num_rows == 0
    assert DeltaTable(path).protocol() == before
    number = tv.resolve_version(path, "latest").number
    assert multiset(tv.read_version(path, number - 2).to_pylist(), columns_of(head)) == multiset(
        head.to_pylist(), columns_of(head)
    )
