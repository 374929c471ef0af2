"""SQL over versioned tables: every table below a root is a relation, ``t AT (VERSION => 3)`` reads a version of it.

A statement is parsed by DuckDB; where a versioned table stands, the name of a view of that version is spliced into
the text. So a statement sees each table at one version throughout, and DuckDB's grammar and messages stay what they
are. Files are left out where the WHERE beside a table excludes them.
"""

from __future__ import annotations

import json
import os
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from tablever import engine, statements
from tablever.catalog import Catalog, table_above
from tablever.changefeed import change_rows
from tablever.errors import QueryError
from tablever.expressions import refuse_outside, walk
from tablever.layout import table_schema
from tablever.log import Log, TableLike
from tablever.model import DataFile, Snapshot, Version
from tablever.predicates import Resolve, conjuncts, prune
from tablever.scan import Scan, open_scan
from tablever.statements import At, FunctionCall, Reference, Token, Tree

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

MOST_VIEWS = 256

_WRITE_HINTS = {
    "INSERT": "tablever append or upsert adds rows",
    "MERGE": "tablever upsert adds and replaces rows by key",
    "UPDATE": "tablever update changes rows",
    "DELETE": "tablever delete removes rows",
    "TRUNCATE": "tablever delete removes rows",
    "COPY": "tablever append loads files",
    "CREATE": "give it another name; tablever create makes a versioned table",
    "DROP": "a versioned table is dropped by removing its folder",
    "ALTER": "tablever append --evolve adds columns",
}


def query(sql: str, *, root: str | os.PathLike[str] = ".", tables: Mapping[str, TableLike] | None = None) -> pa.Table:
    """Run SQL over versioned tables.

    Args:
        sql: DuckDB's SQL, one or several statements. Every table below ``root`` is a relation, nested ones as
            ``"a/b"`` or ``a.b``; ``t AT (VERSION => ref)`` and ``t AT (TIMESTAMP => …)`` read a version of it.
            ``table_versions('t')`` is the log, ``table_changes('t', a, b)`` the change rows of commits a to b.
        root: the folder that holds the tables.
        tables: tables by the names that the SQL gives them.

    Returns:
        What the last statement gives; no columns where it gives nothing.

    Raises:
        QueryError: DuckDB refuses the SQL, a name is no table, or a versioned table would be written.
        TableNotFoundError: no folder at ``root``. VersionNotFoundError, RefError: no such version.
        VersionVacuumedError, UnsupportedFeatureError, CorruptionError, StorageError: a table cannot be read right.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}, {"id": 2, "stars": 3}], key="id")
        >>> delete(table, where="id = 2").number
        1
        >>> query("SELECT count(*) AS n FROM reviews AT (VERSION => 0)", root=folder).to_pylist()
        [{'n': 2}]
    """
    with connect(root, tables) as session:
        return session.sql(sql).to_arrow_table()


def connect(root: str | os.PathLike[str] = ".", tables: Mapping[str, TableLike] | None = None) -> Session:
    """A DuckDB session in which every table below ``root`` is a relation. Arguments and errors are those of ``query``.

    Views and tables that statements make live as long as the session. A view over a table follows the table's head;
    what AT and the table functions name is settled when the view is made.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}, {"id": 2, "stars": 3}], key="id")
        >>> with connect(folder) as session:
        ...     session.sql("FROM reviews SELECT max(stars)").fetchall()
        [(5,)]
    """
    return Session(Catalog(root, tables))


