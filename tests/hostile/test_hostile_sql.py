"""SQL that would write, reach out or change the rules: refused, and nothing written anywhere."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tablever as tv
from tablever import engine, expressions
from tablever.catalog import Catalog
from tablever.errors import CorruptionError, InvalidInputError, QueryError, TableverError
from tablever.session import Session, only_reads
from tests.cli.conftest import Shell


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of one table, with links out of it and into the table; ``outside`` beside it holds secrets."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    tv.create_table(root / "orders", [{"id": 1, "label": "a"}, {"id": 2, "label": "b"}], key="id")
    outside.mkdir()
    (outside / "secret.csv").write_text("a,b\n1,2\n")
    (outside / "key.csv").write_text("a,b\n1,2\n")
    pq.write_table(pa.table({"a": [1]}), outside / "secret.parquet")
    with duckdb.connect(root / "mine.duckdb") as mine:
        mine.execute("CREATE TABLE precious AS SELECT 42 AS a")
    (root / "stored").mkdir()
    (root / "stored" / "schema.sql").write_text("CREATE TABLE stored AS SELECT 1;")
    (root / "stored" / "load.sql").write_text("")
    (root / "inwards").symlink_to(root / "orders")
    (root / "outwards").symlink_to(outside)
    return root


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


READS = [
    "FROM read_csv('OUT/secret.csv')",
    "FROM 'OUT/secret.csv'",
    "FROM 'OUT/secret.parquet'",
    "FROM read_text('OUT/secret.csv')",
    "FROM read_blob('/etc/passwd')",
    "FROM glob('OUT/*')",
    "FROM parquet_metadata('OUT/secret.parquet')",
    "FROM parquet_scan('OUT/secret.parquet')",
    "FROM sniff_csv('OUT/secret.csv')",
    "FROM read_csv('ROOT/../outside/secret.csv')",
    "FROM read_csv('ROOT/outwards/secret.csv')",
    "SELECT (FROM read_text('OUT/secret.csv') SELECT content)",
    "FROM orders WHERE label IN (SELECT content FROM read_text('OUT/secret.csv'))",
    "WITH orders AS (FROM read_text('OUT/secret.csv')) FROM orders",
    # Names that Python and DuckDB fold, or see, differently: the CTE is not what the FROM names.
    'WITH RECURSIVE "OUT/key.csv" AS (FROM "OUT/key.csv" UNION ALL SELECT 1, 2 WHERE false) FROM \'OUT/key.csv\'',
    "WITH \"OUT/\u017fecret.csv\" AS (SELECT 1) FROM 'OUT/secret.csv'",
    "WITH \"OUT/\u212aey.csv\" AS (SELECT 1) FROM 'OUT/key.csv'",
    "CREATE VIEW v AS FROM 'OUT/secret.csv'; FROM v",
    "CREATE TABLE t (a int, b int); COPY t FROM 'OUT/secret.csv'",
    "FROM read_csv('http://127.0.0.1:9/x')",
    "FROM read_csv('s3://bucket/x')",
]
WRITES = [
    "COPY (SELECT 1) TO 'OUT/new.csv'",
    "COPY (SELECT 1) TO 'ROOT/new.csv'",
    "COPY (SELECT 1) TO 'PART'",
    "COPY (SELECT 1) TO 'ROOT/orders/_delta_log/00000000000000000009.json'",
    "COPY (SELECT 1) TO 'ROOT/other/_delta_log/00000000000000000000.json'",
    "COPY (SELECT 1) TO 'ROOT/inwards/new.csv'",
    "COPY (SELECT 1) TO 'file:ROOT/orders/new.csv'",
    "COPY (SELECT 1) TO '~/new.csv'",
    "COPY (SELECT 1) TO E'PART'",
    "COPY (SELECT 1) TO $$PART$$",
    "COPY (SELECT 1 AS a, 2 AS b) TO 'ROOT' (FORMAT parquet, PARTITION_BY (a), OVERWRITE true)",
    "COPY (SELECT 1 AS a, 2 AS b) TO 'ROOT' (FORMAT parquet, \"partition_by\" (a), overwrite_or_ignore)",
    "COPY (SELECT 1 AS a, 2 AS b) TO 'ROOT/n' (FORMAT parquet, PARTITION_BY (a), FILENAME_PATTERN '../../orders/x')",
    "COPY (SELECT 1) TO 'ROOT/orders' (FORMAT parquet, PER_THREAD_OUTPUT)",
    "CREATE TABLE \"from\" AS SELECT 1; COPY main.from TO 'ROOT/orders/_delta_log/00000000000000000001.json'",
    "CREATE TABLE \"from\" AS SELECT 1; COPY memory.main.from TO 'ROOT/new.csv' (HEADER false)",
    "CREATE TABLE \"from\" AS SELECT 1 AS a; COPY main.from(a) TO 'PART'",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO 'PART'",
    "PREPARE p AS COPY (SELECT 1) TO 'PART'; EXECUTE p",
    "PREPARE p AS COPY (SELECT 1) TO $1; EXECUTE p('PART')",
    "EXPORT DATABASE 'ROOT/orders'",
    "EXPORT DATABASE 'ROOT/new'",
    "IMPORT DATABASE 'ROOT/new'",
    "PRAGMA import_database('ROOT/new')",
    "PRAGMA \"import_database\"('ROOT/stored')",
    "CALL import_database('ROOT/stored')",
    "ATTACH 'PART' AS x",
    "ATTACH 'ROOT/new.db' AS x",
    "ATTACH IF NOT EXISTS 'ROOT/new.db' AS ':memory:'",
    "ATTACH OR REPLACE 'ROOT/new.db'",
    "ATTACH replace(':memory:', ':memory:', 'ROOT/new.db') AS x",
    "ATTACH replace(':memory:', ':memory:', 'ROOT/mine.duckdb') AS x; DROP TABLE x.precious",
    "ATTACH 'ROOT/new.db' || ':memory:'",
    "ATTACH 'ROOT/new.db' ':memory:' AS x",
    "ATTACH 'ROOT/new.db'\n':memory:' AS x",
    "ATTACH 'ROOT/new.db' (TYPE ':memory:')",
    "SET log_query_path = 'ROOT/log'; SELECT 1",
    "CALL enable_logging('QueryLog', storage = 'file', storage_path = 'ROOT/logs'); SELECT 1",
    "FROM enable_logging('QueryLog', storage = 'file', storage_path = 'ROOT/logs'); SELECT 1",
    "SET profiling_output = 'ROOT/orders/x.json'; SELECT 1",
    "PRAGMA enable_profiling = 'json'",
    "CREATE PERSISTENT SECRET s (TYPE http, BEARER_TOKEN 'x')",
    "CREATE OR REPLACE SECRET s (TYPE http, BEARER_TOKEN 'x')",
    "DROP SECRET IF EXISTS s",
    "EXPLAIN ANALYZE CREATE PERSISTENT SECRET s (TYPE http, BEARER_TOKEN 'x')",
]
RULES = [
    "INSTALL httpfs",
    "FORCE INSTALL httpfs FROM 'ROOT'",
    "LOAD httpfs",
    "LOAD 'ROOT/evil.duckdb_extension'",
    "UPDATE EXTENSIONS",
    "SET enable_external_access = true",
    "SET GLOBAL enable_external_access = true",
    "RESET enable_external_access",
    "SET lock_configuration = false",
    "PRAGMA lock_configuration = false",
    "RESET lock_configuration",
    "SET allowed_directories = ['/']",
    "SET allowed_paths = ['/etc/passwd']",
    "SET python_enable_replacements = true",
    "SET autoinstall_known_extensions = true",
    "SET temp_directory = 'ROOT/x'",
    "SET threads = 1",
    "SELECT getenv('HOME')",
]


@pytest.mark.parametrize("statement", [*READS, *WRITES, *RULES])
@pytest.mark.parametrize("allowed", [False, True], ids=["strict", "a folder allowed"])
def test_sql_stays_where_it_is_put(root: Path, tmp_path: Path, statement: str, allowed: bool) -> None:
    """Nothing outside the root is read, no file written, no rule changed; another allowed folder changes nothing."""
    other = tmp_path / "other"
    other.mkdir()
    part = next((root / "orders").glob("part-*.parquet"))
    statement = (
        re.sub("(?<=['\"])OUT", f"{tmp_path}/outside", statement)
        .replace("ROOT", str(root))
        .replace("PART'", f"{part}'")
    )
    statement = statement.replace("$$PART$$", f"$${part}$$")
    before = contents(tmp_path)
    folders = [other] if allowed else []
    with pytest.raises(QueryError):
        tv.query(statement, root=root, allow_folders=folders)
    with tv.connect(root, allow_folders=folders) as session, pytest.raises(QueryError):
        session.sql(statement).to_arrow_table()
    assert contents(tmp_path) == before


# DuckDB takes statements that write for the body of a CTE, and calls the whole a SELECT.
INSIDE = [
    "WITH x AS (COPY (SELECT 1 AS gone) TO 'NEW' (FORMAT csv)) SELECT 1",
    "WITH x AS (COPY (SELECT 9 AS id) TO 'PART' (FORMAT parquet)) FROM x",
    "WITH x AS (COPY (SELECT '{}') TO 'LOG' (FORMAT csv, HEADER false, QUOTE '', DELIMITER '|')) SELECT 1",
    "WITH x AS (COPY (SELECT 1 AS a, 2 AS b) TO 'ROOT/orders' (FORMAT parquet, PARTITION_BY (a), OVERWRITE)) FROM x",
    "WITH x AS(/* ( */cOpY/**/mine TO'NEW')SELECT 1",
    "WITH x(a) AS NOT MATERIALIZED (COPY mine TO 'NEW' WITH (HEADER)) SELECT 1",
    "WITH x AS MATERIALIZED (COPY memory.main.mine (id) TO 'NEW') SELECT 1",
    "WITH x AS (COPY orders TO 'NEW') SELECT 1",
    "WITH x AS (SELECT 1), y AS (COPY orders TO 'NEW') FROM x",
    "SELECT 1; WITH x AS (COPY (SELECT 1) TO 'NEW') SELECT 1",
    "EXPLAIN WITH x AS (COPY (SELECT 1) TO 'NEW') SELECT 1",
    "EXPLAIN ANALYZE WITH x AS (COPY (SELECT 1) TO 'NEW') SELECT 1",
    "EXPLAIN (ANALYZE, FORMAT json) WITH x AS (COPY (SELECT 1) TO 'NEW') SELECT 1",
    "CREATE TABLE t AS WITH x AS (COPY (SELECT 1) TO 'NEW') SELECT 1",
    "CREATE VIEW v AS WITH x AS (COPY (SELECT 1) TO 'NEW') SELECT 1; FROM v",
    "CREATE MACRO m() AS TABLE WITH x AS (COPY (SELECT 1) TO 'NEW') SELECT 1; FROM m()",
    "PREPARE p AS WITH x AS (COPY (SELECT 1) TO 'NEW') SELECT 1; EXECUTE p",
    "INSERT INTO mine WITH x AS (COPY (SELECT 1) TO 'NEW') SELECT 1",
    "WITH x AS (COPY (SELECT 1) TO 'NEW') INSERT INTO mine SELECT 1",
    "WITH x AS (COPY (SELECT 1) TO 'NEW') UPDATE mine SET id = 2",
    "WITH x AS (COPY (SELECT 1) TO 'NEW') DELETE FROM mine",
    "WITH x AS (COPY (SELECT 1) TO 'NEW') MERGE INTO mine USING (SELECT 1 AS id) USING (id) WHEN MATCHED THEN DELETE",
    "WITH x AS (COPY (SELECT 1) TO 'NEW') PIVOT mine ON id USING count(*)",
    "FROM (WITH x AS (COPY (SELECT 1) TO 'NEW') SELECT 1)",
    "WITH y AS (WITH x AS (COPY (SELECT 1) TO 'NEW') SELECT 1) FROM y",
    "WITH RECURSIVE x AS (COPY (SELECT 1) TO 'NEW') SELECT 1",
    "SELECT 1 UNION ALL (WITH x AS (COPY (SELECT 1) TO 'NEW') SELECT 1)",
    "COPY (WITH x AS (COPY (SELECT 1) TO 'NEW') SELECT 1) TO 'OTHER/new.csv'",
    "FROM orders AT (VERSION => (WITH x AS (COPY (SELECT 1) TO 'NEW') SELECT 0))",
    "FROM table_diff('orders', 0, (WITH x AS (COPY (SELECT 1) TO 'NEW') SELECT 0))",
    "WITH x AS (INSERT INTO mine VALUES (2) RETURNING id) FROM x",
    "WITH x AS (WITH y AS (SELECT 2) INSERT INTO mine FROM y RETURNING id) FROM x",
    "WITH x AS (UPDATE mine SET id = 2 RETURNING id) FROM x",
    "WITH x AS (DELETE FROM mine RETURNING id) FROM x",
    "WITH x AS (DELETE FROM mine RETURNING id) INSERT INTO mine SELECT 2",
]
TEXTS = [
    "FROM json_execute_serialized_sql(json_serialize_sql('WITH x AS (COPY (SELECT 1) TO ''NEW'') SELECT 1'))",
    "FROM system . main . \"JSON_execute_serialized_sql\" (json_serialize_sql($$COPY mine TO 'NEW'$$))",
    "CALL json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "PRAGMA json_execute_serialized_sql('{}')",
    "PREPARE p AS FROM json_execute_serialized_sql($1); EXECUTE p(json_serialize_sql('SELECT 1'))",
    "CREATE MACRO m(t) AS TABLE FROM json_execute_serialized_sql(t); FROM m(json_serialize_sql('SELECT 1'))",
    "FROM query('WITH x AS (COPY (SELECT 1) TO ''NEW'') SELECT 1')",
    "FROM mine, \"Query\" /* of */ ('SELECT 1')",
    "PIVOT main.query('SELECT 1 AS a') ON a",
]


def test_nothing_is_written_inside_a_query(root: Path, tmp_path: Path) -> None:
    """Nothing that writes stands inside a statement, nor in a text that one runs, even where COPY alone could write."""
    part = next((root / "orders").glob("part-*.parquet"))
    log = root / "orders" / "_delta_log" / f"{1:020d}.json"
    before = contents(tmp_path)
    for folders, new in (([], root), ([tmp_path / "outside"], tmp_path / "outside")):
        with tv.connect(root, allow_folders=folders) as session:
            session.sql("CREATE TABLE mine AS SELECT 1 AS id")
            for statement in (*INSIDE, *TEXTS):
                sql = statement.replace("ROOT", str(root)).replace("PART'", f"{part}'").replace("LOG", str(log))
                sql = sql.replace("NEW", f"{new}/new.csv").replace("OTHER", str(tmp_path / "outside"))
                with pytest.raises(QueryError):
                    session.sql(sql).to_arrow_table()
                if not folders:
                    with pytest.raises(QueryError):
                        tv.query(sql, root=root)
                assert session.sql("FROM mine").fetchall() == [(1,)], statement
    assert contents(tmp_path) == before


def test_what_is_judged_is_what_runs(root: Path, tmp_path: Path) -> None:
    """Spaces that DuckDB reads as letters at first and as spaces later hide no statement, nor another file's name."""
    outside = tmp_path / "outside"
    before = contents(tmp_path)
    hidden = f"SELECT \xa0$y$ , $y$; COPY (SELECT 1) TO '{root}/new.csv'; --$y$ FROM (SELECT 1 AS \xa0$y$)"
    renamed = f"COPY /* ' */ (SELECT 1) TO '{outside}/a\xa0b.csv' -- '"
    for first in ("SELECT 1 /* ' */; ", "SELECT E'\\''; "):
        for last in (hidden, f"EXPLAIN ANALYZE {hidden}", renamed):
            with pytest.raises(QueryError, match="can be read in two ways"):
                tv.query(first + last, root=root, allow_folders=[outside])
            with tv.connect(root, allow_folders=[outside]) as session, pytest.raises(QueryError):
                session.sql(first + last)
            assert contents(tmp_path) == before
    with pytest.raises(QueryError):
        tv.query(hidden, root=root)
    assert contents(tmp_path) == before


