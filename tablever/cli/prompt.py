"""`tablever sql` without a query: a prompt with history. A statement ends with a semicolon, on any number of lines."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

import tablever as tv
from tablever.cli.hints import in_shell
from tablever.cli.interruptible import run_interruptibly
from tablever.cli.output import print_failure
from tablever.cli.rows_out import SCREEN_ROWS, print_table
from tablever.cli.sql_text import gives_rows
from tablever.errors import TableverError
from tablever.escapes import safe

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession

    from tablever.sql import Session
    from tablever.table import Table

HELP = """\
A statement of DuckDB's SQL ends with ;
  SELECT * FROM reviews LIMIT 5;                  the latest version
  SELECT * FROM reviews AT (VERSION => 3);        another: a number, 'latest~1', a time
  SELECT * FROM table_versions('reviews');        the log
  SELECT * FROM table_changes('reviews', 3, 5);   the rows that versions 3 to 5 changed
  SELECT * FROM table_diff('reviews', 3, 5);      what differs between versions 3 and 5
.tables  the tables    .help  this    .exit  leave (or Ctrl-D)"""


def run_prompt(root: str, tables: Mapping[str, Table] | None, allow_folders: Sequence[str] = ()) -> None:
    """Read statements and print their rows until .exit or the end of input."""
    with tv.connect(root, tables, allow_folders=allow_folders) as session:
        click.echo(f"tablever {tv.__version__}, tables below '{safe(root)}'. Statements end with ; and .help helps.")
        prompt = _prompt_session()
        while True:
            try:
                text = prompt.prompt("sql> ").strip()
            except KeyboardInterrupt:
                continue
            except EOFError:
                return
            if text in (".exit", ".quit"):
                return
            if text:
                answer(session, text)


def answer(session: Session, text: str) -> None:
    """Run one statement or dot command; an error is printed, and the session goes on."""
    try:
        if text == ".help":
            click.echo(HELP)
        elif text == ".tables":
            click.echo("\n".join(map(safe, session.tables())) or "no tables here")
        elif text.startswith("."):
            print_failure(f"there is no command '{text}'", ".help lists them")
        else:
            run_interruptibly(session, lambda: _run(session, text))
    except TableverError as error:
        print_failure(str(error), in_shell(error.hint, ()))
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)


def _run(session: Session, text: str) -> None:
    result = session.sql(text)
    reader = result.to_arrow_reader()
    if gives_rows(text, result.columns):
        print_table(reader.schema, reader, SCREEN_ROWS, None)
    else:
        reader.read_all()
        click.echo("done")


def is_complete(text: str) -> bool:
    """Whether Enter ends the input: a dot command, nothing, or a statement with its semicolon."""
    stripped = text.strip()
    return not stripped or stripped.startswith(".") or stripped.endswith(";")


def history_file() -> Path:
    """Where the prompt's history is kept: below the user's state folder, which is made if need be."""
    state = os.environ.get("XDG_STATE_HOME")
    folder = (Path(state) if state else Path.home() / ".local" / "state") / "tablever"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder / "sql_history"


def _prompt_session() -> PromptSession[str]:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.application import get_app
    from prompt_toolkit.filters import Condition
    from prompt_toolkit.history import FileHistory, History, InMemoryHistory
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

    keys = KeyBindings()

    @keys.add("enter", filter=Condition(lambda: is_complete(get_app().current_buffer.text)))
    def _accept(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    try:
        history: History = FileHistory(str(history_file()))
    except OSError:  # a home that cannot be written is no reason not to answer
        history = InMemoryHistory()
    return PromptSession(history=history, multiline=True, key_bindings=keys, prompt_continuation="...> ")
