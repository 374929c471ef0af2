"""The commands that ask: log, schema, read, sql."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

import tablever as tv
from tablever.cli import common
from tablever.cli.common import TARGET_HELP, Files, example
from tablever.cli.inputs import FORMATS, format_of, names_file
from tablever.cli.output import print_json, terminal_width
from tablever.cli.target import split_target
from tablever.errors import TableverError
from tablever.escapes import safe
from tablever.model import Pin, Run, Tag
from tablever.texts import changes_text, count, cut, plural, run_text, table_lines

if TYPE_CHECKING:
    import pyarrow as pa

    from tablever.model import Version, Witness

WIDE_ENOUGH_FOR_LOG = 130
RUNS_IN_LOG = 3  # of a version, the newest: a search for parameters links hundreds
_BELOW = " " * 9  # where what belongs to a version stands


class Limit(click.ParamType[int]):
    """A number of rows, or ``all``."""

    name = "N|all"
    ALL = -1

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number; ALL for ``all``."""
        if value == "all":
            return self.ALL
        if not str(value).isdecimal():
            self.fail(f"'{value}' is neither a number of rows nor 'all'", param, ctx)
        return int(value)


@click.command(epilog=example("tablever log data/reviews --limit 10"))
@common.table_argument
@click.option("--limit", type=click.IntRange(min=0), help="Show only the newest so many.")
@common.as_json
def log(table: str, limit: int | None, json_output: bool) -> None:
    """Show the versions of TABLE, newest first: when, what, how much, who and why, tags and runs. Times are UTC.

    The counts are net: an updated row counts once in each of added, removed and updated, so that rows is always
    the rows before plus added minus removed. Below a version stand the runs that used it with their metrics, the
    newest three of them; tablever runs lists all.
    """
    from tablever.log import open_log
    from tablever.witnesses import witnessed

    versions = tv.list_versions(table)[::-1]
    shown = versions[:limit]
    found: Mapping[int, Sequence[Witness]] = {}
    failure = None
    try:
        found = witnessed(open_log(table))
    except TableverError as error:  # told after what there is to show
        failure = error
    if json_output:
        from tablever.json_values import version_json, witness_json

        told = [
            {**version_json(each), "witnesses": [witness_json(witness) for witness in found.get(each.number, ())]}
            for each in shown
        ]
        print_json("log", {"table": table, "versions": told})
    else:
        if lines := list(_log_lines(table, shown, found, terminal_width())):
            click.echo("\n".join(lines))
        if len(shown) < len(versions):
            click.echo(click.style(f"({len(shown):,} of {plural(len(versions), 'version')})", dim=True))
    if failure is not None:
        raise failure


def _log_lines(
    table: str, versions: list[Version], found: Mapping[int, Sequence[Witness]], columns: int | None
) -> Iterator[str]:
    """One line a version, two on a terminal that is too narrow for that; below it one for each run."""
    rows = [[*_log_row(version), _names(found.get(version.number, ()))] for version in versions]
    runs = [_run_lines(table, version.number, found.get(version.number, ()), columns) for version in versions]
    if columns is not None and columns < WIDE_ENOUGH_FOR_LOG:
        for version, row, below in zip(versions, rows, runs, strict=True):
            changes = f"{changes_text(version)}, " if changes_text(version) else ""
            named = f"  [{row[-1]}]" if row[-1] else ""
            yield f"{row[0]:<4} {row[1]}Z  {row[2]}  {changes}{plural(version.rows)}{named}"
            yield "     " + ": ".join(text for text in row[-3:-1] if text)
            yield from below
        return
    header = ["version", "time (UTC)", "operation", "added", "removed", "updated", "rows", "author", "message", "tags"]
    if not any(row[-1] for row in rows):
        header, rows = header[:-1], [row[:-1] for row in rows]
    right = [name not in ("operation", "author", "message", "tags") for name in header]
    names, rule, *lines = table_lines(header, rows, right, columns)
    yield from (names, rule)
    for line, below in zip(lines, runs, strict=True):
        yield line
        yield from below


def _names(witnesses: Sequence[Witness]) -> str:
    """``v1.0, v2.0, pinned``."""
    pinned = any(isinstance(each, Pin) for each in witnesses)
    names = [each.name for each in witnesses if isinstance(each, Tag)]
    return safe(", ".join([*names, *(["pinned"] if pinned else [])]))


