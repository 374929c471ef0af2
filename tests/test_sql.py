"""SQL sees each table at the version it names, reads only what it must, and writes to none."""

from __future__ import annotations

import datetime as dt
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tablever as tv
from tablever import engine, statements
from tablever.catalog import Catalog
from tablever.errors import (
    CorruptionError,
    InvalidKeyError,
    QueryError,
    RefError,
    TableNotFoundError,
    VersionNotFoundError,
    VersionVacuumedError,
)
from tablever.log import Log
from tablever.session import Session
from tablever.sql import connect


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two tables: ``orders`` with versions 0 to 3, and ``shop/Items``, one deeper."""
    folder = tmp_path / "data"
    orders = tv.create_table(folder / "orders", [{"id": i, "price": 10 * i} for i in range(1, 6)], key="id")
    tv.append(orders, [{"id": 6, "price": 60}])
    tv.delete(orders, where="id = 2")
    tv.update(orders, {"price": "price + 1"}, where="id >= 5")
    tv.create_table(folder / "shop" / "Items", [{"id": 1, "name": "lamp"}, {"id": 5, "name": "désk"}])
    return folder


@pytest.fixture
def session(root: Path) -> Iterator[Session]:
    with connect(root) as session:
        yield session


def prices(rows: pa.Table) -> dict[int, int]:
    return dict(sorted(zip(rows["id"].to_pylist(), rows["price"].to_pylist(), strict=True)))


FIRST = {1: 10, 2: 20, 3: 30, 4: 40, 5: 50}
SECOND = {**FIRST, 6: 60}
THIRD = {k: v for k, v in SECOND.items() if k != 2}
HEAD = {**THIRD, 5: 51, 6: 61}


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT * FROM orders", HEAD),
        ("FROM orders", HEAD),
        ("TABLE orders", HEAD),
        ("SELECT * FROM ORDERS", HEAD),
        ('SELECT * FROM "orders"', HEAD),
        ("SELECT * FROM orders AT (VERSION => 0)", FIRST),
        ("SELECT * FROM orders AT (VERSION => '1')", SECOND),
        ("SELECT * FROM orders AT (VERSION => -1)", HEAD),
        ("SELECT * FROM orders AT (VERSION => -2)", THIRD),
        ("SELECT * FROM orders AT (VERSION => 'latest')", HEAD),
        ("SELECT * FROM orders AT (VERSION => 'latest~3')", FIRST),
        ("SELECT * FROM orders AT (VERSION => 'latest' || '~' || 1 + 1)", SECOND),
        ("SELECT * FROM orders AT (VERSION => 4 - 3)", SECOND),
        ("SELECT * FROM orders at ( version /* which */ => 1 -- one\n)", SECOND),
        ("SELECT * FROM orders AT (TIMESTAMP => '2999-01-01 00:00:00+00')", HEAD),
        ("SELECT * FROM orders AT (TIMESTAMP => TIMESTAMPTZ '2999-01-01 00:00:00+00')", HEAD),
        ("SELECT * FROM orders AT (TIMESTAMP => now())", HEAD),
        ("SELECT o.* FROM orders o AT (VERSION => 0)", FIRST),
        ("SELECT o.* FROM orders AT (VERSION => 0) o", FIRST),
        ("SELECT o.* FROM orders AT (VERSION => 0) AS o WHERE o.id > 0", FIRST),
        ("SELECT a AS id, b AS price FROM orders AS o(a, b) AT (VERSION => 0)", FIRST),
        ("SELECT a AS id, b AS price FROM orders AT (VERSION => 0) AS o(a, b)", FIRST),
        ("SELECT orders.id, orders.price FROM orders AT (VERSION => 0)", FIRST),
        ("SELECT 'é😀' AS \"ü\", id, price FROM orders AT (VERSION => 0)", FIRST),
        ("SELECT 'orders AT (VERSION => 9)' AS x, * FROM orders -- AT (VERSION => 9)\n", HEAD),
        ("WITH o AS (SELECT * FROM orders AT (VERSION => 1)) SELECT * FROM o", SECOND),
        ("WITH orders AS (SELECT * FROM orders AT (VERSION => 1)) SELECT * FROM orders", SECOND),
        ("WITH orders AS (SELECT 1 AS id, 2 AS price) SELECT * FROM orders", {1: 2}),
        ("WITH a AS (SELECT * FROM orders), b AS (SELECT * FROM a) SELECT * FROM b", HEAD),
        ("SELECT * FROM (SELECT * FROM orders AT (VERSION => 0)) x", FIRST),
        (
            "SELECT id, price FROM orders AT (VERSION => 0) EXCEPT SELECT id, price FROM orders AT (VERSION => 3)",
            {2: 20, 5: 50},
        ),
        (
            "SELECT id, price FROM orders AT (VERSION => 0) WHERE id IN (SELECT id FROM orders) ORDER BY id",
            {1: 10, 3: 30, 4: 40, 5: 50},
        ),
        (
            "SELECT id, b.price - a.price AS price FROM orders a AT (VERSION => 0) JOIN orders b USING (id) WHERE id>3",
            {4: 0, 5: 1},
        ),
        (
            "FROM orders AT (VERSION => 2) a JOIN orders AT (VERSION => 3) USING (id, price) SELECT id, price+1 price",
            {1: 11, 3: 31, 4: 41},
        ),
        ("SELECT a.id, a.price FROM orders AT (VERSION => 0) a ANTI JOIN orders b USING (id)", {2: 20}),
        ("SELECT id, (SELECT max(price) FROM orders AT (VERSION => 0)) AS price FROM orders WHERE id = 1", {1: 50}),
        (
            "SELECT o.id, o.price FROM orders o, LATERAL (SELECT 1 FROM orders p AT (VERSION => 0) WHERE p.id = o.id)",
            {1: 10, 3: 30, 4: 40, 5: 51},
        ),
        (
            "WITH RECURSIVE r AS (SELECT 1 AS id, 1 AS price UNION ALL SELECT id + 1, 1 FROM r WHERE id < 3) FROM r",
            {1: 1, 2: 1, 3: 1},
        ),
        (
            "WITH RECURSIVE orders AS (FROM orders UNION ALL SELECT id + 9, 7 FROM orders WHERE id = 1) FROM orders",
            {**HEAD, 10: 7},
        ),
        ('WITH "order\u017f" AS (SELECT 1 AS id, 2 AS price) FROM orders', HEAD),
        ("SELECT i.id, o.price FROM orders o JOIN shop.items i USING (id)", {1: 10, 5: 51}),
        ('SELECT i.id, o.price FROM orders o JOIN "shop/Items" i AT (VERSION => 0) USING (id)', {1: 10, 5: 51}),
        ("SELECT Items.id, 0 AS price FROM shop.Items AT (VERSION => -1)", {1: 0, 5: 0}),
        ("CREATE TABLE x AS SELECT * FROM orders AT (VERSION => 1); SELECT * FROM x", SECOND),
        ("CREATE OR REPLACE TEMP TABLE x AS FROM orders AT (VERSION => 1) o; FROM x", SECOND),
        ("CREATE VIEW x AS SELECT * FROM orders AT (VERSION => 1); SELECT * FROM x", SECOND),
        ("CREATE VIEW x AS SELECT * FROM orders; SELECT * FROM x", HEAD),
        ("CREATE TABLE x (id INT, price INT); INSERT INTO x SELECT * FROM orders AT (VERSION => 0); FROM x", FIRST),
        (
            "CREATE TABLE x AS FROM orders; DELETE FROM x USING orders AT (VERSION=>2) o WHERE o.price=x.price; FROM x",
            {5: 51, 6: 61},
        ),
        ("CREATE MACRO priced(p) AS TABLE SELECT * FROM orders WHERE price = p; FROM priced(51)", {5: 51}),
        ("PREPARE p AS SELECT * FROM orders AT (VERSION => 0); EXECUTE p", FIRST),
        ("UNPIVOT (SELECT id, price FROM orders AT (VERSION => 0)) ON price INTO NAME n VALUE price", FIRST),
        ("SELECT 1;; SELECT * FROM orders;", HEAD),
        ("SELECT id, price FROM orders TABLESAMPLE 100%", HEAD),
    ],
)
def test_tables_stand_wherever_a_table_can(root: Path, sql: str, expected: dict[int, int]) -> None:
    """Every way to write a table or a version of it gives that version's rows."""
    assert prices(tv.query(sql, root=root)) == expected


