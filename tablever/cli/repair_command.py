"""The command that goes on after a power cut: repair."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

import tablever as tv
from tablever.cli import common
from tablever.cli.common import example
from tablever.cli.output import print_json
from tablever.escapes import safe
from tablever.texts import plural, size_text, time_text

if TYPE_CHECKING:
    from tablever.repairing import LostVersion, Repair

LISTED = 5  # of the files that a lost version named, on the screen


@click.command(
    epilog=example(
        "tablever repair data/reviews --dry-run",
        "tablever repair data/reviews --give-up _tablever/tags/v1%2E0.json --reason 'no copy is left'",
    ),
)
@common.table_argument
@click.option(
    "--give-up",
    multiple=True,
    metavar="OBJECT",
    help="A tag, run or pin that is damaged or gone and cannot be restored, as verify names it; repeat for more.",
)
@click.option("-m", "--reason", help="Why; kept in the record.")
@click.option("--author", help="Who; git's user, or the system's, by default.")
@click.option("--dry-run", is_flag=True, help="Only show what would be done, even with --yes.")
@click.option("--yes", is_flag=True, help="Do not ask. Needed where no terminal is.")
@common.as_json
def repair(
    table: str,
    give_up: tuple[str, ...],
    reason: str | None,
    author: str | None,
    dry_run: bool,
    yes: bool,
    json_output: bool,
) -> None:
    """Move the torn newest entries of TABLE's log aside; shows what is lost, and asks.

    Torn is what is empty, cut, or not as it was written, with nothing whole after it. It goes to _tablever/repairs,
    nothing is deleted, and the table goes on from its last good version. Tags, runs and pins of lost versions are
    taken away. Exit code 7 where something else of the log is damaged: that must come from a copy.
    """
    planned = tv.repair(table, give_up=give_up, reason=reason, author=author, dry_run=True)
    if dry_run or not planned:
        _show(table, planned, json_output)
        return
    if not yes:
        if json_output or not sys.stdin.isatty():
            raise click.UsageError("repair asks before it moves: without a terminal give --yes, or --dry-run")
        _show(table, planned, json_output)
        if not click.confirm(f"Move {plural(len(planned.moved) + len(planned.given_up), 'object')} aside?"):
            return
    done = tv.repair(table, give_up=give_up, reason=reason, author=author)
    if yes:
        _show(table, done, json_output)
    elif not json_output:
        click.echo(_end(table, done))


def _show(table: str, found: Repair, as_json: bool) -> None:
    if as_json:
        from tablever.json_values import to_json

        print_json("repair", {"table": table, **to_json(asdict(found))})
        return
    for line in _lines(table, found):
        click.echo(safe(line))


def _lines(table: str, found: Repair) -> Iterator[str]:
    for lost in found.lost:
        yield from _lost_lines(lost)
    for aside in found.moved:
        yield f"moved aside  {aside.object}: {aside.problem}"
    for path in found.taken_away:
        yield f"taken away   {path}"
    for aside in found.given_up:
        yield f"given up     {aside.object}: {aside.problem}"
    for aside in found.left:
        yield f"damaged, and left as it is  {aside.object}: {aside.problem}"
    yield _end(table, found)


def _lost_lines(lost: LostVersion) -> Iterator[str]:
    yield f"lost: version {lost.version}: its entry {lost.problem} ({size_text(lost.bytes)})"
    if lost.operation:
        when = f", {time_text(lost.time)}" if lost.time else ""
        why = f": {lost.message}" if lost.message else ""
        yield f"  it was {lost.operation} by {(lost.author or 'unknown').partition(' <')[0]}{when}{why}"
    if lost.files:
        more = f" and {len(lost.files) - LISTED} more" if len(lost.files) > LISTED else ""
        yield f"  it named {', '.join(lost.files[:LISTED])}{more}"
    if lost.witnesses:
        yield f"  remembered by {', '.join(lost.witnesses)}"


def _end(table: str, found: Repair) -> str:
    head = "no version is left" if found.head is None else f"the newest version is {found.head}"
    if not found:
        return f"nothing to repair: {head}"
    if found.dry_run:
        return f"afterwards {head}"
    return f"{head}; what was moved is in '{table}', recorded as {found.record}"