def _run_lines(table: str, number: int, witnesses: Sequence[Witness], columns: int | None) -> list[str]:
    """The newest runs that used a version, a line each, and how many more there are."""
    runs = sorted((each for each in witnesses if isinstance(each, Run)), key=lambda run: run.time, reverse=True)
    lines = [cut(f"{_BELOW}run {run_text(run)}", columns or WIDE_ENOUGH_FOR_LOG) for run in runs[:RUNS_IN_LOG]]
    if len(runs) > RUNS_IN_LOG:
        command = f"tablever runs {shlex.quote(f'{table}@{number}')}"
        lines.append(f"{_BELOW}… {plural(len(runs) - RUNS_IN_LOG, 'more run')}: {safe(command)}")
    return lines


def _log_row(version: Version) -> list[str]:
    return [
        str(version.number),
        f"{version.timestamp:%Y-%m-%d %H:%M:%S}" + ("?" if version.timestamp_from_file else ""),
        safe(version.operation),
        count(version.rows_added, "+"),
        count(version.rows_removed, "-"),
        count(version.rows_updated, "~"),
        count(version.rows),
        safe((version.author or "").partition(" <")[0]),
        safe(version.message or ""),
    ]


@click.command(
    "hash",
    epilog=example("tablever hash data/reviews", "tablever hash export.parquet", note=TARGET_HELP),
)
@common.file_options(metavar="TABLE[@REF]|FILES…")
@common.as_json
def hash_(files: Files, json_output: bool) -> None:
    """Show the content hash of a version of TABLE, the latest by default; or of the rows in FILES.

    Versions with the same columns and rows have the same hash, whatever their files, order, keys and partitions. Of
    versions by other tools it is computed at the first call. It can be given wherever a version is asked for. That of
    FILES is the hash of the table that create would make of them.
    """
    if _is_table(files):
        (target,) = files.names
        uri, ref = split_target(target)
        version = tv.resolve_version(uri, ref)
        found = tv.content_hash(uri, version.number)
        about: dict[str, Any] = {"table": uri, "version": version.number}
    else:
        with files.rows() as rows:
            found = tv.content_hash_of(rows)
        about = {"files": list(files.names)}
    if json_output:
        print_json("hash", {**about, "content_hash": found})
        return
    click.echo(found)


def _is_table(files: Files) -> bool:
    """Whether what was named as files is one table; UsageError where it is said how to read it as a file, too."""
    name, *more = files.names
    if more or names_file(name, split_target(name)[0]):
        return False
    if files.is_described:
        raise click.UsageError(f"--format, --delimiter and --type are about files: '{name}' is none")
    return True


@click.command(epilog=example("tablever schema data/reviews", note=TARGET_HELP))
@click.argument("table", metavar="TABLE[@REF]")
@common.as_json
def schema(table: str, json_output: bool) -> None:
    """Show the columns, key, partitioning and constraints of a version of TABLE; the latest by default."""
    from tablever.arrow_json import type_name
    from tablever.layout import table_schema

    uri, ref = split_target(table)
    log_of = tv.open_table(uri).log
    metadata = log_of.snapshot(log_of.resolve(ref)).metadata
    columns = [
        {"name": item.name, "type": type_name(item.type), "nullable": item.nullable} for item in table_schema(metadata)
    ]
    rules = {
        "key": list(metadata.key),
        "partition_by": list(metadata.partition_columns),
        "constraints": metadata.constraints,
    }
    if json_output:
        print_json("schema", {"table": uri, "columns": columns, **rules})
        return
    rows = [[str(column["name"]), str(column["type"]), "" if column["nullable"] else "not null"] for column in columns]
    cells = [[safe(text) for text in row] for row in rows]
    for line in table_lines(["column", "type", ""], cells, [False] * 3, terminal_width()):
        click.echo(line)
    for name in ("key", "partition_by"):
        if rules[name]:
            click.echo(f"{name.replace('_', ' ')}: {safe(', '.join(rules[name]))}")
    for name, check in metadata.constraints.items():
        click.echo(safe(f"constraint {name}: {check}"))


def output_options(command: Any) -> Any:
    """Where rows go, and as what."""
    for option in reversed(
        [
            click.option("-o", "--output", metavar="FILE", help="Write all rows to FILE; its suffix tells the format."),
            click.option("--format", "form", type=click.Choice(["table", *FORMATS]), help="Format of the output."),
            click.option(
                "--limit", type=Limit(), metavar="N|all", help="The most rows; 20 on the screen, else all, by default."
            ),
            click.option(
                "--json", "json_output", is_flag=True, help="The same as --format jsonl; errors too are JSON."
            ),
        ]
    ):
        command = option(command)
    return command


