"""DuckDB reads versions right: live rows only, in row order, in the table's types; expressions stay inside a row."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import tablever as tv
from tablever import datafiles, engine
from tablever.errors import CorruptionError, QueryError, VersionVacuumedError
from tablever.log import open_log
from tablever.scan import Scan, open_scan
from tablever.storage import duckdb_files

UTC = dt.UTC


def scan_of(table: Any) -> Scan:
    log = open_log(table)
    return open_scan(log, log.head())


def test_rows_come_in_row_order_without_the_deleted(tmp_path: Path) -> None:
    """Found rows are the live ones, in the order of files and positions, with the positions they have there."""
    table = tv.create_table(tmp_path / "t", pa.table({"k": range(100_000)}), key="k")
    tv.append(table, pa.table({"k": range(100_000, 150_000)}))
    tv.append(table, pa.table({"k": range(150_000, 150_100)}))
    tv.delete(table, where="k % 7 = 0 AND k < 140000")
    scan = scan_of(table)
    found = engine.find_rows(scan, "k % 2 = 0", ["k"], positions=True)
    expected = [k for k in range(150_100) if k % 2 == 0 and (k % 7 or k >= 140_000)]
    assert found["k"].to_pylist() == expected
    starts = [0, 100_000, 150_000]
    files, positions = found[engine.FILE].to_pylist(), found[engine.POSITION].to_pylist()
    assert [starts[f] + p for f, p in zip(files, positions, strict=True)] == expected
    assert engine.find_rows(scan, "k = 7", ["k"]).num_rows == 0


def test_positions_alone_can_be_asked_for(tmp_path: Path) -> None:
    """No columns but the positions is what a delete asks for."""
    table = tv.create_table(tmp_path / "t", [{"a": 1}, {"a": 2}, {"a": 3}])
    found = engine.find_rows(scan_of(table), "a >= 2", [], positions=True)
    assert found.to_pydict() == {engine.FILE: [0, 0], engine.POSITION: [1, 2]}


def test_file_numbers_are_those_of_the_scan_when_files_are_pruned(tmp_path: Path) -> None:
    """Files that statistics exclude keep their numbers for the ones after them."""
    table = tv.create_table(tmp_path / "t", pa.table({"k": [1, 2]}))
    tv.append(table, pa.table({"k": [3, 4]}))
    tv.append(table, pa.table({"k": [5, 6]}))
    found = engine.find_rows(scan_of(table), "k >= 5", ["k"], positions=True)
    assert found.to_pydict() == {"k": [5, 6], engine.FILE: [2, 2], engine.POSITION: [0, 1]}


ROWS = pa.table(
    {
        "i8": pa.array([1, None], pa.int8()),
        "i16": pa.array([1, None], pa.int16()),
        "i32": pa.array([1, None], pa.int32()),
        "i64": pa.array([2**63 - 1, None], pa.int64()),
        "f32": pa.array([float("nan"), None], pa.float32()),
        "f64": pa.array([-0.0, None], pa.float64()),
        "b": pa.array([True, None]),
        "s": pa.array(["é😀", None]),
        "by": pa.array([b"\x00\xff", None], pa.binary()),
        "d": pa.array([dt.date(1, 1, 1), None]),
        "t": pa.array([dt.datetime(2026, 1, 1, 0, 0, 0, 1, UTC).replace(tzinfo=None), None], pa.timestamp("us")),
        "z": pa.array([dt.datetime(2026, 1, 1, tzinfo=UTC), None], pa.timestamp("us", "UTC")),
        "n": pa.array([Decimal("1.50"), None], pa.decimal128(38, 10)),
        "l": pa.array([[1, None], None], pa.list_(pa.int32())),
        "st": pa.array([{"a": 1, "B c": None}, None], pa.struct([("a", pa.int32()), ("B c", pa.string())])),
        "m": pa.array([[("k", [1])], None], pa.map_(pa.string(), pa.list_(pa.int64()))),
        "deep": pa.array(
            [[{"x": [{"y": "é"}]}], None], pa.list_(pa.struct([("x", pa.list_(pa.struct([("y", pa.string())])))]))
        ),
        "filename": pa.array(["mine", None]),
        "file_row_number": pa.array([7, None], pa.int64()),
        "file_index": pa.array([8, None], pa.int64()),
        "it's": pa.array([1, None], pa.int64()),
        'quo"te': pa.array([1, None], pa.int64()),
        "é": pa.array([1, None], pa.int64()),
    }
)


@pytest.mark.parametrize("folder", ["t", "it's [glob] *"])
def test_every_type_and_name_comes_back_as_it_was(tmp_path: Path, folder: str) -> None:
    """Values, types and names survive DuckDB, columns named as DuckDB's own included, whatever the path."""
    table = tv.create_table(tmp_path / folder, ROWS)
    scan = scan_of(table)
    found = engine.find_rows(scan, "true", scan.schema.names)
    assert found.schema.equals(scan.schema)
    assert str(found.to_pylist()) == str(ROWS.to_pylist())
    assert engine.find_rows(scan, "file_row_number = 7 AND filename = 'mine'", ["file_index"]).to_pylist() == [
        {"file_index": 8}
    ]
    with engine.cursor() as connection:
        rows = connection.sql(engine.relation_of(connection, scan, positions=True).sql).to_arrow_table()
    assert rows.column_names == [*scan.schema.names, engine.FILE, engine.POSITION]
    assert rows[engine.POSITION].to_pylist() == [0, 1]