def test_an_expression_is_read_in_one_way(root: Path) -> None:
    """A condition or a value has plain spaces, which are read alike wherever it stands; texts and names have any."""
    table = tv.create_table(root / "spaced", [{"id": 1, "a\xa0b": "x\xa0y"}])
    assert tv.read_version(table, where="\"a\xa0b\" = 'x\xa0y' -- \xa0").num_rows == 1
    for text in ("id\xa0= 1", "length(\xa0$y$ || $y$) = 1", "$\xa0$x$\xa0$ = 'x'", "id = 1 \ufeff"):
        with pytest.raises(QueryError, match="has a space of another alphabet"):
            tv.read_version(table, where=text)
        with pytest.raises(QueryError, match="has a space of another alphabet"):
            tv.update(table, {"id": f"CASE WHEN {text} THEN 1 END"}, where="true")


def test_a_refusal_inside_a_query_says_how_to_write_it(root: Path) -> None:
    """What stands inside a statement is named, and sent where it can stand; what only looks like it runs."""
    for verb, body in {"COPY": "COPY orders TO 'x.csv'", "INSERT": "WITH y AS (SELECT 1) INSERT INTO t FROM y"}.items():
        with pytest.raises(QueryError, match=f"^{verb} inside another statement is not allowed") as caught:
            tv.query(f"WITH x AS ({body}) SELECT 1", root=root)
        assert caught.value.hint == f"write the {verb} as a statement of its own"
    with pytest.raises(QueryError, match=r"^query\(\), which runs the SQL in a text, is not allowed"):
        tv.query("FROM query('FROM orders')", root=root)
    with tv.connect(root) as session:
        session.sql(
            "CREATE TABLE main.query (copy INT, delete INT); INSERT INTO main.query (copy, delete) VALUES (3, 4)"
        )
        session.sql("CREATE MACRO m(update) AS (update + 1)")
        found = session.sql("WITH insert(copy) AS (SELECT m((copy)) FROM query) SELECT (copy) FROM insert")
        assert found.fetchall() == [(4,)]


