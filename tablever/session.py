"""A DuckDB session that knows versioned tables: statements are rewritten so that views of versions stand in them.

A statement is parsed by DuckDB; where a versioned table stands, the name of a view of that version is spliced into
the text. So a statement sees each table at one version throughout, and DuckDB's grammar and messages stay what they
are. Files are left out where the WHERE beside a table excludes them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import chain
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from tablever import engine, statements
from tablever.catalog import Catalog
from tablever.changefeed import change_rows
from tablever.errors import InvalidKeyError, QueryError, TableverError
from tablever.expressions import lists_tables, only_selects, refuse_outside, walk
from tablever.log import Log
from tablever.model import Snapshot
from tablever.needed import needed_files
from tablever.permits import check_query, check_statement
from tablever.results import Result, versions_table
from tablever.statements import At, FunctionCall, Reference, Token, Tree
from tablever.texts import did_you_mean, plural
from tablever.views import Views

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_NAMED = re.compile(r"\s*\w+\s*(?::=|=>)")

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

# Settings under which DuckDB compares values, or reads constants, in another way than the files' statistics.
_REFUSED_SETTINGS = {
    "default_collation": "name it where it is meant: WHERE name COLLATE NOCASE = 'x'",
}
_SETTING = re.compile(r"\w+", re.ASCII)
# Settings that keep a session to its folders.
_OURS = frozenset(
    "allowed_directories allowed_paths enable_external_access lock_configuration autoinstall_known_extensions "
    "autoload_known_extensions python_enable_replacements allow_persistent_secrets".split()
)


def check_text(text: object) -> str:
    """The SQL, which must be a text. Raises QueryError."""
    if not isinstance(text, str):
        raise QueryError(f"the SQL must be a text, not {type(text).__name__}", hint='query("SELECT 1")')
    engine.refuse_surrogates(text, "the SQL")
    return text


def only_reads(text: str, catalog: Catalog) -> bool:
    """Whether statements are all SELECTs of versioned tables, which neither make, set nor list anything in DuckDB."""
    check_text(text)
    with engine.confined_cursor(catalog.folders()) as connection, engine.query_errors("the query"):
        parsed = [(part.query, engine.parse(connection, part.query)) for part in _statements(connection, text)]
    for part, tree in parsed:
        if not only_selects(tree) or lists_tables(tree):
            return False
        tokens = _tokens(part.encode(errors="surrogatepass"))
        if any(catalog.find(each.path) is None for each in statements.tree_references(tree, tokens)):
            return False
    return bool(parsed)


class Session:
    """A connection to DuckDB that knows versioned tables. For one thread.

    Args:
        shared: use the database that the process keeps for these folders, which spares making one. Only for statements
            that ``only_reads`` accepts: what others make or set would be seen by all.
        settings: DuckDB's, which statements cannot change.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        shared: bool = False,
        settings: Mapping[str, str | int | float | bool] | None = None,
    ) -> None:
        self._catalog = catalog
        self._shared = shared
        self._allowed = [os.path.realpath(folder) for folder in catalog.allowed]
        self._connection: DuckDBPyConnection = (
            engine.confined_cursor(catalog.folders()) if shared else engine.new_connection()
        )
        if not shared:
            self._set_up(settings or {})
        self._views = Views(self._connection, catalog)
        self._prepared: dict[str, str] = {}

    def _set_up(self, settings: Mapping[str, str | int | float | bool]) -> None:
        for name, value in settings.items():
            _refuse_setting(name.lower())
            if not _SETTING.fullmatch(name) or name.lower() in _OURS:
                raise QueryError(f"'{name}' cannot be set", hint="settings={'threads': 4, 'memory_limit': '2GB'}")
            with engine.query_errors(f"settings: {name}"):
                self._connection.execute(f"SET GLOBAL {name} = {engine.literal(str(value))}")
        engine.confine(self._connection, self._catalog.folders())

    def sql(self, text: str) -> Result:
        """Run statements in order; the result is the last one's. Errors are those of ``tablever.query``."""
        check_text(text)
        with self.errors():
            parts = [(_kind(part), part.query) for part in _statements(self._connection, text)]
        result = Result(None, self.errors)
        for i, (kind, part) in enumerate(parts):
            result = self._transact(part) if kind == "TRANSACTION" else self._run(part, kind)
            if i + 1 < len(parts):
                result.to_arrow_table()
        return result

    execute = sql
    query = sql

    def _run(self, text: str, kind: str) -> Result:
        with engine.query_errors("the query"):
            rewritten, makes_names = self._rewrite(text, kind)
            verb, name = statements.prepared_name(_tokens(text.encode(errors="surrogatepass")))
        if makes_names:
            self._views.forget_names()
        if verb == "EXECUTE" and name in self._prepared:
            self._run(self._prepared[name], "PREPARE")  # anew: DuckDB would read the versions that it was made for
        with self.errors():
            _refuse_other_reading(self._connection, rewritten)
            result = Result(self._connection.sql(rewritten), self.errors)
        if verb == "PREPARE":
            self._prepared[name] = text
        elif verb == "DEALLOCATE":
            self._prepared.pop(name, None)
        return result

    def _transact(self, text: str) -> Result:
        """Run a BEGIN, COMMIT or ROLLBACK: nothing else runs where a transaction has failed, nothing of ours either."""
        self._views.forget_names()
        begins = _tokens(text.encode(errors="surrogatepass"))[0].word in ("BEGIN", "START")
        try:
            with self.errors():
                if begins:
                    self._views.make_room()  # before, for it may be one that only reads
                return Result(self._connection.sql(text), self.errors)
        finally:
            self._views.settle()

    def register(self, name: str, rows: Any) -> None:
        """Make a pyarrow table, or a Polars or pandas frame, a relation of the session."""
        if self._catalog.find((name,)) is not None:
            raise QueryError(
                f"'{name}' is a versioned table below '{self._catalog.root.uri}'", hint="choose another name"
            )
        self._views.forget_names()
        self._connection.register(name, rows)

    def tables(self) -> list[str]:
        """The names of the versioned tables, nested ones as ``a/b``; sorted."""
        return self._catalog.names()

    def interrupt(self) -> None:
        """Stop the statement that runs in another thread; it raises KeyboardInterrupt there."""
        self._connection.interrupt()

    def close(self) -> None:
        """End the session; results that were not read are lost."""
        try:
            if self._shared and engine.is_alive(self._connection):
                self._views.forget_all()
        finally:
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
            with engine.scan_errors(*self._views.scans()):
                yield
        except QueryError as error:
            message = str(error.__cause__ or error)
            unknown = re.search(r"Table with name (.+?) does not exist", message)
            if unknown:
                name = unknown[1].strip('"')
                if name.startswith("__tv_"):
                    hint = "read each result before the next statement of its session"
                    raise QueryError("the rows of this result are given back", hint=hint) from error
                own = self._views.own_names() if engine.is_alive(self._connection) else ()
                raise self._views.why_lost(name) or self._catalog.unknown(name, sorted(own)) from error
            function = re.search(r"Table Function with name (.+?) does not exist", message)
            near = did_you_mean(function[1], list(statements.FUNCTIONS)) if function else None
            if near:
                raise QueryError(str(error), hint=near) from error
            raise

    def _rewrite(self, text: str, kind: str) -> tuple[str, bool]:
        """A statement with views' names where versioned tables stand; whether it is one that can make names."""
        data = text.encode(errors="surrogatepass")
        tokens = _tokens(data)
        _refuse_setting(statements.changed_setting(tokens))
        self._refuse_write(tokens)
        check_statement(kind, tokens, self._allowed)
        self._views.begin()
        tree, shift = self._query_in(data, tokens)
        if tree is not None:
            check_query(tree)
        keeps = statements.is_kept(tokens)
        changes = [
            (call.start, call.end, self._call(call, data, keeps=keeps)) for call in statements.function_calls(tokens)
        ]
        if tree is None:
            references = statements.token_references(tokens, engine.name_words())
            changes += self._follow_named(tokens, {each.start for each in references}, keeps=keeps)
        else:
            inside = [_shifted(token, -shift) for token in tokens if token.start >= shift]
            references = [_moved(ref, shift) for ref in statements.tree_references(tree, inside)]
            if lists_tables(tree):
                self._follow_all(keeps=keeps)
        own = self._views.own_names() if references else set()
        for reference in references:
            changes += self._changes(reference, data, own, keeps=keeps)
        rewritten = statements.splice(data, changes).decode(errors="surrogatepass")
        return rewritten, tree is None or shift > 0

    def _query_in(self, data: bytes, tokens: Sequence[Token]) -> tuple[Tree | None, int]:
        """The tree of the query in a statement, and where its text begins."""
        tree = engine.parse(self._connection, data.decode(errors="surrogatepass"))
        if not tree["error"]:
            return tree, 0
        span = statements.inner_query(tokens)
        if span is not None:
            start, end = span
            tree = engine.parse(self._connection, data[start:end].decode(errors="surrogatepass"))
            if not tree["error"]:
                return tree, start
        return None, 0

    def _refuse_write(self, tokens: Sequence[Token]) -> None:
        for verb, path in statements.written_tables(tokens):
            if self._catalog.find(path) is not None and ".".join(path).lower() not in self._views.own_names():
                raise QueryError(
                    f"{verb} cannot write '{'.'.join(path)}': SQL only reads versioned tables", hint=_WRITE_HINTS[verb]
                )

    def _changes(self, reference: Reference, data: bytes, own: set[str], *, keeps: bool) -> list[tuple[int, int, str]]:
        """What to replace for one reference."""
        name = ".".join(reference.path)
        log = None if name.lower() in own else self._catalog.find(reference.path)
        if log is None:
            if reference.at is None:
                return []
            if name.lower() in own:
                raise QueryError(f"'{name}' is no versioned table: AT cannot be asked of it", table=name)
            raise self._catalog.unknown(name, sorted(own))
        if reference.at is None and keeps:
            single = self._catalog.single_name(reference.path, log, own)
            self._views.follow(single, log, keeps=True)
            if len(reference.path) == 1:
                return []
            view = engine.identifier(single)
        else:
            snapshot = self._views.head(log) if reference.at is None else self._version(log, reference.at, data)
            files = snapshot.files if keeps else needed_files(snapshot, reference)
            view = self._views.of(log, snapshot, files, keeps=keeps)
        if reference.start == reference.end:
            raise QueryError(f"'{name}' cannot stand there", hint=f"write SELECT * FROM {name}")
        alias = "" if reference.alias or reference.bare else f" AS {engine.identifier(reference.path[-1])}"
        changes = [(reference.start, reference.end, view + alias)]
        if reference.at is not None:
            changes.append((reference.at.start, reference.at.end, ""))
        return changes

    def _version(self, log: Log, at: At, data: bytes) -> Snapshot:
        text = data[at.value_start : at.value_end].decode(errors="surrogatepass")
        value = self._constant(text, f"AT ({at.unit} => {text})")
        if at.unit == "VERSION":
            if isinstance(value, datetime):
                raise QueryError(f"AT (VERSION => {text}) names a time", hint="write AT (TIMESTAMP => …)")
            return log.snapshot(log.resolve(value))
        return log.snapshot(log.resolve(_moment(value, text)))

    def _constant(self, text: str, what: str, hint: str = "AT (VERSION => 3)") -> int | str | datetime:
        """The value of a constant expression: a number, a text, or an instant."""
        with self._connection.cursor() as connection, engine.query_errors(what):
            tree = engine.parse(connection, f"SELECT ({text}\n)")
            if tree["error"] or any("column_names" in node for node in walk(tree)):
                raise QueryError(f"{what}: only a constant can stand there", hint=hint)
            chosen = tree["statements"][0]["node"]["select_list"]
            refuse_outside({"children": chosen}, what)
            asked = f"SELECT {engine.call('typeof', 'v')}, CAST(v AS VARCHAR) FROM (SELECT ({text}\n) AS v)"
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

    def _call(self, call: FunctionCall, data: bytes, *, keeps: bool) -> str:
        """The rows of one of our table functions, as a relation's name."""
        text = data[call.arguments_start : call.arguments_end].decode(errors="surrogatepass")
        arguments = self._arguments(text, call.name)
        log = self._catalog.find((str(arguments[0]),)) or self._catalog.find(str(arguments[0]).split("."))
        if log is None:
            raise self._catalog.unknown(str(arguments[0]))
        numbers = [log.resolve(argument) for argument in arguments[1:]]
        name = self._views.stage(_rows_of(call.name, log, numbers, f"{call.name}({text})"), keeps=keeps)
        return name if call.alias else f"{name} AS {call.name}"

    def _arguments(self, text: str, function: str) -> list[int | str | datetime]:
        wanted = statements.FUNCTIONS[function]
        what = f"{function}({text})"
        with self._connection.cursor() as connection:
            tree = engine.parse(connection, f"SELECT {text}" if text.strip() else "SELECT 0")
        items = [] if tree["error"] or not text.strip() else tree["statements"][0]["node"]["select_list"]
        pieces = _split_arguments(_tokens(text.encode(errors="surrogatepass")), text)
        hint = _typed(function, pieces[0])
        if len(items) != len(wanted):
            raise QueryError(f"{what}: it takes {plural(len(wanted), 'argument')}", hint=hint)
        if any(_NAMED.match(piece) for piece in pieces):
            raise QueryError(f"{what}: its arguments have no names", hint=hint)
        return [self._constant(piece, what, hint) for piece in pieces]

    def _follow_named(
        self, tokens: Sequence[Token], settled: Collection[int], *, keeps: bool
    ) -> list[tuple[int, int, str]]:
        """Views for every name in a text without a tree that is a table's; what to replace for those in parts.

        Args:
            settled: where names begin whose version the text names.
        """
        own, words = self._views.own_names(), engine.name_words()
        changes: list[tuple[int, int, str]] = []
        after = 1  # behind the statement's verb
        for i, token in enumerate(tokens):
            if i < after or not (token.is_name or token.word in words) or token.start in settled:
                continue
            path, after = statements.path_at(tokens, i)
            log = None if ".".join(path).lower() in own else self._catalog.find(path)
            if log is not None:
                single = self._catalog.single_name(path, log, own)
                self._views.follow(single, log, keeps=keeps)
                if len(path) > 1:
                    changes.append((token.start, tokens[after - 1].end, engine.identifier(single)))
        return changes

    def _follow_all(self, *, keeps: bool) -> None:
        """Views for all tables but those that cannot be read now: what is wrong is said where one of those is named."""
        own = self._views.own_names()
        for name in self._catalog.names():
            with suppress(TableverError):
                log = None if name.lower() in own else self._catalog.find((name,))
                if log is not None:
                    self._views.follow(name, log, keeps=keeps)


