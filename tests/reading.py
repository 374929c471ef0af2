"""Every way to read a version, ours and others', each as a list of rows: what the tests compare with the model."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from click.testing import CliRunner
from deltalake import DeltaTable, QueryBuilder

import tablever as tv
from tablever.storage import open_storage
from tests.model import Column, Row, State, identity, multiset

Reader = Callable[[Path | str, int], pa.Table]


def read_version(table: Path | str, number: int) -> pa.Table:
    return tv.read_version(table, number)


def scan_version(table: Path | str, number: int) -> pa.Table:
    return tv.scan_version(table, number).collect().to_arrow()


def iter_batches(table: Path | str, number: int) -> pa.Table:
    """In batches of two rows; none may be larger, or empty."""
    batches = list(tv.iter_batches(table, number, batch_size=2))
    assert all(0 < batch.num_rows <= 2 for batch in batches)
    return pa.Table.from_batches(batches) if batches else tv.read_version(table, number)


def sql(table: Path | str, number: int) -> pa.Table:
    return tv.query(f"SELECT * FROM t AT (VERSION => {number})", tables={"t": table})


def shell(table: Path | str, number: int, columns: Sequence[Column]) -> list[Row]:
    """``tablever read --json``, its text turned back into values by the columns' types."""
    from tablever.cli.main import cli

    result = CliRunner().invoke(cli, ["read", f"{table}@{number}", "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in result.stdout.split("\n") if line]
    assert all(list(line) == [column.name for column in columns] for line in lines)
    return [{c.name: from_json(line[c.name], c.type) for c in columns} for line in lines]


def from_json(value: Any, kind: pa.DataType) -> Any:
    """A value of the shell's JSON: what JSON lacks is text, bytes are base64, a map is a list of pairs."""
    if value is None:
        return None
    if pa.types.is_map(kind):
        return [(from_json(k, kind.key_type), from_json(v, kind.item_type)) for k, v in value]
    if pa.types.is_list(kind):
        return [from_json(element, kind.value_type) for element in value]
    if pa.types.is_struct(kind):
        return {child.name: from_json(value[child.name], child.type) for child in kind}
    if pa.types.is_floating(kind):
        return float(value)
    if pa.types.is_decimal(kind):
        assert isinstance(value, str)
        return Decimal(value)
    if pa.types.is_date(kind):
        return date.fromisoformat(value)
    if pa.types.is_timestamp(kind):
        assert value.endswith("Z") == bool(kind.tz)
        return datetime.fromisoformat(value)
    return base64.b64decode(value) if pa.types.is_binary(kind) else value


def query_builder(table: Path | str, number: int) -> pa.Table:
    """delta-rs through DataFusion."""
    foreign = DeltaTable(os.fspath(table), version=number)
    reader = QueryBuilder().register("t", foreign).execute("SELECT * FROM t")
    return pa.Table.from_batches([pa.record_batch(batch) for batch in reader], schema=pa.schema(reader.schema))


def polars_scan(table: Path | str, number: int) -> pa.Table:
    """Polars' own reader of Delta tables."""
    return pl.scan_delta(os.fspath(table), version=number).collect().to_arrow()


OURS: Mapping[str, Reader] = {
    "read_version": read_version,
    "scan_version": scan_version,
    "iter_batches": iter_batches,
    "sql": sql,
}
THEIRS: Mapping[str, Reader] = {"QueryBuilder": query_builder, "polars.scan_delta": polars_scan}


def rows_of(table: pa.Table) -> list[Row]:
    """An Arrow table's rows as dicts."""
    return list(table.to_pylist())


def assert_rows(found: pa.Table, columns: Sequence[Column], expected: Sequence[Mapping[str, Any]], what: str) -> None:
    """The same columns in the same order, and the same rows as a multiset."""
    assert found.column_names == [column.name for column in columns], what
    got, wanted = multiset(rows_of(found), columns), multiset(expected, columns)
    assert got == wanted, f"{what}: too many {got - wanted}, missing {wanted - got}"


def assert_state(found: pa.Table, state: State, what: str) -> None:
    """What was read is the state's columns and rows."""
    assert_rows(found, state.columns, state.rows, what)


def ordered(found: pa.Table, state: State) -> list[Any]:
    """The rows in the order they came, comparable."""
    return [identity(row, state.columns) for row in rows_of(found)]


def same(one: pa.Table, other: pa.Table) -> bool:
    """Whether two reads gave the same rows in the same order; NaN, unlike to pyarrow, is NaN."""
    return one.schema.equals(other.schema) and repr(one.to_pylist()) == repr(other.to_pylist())


def contents(table: Path | str) -> dict[str, int]:
    """What lies in a table's place, caches aside: path to size."""
    if isinstance(table, str):
        there = {each.path: each.size for each in open_storage(table).walk()}
    else:
        files = (path for path in sorted(table.rglob("*")) if path.is_file())
        there = {path.relative_to(table).as_posix(): path.stat().st_size for path in files}
    return {path: size for path, size in there.items() if not path.startswith("_tablever/cache")}