@pytest.mark.parametrize("pivot", ["orders", "orders AT (VERSION => 3)", "orders o AT (VERSION => 'latest')"])
def test_pivots(root: Path, pivot: str) -> None:
    """PIVOT, which DuckDB gives no tree for, reads versions as well."""
    sql = f"SELECT * FROM (PIVOT (FROM {pivot}) ON id IN (1, 5) USING sum(price))"
    assert tv.query(sql, root=root).to_pylist() == [{"1": 10, "5": 51}]
    wide = tv.query(f"PIVOT {pivot} ON id USING sum(price)", root=root)
    assert set(wide.column_names) == {"1", "3", "4", "5", "6"}


def test_any_name_stands_in_a_statement_without_a_tree(root: Path) -> None:
    """Tables called as keywords are, and nested ones, stand in PIVOT and UPDATE … FROM as in a SELECT."""
    for each in ("data", "values", "shop/year"):
        tv.create_table(root / each, [{"id": 1}, {"id": 5}])
    for name in ("data", "values", "shop.Items", '"shop/Items"', "shop.year"):
        assert {"1", "5"} <= set(tv.query(f"PIVOT {name} ON id USING count(*)", root=root).column_names)
        with connect(root) as session:
            session.sql("CREATE TABLE mine AS SELECT 5 AS id, 0 AS n")
            session.sql(f"UPDATE mine SET n = 1 FROM {name} AS other WHERE other.id = mine.id")
            session.sql(f"UPDATE mine SET n = n + 1 FROM {name} AT (VERSION => 0) other WHERE other.id = mine.id")
            assert session.sql("FROM mine").fetchall() == [(5, 2)], name


def test_an_alias_may_be_a_keyword(session: Session) -> None:
    """Behind AT (…) stands what DuckDB takes for an alias before it; what begins the next clause is none."""
    for alias in ("year", "data", "values", "AS year", "AS limit_", "between"):
        name = alias.removeprefix("AS ")
        assert prices(session.sql(f"FROM orders AT (VERSION => 0) {alias} SELECT {name}.*").to_arrow_table()) == FIRST
    for clause in ("WHERE true", "SEMI JOIN orders o USING (id)", "LIMIT 9", "ORDER BY id", "OFFSET 0"):
        assert len(session.sql(f"SELECT * FROM orders AT (VERSION => 0) {clause}").fetchall()) >= 4


def test_copies_are_written_outside_tables_only(root: Path, tmp_path: Path) -> None:
    """COPY … TO writes files of a version into folders that are allowed, but not into a table's."""
    out = tmp_path / "out.parquet"
    tv.query(f"COPY (SELECT * FROM orders AT (VERSION => 0)) TO '{out}'", root=root, allow_folders=[tmp_path])
    assert prices(pl.read_parquet(out).to_arrow()) == FIRST
    tv.query(f"COPY orders TO '{out}'", root=root, allow_folders=[tmp_path])
    assert prices(pl.read_parquet(out).to_arrow()) == HEAD
    assert prices(tv.query(f"SELECT * FROM '{out}'", root=root, allow_folders=[tmp_path])) == HEAD
    with pytest.raises(QueryError, match="it lies in the versioned table"):
        tv.query(f"COPY (SELECT 1) TO '{root}/orders/part.parquet'", root=root)
    assert not (root / "orders" / "part.parquet").exists()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO orders VALUES (1, 2)",
        "INSERT OR REPLACE INTO orders SELECT 1, 2",
        "WITH a AS (SELECT 1, 2) INSERT INTO orders FROM a",
        "WITH a AS (INSERT INTO orders VALUES (1, 2) RETURNING id) FROM a",
        "WITH a AS (SELECT 1), b AS NOT MATERIALIZED (DELETE FROM shop.Items RETURNING id) FROM b",
        "WITH a AS (UPDATE Orders SET price = 1 RETURNING id) PIVOT a ON id USING count(*)",
        "PREPARE p AS WITH a AS (DELETE FROM orders RETURNING id) FROM a",
        "UPDATE orders SET price = 1",
        "DELETE FROM orders",
        "TRUNCATE orders",
        "DROP TABLE orders",
        "DROP VIEW IF EXISTS Orders",
        "ALTER TABLE orders ADD COLUMN x INT",
        "CREATE TABLE orders (id INT)",
        "CREATE OR REPLACE TEMP VIEW orders AS SELECT 1",
        'CREATE TABLE IF NOT EXISTS "orders" AS SELECT 1',
        "MERGE INTO orders USING (SELECT 1 AS id) s ON orders.id = s.id WHEN MATCHED THEN DELETE",
        "COPY orders FROM 'x.csv'",
        "EXPLAIN ANALYZE DELETE FROM orders",
        "INSERT INTO shop.Items VALUES (1, 'x')",
        'DELETE FROM "shop/Items"',
        "SELECT 1; DELETE FROM orders",
    ],
)
def test_versioned_tables_are_read_only(root: Path, statement: str) -> None:
    """SQL that would write, make or drop a versioned table is refused, with the verb that does it."""
    with pytest.raises(QueryError, match="SQL only reads versioned tables") as caught:
        tv.query(statement, root=root)
    assert caught.value.hint
    assert prices(tv.query("FROM orders", root=root)) == HEAD


