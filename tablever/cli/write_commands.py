"""The commands that commit: each calls the function of its name."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Literal

import click

import tablever as tv
from tablever.cli import common
from tablever.cli.common import Files, example, run_write, split_pairs
from tablever.errors import InvalidKeyError

if TYPE_CHECKING:
    from tablever.model import Version
    from tablever.options import CommitOptions


@click.command(epilog=example('tablever create data/reviews reviews-*.csv --key id -m "first export"'))
@click.argument("table")
@common.file_options(required=False)
@click.option("-k", "--key", multiple=True, metavar="COLUMN", help="Column that identifies a row; repeat for more.")
@click.option("--partition-by", multiple=True, metavar="COLUMN", help="Keep files apart by its values.")
@click.option(
    "--deletes",
    type=click.Choice(["merge-on-read", "copy-on-write"]),
    default="merge-on-read",
    show_default=True,
    help="Mark deleted rows beside the files, or rewrite the files.",
)
@common.creation_options
def create(
    table: str,
    files: Files,
    key: tuple[str, ...],
    partition_by: tuple[str, ...],
    deletes: Literal["merge-on-read", "copy-on-write"],
    **options: Any,
) -> None:
    """Create TABLE, a folder, from FILES (names, globs, or - for standard input).

    The types of CSV and JSON Lines are taken from all rows: a column of whole numbers is int64 (text if one has
    leading zeros, or more digits than 64 bits hold), then float64, bool, date, timestamp; else string. Without
    FILES, --type names the columns of an empty table. In JSON Lines, "NaN", "Infinity" and "-Infinity" are numbers
    where the column is known to be of floats: say --type COLUMN=float64.
    """
    if not files.names and not files.types:
        raise click.UsageError("give FILES, or the columns of an empty table with --type")

    def write(commit: CommitOptions) -> Version:
        with files.rows() if files.names else nullcontext(files.no_rows()) as rows:
            return tv.create_table(
                table, rows, key=list(key) or None, partition_by=list(partition_by) or None, deletes=deletes, **commit
            ).version(0)

    run_write(table, write, options)


@click.command(
    epilog=example('tablever append data/reviews today.csv -m "the day\'s reviews" --batch-id 2026-11-01'),
)
@common.table_argument
@common.file_options()
@common.evolve
@common.write_options
def append(
    table: str,
    files: Files,
    evolve: bool,
    **options: Any,
) -> None:
    """Add the rows of FILES to TABLE. "NaN" and "Infinity" in JSON Lines are numbers in a column of floats."""

    def write(commit: CommitOptions) -> Version | None:
        with files.rows(tv.open_table(table).schema, evolve=evolve) as rows:
            return tv.append(table, rows, evolve=evolve, **commit)

    run_write(table, write, options)


@click.command(epilog=example('tablever upsert data/reviews corrected.csv -m "labels checked by hand"'))
@common.table_argument
@common.file_options()
@common.evolve
@common.write_options
def upsert(
    table: str,
    files: Files,
    evolve: bool,
    **options: Any,
) -> None:
    """Insert the rows of FILES by TABLE's key, or replace the rows of those keys where they differ."""

    def write(commit: CommitOptions) -> Version | None:
        with files.rows(tv.open_table(table).schema, evolve=evolve) as rows:
            return tv.upsert(table, rows, evolve=evolve, **commit)

    run_write(table, write, options)


@click.command(epilog=example('tablever overwrite data/reviews export.parquet -m "November\'s export"'))
@common.table_argument
@common.file_options()
@common.evolve
@click.option("--replace-schema", is_flag=True, help="Take the files' columns and types as the table's.")
@common.write_options
def overwrite(
    table: str,
    files: Files,
    evolve: bool,
    replace_schema: bool,
    **options: Any,
) -> None:
    """Make TABLE hold exactly the rows of FILES. With a key, only what differs is committed."""

    def write(commit: CommitOptions) -> Version | None:
        schema = tv.open_table(table).schema
        with files.rows(None if replace_schema else schema, evolve=evolve, whole=True) as rows:
            return tv.overwrite(table, rows, evolve=evolve, replace_schema=replace_schema, **commit)

    run_write(table, write, options)


