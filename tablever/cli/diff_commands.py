"""The commands about what changed: diff, show, apply."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

import tablever as tv
from tablever.cli import common, gates
from tablever.cli.common import TARGET_HELP, example, run_write
from tablever.cli.diff_options import Form, Output, chosen_form, form_options, output_options, scope_options
from tablever.cli.output import print_failure_json, print_json, show_lines, terminal_width
from tablever.cli.target import LATEST, split_target
from tablever.errors import TableverError, VersionVacuumedError
from tablever.escapes import safe
from tablever.model import Run, Tag
from tablever.storage import whole_file
from tablever.texts import cell, changes_text, count, plural, run_text, time_text

if TYPE_CHECKING:
    from tablever.diff.value import Diff
    from tablever.findings import Findings, Plan
    from tablever.model import Version, Witness
    from tablever.report.screen import Line

DIFFERENT = 1
SCREEN_ROWS, MARKDOWN_ROWS, PAGE_ROWS = 50, 20, 1_000
SHOWN_BYTES = 64_000_000  # what `show` reads without being asked for a form
PARENT = f"{LATEST}~1"


@dataclass(frozen=True)
class Target:
    """What is compared: two versions of a table, or with ``other`` a version of each of two."""

    table: str
    a: str
    b: str
    other: str | None = None

    def compare(self, **scope: Any) -> Any:
        """The Diff; with ``preview`` the Plan. Nothing is computed yet."""
        if self.other is None:
            return tv.diff_versions(self.table, self.a, self.b, **scope)
        return tv.diff_tables(self.table, self.other, left_ref=self.a, right_ref=self.b, **scope)


def _target(table: str, refs: Sequence[str], other: str | None) -> Target:
    uri, ref = split_target(table)
    if other is not None:
        if refs:
            behind = f"@{refs[0]}"
            asked = [table, split_target(other)[0] + behind] if uri != table else [uri + behind, other]
            raise click.UsageError(f"with --with, refs stand behind @: {' --with '.join(asked)}")
        right, right_ref = split_target(other)
        return Target(uri, ref, right_ref, right)
    refs = [*([ref] if uri != table else []), *refs]
    if len(refs) > 2:
        raise click.UsageError(f"two versions are compared, not {len(refs)}: {', '.join(refs)}")
    first, second = [*refs, LATEST][:2] if refs else (PARENT, LATEST)
    return Target(uri, first, second)


@click.command(
    cls=common.RefCommand,
    epilog=example(
        "tablever diff data/reviews 3 5",
        "tablever diff data/reviews v1.0 --html changes.html --by source",
        "tablever diff data/reviews --stat --fail-on 'removed > 100' --fail-on 'nulls.label > 1%'",
        "tablever diff data/reviews@v1.0 --with backup/reviews@v1.0 --exit-code",
        note=f"GATE is QUANTITY OP NUMBER[%]: {', '.join(gates.QUANTITIES)}; > >= < <= = !=; % of the rows before "
        "(of nulls: of the rows after). A and B are refs, in either order. " + TARGET_HELP,
    ),
)
@click.argument("table", metavar="TABLE[@A]")
@click.argument("a", required=False)
@click.argument("b", required=False)
@click.option("--with", "other", metavar="OTHER[@B]", help="Compare with a version of another table.")
@scope_options
@output_options
def diff(
    table: str,
    a: str | None,
    b: str | None,
    other: str | None,
    scope: dict[str, Any],
    output: Output,
) -> None:
    """Show what changed in TABLE from version A to version B: rows, cells, columns; latest~1 to latest by default.

    With one ref, that version is compared with the latest. The counts are net: what was changed and changed back is
    no change.
    """
    target = _target(table, [ref for ref in (a, b) if ref is not None], other)
    if output.preview:
        _preview(target, target.compare(**scope, preview=True), output.form)
        return
    found: Diff = target.compare(**scope)
    failures = _report(found, output)
    for said in failures:
        if output.form == "json":
            print_failure_json("gate-failed", said, None, {})
        else:
            click.echo(click.style("failed:", fg="red", bold=True) + f" {safe(said)}", err=True)
    if failures or (output.exit_code and (found or found.schema)):
        raise click.exceptions.Exit(DIFFERENT)


def _preview(target: Target, plan: Plan, form: Form | None) -> None:
    if form == "json":
        print_json("plan", {"table": target.table, **_plan_json(plan)})
        return
    from tablever.report.screen import plan_lines

    show_lines(plan_lines(plan, width=terminal_width()))


def _plan_json(plan: Plan) -> dict[str, Any]:
    from dataclasses import asdict

    from tablever.json_values import version_json

    values = {name: getattr(plan, name) for name in plan.__dataclass_fields__}
    return {
        **values,
        "commits": [version_json(version) for version in plan.commits],
        "files": [asdict(file) for file in plan.files],
        "rejected": plan.rejected and asdict(plan.rejected),
        "untouched_partitions": [dict(values) for values in plan.untouched_partitions],
    }


def _report(found: Diff, output: Output) -> list[str]:
    """Print and write what was asked for; what is to be said of the gates that failed."""
    gates.check_columns(output.gates, compared=found.scope.compared, shown=found.scope.columns, key=found.key)
    if any(gate.needs_drift for gate in output.gates):
        _ = found.drift  # without its extra that is an error, and not a measure that is not known
    if output.form is not None or not output.files:
        _print(found, output.form or "full", output)
    if output.html is not None:
        from tablever.report import page

        text = page.render(found.findings(rows=PAGE_ROWS, statistics=output.statistics is not False, by=output.by))
        with whole_file(output.html) as file:
            file.write(text.encode())
    if output.patch is not None:
        tv.write_patch(found, output.patch)
        _tell_not_carried(found)
    for name in output.files:
        click.echo(f"{_counts(found)} in {safe(name)}", err=True)
    if not output.gates:
        return []
    measured = any(gate.needs_statistics for gate in output.gates)
    return gates.failed(output.gates, found.findings(rows=0, statistics=measured))


def _tell_not_carried(found: Diff) -> None:
    """Say on standard error what the patch leaves as it is."""
    from tablever.diff.patches import not_carried
    from tablever.report.wording import schema_text

    left = "; ".join(safe(schema_text(change)) for change in not_carried(found))
    if left:
        note = click.style("note:", fg="yellow")
        click.echo(f"{note} a patch carries rows and new columns, not: {left}", err=True)


def _counts(found: Diff) -> str:
    summary = found.summary
    return f"{plural(summary.added)} added, {summary.removed:,} removed, {summary.updated:,} updated"


def _print(found: Diff, form: Form, output: Output) -> None:
    def findings(rows: int) -> Findings:
        return found.findings(rows=rows, statistics=bool(output.statistics), by=output.by)

    if form == "json":
        from tablever.diff.cells import changed_cells
        from tablever.report import json_lines

        removed, added, updated = (found.batches(part) for part in ("removed", "added", "updated"))
        flagged = ((batch, changed_cells(batch, found.scope)) for batch in updated)
        for line in json_lines.records(findings(0), removed, added, flagged):
            sys.stdout.write(line + "\n")
    elif form == "markdown":
        from tablever.report import markdown

        click.echo(markdown.render(findings(MARKDOWN_ROWS)))
    else:
        from tablever.report import screen

        show_lines(screen.lines(findings(SCREEN_ROWS), width=terminal_width(), form=form))


@click.command(
    cls=common.RefCommand,
    epilog=example("tablever show data/reviews@latest~1", "tablever show data/reviews 3 --stat", note=TARGET_HELP),
)
@click.argument("table", metavar="TABLE[@REF]")
@click.argument("ref", required=False)
@form_options
@click.option("--json", "json_output", is_flag=True, help="Print what is recorded of it as JSON, errors too.")
def show(table: str, ref: str | None, stat: bool, name_only: bool, json_output: bool) -> None:
    """Show what is recorded of one version of TABLE, the latest by default, and what it changed.

    Changes of more than 64 MB are shown with --stat or --name-only, or by tablever diff. --json prints the record
    alone: tablever diff --json has the changes.
    """
    form = chosen_form(stat=stat, name_only=name_only, json_output=json_output)
    uri, behind = split_target(table)
    if ref is not None and uri != table:
        raise click.UsageError(f"one version is shown, not two: {behind}, {ref}")
    version = tv.resolve_version(uri, ref if ref is not None else behind)
    if form == "json":
        from tablever.json_values import version_json, witness_json

        told = [witness_json(each) for each in _witnesses(uri, version)]
        print_json("version", {"table": uri, "version": {**version_json(version), "witnesses": told}})
        return
    facts = list(_facts(version))
    try:
        facts += _remembered(_witnesses(uri, version))
        changes = list(_changes_of(uri, version, form))
    except TableverError:
        show_lines(facts)
        raise
    show_lines([*facts, (), *changes])


def _facts(version: Version) -> Iterator[Line]:
    file_time = "  (the log file's own: the entry carries none)" if version.timestamp_from_file else ""
    facts = {
        "version": str(version.number),
        "time": time_text(version.timestamp) + file_time,
        "operation": version.operation,
        "author": version.author,
        "message": version.message,
        "changes": changes_text(version) or None,
        "rows": count(version.rows),
        "parent": None if version.parent is None else str(version.parent),
        "content": version.content_hash,
        "commit": version.commit_hash,
        **{f"  {name}": cell(value) for name, value in version.metadata.items()},
    }
    for name, value in facts.items():
        if value is not None:
            yield (f"{safe(name):<10} ", "dim"), (safe(value), "plain")


def _witnesses(table: str, version: Version) -> list[Witness]:
    """The tags, runs and pins of a version."""
    tags = [each for each in tv.list_tags(table) if each.version == version.number]
    pins = [each for each in tv.list_pins(table) if each.version == version.number]
    return [*tags, *tv.runs_of(table, version.number), *pins]


def _remembered(witnesses: Sequence[Witness]) -> Iterator[Line]:
    for each in witnesses:
        match each:
            case Tag():
                kind, said = "tag", [each.name, each.message]
            case Run():
                kind, said = "run", [run_text(each), *each.artifacts]
            case _:
                kind, said = "pinned", [each.label.removeprefix("pin: ")]
        yield (f"{kind:<10} ", "dim"), (safe(", ".join(text for text in said if text)), "plain")


def _changes_of(table: str, version: Version, form: Form | None) -> Iterator[Line]:
    from tablever.report import screen

    try:
        found = tv.version_changes(table, version.number)
        if form is None and found.plan.bytes > SHOWN_BYTES:
            yield (("changes of more than 64 MB: --stat counts them by column", "dim"),)
            return
        findings = found.findings(rows=SCREEN_ROWS)
    except VersionVacuumedError as error:
        yield ((f"its changes cannot be shown: {safe(str(error))}", "warning"),)
        return
    alone = replace(findings, plan=replace(findings.plan, commits=()))  # what a list of commits would repeat
    yield from screen.lines(alone, width=terminal_width(), form=form if form in ("stat", "names") else "full")


@click.command(
    epilog=example(
        "tablever diff data/reviews v1.0 v1.1 --patch fixes.parquet",
        'tablever apply copy/reviews fixes.parquet -m "the fixes of v1.1"',
    ),
)
@common.table_argument
@click.argument("file")
@common.write_options
def apply(table: str, file: str, **options: Any) -> None:
    """Commit the changes in FILE, which diff --patch wrote, on top of TABLE as it is now.

    All or nothing: refused (exit code 6) where a row to change or remove is not what the patch says, or a key to
    insert is taken; the table stays as it was then.
    """
    run_write(table, lambda commit: tv.apply_patch(table, file, **commit), options)
