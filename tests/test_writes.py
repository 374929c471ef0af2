"""Writes at their edges: what other tools may have left in a table, and what must never be written."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

import tablever as tv
from benchmarks.data import reviews
from tablever import errors
from tablever.authorship import default_author
from tablever.datafiles import Staging, write_rows
from tablever.storage import LocalStorage
from tests.sealing import rewrite


def entries(table: Path, version: int) -> list[dict[str, Any]]:
    """The actions of one log entry."""
    text = (table / "_delta_log" / f"{version:020}.json").read_text()
    return [json.loads(line) for line in text.splitlines()]


def changes(table: Path, version: int) -> list[tuple[Any, ...]]:
    """A version's change rows, sorted."""
    found = tv.query(
        f"SELECT * EXCLUDE (_commit_version, _commit_timestamp) FROM table_changes('t', {version}, {version})",
        tables={"t": table},
    )
    return sorted(map(tuple, (row.values() for row in found.to_pylist())), key=repr)


def test_a_table_keeps_a_column_that_it_is_not_partitioned_by(tmp_path: Path) -> None:
    """A new schema may not leave the partition columns alone: no file could hold such rows."""
    tv.create_table(tmp_path / "t", [{"p": "a", "x": 1}], partition_by="p")
    with pytest.raises(errors.InvalidInputError, match="partition"):
        tv.overwrite(tmp_path / "t", [{"p": "a"}, {"p": "b"}], replace_schema=True)
    assert tv.read_version(tmp_path / "t").num_rows == 1


def test_every_row_is_written_or_none(tmp_path: Path) -> None:
    """Rows that no file would hold are an error of the program, never a shorter table."""
    table = tv.create_table(tmp_path / "t", [{"p": "a", "x": 1}], partition_by="p")
    metadata = table.log.head().metadata
    with pytest.raises(AssertionError):
        write_rows(Staging(LocalStorage(tmp_path / "t")), metadata, pa.table({"p": ["a", "b"]}))


def test_keys_are_found_where_decimal_bounds_were_rounded(tmp_path: Path) -> None:
    """A bound that another writer passed through a double hides no key."""
    keys = [Decimal("12345678901234567.89"), Decimal("99999999999999999.97")]
    rows = pa.table({"k": pa.array(keys, pa.decimal128(20, 2)), "v": [1, 2]})
    write_deltalake(tmp_path / "t", rows)
    tv.set_key(tmp_path / "t", "k")
    for key in keys:
        with pytest.raises(errors.DuplicateKeyError):
            tv.append(tmp_path / "t", pa.table({"k": pa.array([key], pa.decimal128(20, 2)), "v": [3]}))
    assert tv.upsert(tmp_path / "t", rows) is None


def test_bounds_stay_exact_when_rows_are_deleted(tmp_path: Path) -> None:
    """Deleting rows carries every digit of a file's statistics over, and says that they are wide."""
    tv.create_table(tmp_path / "t", pa.table({"k": [1, 2]}))
    log = tmp_path / "t" / "_delta_log" / f"{0:020}.json"
    exact = "12345678901234568.89"
    rewrite(log, log.read_text().replace('\\"maxValues\\":{\\"k\\":2}', f'\\"maxValues\\":{{\\"k\\":{exact}}}'))
    tv.delete(tmp_path / "t", where="k + 0 = 1")
    (stats,) = [action["add"]["stats"] for action in entries(tmp_path / "t", 1) if "add" in action]
    assert f'"k":{exact}' in stats
    assert '"tightBounds":false' in stats


@pytest.mark.parametrize("deletes", ["merge-on-read", "copy-on-write"])
def test_a_key_that_another_tool_doubled_is_mended(tmp_path: Path, deletes: Any) -> None:
    """An upsert or overwrite of a key that a table holds twice leaves one row of it, and the counts say so."""
    table = tmp_path / "t"
    tv.create_table(table, [{"id": 1, "v": 1}, {"id": 2, "v": 2}], key="id", deletes=deletes)
    write_deltalake(table, pa.table({"id": [1], "v": [9]}), mode="append")
    version = tv.upsert(table, [{"id": 1, "v": 3}])
    assert version is not None
    assert version.rows == 2
    assert sorted(row["v"] for row in tv.read_version(table).to_pylist()) == [2, 3]
    write_deltalake(table, pa.table({"id": [1], "v": [9]}), mode="append")
    version = tv.overwrite(table, [{"id": 1, "v": 4}])
    assert version is not None
    assert version.rows == 1
    assert tv.read_version(table).to_pylist() == [{"id": 1, "v": 4}]
    version = tv.restore(table, 1)
    assert version is not None
    assert version.rows == tv.read_version(table).num_rows == 3


