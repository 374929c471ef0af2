"""The commands about files and space: du, compact, set-retention, vacuum, protect."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast

import click

import tablever as tv
from tablever.cli import common
from tablever.cli.common import example, json_values, run_write
from tablever.cli.output import print_json, terminal_width
from tablever.escapes import safe
from tablever.spans import Spans, holds, numbers_of, spans_of, spans_text
from tablever.texts import plural, size_text, table_lines

if TYPE_CHECKING:
    from tablever.freeing import Removal
    from tablever.options import RecordOptions
    from tablever.usage import Usage
    from tablever.vacuuming import Vacuum

yes = click.option("--yes", is_flag=True, help="Do not ask. Needed where no terminal is.")


@click.command(epilog=example("tablever du data/reviews"))
@common.table_argument
@click.option("--files", is_flag=True, help="Show the files too, and which versions need them.")
@common.as_json
def du(table: str, files: bool, json_output: bool) -> None:
    """Show what each version of TABLE takes on the disk.

    "needs" is what reading the version needs, its change rows included; "only" what no other version needs, so that
    it goes with the version. A vacuumed version is in brackets.
    """
    usage = tv.du(table)
    if json_output:
        print_json("du", {"table": table, **_usage_json(usage)})
        return
    width = terminal_width()
    for line in _usage_lines(usage, width):
        click.echo(line)
    if files:
        rows = [
            [safe(f.path), f.kind, size_text(f.bytes), spans_text(f.versions) if f.versions else ""]
            for f in usage.files
        ]
        for line in table_lines(["file", "kind", "bytes", "versions"], rows, [False, False, True, False], width):
            click.echo(line)


def _usage_lines(usage: Usage, width: int | None) -> Iterator[str]:
    rows = [
        [
            f"({each.version})" if each.vacuumed else str(each.version),
            size_text(each.needs),
            size_text(each.only),
            safe(", ".join(each.witnesses)),
        ]
        for each in usage.versions
    ]
    yield from table_lines(["version", "needs", "only", "kept by"], rows, [True, True, True, False], width)
    kinds = ", ".join(f"{kind} {size_text(size)}" for kind, size in usage.totals.items())
    yield f"{size_text(usage.bytes)} in all: {kinds}"
    yield f"{size_text(max(0, usage.saved))} more without sharing"


def _usage_json(usage: Usage) -> dict[str, Any]:
    return {
        "bytes": usage.bytes,
        "saved": usage.saved,
        "totals": dict(usage.totals),
        "versions": [
            {
                "version": each.version,
                "needs": each.needs,
                "only": each.only,
                "witnesses": list(each.witnesses),
                "vacuumed": each.vacuumed,
            }
            for each in usage.versions
        ],
        "files": [
            {"path": f.path, "kind": f.kind, "bytes": f.bytes, "versions": _pairs(f.versions)} for f in usage.files
        ],
    }


@click.command(epilog=example('tablever compact data/reviews --target "256 MB"'))
@common.table_argument
@click.option("--target", default="256 MB", show_default=True, help="The size of a file; under half of it is small.")
@click.option("--min-files", type=int, default=2, show_default=True, help="How many small neighbours are needed.")
@click.option(
    "--deleted", type=float, default=0.2, show_default=True, help="The share of deleted rows that is worth a rewrite."
)
@click.option("--cluster", is_flag=True, help="Sort by key instead; this changes the order of rows.")
@common.record_options
def compact(table: str, target: str, min_files: int, deleted: float, cluster: bool, **options: Any) -> None:
    """Merge small files of TABLE, and rewrite those that lost many rows.

    Rows, their order, counts and hashes stay; the old files too, until a vacuum frees the versions that need them.
    """
    run_write(
        table,
        lambda commit: tv.compact(
            table, target=target, min_files=min_files, deleted=deleted, cluster=cluster, **cast("RecordOptions", commit)
        ),
        options,
    )


@click.command(
    "set-retention",
    epilog=example("tablever set-retention data/reviews 'pinned, 90 days'"),
)
@common.table_argument
@click.argument("policy")
@common.write_options
def set_retention(table: str, policy: str, **options: Any) -> None:
    """Store what a vacuum of TABLE keeps.

    POLICY is 'all', 'pinned', '90 days', '10 versions', or several with commas between: kept is what any of them
    keeps, and always the latest version and what tags, runs and pins name. Nothing goes before a vacuum is run.
    """
    run_write(table, lambda commit: tv.set_retention(table, policy, **commit), options)


@click.command(epilog=example("tablever vacuum data/reviews --keep '90 days'"))
@common.table_argument
@click.option("--keep", help="What is kept: 'all', 'pinned', '90 days', '10 versions', or several; the table's policy.")
@click.option(
    "--safety",
    default="1 day",
    show_default=True,
    help="What went out of use, or was written, since then stays: longer than any reader or writer takes.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would go, even with --yes.")
@yes
@common.record_options
def vacuum(table: str, keep: str | None, safety: str, dry_run: bool, yes: bool, **options: Any) -> None:
    """Remove the files of TABLE that only versions need which nobody keeps; shows what goes, and asks.

    The latest version and what tags, runs and pins name are always kept. A version that loses files stays in the
    log; reading it says which versions can be read instead (exit code 3).
    """
    said: RecordOptions = {
        "message": options["message"],
        "author": options["author"],
        "metadata": json_values(options["metadata"], "--metadata") or None,
        "if_version": options["if_version"],
    }
    as_json = options["json_output"]
    ask = not (yes or dry_run)
    if ask and (as_json or not sys.stdin.isatty()):
        raise click.UsageError("vacuum asks before it removes: without a terminal give --yes, or --dry-run")
    if dry_run:
        _show(table, tv.vacuum(table, keep=keep, safety=safety), as_json)
        return
    if not yes:
        head = tv.resolve_version(table).number
        planned = tv.vacuum(table, keep=keep, safety=safety)
        _show(table, planned, as_json)
        if not planned.removals or not click.confirm(f"Remove {_amount(planned.removals)}?"):
            return
        said["if_version"] = (
            said["if_version"] if said["if_version"] is not None else head
        )  # what was shown is what goes
    done = tv.vacuum(table, keep=keep, safety=safety, dry_run=False, **said)
    if yes:
        _show(table, done, as_json)
    elif not as_json:
        click.echo(f"freed {size_text(done.bytes)}")


def _show(table: str, plan: Vacuum, as_json: bool) -> None:
    if as_json:
        print_json("vacuum", {"table": table, **_vacuum_json(plan)})
        return
    for line in _vacuum_lines(plan):
        click.echo(line)


def _vacuum_lines(plan: Vacuum) -> Iterator[str]:
    yield f"keep {plan.policy}: versions {spans_text(plan.kept)}"
    if plan.removals:
        verb = "would free" if plan.dry_run else "freed"
        rows = [["" if n is None else str(n), size_text(size)] for n, size in plan.by_version.items()]
        yield from table_lines(["needed until version", verb], rows, [True, True])
        yield f"{verb} {size_text(plan.bytes)} in {plural(len(plan.removals), 'file')}"
    else:
        yield "nothing to free"
    cannot = "could not" if plan.dry_run else "cannot"
    if plan.lost:
        yield f"versions that {cannot} be read any more: {spans_text(plan.lost)}"
    changes_only = spans_of(number for number in numbers_of(plan.lost_changes) if not holds(plan.lost, number))
    if changes_only:
        yield f"versions that can be read, but whose own changes {cannot} be told any more: {spans_text(changes_only)}"
    if plan.spared:
        yield f"{_amount(plan.spared)} went out of use too lately, and stay for now"


def _amount(removals: Iterable[Removal]) -> str:
    sizes = [removal.bytes for removal in removals]
    return f"{plural(len(sizes), 'file')} ({size_text(sum(sizes))})"


def _vacuum_json(plan: Vacuum) -> dict[str, Any]:
    from tablever.json_values import version_json

    return {
        "dry_run": plan.dry_run,
        "policy": plan.policy,
        "kept": _pairs(plan.kept),
        "lost": _pairs(plan.lost),
        "lost_changes": _pairs(plan.lost_changes),
        "bytes": plan.bytes,
        "removals": [_removal_json(removal) for removal in plan.removals],
        "spared": [_removal_json(removal) for removal in plan.spared],
        "version": None if plan.version is None else version_json(plan.version),
    }


def _removal_json(removal: Removal) -> dict[str, Any]:
    return {
        "path": removal.path,
        "kind": removal.kind,
        "bytes": removal.bytes,
        "versions": _pairs(removal.versions),
    }


def _pairs(spans: Spans) -> list[list[int]]:
    return [list(span) for span in spans]


@click.command(epilog=example("tablever protect data/events --yes"))
@common.table_argument
@yes
@common.write_options
def protect(table: str, yes: bool, **options: Any) -> None:
    """Set the properties of TABLE that keep other Delta writers from deleting log entries and old files.

    Tables made by tablever have them. For others this says what the present ones allow, and asks.
    """
    from tablever.settings import threats

    found = threats(table)
    if not options["json_output"]:
        for threat in found:
            click.echo(safe(threat))
    if found and not yes:
        if options["json_output"] or not sys.stdin.isatty():
            raise click.UsageError("protect asks before it commits: without a terminal give --yes")
        if not click.confirm("Keep them?"):
            return
    run_write(table, lambda commit: tv.protect(table, **commit), options, threats=found)
