"""Bad input: the right error, in words that say what was asked and what there is, and a table that is as it was."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tablever as tv
from tablever import errors
from tablever.read import _exact_batches
from tests import reading

Call = Callable[[Path], object]


def row(**values: Any) -> dict[str, Any]:
    """One row of the table below."""
    return {"id": 9, "label": "x", "score": 0.5, "day": None, **values}


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    """A keyed table with three versions, ids 1 to 4."""
    path = tmp_path / "orders"
    schema = pa.schema(
        [
            pa.field("id", pa.int32()),
            ("label", pa.string()),
            ("score", pa.float64()),
            ("day", pa.timestamp("us", "UTC")),
        ]
    )
    rows = [row(id=1, label="a"), row(id=2, label="b"), row(id=3, label=None)]
    tv.create_table(path, pa.Table.from_pylist(rows, schema=schema), key="id")
    tv.append(path, [row(id=4)])
    tv.delete(path, where="id = 2")
    return path


def frame(**columns: Any) -> pa.Table:
    return pa.table(columns)


NOT_THERE: dict[str, tuple[Call, type[errors.TableverError], list[str]]] = {
    "no table there": (lambda t: tv.read_version(t / "gone"), errors.TableNotFoundError, ["gone"]),
    "no table to append to": (lambda t: tv.append(t.parent / "no", [row()]), errors.TableNotFoundError, ["no"]),
    "no such version": (lambda t: tv.read_version(t, 42), errors.VersionNotFoundError, ["42", "orders", "0 to 2"]),
    "before the first": (lambda t: tv.read_version(t, -4), errors.VersionNotFoundError, ["orders", "0 to 2"]),
    "latest~n too far": (lambda t: tv.scan_version(t, "latest~9"), errors.VersionNotFoundError, ["latest~9", "orders"]),
    "a huge number": (lambda t: tv.iter_batches(t, 2**63), errors.TableverError, []),
    "a time before the first": (
        lambda t: tv.read_version(t, datetime(1999, 1, 1, tzinfo=UTC)),
        errors.VersionNotFoundError,
        ["1999", "orders"],
    ),
    "an unknown tag": (lambda t: tv.read_version(t, "v2.0"), errors.TableverError, ["v2.0"]),
    "SQL of an unknown version": (
        lambda t: tv.query("SELECT * FROM orders AT (VERSION => 42)", root=t.parent),
        errors.VersionNotFoundError,
        ["42", "orders"],
    ),
    "restore an unknown version": (lambda t: tv.restore(t, 42), errors.VersionNotFoundError, ["42"]),
    "revert an unknown version": (lambda t: tv.revert(t, 42), errors.VersionNotFoundError, ["42"]),
}
BAD_REFS: dict[str, Any] = {
    "nothing": "",
    "a bool": True,
    "a float": 1.5,
    "None": None,
    "no number after latest": "latest~x",
    "spaces": "a b",
    "a date alone": "2026-11-01",
    "a time without a zone": "2026-11-01 12:00:00",
    "a naive datetime": datetime(2026, 11, 1),  # noqa: DTZ001 - that is the fault
    "a short hash": "sha:3fa",
    "a hash that is none": "sha:zzzzzz",
    "a list": [1],
}
BAD_SQL: dict[str, tuple[str, list[str]]] = {
    "syntax": ("SELEC 1", ["SELEC"]),
    "unknown table": ("SELECT * FROM order_lines", ["order_lines"]),
    "unknown column": ("SELECT nope FROM orders", ["nope"]),
    "an insert": ("INSERT INTO orders VALUES (7, 'x', 1.0, NULL)", []),
    "an update": ("UPDATE orders SET label = 'y'", []),
    "a delete": ("DELETE FROM orders", []),
    "a drop": ("DROP TABLE orders", []),
    "a bad version": ("SELECT * FROM orders AT (VERSION => 'a b')", ["a b"]),
    "two conditions": ("SELECT * FROM orders AT (COLOUR => 1)", []),
}
REFUSED: dict[str, tuple[Call, type[errors.TableverError], list[str]]] = {
    "a column that is not there": (
        lambda t: tv.read_version(t, columns=["lable"]),
        errors.SchemaMismatchError,
        ["lable", "label"],
    ),
    "a predicate on a column that is not there": (
        lambda t: tv.read_version(t, where="lable = 'x'"),
        errors.QueryError,
        ["lable"],
    ),
    "a predicate that is no SQL": (lambda t: tv.delete(t, where="id ="), errors.QueryError, []),
    "a predicate that is no condition": (lambda t: tv.delete(t, where="label"), errors.InvalidInputError, []),
    "two statements for a predicate": (
        lambda t: tv.delete(t, where="true); DROP TABLE x; --"),
        errors.QueryError,
        [],
    ),
    "an unknown column in new rows": (
        lambda t: tv.append(t, [row(colour="red")]),
        errors.SchemaMismatchError,
        ["colour"],
    ),
    "an unknown column to set": (
        lambda t: tv.update(t, {"colour": "'red'"}, where="true"),
        errors.InvalidInputError,
        ["colour"],
    ),
    "nothing to set": (lambda t: tv.update(t, {}, where="true"), errors.InvalidInputError, []),
    "text for a number": (
        lambda t: tv.append(t, frame(id=["5"], label=["x"], score=[1.0], day=[None])),
        errors.SchemaMismatchError,
        ["id", "string", "int"],
    ),
    "a fraction for a number": (
        lambda t: tv.append(t, [row(id=5.5)]),
        errors.SchemaMismatchError,
        ["id"],
    ),
    "a number too large": (
        lambda t: tv.append(t, frame(id=[2**31], label=["x"], score=[1.0], day=[None])),
        errors.SchemaMismatchError,
        ["id"],
    ),
    "an integer that a float cannot hold": (
        lambda t: tv.append(t, frame(id=[5], label=["x"], score=[2**53 + 1], day=[None])),
        errors.SchemaMismatchError,
        ["score"],
    ),
    "nanoseconds": (
        lambda t: tv.append(t, frame(id=[5], label=["x"], score=[1.0], day=pa.array([1], pa.timestamp("ns", "UTC")))),
        errors.SchemaMismatchError,
        ["day"],
    ),
    "an instant without a zone": (
        lambda t: tv.append(t, frame(id=[5], label=["x"], score=[1.0], day=pa.array([1], pa.timestamp("us")))),
        errors.SchemaMismatchError,
        ["day"],
    ),
    "a list for a text": (
        lambda t: tv.upsert(t, frame(id=[5], label=[["x"]], score=[1.0], day=[None])),
        errors.SchemaMismatchError,
        ["label"],
    ),
    "an expression of another type": (
        lambda t: tv.update(t, {"score": "label"}, where="id = 1"),
        errors.InvalidInputError,
        ["score"],
    ),
    "an expression that fails": (
        lambda t: tv.update(t, {"label": "error('no')"}, where="id = 1"),
        errors.InvalidInputError,
        ["no"],
    ),
    "a null key": (lambda t: tv.append(t, [row(id=None)]), errors.InvalidKeyError, ["id"]),
    "a null key upserted": (lambda t: tv.upsert(t, [row(id=None)]), errors.InvalidKeyError, ["id"]),
    "a key that is there": (lambda t: tv.append(t, [row(id=1)]), errors.DuplicateKeyError, ["1"]),
    "a key twice": (lambda t: tv.upsert(t, [row(id=7), row(id=7)]), errors.DuplicateKeyError, ["7"]),
    "many keys twice": (
        lambda t: tv.overwrite(t, [row(id=n % 9) for n in range(18)]),
        errors.DuplicateKeyError,
        ["9"],
    ),
    "an update that makes keys meet": (
        lambda t: tv.update(t, {"id": "1"}, where="true"),
        errors.DuplicateKeyError,
        ["1"],
    ),
    "an update that loses a key": (
        lambda t: tv.update(t, {"id": "NULL"}, where="id = 1"),
        errors.InvalidKeyError,
        ["id"],
    ),
    "keys without the key's column": (
        lambda t: tv.delete(t, keys=frame(label=["x"])),
        errors.InvalidInputError,
        ["id"],
    ),
    "keys of another type": (lambda t: tv.delete(t, keys=frame(id=["1"])), errors.InvalidInputError, ["id"]),
    "a delete that says nothing": (tv.delete, errors.InvalidInputError, ["where", "keys"]),
    "a delete that says both": (
        lambda t: tv.delete(t, where="true", keys=frame(id=[1])),
        errors.InvalidInputError,
        ["where", "keys"],
    ),
    "a key column that is not there": (lambda t: tv.set_key(t, "nope"), errors.InvalidKeyError, ["nope"]),
    "a key of floats": (lambda t: tv.set_key(t, "score"), errors.InvalidKeyError, ["score"]),
    "a key with nulls": (lambda t: tv.set_key(t, "label"), errors.InvalidKeyError, ["label"]),
    "an empty frame": (lambda t: tv.append(t, pl.DataFrame()), errors.InvalidInputError, ["column"]),
    "zero columns": (lambda t: tv.overwrite(t, frame(), replace_schema=True), errors.InvalidInputError, ["column"]),
    "no rows at all": (lambda t: tv.append(t, 42), errors.InvalidInputError, ["int"]),
    "rows that are no dicts": (lambda t: tv.append(t, [1, 2]), errors.InvalidInputError, []),
    "names equal but for case": (
        lambda t: tv.append(t, frame(id=[5], label=["x"], score=[1.0], day=[None], Label=["y"]), evolve=True),
        errors.SchemaMismatchError,
        ["Label", "label"],
    ),
    "a reserved name": (
        lambda t: tv.append(t, [row(_change_type="insert")], evolve=True),
        errors.InvalidInputError,
        ["_change_type"],
    ),
    "a name twice": (
        lambda t: tv.append(t, pa.Table.from_arrays([pa.array([1])] * 2, names=["id", "id"])),
        errors.SchemaMismatchError,
        ["id"],
    ),
    "a column left out of an overwrite": (
        lambda t: tv.overwrite(t, frame(id=[1], label=["x"])),
        errors.SchemaMismatchError,
        ["score"],
    ),
    "a column retyped in place": (
        lambda t: tv.overwrite(t, frame(id=["1"], label=["x"], score=[1.0], day=[None]), evolve=True),
        errors.SchemaMismatchError,
        ["id"],
    ),
    "a type that Delta does not have": (
        lambda t: tv.overwrite(t, frame(id=[1], f=pa.array([1], pa.time64("us"))), replace_schema=True),
        errors.SchemaMismatchError,
        ["f", "time64"],
    ),
    "a replaced schema without the key": (
        lambda t: tv.overwrite(t, frame(other=[1]), replace_schema=True),
        errors.InvalidInputError,
        ["id"],
    ),
    "metadata that is not JSON": (
        lambda t: tv.append(t, [row()], metadata={"when": datetime.now(UTC)}),
        errors.InvalidInputError,
        ["metadata"],
    ),
    "metadata that is not Unicode": (
        lambda t: tv.append(t, [row()], metadata={"source": "\udc80"}),
        errors.InvalidInputError,
        ["metadata"],
    ),
    "a message that is not Unicode": (
        lambda t: tv.append(t, [row()], message="caf\udce9"),
        errors.InvalidInputError,
        ["message"],
    ),
    "a head that has moved": (lambda t: tv.append(t, [row()], if_version=1), errors.ConflictError, ["1", "2"]),
    "a revert that no longer applies": (lambda t: tv.revert(t, 0), errors.ConflictError, []),
    "a constraint that rows break": (
        lambda t: tv.add_constraint(t, "low", "score < 0.1"),
        errors.ConstraintError,
        ["low"],
    ),
    "NOT NULL where there are nulls": (
        lambda t: tv.set_not_null(t, ["label"]),
        errors.ConstraintError,
        ["label"],
    ),
    "a table that is there": (
        lambda t: tv.create_table(t, [row()]),
        errors.AlreadyExistsError,
        ["orders"],
    ),
    "a batch size of nothing": (lambda t: tv.iter_batches(t, batch_size=0), errors.InvalidInputError, ["batch_size"]),
}


def refused(table: Path, call: Call, kind: type[errors.TableverError], words: list[str]) -> errors.TableverError:
    """The call raises that error, saying those words, and leaves the table byte for byte."""
    before, head = reading.contents(table), tv.list_versions(table)
    with pytest.raises(kind) as caught:
        call(table)
    missing = [word for word in words if word not in str(caught.value)]
    assert not missing, f"{caught.value!s} does not say {missing}"
    assert caught.value.code
    assert reading.contents(table) == before
    assert tv.list_versions(table) == head
    return caught.value


@pytest.mark.parametrize("name", NOT_THERE)
def test_what_is_not_there(orders: Path, name: str) -> None:
    """Asking for a table or version that is not there names it, and what there is; it is a LookupError."""
    assert isinstance(refused(orders, *NOT_THERE[name]), errors.TableverError)


@pytest.mark.parametrize("name", BAD_REFS)
def test_bad_refs(orders: Path, name: str) -> None:
    """What names no version is refused as such, with a hint, by every verb that takes a ref."""
    calls: list[Call] = [
        lambda t: tv.read_version(t, BAD_REFS[name]),
        lambda t: tv.resolve_version(t, BAD_REFS[name]),
        lambda t: tv.restore(t, BAD_REFS[name]),
    ]
    for call in calls:
        assert refused(orders, call, errors.RefError, []).hint


@pytest.mark.parametrize("name", BAD_SQL)
def test_bad_sql(orders: Path, name: str) -> None:
    """SQL that DuckDB refuses, or that would write to a versioned table, is a QueryError or names the bad ref."""
    statement, words = BAD_SQL[name]
    kind = errors.RefError if name == "a bad version" else errors.QueryError
    refused(orders, lambda t: tv.query(statement, root=t.parent), kind, words)


@pytest.mark.parametrize("name", REFUSED)
def test_refused_input(orders: Path, name: str) -> None:
    """Input that cannot be taken without loss or doubt is refused before anything is written."""
    refused(orders, *REFUSED[name])


@pytest.mark.parametrize(
    ("given", "evolve", "said"),
    [
        (frame(id=[1], label=["x"], day=pa.nulls(1, pa.timestamp("us", "UTC"))), False, "lack 'score'"),
        (frame(id=[1], label=["x"], day=pa.nulls(1, pa.timestamp("us", "UTC"))), True, "lack 'score'"),
        (frame(id=[1], label=["x"], value=[1.0]), False, "no column 'value'"),
        (frame(id=[1], label=["x"], scores=[1.0]), False, "no column 'scores'"),
        (frame(id=[1], label=["x"], scores=[1.0]), True, "lack 'score'"),
    ],
    ids=["dropped", "dropped beside evolve", "renamed", "renamed nearly", "renamed beside evolve"],
)
def test_other_columns_are_refused_with_the_way_to_them(orders: Path, given: pa.Table, evolve: bool, said: str) -> None:
    """An overwrite that would drop or rename a column is refused; what its hint names does it."""
    error = refused(orders, lambda t: tv.overwrite(t, given, evolve=evolve), errors.SchemaMismatchError, [said])
    assert "drop and rename columns with overwrite(…, replace_schema=True)" in str(error.hint)
    assert tv.overwrite(orders, given, replace_schema=True) is not None
    assert tv.open_table(orders).schema.names == given.column_names


def test_rows_that_are_added_drop_no_column(orders: Path) -> None:
    """Only an overwrite is told how to drop a column: to rows that are added, it would cost all the others."""
    for verb in (tv.append, tv.upsert):
        error = refused(orders, lambda t, v=verb: v(t, frame(id=[9])), errors.SchemaMismatchError, ["score"])  # type: ignore[misc]
        assert "overwrite" not in str(error.hint)


def test_offending_keys_are_named_but_not_all(orders: Path) -> None:
    """A duplicate-key error carries up to five of the keys, however many there are."""
    tv.append(orders, [row(id=n) for n in range(10, 40)])
    error = refused(
        orders, lambda t: tv.append(t, [row(id=n) for n in range(10, 40)]), errors.DuplicateKeyError, ["10"]
    )
    assert len(error.keys) == 5
    assert "39" not in str(error)


@pytest.mark.parametrize(
    ("name", "given", "options"),
    [
        ("no columns", pa.table({}), {}),
        ("no columns, empty frame", pl.DataFrame(), {}),
        ("a list of nothing", [], {}),
        ("names equal but for case", pa.table({"a": [1], "A": [2]}), {}),
        ("an unknown key", pa.table({"a": [1]}), {"key": "b"}),
        ("a key with nulls", pa.table({"a": [1, None]}), {"key": "a"}),
        ("a key twice", pa.table({"a": [1, 1]}), {"key": "a"}),
        ("a key column twice", pa.table({"a": [1]}), {"key": ["a", "a"]}),
        ("a key of floats", pa.table({"a": [1.0]}), {"key": "a"}),
        ("an unknown partition", pa.table({"a": [1]}), {"partition_by": "b"}),
        ("nothing but partitions", pa.table({"a": [1]}), {"partition_by": "a"}),
        ("an empty text in a partition", pa.table({"a": [1], "p": [""]}), {"partition_by": "p"}),
        ("a partition of lists", pa.table({"a": [1], "p": [[1]]}), {"partition_by": "p"}),
        ("an unknown way to delete", pa.table({"a": [1]}), {"deletes": "vectors"}),
        ("a null column", pa.table({"a": pa.nulls(2)}), {}),
        ("a reserved name", pa.table({"_commit_version": [1]}), {}),
        ("an empty name", pa.table({"": [1]}), {}),
        ("a decimal too wide", pa.table({"a": pa.array([Decimal("1" * 40)], pa.decimal256(40, 0))}), {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_table_that_cannot_be_made(tmp_path: Path, name: str, given: Any, options: dict[str, Any]) -> None:
    """A creation that is refused leaves no table and no files."""
    with pytest.raises(errors.InvalidInputError) as caught:
        tv.create_table(tmp_path / "new", given, **options)
    assert str(caught.value), name
    assert not list(tmp_path.rglob("*.*"))
    with pytest.raises(errors.TableNotFoundError):
        tv.open_table(tmp_path / "new")


def test_an_empty_frame_with_columns_is_no_change(orders: Path) -> None:
    """Rows that are none make no version, and are not an error."""
    nothing = tv.read_version(orders).slice(0, 0)
    assert tv.append(orders, nothing) is None
    assert tv.upsert(orders, nothing) is None
    assert tv.delete(orders, keys=nothing.select(["id"])) is None
    assert tv.append(orders, []) is None


def test_a_folder_that_is_no_table(tmp_path: Path) -> None:
    """A folder without a Delta log is named as such, and a table near it is suggested."""
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "rows.csv").write_text("a\n1\n")
    with pytest.raises(errors.TableNotFoundError, match="plain"):
        tv.open_table(tmp_path / "plain")
    tv.create_table(tmp_path / "data" / "orders", [{"a": 1}])
    with pytest.raises(errors.TableNotFoundError) as above:
        tv.open_table(tmp_path / "data")
    assert "orders" in f"{above.value} {above.value.hint}"
    with pytest.raises(errors.TableNotFoundError) as below:
        tv.open_table(tmp_path / "data" / "orders" / "_delta_log")
    assert below.value.hint


def test_a_key_where_there_is_none(tmp_path: Path) -> None:
    """What needs a key says that the table has none, and how to set one."""
    tv.create_table(tmp_path / "t", [{"a": 1}])
    for call in (lambda t: tv.upsert(t, [{"a": 1}]), lambda t: tv.delete(t, keys=[{"a": 1}])):
        error = refused(tmp_path / "t", call, errors.InvalidKeyError, ["key"])
        assert error.hint
        assert "set_key" in error.hint or "set-key" in error.hint


def damage(table: Path, how: str) -> None:
    """Hurt every data file."""
    for file in table.glob("*.parquet"):
        data = bytearray(file.read_bytes())
        file.unlink()
        if how == "truncated":
            file.write_bytes(data[: len(data) // 2])
        elif how == "footer flipped":
            data[-8 - int.from_bytes(data[-8:-4], "little")] ^= 0xFF  # its first byte: others may mean nothing
            file.write_bytes(data)


@pytest.mark.parametrize("reader", reading.OURS)
@pytest.mark.parametrize("how", ["truncated", "footer flipped", "gone"])
def test_damaged_data_is_never_silent(orders: Path, how: str, reader: str) -> None:
    """A data file that is cut, flipped or gone is an error that says so; the log stays readable."""
    damage(orders, how)
    kinds: tuple[type[BaseException], ...] = (errors.CorruptionError, errors.StorageError, errors.VersionVacuumedError)
    if reader == "scan_version":  # Polars opens the files, long after the call
        kinds = (pl.exceptions.PolarsError, OSError, *kinds)
    with pytest.raises(kinds):
        reading.OURS[reader](orders, 2)
    assert len(tv.list_versions(orders)) == 3


TOUCHES = {
    "read": tv.read_version,
    "read where": lambda t: tv.read_version(t, where="id >= 0"),
    "batches": lambda t: list(tv.iter_batches(t)),
    "scan": lambda t: tv.scan_version(t).collect(),
    "sql": lambda t: tv.query("FROM t", tables={"t": t}),
    "upsert": lambda t: tv.upsert(t, [row(id=1)]),
    "delete by key": lambda t: tv.delete(t, keys=[{"id": 1}]),
    "delete": lambda t: tv.delete(t, where="id = 1"),
    "update": lambda t: tv.update(t, {"label": "'z'"}, where="id = 1"),
    "overwrite": lambda t: tv.overwrite(t, [row(id=1)]),
}


@pytest.mark.parametrize("touch", TOUCHES.values(), ids=TOUCHES)
def test_files_of_other_rows_are_refused(orders: Path, touch: Call) -> None:
    """A data file with other rows than were committed is an error before a row is read or written by its place."""
    for file in orders.glob("*.parquet"):
        rows = pq.read_table(file)
        if rows.num_rows == 3:
            pq.write_table(rows.slice(1), file)
    with pytest.raises(errors.CorruptionError, match="bytes, the log says"):
        touch(orders)
    assert tv.resolve_version(orders, "latest").number == 2


def test_damage_under_a_condition_is_an_error_of_ours(tmp_path: Path) -> None:
    """Whatever byte of a data file flips, reading with a condition gives rows or an error of ours."""
    table = tmp_path / "t"
    tv.create_table(table, pa.table({"id": range(300), "text": [f"row {n}" * (n % 7) for n in range(300)]}))
    (file,) = table.glob("*.parquet")
    sound = file.read_bytes()
    refused = 0
    for place in range(4, len(sound), 7):
        data = bytearray(sound)
        data[place] ^= 0xFF
        file.unlink()  # a new file: an engine may hold on to the old one's pages
        file.write_bytes(data)
        try:
            tv.read_version(table, where="id >= 0")
        except errors.TableverError:
            refused += 1
    assert refused > 10


def test_batches_of_much_text_lose_no_row() -> None:
    """Rows whose text does not fit into one array come in several batches, and all of them come."""
    text = pa.array(["x" * (1 << 20)] * 16)
    batch = pa.record_batch({"text": text})
    found = [part.num_rows for part in _exact_batches([batch] * 140, 10**9)]
    assert sum(found) == 140 * 16
    assert len(found) > 1


@pytest.mark.xfail(reason="neither Polars nor DuckDB looks at page checksums when it reads")
def test_a_flipped_bit_in_a_page_is_never_silent(tmp_path: Path) -> None:
    """A bit that flips on the disk is an error, or changes nothing."""
    table = tmp_path / "t"
    chance = random.Random(7)  # what cannot be compressed lies in the page as it is
    tv.create_table(table, pa.table({"x": [chance.random() for _ in range(100)]}))
    before = tv.read_version(table)
    (file,) = table.glob("*.parquet")
    data = bytearray(file.read_bytes())
    data[300] ^= 0x10
    file.write_bytes(data)
    for reader in reading.OURS.values():
        try:
            found = reader(table, 0)
        except (errors.CorruptionError, pl.exceptions.PolarsError):
            continue
        assert found["x"].to_pylist() == before["x"].to_pylist()


@pytest.mark.parametrize("entry", [b"", b"{", b'{"add":1}\n', b"\xff\xfe", b'{"add":{"path":"x"}}\n', b"null\n"])
def test_a_damaged_log_is_never_silent(orders: Path, entry: bytes) -> None:
    """A log entry that is empty, cut or nonsense is corruption; the versions before it still read."""
    before = tv.read_version(orders, 1)
    (orders / "_delta_log" / f"{2:020}.json").write_bytes(entry)
    with pytest.raises(errors.CorruptionError):
        tv.read_version(orders)
    with pytest.raises(errors.CorruptionError):
        tv.append(orders, [row()])
    assert tv.read_version(orders, 1).equals(before)


FILES: dict[str, tuple[str, bytes, int, str]] = {
    "a broken row": ("rows.csv", b"id,label,score,day\n5,a,1.0,\n6,b\n", 5, "line 3"),
    "a row too long": ("rows.csv", b"id,label,score,day\n5,a,1.0,,x\n", 5, "line 2"),
    "a quote left open": ("rows.csv", b'id,label,score,day\n5,"a,1.0,\n', 5, "rows.csv"),
    "a word for a number": ("rows.csv", b"id,label,score,day\nfive,a,1.0,\n", 5, "five"),
    "bytes that are no text": ("rows.csv", b"id,label,score,day\n5,\xff\xfe,1.0,\n", 5, "rows.csv"),
    "nothing at all": ("rows.csv", b"", 5, "rows.csv"),
    "JSON cut off": ("rows.jsonl", b'{"id": 5, "label": "a"', 5, "line 1"),
    "no Parquet": ("rows.parquet", b"PAR1 this is not", 5, "rows.parquet"),
    "no Arrow": ("rows.arrow", b"ARROW1\0\0 nor this", 5, "rows.arrow"),
    "an unknown suffix": ("rows.xyz", b"id\n5\n", 5, "xyz"),
}


@pytest.mark.parametrize("verb", ["append", "upsert", "overwrite"])
@pytest.mark.parametrize("name", FILES)
def test_bad_files_through_the_shell(
    orders: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, verb: str
) -> None:
    """A file that cannot be read whole is refused whole: an exit code, one message, and the table as it was."""
    from tablever.cli.main import exit_code

    file, data, code, words = FILES[name]
    (tmp_path / file).write_bytes(data)
    before = reading.contents(orders)
    assert exit_code([verb, str(orders), str(tmp_path / file)]) == code
    said = capfd.readouterr().err
    assert words in said
    assert "Traceback" not in said
    assert reading.contents(orders) == before


@pytest.mark.parametrize("what", ["gone.csv", "no*.csv", "."])
def test_files_that_are_not_there_through_the_shell(
    orders: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], what: str
) -> None:
    """A file that is not there, a pattern that matches nothing, a folder: said, and nothing is done."""
    from tablever.cli.main import exit_code

    before = reading.contents(orders)
    assert exit_code(["append", str(orders), str(tmp_path / what)]) in (3, 5, 7)
    assert "error" in capfd.readouterr().err
    assert reading.contents(orders) == before


# The disk and the user


def child(code: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    """Run code in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
        **options,
    )


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB, where the test may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", place], check=True)