def _rows_of(function: str, log: Log, numbers: Sequence[int], what: str) -> pa.Table | pa.RecordBatchReader:
    """The rows of one of our table functions: small ones whole, changes as a stream."""
    if function == "table_versions":
        return versions_table(log.versions())
    if function == "table_history":
        from tablever.history.lives import lifetimes

        return lifetimes(log)
    a, b = numbers
    if function != "table_changes":
        from tablever.diff.value import diff_versions

        found = diff_versions(log, a, b)
        if function == "table_cells" and not found.key:
            raise InvalidKeyError(
                f"{what}: versions {a} and {b} are compared without a key, so there are no changed cells",
                hint=f"set_key(table, 'column') gives it one; {what.replace(function, 'table_diff', 1)} "
                "has the rows that differ",
            )
        return _begun(found.changes() if function == "table_diff" else found.batches("cells"))
    if a > b:
        raise QueryError(f"{what}: version {a} comes after {b}", hint="give the earlier version first")
    return change_rows(log, a, b)


def _begun(rows: pa.RecordBatchReader) -> pa.RecordBatchReader:
    """A stream whose first batch is there, so that what it raises is raised here and not by DuckDB's reader."""
    first = next(iter(rows), None)
    return pa.RecordBatchReader.from_batches(rows.schema, chain([] if first is None else [first], rows))


