"""The commands that name versions, say what used them, and keep them: tags, runs, pins."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import tablever as tv
from tablever.cli import common
from tablever.cli.common import TARGET_HELP, example, json_values, split_pairs
from tablever.cli.output import print_json, terminal_width
from tablever.cli.target import is_uri, split_target
from tablever.escapes import safe
from tablever.texts import metrics_text, plural, table_lines

if TYPE_CHECKING:
    from tablever.model import Run, Witness

target = click.argument("table", metavar="TABLE[@REF]")
author_option = click.option("--author", help="Who; git's user, or the system's, by default.")
reason_option = click.option("-m", "--reason", help="Why; kept in the record.")


@click.command(
    epilog=example('tablever tag data/reviews@12 v2.0 -m "what the spring model was trained on"', note=TARGET_HELP),
)
@target
@click.argument("name")
@click.option("-m", "--message", help="Why; shown with the tags.")
@author_option
@common.as_json
def tag(table: str, name: str, message: str | None, author: str | None, json_output: bool) -> None:
    """Give a version of TABLE, the latest by default, the name NAME, which is a ref from then on: data/reviews@v2.0.

    A tag cannot be moved; the name of a deleted one is never used again.
    """
    uri, ref = split_target(table)
    made = tv.tag(uri, name, ref, message=message, author=author)
    _say(f"'{name}' is version {made.version} of '{uri}'", "tag", uri, [made], json_output)


@click.command(epilog=example("tablever tags data/reviews"))
@common.table_argument
@common.as_json
def tags(table: str, json_output: bool) -> None:
    """List the tags of TABLE, by version. Times are UTC."""
    found = tv.list_tags(table)
    rows = [[each.name, str(each.version), *_made(each), each.message or ""] for each in found]
    _show("tags", table, found, ["tag", "version", "time (UTC)", "author", "message"], rows, json_output)


@click.command(
    "delete-tag",
    epilog=example('tablever delete-tag data/reviews v2.0 -m "made by mistake"'),
)
@common.table_argument
@click.argument("name")
@reason_option
@author_option
@common.as_json
def delete_tag(table: str, name: str, reason: str | None, author: str | None, json_output: bool) -> None:
    """Delete the tag NAME of TABLE. Who did it and why is recorded, and the name is never used again."""
    gone = tv.delete_tag(table, name, reason=reason, author=author)
    _say(f"'{name}' was version {gone.version} of '{table}', and is no tag any more", "tag", table, [gone], json_output)


@click.command(
    "link-run",
    epilog=example(
        "tablever link-run data/reviews@v2.0 f3a9 --param lr=1e-3 --artifact model.pt",
        "tablever link-run data/reviews@v2.0 f3a9 --role eval --metric f1=0.91",
        note=TARGET_HELP,
    ),
)
@target
@click.argument("run_id", metavar="RUN")
@click.option("--name", help="What people call the run.")
@click.option("--role", default="train", show_default=True, help="What it used the version for: train, eval, …")
@click.option("--metric", "metrics", multiple=True, metavar="NAME=NUMBER", help="A result; repeat for more.")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="A parameter; JSON or text.")
@click.option("--artifact", "artifacts", multiple=True, metavar="PATH|URI", help="What the run made.")
@author_option
@common.as_json
def link_run(
    table: str,
    run_id: str,
    name: str | None,
    role: str,
    metrics: tuple[str, ...],
    params: tuple[str, ...],
    artifacts: tuple[str, ...],
    author: str | None,
    json_output: bool,
) -> None:
    """Record that RUN used a version of TABLE, the latest by default. Again, in the same role, it adds metrics."""
    uri, ref = split_target(table)
    run = tv.link_run(
        uri,
        ref,
        run_id,
        name=name,
        role=role,
        metrics=_numbers(metrics),
        params=json_values(params, "--param") or None,
        artifacts=list(artifacts) or None,
        author=author,
    )
    said = f"run '{run_id}' ({role}) is linked to version {run.version} of '{uri}'"
    _say(f"{said}: {metrics_text(run)}" if run.metrics else said, "run", uri, [run], json_output)


@click.command(
    "unlink-run",
    epilog=example('tablever unlink-run data/reviews@v2.0 f3a9 -m "it read another table"', note=TARGET_HELP),
)
@target
@click.argument("run_id", metavar="RUN")
@click.option("--role", default="train", show_default=True, help="The role it is linked in.")
@reason_option
@author_option
@common.as_json
def unlink_run(table: str, run_id: str, role: str, reason: str | None, author: str | None, json_output: bool) -> None:
    """Take back that RUN used a version of TABLE, the latest by default. Who did it and why is recorded."""
    uri, ref = split_target(table)
    run = tv.unlink_run(uri, ref, run_id, role=role, reason=reason, author=author)
    said = f"run '{run_id}' ({role}) is not linked to version {run.version} of '{uri}' any more"
    _say(said, "run", uri, [run], json_output)


@click.command(epilog=example("tablever runs data/reviews@v2.0", note=TARGET_HELP))
@target
@common.as_json
def runs(table: str, json_output: bool) -> None:
    """List the runs that used a version of TABLE, of every version by default, with their metrics. Times are UTC."""
    uri, ref = split_target(table)
    show_runs(uri, tv.runs_of(uri, ref if uri != table else None), json_output)


@click.command(
    "versions-of",
    epilog=example("tablever versions-of f3a9 --root data"),
)
@click.argument("run_id", metavar="RUN")
@click.option("--root", default=".", show_default=True, metavar="DIR", help="Every table below it is asked.")
@common.as_json
def versions_of(run_id: str, root: str, json_output: bool) -> None:
    """List the versions that RUN used, of every table below a folder."""
    found = tv.versions_of(root, run_id)
    _show(
        "runs",
        root,
        found,
        *_run_rows(found, "table", lambda run: f"{_typed(run.table, root)}@{run.version}"),
        json_output,
    )


@click.command(epilog=example('tablever pin data/reviews@12 --reason "audit of 2026"', note=TARGET_HELP))
@target
@click.option("-m", "--reason", required=True, help="Why; shown with the pins.")
@author_option
@common.as_json
def pin(table: str, reason: str, author: str | None, json_output: bool) -> None:
    """Keep a version of TABLE, the latest by default, whatever the table's retention says."""
    uri, ref = split_target(table)
    made = tv.pin(uri, ref, reason=reason, author=author)
    _say(f"version {made.version} of '{uri}' is pinned", "pin", uri, [made], json_output)