@click.command(epilog=example('tablever update data/reviews --set "label=\'neg\'" --where "id = 7"'))
@common.table_argument
@click.option("--set", "assignments", multiple=True, required=True, metavar="COLUMN=EXPRESSION", help="What to set.")
@click.option("--where", required=True, help="The rows to update; 'true' for all.")
@common.write_options
def update(table: str, assignments: tuple[str, ...], where: str, **options: Any) -> None:
    """Set columns of TABLE's rows for which --where is true. Expressions are DuckDB's; text stands in 'quotes'."""
    columns = split_pairs(assignments, "--set")
    run_write(table, lambda commit: tv.update(table, columns, where=where, **commit), options)


@click.command(
    epilog=example('tablever delete data/reviews --where "confidence < 0.7" -m "drop what nobody is sure of"'),
)
@common.table_argument
@click.option("--where", help="A DuckDB expression: rows for which it is true are deleted.")
@common.file_options(argument=False, typed=False)
@common.write_options
def delete(table: str, files: Files, where: str | None, **options: Any) -> None:
    """Delete rows of TABLE: those for which --where is true, or whose keys are in a file.

    Of a file with keys, the key's columns are read and all others passed over.
    """
    if (where is None) == (not files.names):
        raise click.UsageError("give either --where or --keys")

    def write(commit: CommitOptions) -> Version | None:
        if where is not None:
            return tv.delete(table, where=where, **commit)
        opened = tv.open_table(table)
        if not opened.key:
            hint = f"use --where, or first: tablever set-key {table} COLUMN"
            raise InvalidKeyError(f"'{opened.name}' has no key to delete by", hint=hint)
        with files.rows(opened.schema, only=opened.key) as keys:
            return tv.delete(table, keys=keys, **commit)

    run_write(table, write, options)


@click.command(
    cls=common.RefCommand,
    epilog=example('tablever restore data/reviews latest~1 -m "the last load was wrong"'),
)
@common.table_argument
@click.argument("ref")
@common.write_options
def restore(table: str, ref: str, **options: Any) -> None:
    """Bring back version REF of TABLE, as a new version: rows, schema, key and constraints."""
    run_write(table, lambda commit: tv.restore(table, ref, **commit), options)


@click.command(
    cls=common.RefCommand,
    epilog=example('tablever revert data/reviews 12 -m "that batch was labelled wrongly"'),
)
@common.table_argument
@click.argument("ref")
@common.write_options
def revert(table: str, ref: str, **options: Any) -> None:
    """Undo what version REF of TABLE changed, and keep what came after it."""
    run_write(table, lambda commit: tv.revert(table, ref, **commit), options)


@click.command("set-key", epilog=example("tablever set-key data/reviews id"))
@common.table_argument
@click.argument("key", nargs=-1, required=True, metavar="COLUMN…")
@common.write_options
def set_key(table: str, key: tuple[str, ...], **options: Any) -> None:
    """Make columns the key of TABLE: unique and never null, from now on."""
    run_write(table, lambda commit: tv.set_key(table, list(key), **commit), options)


@click.command(
    "set-not-null",
    epilog=example("tablever set-not-null data/reviews text label"),
)
@common.table_argument
@click.argument("columns", nargs=-1, required=True, metavar="COLUMN…")
@common.write_options
def set_not_null(table: str, columns: tuple[str, ...], **options: Any) -> None:
    """Refuse nulls in columns of TABLE from now on."""
    run_write(table, lambda commit: tv.set_not_null(table, list(columns), **commit), options)


@click.command(
    "add-constraint",
    epilog=example('tablever add-constraint data/reviews sure "confidence BETWEEN 0 AND 1"'),
)
@common.table_argument
@click.argument("name")
@click.argument("check")
@common.write_options
def add_constraint(table: str, name: str, check: str, **options: Any) -> None:
    """Refuse rows of TABLE for which CHECK, a condition in Spark SQL, is not true."""
    run_write(table, lambda commit: tv.add_constraint(table, name, check, **commit), options)