@pytest.mark.parametrize(
    ("sql", "kind", "words", "hint"),
    [
        ("SELECT * FROM order", QueryError, "syntax error", None),
        ("SELECT * FROM ordres", QueryError, "no table 'ordres'", "did you mean 'orders'?"),
        (
            "SELECT * FROM ordres AT (VERSION => 0)",
            QueryError,
            "there are orders, shop/Items",
            "did you mean 'orders'?",
        ),
        ("SELECT pric FROM orders", QueryError, '"pric" not found', "did you mean 'price'?"),
        ("SELEC 1", QueryError, "syntax error", None),
        (
            "SELECT * FROM orders AT (VERSION => 42)",
            VersionNotFoundError,
            "version 42 not found",
            "tablever log orders",
        ),
        ("SELECT * FROM orders AT (VERSION => 'no such')", RefError, "no such", None),
        ("SELECT * FROM orders AT (VERSION => NULL)", QueryError, "NULL is no version", None),
        ("SELECT * FROM orders AT (VERSION => 1.5)", QueryError, "names no version", None),
        ("SELECT * FROM orders AT (VERSION => true)", QueryError, "names no version", None),
        ("SELECT * FROM orders AT (VERSION => id)", QueryError, "only a constant", None),
        ("SELECT * FROM orders AT (VERSION => (SELECT 1))", QueryError, "a subquery", None),
        ("SELECT * FROM orders AT (VERSION => ?)", QueryError, "a parameter", None),
        ("SELECT * FROM orders AT (VERSION => getenv('X'))", QueryError, "getenv", None),
        ("SELECT * FROM orders AT (VERSION => now())", QueryError, "names a time", None),
        ("SELECT * FROM orders AT (TIMESTAMP => '2026-01-01 00:00:00')", QueryError, "no time zone", None),
        (
            "SELECT * FROM orders AT (TIMESTAMP => TIMESTAMP '2026-01-01 00:00:00')",
            QueryError,
            "names no version",
            None,
        ),
        ("SELECT * FROM orders AT (TIMESTAMP => 3)", QueryError, "that is no time", None),
        ("SELECT * FROM orders AT (TIMESTAMP => 'yesterday')", QueryError, "that is no time", None),
        ("SELECT * FROM orders AT (TIMESTAMP => '1999-01-01 00:00:00+00')", VersionNotFoundError, "", None),
        ("CREATE TABLE x AS SELECT 1; SELECT * FROM x AT (VERSION => 0)", QueryError, "no versioned table", None),
        ("WITH c AS (SELECT 1) SELECT * FROM c AT (VERSION => 0)", QueryError, "no table 'c'", None),
        ("SELECT * FROM table_versions('nope')", QueryError, "no table 'nope'", None),
        ("SELECT * FROM table_changes('orders', 1)", QueryError, "it takes 3 arguments", None),
        ("SELECT * FROM table_changes('orders', 2, 1)", QueryError, "version 2 comes after 1", None),
        ("SELECT * FROM table_changes('orders', 0, 42)", VersionNotFoundError, "42", None),
        ("SELECT * FROM table_diff('orders', 1)", QueryError, "it takes 3 arguments", "table_diff('orders', 0, 1)"),
        ("SELECT * FROM table_diff(orders, 0, 1)", QueryError, "only a constant", "table_diff('orders', 0, 1)"),
        ('FROM table_diff("shop/Items", 0, 1)', QueryError, "only a constant", "table_diff('shop/Items', 0, 1)"),
        ("FROM table_cells('orders', a := 0, b := 1)", QueryError, "table_cells", "table_cells('orders', 0, 1)"),
        ("FROM table_diff('orders', 0, b => 1)", QueryError, "table_diff", "table_diff('orders', 0, 1)"),
        ("FROM table_versions(orders)", QueryError, "only a constant", "table_versions('orders')"),
        ("FROM table_diff()", QueryError, "it takes 3 arguments", "table_diff('table', 0, 1)"),
        ("SELECT * FROM table_diff('nope', 0, 1)", QueryError, "no table 'nope'", None),
        ("SELECT * FROM table_dif('orders', 0, 1)", QueryError, "table_dif", "did you mean 'table_diff'?"),
        ("SELECT * FROM Tabel_Cells('orders', 0, 1)", QueryError, "abel_", "did you mean 'table_cells'?"),
        ("SELECT * FROM table_cells('orders', 0, 42)", VersionNotFoundError, "42", None),
        ("SELECT * FROM table_cells('Items', 0, 0)", QueryError, "no table 'Items'", None),
        (
            "SELECT * FROM table_cells('shop/Items', 0, 0)",
            InvalidKeyError,
            "without a key",
            "set_key(table, 'column') gives it one; table_diff('shop/Items', 0, 0) has the rows that differ",
        ),
        ("SELECT CAST('x' AS INTEGER) FROM orders", QueryError, "Could not convert", None),
        ("SELECT * FROM '../orders'", QueryError, "", None),
        ("SELECT * FROM _delta_log", QueryError, "no table", None),
    ],
)
def test_refused(root: Path, sql: str, kind: type[Exception], words: str, hint: str | None) -> None:
    """What cannot be run is refused in one line that says why; the nearest name is offered."""
    with pytest.raises(kind) as caught:
        tv.query(sql, root=root)
    assert words in str(caught.value)
    assert "LINE 1" not in str(caught.value)
    if hint is not None:
        assert caught.value.hint == hint  # type: ignore[attr-defined]


@pytest.mark.parametrize("sql", ["SELECT " + "- " * 5_000 + "1", "FROM orders WHERE " + "NOT " * 5_000 + "true"])
def test_what_is_nested_too_deeply_gets_advice_that_can_be_followed(root: Path, sql: str) -> None:
    """SQL deeper than DuckDB goes is refused in our words: the setting that DuckDB names is locked."""
    with pytest.raises(QueryError, match="nested too deeply") as caught:
        tv.query(sql, root=root)
    assert caught.value.hint == "write it in several steps"
    with pytest.raises(QueryError, match="nested too deeply"):
        tv.delete(root / "orders", where=sql.partition(" WHERE ")[2] or sql.removeprefix("SELECT ") + " > 0")


def test_a_session_follows_the_head(root: Path, session: Session) -> None:
    """Tables and views over them show what was committed since; what AT named stays."""
    session.sql(
        "CREATE VIEW v AS SELECT * FROM orders; CREATE VIEW old AS SELECT * FROM orders AT (VERSION => 'latest')"
    )
    before = session.sql("SELECT count(*) FROM v")
    assert before.fetchall() == [(5,)]
    tv.append(root / "orders", [{"id": 7, "price": 70}])
    assert session.sql("SELECT count(*) FROM v").fetchall() == [(6,)]
    assert session.sql("SELECT count(*) FROM orders").fetchall() == [(6,)]
    assert session.sql("SELECT count(*) FROM old").fetchall() == [(5,)]
    assert before.fetchall() == [(5,)]


@pytest.mark.parametrize("name", ["shop.Items", "SHOP.items", '"shop/Items"', "given.shop.x", "plain"])
def test_a_view_follows_a_table_by_each_of_its_names(root: Path, name: str) -> None:
    """A view or a macro over a table follows its head, whatever the name has of parts, and wherever it came from."""
    items = root / "shop" / "Items"
    with connect(root, tables={"given.shop.x": items, "plain": items}) as session:
        session.sql(f"CREATE VIEW w AS SELECT * FROM {name}; CREATE VIEW x AS TABLE {name}")
        session.sql(f"CREATE MACRO m(n) AS TABLE SELECT i.* FROM {name} AS i WHERE i.id >= n")
        for count in (3, 4):
            tv.append(items, [{"id": 9, "name": "rug"}])
            for sql in ("FROM w", "FROM x", "FROM m(0)"):
                assert len(session.sql(sql).fetchall()) == count, sql


@pytest.mark.parametrize("sql", ["FROM orders WHERE id >= ?", "FROM table_versions('orders') SELECT number, ?"])
def test_a_prepared_statement_reads_tables_as_they_are(root: Path, session: Session, sql: str) -> None:
    """EXECUTE gives what the statement gives when it is written out, also when its views are long dropped."""
    session.sql(f'PREPARE "P" AS {sql}')
    for i in range(3):
        tv.append(root / "orders", [{"id": 7 + i, "price": 70}])
        session.sql("SELECT 1; SELECT 2")
        expected = session.sql(sql.replace("?", "4")).fetchall()
        assert session.sql("EXECUTE p(4)").fetchall() == expected
    shutil.rmtree(root / "orders")
    with pytest.raises(QueryError, match="no table 'orders'"):
        session.sql("EXECUTE p(4)")
    session.sql("DEALLOCATE P")
    with pytest.raises(QueryError, match="does not exist"):
        session.sql("EXECUTE p(4)")


def test_a_prepared_pivot_reads_tables_as_they_are(root: Path, session: Session) -> None:
    """A prepared statement that DuckDB gives no tree for follows the head too."""
    session.sql("PREPARE p AS FROM (PIVOT orders ON id IN (7) USING sum(price))")
    for total in (70, 140):
        tv.upsert(root / "orders", [{"id": 7, "price": total}])
        assert session.sql("EXECUTE p").fetchall() == [(total,)]


def test_a_view_follows_no_other_table_of_its_name(root: Path) -> None:
    """Where another table has taken the only name that a nested one has in one part, a view of it is refused."""
    with connect(root, tables={"shop/Items": root / "orders"}) as session:
        assert len(session.sql("FROM shop.Items").fetchall()) == 2
        with pytest.raises(QueryError, match="is another table"):
            session.sql("CREATE VIEW w AS FROM shop.Items")


def test_a_table_made_while_the_session_runs_is_seen(root: Path, session: Session) -> None:
    """Tables are looked for at each statement."""
    with pytest.raises(QueryError):
        session.sql("FROM later")
    tv.create_table(root / "later", [{"a": 1}])
    assert session.sql("FROM later").fetchall() == [(1,)]


def test_what_the_session_makes_shadows_nothing_and_is_shown(session: Session) -> None:
    """SHOW TABLES lists versioned tables and the session's own, none of ours."""
    session.sql("CREATE TABLE mine AS SELECT * FROM orders AT (VERSION => 0) WHERE id = 1")
    names = {name for (name,) in session.sql("SHOW TABLES").fetchall()}
    assert names == {"mine", "orders", "shop/Items"}
    assert session.sql("SELECT * FROM mine").fetchall() == [(1, 10)]
    assert session.tables() == ["orders", "shop/Items"]


