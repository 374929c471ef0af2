"""DuckDB: in-memory databases of the process, a version's rows as a relation, expressions over them.

A version is one ``read_parquet`` over its files with the table's columns and types spelled out, so that columns a
file lacks are null and DuckDB's own columns (``filename``, ``file_index``, …) cannot clash with the user's. Deleted
rows are dropped by looking up a bit: ``bits[file_index][file_row_number]``. Against a join on deleted positions that
keeps the order of rows, costs the same whether few or many are deleted, and DuckDB evaluates no expression that may
fail before it. Partition values are looked up by file in the same way.
"""

from __future__ import annotations

import os
import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain, count
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from tablever import expressions, statements
from tablever.arrow_types import holds_floats
from tablever.errors import CorruptionError, QueryError, StorageError, UnsupportedFeatureError
from tablever.layout import table_schema
from tablever.model import DataFile, Snapshot
from tablever.predicates import conjuncts, prune, single_table
from tablever.scan import Scan, ScanFile, missing_file

FILE = "__tv_file"
POSITION = "__tv_position"
# Where a session keeps views and rows of its own: not on the search path, so that SHOW TABLES leaves them out.
SCHEMA = "memory.__tv"
BATCH_ROWS = 65_536
MOST_RUNS = 16
MOST_CONFINED = 4

_FORBIDDEN = re.compile(r'(?:"([^"]*)" - file system operations are|through) disabled|disabled through configuration')
_OUT_OF_MEMORY = "Out of Memory Error"
_names = count()
_lock = threading.Lock()
if hasattr(os, "register_at_fork"):  # else a child may find it taken by a thread that it does not have
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)
_databases: dict[int, duckdb.DuckDBPyConnection] = {}
_confined: OrderedDict[tuple[int, tuple[str, ...]], duckdb.DuckDBPyConnection] = OrderedDict()


def new_connection() -> duckdb.DuckDBPyConnection:
    """A database of its own: in memory, in UTC; loads no extensions, keeps no secrets, sees no Python variables."""
    settings: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "allow_persistent_secrets": "false",
        "python_enable_replacements": "false",
    }
    connection = duckdb.connect(":memory:", config=settings)
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute(f"CREATE SCHEMA {SCHEMA}")
    return connection


