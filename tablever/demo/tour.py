"""`tablever demo`: commits the releases one by one, then asks what a user would ask, in commands that he could type."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click

import tablever as tv
from tablever.demo.releases import RELEASES, Release, load, rows_of
from tablever.errors import AlreadyExistsError
from tablever.model import Version

MOVED = """\
Was that the only one? Two versions, joined in SQL: airports that changed both name and height from version 5 to 6.
A model that learned from version 5 learned something else of them:"""

RunCommand = Callable[[Sequence[str]], None]


def run(folder: str, run_command: RunCommand) -> None:
    """Make the table in ``folder`` and show around.

    Args:
        folder: where no file or folder may be yet.
        run_command: runs the arguments of a ``tablever`` command and prints what it prints.

    Raises:
        AlreadyExistsError: something is there.
        StorageError: the disk refuses.
    """
    if Path(folder).exists():
        raise AlreadyExistsError(
            f"'{folder}' is there already",
            hint=f"remove it (rm -r {shlex.quote(folder)}) or choose another place: tablever demo FOLDER",
            path=folder,
        )
    started = time.perf_counter()
    _commit_releases(folder)
    for text, arguments in _tour(folder):
        click.echo(f"\n{text}\n")
        click.echo(click.style(f"$ {typed(['tablever', *arguments])}", bold=True))
        run_command(arguments)
    _say_goodbye(folder, time.perf_counter() - started)


def _commit_releases(folder: str) -> None:
    click.echo(
        "airportsdata is a list of the world's airports, published on PyPI. Eight of its releases came with\n"
        f"tablever. Each becomes one version of the table {folder}, key icao:\n"
    )
    shipped = load()
    for release in RELEASES:
        rows = rows_of(shipped, release)
        started = time.perf_counter()
        version = _commit(folder, release, rows)
        if version is None:
            continue
        taken = time.perf_counter() - started
        new = (version.rows_added or 0) - (version.rows_updated or 0)
        gone = (version.rows_removed or 0) - (version.rows_updated or 0)
        counts = f"{new:>6,} new  {version.rows_updated or 0:>6,} changed  {gone:>5,} gone"
        click.echo(f"  version {version.number}  {release.name:<10}  {rows.num_rows:,} rows: {counts}  ({taken:.2f} s)")


def _commit(folder: str, release: Release, rows: object) -> Version | None:
    """Only what differs from the release before is written: the table knows which rows are the same by their key."""
    metadata = {"source": f"https://pypi.org/project/airportsdata/{release.name}/"}
    if release.index == 0:
        table = tv.create_table(folder, rows, key="icao", message=release.message, metadata=metadata)
        return table.version(0)
    return tv.overwrite(folder, rows, evolve=True, message=release.message, metadata=metadata)


def _tour(folder: str) -> list[tuple[str, list[str]]]:
    """(what is asked, the command that asks it)."""
    path = Path(folder)
    root, name = str(path.parent), path.name
    relation = name if name.isidentifier() and name.isascii() else '"' + name.replace('"', '""') + '"'
    quoted = "'" + name.replace("'", "''") + "'"
    columns = "icao,name,city,elevation"
    moved = (
        "SELECT icao, a.name AS was, b.name AS became, a.elevation AS feet_before, b.elevation AS feet_after\n"
        f"    FROM {relation} a AT (VERSION => 5) JOIN {relation} b AT (VERSION => 6) USING (icao)\n"
        "    WHERE a.name <> b.name AND abs(a.elevation - b.elevation) > 100 ORDER BY icao"
    )
    story = (
        "SELECT _commit_version AS version, _change_type, icao, name, city\n"
        f"    FROM table_changes({quoted}, 6, 7)\n"
        "    WHERE icao = 'CYYZ' ORDER BY version, _change_type DESC"
    )
    return [
        ("The log, newest first. An updated row counts as added, as removed and as updated:", ["log", folder]),
        (
            "Every version reads back as it was. An airport in Alaska, two versions before the latest ...",
            ["read", f"{folder}@-3", "--columns", columns, "--where", "icao = 'PAEW'"],
        ),
        (
            "... and in the latest: the village moved to higher ground, and the code moved with it:",
            ["read", folder, "--columns", columns, "--where", "icao = 'PAEW'"],
        ),
        (MOVED, ["sql", moved, "--root", root]),
        ("And one airport's changes, as they were committed:", ["sql", story, "--root", root]),
    ]


def _say_goodbye(folder: str, seconds: float) -> None:
    table, root = shlex.quote(folder), shlex.quote(str(Path(folder).parent))
    shell = [
        (f"tablever show {table}@-2", "all that is recorded of a version"),
        (f"tablever delete {table} --where \"country = 'US'\"", "now see log, and read @-2: nothing is lost"),
        (f"tablever restore {table} latest~1", "bring it back"),
        (f"tablever sql --root {root}", "a prompt; .help helps"),
    ]
    python = [
        ("import tablever as tv", ""),
        (f"tv.read_version({folder!r}, -2)", "# a pyarrow.Table"),
        (f"tv.scan_version({folder!r}, 0)", "# a polars.LazyFrame"),
    ]
    click.echo(f"\nThat took {seconds:.1f} s. The table is yours now: plain Delta Lake, in {folder}. Try next:\n")
    for line in _aligned(shell):
        click.echo(line)
    way = _way_to_the_command()
    if way:
        click.echo(f"\nThe command 'tablever' is not on this shell's PATH; first:  {way}")
    click.echo("\nor in Python:\n")
    for line in _aligned(python):
        click.echo(line)


def _way_to_the_command() -> str | None:
    """What to type so that the shell finds ``tablever``; None where it does already."""
    if shutil.which("tablever"):
        return None
    started = Path(sys.argv[0])
    folder = (started if started.name == "tablever" else Path(sys.executable)).absolute().parent
    shown = Path(os.path.relpath(folder)) if folder.is_relative_to(Path.cwd()) else folder
    if (folder / "activate").exists():
        return f"source {shlex.quote(str(shown / 'activate'))}"
    return f'export PATH="{folder}:$PATH"'


def _aligned(lines: Sequence[tuple[str, str]]) -> list[str]:
    longest = max(len(left) for left, _ in lines)
    return [f"  {left:<{longest}}   {right}".rstrip() for left, right in lines]


def typed(arguments: Sequence[str]) -> str:
    """The command as one would type it: in double quotes what holds single ones."""
    return " ".join(
        f'"{text}"' if "'" in text and not any(char in text for char in '"$`\\!') else shlex.quote(text)
        for text in arguments
    )