def test_results_come_in_every_form(session: Session) -> None:
    """Arrow, Polars, pandas, tuples, and batches hold the same rows; times need no extra library."""
    result = session.sql("SELECT id, TIMESTAMPTZ '2026-01-01 00:00:00+00' AS t FROM orders ORDER BY id LIMIT 2")
    moment = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    assert result.columns == ["id", "t"]
    assert result.fetchall() == [(1, moment), (3, moment)]
    assert result.fetchone() == (1, moment)
    assert result.pl()["id"].to_list() == [1, 3]
    assert result.df()["id"].tolist() == [1, 3]
    assert pa.table(result)["id"].to_pylist() == [1, 3]
    assert session.sql("FROM orders").to_arrow_reader().read_all().num_rows == 5
    assert "price" in repr(session.sql("FROM orders"))
    assert session.sql("CREATE TABLE nothing (a INT)").fetchall() == []
    assert session.execute("SELECT 1").fetchone() == (1,)
    assert session.sql("SELECT 1 WHERE false").fetchone() is None


def test_frames_can_be_joined(session: Session) -> None:
    """A registered frame is a relation; it cannot take a versioned table's name, and no variable is read unasked."""
    session.register("mine", pa.table({"id": [1]}))
    assert session.sql("SELECT price FROM orders JOIN mine USING (id)").fetchall() == [(10,)]
    with pytest.raises(QueryError):
        session.register("orders", pa.table({"id": [1]}))
    secret = pa.table({"id": [1]})
    with pytest.raises(QueryError, match="no table 'secret'"):
        session.sql("FROM secret")
    assert secret.num_rows == 1


def test_tables_are_given_by_name(root: Path, tmp_path: Path) -> None:
    """``tables`` names tables wherever they lie, beside those below the root."""
    table = tv.open_table(root / "orders")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert prices(tv.query("FROM t", root=empty, tables={"t": table})) == HEAD
    assert prices(tv.query("FROM T AT (VERSION => 0)", root=empty, tables={"t": root / "orders"})) == FIRST
    assert prices(tv.query("FROM a.b AT (VERSION => 0)", root=empty, tables={"a.b": table})) == FIRST
    with pytest.raises(TableNotFoundError):
        tv.query("SELECT 1", root=tmp_path / "nowhere")


def test_the_root_may_be_a_table(root: Path) -> None:
    """A root that is itself a table is a relation of its own name."""
    assert prices(tv.query("FROM orders AT (VERSION => 0)", root=root / "orders")) == FIRST


def test_the_log_and_the_changes_are_relations(root: Path) -> None:
    """table_versions gives the log, table_changes the change rows of commits a to b, both included."""
    versions = tv.query("SELECT * FROM table_versions('orders') ORDER BY number", root=root)
    expected = tv.list_versions(root / "orders")
    assert versions["number"].to_pylist() == [0, 1, 2, 3]
    assert versions["timestamp"].to_pylist() == [version.timestamp for version in expected]
    assert versions["commit_hash"].to_pylist() == [version.commit_hash for version in expected]
    assert tv.query("SELECT max(v.number) AS m FROM table_versions('orders') v", root=root)["m"].to_pylist() == [3]
    sql = "SELECT id, price, _change_type, _commit_version FROM table_changes('orders', 1, 'latest') ORDER BY ALL"
    assert tv.query(sql, root=root)["_commit_version"].to_pylist() == [2, 3, 3, 1, 3, 3]
    joined = "SELECT c.id FROM orders o JOIN table_changes('orders', 2, 2) AS c ON o.price < c.price GROUP BY ALL"
    assert tv.query(joined, root=root)["id"].to_pylist() == [2]


CHANGES = [
    {"id": 2, "price": 20, "_change_type": "delete"},
    {"id": 5, "price": 50, "_change_type": "update_preimage"},
    {"id": 5, "price": 51, "_change_type": "update_postimage"},
    {"id": 6, "price": 61, "_change_type": "insert"},
]


def by_id(rows: pa.Table) -> list[dict[str, Any]]:
    return sorted(rows.to_pylist(), key=lambda row: row["id"])


def test_the_net_changes_are_a_relation(root: Path) -> None:
    """table_diff gives what differs between two versions, in either order: images of a row one after the other."""
    assert by_id(tv.query("FROM table_diff('orders', 0, 'latest')", root=root)) == CHANGES
    back = by_id(tv.query("FROM table_diff('orders', 3, 0)", root=root))
    assert [(row["id"], row["_change_type"]) for row in back] == [
        (2, "insert"),
        (5, "update_preimage"),
        (5, "update_postimage"),
        (6, "delete"),
    ]
    assert [row["price"] for row in back] == [20, 51, 50, 61]
    counted = "SELECT _change_type, count(*) AS n FROM table_diff('orders', 0, 3) d JOIN orders o USING (id) GROUP BY 1"
    found = tv.query(counted, root=root).to_pylist()
    assert {row["_change_type"]: row["n"] for row in found} == {
        "update_preimage": 1,
        "update_postimage": 1,
        "insert": 1,
    }


def test_no_change_is_an_empty_relation(root: Path) -> None:
    """Versions that are alike give no row, in the columns that there would be."""
    empty = tv.query("FROM table_diff('orders', 2, 2)", root=root)
    assert (empty.num_rows, empty.column_names) == (0, ["id", "price", "_change_type"])
    empty = tv.query("FROM table_cells('orders', 2, 2)", root=root)
    assert (empty.num_rows, empty.column_names) == (0, ["id", "column", "old", "new"])


def test_changed_cells_are_a_relation(root: Path) -> None:
    """table_cells gives each changed cell with its key and both values as text."""
    cells = tv.query("SELECT id, \"column\", old, new FROM table_cells('orders', 0, 3)", root=root)
    assert cells.to_pylist() == [{"id": 5, "column": "price", "old": "50", "new": "51"}]
    tv.create_table(root / "odd", [{"column": 1, "new": "a", "x": 1.0}], key=["column", "new"])
    tv.upsert(root / "odd", [{"column": 1, "new": "a", "x": None}])
    odd = tv.query("FROM table_cells('odd', 0, 1)", root=root)
    assert odd.to_pylist() == [{"column": 1, "new": "a", "_column": "x", "old": "1.0", "_new": None}]


def test_changes_stream_into_the_database(root: Path) -> None:
    """Many changed rows come batch by batch, all of them."""
    table = tv.create_table(root / "many", pa.table({"id": range(200_000), "x": [0] * 200_000}), key="id")
    tv.update(table, {"x": "1"}, where="id % 2 = 0")
    counted = "SELECT count(*) AS n, sum(x) AS s FROM table_diff('many', 0, 1)"
    assert tv.query(counted, root=root).to_pylist() == [{"n": 200_000, "s": 100_000}]


def test_changes_that_cannot_be_read_say_so(root: Path) -> None:
    """What the diff raises is raised as it is, and not as an error of DuckDB."""
    for file in [*(root / "orders").rglob("part-*"), *(root / "orders").rglob("cdc-*")]:
        file.unlink()
    with pytest.raises(VersionVacuumedError):
        tv.query("FROM table_diff('orders', 0, 3)", root=root)


def files_read(session: Session, sql: str) -> int:
    """How many files the views of the last statement read."""
    session.sql(sql).to_arrow_table()
    view = next(reversed(session._views.made.values()))
    return len(view.scan.files)


@pytest.fixture
def many(tmp_path: Path) -> Iterator[Session]:
    """A session over ``t``: ten files of ten rows, k = 0 to 99, g = k % 10."""
    table = tv.create_table(tmp_path / "t", pa.table({"k": range(10), "g": range(10)}))
    for i in range(1, 10):
        tv.append(table, pa.table({"k": range(10 * i, 10 * i + 10), "g": range(10)}))
    with connect(tmp_path) as session:
        yield session