def test_no_vectors_under_a_protocol_without_them(tmp_path: Path) -> None:
    """A property that the protocol does not back writes no vector, which other readers would not see."""
    table = tmp_path / "t"
    write_deltalake(table, pa.table({"a": range(10)}))
    log = table / "_delta_log" / f"{0:020}.json"
    log.write_text(
        log.read_text().replace('"configuration":{}', '"configuration":{"delta.enableDeletionVectors":"true"}')
    )
    assert tv.open_table(table).log.head().metadata.flag("delta.enableDeletionVectors")
    tv.delete(table, where="a < 3")
    assert not any("deletionVector" in action.get("add", {}) for action in entries(table, 1))
    assert pl.read_delta(str(table)).height == 7


def test_a_batch_of_creation_is_known_by_its_rows(tmp_path: Path) -> None:
    """A batch id given at creation does not swallow other rows later."""
    tv.create_table(tmp_path / "t", [{"id": 1}], batch_id="x")
    with pytest.raises(errors.InvalidInputError, match="other content"):
        tv.append(tmp_path / "t", [{"id": 77}], batch_id="x")


def test_an_append_only_table_loses_no_file(tmp_path: Path) -> None:
    """delta.appendOnly refuses every write that takes files out, also one that brings their rows back."""
    write_deltalake(tmp_path / "t", pa.table({"a": [1, 2]}), configuration={"delta.appendOnly": "true"})
    with pytest.raises(errors.ConstraintError, match="append-only"):
        tv.overwrite(tmp_path / "t", pa.table({"a": [1, 2, 3]}))
    version = tv.append(tmp_path / "t", pa.table({"a": [3]}))
    assert version is not None


def test_rows_that_a_rewrite_carries_over_are_no_change(tmp_path: Path) -> None:
    """Without a change feed, a rewritten file's change rows are those that differ."""
    table = tmp_path / "t"
    write_deltalake(table, pa.table({"a": [1, 2, 3, 4, 5]}))
    DeltaTable(table).delete("a = 1")
    assert changes(table, 1) == [(1, "delete")]
    tv.delete(table, where="a = 2")
    assert changes(table, 2) == [(2, "delete")]


def test_a_restore_that_moves_no_row_shows_none(tmp_path: Path) -> None:
    """Where a restore brings back only rules, no file is swapped and no change row is shown."""
    table = tmp_path / "t"
    tv.create_table(table, [{"a": 1}, {"a": 2}])
    tv.delete(table, where="a = 1")
    tv.append(table, [{"a": 1}])
    tv.add_constraint(table, "positive", "a > 0")
    version = tv.restore(table, 0)
    assert version is not None
    assert (version.rows_added, version.rows_removed) == (0, 0)
    assert changes(table, version.number) == []
    assert not tv.open_table(table).constraints


def test_restored_files_keep_their_place(tmp_path: Path) -> None:
    """A file of another tool that says it was made in 1970 comes back to its place in the row order."""
    table = tmp_path / "t"
    tv.create_table(table, [{"a": 1}])
    log = table / "_delta_log" / f"{0:020}.json"
    actions = entries(table, 0)
    for action in actions:
        if "add" in action:
            action["add"]["modificationTime"] = 0
    log.write_text("\n".join(map(json.dumps, actions)) + "\n")
    tv.append(table, [{"a": 2}])
    tv.delete(table, where="a = 1")
    tv.restore(table, 1)
    assert tv.read_version(table).column("a").to_pylist() == [1, 2]


@pytest.mark.parametrize("value", ["", "a\0b", "__HIVE_DEFAULT_PARTITION__"])
def test_partition_values_that_readers_mistake_are_refused(tmp_path: Path, value: str) -> None:
    """A partition value that some reader takes for null, or that no folder can be called, is refused."""
    tv.create_table(tmp_path / "t", [{"p": "a", "x": 1}], partition_by="p")
    with pytest.raises(errors.InvalidInputError, match="partition column 'p'"):
        tv.append(tmp_path / "t", [{"p": value, "x": 2}])