def confine(connection: duckdb.DuckDBPyConnection, folders: Sequence[str]) -> None:
    """Keep a connection to the files in some folders, for good: no other files, no network, no extensions.

    Links are followed to where they lead. From here on no setting can be changed, these least of all.
    """
    connection.execute(f"SET allowed_directories = [{', '.join(map(literal, folders))}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def cursor() -> duckdb.DuckDBPyConnection:
    """A connection to the process's database, for one thread; a forked child gets a database of its own.

    It opens any file: for SQL of ours, and for expressions that ``check_expression`` accepts.
    """
    with _lock:
        process = os.getpid()
        if process not in _databases:
            _databases[process] = new_connection()
        return _databases[process].cursor()


def confined_cursor(folders: Sequence[str]) -> duckdb.DuckDBPyConnection:
    """As ``cursor``, to a database that is confined to some folders; the last few of them are kept.

    Making one takes longer than most queries.
    """
    with _lock:
        process = os.getpid()
        key = (process, tuple(folders))
        if key not in _confined:
            connection = new_connection()
            confine(connection, folders)
            _confined[key] = connection
            ours = [known for known in _confined if known[0] == process]  # a fork leaves its parent's alone
            for oldest in ours[:-MOST_CONFINED]:
                del _confined[oldest]
        _confined.move_to_end(key)
        return _confined[key].cursor()


def _forget_databases() -> None:
    with _lock:
        process = os.getpid()
        _databases.pop(process, None)
        for key in [known for known in _confined if known[0] == process]:
            del _confined[key]


def is_alive(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether its database still answers; after some failures DuckDB refuses everything in it."""
    try:
        connection.execute("SELECT 1")
    except duckdb.Error:
        return False
    return True


def own_objects(connection: duckdb.DuckDBPyConnection) -> dict[str, str] | None:
    """What stands in SCHEMA: qualified names and ``TABLE`` or ``VIEW``; None where a failed transaction is not over."""
    try:
        rows = connection.execute(
            f"SELECT table_name, 'TABLE' FROM {call('duckdb_tables')} "
            "WHERE database_name = 'memory' AND schema_name = '__tv' "
            f"UNION ALL SELECT view_name, 'VIEW' FROM {call('duckdb_views')} "
            "WHERE database_name = 'memory' AND schema_name = '__tv'"
        ).fetchall()
    except duckdb.Error:
        return None
    return {f"{SCHEMA}.{name}": str(kind) for name, kind in rows}


def identifier(name: str) -> str:
    """A name as SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as SQL."""
    return "'" + text.replace("'", "''") + "'"


def call(function: str, *arguments: str) -> str:
    """A call of DuckDB's own function: a session may have a macro of any name, also of what literals stand for."""
    return f"system.main.{function}({', '.join(arguments)})"


_SIMPLE_TYPES = {
    pa.int8(): "TINYINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.bool_(): "BOOLEAN",
    pa.string(): "VARCHAR",
    pa.binary(): "BLOB",
    pa.date32(): "DATE",
    pa.timestamp("us"): "TIMESTAMP",
    pa.timestamp("us", "UTC"): "TIMESTAMPTZ",
    pa.null(): '"NULL"',
}


def sql_type(kind: pa.DataType) -> str:
    """DuckDB's name of a canonical Arrow type."""
    if kind in _SIMPLE_TYPES:
        return _SIMPLE_TYPES[kind]
    if pa.types.is_decimal(kind):
        return f"DECIMAL({kind.precision}, {kind.scale})"
    if pa.types.is_list(kind):
        return f"{sql_type(kind.value_type)}[]"
    if pa.types.is_map(kind):
        return f"MAP({sql_type(kind.key_type)}, {sql_type(kind.item_type)})"
    if pa.types.is_struct(kind):
        return f"STRUCT({', '.join(f'{identifier(field.name)} {sql_type(field.type)}' for field in kind)})"
    raise UnsupportedFeatureError(f"DuckDB has no type for {kind}", feature=str(kind))


@dataclass(frozen=True)
class Relation:
    """A SELECT, and the names of what stands on the connection for it.

    The names are told, never read out of the SQL: a table's values, columns and paths stand in it, too.
    """

    sql: str
    kept: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """Files of a scan that lie next to each other and are read in one way; ``first`` is the first one's index."""

    first: int
    files: tuple[ScanFile, ...]
    plain: bool
    deleted: bool


_FILE_OF_RUN = call("add", "CAST(file_index AS BIGINT)", "1")


def runs(scan: Scan, chosen: Sequence[int] | None = None) -> list[Run]:
    """A scan's files in their order, cut where they must be read in another way.

    Args:
        chosen: indexes of the files to read, ascending; all by default.
    """
    indexes = range(len(scan.files)) if chosen is None else chosen
    found: list[Run] = []
    for index in indexes:
        file = scan.files[index]
        one = Run(index, (file,), file.plain, file.file.vector is not None)
        last = found[-1] if found else None
        if last and last.plain and one.plain and last.first + len(last.files) == index and last.deleted == one.deleted:
            found[-1] = replace(last, files=(*last.files, file))
        else:
            found.append(one)
    return found if len(found) <= MOST_RUNS else _merged(found)


def _merged(found: Sequence[Run]) -> list[Run]:
    """Fewer runs: plain neighbours together, whether or not rows of theirs are deleted."""
    merged: list[Run] = []
    for run in found:
        last = merged[-1] if merged else None
        if last and last.plain and run.plain and last.first + len(last.files) == run.first:
            merged[-1] = Run(last.first, last.files + run.files, plain=True, deleted=last.deleted or run.deleted)
        else:
            merged.append(run)
    return merged


def relation_of(
    connection: duckdb.DuckDBPyConnection, scan: Scan, *, chosen: Sequence[int] | None = None, positions: bool = False
) -> Relation:
    """A SELECT of a scan's live rows: the table's columns in their order and types, in row order.

    What cannot stand in SQL (deleted rows, files that DuckDB does not read right) is kept on the connection;
    ``release`` takes it away again.

    Args:
        chosen: indexes of the files to read, ascending; all by default.
        positions: add ``__tv_file``, the index in ``scan.files``, and ``__tv_position``, the row's in its file.

    Raises:
        VersionVacuumedError, CorruptionError, UnsupportedFeatureError: a vector or a file cannot be read.
    """
    columns, parts = scan.schema.names, []
    try:
        for run in runs(scan, chosen):
            if run.plain:
                parts.append(_run_relation(connection, scan, run, columns, positions=positions))
            else:
                name = stage(connection, _decoded(run.files[0], columns, run.first, positions=positions))
                parts.append(Relation(f"SELECT * FROM {name}", (name,)))
    except BaseException:
        abandon(connection, chain(*(part.kept for part in parts)))
        raise
    if not parts:
        return Relation(empty_sql(scan.schema, positions=positions))
    return Relation("\nUNION ALL\n".join(part.sql for part in parts), tuple(chain(*(part.kept for part in parts))))


def empty_sql(schema: pa.Schema, *, positions: bool = False) -> str:
    """A SELECT of no rows in a schema's columns and types."""
    columns = [f"CAST(NULL AS {sql_type(field.type)}) AS {identifier(field.name)}" for field in schema]
    if positions:
        columns += [f"CAST(NULL AS BIGINT) AS {FILE}", f"CAST(NULL AS BIGINT) AS {POSITION}"]
    return f"SELECT {', '.join(columns)} WHERE false"


def keep(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    """The rows of a SELECT as a table of the session's own; its qualified name."""
    name = f"{SCHEMA}.__tv_rows_{next(_names)}"
    connection.execute(f"CREATE TABLE {name} AS {sql}")
    return name


def stage(connection: duckdb.DuckDBPyConnection, rows: pa.Table | pa.RecordBatchReader) -> str:
    """Rows as a table of the session's own; its qualified name."""
    connection.register("__tv_staged", rows)
    try:
        return keep(connection, "SELECT * FROM __tv_staged")
    finally:
        with suppress(duckdb.Error):  # of a transaction that has failed: its end takes the name away
            connection.unregister("__tv_staged")


def release(connection: duckdb.DuckDBPyConnection, names: Iterable[str]) -> None:
    """Forget what ``relation_of``, ``keep`` and ``stage`` left on the connection, by the names that they gave."""
    for name in names:
        forget = "DROP TABLE" if name.startswith(f"{SCHEMA}.") else "RESET VARIABLE"
        connection.execute(f"{forget} {name}")


def abandon(connection: duckdb.DuckDBPyConnection, names: Iterable[str]) -> None:
    """As ``release``, after a failure; where it was a transaction's, the end of that takes the rest away."""
    with suppress(duckdb.Error):
        release(connection, names)


def _run_relation(
    connection: duckdb.DuckDBPyConnection, scan: Scan, run: Run, columns: Sequence[str], *, positions: bool
) -> Relation:
    if run.plain:
        bits = _keep_bits(connection, run) if run.deleted else None
        sql = _parquet_sql(connection, scan, run, columns, bits, positions=positions)
        return Relation(sql, () if bits is None else (bits,))
    name = f"__tv_decoded_{next(_names)}"
    connection.register(name, _decoded(run.files[0], columns, run.first, positions=positions))
    return Relation(f"SELECT * FROM {name}")


def reach(connection: duckdb.DuckDBPyConnection, scan: Scan) -> None:
    """Let DuckDB read where the scan's files lie."""
    filesystem = scan.storage.duckdb_filesystem()
    if filesystem is None:
        return
    with _lock:  # threads share a database, and DuckDB refuses the second of two
        if not connection.filesystem_is_registered(filesystem.protocol):
            connection.register_filesystem(filesystem)


def _parquet_sql(
    connection: duckdb.DuckDBPyConnection,
    scan: Scan,
    run: Run,
    columns: Sequence[str],
    bits: str | None,
    *,
    positions: bool,
) -> str:
    schema = scan.schema
    stored = [name for name in schema.names if name not in scan.partition_columns]
    inner = {name: f"c{i}" for i, name in enumerate(stored)}
    fields = [
        call(
            "struct_pack",
            f"name := '{inner[name]}'",
            f"type := {literal(sql_type(schema.field(name).type))}",
            "default_value := NULL",
        )
        for name in stored
    ]
    guarded = any(file.hides_nan for file in run.files)
    chosen = []
    for name in columns:
        value = inner[name] if name in inner else _by_file(scan, run, name)
        if guarded and name in inner and holds_floats(schema.field(name).type):
            value = f"CASE WHEN {value} IS NULL THEN NULL ELSE {value} END"  # no statistics are looked up through it
        chosen.append(f"{value} AS {identifier(name)}")
    if positions:
        chosen += [
            f"{call('add', 'CAST(file_index AS BIGINT)', str(run.first))} AS {FILE}",
            f"file_row_number AS {POSITION}",
        ]
    reach(connection, scan)
    paths = call("list_value", *(literal(file.duckdb_location) for file in run.files))
    names = call("list_value", *map(literal, stored))
    mapped = call("map", names, call("list_value", *fields))
    source = call("read_parquet", paths, f"schema = {mapped}", "hive_partitioning = false")
    where = "" if bits is None else f" WHERE {_is_live(bits, run)}"
    return f"SELECT {', '.join(chosen) or '1 AS __tv_nothing'} FROM {source}{where}"


def _by_file(scan: Scan, run: Run, column: str) -> str:
    """A partition column's value, looked up by the number of the file."""
    kind = scan.schema.field(column).type
    values = scan.partition_values(column)[run.first : run.first + len(run.files)]
    texts = values.cast(pa.string()).to_pylist() if not pa.types.is_binary(kind) else _hex(values)
    cells = call("list_value", *("NULL" if text is None else literal(text) for text in texts))
    return call("array_extract", f"CAST({cells} AS {sql_type(kind)}[])", _FILE_OF_RUN)


def _hex(values: pa.Array) -> list[str | None]:
    return [None if v is None else "".join(f"\\x{byte:02X}" for byte in v) for v in values.to_pylist()]


def _keep_bits(connection: duckdb.DuckDBPyConnection, run: Run) -> str:
    """The name of a list of bit strings, one for each file: which of its rows are deleted; NULL where none is."""
    name = f"__tv_bits_{next(_names)}"
    bits = [_packed(file) if file.file.vector is not None else None for file in run.files]
    # As a parameter: registering an Arrow table makes DuckDB import pandas, a third of a second.
    connection.execute(
        f"SET VARIABLE {name} = {call('list_transform', '?::BLOB[]', 'lambda b: CAST(b AS BIT)')}", [bits]
    )
    return name


def _is_live(bits: str, run: Run) -> str:
    """The condition that a row is not deleted: its bit in the list of that name."""
    of_file = call("array_extract", call("getvariable", literal(bits)), _FILE_OF_RUN)
    bit = call("get_bit", of_file, "CAST(file_row_number AS INTEGER)")
    every = all(file.file.vector is not None for file in run.files)
    return f"{bit} = 0" if every else f"coalesce({bit}, 0) = 0"


def _packed(file: ScanFile) -> bytes:
    """One bit for each row of a file, the first row's highest, set where the row is deleted."""
    return np.packbits(~_live(file)).tobytes()


def _live(file: ScanFile) -> np.ndarray[Any, np.dtype[np.bool_]]:
    live = np.ones(file.rows, np.bool_)
    live[file.deleted()] = False
    return live


def _decoded(file: ScanFile, columns: Sequence[str], index: int, *, positions: bool) -> pa.Table:
    rows = file.read(columns)
    if positions or not columns:
        places = {FILE: np.full(file.rows, index), POSITION: np.arange(file.rows)}
        # Made anew, not appended to: rows without a column have no height that a column could match.
        rows = pa.table(
            [*rows.columns, *(pa.array(place, pa.int64()) for place in places.values())],
            names=[*rows.column_names, *places],
        )
    return rows if file.file.vector is None else rows.filter(pa.array(_live(file)))


def matching_files(snapshot: Snapshot, where: str) -> tuple[DataFile, ...]:
    """The files of a snapshot that can hold a row for which ``where`` is true, in row order.

    Raises:
        QueryError: ``where`` is no predicate over the table's columns.
    """
    schema = table_schema(snapshot.metadata)
    tree = check_expression(where, schema, "where", predicate=True)
    return prune(snapshot.files, conjuncts(tree, schema, resolve=single_table(schema)), schema, snapshot.metadata)


def find_rows(scan: Scan, where: str | None, columns: Sequence[str], *, positions: bool = False) -> pa.Table:
    """The rows for which ``where`` is true, in row order and canonical types.

    Args:
        columns: which of the table's, in this order; may be empty with ``positions``.
        positions: add ``__tv_file`` (int64, the index in ``scan.files``) and ``__tv_position`` (int64).

    Raises:
        QueryError: ``where`` is no predicate over the table's columns, or fails on a row.
        VersionVacuumedError, CorruptionError: a file is gone or damaged.
    """
    with stream_rows(scan, where, columns, positions=positions) as reader:
        return reader.read_all()


def stream_rows(
    scan: Scan,
    where: str | None,
    columns: Sequence[str],
    *,
    positions: bool = False,
    batch_size: int = BATCH_ROWS,
) -> pa.RecordBatchReader:
    """As ``find_rows``, batch by batch in bounded memory; no batch is empty. ``where`` is checked before it returns."""
    schema = pa.schema([scan.schema.field(name).with_nullable(True) for name in columns])
    if positions:
        schema = schema.append(pa.field(FILE, pa.int64())).append(pa.field(POSITION, pa.int64()))
    chosen, needed = list(range(len(scan.files))), list(columns)
    if where is not None:
        tree = check_expression(where, scan.schema, "where", predicate=True)
        parts = conjuncts(tree, scan.schema, resolve=single_table(scan.schema))
        if parts:
            kept = {
                id(file) for file in prune([f.file for f in scan.files], parts, scan.schema, scan.snapshot.metadata)
            }
            chosen = [i for i in chosen if id(scan.files[i].file) in kept]
        asked = expressions.columns_of(tree, scan.schema)
        needed = [name for name in scan.schema.names if name in asked or name in columns]
    batches = _batches(scan, runs(scan, chosen), needed, schema, where, batch_size)
    return pa.RecordBatchReader.from_batches(schema, batches)


def _batches(
    scan: Scan, parts: Sequence[Run], needed: Sequence[str], schema: pa.Schema, where: str | None, batch_size: int
) -> Iterator[pa.RecordBatch]:
    chosen = ", ".join(identifier(name) for name in schema.names)
    condition = "" if where is None else f" WHERE ({where}\n)"
    for run in parts:
        with cursor() as connection, scan_errors(scan):
            inner = _run_relation(connection, scan, run, needed, positions=FILE in schema.names)
            result = connection.sql(f"SELECT {chosen} FROM ({inner.sql}) AS {expressions.ROW_ALIAS}{condition}")
            for batch in result.to_arrow_reader(batch_size):
                if batch.num_rows:
                    yield conform(batch, schema)


def evaluate(rows: pa.Table, assignments: Mapping[str, str]) -> pa.Table:
    """New values of columns: each expression over every row, in the rows' order, in whatever type it has.

    Args:
        assignments: column to expression over the columns of ``rows``.

    Raises:
        QueryError: an expression that DuckDB refuses, or that fails on a row.
    """
    for name, text in assignments.items():
        check_expression(text, rows.schema, f"the expression for '{name}'")
    chosen = ", ".join(f"({text}\n) AS {identifier(name)}" for name, text in assignments.items())
    with cursor() as connection, query_errors("the expressions", rows.schema.names):
        connection.register("__tv_rows", rows)
        return connection.sql(f"SELECT {chosen} FROM __tv_rows AS {expressions.ROW_ALIAS}").to_arrow_table()


def check_expression(text: str, schema: pa.Schema, what: str, *, predicate: bool = False) -> expressions.Tree:
    """Make sure that a text is one expression over one row of a table, and nothing else.

    Args:
        text: DuckDB's SQL: no subqueries, aggregates, window functions or parameters, no functions that reach out
            of the row.
        what: how a message calls the text.
        predicate: the result must be a boolean.

    Returns:
        The expression's parse tree.

    Raises:
        QueryError: it is not; the hint names columns where one is unknown.
    """
    if not isinstance(text, str):
        raise QueryError(f"{what} must be a text, not {type(text).__name__}", hint='a DuckDB expression: "stars > 3"')
    refuse_surrogates(text, what)
    data = text.encode()
    if not text.isascii() and statements.has_other_spaces(statements.cut(data, token_starts(data))):
        # How DuckDB reads those depends on what stands before, which is not the same where it runs.
        raise QueryError(f"{what} '{text}' has a space of another alphabet", hint="write plain spaces")
    with cursor() as connection:
        trees = [parse(connection, wrapper.format(text)) for wrapper in expressions.WRAPPERS]
        tree = expressions.only_expression(trees, text, what)
        expressions.refuse_outside(tree, f"{what} '{text}'")
        source = f"({empty_sql(schema)}) AS {expressions.ROW_ALIAS}"
        with query_errors(f"{what} '{text}'", schema.names):
            # In a WHERE, DuckDB itself refuses aggregates and window functions.
            bound = connection.sql(f"SELECT ({text}\n) AS v FROM {source} WHERE (({text}\n) IS NULL)")
            kind = str(bound.types[0])
    if predicate and kind != "BOOLEAN":
        raise QueryError(
            f"{what} '{text}' is not true or false but {kind}", hint='compare it with something: "stars > 3"'
        )
    return tree


def refuse_surrogates(text: str, what: str) -> None:
    """Refuse text that UTF-8 cannot hold: half of a surrogate pair.

    Raises:
        QueryError: it holds one.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise QueryError(
            f"{what} is not valid Unicode: {text!r}", hint=f"character {error.start} is half of a surrogate pair"
        ) from error


def parse(connection: duckdb.DuckDBPyConnection, sql: str) -> Mapping[str, Any]:
    """DuckDB's parse of SELECT statements, as json_serialize_sql gives it; its ``error`` says whether it could."""
    rows = connection.execute(f"SELECT {call('json_serialize_sql', '?')}", [sql]).fetchall()
    return expressions.loads(rows[0][0])


def token_starts(data: bytes) -> list[tuple[int, str]]:
    """Where each token of a text begins (in bytes), and its kind."""
    found = duckdb.tokenize(data.decode(errors="surrogatepass"))
    return [(start, kind.name) for start, kind in found]


@lru_cache(maxsize=1)
def name_words() -> frozenset[str]:
    """The keywords, in capitals, that can stand for a table or its alias without quotes."""
    with cursor() as connection:
        rows = connection.execute(f"SELECT keyword_name, keyword_category FROM {call('duckdb_keywords')}").fetchall()
    return frozenset(str(word).upper() for word, kind in rows if kind in ("unreserved", "column_name"))


def conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Rows of DuckDB's in canonical types: the same values under the names that canonical lists and maps use."""
    columns = [
        array if array.type == field.type else array.cast(field.type)
        for array, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _of_filesystem(error: BaseException) -> Exception | None:
    """What our file system raised while DuckDB read through it: DuckDB hands on the text of the traceback alone."""
    text = str(error)
    if "Traceback (most recent call last)" not in text:
        return None
    lines = [line for line in text.splitlines() if line and not line[0].isspace()]
    kind, _, words = lines[-1].partition(": ")
    if kind.endswith("FileNotFoundError"):
        return FileNotFoundError(words)
    return StorageError(words) if kind.endswith("StorageError") else None


def _out_of_memory(what: str, error: Exception) -> StorageError:
    return StorageError(
        f"there is not enough memory for {what}: {expressions.first_line(str(error))}",
        hint="ask for less at once: fewer columns or rows, or iter_batches",
    )


@contextmanager
def query_errors(what: str, columns: Sequence[str] = ()) -> Iterator[None]:
    """Turn what DuckDB raises into our errors.

    Raises:
        QueryError: DuckDB refuses the SQL, or it fails on a row.
        CorruptionError: a file cannot be read. StorageError: no memory or disk is left.
    """
    try:
        yield
    except duckdb.InterruptException as error:
        raise KeyboardInterrupt from error
    except duckdb.PermissionException as error:
        refused = _FORBIDDEN.search(str(error))
        if refused is None:
            raise StorageError(f"DuckDB cannot run {what}: {expressions.first_line(str(error))}") from error
        name = refused[1] or "an extension"
        raise QueryError(
            f"{what} asks for '{name}', which lies in no folder that it may use",
            hint="allow a folder's files: query(…, allow_folders=['folder'])" if refused[1] else None,
        ) from error
    except duckdb.OutOfMemoryException as error:
        raise _out_of_memory(what, error) from error
    except (duckdb.FatalException, duckdb.InternalException) as error:
        _forget_databases()  # DuckDB may refuse all that follows in the database that failed
        raise CorruptionError(f"DuckDB failed on {what}: {expressions.first_line(str(error))}") from error
    except duckdb.Error as error:
        ours = _of_filesystem(error)
        if ours is not None:
            raise ours from None
        if type(error) is duckdb.Error:  # Thrift's own errors, of a footer or page header, come without a kind
            raise CorruptionError(f"DuckDB failed on {what}: {expressions.first_line(str(error))}") from error
        raise expressions.refused(what, str(error), columns) from error


@contextmanager
def scan_errors(*scans: Scan) -> Iterator[None]:
    """As ``query_errors``, and says which file of the scans is gone or damaged where that is why.

    Raises:
        VersionVacuumedError, CorruptionError: of files. QueryError, StorageError: as ``query_errors``.
    """
    try:
        with query_errors("the query"):
            yield
    except MemoryError:
        raise
    except (QueryError, CorruptionError, OSError, pa.ArrowException) as error:
        if str(error).startswith(_OUT_OF_MEMORY):  # a stream's errors come through Arrow, without a kind
            raise _out_of_memory("the query", error) from error
        ours = _of_filesystem(error)
        if ours is not None and not isinstance(ours, OSError):
            raise ours from None
        reasons = duckdb.IOException | duckdb.InvalidInputException | duckdb.FatalException
        reason = error if isinstance(error, OSError | pa.ArrowException) else error.__cause__
        if not isinstance(reason, reasons | OSError | pa.ArrowException):
            raise
        for scan in scans:
            for file in scan.files:
                if not file.exists():
                    name = scan.storage.name
                    raise missing_file(name, scan.snapshot.version, file.file) from error
                if file.duckdb_location in str(reason):
                    message = expressions.first_line(str(error)).replace(file.duckdb_location, file.location)
                    raise CorruptionError(message, file=file.location) from error
        if error is reason:  # of a stream, too
            tables = ", ".join(f"version {s.snapshot.version} of '{s.storage.name}'" for s in scans)
            raise CorruptionError(
                f"{tables} cannot be read: a data file is damaged: {expressions.first_line(str(error))}"
            ) from error
        raise
