"""Tables that Delta on Spark made: a few in ``tests/data/golden``, and the full set where it lies beside the clone."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

import tablever as tv
from tablever import errors
from tests import reading
from tests.model import Column, multiset

HERE = Path(__file__).parent / "data" / "golden"
FULL = Path(__file__).parents[2] / "shared" / "golden"
CASES = {HERE: HERE / "delta_cdf.jsonl", FULL: FULL.parent / "cases" / "delta_cdf.jsonl"}
REFUSED: dict[str, tuple[type[errors.TableverError], ...]] = {
    "no-delta-log-folder": (errors.TableNotFoundError,),
    "deltalog-invalid-protocol-version": (errors.UnsupportedFeatureError,),
    "deltalog-state-reconstruction-without-protocol": (errors.CorruptionError,),
    "deltalog-state-reconstruction-from-checkpoint-missing-protocol": (errors.CorruptionError,),
    "versions-not-contiguous": (errors.CorruptionError,),
    "deltalog-commit-info": (errors.CorruptionError,),
    # The files that these logs name were never part of the suite.
    "log-replay-special-characters-b": (errors.VersionVacuumedError,),
    "canonicalized-paths-normal-b": (errors.UnsupportedFeatureError,),
    "canonicalized-paths-special-b": (errors.UnsupportedFeatureError,),
}
# QueryBuilder reads these wrong or not at all: instants of year 9999 in INT96 wrap, mapped columns come empty.
QUERY_BUILDER_FAILS = {"kernel-timestamp-int96", "data-reader-primitives", "parquet-all-types"}


def tables() -> Iterator[Any]:
    """Every table, the full set preferred."""
    root = FULL if FULL.is_dir() else HERE
    for folder in sorted([*(root / "dat").iterdir(), *(root / "delta").iterdir()]):
        yield pytest.param(folder, id=folder.name)


def expectations() -> Iterator[Any]:
    """Every (table, version) whose rows are known."""
    for parameter in tables():
        folder = parameter.values[0]
        if folder.parent.name == "delta" and (folder / "expected").is_dir():
            yield pytest.param(folder, "latest", folder / "expected", id=folder.name)
        for version in sorted((folder / "expected").glob("*/table_content")):
            name = version.parent.name
            yield pytest.param(folder, name.removeprefix("v"), version, id=f"{folder.name}-{name}")


def cases() -> Iterator[Any]:
    """The change rows that are known."""
    root = FULL if FULL.is_dir() and CASES[FULL].is_file() else HERE
    for line in CASES[root].read_text().splitlines():
        case = json.loads(line)
        folder = root / "cdf" / Path(case["table"]).name
        if folder.is_dir():
            yield pytest.param(folder, case, id=folder.name)


@pytest.fixture
def table(folder: Path, tmp_path: Path) -> Path:
    """A copy that may be written to: the suite itself stays as it is."""
    copy = tmp_path / folder.name
    source = folder / "delta" if (folder / "delta").is_dir() else folder
    shutil.copytree(source, copy)
    for place, _, files in os.walk(copy):
        for name in (".", *files):
            (Path(place) / name).chmod(0o755)
    return copy


def expected_rows(folder: Path) -> pa.Table:
    """The rows of Parquet files, INT96 as microseconds."""
    files = [pq.ParquetFile(file, coerce_int96_timestamp_unit="us") for file in sorted(folder.glob("*.parquet"))]
    return pa.concat_tables([file.read() for file in files], promote_options="permissive")


def columns_of(found: pa.Table) -> list[Column]:
    return [Column(field.name, field.type) for field in found.schema]


@pytest.mark.parametrize(("folder", "ref", "expected"), list(expectations()))
@pytest.mark.parametrize("reader", ["read_version", "scan_version", "sql", "iter_batches"])
def test_rows_are_those_that_spark_reads(table: Path, ref: str, expected: Path, reader: str) -> None:
    """A version of a table by Delta on Spark holds the rows that its suite says, whichever way it is read."""
    wanted = expected_rows(expected)
    number = tv.resolve_version(table, ref).number
    found = reading.OURS[reader](table, number)
    columns = columns_of(tv.read_version(table, number))
    assert sorted(found.column_names) == sorted(wanted.column_names)
    assert multiset(found.to_pylist(), columns) == multiset(wanted.to_pylist(), columns)


@pytest.mark.parametrize("folder", [p for p in tables() if p.values[0].name not in REFUSED])
def test_every_version_reads_the_same_in_every_way(table: Path) -> None:
    """Every version in a foreign log reads, the same through each of our ways, and as deltalake reads it."""
    for version in tv.list_versions(table):
        try:
            found = tv.read_version(table, version.number)
        except errors.VersionVacuumedError as error:
            gone = table / unquote(error.file)
            assert not gone.exists()
            continue
        columns, rows = columns_of(found), found.to_pylist()
        for name, reader in reading.OURS.items():
            reading.assert_rows(reader(table, version.number), columns, rows, f"{version.number} through {name}")
        if table.name not in QUERY_BUILDER_FAILS:
            try:
                foreign = reading.query_builder(table, version.number)
            except Exception as error:  # noqa: BLE001 - what another library cannot read says nothing of ours
                print(f"{table.name}@{version.number}: {type(error).__name__}")
                continue
            reading.assert_rows(foreign, columns, rows, f"{version.number} through QueryBuilder")


@pytest.mark.parametrize("folder", [p for p in tables() if p.values[0].name in REFUSED])
@pytest.mark.parametrize("reader", ["read_version", "scan_version", "sql"])
def test_what_cannot_be_read_is_refused(table: Path, reader: str) -> None:
    """A malformed table, or one that asks for more than we have, is refused: no rows, no traceback of a library."""
    with pytest.raises(REFUSED[table.name]) as caught:
        reading.OURS[reader](table, tv.resolve_version(table, "latest").number)
    assert str(caught.value)
    if caught.type is errors.UnsupportedFeatureError:
        assert caught.value.feature


def text(value: Any) -> str | None:
    """A value as the suite writes it."""
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, date | datetime) else str(value)


@pytest.mark.parametrize(("folder", "case"), list(cases()))
def test_change_rows_are_those_that_spark_gives(table: Path, case: dict[str, Any]) -> None:
    """``table_changes`` gives the change rows that Delta's own change feed gives."""
    end = case["end"] if case["end"] is not None else tv.resolve_version(table, "latest").number
    found = tv.query(f"SELECT * FROM table_changes('t', {case['start']}, {end})", tables={"t": table})
    assert {"_change_type", "_commit_version", "_commit_timestamp"} <= set(found.column_names)
    rows = Counter(tuple(text(row[name]) for name in case["columns"]) for row in found.to_pylist())
    assert rows == Counter(map(tuple, case["rows"]))


@pytest.mark.skipif(not FULL.is_dir(), reason="the full set of golden tables is not beside this clone")
def test_the_tables_kept_here_are_the_originals() -> None:
    """The tables in ``tests/data/golden`` are byte for byte those of the full set."""
    for file in HERE.rglob("*"):
        if file.is_file() and file.parent != HERE:
            assert file.read_bytes() == (FULL / file.relative_to(HERE)).read_bytes()


@pytest.mark.parametrize(
    "folder", [p for p in tables() if p.values[0].name in ("basic_append", "basic_partitioned", "with_checkpoint")]
)
def test_a_spark_table_takes_our_commits(table: Path) -> None:
    """A table by Spark without deletion vectors takes an append and a delete, its protocol as it was."""
    before = DeltaTable(table).protocol()
    head = tv.read_version(table)
    tv.append(table, head.slice(0, 1))
    tv.delete(table, where="true")
    assert tv.read_version(table).num_rows == 0
    assert DeltaTable(table).protocol() == before
    number = tv.resolve_version(table, "latest").number
    assert multiset(tv.read_version(table, number - 2).to_pylist(), columns_of(head)) == multiset(
        head.to_pylist(), columns_of(head)
    )