@pytest.mark.parametrize(
    ("sql", "files"),
    [
        ("SELECT * FROM t WHERE k = 15", 1),
        ("SELECT * FROM t x WHERE x.k BETWEEN 15 AND 25 AND g > 0", 2),
        ("SELECT * FROM t AT (VERSION => 4) WHERE k > 35", 2),
        ("SELECT * FROM (SELECT * FROM t WHERE k < 10)", 1),
        ("SELECT * FROM (VALUES (1)) v(a) LEFT JOIN t ON t.k = v.a WHERE t.k = 1", 1),
        ("SELECT * FROM (VALUES (1)) v(a) LEFT JOIN t ON t.k = v.a WHERE t.k IS NULL", 10),
        ("SELECT * FROM (VALUES (1)) v(a) ASOF JOIN t ON v.a >= t.k WHERE t.k = 1", 10),
        ("SELECT * FROM (VALUES (1)) v(a) POSITIONAL JOIN t WHERE t.k = 1", 10),
        ("SELECT * FROM t TABLESAMPLE 5 ROWS WHERE k = 15", 10),
        ("SELECT k + 50 AS k FROM t WHERE k = 15", 10),
        ("SELECT * FROM t WHERE k = 15 OR g = 1", 10),
        ("SELECT max(k) FROM t HAVING max(k) = 3", 10),
        ("SELECT * FROM t AS x(g, k) WHERE k = 5", 10),
        ("CREATE OR REPLACE VIEW w AS SELECT * FROM t WHERE k = 5", 10),
        ("CREATE OR REPLACE TABLE w AS SELECT * FROM t WHERE k = 5", 1),
    ],
)
def test_files_are_left_out_where_that_changes_nothing(many: Session, sql: str, files: int) -> None:
    """Statistics leave files out for comparisons that reject what they exclude, and only there."""
    assert files_read(many, sql) == files


