"""What several commands share: their options, how a write is run and told, where their rows come from."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

import tablever as tv
from tablever.cli.inputs import FORMATS
from tablever.cli.output import print_json
from tablever.cli.target import as_ref, split_target
from tablever.errors import TableverError
from tablever.escapes import safe
from tablever.texts import changes_text, plural

if TYPE_CHECKING:
    import pyarrow as pa

    from tablever.model import Version
    from tablever.options import CommitOptions

_Command = TypeVar("_Command", bound=Callable[..., Any])
Write = Callable[["CommitOptions"], "Version | None"]

TARGET_HELP = "TABLE may carry a version: data/reviews@3, @-2, @v2.0, @2026-11-01T12:00:00Z."

as_json = click.option("--json", "json_output", is_flag=True, help="Print JSON, errors too.")
evolve = click.option("--evolve", is_flag=True, help="Add columns that the table lacks; earlier rows have nulls there.")


def _without_ref(ctx: click.Context, _param: click.Parameter, value: str) -> str:
    """The table's folder; UsageError where a ref stands behind it, since the command always takes the latest."""
    uri, ref = split_target(value)
    if uri != value:
        raise click.UsageError(f"{ctx.info_name} takes no @version: give '{uri}', without '@{ref}'", ctx)
    return value


table_argument = click.argument("table", callback=_without_ref)


class RefCommand(click.Command):
    """A command one of whose arguments is a ref, which may begin with a minus."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take ``-1`` for a ref, not for an option; where it is the value of one, it stays what it is."""
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        valued = {name for option in options if not (option.is_flag or option.count) for name in option.opts}
        taken, is_value = [], False
        for argument in args:
            taken.append(argument if is_value else as_ref(argument))
            is_value = not is_value and argument in valued
        return super().parse_args(ctx, taken)


def column_names(_ctx: click.Context, param: click.Parameter, value: str | None) -> list[str] | None:
    """``a,b`` as a list; a name with a comma in it is quoted as in CSV."""
    if value is None:
        return None
    try:
        names = next(csv.reader([value], skipinitialspace=True), [])
    except csv.Error:  # a line break that is not quoted
        names = []
    if not names or not all(names):
        raise click.UsageError(f"{param.opts[0]} needs names of columns, separated by commas, not '{value}'")
    return names


@dataclass(frozen=True)
class Files:
    """The files that a command was given, and how to read them."""

    names: tuple[str, ...]
    format: str | None
    delimiter: str | None
    types: tuple[str, ...] = ()

    @property
    def is_described(self) -> bool:
        """Whether it was said how to read them."""
        return bool(self.format or self.delimiter or self.types)

    def column_types(self) -> dict[str, pa.DataType]:
        """The values of --type."""
        from tablever.cli.rows_in import parse_type

        return {name: parse_type(text) for name, text in split_pairs(self.types, "--type").items()}

    def no_rows(self) -> pa.Schema:
        """The columns named by --type, for a table without rows."""
        import pyarrow as pa

        return pa.schema(list(self.column_types().items()))

    @contextmanager
    def rows(
        self,
        schema: pa.Schema | None = None,
        *,
        evolve: bool = False,
        only: Sequence[str] | None = None,
        whole: bool = False,
    ) -> Iterator[pa.RecordBatchReader]:
        """The rows as one stream, with a progress bar where a terminal watches; see ``rows_in.Expected``.

        An error of a file that comes up while another engine reads the stream is raised as what it was.
        """
        from tablever.cli.inputs import find_sources
        from tablever.cli.progress import loading
        from tablever.cli.rows_in import Expected, guarded, open_rows, work_of

        expected = Expected(schema, self.column_types(), evolve, only, self.delimiter, whole)
        failures: list[TableverError] = []
        with ExitStack() as scratch:
            sources = find_sources(self.names, self.format, scratch)
            progress = scratch.enter_context(loading(work_of(sources, expected)))
            try:
                yield guarded(open_rows(sources, expected, progress.advance), failures, progress.all_read)
            except Exception as error:
                if failures and error is not failures[0]:
                    raise failures[0] from None
                raise