def test_a_query_writes_nothing_that_others_see(root: Path) -> None:
    """A query that writes is not run in the database that queries share, where others' rows are."""
    catalog = Catalog(root, None)
    for body in ("COPY mine TO 'x'", "INSERT INTO mine VALUES (1)", "UPDATE mine SET id = 1", "DELETE FROM mine"):
        assert not only_reads(f"WITH x AS ({body}) SELECT 1", catalog)
    with Session(catalog, shared=True) as other:
        rows = other.sql("SELECT number, operation FROM table_versions('orders')")
        (staged,) = other._views._rows
        forged = f"INSERT INTO {staged} BY NAME SELECT 99 AS number, 'forged' AS operation RETURNING number"
        with pytest.raises(QueryError):
            tv.query(f"WITH x AS ({forged}) FROM x", root=root)
        assert rows.fetchall() == [(0, "create")]


def test_allowed_folders_are_read_and_written(root: Path, tmp_path: Path) -> None:
    """What the caller allows works: files of that folder are read, and COPY writes one there, through links too."""
    outside = tmp_path / "outside"
    with tv.connect(root, allow_folders=[outside]) as session:
        assert session.sql(f"FROM '{outside}/secret.csv'").fetchall() == [(1, 2)]
        session.sql(f"COPY orders TO '{outside}/new.csv' (HEADER, DELIMITER ';')").fetchall()
        session.sql(f"COPY (FROM orders) TO '{root}/outwards/linked.csv';").fetchall()
        assert session.sql(f"SELECT count(*) FROM '{outside}/new.csv'").fetchall() == [(2,)]
    assert (outside / "new.csv").read_text() == "id;label\n1;a\n2;b\n"
    assert (outside / "linked.csv").exists()


