"""What `tablever diff` is asked with: what is compared, in which form it is shown, when it fails."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal, TypeVar, cast

import click

from tablever.cli import gates
from tablever.cli.common import column_names

_Command = TypeVar("_Command", bound=Callable[..., Any])
Form = Literal["full", "stat", "names", "json", "markdown"]
Tolerance = float | tuple[float, float]

_FORMS: Mapping[str, Form] = {"stat": "stat", "name_only": "names", "json_output": "json", "markdown": "markdown"}


@dataclass(frozen=True)
class Output:
    """What is to be printed and written of a diff, and when it fails.

    Attributes:
        form: what is printed; None where none was asked for.
        html, patch: files to write.
        by: the columns by which changes are counted.
        statistics: None: as the form has it.
    """

    form: Form | None
    html: str | None
    patch: str | None
    by: tuple[str, ...]
    statistics: bool | None
    preview: bool
    exit_code: bool
    gates: tuple[gates.Gate, ...]

    @property
    def files(self) -> list[str]:
        """The files to write."""
        return [name for name in (self.html, self.patch) if name is not None]

    @property
    def shows_values(self) -> bool:
        """Whether groups and statistics have a place in what is printed or written."""
        printed = self.form if self.form is not None or self.files else "full"
        return self.html is not None or printed in ("full", "stat", "json", "markdown")


def _output(given: dict[str, Any]) -> Output:
    """The options of an Output, taken out of those of the command."""
    form = chosen_form(**{name: given.pop(name) for name in _FORMS})
    by, failing = given.pop("by"), given.pop("fail_on")
    rest = {name: given.pop(name) for name in ("html", "patch", "statistics", "preview", "exit_code")}
    if rest["preview"]:
        meant = {"--by": by, "--fail-on": failing, "--exit-code": rest["exit_code"], "--html": rest["html"]}
        meant |= {"--patch": rest["patch"], "--statistics": rest["statistics"], "that form": form not in (None, "json")}
        beside = [option for option, value in meant.items() if value]
        if beside:
            raise click.UsageError(f"--preview compares nothing: {beside[0]} has no meaning beside it")
    output = Output(form, by=tuple(by or ()), gates=tuple(failing), **rest)
    _check_files(output)
    unseen = [option for option, value in (("--by", by), ("--statistics", rest["statistics"])) if value]
    if unseen and not output.shows_values:
        raise click.UsageError(
            f"{unseen[0]} has no effect on what is shown: print all of it, or write a page with --html"
        )
    return output


def _check_files(output: Output) -> None:
    for option, name in (("--html", output.html), ("--patch", output.patch)):
        if name == "":
            raise click.UsageError(f"{option} needs the name of a file")
    if len({os.path.realpath(name) for name in output.files}) < len(output.files):
        raise click.UsageError(f"--html and --patch name one file, '{output.html}': give each its own")


def chosen_form(**flags: bool) -> Form | None:
    """The one form whose flag is set; UsageError for two."""
    asked = [name for name, is_set in flags.items() if is_set]
    if len(asked) > 1:
        named = [f"--{name.removesuffix('_output').replace('_', '-')}" for name in asked]
        raise click.UsageError(f"{' and '.join(named)} exclude each other")
    return _FORMS[asked[0]] if asked else None


def _key(_ctx: click.Context, _param: click.Parameter, value: tuple[str, ...]) -> list[str] | None:
    """The key's columns; ``''`` alone is no key, and without the option it is the table's."""
    if value == ("",):
        return []
    return list(value) or None


def _tolerance(
    _ctx: click.Context, _param: click.Parameter, value: tuple[str, ...]
) -> Tolerance | dict[str, Tolerance] | None:
    """``1e-6``, ``1e-6,1e-3``, or either behind ``COLUMN=``, which may be repeated."""
    if not value:
        return None
    pairs = [text.rpartition("=") for text in value]
    if len(pairs) == 1 and not pairs[0][1]:
        return _bounds(pairs[0][2], value[0])
    if any(not name for name, _, _ in pairs):
        raise click.UsageError("--tolerance: give COLUMN=ABSOLUTE[,RELATIVE], repeated, or one for all columns")
    if len({name for name, _, _ in pairs}) < len(pairs):
        raise click.UsageError("--tolerance names a column twice")
    return {name: _bounds(bounds, text) for (name, _, bounds), text in zip(pairs, value, strict=True)}


def _bounds(text: str, whole: str) -> Tolerance:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) == 1:
        return numbers[0]
    if len(numbers) == 2:
        return numbers[0], numbers[1]
    raise click.UsageError(f"--tolerance needs [COLUMN=]ABSOLUTE[,RELATIVE], such as score=1e-6,1e-3, not '{whole}'")


def _gates(_ctx: click.Context, _param: click.Parameter, value: tuple[str, ...]) -> list[gates.Gate]:
    return [gates.parse_gate(text) for text in value]


def scope_options(command: _Command) -> _Command:
    """What of the rows is compared, and how; handed to the command as ``scope``, arguments of ``diff_versions``."""
    options = [
        click.option(
            "-k",
            "--key",
            multiple=True,
            callback=_key,
            metavar="COLUMN",
            help="Column that tells rows apart; repeat for more. The table's key by default; '' compares without one.",
        ),
        click.option("--columns", callback=column_names, metavar="A,B,…", help="Compare only these columns."),
        click.option("--exclude", callback=column_names, metavar="A,B,…", help="Compare all columns but these."),
        click.option(
            "--tolerance",
            multiple=True,
            callback=_tolerance,
            metavar="[COLUMN=]ABS[,REL]",
            help="Numbers that differ by no more count as equal; repeat for more columns.",
        ),
    ]

    @wraps(command)
    def with_scope(**given: Any) -> Any:
        scope = {name: given.pop(name) for name in ("key", "columns", "exclude", "tolerance")}
        return command(scope=scope, **given)

    return cast(_Command, _decorated(with_scope, options))


def form_options(command: _Command) -> _Command:
    """What is printed."""
    options = [
        click.option("--stat", is_flag=True, help="One line a column: how many cells changed."),
        click.option("--name-only", is_flag=True, help="Only the names of the columns that changed."),
    ]
    return cast(_Command, _decorated(command, options))


def output_options(command: _Command) -> _Command:
    """Forms and places for what was found, and when that is a failure; handed to the command as ``output``."""
    options = [
        click.option("--json", "json_output", is_flag=True, help="All changes as JSON Lines (tablever.diff/v1)."),
        click.option("--markdown", is_flag=True, help="Markdown, for a pull request."),
        click.option("--html", metavar="FILE", help="Write a page that opens offline, with charts."),
        click.option("--patch", metavar="FILE", help="Write the changes as a file that tablever apply takes."),
        click.option("--by", callback=column_names, metavar="A,B,…", help="Count changes by group, against chance."),
        click.option(
            "--statistics/--no-statistics",
            default=None,
            help="How each column's values are spread and moved; on for --html, off elsewhere by default.",
        ),
        click.option("--preview", is_flag=True, help="Only say what would be read, and how many rows can differ."),
        click.option("--exit-code", is_flag=True, help="Exit with 1 where rows, columns or rules differ."),
        click.option(
            "--fail-on",
            "fail_on",
            multiple=True,
            callback=_gates,
            metavar="GATE",
            help="Exit with 1 where it holds: 'removed > 100', 'cells.label >= 5%'; repeat for more.",
        ),
    ]

    @wraps(command)
    def with_output(**given: Any) -> Any:
        output = _output(given)
        return command(output=output, **given)

    return cast(_Command, form_options(_decorated(with_output, options)))


def _decorated(command: Callable[..., Any], options: Sequence[Callable[[Any], Any]]) -> Any:
    for option in reversed(options):
        command = option(command)
    return command