def test_files_that_duckdb_cannot_read_itself_lose_their_deleted_rows_too(tmp_path: Path) -> None:
    """A file that pyarrow decodes gives the same rows and positions as one that DuckDB reads."""
    table = tv.create_table(tmp_path / "a[1]", pa.table({"k": range(10), "s": [str(i) for i in range(10)]}), key="k")
    tv.delete(table, where="k IN (0, 5)")
    scan = scan_of(table)
    assert not any(file.plain for file in scan.files)
    found = engine.find_rows(scan, "k > 3", ["s"], positions=True)
    assert found["s"].to_pylist() == ["4", "6", "7", "8", "9"]
    assert found[engine.POSITION].to_pylist() == [4, 6, 7, 8, 9]
    connection = engine.new_connection()
    relation = engine.relation_of(connection, scan)
    assert connection.sql(f"SELECT count(*) FROM ({relation.sql})").fetchall() == [(8,)]
    engine.release(connection, relation.kept)
    connection.close()


PARTITIONS: dict[str, tuple[pa.DataType, list[Any]]] = {
    "s": (pa.string(), ["a b", "it's", "x=y/%é", None]),
    "i": (pa.int32(), [1, -5, 2**31 - 1, None]),
    "d": (pa.date32(), [dt.date(2026, 1, 1), dt.date(1, 1, 1), None]),
    "z": (pa.timestamp("us", "UTC"), [dt.datetime(2026, 1, 1, 0, 0, 0, 123_456, UTC), None]),
    "t": (pa.timestamp("us"), [dt.datetime(1960, 1, 1, 0, 0, 0, 1, UTC).replace(tzinfo=None), None]),
    "n": (pa.decimal128(10, 2), [Decimal("-1.50"), Decimal("0.00"), None]),
    "b": (pa.bool_(), [True, False, None]),
}


@pytest.mark.parametrize("name", PARTITIONS)
def test_partition_values_are_typed_columns(tmp_path: Path, name: str) -> None:
    """Each file's partition value stands in its rows, typed; a condition on it is the condition on any column."""
    kind, values = PARTITIONS[name]
    rows = pa.table({"v": range(len(values)), "p": pa.array(values, kind)})
    table = tv.create_table(tmp_path / "t", rows, partition_by=["p"])
    tv.delete(table, where="v = 1")
    scan = scan_of(table)
    expected = [row for row in rows.to_pylist() if row["v"] != 1]
    found = engine.find_rows(scan, "v IS NOT NULL", ["v", "p"])
    assert sorted(found.to_pylist(), key=lambda row: row["v"]) == expected
    assert found.schema.field("p").type == kind
    assert engine.find_rows(scan, "p IS NULL", ["v"]).to_pylist() == [{"v": r["v"]} for r in expected if r["p"] is None]


def test_many_files_with_and_without_deleted_rows(tmp_path: Path) -> None:
    """Order and rows hold when files with vectors and files without alternate."""
    table = tv.create_table(tmp_path / "t", pa.table({"k": [0, 1]}))
    for i in range(1, 40):
        tv.append(table, pa.table({"k": [2 * i, 2 * i + 1]}))
    tv.delete(table, where="k % 4 = 0")
    scan = scan_of(table)
    expected = [k for k in range(80) if k % 4]
    assert engine.find_rows(scan, None, ["k"])["k"].to_pylist() == expected
    connection = engine.new_connection()
    relation = engine.relation_of(connection, scan)
    assert [k for (k,) in connection.sql(relation.sql).fetchall()] == expected
    connection.close()