def test_what_stays_in_memory_runs(root: Path, tmp_path: Path) -> None:
    """The statements that look like refused ones, and only touch the session's memory, are free."""
    with tv.connect(root, allow_folders=[tmp_path]) as session:
        for i, words in enumerate(("", "IF NOT EXISTS ", "OR REPLACE DATABASE ", "DATABASE ")):
            session.sql(f"ATTACH {words}':memory:' AS other_{i}")
        session.sql("CREATE TABLE other_0.t AS SELECT 1 AS a; ATTACH ':memory:' AS third (TYPE duckdb)")
        session.sql("COPY FROM DATABASE other_0 TO third")
        assert session.sql("PRAGMA table_info('third.t')").to_arrow_table().num_rows == 1
        session.sql('CREATE TABLE "from" (a INT); CREATE TABLE secret AS SELECT 1 AS a')
        session.sql(f"COPY secret(a) TO '{tmp_path}/a.csv'; COPY \"from\" (a) FROM '{tmp_path}/a.csv'")
        session.sql(f"COPY main.from FROM '{tmp_path}/a.csv' (HEADER)")
        assert session.sql('FROM "from"').fetchall() == [(1,), (1,)]


LINKED = [
    "FROM linked",
    "FROM LINKED",
    'FROM "outwards/private"',
    "FROM outwards.private",
    "FROM linked AT (VERSION => 0)",
    "FROM table_history('linked')",
    "FROM table_versions('outwards/private')",
    "FROM table_diff('linked', 0, 0)",
    "DESCRIBE linked",
    "CREATE TABLE x (id INT); INSERT INTO x SELECT id FROM linked",
    "CREATE TABLE x (id INT); UPDATE x SET id = 2 FROM linked",
]