@click.command(epilog=example("tablever unpin data/reviews@12", note=TARGET_HELP))
@target
@reason_option
@author_option
@common.as_json
def unpin(table: str, reason: str | None, author: str | None, json_output: bool) -> None:
    """Take away all pins of a version of TABLE, the latest by default. Who did it and why is recorded."""
    uri, ref = split_target(table)
    gone = tv.unpin(uri, ref, reason=reason, author=author)
    said = f"version {gone[0].version} of '{uri}' has no pin any more ({plural(len(gone), 'pin')} taken away)"
    _say(said, "pins", uri, gone, json_output)


@click.command(epilog=example("tablever pins data/reviews"))
@common.table_argument
@common.as_json
def pins(table: str, json_output: bool) -> None:
    """List the pinned versions of TABLE, with the reasons. Times are UTC."""
    found = tv.list_pins(table)
    rows = [[str(each.version), *_made(each), each.reason] for each in found]
    _show("pins", table, found, ["version", "time (UTC)", "author", "reason"], rows, json_output)


def _typed(table: str, root: str) -> str:
    """A table's folder, as it is reached from the folder that was typed."""
    return table if is_uri(table) else os.path.normpath(Path(root) / os.path.relpath(table, root))


def _numbers(pairs: Sequence[str]) -> dict[str, float]:
    numbers = {}
    for name, text in split_pairs(pairs, "--metric").items():
        try:
            numbers[name] = int(text) if text.isdecimal() else float(text)
        except ValueError:
            raise click.UsageError(f"--metric {name} needs a number, not '{text}'") from None
    return numbers


def _made(witness: Witness) -> list[str]:
    return [f"{witness.time:%Y-%m-%d %H:%M:%S}", safe(witness.author.partition(" <")[0])]


def show_runs(table: str, found: list[Run], json_output: bool) -> None:
    """Print runs by the version that they used."""
    _show("runs", table, found, *_run_rows(found, "version", lambda run: str(run.version)), json_output)


def _run_rows(found: list[Run], first: str, where: Callable[[Run], str]) -> tuple[list[str], list[list[str]]]:
    header = [first, "run", "role", "name", "metrics", "time (UTC)", "author"]
    return header, [[where(run), run.run_id, run.role, run.name or "", metrics_text(run), *_made(run)] for run in found]


def _say(said: str, form: str, table: str, found: Sequence[Witness], json_output: bool) -> None:
    if json_output:
        from tablever.json_values import witness_json

        values: Any = [witness_json(each) for each in found]
        print_json(form, {"table": table, form: values if form.endswith("s") else values[0]})
    else:
        click.echo(safe(said))


def _show(
    form: str, table: str, found: Sequence[Witness], header: list[str], rows: list[list[str]], json_output: bool
) -> None:
    if json_output:
        _say("", form, table, found, json_output)
    elif not found:
        click.echo(f"no {form}")
    else:
        cells = [[safe(text) for text in row] for row in rows]
        for line in table_lines(header, cells, [name == "version" for name in header], terminal_width()):
            click.echo(line)