def test_deleted_rows_fail_no_expression(tmp_path: Path) -> None:
    """A condition that would fail on a row fails no more once the row is deleted."""
    rows = pa.table({"k": range(5_000), "s": ["bad" if k % 100 == 7 else str(k) for k in range(5_000)]})
    table = tv.create_table(tmp_path / "t", rows)
    with pytest.raises(QueryError, match="bad"):
        engine.find_rows(scan_of(table), "CAST(s AS INTEGER) > 4000", ["k"])
    tv.delete(table, where="s = 'bad'")
    assert engine.find_rows(scan_of(table), "CAST(s AS INTEGER) >= 4950 AND k > 5", ["k"]).num_rows == 50


def test_an_empty_table_keeps_its_columns(tmp_path: Path) -> None:
    """A version without files has columns and types, and no rows."""
    table = tv.create_table(tmp_path / "t", ROWS.schema)
    scan = scan_of(table)
    assert engine.find_rows(scan, "i32 = 1", scan.schema.names).schema.equals(scan.schema)
    with engine.cursor() as connection:
        assert connection.sql(engine.relation_of(connection, scan).sql).to_arrow_table().num_rows == 0


def test_columns_added_later_are_null_in_older_files(tmp_path: Path) -> None:
    """A file without a column gives nulls of its type."""
    table = tv.create_table(tmp_path / "t", [{"a": 1}])
    tv.append(table, [{"a": 2, "b": "x"}], evolve=True)
    assert engine.find_rows(scan_of(table), "a > 0", ["b", "a"]).to_pylist() == [
        {"b": None, "a": 1},
        {"b": "x", "a": 2},
    ]


def test_streaming_gives_the_same_rows_in_batches(tmp_path: Path) -> None:
    """A stream is the found rows, no batch empty; it refuses a bad condition before the first batch."""
    table = tv.create_table(tmp_path / "t", pa.table({"k": range(300_000)}), key="k")
    tv.delete(table, where="k % 3 = 0")
    scan = scan_of(table)
    batches = list(engine.stream_rows(scan, "k > 100", ["k"], batch_size=10_000))
    assert [k for batch in batches for k in batch["k"].to_pylist()] == [k for k in range(101, 300_000) if k % 3]
    assert len(batches) > 1
    assert all(batch.num_rows for batch in batches)
    with pytest.raises(QueryError):
        engine.stream_rows(scan, "nothing > 1", ["k"])


def test_values_are_computed_row_by_row_in_order() -> None:
    """Evaluated expressions see the row as it was, and keep the rows' order."""
    rows = pa.table({"a": range(200_000), "b": ["x"] * 200_000})
    values = engine.evaluate(rows, {"b": "a || b", "a": "a * 2"})
    assert values.column_names == ["b", "a"]
    assert values["a"].to_pylist() == [2 * a for a in range(200_000)]
    assert values["b"][199_999].as_py() == "199999x"
    with pytest.raises(QueryError, match=r"(?i)overflow|out of range"):
        engine.evaluate(pa.table({"a": [2**63 - 1]}), {"a": "a + 1"})


SCHEMA = pa.schema([("id", pa.int64()), ("label", pa.string()), ("tags", pa.list_(pa.string()))])


