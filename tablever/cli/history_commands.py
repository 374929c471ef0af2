"""The commands about a row's life: history, blame, runs-that-saw."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

import tablever as tv
from tablever.cli import common
from tablever.cli.common import TARGET_HELP, example
from tablever.cli.output import print_json, terminal_width
from tablever.cli.read_commands import output_options, print_rows
from tablever.cli.target import split_target
from tablever.cli.witness_commands import show_runs
from tablever.errors import InvalidKeyError
from tablever.escapes import safe
from tablever.texts import cell, cut, time_text, width

if TYPE_CHECKING:
    from tablever.history.events import RowEvent
    from tablever.model import Metadata

INDENT = "    "
_STYLES = {"insert": "green", "update": "yellow", "delete": "red"}


@click.command(
    epilog=example("tablever history data/reviews id=7", "tablever history data/sales shop=12 day=2026-11-01 --json"),
)
@common.table_argument
@click.argument("key", nargs=-1, required=True, metavar="COLUMN=VALUE…")
@common.as_json
def history(table: str, key: tuple[str, ...], json_output: bool) -> None:
    """Show every version that inserted, changed or deleted a row of TABLE, oldest first. Times are UTC.

    The row is named by its key; in a table without a key by all of its values, where a column that is left out is
    null.
    """
    opened = tv.open_table(table)
    metadata = opened.log.head().metadata
    one = _key(metadata, key)
    events = tv.row_history(opened, one)
    if json_output:
        from tablever.json_values import to_json

        print_json("history", {"table": table, "key": to_json(one), "events": [_event_json(e) for e in events]})
        return
    for line in _lines(events, metadata.key, terminal_width()):
        click.echo(line)
    if not events:
        click.echo(click.style("(no version that can be read had this row)", dim=True))


def _event_json(event: RowEvent) -> dict[str, Any]:
    from tablever.json_values import instant_text, to_json

    return {
        "version": event.version,
        "earliest": event.earliest,
        "timestamp": instant_text(event.timestamp),
        "author": event.author,
        "message": event.message,
        "change": event.change,
        "rows": event.rows,
        "cells": {name: {"old": to_json(old), "new": to_json(new)} for name, (old, new) in event.cells.items()},
        "row": to_json(dict(event.row)),
    }


def _lines(events: Iterable[RowEvent], key: Sequence[str], columns: int | None) -> Iterator[str]:
    """A line for each event, and below it the cells that it set."""
    for event in events:
        since = "" if event.earliest == event.version else f" (or from {event.earliest} on)"
        times = "" if event.rows == 1 else f" x{event.rows:,}"
        who = [safe((event.author or "").partition(" <")[0]), safe(event.message or "")]
        word = click.style(f"{event.change}{times}", fg=_STYLES[event.change])
        time = time_text(event.timestamp.replace(microsecond=0))
        yield "  ".join([f"{event.version:<4}{since}", time, word, ": ".join(text for text in who if text)]).rstrip()
        cells = {name: f"{cell(old)} → {cell(new)}" for name, (old, new) in event.cells.items()}
        if event.change == "insert":
            cells = {name: cell(value) for name, value in event.row.items() if name not in key and value is not None}
        wide = max((width(safe(name)) for name in cells), default=0)
        for name, text in cells.items():
            line = f"{INDENT}{safe(name)}{' ' * (wide - width(safe(name)))}  {text}"
            yield line if columns is None else cut(line, columns)


@click.command(
    "runs-that-saw",
    epilog=example("tablever runs-that-saw data/reviews id=7"),
)
@common.table_argument
@click.argument("key", nargs=-1, required=True, metavar="COLUMN=VALUE…")
@common.as_json
def runs_that_saw(table: str, key: tuple[str, ...], json_output: bool) -> None:
    """List the runs that used a version of TABLE that held a row, named as for history. Times are UTC."""
    opened = tv.open_table(table)
    show_runs(table, tv.runs_that_saw(opened, _key(opened.log.head().metadata, key)), json_output)


@click.command(
    epilog=example(
        "tablever blame data/reviews id=7 id=8 --cells",
        "tablever blame data/reviews@v2.0 -o blame.csv",
        note=TARGET_HELP,
    ),
)
@click.argument("table", metavar="TABLE[@REF]")
@click.argument("keys", nargs=-1, metavar="[COLUMN=VALUE…]")
@click.option("--cells", is_flag=True, help="Also which version last set each cell.")
@output_options
def blame(
    table: str,
    keys: tuple[str, ...],
    cells: bool,
    output: str | None,
    form: str | None,
    limit: int | None,
    json_output: bool,
) -> None:
    """Show which version last wrote each row of a version of TABLE, who, when and why; the latest by default.

    With COLUMN=VALUE only the rows of those keys, the deleted ones included; a column that comes again begins the
    next key.
    """
    uri, ref = split_target(table)
    opened = tv.open_table(uri)
    log = opened.log
    number = log.resolve(ref)
    sought = _keys(log.snapshot(number).metadata, keys) if keys else None
    rows = tv.blame(opened, number, keys=sought, cells=cells)
    if output is None and form in (None, "table") and not json_output:
        rows = rows.rename_columns([_heading(name) for name in rows.column_names])
    print_rows(rows.schema, iter(rows.to_batches()), rows.num_rows, output, form, limit, json_output)


def _heading(column: str) -> str:
    """A column's name on the screen."""
    if column.startswith("_commit_version_"):
        return "version of " + column.removeprefix("_commit_version_")
    return {"_change_type": "change"}.get(column, column.removeprefix("_commit_"))


def _key(metadata: Metadata, texts: Sequence[str]) -> dict[str, Any]:
    """``shop=12 day=2026-11-01`` as one key."""
    groups = _keys(metadata, texts)
    if len(groups) > 1:
        raise click.UsageError(f"one row is asked about: '{texts[len(groups[0])]}' begins another key")
    return groups[0]


def _keys(metadata: Metadata, texts: Sequence[str]) -> list[dict[str, Any]]:
    """``id=7 id=8`` as keys: a column that comes again begins the next. Values are parsed by their columns' types."""
    from tablever.layout import table_schema

    schema = table_schema(metadata)
    groups: list[dict[str, str]] = [{}]
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.UsageError(f"a row is named by COLUMN=VALUE, not '{text}'")
        if name in groups[-1]:
            groups.append({})
        groups[-1][name] = value
    missing = {} if metadata.key else dict.fromkeys(schema.names)
    return [{**missing, **{name: _typed(schema, name, value) for name, value in group.items()}} for group in groups]


def _typed(schema: Any, name: str, text: str) -> Any:
    import pyarrow as pa

    from tablever.cli.text_types import BadTextError, describe, parse_text
    from tablever.texts import did_you_mean, listed

    if name not in schema.names:
        raise InvalidKeyError(
            f"no column '{name}': the columns are {listed(schema.names)}",
            hint=did_you_mean(name, schema.names),
            column=name,
        )
    kind = schema.field(name).type
    try:
        return parse_text(pa.array([text], pa.string()), kind)[0].as_py()
    except BadTextError as error:
        raise InvalidKeyError(describe(error, name, kind), column=name) from error