@pytest.mark.parametrize("statement", LINKED)
def test_no_link_brings_in_a_table(root: Path, tmp_path: Path, statement: str) -> None:
    """A link below the root makes no table outside it readable; given as a root, by name, or allowed, it is one."""
    private = tv.create_table(tmp_path / "outside" / "private", [{"id": 7}], key="id")
    (root / "linked").symlink_to(tmp_path / "outside" / "private")
    with pytest.raises(QueryError):
        tv.query(statement, root=root)
    with tv.connect(root) as session, pytest.raises(QueryError):
        session.sql(statement).to_arrow_table()
    if statement == "FROM linked":
        with pytest.raises(QueryError, match="leads out"):
            tv.query(statement, root=root)
        for options in ({"root": root / "linked"}, {"tables": {"linked": private}}, {"allow_folders": [tmp_path]}):
            assert tv.query(statement, **{"root": root, **options}).to_pylist() == [{"id": 7}]
        assert tv.query(statement, root=root, allow_folders=[tmp_path / "outside" / "private"]).num_rows == 1


def test_a_link_shows_names_and_nothing_else(root: Path) -> None:
    """A wildcard before a link that leads out lists what lies behind it; what it lists cannot be opened, as is told."""
    seen = f"{root}/outwards/secret.csv"
    assert tv.query(f"FROM glob('{root}/*/secret.csv')", root=root).to_pylist() == [{"file": seen}]
    for sql in (f"FROM glob('{root}/outwards/*')", f"FROM read_text('{root}/*/secret.csv')", f"FROM '{seen}'"):
        with pytest.raises(QueryError):
            tv.query(sql, root=root)