def _delimiter(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    r"""One character, or ``\t`` as people type it; UsageError for anything else."""
    if value is None:
        return None
    char = "\t" if value == "\\t" else value
    if len(char) != 1 or not char.isascii() or char in '"\r\n\0':
        raise click.UsageError(f"--delimiter needs one ASCII character that is no quote or line break, not '{value}'")
    return char


def file_options(
    *, argument: bool = True, required: bool = True, typed: bool = True, metavar: str = "FILES…"
) -> Callable[[_Command], _Command]:
    """The options that say which files to read and how, handed to the command as ``files``.

    Args:
        argument: whether the files are arguments; else they are given by --keys.
        required: whether there must be one.
        typed: whether columns can be new, so that --type makes sense.
        metavar: what the help calls the arguments.
    """

    def decorate(command: _Command) -> _Command:
        @wraps(command)
        def with_files(*, file_names: tuple[str, ...], form: str | None, delimiter: str | None, **rest: Any) -> Any:
            return command(files=Files(file_names, form, delimiter, rest.pop("types", ())), **rest)

        options = [
            click.option(
                "--format",
                "form",
                type=click.Choice(FORMATS),
                help="Format of the files, if their suffix does not tell.",
            ),
            click.option(
                "--delimiter",
                callback=_delimiter,
                metavar="CHAR",
                help="What separates the cells of a CSV file; ',' by default.",
            ),
        ]
        if typed:
            options.append(
                click.option(
                    "--type",
                    "types",
                    multiple=True,
                    metavar="COLUMN=TYPE",
                    help="Type of a new column of text files: string, int64, float64, bool, date, timestamp, …",
                )
            )
        if argument:
            options.append(
                click.argument(
                    "file_names", nargs=-1, required=required, metavar=metavar if required else f"[{metavar}]"
                )
            )
        else:
            options.append(
                click.option(
                    "--keys", "file_names", multiple=True, metavar="FILE", help="A file with the keys; repeat for more."
                )
            )
        decorated: Any = with_files
        for option in reversed(options):
            decorated = option(decorated)
        return cast(_Command, decorated)

    return decorate


def example(*lines: str, note: str | None = None) -> str:
    """The end of a command's help: what it looks like, typed."""
    shown = "\n".join(["\b", "Example:" if len(lines) == 1 else "Examples:", *(f"  {line}" for line in lines)])
    return f"{note}\n\n{shown}" if note else shown


def write_options(command: _Command) -> _Command:
    """The options that every write to a table that is there takes, and --json."""
    return _with_options(command, [*_commit_options(), _only_if(), *_load_options()])


def record_options(command: _Command) -> _Command:
    """The options of every commit to a table that is there, loads or not, and --json."""
    return _with_options(command, [*_commit_options(), _only_if(), as_json])


def creation_options(command: _Command) -> _Command:
    """The options of ``write_options`` that mean something where there is no version yet."""
    return _with_options(command, [*_commit_options(), *_load_options()])


def _commit_options() -> list[Callable[[_Command], _Command]]:
    return [
        click.option("-m", "--message", help="Why; shown in the log."),
        click.option("--author", help="Who; git's user, or the system's, by default."),
        click.option(
            "--metadata",
            "metadata",
            multiple=True,
            metavar="NAME=VALUE",
            help="Kept with the version; JSON or text.",
        ),
    ]


def _only_if() -> Callable[[_Command], _Command]:
    return click.option("--if-version", metavar="REF", help="Refuse (exit code 6) unless this is the latest version.")


def _load_options() -> list[Callable[[_Command], _Command]]:
    return [click.option("--batch-id", help="Name of the load: run again, the same load changes nothing."), as_json]


def _with_options(command: _Command, options: Sequence[Callable[[_Command], _Command]]) -> _Command:
    for option in reversed(options):
        command = option(command)
    return command


def split_pairs(pairs: Sequence[str], what: str) -> dict[str, str]:
    """``NAME=VALUE`` texts as a mapping; UsageError for one without a name or =, or a name that comes twice."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise click.UsageError(f"{what} needs NAME=VALUE, not '{pair}'")
        if name.strip() in found:
            raise click.UsageError(f"{what} gives '{name.strip()}' twice")
        found[name.strip()] = value
    return found


def json_values(pairs: Sequence[str], what: str) -> dict[str, Any]:
    """The values of ``NAME=VALUE`` texts: as JSON where the text is JSON, else as text."""
    return {name: _json_or_text(value) for name, value in split_pairs(pairs, what).items()}


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=lambda _: text)
    except ValueError:
        return text


def run_write(table: str, write: Write, options: Mapping[str, Any], **said: Any) -> None:
    """Run a write with the command's common options, and print the version that it made, or that it made none.

    ``said`` is what the JSON says besides.

    Interrupted, it says what version the table is at: a commit is there as a whole or not at all.
    """
    commit: CommitOptions = {
        "message": options["message"],
        "author": options["author"],
        "metadata": json_values(options["metadata"], "--metadata") or None,
        "if_version": options.get("if_version"),
    }
    if "batch_id" in options:
        commit["batch_id"] = options["batch_id"]
    before: int | None = None
    started = time.perf_counter()
    try:
        before = head_number(table)
        version = write(commit)
    except KeyboardInterrupt:
        raise InterruptedWriteError(_after_interrupt(table, before)) from None
    except Exception as error:
        if was_interrupted(error):
            raise InterruptedWriteError(_after_interrupt(table, before)) from None
        raise
    if options["json_output"]:
        from tablever.json_values import version_json

        print_json("commit", {"table": table, "version": version_json(version) if version else None, **said})
    elif version is None:
        click.echo(f"nothing to change: '{safe(table)}' stays at version {before}")
    elif before is not None and version.number <= before:
        click.echo(f"nothing to change: this batch is version {version.number} of '{safe(table)}' already")
    else:
        taken = time.perf_counter() - started
        done = f"{version.operation} {changes_text(version)}".rstrip()
        click.echo(f"version {version.number}: {done}, {plural(version.rows)} ({taken:.2f} s)")


class InterruptedWriteError(Exception):
    """Ctrl-C during a write; the text says how the table stands."""


def was_interrupted(error: BaseException) -> bool:
    """Whether Ctrl-C is behind an error: engines that run into it raise errors of their own."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, KeyboardInterrupt) or type(seen).__name__ == "InterruptException":
            return True
        if isinstance(seen, RuntimeError) and "Query interrupted" in str(seen):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def head_number(table: str) -> int | None:
    """The number of the table's latest version; None where there is no table that can be opened."""
    try:
        return tv.resolve_version(table).number
    except TableverError:
        return None


def _after_interrupt(table: str, before: int | None) -> str:
    after = head_number(table)
    if after is None:
        return f"interrupted: there is no table at '{table}' yet"
    if before is None and after:
        return f"interrupted: '{table}' is at version {after}"
    if after == before:
        return f"interrupted: '{table}' is as it was, at version {after}"
    return f"interrupted, but '{table}' is at version {after} now: tablever log {table}"