@pytest.mark.parametrize(
    "text",
    [
        "id = 7",
        "ID = 7 -- the seventh",
        "label LIKE 'a%' AND id BETWEEN 1 AND 3",
        "list_contains(tags, 'x')",
        "len(list_filter(tags, lambda t: t > 'a')) > 0",
        "label = 'semi;colon' /* and more */",
        "CASE WHEN id > 1 THEN true ELSE false END",
        "label SIMILAR TO '.*' OR id IN (1, 2)",
        '"id" = 1',
        "id = 1\n  AND label IS NOT NULL",
        "label = ')('",
    ],
)
def test_predicates_that_stand(text: str) -> None:
    """One boolean expression over the table's columns is a predicate, comments and odd texts included."""
    engine.check_expression(text, SCHEMA, "where", predicate=True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "where ''"),
        ("id =", "syntax error"),
        ("id = 1; DROP TABLE t", "syntax error"),
        ("id = 1) OR (id = 2", "syntax error"),
        ("true) UNION SELECT (1", ""),
        ("true) GROUP BY (id", ""),
        ("true) -- ", ""),
        ("id IN (SELECT 1)", "a subquery"),
        ("EXISTS (FROM read_text('/etc/passwd'))", "a subquery"),
        ("max(id) = 1", "aggregates"),
        ("row_number() OVER () = 1", "window"),
        ("id = ?", "a parameter"),
        ("COLUMNS(*) > 1", "a star"),
        ("id = #1", "a positional reference"),
        ("getenv('HOME') = 'x'", "the function getenv"),
        ("nextval('s') = 1", "the function nextval"),
        ("current_setting('threads') = 1", "the function current_setting"),
        ("lable = 'x'", "lable"),
        ("id", "not true or false but BIGINT"),
        ("1", "not true or false"),
        ("foo(id)", "foo"),
        ("unnest(tags) = 'x'", ""),
        ("id = 1 ORDER BY id", "syntax error"),
        ("rowid = 1", "rowid"),
        ("__tv_file = 1", "__tv_file"),
    ],
)
def test_predicates_that_do_not(text: str, words: str) -> None:
    """Anything but one expression over one row is refused, in DuckDB's words or ours."""
    with pytest.raises(QueryError) as caught:
        engine.check_expression(text, SCHEMA, "where", predicate=True)
    assert words in str(caught.value)
    assert "LINE 1" not in str(caught.value)


def test_an_unknown_column_is_met_with_the_nearest_name() -> None:
    """The hint names the column that was probably meant."""
    with pytest.raises(QueryError) as caught:
        engine.check_expression("Lable = 'x'", SCHEMA, "where")
    assert caught.value.hint == "did you mean 'label'?"


def test_times_are_utc_whatever_the_machine() -> None:
    """A time without a zone means UTC in every expression, on every cursor."""
    rows = pa.table({"t": pa.array([0], pa.timestamp("us", "UTC"))})
    values = engine.evaluate(
        rows, {"t": "t = TIMESTAMPTZ '1970-01-01 00:00:00'", "h": "date_part('hour', t)", "u": "t"}
    )
    assert values.to_pylist()[0]["t"] is True
    assert values.to_pylist()[0]["h"] == 0
    assert values.schema.field("u").type == pa.timestamp("us", "UTC")


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    """A file that is gone, or is no Parquet file, is said to be so, and never read as empty."""
    table = tv.create_table(tmp_path / "t", [{"a": 1}])
    scan = scan_of(table)
    path = Path(scan.files[0].location)
    path.write_bytes(b"PAR1" + b"\0" * (path.stat().st_size - 8) + b"PAR1")
    with pytest.raises(CorruptionError):
        engine.find_rows(scan, "a = 1", ["a"])
    path.unlink()
    with pytest.raises(VersionVacuumedError, match=path.name):
        engine.find_rows(scan, "a = 1", ["a"])


def _answer(where: str) -> list[Any]:
    return list(engine.evaluate(pa.table({"a": [1, 2, 3]}), {"x": where})["x"].to_pylist())


def test_threads_and_children_have_connections_of_their_own() -> None:
    """Threads run side by side; a forked child gets a database of its own."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(_answer, [f"a > {i % 3}" for i in range(40)]))
    assert answers == [[a > i % 3 for a in (1, 2, 3)] for i in range(40)]
    first = engine.cursor()
    assert first is not engine.cursor()
    with multiprocessing.get_context("spawn").Pool(1) as children:
        assert children.map(_answer, ["a = 2"]) == [[False, True, False]]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
@pytest.mark.parametrize("module", [engine, duckdb_files, datafiles])
def test_a_fork_amid_the_work_of_a_thread_leaves_nothing_locked(module: Any) -> None:
    """A child that is forked while another thread holds the lock of a module does not wait for that thread for ever."""
    held = threading.Event()

    def work() -> None:
        with module._lock:
            held.set()
            time.sleep(0.1)

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work)
        held.wait()
        child = os.fork()
        if not child:
            os._exit(0 if module._lock.acquire(timeout=2) else 1)
        done.result()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not module._lock.locked()