def test_tables_that_cannot_be_read_are_in_no_ones_way(root: Path, tmp_path: Path) -> None:
    """Neither a link that leads out nor a damaged table keeps a session from listing the others."""
    tv.create_table(tmp_path / "outside" / "private", [{"id": 7}])
    (root / "linked").symlink_to(tmp_path / "outside" / "private")
    tv.create_table(root / "damaged", [{"id": 7}])
    (root / "damaged" / "_delta_log" / "00000000000000000000.json").write_text("{")
    with tv.connect(root) as session:
        assert session.sql("SHOW TABLES").fetchall() == [("inwards",), ("orders",)]
        assert session.sql("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall() != []
        assert session.tables() == ["damaged", "inwards", "orders"]
        with pytest.raises(CorruptionError):
            session.sql("FROM damaged")


def test_no_secret_is_stored(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session keeps no secrets on the disk, whether or not its statements were looked at before."""
    monkeypatch.setenv("HOME", str(root))
    before = contents(root)
    with tv.connect(root) as session, pytest.raises(duckdb.Error, match="disabled"):
        session._connection.execute("CREATE PERSISTENT SECRET s (TYPE http, BEARER_TOKEN 'x')")
    assert (contents(root), (root / ".duckdb").exists()) == (before, False)
    with pytest.raises(QueryError, match="cannot be set"):
        tv.connect(root, settings={"allow_persistent_secrets": True})


def test_a_tables_folder_is_written_by_no_copy(root: Path, tmp_path: Path) -> None:
    """A folder that is allowed does not open the versioned tables in it, nor what would become one."""
    part = next((root / "orders").glob("part-*.parquet"))
    before = contents(root)
    for target in (part, root / "inwards" / "x.csv", root / "orders", root / "new" / "_delta_log" / "x.json"):
        with pytest.raises(QueryError, match="COPY"):
            tv.query(f"COPY (SELECT 1) TO '{target}'", root=root, allow_folders=[root, tmp_path])
    assert contents(root) == before


def test_settings_are_the_callers(root: Path) -> None:
    """Settings are given with the session, and not those that keep it to its folders."""
    with tv.connect(root, settings={"threads": 1, "TimeZone": "Europe/Berlin"}) as session:
        assert session.sql("SELECT current_setting('threads'), current_setting('TimeZone')").fetchall() == [
            (1, "Europe/Berlin")
        ]
    for bad in ({"enable_external_access": True}, {"nonsense": 1}, {"threads = 1; INSTALL x; --": 1}):
        with pytest.raises(TableverError):
            tv.connect(root, settings=bad)
    with pytest.raises(InvalidInputError, match="list of folders"):
        tv.connect(root, allow_folders=str(root))
    with pytest.raises(InvalidInputError, match="no folder"):
        tv.connect(root, allow_folders=[root / "nowhere"])


def test_the_shell_says_how_to_allow(root: Path, tmp_path: Path, shell: Shell) -> None:
    """A refusal in the shell names its option, which then works."""
    outside = tmp_path / "outside"
    refused = shell("sql", f"FROM '{outside}/secret.csv'", "--root", root)
    assert (refused.code, "--allow-folder" in refused.err) == (5, True)
    copied = shell("sql", f"COPY orders TO '{outside}/o.csv'", "--root", root)
    assert (copied.code, f"--allow-folder {outside}" in copied.err) == (5, True)
    assert shell("sql", f"COPY orders TO '{outside}/o.csv'", "--root", root, "--allow-folder", outside).code == 0


PLAN = "json_serialize_plan('SELECT min(hidden) FROM \"OUT\"', optimize := true)"


@pytest.mark.parametrize(
    "name",
    [
        "json_serialize_plan",
        "JSON_Serialize_Plan",
        '"json_serialize_plan"',
        "main.json_serialize_plan",
        "system.main.json_serialize_plan",
    ],
)
def test_no_text_is_planned(root: Path, tmp_path: Path, name: str) -> None:
    """A function that plans the SQL in a text opens no file: not in a condition, an assignment, a version, a query."""
    pq.write_table(pa.table({"hidden": ["alpha", "beta"]}), tmp_path / "outside" / "hidden.parquet")
    plan = PLAN.replace("json_serialize_plan", name).replace("OUT", f"{tmp_path}/outside/hidden.parquet")
    with pytest.raises(QueryError):
        tv.read_version(root / "orders", where=f"{plan}::VARCHAR LIKE '%alpha%'")
    with pytest.raises(QueryError):
        tv.update(root / "orders", {"label": f"{plan}::VARCHAR"}, where="id = 1")
    asked = f"FROM orders AT (VERSION => CASE WHEN {plan}::VARCHAR LIKE '%alpha%' THEN 0 ELSE 77 END)"
    with tv.connect(root) as session:
        for run in (lambda sql: tv.query(sql, root=root), lambda sql: session.sql(sql).to_arrow_table()):
            with pytest.raises(QueryError):
                run(asked)
            assert "alpha" not in str(run(f"SELECT {plan} AS plan").to_pylist())


def test_a_version_is_computed_where_no_file_is_seen(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were a function that opens files not known to be one, a version's expression would still see no file outside."""
    monkeypatch.setattr(expressions, "_REFUSED_FUNCTIONS", frozenset())
    pq.write_table(pa.table({"hidden": ["alpha", "beta"]}), tmp_path / "outside" / "hidden.parquet")
    plan = PLAN.replace("OUT", f"{tmp_path}/outside/hidden.parquet")
    asked = f"FROM orders AT (VERSION => CASE WHEN {plan}::VARCHAR LIKE '%alpha%' THEN 0 ELSE 77 END)"
    with tv.connect(root) as session, pytest.raises(TableverError):
        session.sql(asked)
    with pytest.raises(TableverError):
        tv.query(asked, root=root)
    assert "alpha" not in str(tv.query(f"SELECT {plan} AS plan", root=root).to_pylist())


def test_a_query_is_confined_whatever_it_is_taken_for(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database that queries share is confined: SQL that is wrongly taken for harmless opens no file outside."""
    monkeypatch.setattr("tablever.sql.only_reads", lambda *_: True)
    assert tv.query("FROM orders", root=root).num_rows == 2
    for reads in (f"FROM '{tmp_path}/outside/secret.csv'", "FROM read_text('/etc/passwd')"):
        with pytest.raises(QueryError, match="no folder that it may use"):
            tv.query(reads, root=root)


def test_every_kind_of_query_is_known() -> None:
    """A release of DuckDB whose queries can hold more is noticed: somebody must look at what that writes."""
    reading = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE"}
    writing = {f"{verb}_QUERY_NODE" for verb in ("COPY", "INSERT", "UPDATE", "DELETE", "MERGE", "EXECUTE")}
    others = {"CTE_NODE", "BOUND_SUBQUERY_NODE", "STATEMENT_NODE"}
    tree = {"children": [{"type": kind} for kind in reading | writing | others]}
    assert set(expressions.other_nodes(tree)) == writing | others
    binary = Path(str(importlib.import_module("_duckdb").__file__)).read_bytes()
    ends = [match.end() - 1 for match in re.finditer(rb"_NODE\0", binary)]
    named = {binary[max(0, end - 80) : end].rpartition(b"\0")[2].decode(errors="replace") for end in ends}
    assert named - {"SLURM_CPUS_ON_NODE", "SLURM_MEM_PER_NODE"} == reading | writing | others
    with engine.cursor() as connection, pytest.raises(duckdb.ParserException) as caught:
        connection.extract_statements("WITH x AS (CALL pragma_version()) FROM x")
    assert "must be a SELECT, INSERT, UPDATE, DELETE, or COPY TO statement" in str(caught.value)


@pytest.mark.parametrize(
    ("kinds", "reviewed"),
    [(("table", "pragma"), "duckdb_functions.txt"), (("scalar", "macro", "table_macro"), "duckdb_scalars.txt")],
)
def test_every_function_is_known(kinds: tuple[str, ...], reviewed: str) -> None:
    """A release of DuckDB that brings functions is noticed: somebody must look at what they reach."""
    with engine.cursor() as connection:
        asked = "SELECT DISTINCT function_name FROM duckdb_functions() WHERE list_contains(?, function_type)"
        found = {name for (name,) in connection.execute(asked, [list(kinds)]).fetchall()}
    words = {word for name in found for word in name.split()}
    assert words <= set((Path(__file__).parent / reviewed).read_text().split())
