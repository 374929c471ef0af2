"""The command that checks: verify."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

import tablever as tv
from tablever.cli import common
from tablever.cli.common import TARGET_HELP, example
from tablever.cli.output import print_json
from tablever.cli.progress import checking
from tablever.cli.target import split_target
from tablever.errors import CorruptionError
from tablever.escapes import safe
from tablever.texts import plural

if TYPE_CHECKING:
    from tablever.integrity.report import Finding, Progress, Report

WORTH_A_RATE = 1_000_000  # bytes; the rate of less is that of starting
LISTED = 20  # of what had nothing to compare with, on the screen


@click.command(
    epilog=example(
        "tablever verify data/reviews",
        "tablever verify data/reviews@v2.0 --level rows --expect sha:3fa9…",
        note=TARGET_HELP,
    ),
)
@click.argument("table", metavar="TABLE[@REF]")
@click.option(
    "--level",
    type=click.Choice(["log", "files", "rows"]),
    default="files",
    show_default=True,
    help="The log alone; every byte of every file too; what the files decode to, too.",
)
@click.option("--expect", metavar="sha:…", help="The content hash that the version must have.")
@common.as_json
def verify(table: str, level: Any, expect: str | None, json_output: bool) -> None:
    """Check that a version of TABLE, or every version that can be read, is what was committed.

    Exit code 7 where something is damaged; each object is named with the versions that it touches. What had nothing
    to compare with, as in tables made by others, is listed and not called right.
    """
    uri, ref = split_target(table)
    watched: AbstractContextManager[Progress | None] = nullcontext() if json_output else checking()
    try:
        with watched as progress:
            report = tv.verify(uri, ref if uri != table else None, level=level, expect=expect, progress=progress)
    except CorruptionError as error:
        found = error.facts.get("report")
        if found is not None:
            _print(uri, found, json_output)
        facts = {name: value for name, value in error.facts.items() if name != "report"}  # it is printed already
        raise CorruptionError(str(error), hint=error.hint, **facts) from None
    _print(uri, report, json_output)


def _print(table: str, report: Report, json_output: bool) -> None:
    if json_output:
        print_json("verify", {"table": table, "whole": bool(report), **asdict(report)})
        return
    for found in report.damaged:
        click.echo(click.style("damaged", fg="red", bold=True) + f"  {_line(found)}")
    for found in report.vacuumed:
        click.echo(click.style("vacuumed", dim=True) + f"  {_line(found)}")
    for found in report.given_up:
        click.echo(click.style("given up", dim=True) + f"  {_line(found)}")
    for found in report.unrecorded[:LISTED]:
        click.echo(click.style("not recorded", fg="yellow") + f"  {_line(found)}")
    if len(report.unrecorded) > LISTED:
        click.echo(f"… and {len(report.unrecorded) - LISTED:,} more that had nothing to compare with (--json has all)")
    click.echo(_summary(report))


def _line(found: Finding) -> str:
    return safe(f"{found.kind} {found.object}: {found.detail} ({_versions(found.versions)})")


def _versions(numbers: tuple[int, ...]) -> str:
    """``version 3``, ``versions 3 to 7, 9``."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][-1] == number - 1:
            spans[-1][1:] = [number]
        else:
            spans.append([number])
    texts = [f"{span[0]} to {span[-1]}" if len(span) > 1 else str(span[0]) for span in spans]
    return f"version{'' if len(numbers) == 1 else 's'} {', '.join(texts)}"


def _summary(report: Report) -> str:
    rate = f", {report.bytes / 1e6 / report.seconds:,.0f} MB/s" if report.bytes > WORTH_A_RATE else ""
    rows = f", {plural(report.rows)} decoded" if report.level == "rows" else ""
    said = "nothing is damaged" if report else f"{plural(len(report.damaged), 'finding')} of damage"
    return (
        f"{said}: {plural(len(report.versions), 'version')}, {plural(report.objects, 'object')}, "
        f"{report.bytes / 1e6:,.1f} MB{rows} ({report.seconds:.2f} s{rate})"
    )