@click.command(
    epilog=example(
        "tablever read data/reviews@v2.0 --where \"label = 'neg'\"",
        "tablever read data/reviews@-2 -o before.parquet",
        note=TARGET_HELP,
    ),
)
@click.argument("table", metavar="TABLE[@REF]")
@click.option("--columns", callback=common.column_names, metavar="A,B,…", help="Only these columns, in this order.")
@click.option("--where", help="A DuckDB expression: only rows for which it is true.")
@output_options
def read(
    table: str,
    columns: list[str] | None,
    where: str | None,
    output: str | None,
    form: str | None,
    limit: int | None,
    json_output: bool,
) -> None:
    """Read the rows of a version of TABLE; the latest by default. In CSV, null is an empty cell, empty text is ""."""
    uri, ref = split_target(table)
    version = tv.resolve_version(uri, ref)
    batches = tv.iter_batches(uri, version.number, columns=columns, where=where)
    first = next(batches, None)
    if first is None:
        empty = tv.read_version(uri, version.number, columns=columns, where=where)
        print_rows(empty.schema, iter(()), 0, output, form, limit, json_output)
    else:
        total = version.rows if where is None else None
        print_rows(first.schema, chain([first], batches), total, output, form, limit, json_output)


def print_rows(
    schema: pa.Schema,
    batches: Iterator[pa.RecordBatch],
    total: int | None,
    output: str | None,
    form: str | None,
    limit: int | None,
    json_output: bool,
) -> None:
    """Rows to where ``output_options`` say, as what they say; ``total`` is their number, None where it is not known."""
    from tablever.cli.rows_out import SCREEN_ROWS, first_rows, print_table, write_rows

    if json_output and form not in (None, "jsonl"):
        raise click.UsageError("--json is --format jsonl: give one of them")
    form = form or ("jsonl" if json_output else None)
    most = None if limit == Limit.ALL else limit
    if output is None and form in (None, "table"):
        print_table(schema, batches, SCREEN_ROWS if limit is None else most, total)
        return
    if form == "table":
        raise click.UsageError("a table is for the screen: give --output a file format")
    if output is None and form in ("parquet", "arrow") and sys.stdout.isatty():
        raise click.UsageError(f"{form} is no text for a terminal: give --output FILE, or a pipe")
    form = format_of(output, form) if output not in (None, "-") else form or "csv"
    rows = write_rows(schema, first_rows(batches, most), form, output)
    if output not in (None, "-"):
        click.echo(f"{plural(rows)} in {output}", err=True)


@click.command(
    epilog=example(
        'tablever sql "SELECT label, count(*) FROM reviews GROUP BY label" --root data',
        "tablever sql --root data < report.sql",
    ),
)
@click.argument("query", required=False)
@click.option("--root", default=".", show_default=True, metavar="DIR", help="Every table below it is a relation.")
@click.option(
    "--table", "tables", multiple=True, metavar="NAME=TABLE", help="A table that lies elsewhere; repeat for more."
)
@click.option(
    "--allow-folder",
    "allow_folders",
    multiple=True,
    metavar="DIR",
    help="A folder whose files the SQL may read, and write with COPY (…) TO; repeat for more.",
)
@output_options
def sql(
    query: str | None,
    root: str,
    tables: tuple[str, ...],
    allow_folders: tuple[str, ...],
    output: str | None,
    form: str | None,
    limit: int | None,
    json_output: bool,
) -> None:
    """Ask in DuckDB's SQL; without QUERY at a prompt, or from standard input where that is no terminal.

    A table's name is its folder's. reviews AT (VERSION => 3) is a version of it; table_versions('reviews') its log;
    table_changes('reviews', 3, 5) the rows that versions 3 to 5 changed; table_diff('reviews', 2, 5) what is
    different in version 5 from version 2, table_cells('reviews', 2, 5) cell by cell; table_history('reviews') every
    row that there ever was, with the versions that brought and ended it.
    """
    named = {name: tv.open_table(uri) for name, uri in common.split_pairs(tables, "--table").items()} or None
    from tablever.cli.interruptible import run_interruptibly
    from tablever.cli.sql_text import gives_rows

    if query is None and sys.stdin.isatty():
        from tablever.cli.prompt import run_prompt

        run_prompt(root, named, allow_folders)
        return
    text = sys.stdin.read() if query is None else query
    with tv.connect(root, named, allow_folders=allow_folders) as session:

        def answer() -> None:
            result = session.sql(text)
            reader = result.to_arrow_reader()
            if gives_rows(text, result.columns):
                print_rows(reader.schema, iter(reader), None, output, form, limit, json_output)
            else:
                reader.read_all()

        run_interruptibly(session, answer)