@pytest.mark.parametrize("kind", ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
@pytest.mark.parametrize(
    "where", ["a.k = 15", "b.k < 12", "a.k > 5 AND b.g = 3", "a.g IS NULL", "b.k IS NULL AND a.k < 3"]
)
def test_pruned_joins_give_the_same_rows(many: Session, kind: str, where: str) -> None:
    """Whatever the join, pruning files beside it changes no row."""
    many.sql("CREATE OR REPLACE TABLE whole AS SELECT * FROM t")
    asked = "SELECT a.k, a.g, b.k, b.g FROM {0} a " + kind + " {0} b ON a.k = b.g WHERE " + where + " ORDER BY ALL"
    assert many.sql(asked.format("t")).fetchall() == many.sql(asked.format("whole")).fetchall()


# Columns of the two tables: some are in both, and ``b`` is a struct, so that ``b.v`` may be a field or a column.
LEFT = "SELECT i AS id, i % 7 AS v, i * 3 AS w, {{'v': i % 4}} AS b FROM range({}, {}) t(i)"
RIGHT = "SELECT i AS id, i // 2 AS v, i % 5 AS u FROM range({}, {}) t(i)"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """A session over ``a`` and ``b``, each in four files of six rows."""
    folder = tmp_path_factory.mktemp("pair")
    for name, rows in (("a", LEFT), ("b", RIGHT)):
        for first in range(0, 24, 6):
            part = tv.query(rows.format(first, first + 6), root=folder)
            if first:
                tv.append(folder / name, part)
            else:
                tv.create_table(folder / name, part)
    with connect(folder) as session:
        yield session


JOINS = ["SEMI JOIN", "ANTI JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "ASOF JOIN", "ASOF LEFT JOIN"]
BARE_JOINS = ["NATURAL JOIN", "NATURAL SEMI JOIN", "CROSS JOIN"]
SOURCES = ["a AS {}", "b AS {}", "a AS {}", "b AS {}", "a AS {}(id, w, v)", "b AS {}(v, id)", "(FROM b WHERE v = 3) {}"]
TAILS = ["= 3", "= 5", "= 1", "< 2", "> 9", "<> 5", "BETWEEN 2 AND 4", "IN (1, 3)", "IS NULL"]


@st.composite
def froms(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A FROM of one to three sources, joined in any way, and the names of the sources, in any order."""
    shifts = ["", " + 3", " - 9"]
    names = draw(st.permutations(["a", "b", "x"]))[: draw(st.integers(1, 3))]
    source = draw(st.sampled_from(SOURCES)).format(names[0])
    for name in names[1:]:
        right = draw(st.sampled_from(SOURCES)).format(name)
        # The order in which DuckDB gives a join's rows is not settled: only tables can be joined by position.
        positional = ["POSITIONAL JOIN"] if name == names[1] else []
        kind = draw(st.sampled_from([*JOINS, *JOINS[:2], *BARE_JOINS, *positional, "LATERAL"]))
        if kind == "LATERAL":
            source += f", LATERAL (SELECT id, v FROM {right} WHERE {draw(conditions([name, names[0]]))}) {name}"
        elif kind in BARE_JOINS or kind in positional:
            source += f" {kind} {right}"
        elif draw(st.integers(0, 3)) == 3:
            source += f" {kind} {right} USING (id)"
        else:
            operator, shift = ">=" if "ASOF" in kind else "=", draw(st.sampled_from(shifts))
            source += f" {kind} {right} ON {names[0]}.id {operator} {name}.id{shift}"
    return source, names


@st.composite
def conditions(draw: st.DrawFn, names: list[str]) -> str:
    """Comparisons, their columns in brackets so that they can be hidden."""
    paths = ["v", "v", "id", "id", "w", "u", *[f"{name}.{column}" for name in names for column in ("id", "v")]]
    found = []
    for _ in range(draw(st.integers(1, 2))):
        text = f"[{draw(st.sampled_from(paths))}] {draw(st.sampled_from(TAILS))}"
        inner = draw(st.sampled_from(["", "", "", "", "", "b", "a x", "b SEMI JOIN a USING (id)"]))
        found.append(f"EXISTS (FROM {inner} WHERE {text})" if inner else text)
    return " AND ".join(found)


@st.composite
def selects(draw: st.DrawFn) -> str:
    """A SELECT over any FROM, the columns that its WHEREs compare in brackets."""
    source, names = draw(froms())
    chosen = draw(st.sampled_from(["*", "count(*)", "1 AS v, *", f"{names[0]}.id + 20 AS v", f"{names[0]}.v AS id"]))
    if draw(st.booleans()):
        chosen += ", (SELECT count(*) FROM b WHERE [v] = 5)"
    return f"SELECT {chosen} FROM {source} WHERE {draw(conditions(names))} ORDER BY ALL"


def outcome(session: Session, sql: str) -> Any:
    try:
        return session.sql(sql).fetchall()
    except QueryError:
        return QueryError


@settings(max_examples=300)
@given(sql=selects())
def test_pruning_changes_no_rows(pair: Session, sql: str) -> None:
    """Whatever is joined and named, a comparison that files can be left out for gives what ``v + 0`` gives."""
    pruned = sql.replace("[", "").replace("]", "")
    whole = sql.replace("[", "(").replace("]", " + 0)")
    assert outcome(pair, pruned) == outcome(pair, whole), pruned


@pytest.mark.parametrize("kind", ["ANTI", "SEMI"])
@pytest.mark.parametrize("where", ["v = 5", "a.v = 5", "b.v = 3", "v IN (1, 2) AND id > 7"])
def test_a_where_prunes_no_table_it_does_not_see(pair: Session, kind: str, where: str) -> None:
    """The right side of a SEMI or ANTI join is read whole: no name in the WHERE means it."""
    sql = f"FROM a {kind} JOIN b ON a.id = b.id + 3 WHERE {{}} ORDER BY ALL"
    pruned = pair.sql(sql.format(where)).to_arrow_table()
    assert pruned.equals(pair.sql(sql.format(f"({where}) IS TRUE")).to_arrow_table())


def test_samples_are_drawn_before_where(many: Session) -> None:
    """USING SAMPLE draws from all rows of the FROM, whatever the WHERE excludes."""
    assert files_read(many, "SELECT * FROM t WHERE k = 15 USING SAMPLE 5 ROWS") == 10


@pytest.mark.parametrize(
    "statement",
    [
        "SET default_collation = 'NOCASE'",
        "set global DEFAULT_COLLATION to nocase",
        "SET SESSION \"default_collation\" = 'NOCASE'",
        "PRAGMA default_collation = 'NOCASE'",
        "/* */ PRAGMA default_collation='NOACCENT'; SELECT 1",
    ],
)
def test_settings_that_change_comparisons_are_refused(many: Session, statement: str) -> None:
    """No setting makes DuckDB compare otherwise than the statistics were judged."""
    with pytest.raises(QueryError, match="cannot be changed"):
        many.sql(statement)
    assert many.sql("SELECT 'a' = 'A', epoch(TIMESTAMPTZ '1970-01-01 00:00:00+00')").fetchall() == [(False, 0)]
    many.sql("SET VARIABLE default_collation = 'x'")


def remade(folder: Path, rows: int) -> None:
    """Drop a table, and make one of other rows at the same place."""
    shutil.rmtree(folder)
    tv.create_table(folder, pa.table({"a": [7] * rows}))


@pytest.mark.parametrize("sql", ["FROM t", "FROM t AT (VERSION => 0)", "FROM t WHERE a > 0", "FROM w"])
def test_a_table_made_anew_is_read_anew(tmp_path: Path, sql: str) -> None:
    """A session reads what lies there now, also where a table of the same name and version lay before."""
    tv.create_table(tmp_path / "t", pa.table({"a": [1, 2, 3]}))
    with connect(tmp_path) as session:
        session.sql("CREATE VIEW w AS FROM t")
        assert session.sql(sql).fetchall() == [(1,), (2,), (3,)]
        for rows in (2, 1):
            remade(tmp_path / "t", rows)
            assert session.sql(sql).fetchall() == [(7,)] * rows
        shutil.rmtree(tmp_path / "t")
        with pytest.raises(QueryError, match="no table 't'"):
            session.sql(sql).fetchall()


def test_a_dropped_table_leaves_no_view(root: Path, session: Session) -> None:
    """SHOW TABLES forgets a table whose folder is gone, and its name is free."""
    assert ("orders",) in session.sql("SHOW TABLES").fetchall()
    shutil.rmtree(root / "orders")
    assert session.sql("SHOW TABLES").fetchall() == [("shop/Items",)]
    session.sql("CREATE TABLE orders AS SELECT 1 AS x")
    assert session.sql("FROM orders").fetchall() == [(1,)]


def test_a_damaged_table_stops_no_other(root: Path, session: Session) -> None:
    """A session that has seen a table goes on when that cannot be read: only what names it fails, till it is mended."""
    session.sql("CREATE VIEW v AS FROM shop.Items; CREATE VIEW p AS PIVOT orders ON id IN (1) USING sum(price)")
    session.sql("CREATE MACRO m(n) AS TABLE SELECT * FROM orders WHERE id = n; SHOW TABLES")
    log = root / "orders" / "_delta_log" / f"{3:020}.json"
    entry = log.read_bytes()
    log.write_bytes(entry[:50])
    for _ in range(2):
        assert session.sql("SELECT 1").fetchall() == [(1,)]
        assert session.sql("SELECT count(*) FROM v").fetchall() == [(2,)]
        assert ("shop/Items",) in session.sql("SHOW TABLES").fetchall()
        for sql in ("FROM orders", "FROM m(1)", "FROM p", "PIVOT orders ON id USING sum(price)"):
            with pytest.raises(CorruptionError, match="log entry"):
                session.sql(sql).fetchall()
    log.write_bytes(entry)
    assert session.sql("FROM m(1)").fetchall() == [(1, 10)]
    assert session.sql("FROM p").fetchall() == [(10,)]
    assert ("orders",) in session.sql("SHOW TABLES").fetchall()


def test_a_table_that_comes_back_takes_no_name(root: Path, session: Session) -> None:
    """A view follows its table through a removal, unless the session has given the name to another meanwhile."""
    session.sql("CREATE VIEW v AS FROM orders; CREATE VIEW w AS FROM shop.Items")
    for name in ("orders", "shop"):
        (root / name).rename(root.parent / name)
    session.sql('CREATE TABLE orders AS SELECT 7::BIGINT AS id, 8::BIGINT AS price; DROP VIEW IF EXISTS "shop/Items"')
    for name in ("orders", "shop"):
        (root.parent / name).rename(root / name)
    assert session.sql("FROM orders").fetchall() == session.sql("FROM v").fetchall() == [(7, 8)]
    assert len(session.sql("FROM w").fetchall()) == 2


def test_a_listing_costs_the_next_statement_nothing(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables that were only listed are not read again by each statement that follows."""
    session.sql("SHOW TABLES; SELECT 1")
    monkeypatch.setattr(Log, "head", lambda log: pytest.fail(f"{log.uri} was read"))
    assert session.sql("SELECT 2").fetchall() == [(2,)]


def test_names_that_statements_make_are_known_at_once(root: Path, session: Session) -> None:
    """What a statement makes or drops shadows a versioned table, or stops doing so, from the next statement on."""
    session.sql("CREATE TABLE later AS SELECT 1 AS x")
    tv.create_table(root / "later", [{"y": 2}])
    assert ("later",) in session.sql("SHOW TABLES").fetchall()
    assert session.sql("FROM later").columns == ["x"]
    session.sql("BEGIN; ALTER TABLE later RENAME TO former; COMMIT")
    assert session.sql("FROM later").columns == ["y"]
    session.sql("BEGIN; CREATE TABLE last AS SELECT 1 AS x; ROLLBACK")
    tv.create_table(root / "last", [{"y": 2}])
    assert session.sql("FROM last").columns == ["y"]


@pytest.mark.parametrize("setup", ["CREATE SCHEMA s", "ATTACH ':memory:' AS s"])
def test_a_table_in_another_schema_hides_nothing(session: Session, setup: str) -> None:
    """A table of the session hides a versioned one where its name alone means it: not from another schema."""
    session.sql(f"{setup}; CREATE TABLE s.orders AS SELECT 99 AS id")
    for _ in range(2):
        assert len(session.sql("FROM orders").fetchall()) == 5
        assert len(session.sql("FROM orders AT (VERSION => 0)").fetchall()) == 5
        assert session.sql("FROM s.orders").fetchall() == [(99,)]
        assert ("orders",) in session.sql("SHOW TABLES").fetchall()
    session.sql("USE s")
    assert session.sql("FROM orders").fetchall() == [(99,)]
    session.sql("USE memory.main")
    assert len(session.sql("FROM orders").fetchall()) == 5


def shared(root: Path) -> duckdb.DuckDBPyConnection:
    """The database that queries of a root share."""
    return engine.confined_cursor(Catalog(root, None).folders())


def kept_objects(root: Path) -> list[Any]:
    asked = "SELECT view_name FROM duckdb_views() WHERE NOT internal UNION ALL SELECT table_name FROM duckdb_tables()"
    with shared(root) as connection, engine.cursor() as ours:
        return connection.execute(asked).fetchall() + ours.execute(asked).fetchall()


@pytest.mark.parametrize(
    "sql",
    [
        "FROM orders WHERE id = 3",
        "FROM table_versions('orders')",
        "SELECT setseed(0.5); FROM orders AT (VERSION => 0)",
        "SELECT * FROM orders WHERE CAST('x' AS INT) = id",
        "FROM table_versions('orders'), nothing",
        "CREATE TABLE mine AS FROM orders; SET VARIABLE v = 3; ATTACH ':memory:' AS other",
        "FROM enable_profiling()",
        "SHOW TABLES",
    ],
)
def test_a_query_leaves_nothing_behind(root: Path, sql: str) -> None:
    """What a query makes or sets is gone after it, whether it succeeds or fails."""
    asked = "SELECT name, value FROM duckdb_settings() WHERE name IN ('threads', 'enable_profiling') ORDER BY name"
    there = kept_objects(root)  # tests of the engine itself, in the same process, may keep some
    with shared(root) as connection:
        before = connection.execute(asked).fetchall()
    with suppress(QueryError):
        tv.query(sql, root=root)
    assert kept_objects(root) == there
    with shared(root) as connection:
        assert connection.execute(asked).fetchall() == before
        assert connection.execute("SELECT database_name FROM duckdb_databases() WHERE NOT internal").fetchall() == [
            ("memory",)
        ]


def test_queries_go_on_after_a_failure_of_duckdb(root: Path) -> None:
    """A database that DuckDB gave up on is not used again."""
    with engine.cursor() as ours, shared(root) as connection:
        ours.execute("CREATE TABLE memory.main.old AS SELECT 1")
        connection.execute("CREATE TABLE memory.main.old AS SELECT 1")
    with pytest.raises(CorruptionError), engine.query_errors("the query"):
        raise duckdb.FatalException("the database has been invalidated")
    assert kept_objects(root) == []


def test_few_databases_are_kept(tmp_path: Path) -> None:
    """Queries of many folders share as many databases as are kept, and one that is dropped while in use goes on."""
    folders = [tmp_path / str(i) for i in range(engine.MOST_CONFINED + 2)]
    for i, folder in enumerate(folders):
        tv.create_table(folder / "t", [{"id": i}])
    with shared(folders[0]) as connection:
        found = [tv.query("FROM t", root=folder).to_pylist() for folder in folders * 2]
        assert connection.execute("SELECT 1").fetchall() == [(1,)]
    assert found == [[{"id": i}] for i in range(len(folders))] * 2
    assert len(engine._confined) == engine.MOST_CONFINED


def test_queries_run_side_by_side(root: Path) -> None:
    """Threads that query at the same time see their own rows, and leave nothing behind."""

    def rows(number: int) -> int:
        return len(tv.query(f"FROM orders AT (VERSION => {number % 4})", root=root).to_pylist())

    there = kept_objects(root)  # tests of the engine itself, in the same process, may keep some
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(rows, range(40))) == [5, 6, 5, 5] * 10
    assert kept_objects(root) == there


class Unhurried:
    """A connection, as far as ``reach`` knows one, whose answer is old by the time it comes; and a scan in a store."""

    protocol = "slow"
    registered = 0

    def filesystem_is_registered(self, _: str) -> bool:
        there = self.registered > 0
        time.sleep(0.05)
        return there

    def register_filesystem(self, _: object) -> None:
        self.registered += 1

    @property
    def storage(self) -> Unhurried:
        return self

    def duckdb_filesystem(self) -> Unhurried:
        return self


def test_threads_that_reach_a_store_at_once_register_it_once() -> None:
    """Of threads that read objects for the first time in one database, none is refused by DuckDB."""
    both: Any = Unhurried()
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: engine.reach(both, both), range(3)))
    assert both.registered == 1