def random_rows(count: int) -> pa.Table:
    return pa.table({"id": range(1000, 1000 + count), "blob": [os.urandom(64) for _ in range(count)]})


def test_a_full_disk(small_disk: Path) -> None:
    """On a disk that is full a write is refused, the table reads as before, and a smaller write still works."""
    table = small_disk / "t"
    tv.create_table(table, pa.table({"id": [1], "blob": [b"x"]}), key="id")
    error = refused(table, lambda t: tv.append(t, random_rows(40_000)), errors.StorageError, ["No space left"])
    assert error.hint
    refused(table, lambda t: tv.upsert(t, random_rows(40_000)), errors.StorageError, ["No space left"])
    assert tv.read_version(table).num_rows == 1
    assert tv.append(table, random_rows(10)) is not None


@pytest.mark.parametrize("count", [131_000, 131_500, 140_000, 200_000])
def test_a_disk_that_fills_at_any_byte(small_disk: Path, count: int) -> None:
    """Wherever in a file the disk is full, also in what is written last, the write is refused and leaves nothing."""
    table = small_disk / "t"
    tv.create_table(table, pa.table({"a": [1]}))
    rows = pa.table({"a": [int.from_bytes(os.urandom(8), "big", signed=True) for _ in range(count)]})
    before = set(table.rglob("*"))
    with pytest.raises(errors.StorageError, match="No space left"):
        tv.append(table, rows)
    assert set(table.rglob("*")) == before
    assert tv.append(table, pa.table({"a": [2]})) is not None


