"""The entry point: the commands, and what becomes of errors: text for people, JSON for programs, exit codes for both.

Nothing heavy is imported here or by the modules of the commands: `tablever --help` answers at once.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import TextIO, cast

import click

import tablever as tv
from tablever import errors
from tablever.cli.commands import Commands, LazyGroup
from tablever.cli.common import InterruptedWriteError, example, was_interrupted
from tablever.cli.hints import in_shell
from tablever.cli.output import print_error, print_failure, print_failure_json
from tablever.escapes import safe

USAGE = 2
INTERRUPTED = 130
BROKEN_PIPE = 141  # what a shell reports of a program that SIGPIPE ended
DEFECT = 70
EXIT_CODES: dict[type[errors.TableverError], int] = {
    errors.NotFoundError: 3,
    errors.AlreadyExistsError: 4,
    errors.InvalidInputError: 5,
    errors.UnsupportedFeatureError: 5,
    errors.ConflictError: 6,
    errors.StorageError: 7,
    errors.CorruptionError: 7,
}
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
END = """\b
Exit codes: 0 done, 1 different (diff --exit-code and --fail-on), 2 usage,
3 not found, 4 exists already, 5 invalid input or unsupported, 6 conflict,
7 storage or corruption.

\b
Start here:
  tablever demo
"""


@click.group(cls=LazyGroup, commands=cast(dict[str, click.Command], Commands()), context_settings=CONTEXT, epilog=END)
@click.version_option(tv.__version__, message="tablever %(version)s")
@click.option(
    "--allow-folder",
    "allow_folders",
    multiple=True,
    metavar="DIR",
    help="A folder elsewhere in which files of tables may lie, to be read; repeat for more.",
)
@click.pass_context
def cli(context: click.Context, allow_folders: tuple[str, ...]) -> None:
    """Version control for the rows of a table: every commit is a version that can be read again and compared.

    Where a table is asked for, its folder is given; where a version is asked for, a ref: 3, -2, latest~1, a tag, or
    a time such as 2026-11-01T12:00:00Z.
    """
    if allow_folders:
        from tablever.fences import allowing

        context.with_resource(allowing(allow_folders))


@click.command(epilog=example("tablever demo"))
@click.argument("folder", default="tablever-demo/airports")
def demo(folder: str) -> None:
    """See it at work: eight releases of a list of the world's airports, committed to FOLDER one by one."""
    from tablever.demo.tour import run

    run(folder, run_command)


def run_command(arguments: Sequence[str]) -> None:
    """Run one command as the shell would; its errors are raised, all of them."""
    with cli.make_context("tablever", list(arguments)) as context:
        cli.invoke(context)


def main() -> None:
    """Run the command line of this process and exit with its code."""
    show_warnings()
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal that is not UTF-8 gets escapes, not a defect
        sys.stdout.reconfigure(errors="backslashreplace")
    if "_TABLEVER_COMPLETE" in os.environ:
        cli.main(prog_name="tablever")  # click answers a shell's completion, and exits
    code = exit_code(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    # Arrow's and DuckDB's threads may still be at work after an error, and would take the interpreter down as it ends.
    os._exit(code)


def show_warnings() -> None:
    """Put on standard error what Python or the library warns of."""
    warnings.showwarning = _show_warning
    logging.getLogger("tablever").addHandler(_OnScreen(logging.WARNING))


def exit_code(arguments: Sequence[str]) -> int:
    """Run a command line; print what went wrong, and return the exit code."""
    as_json = "--json" in arguments
    try:
        run_command(arguments)
        sys.stdout.flush()
    except errors.TableverError as error:
        if was_interrupted(error):
            return _interrupted(error)
        error.hint = in_shell(error.hint, arguments)
        print_error(error, as_json)
        return next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), DEFECT)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return USAGE
    except click.ClickException as error:
        _print_usage(error, as_json)
        return USAGE
    except (InterruptedWriteError, KeyboardInterrupt) as error:
        return _interrupted(error)
    except BrokenPipeError:
        # Python flushes standard output once more as it ends; it must not find the closed pipe then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except OSError as error:
        print_error(errors.StorageError(f"cannot write the output: {error}"), as_json)
        return EXIT_CODES[errors.StorageError]
    except MemoryError as error:
        hint = "ask for less at once: fewer columns, or rows with --where; load a file in parts"
        print_error(errors.StorageError(f"there is not enough memory: {error}".rstrip(": "), hint=hint), as_json)
        return EXIT_CODES[errors.StorageError]
    except Exception as error:  # noqa: BLE001  # the edge of the program
        return _interrupted(error) if was_interrupted(error) else _defect(error, as_json)
    return 0


def _interrupted(error: BaseException) -> int:
    how = str(error) if isinstance(error, InterruptedWriteError) else "interrupted"
    click.echo("\n" + safe(how), err=True)
    return INTERRUPTED


def _print_usage(error: click.ClickException, as_json: bool) -> None:
    context = getattr(error, "ctx", None)
    hint = f"{context.command_path} --help" if context else "tablever --help"
    if as_json:
        print_failure_json("usage", error.format_message(), hint, {})
    else:
        print_failure(error.format_message(), hint)


def _defect(error: Exception, as_json: bool) -> int:
    """An error that nobody foresaw; the traceback is for those who ask for it."""
    if "TABLEVER_DEBUG" in os.environ:
        raise error
    message = f"unexpected {type(error).__name__}: {error}"
    hint = "this is a defect of tablever; TABLEVER_DEBUG=1 shows where it came from"
    if as_json:
        print_failure_json("defect", message, hint, {})
    else:
        print_failure(message, hint)
    return DEFECT


def _show_warning(
    message: Warning | str,
    category: type[Warning],  # noqa: ARG001  # the signature is Python's
    filename: str,  # noqa: ARG001
    lineno: int,  # noqa: ARG001
    file: TextIO | None = None,  # noqa: ARG001
    line: str | None = None,  # noqa: ARG001
) -> None:
    _warn(str(message))


class _OnScreen(logging.Handler):
    """What the library reports on the way, as a warning."""

    def emit(self, record: logging.LogRecord) -> None:
        cause = f": {record.exc_info[1]}" if record.exc_info else ""
        _warn(record.getMessage() + cause)


def _warn(said: str) -> None:
    click.echo(click.style("warning:", fg="yellow") + " " + safe(said), err=True)