class Result:
    """What a statement gives. Read it before the next statement of its session; it runs when it is first read."""

    def __init__(self, session: Session, relation: DuckDBPyRelation | None) -> None:
        self._session = session
        self._relation = relation
        self._table: pa.Table | None = None

    @property
    def columns(self) -> list[str]:
        """The columns' names; empty where the statement gives nothing."""
        return [] if self._relation is None else list(self._relation.columns)

    def to_arrow_table(self) -> pa.Table:
        """All rows. Raises QueryError where the statement fails on a row."""
        if self._table is None:
            with self._session.errors():
                self._table = pa.table({}) if self._relation is None else self._relation.to_arrow_table()
        return self._table

    def to_arrow_reader(self, batch_size: int = engine.BATCH_ROWS) -> pa.RecordBatchReader:
        """The rows batch by batch, in bounded memory."""
        if self._relation is None or self._table is not None:
            return self.to_arrow_table().to_reader()
        with self._session.errors():
            reader = self._relation.to_arrow_reader(batch_size)
        return pa.RecordBatchReader.from_batches(reader.schema, self._batches(reader))

    def _batches(self, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        with self._session.errors():
            yield from reader

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows as tuples of Python values."""
        table = self.to_arrow_table()
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))

    def fetchone(self) -> tuple[Any, ...] | None:
        """The first row; None where there is none."""
        rows = self.to_arrow_table().slice(0, 1)
        return tuple(column[0].as_py() for column in rows.columns) if rows.num_rows else None

    def pl(self) -> pl.DataFrame:
        """All rows as a Polars frame."""
        import polars as pl

        return pl.DataFrame(self.to_arrow_table())

    def df(self) -> pd.DataFrame:
        """All rows as a pandas frame."""
        return self.to_arrow_table().to_pandas()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.to_arrow_table().__arrow_c_stream__(requested_schema)

    def show(self) -> None:
        """Print the rows as DuckDB does."""
        if self._relation is not None:
            with self._session.errors():
                self._relation.show()

    def __repr__(self) -> str:
        with self._session.errors():
            return "" if self._relation is None else str(self._relation)


@dataclass(frozen=True)
class _View:
    name: str
    sql: str
    scan: Scan


@dataclass
class _Statement:
    """One statement being rewritten: its text, and what of each table it has looked up, so that it looks once."""

    data: bytes
    heads: dict[str, Snapshot] = field(default_factory=dict)


class Session:
    """A connection to DuckDB that knows versioned tables. For one thread."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._connection: DuckDBPyConnection = engine.new_connection()
        self._views: OrderedDict[tuple[Any, ...], _View] = OrderedDict()
        self._kept: set[str] = set()
        self._heads: dict[tuple[str, ...], int] = {}
        self._names = count()

    def sql(self, text: str) -> Result:
        """Run statements in order; the result is the last one's. Errors are those of ``tablever.query``."""
        if not isinstance(text, str):
            raise QueryError(f"the SQL must be a text, not {type(text).__name__}")
        data = text.encode(errors="surrogatepass")
        with self.errors():
            ordered = statements.aliases_first(data, self._tokens(data)).decode(errors="surrogatepass")
            parts = [part.query for part in self._connection.extract_statements(ordered)]
        result = Result(self, None)
        for i, part in enumerate(parts):
            rewritten = self._rewrite(part)
            with self.errors():
                result = Result(self, self._connection.sql(rewritten))
            if i + 1 < len(parts):
                result.to_arrow_table()
        return result

    execute = sql
    query = sql

    def register(self, name: str, rows: Any) -> None:
        """Make a pyarrow table, or a Polars or pandas frame, a relation of the session."""
        if self._catalog.find((name,)) is not None:
            raise QueryError(f"'{name}' is a versioned table below '{self._catalog.root}'", hint="choose another name")
        self._connection.register(name, rows)

    def tables(self) -> list[str]:
        """The names of the versioned tables, nested ones as ``a/b``; sorted."""
        return self._catalog.names()

    def close(self) -> None:
        """End the session; results that were not read are lost."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn what DuckDB raises into our errors; a table it does not know gets the names of those there are."""
        try:
            with engine.scan_errors(*(view.scan for view in self._views.values())):
                yield
        except QueryError as error:
            message = str(error.__cause__ or error)
            unknown = re.search(r"Table with name (.+?) does not exist", message)
            if unknown:
                raise self._catalog.unknown(unknown[1].strip('"'), sorted(self._own_names())) from error
            raise

    def _own_names(self) -> set[str]:
        """What statements made in this session, in lower case."""
        rows = self._connection.execute(
            "SELECT table_name FROM duckdb_tables() UNION ALL SELECT view_name FROM duckdb_views() WHERE NOT internal"
        ).fetchall()
        heads = {name for path in self._heads for name in ["/".join(path).lower()]}
        return {str(name).lower() for (name,) in rows if not str(name).startswith("__tv_")} - heads

    def _tokens(self, data: bytes) -> list[Token]:
        return statements.cut(data, engine.token_starts(data))

    def _rewrite(self, text: str) -> str:
        """A statement with the names of views in the places where versioned tables stand."""
        statement = _Statement(text.encode(errors="surrogatepass"))
        tokens = self._tokens(statement.data)
        self._refuse_write(tokens)
        self._refresh_heads()
        tree, shift, keeps = self._query_in(statement.data, tokens)
        changes = [(call.start, call.end, self._call(call, statement)) for call in statements.function_calls(tokens)]
        if tree is None:
            self._make_heads(tokens, statement)
            references = statements.token_references(tokens)
        else:
            inside = [_shifted(token, -shift) for token in tokens if token.start >= shift]
            references = [_moved(ref, shift) for ref in statements.tree_references(tree, inside)]
            if _lists_tables(tree):
                self._make_every_head(statement)
        own = self._own_names() if references else set()
        for reference in references:
            changes += self._changes(reference, statement, own, keeps=keeps)
        return statements.splice(statement.data, changes).decode(errors="surrogatepass")

    def _query_in(self, data: bytes, tokens: Sequence[Token]) -> tuple[Tree | None, int, bool]:
        """The tree of the query in a statement, where its text begins, and whether the statement keeps it."""
        tree = engine.parse(self._connection, data.decode(errors="surrogatepass"))
        if not tree["error"]:
            return tree, 0, False
        span = statements.inner_query(tokens)
        if span is not None:
            start, end, keeps = span
            tree = engine.parse(self._connection, data[start:end].decode(errors="surrogatepass"))
            if not tree["error"]:
                return tree, start, keeps
        return None, 0, False

    def _refuse_write(self, tokens: Sequence[Token]) -> None:
        written = statements.written_table(tokens)
        if written is not None:
            verb, path = written
            if self._catalog.find(path) is not None and ".".join(path).lower() not in self._own_names():
                raise QueryError(
                    f"{verb} cannot write '{'.'.join(path)}': SQL only reads versioned tables", hint=_WRITE_HINTS[verb]
                )
        target = statements.copy_target(tokens)
        folder = table_above(Path(target).absolute()) if target else None
        if folder is not None:
            raise QueryError(
                f"COPY cannot write '{target}': it lies in the versioned table '{folder}'",
                hint="write to another folder",
            )

    def _changes(
        self, reference: Reference, statement: _Statement, own: set[str], *, keeps: bool
    ) -> list[tuple[int, int, str]]:
        """What to replace for one reference."""
        name = ".".join(reference.path)
        log = None if name.lower() in own else self._catalog.find(reference.path)
        if log is None:
            if reference.at is None:
                return []
            if name.lower() in own:
                raise QueryError(f"'{name}' is no versioned table: AT cannot be asked of it", table=name)
            raise self._catalog.unknown(name, sorted(own))
        if reference.at is None and keeps and len(reference.path) == 1:
            self._make_head(reference.path, log, statement)
            return []
        snapshot = self._head(log, statement) if reference.at is None else self._version(log, reference.at, statement)
        files = snapshot.files if keeps else _needed_files(snapshot, reference)
        view = self._view(log, snapshot, files, keeps=keeps)
        if reference.start == reference.end:
            raise QueryError(f"'{name}' cannot stand there", hint=f"write SELECT * FROM {name}")
        alias = "" if reference.alias or reference.bare else f" AS {engine.identifier(reference.path[-1])}"
        changes = [(reference.start, reference.end, view + alias)]
        if reference.at is not None:
            changes.append((reference.at.start, reference.at.end, ""))
        return changes

    def _head(self, log: Log, statement: _Statement) -> Snapshot:
        if log.uri not in statement.heads:
            statement.heads[log.uri] = log.head()
        return statement.heads[log.uri]

    def _version(self, log: Log, at: At, statement: _Statement) -> Snapshot:
        text = statement.data[at.value_start : at.value_end].decode(errors="surrogatepass")
        value = self._constant(text, f"AT ({at.unit} => {text})")
        if at.unit == "VERSION":
            if isinstance(value, datetime):
                raise QueryError(f"AT (VERSION => {text}) names a time", hint="write AT (TIMESTAMP => …)")
            return log.snapshot(log.resolve(value))
        return log.snapshot(log.resolve(_moment(value, text)))

    def _constant(self, text: str, what: str) -> int | str | datetime:
        """The value of a constant expression: a number, a text, or an instant."""
        with engine.cursor() as connection, engine.query_errors(what):
            tree = engine.parse(connection, f"SELECT ({text}\n)")
            if tree["error"] or any("column_names" in node for node in walk(tree)):
                raise QueryError(f"{what}: only a constant can stand there", hint="AT (VERSION => 3)")
            chosen = tree["statements"][0]["node"]["select_list"]
            refuse_outside({"children": chosen}, what)
            asked = f"SELECT typeof(v), CAST(v AS VARCHAR) FROM (SELECT ({text}\n) AS v)"
            kind, value = connection.execute(asked).fetchall()[0]
        if value is None:
            raise QueryError(f"{what}: NULL is no version")
        if kind == "VARCHAR":
            return str(value)
        if kind == "TIMESTAMP WITH TIME ZONE":
            return datetime.fromisoformat(str(value)).astimezone(UTC)
        if "INT" in kind:
            return int(value)
        raise QueryError(
            f"{what}: a {kind} names no version",
            hint="a number, a text, or a time with its zone: TIMESTAMPTZ '2026-11-01 12:00:00+00'",
        )

    def _call(self, call: FunctionCall, statement: _Statement) -> str:
        """The rows of one of our table functions, as a relation's name."""
        text = statement.data[call.arguments_start : call.arguments_end].decode(errors="surrogatepass")
        arguments = self._arguments(text, call.name)
        log = self._catalog.find((str(arguments[0]),)) or self._catalog.find(str(arguments[0]).split("."))
        if log is None:
            raise self._catalog.unknown(str(arguments[0]))
        if call.name == "table_versions":
            rows = versions_table(log.versions())
        else:
            first, last = (log.resolve(argument) for argument in arguments[1:])
            if first > last:
                raise QueryError(
                    f"{call.name}({text}): version {first} comes after {last}", hint="give the earlier version first"
                )
            rows = change_rows(log, first, last)
        self._connection.register("__tv_staged", rows)
        name = engine.keep(self._connection, "SELECT * FROM __tv_staged")
        self._connection.unregister("__tv_staged")
        return name if call.alias else f"{name} AS {call.name}"

    def _arguments(self, text: str, function: str) -> list[int | str | datetime]:
        wanted = {"table_versions": ("table",), "table_changes": ("table", "first", "last")}[function]
        what = f"{function}({text})"
        with engine.cursor() as connection:
            tree = engine.parse(connection, f"SELECT {text}" if text.strip() else "SELECT 0")
        items = [] if tree["error"] or not text.strip() else tree["statements"][0]["node"]["select_list"]
        if len(items) != len(wanted):
            raise QueryError(f"{what}: it takes {len(wanted)} arguments", hint=f"{function}({', '.join(wanted)})")
        pieces = _split_arguments(self._tokens(text.encode(errors="surrogatepass")), text)
        return [self._constant(piece, what) for piece in pieces]

    def _view(self, log: Log, snapshot: Snapshot, files: Sequence[DataFile], *, keeps: bool) -> str:
        """The name of a view of a version, or of some of its files."""
        pruned = None if len(files) == len(snapshot.files) else tuple(file.identity for file in files)
        key = (log.uri, snapshot.version, pruned)
        if key not in self._views:
            scan = open_scan(log, snapshot, files)
            text = engine.relation_sql(self._connection, scan)
            view = _View(f"{engine.SCHEMA}.__tv_view_{next(self._names)}", text, scan)
            with engine.scan_errors(scan):
                self._connection.execute(f"CREATE VIEW {view.name} AS {text}")
            self._views[key] = view
            self._drop_oldest()
        self._views.move_to_end(key)
        if keeps:
            self._kept.add(self._views[key].name)
        return self._views[key].name

    def _drop_oldest(self) -> None:
        spare = [key for key, view in self._views.items() if view.name not in self._kept]
        for key in spare[: max(0, len(spare) - MOST_VIEWS)]:
            view = self._views.pop(key)
            self._connection.execute(f"DROP VIEW {view.name}")
            engine.release(self._connection, view.sql)

    def _make_head(self, path: tuple[str, ...], log: Log, statement: _Statement) -> None:
        """Give the session a view of a table's name that follows its head."""
        snapshot = self._head(log, statement)
        if self._heads.get(path) == snapshot.version:
            return
        view = self._view(log, snapshot, snapshot.files, keeps=True)
        name = engine.identifier("/".join(path))
        self._connection.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS SELECT * FROM {view}")
        self._heads[path] = snapshot.version

    def _refresh_heads(self) -> None:
        for path in list(self._heads):
            log = self._catalog.find(path)
            if log is not None:
                self._make_head(path, log, _Statement(b""))

    def _make_heads(self, tokens: Sequence[Token], statement: _Statement) -> None:
        """Views for every name in a text without a tree that is a table's."""
        own = self._own_names()
        for token in tokens:
            if token.is_name or token.text[:1] == '"':
                log = None if token.name.lower() in own else self._catalog.find((token.name,))
                if log is not None:
                    self._make_head((token.name,), log, statement)

    def _make_every_head(self, statement: _Statement) -> None:
        for name in self._catalog.names():
            log = self._catalog.find((name,))
            if log is not None:
                self._make_head((name,), log, statement)


def _needed_files(snapshot: Snapshot, reference: Reference) -> Sequence[DataFile]:
    """The files that can hold rows for which the WHERE beside a reference is true."""
    if reference.select is None or reference.node is None or reference.node["column_name_alias"]:
        return snapshot.files
    schema = table_schema(snapshot.metadata)
    source = reference.select["from_table"]
    alone = source["type"] == "BASE_TABLE"
    resolve = _resolver(reference, schema)
    parts = conjuncts(reference.select["where_clause"], schema, resolve=resolve, null_tests=alone)
    return prune(snapshot.files, parts, schema, snapshot.metadata) if parts else snapshot.files


def _resolver(reference: Reference, schema: pa.Schema) -> Resolve:
    """Which column of the reference's table a name in the WHERE beside it means, where that is certain."""
    select, node = reference.select or {}, reference.node or {}
    sources = list(_sources(select.get("from_table")))
    own = str(node.get("alias") or reference.path[-1]).lower()
    aliases = [_alias(source) for source in sources]
    by_lower = {name.lower(): name for name in schema.names}
    outputs = {str(item.get("alias", "")).lower() for item in select.get("select_list", ())}
    merges = any(s.get("using_columns") or s.get("ref_type") == "NATURAL" for s in sources)

    def resolve(path: Sequence[str]) -> str | None:
        column = by_lower.get(path[-1].lower())
        if len(path) == 1:
            return None if column is None or path[0].lower() in outputs or merges else column
        certain = len(path) == 2 and path[0].lower() == own and aliases.count(own) == 1 and own not in by_lower
        return column if certain else None

    return resolve


def _sources(source: Any) -> Iterator[Tree]:
    """A FROM's parts, the joins themselves among them."""
    if isinstance(source, Mapping):
        yield source
        if source.get("type") == "JOIN":
            yield from _sources(source["left"])
            yield from _sources(source["right"])


def _alias(source: Tree) -> str:
    path = (source.get("qualified_name") or {}).get("path") or [""]
    return str(source.get("alias") or path[-1]).lower()


def _lists_tables(tree: Tree) -> bool:
    """Whether a query asks what tables there are."""
    for node in walk(tree):
        if node.get("type") == "SHOW_REF" and node.get("query") is None:
            return True
        path = [str(part).lower() for part in (node.get("qualified_name") or {}).get("path", ())]
        if path[:1] == ["information_schema"] or str(node.get("function_name", "")).startswith("duckdb_"):
            return True
    return False


def _shifted(token: Token, by: int) -> Token:
    return Token(token.start + by, token.end + by, token.text, token.kind)


def _moved(reference: Reference, by: int) -> Reference:
    if not by:
        return reference
    at = reference.at
    moved = None if at is None else At(at.start + by, at.end + by, at.unit, at.value_start + by, at.value_end + by)
    return Reference(
        reference.path,
        reference.start + by,
        reference.end + by,
        reference.alias,
        moved,
        reference.select,
        reference.node,
        reference.bare,
    )


def _split_arguments(tokens: Sequence[Token], text: str) -> list[str]:
    data, depth, start, pieces = text.encode(errors="surrogatepass"), 0, 0, []
    for token in tokens:
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(token.text, 0)
        if token.text == "," and depth == 0:
            pieces.append(data[start : token.start])
            start = token.end
    return [piece.decode(errors="surrogatepass") for piece in (*pieces, data[start:])]


def _moment(value: int | str | datetime, text: str) -> datetime:
    if isinstance(value, datetime):
        return value
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise QueryError(
            f"AT (TIMESTAMP => {text}): that is no time", hint="AT (TIMESTAMP => '2026-11-01 12:00:00+00')"
        ) from error
    if isinstance(value, int) or moment.tzinfo is None:
        raise QueryError(
            f"AT (TIMESTAMP => {text}) has no time zone",
            hint="add it: '2026-11-01 12:00:00+00' is 12 o'clock in UTC",
        )
    return moment


_VERSION_FIELDS = pa.schema(
    [
        ("number", pa.int64()),
        ("timestamp", pa.timestamp("us", "UTC")),
        ("operation", pa.string()),
        ("message", pa.string()),
        ("author", pa.string()),
        ("rows", pa.int64()),
        ("rows_added", pa.int64()),
        ("rows_removed", pa.int64()),
        ("rows_updated", pa.int64()),
        ("content_hash", pa.string()),
        ("commit_hash", pa.string()),
        ("parent", pa.int64()),
        ("metadata", pa.string()),
        ("timestamp_from_file", pa.bool_()),
    ]
)


def versions_table(versions: Sequence[Version]) -> pa.Table:
    """Versions as rows: their fields as columns, ``metadata`` as JSON text."""
    rows = [
        {
            name: json.dumps(dict(version.metadata), ensure_ascii=False, default=str)
            if name == "metadata"
            else getattr(version, name)
            for name in _VERSION_FIELDS.names
        }
        for version in versions
    ]
    return pa.Table.from_pylist(rows, schema=_VERSION_FIELDS)
