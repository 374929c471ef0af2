"""What the shell prints and writes: lines, errors, JSON. Nothing here opens a table."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import click

from tablever.errors import TableverError
from tablever.escapes import in_json, safe
from tablever.texts import NARROWEST_CELL, cell, cut

if TYPE_CHECKING:
    from tablever.report.screen import Line

SHORT_ROW = 4  # columns of a row that a message quotes
_STYLES: Mapping[str, Mapping[str, Any]] = {
    "title": {"bold": True},
    "name": {"bold": True},
    "dim": {"dim": True},
    "added": {"fg": "green"},
    "removed": {"fg": "red"},
    "updated": {"fg": "yellow"},
    "warning": {"fg": "yellow", "bold": True},
}


def terminal_width() -> int | None:
    """The terminal's columns; None where standard output is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def paint(line: Line) -> str:
    """A line's spans in the colours of their roles."""
    return "".join(click.style(text, **_STYLES[role]) if role in _STYLES else text for text, role in line)


def show_lines(lines: Iterable[Line]) -> None:
    """Print lines; on a terminal that they do not fit, with its pager."""
    painted: Iterator[str] = map(paint, lines)
    if sys.stdout.isatty():
        screen = list(islice(painted, shutil.get_terminal_size().lines))
        if len(screen) == shutil.get_terminal_size().lines:  # none is left for the prompt
            click.echo_via_pager(f"{line}\n" for line in chain(screen, painted))
            return
        painted = iter(screen)
    for line in painted:
        click.echo(line)


def print_json(name: str, values: Mapping[str, Any]) -> None:
    """One JSON object that says what it is: ``{"format": "tablever.log/v1", …}``."""
    click.echo(in_json(json.dumps({"format": f"tablever.{name}/v1", **values}, ensure_ascii=False)))


def print_error(error: TableverError, as_json: bool) -> None:
    """The error and its hint on standard error."""
    if as_json:
        print_failure_json(error.code, str(error), error.hint, error.facts)
    else:
        print_failure(_with_short_rows(error), error.hint)


def _with_short_rows(error: TableverError) -> str:
    """The message, where it quotes whole rows with a few columns of each: the first, and what the condition names."""
    message, rows = str(error), error.facts.get("rows")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows) or str(rows) not in message:
        return message
    condition = str(error.facts.get("expression", ""))
    return message.replace(str(rows), "; ".join(_short_row(row, condition) for row in rows))


def _short_row(row: Mapping[str, Any], condition: str) -> str:
    first = list(row)[:1]
    named = [name for name in row if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", condition, re.IGNORECASE)]
    names = list(dict.fromkeys([*first, *named, *row]))[:SHORT_ROW]
    values = [f"{name}={cut(cell(row[name]), NARROWEST_CELL * 3)}" for name in names]
    return ", ".join([*values, "…"] if len(names) < len(row) else values)


def print_failure(message: str, hint: str | None = None) -> None:
    """``error: …`` and ``hint: …`` on standard error."""
    lines = [safe(line) for line in message.split("\n")]
    click.echo(click.style("error:", fg="red", bold=True) + " " + "\n  ".join(lines), err=True)
    if hint:
        click.echo(click.style("hint:", fg="cyan") + " " + "\n  ".join(map(safe, hint.split("\n"))), err=True)


def print_failure_json(code: str, message: str, hint: str | None, facts: Mapping[str, Any]) -> None:
    """The error as one JSON object on standard error."""
    error = {"code": code, "message": message, "hint": hint, "facts": dict(facts)}
    text = json.dumps({"format": "tablever.error/v1", "error": error}, default=str, ensure_ascii=False)
    click.echo(in_json(text), err=True)
