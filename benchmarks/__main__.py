"""Measure, and write JSON and a page: see docs/explanation/benchmarks.md."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from fnmatch import filter as matching
from pathlib import Path
from typing import Any

from benchmarks.environments import CACHE
from benchmarks.measure import Workshop
from benchmarks.questions import figures
from benchmarks.report import keep, render
from benchmarks.run import Run, chosen, tell
from benchmarks.sizes import FULL, QUICK

HERE = Path(__file__).resolve().parent


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    known, peers = (
        list(figures(FULL)),
        sorted({c.peer for f in figures(FULL).values() for c in f.contenders} - {"ours"}),
    )
    parser.add_argument(
        "figures", nargs="*", metavar="FIGURE", help=f"or a pattern, of {', '.join(known)}; all by default"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=FULL.rows, help="of the tables (%(default)s)")
    parser.add_argument("--peers", help=f"only against these, set apart by commas: of {', '.join(peers)}")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="does it run: small tables, one round, no peer whose environment is not there, nothing kept",
    )
    parser.add_argument("--seconds", type=float, default=900, help="that a task of a peer may take (%(default)s)")
    parser.add_argument(
        "--folder", type=Path, help="where tables are built, and kept for later runs; a temporary one by default"
    )
    parser.add_argument(
        "--environments", type=Path, default=CACHE, help="where those of the peers are kept (%(default)s)"
    )
    parser.add_argument("--results", type=Path, default=HERE / "results", help="the folder written to (%(default)s)")
    parser.add_argument("--render", action="store_true", help="measure nothing: write the page from what is there")
    options = parser.parse_args()
    options.peers = None if options.peers is None else [name for name in options.peers.split(",") if name]
    unknown = [pattern for pattern in options.figures if not matching(known, pattern)]
    unknown += sorted(set(options.peers or ()) - set(peers))
    if unknown:
        parser.error(f"no such figure or peer: {', '.join(unknown)}")
    return options


def main() -> int:
    """Run the figures named, all by default; 1 where contenders do not agree or ours fails, whatever the times are."""
    options = _options()
    if options.render:
        print(render(options.results, list(figures(FULL))))
        return 0
    size = QUICK if options.quick else FULL.with_rows(options.rows)
    rounds = 1 if options.quick else options.rounds
    with nullcontext(options.folder) if options.folder else tempfile.TemporaryDirectory() as folder:
        workshop = Workshop(
            Path(folder).resolve(),
            options.environments,
            install=not options.quick,
            fresh=not options.quick,
            seconds=options.seconds,
        )
        run = Run(workshop, size, chosen(options.figures, options.peers, size), warm=not options.quick)
        run.prepare()
        results = Path(folder) / "results" if options.quick else options.results
        entries: dict[str, dict[str, Any]] = {}
        for entries in run.measure(rounds):
            keep(results, entries, size)
        page = render(results, list(figures(size)))
        print(page.read_text("utf-8") if options.quick or options.figures else page)
    lost = [f"{name}: tablever was not measured" for name in run.chosen if name not in entries]
    wrong = [*lost, *_told_apart(entries)]
    for line in wrong:
        tell(line)
    return 1 if wrong else 0


def _told_apart(entries: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Who gave another answer than ours."""
    return [
        f"{name}: {label} answers {values['answer']}, ours {next(iter(figure['contenders'].values()))['answer']}"
        for name, figure in entries.items()
        for label, values in figure["contenders"].items()
        if not values.get("same", True)
    ]


if __name__ == "__main__":
    raise SystemExit(main())
