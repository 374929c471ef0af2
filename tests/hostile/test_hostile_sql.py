"""SQL that would write, reach out or change the rules: refused, and nothing written anywhere."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import tablever as tv
from tablever import engine, expressions
from tablever.errors import CorruptionError, InvalidInputError, QueryError, TableverError
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