def test_rows_come_in_row_order(tmp_path: Path) -> None:
    """Without ORDER BY, a table's rows come in the order of read_version."""
    table = tv.create_table(tmp_path / "t", pa.table({"k": range(200_000)}), key="k")
    tv.delete(table, where="k % 5 = 0")
    tv.upsert(table, pa.table({"k": [1_000_000, 3]}))
    assert tv.query("FROM t", root=tmp_path).equals(tv.read_version(table))


def test_views_are_dropped_when_there_are_many(many: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long session keeps a bounded number of views, and those that its own views need."""
    monkeypatch.setattr("tablever.views.MOST_VIEWS", 4)
    many.sql("CREATE VIEW kept AS SELECT * FROM t AT (VERSION => 3)")
    for i in range(20):
        assert many.sql(f"SELECT count(*) FROM t WHERE k = {5 * i}").fetchall() == [(1,)]
    assert len(many._views.made) <= 6
    assert many.sql("SELECT count(*) FROM kept").fetchall() == [(40,)]


@pytest.mark.parametrize(
    "end", ["ROLLBACK", "COMMIT", "SELECT 'nothing'::INT; ROLLBACK", "SELECT 'nothing'::INT; COMMIT"]
)
def test_a_transaction_takes_no_table_away(root: Path, session: Session, end: str) -> None:
    """However a transaction ends, tables, versions and views show what they show without one."""
    session.sql("CREATE VIEW v AS SELECT * FROM orders; CREATE VIEW old AS SELECT * FROM orders AT (VERSION => 0)")
    asked = ["FROM v", "FROM old", "FROM orders", "FROM orders AT (VERSION => 1)", "FROM orders WHERE id = 3"]
    asked += ["FROM table_versions('orders') SELECT number", "PIVOT orders ON id USING sum(price)"]
    session.sql("BEGIN")
    tv.append(root / "orders", [{"id": 7, "price": 70}])
    inside = [session.sql(sql).pl() for sql in asked]
    assert [len(rows) for rows in inside] == [6, 5, 6, 6, 1, 5, 1]
    *failing, end = end.split(";")
    for sql in failing:
        with pytest.raises(QueryError, match="nothing"):
            session.sql(sql).fetchall()
        with pytest.raises(QueryError, match="ROLLBACK"):
            session.sql("FROM orders")
        with pytest.raises(QueryError, match="ROLLBACK"):
            session.sql("BEGIN")
    session.sql(end)
    for sql, rows in zip(asked, inside, strict=True):
        assert session.sql(sql).pl().equals(rows), sql
    assert session.sql("SELECT count(*) FROM v").fetchall() == session.sql("SELECT count(*) FROM orders").fetchall()
    assert ("v",) in session.sql("SHOW TABLES").fetchall()


def test_a_transaction_in_one_text(session: Session) -> None:
    """A version that a transaction read can be read again after it, told at once or statement by statement."""
    once = "SELECT count(*) FROM orders AT (VERSION => 0)"
    session.sql(f"BEGIN; {once}; ROLLBACK")
    for sql in ("BEGIN", once, "ROLLBACK", once):
        result = session.sql(sql)
    assert result.fetchall() == [(5,)]


def test_a_transaction_that_only_reads(root: Path, session: Session) -> None:
    """What is to be given back does not stand in the way of a transaction that may write nothing."""
    session.sql("CREATE VIEW v AS FROM orders; SHOW TABLES; FROM table_versions('orders')")
    session.sql("BEGIN TRANSACTION READ ONLY")
    for sql in ("FROM v", "FROM orders", "SELECT 1", "FROM v"):
        assert len(session.sql(sql).fetchall()) >= 1
    session.sql("COMMIT")
    tv.append(root / "orders", [{"id": 7, "price": 70}])
    assert len(session.sql("FROM v").fetchall()) == 6


def test_a_rollback_brings_back_nothing_that_nobody_needs(many: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a transaction made, or dropped to make room, is not left in the database when it is rolled back."""
    monkeypatch.setattr("tablever.views.MOST_VIEWS", 1)
    tv.delete(many._catalog.root.uri + "/t", where="g = 4")
    asked = [f"SELECT count(*) FROM t WHERE k BETWEEN {10 * i} AND {10 * i + 4}" for i in range(4)]
    for statements_of_one in (asked, ["BEGIN", *asked, "FROM table_versions('t')", "ROLLBACK"], asked):
        for sql in statements_of_one:
            found = many.sql(sql).fetchall()
            assert found == [(4,)] or sql not in asked
    there = engine.own_objects(many._connection)
    assert there is not None
    assert set(there) == {view.name for view in many._views.made.values()}
    variables = many._connection.execute("SELECT name FROM duckdb_variables()").fetchall()
    assert {name for (name,) in variables} == {name for view in many._views.made.values() for name in view.kept}


SPACES = "\u00a0\u2000\u2007\u200b\u202f\u205f\u2060\u3000\ufeff"


@pytest.mark.parametrize("space", [*SPACES, "\u00a0\u00a0"], ids=ascii)
def test_spaces_of_other_alphabets_are_spaces(root: Path, space: str) -> None:
    """SQL that was pasted with no-break spaces runs as with plain ones; in strings and quoted names they stay."""
    for sql in ("SELECT * FROM orders", "SELECT o.* FROM orders AT (VERSION => 3) o; "):
        assert prices(tv.query(sql.replace(" ", space) + "--" + space, root=root)) == HEAD
    text = f"it''s{space}\"$$--"
    sql = f"SELECT '{text}' AS \"a{space}''\", $$ {space} '$$ AS b, $é${space}$$$é$ AS c"
    sql += " FROM orders AT (VERSION => 0) LIMIT 1"
    for word in ("AS", "FROM", "AT", "LIMIT"):
        sql = sql.replace(f" {word} ", f"{space}{word}{space}")
    expected = {f"a{space}''": text.replace("''", "'"), "b": f" {space} '", "c": f"{space}$$"}
    assert tv.query(sql, root=root).to_pylist() == [expected]


def test_every_space_of_duckdb_is_known() -> None:
    """What DuckDB's parser replaces by a space we replace, and nothing else."""
    others = [chr(code) for code in (*range(0x80, 0x3100), 0xFEFF, 0xFFFD, 0x1F600)]
    for letter in others:
        text = f"SELECT 1 AS a{letter}, 2"
        assert statements.plain_spaces(text) == duckdb.extract_statements(text)[0].query, ascii(letter)


def test_a_statement_may_name_more_versions_than_views_are_kept(many: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many versions a statement names, it reads all of them; afterwards few views are left."""
    monkeypatch.setattr("tablever.views.MOST_VIEWS", 2)
    sql = " UNION ALL ".join(f"SELECT count(*) AS n FROM t AT (VERSION => {i})" for i in range(10))
    assert many.sql(f"{sql} ORDER BY n").fetchall() == [(10 * i + 10,) for i in range(10)]
    many.sql("SELECT 1")
    assert len(many._views.made) <= 2


def test_rows_that_were_staged_are_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long session holds the rows of its last statement and of its own views, and shows none of them as tables."""
    monkeypatch.setattr("tablever.views.MOST_VIEWS", 1)
    table = tv.create_table(tmp_path / "we[i]rd", [{"id": 1}])  # a name that DuckDB does not read right
    with connect(tmp_path) as session:
        session.sql("CREATE VIEW first AS FROM table_versions('we[i]rd'); CREATE MACRO n() AS 1")
        session.sql('CREATE VIEW old AS FROM "we[i]rd" AT (VERSION => 0)')
        for i in range(4):
            tv.append(table, [{"id": i}])
            assert session.sql('SELECT count(*) FROM "we[i]rd"').fetchall() == [(i + 2,)]
            assert session.sql("SELECT count(*) FROM table_versions('we[i]rd')").fetchall() == [(i + 2,)]
            assert session.sql("SELECT count(*) FROM first, old").fetchall() == [(1,)]
        assert session.sql("SHOW TABLES").fetchall() == [("first",), ("old",), ("we[i]rd",)]
        session.sql("SELECT 1")
        there = engine.own_objects(session._connection) or {}
        held = {name for view in session._views.made.values() for name in view.kept}
        assert sorted(there.values()) == ["TABLE"] * (len(held) + 1) + ["VIEW"] * len(session._views.made)
        assert len(session._views.made) <= 2


def test_a_result_that_is_read_too_late_says_so(session: Session) -> None:
    """Rows that were staged for a statement are gone with the next one, and the error says what to do."""
    late = session.sql("FROM table_versions('orders')")
    session.sql("SELECT 1")
    with pytest.raises(QueryError, match="given back") as caught:
        late.fetchall()
    assert caught.value.hint == "read each result before the next statement of its session"


def test_what_cannot_be_read_whole_leaves_nothing(tmp_path: Path) -> None:
    """A file that cannot be decoded takes the rows with it that were decoded before."""
    table = tv.create_table(tmp_path / "we[i]rd", [{"id": 1}])
    tv.append(table, [{"id": 2}])
    first, second = sorted((tmp_path / "we[i]rd").rglob("part-*"), key=lambda path: path.stat().st_mtime_ns)
    with connect(tmp_path) as session:
        for file in (first, second):
            there = file.read_bytes()
            file.write_bytes(there[:4] + b"\xff" * 20 + there[24:])
            with pytest.raises(CorruptionError):
                session.sql('FROM "we[i]rd"').fetchall()
            file.write_bytes(there)
            assert engine.own_objects(session._connection) == {}
        assert session.sql("SHOW TABLES; SELECT 1").fetchall() == [(1,)]


def shown(text: str) -> list[tuple[tuple[str, ...], Any]]:
    data = text.encode()
    tokens = statements.cut(data, engine.token_starts(data))
    found = statements.token_references(tokens)
    return [(r.path, r.at and data[r.at.value_start : r.at.value_end].decode()) for r in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PIVOT t AT (VERSION => 3) ON a", [(("t",), "3")]),
        ("FROM a.b x AT (VERSION => 'v1')", [(("a", "b"), "'v1'")]),
        ('FROM "a b"."c" AS x (p, q) AT (TIMESTAMP => now())', [(("a b", "c"), "now()")]),
        ("SELECT 'é', x FROM é AT (VERSION => (1 + 2)), u AT (VERSION => 4)", [(("é",), "(1 + 2)"), (("u",), "4")]),
        ("SELECT 'FROM t AT (VERSION => 3)' -- AT (VERSION => 3)", []),
        ("SELECT t AT TIME ZONE 'UTC' FROM t", []),
    ],
)
def test_versions_are_found_without_a_tree(text: str, expected: list[Any]) -> None:
    """In statements that DuckDB gives no tree for, tokens tell where versions are named."""
    assert shown(text) == expected


SHADOWS = """
    SELECT DISTINCT function_name, function_type IN ('table', 'table_macro', 'pragma') FROM duckdb_functions()
    WHERE database_name = 'system' AND NOT starts_with(function_name, 'python_') ORDER BY ALL
"""


def test_no_macro_of_a_session_changes_what_is_read(tmp_path: Path) -> None:
    """Versions are read alike in a session that gave every function of DuckDB, operators too, another meaning."""
    rows = [{"id": i, "p": f"p{i % 3}", "x": {"y": [i / 2]}, "d": b"\x00"} for i in range(9)]
    for name in ("t", "we[i]rd"):
        table = tv.create_table(tmp_path / name, rows, partition_by="p")
        tv.delete(table, where="id IN (2, 5)")
        tv.append(table, [{"id": 10, "p": None, "x": None, "d": None, "new": 1}], evolve=True)
    asked = ["FROM t", "FROM t AT (VERSION => 0)", "FROM \"we[i]rd\" AT (VERSION => 'latest')", "FROM t WHERE id = 3"]
    asked += [
        "FROM table_changes('t', 0, 2)",
        "FROM table_versions('t')",
        "FROM v",
        "FROM t o AT (VERSION => 1) JOIN t USING (id) ORDER BY id",
    ]
    with tv.connect(tmp_path) as session:
        session.sql("CREATE VIEW v AS FROM t")
        expected = [session.sql(sql).to_arrow_table() for sql in asked]
    with tv.connect(tmp_path) as session:
        shadows = session._connection.execute(SHADOWS).fetchall()
        assert len(shadows) > 500
        for name, gives_rows in shadows:
            body = "TABLE SELECT 'shadowed' AS c0" if gives_rows else "'shadowed'"
            with suppress(duckdb.Error):  # a few names cannot be given
                session._connection.execute(f"CREATE MACRO {engine.identifier(name)}(a) AS {body}")
        session.sql("CREATE VIEW v AS FROM t")
        assert session.sql("SELECT list_value(1)").fetchall() == [("shadowed",)]
        for sql, rows_before in zip(asked, expected, strict=True):
            assert session.sql(sql).to_arrow_table().equals(rows_before), sql
        session.sql("BEGIN; ROLLBACK")
        assert session.sql("FROM v").to_arrow_table().equals(expected[asked.index("FROM v")])