def test_a_damaged_key_property_is_corruption(tmp_path: Path) -> None:
    """A tablever.key that is no list of names is named, not guessed."""
    write_deltalake(tmp_path / "t", pa.table({"a": [1]}))
    dt = DeltaTable(tmp_path / "t")
    dt.alter.set_table_properties({"tablever.key": "a"}, raise_if_not_exists=False)
    with pytest.raises(errors.CorruptionError, match=r"tablever\.key"):
        tv.upsert(tmp_path / "t", pa.table({"a": [1]}))


def test_a_mistyped_keyword_is_refused(tmp_path: Path) -> None:
    """A keyword that a write does not know is an error, as everywhere in Python."""
    tv.create_table(tmp_path / "t", [{"a": 1}])
    with pytest.raises(TypeError, match="mesage"):
        tv.append(tmp_path / "t", [{"a": 2}], mesage="typo")  # type: ignore[call-arg]
    assert len(tv.list_versions(tmp_path / "t")) == 1


def test_a_head_that_is_not_there_yet_is_a_conflict(tmp_path: Path) -> None:
    """if_version past the head is a head that is not where the caller believes it."""
    tv.create_table(tmp_path / "t", [{"a": 1}])
    with pytest.raises(errors.ConflictError):
        tv.append(tmp_path / "t", [{"a": 2}], if_version=99)


def test_reverting_without_a_key_takes_the_right_rows(tmp_path: Path) -> None:
    """Reverting an append takes out rows equal to its own, however null, nested or doubled they are."""
    table = tmp_path / "t"
    rows = [{"a": 1, "f": None, "l": [1.0]}, {"a": 2, "f": float("nan"), "l": None}, {"a": 2, "f": 0.5, "l": []}]
    tv.create_table(
        table,
        pa.Table.from_pylist(
            rows, schema=pa.schema([("a", pa.int64()), ("f", pa.float64()), ("l", pa.list_(pa.float64()))])
        ),
    )
    tv.append(table, tv.read_version(table, 0))
    version = tv.revert(table, 1)
    assert version is not None
    assert (version.rows, version.rows_removed) == (3, 3)
    tv.delete(table, where="a = 2")
    with pytest.raises(errors.ConflictError):
        tv.revert(table, 1)


@pytest.mark.usefixtures("_author_asked_anew")
@pytest.mark.parametrize("git", ["absent", "without a name"])
def test_the_author_is_the_systems_user_where_git_knows_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, git: str
) -> None:
    """Without git, or without a name in its settings, a commit is the system user's; without one, "unknown"'s."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    if git == "absent":
        monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("LOGNAME", "ada")
    assert tv.create_table(tmp_path / "t", [{"id": 1}]).version(0).author == "ada"
    default_author.cache_clear()
    monkeypatch.setattr("getpass.getuser", _nobody)
    assert tv.append(tmp_path / "t", [{"id": 2}]).author == "unknown"  # type: ignore[union-attr]


def _nobody() -> str:
    raise KeyError("getpwuid(): uid not found: 1000")


@pytest.fixture
def _author_asked_anew() -> Iterator[None]:
    """The author of commits is looked up again, and again by the next test."""
    default_author.cache_clear()
    yield
    default_author.cache_clear()


# Files


def test_files_are_hardly_larger_than_those_of_polars(tmp_path: Path) -> None:
    """A table takes at most a twelfth more than the file that Polars makes of its rows with zstd: what pages small
    enough to be fetched one by one cost. Whole numbers and text that repeat themselves have dictionaries.
    """
    rows = reviews(60_000)
    tv.create_table(tmp_path / "t", rows)
    pl.DataFrame(rows).write_parquet(tmp_path / "polars.parquet", compression="zstd")
    (part,) = (tmp_path / "t").glob("*.parquet")
    assert part.stat().st_size <= 13 / 12 * (tmp_path / "polars.parquet").stat().st_size
    group = pq.ParquetFile(part).metadata.row_group(0)
    columns = {column.path_in_schema: column.encodings for column in map(group.column, range(group.num_columns))}
    assert {name for name, encodings in columns.items() if "RLE_DICTIONARY" in encodings} == {
        "source",
        "label",
        "votes",
    }