def _statements(connection: DuckDBPyConnection, text: str) -> list[Any]:
    """A text's statements as DuckDB cuts it. Offsets in trees are those of their texts, not of the one given."""
    data = statements.plain_spaces(text).encode(errors="surrogatepass")
    ordered = statements.aliases_first(data, _tokens(data), engine.name_words)
    parts = connection.extract_statements(ordered.decode(errors="surrogatepass"))
    for part in parts:
        _refuse_other_reading(connection, part.query)
    return parts


def _refuse_other_reading(connection: DuckDBPyConnection, text: str) -> None:
    """Refuse a statement that DuckDB would not run as it stands, and so not as it was judged.

    It replaces spaces of other alphabets before it parses, and errs about what is quoted behind E'' and /* ' */.
    """
    if not text.isascii() and [part.query for part in connection.extract_statements(text)] != [text]:
        raise QueryError("the SQL can be read in two ways: it has spaces of other alphabets", hint="write plain spaces")


def _tokens(data: bytes) -> list[Token]:
    return statements.cut(data, engine.token_starts(data))


def _kind(statement: Any) -> str:
    """DuckDB's name of a statement's type; those that its Python has no name for are nobody's to run."""
    try:
        return str(statement.type.name)
    except ValueError:
        return "UNKNOWN"


def _refuse_setting(setting: str) -> None:
    if setting in _REFUSED_SETTINGS:
        raise QueryError(
            f"{setting} cannot be changed: which files a WHERE needs is judged by values as they are",
            hint=_REFUSED_SETTINGS[setting],
        )


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


def _typed(function: str, first: str) -> str:
    """How a table function is called, with the table that its first argument seems to mean."""
    name = _NAMED.sub("", first).strip().strip("'\"") or "table"
    values = [engine.literal(name), "0", "1"][: len(statements.FUNCTIONS[function])]
    return f"{function}({', '.join(values)})"


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