def limit_file_size() -> None:
    """Files of this process may have 64 KiB; beyond it a write fails, as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, 65_536))


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """Where the system stops a file from growing, the write is refused and the table is as it was."""
    table = tmp_path / "t"
    tv.create_table(table, pa.table({"id": [1], "blob": [b"x"]}), key="id")
    before = reading.contents(table)
    code = """
        import os, sys, pyarrow as pa, tablever as tv
        rows = pa.table({"id": range(1000, 21000), "blob": [os.urandom(64) for _ in range(20_000)]})
        try:
            tv.append(sys.argv[1], rows)
        except tv.errors.StorageError as error:
            print("refused:", error)
    """
    out, err = child(code, str(table), preexec_fn=limit_file_size).communicate(timeout=120)
    assert out.startswith("refused:"), err
    assert reading.contents(table) == before


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="needs users")
def test_a_read_only_folder(tmp_path: Path) -> None:
    """Who may not write to the folder can read the table, and is told so when writing."""
    table = tmp_path / "t"
    tv.create_table(table, [{"id": 1}], key="id")
    tv.append(table, [{"id": 2}])
    for place in (table, *table.rglob("*")):
        place.chmod(0o555 if place.is_dir() else 0o444)
    ancestors = {
        place: place.stat().st_mode for place in (tmp_path, *tmp_path.parents) if place.owner() == tmp_path.owner()
    }
    for place, mode in ancestors.items():
        if not mode & 0o001:
            place.chmod(mode | 0o011)
    before = reading.contents(table)
    (tmp_path / "scratch").mkdir()
    code = """
        import os, sys, tablever as tv
        def work(path):
            print(tv.read_version(path).num_rows, tv.query("SELECT * FROM t", tables={"t": path}).num_rows)
            for write in (
                lambda: tv.append(path, [{"id": 3}]),
                lambda: tv.delete(path, where="id = 1"),
                lambda: tv.create_table(path + "/../new", [{"id": 3}]),
            ):
                try:
                    write()
                except tv.errors.StorageError as error:
                    print("refused:", error, "|", error.hint)
        scratch = sys.argv[2] + "/t"
        tv.create_table(scratch, [{"id": 1}, {"id": 2}], key="id")
        work(scratch)  # loads every module, which another user may not be able to
        if os.getuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        print("now read-only")
        work(sys.argv[1])
    """
    process = child(code, str(table), str(tmp_path / "scratch"))
    out, err = process.communicate(timeout=120)
    lines = out.partition("now read-only\n")[2].splitlines()
    assert lines[:1] == ["2 2"], f"{out}\n{err}"
    refusals = [line for line in lines if line.startswith("refused:")]
    assert len(refusals) == 3, f"{out}\n{err}"
    assert all("ermission" in line for line in refusals), out
    for place, mode in ancestors.items():
        if not mode & 0o001:
            place.chmod(mode)
    for place in (table, *table.rglob("*")):
        place.chmod(0o755)
    assert reading.contents(table) == before


def test_interrupted_load(tmp_path: Path) -> None:
    """Ctrl-C in the middle of a load leaves the table as it was, and nothing of the load behind."""
    table = tmp_path / "t"
    tv.create_table(table, pa.table({"id": [1], "text": ["x"]}), key="id")
    before = reading.contents(table)
    code = """
        import sys, time, pyarrow as pa, tablever as tv
        schema = pa.schema([("id", pa.int64()), ("text", pa.string())])
        def slow():
            for start in range(10, 10**9, 1000):
                yield pa.record_batch({"id": range(start, start + 1000), "text": ["y" * 50] * 1000}, schema=schema)
                if start > 50_000:
                    print("loading", flush=True)
                    time.sleep(0.05)
        try:
            tv.append(sys.argv[1], pa.RecordBatchReader.from_batches(schema, slow()))
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """
    process = child(code, str(table))
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "loading"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert "interrupted" in out, err
    assert reading.contents(table) == before
    assert tv.append(table, [{"id": 2, "text": "z"}]) is not None


@pytest.mark.parametrize("sql", [None, 3, b"select 1"])
def test_sql_is_text(sql: Any) -> None:
    """What is no text is no SQL, in words."""
    with pytest.raises(errors.QueryError, match="must be a text, not"):
        tv.query(sql)


def test_a_failed_creation_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that could not be created leaves nothing, nor the folders that were made for it."""

    def full(*_: object) -> bool:
        raise errors.StorageError("no space left")

    monkeypatch.setattr("tablever.storage.LocalStorage.put_if_absent", full)
    with pytest.raises(errors.StorageError):
        tv.create_table(tmp_path / "a" / "b" / "c", [{"id": 1}])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("write", "way_out"),
    [
        (lambda t: tv.append(t, [{"id": 1, "part": "p"}], metadata={"x": "y" * 30_000}), "metadata="),
        (lambda t: tv.append(t, [{"id": n, "part": f"p{n}"} for n in range(50)]), "in parts"),
        (lambda t: tv.link_run(t, 0, "run", params={"x": "y" * 30_000}), "a file of its own"),
        (lambda t: tv.create_table(t / "new", [{"id": 1}], metadata={"x": "y" * 30_000}), "metadata="),
    ],
    ids=["metadata", "files", "run", "create"],
)
def test_what_could_not_be_read_back_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Call, way_out: str
) -> None:
    """A log entry, tag, run or pin larger than any reader takes is refused, with what to do, and leaves nothing."""
    monkeypatch.setattr("tablever.storage.protocol.MOST_BYTES", 20_000)
    table = tmp_path / "t"
    tv.create_table(table, pa.schema([("id", pa.int64()), ("part", pa.string())]), partition_by="part")
    before = reading.contents(table)
    with pytest.raises(errors.InvalidInputError, match="more than is read back") as caught:
        write(table)
    assert way_out in str(caught.value.hint)
    assert caught.value.bytes > 20_000
    assert reading.contents(table) == before
    assert tv.append(table, [{"id": 1, "part": "p"}]) is not None
    assert tv.read_version(tv.open_table(table))["id"].to_pylist() == [1]


HALF = "\ud800"  # of a surrogate pair: a str of Python's may hold it, UTF-8 cannot


@pytest.mark.parametrize(
    "call",
    [
        lambda t: tv.update(t, {"c": f"'{HALF}'"}, where="true"),
        lambda t: tv.update(t, {HALF: "1"}, where="true"),
        lambda t: tv.update(t, {"c": "'x'"}, where=f"c = '{HALF}'"),
        lambda t: tv.delete(t, where=f"c = '{HALF}'"),
        lambda t: tv.read_version(t, where=f"c = '{HALF}'"),
        lambda t: tv.read_version(t, columns=[HALF]),
        lambda t: list(tv.iter_batches(t, where=f"c = '{HALF}'")),
        lambda _: tv.query(f"SELECT '{HALF}'"),
        lambda t: tv.query(f"FROM t AT (VERSION => '{HALF}')", tables={"t": t}),
        lambda t: tv.add_constraint(t, "n", f"c <> '{HALF}'"),
        lambda t: tv.set_key(t, HALF),
        lambda t: tv.set_retention(t, HALF),
        lambda t: tv.append(t, [{"id": 2, "c": HALF}]),
        lambda t: tv.append(t, [{"id": 2, "c": "a", HALF: 1}], evolve=True),
        lambda t: tv.append(t, [{"id": 2, "c": "a"}], metadata={"a": HALF}),
        lambda t: tv.read_version(t, HALF),
        lambda t: tv.tag(t, f"v{HALF}"),
        lambda t: tv.tag(t, "v1", message=HALF),
        lambda t: tv.link_run(t, 0, "r", params={"a": [{HALF: 1}]}),
        lambda t: tv.diff_versions(t, 0, 0, columns=[HALF]).summary,
        lambda _: tv.open_table(f"/nowhere/{HALF}"),
        lambda _: tv.create_table(f"/nowhere/{HALF}", [{"id": 1}]),
    ],
)
def test_text_that_is_no_unicode(tmp_path: Path, call: Callable[[tv.Table], object]) -> None:
    """Half of a surrogate pair, wherever text goes in, is an error of ours whose words can be printed."""
    table = tv.create_table(tmp_path / "t", [{"id": 1, "c": "a"}])
    before = reading.contents(tmp_path / "t")
    with pytest.raises((errors.InvalidInputError, errors.TableNotFoundError)) as raised:
        call(table)
    assert str(raised.value).encode()
    assert reading.contents(tmp_path / "t") == before
