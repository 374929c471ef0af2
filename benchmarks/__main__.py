"""Measure, print, and write benchmarks/results.json and the table in benchmarks/README.md."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import tempfile
from collections.abc import Collection, Mapping
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path

from benchmarks.figures import FIGURES, Contender, Figure, Result
from benchmarks.measure import Measured, measured
from benchmarks.tables import QUICK, Size, build, tell

HERE = Path(__file__).resolve().parent
LIBRARIES = ("deltalake", "duckdb", "polars", "pyarrow")
TABLE = re.compile(r"(<!-- results -->\n).*?(<!-- end -->)", re.DOTALL)


def measure(
    root: Path, figures: Collection[Figure], size: Size, rounds: int, *, fresh: bool
) -> dict[Contender, Result]:
    """All contenders of the figures, round by round; every second round in the opposite order."""
    contenders = list(dict.fromkeys(c for figure in figures for c in (figure.ours, figure.peer)))
    found: dict[Contender, list[Measured]] = {contender: [] for contender in contenders}
    for number in range(rounds):
        tell(f"round {number + 1} of {rounds}")
        for contender in contenders[:: -1 if number % 2 else 1]:
            found[contender].append(measured(contender.task, root, contender.table, size, fresh=fresh))
    return {contender: Result(tuple(values)) for contender, values in found.items()}


def check(figures: Collection[Figure], results: Mapping[Contender, Result]) -> None:
    """Both contenders of a figure gave the same answer. Raises ValueError."""
    for figure in figures:
        answers = [m.answer for c in (figure.ours, figure.peer) for m in results[c].rounds]
        if figure.same_answer and any(answer != answers[0] for answer in answers):
            raise ValueError(f"{figure.name}: the answers differ: {answers}")


def row(figure: Figure, results: Mapping[Contender, Result]) -> str:
    """One line of the table."""
    ours, peer = results[figure.ours], results[figure.peer]
    cells = [
        figure.name,
        f"{ours.median:,.1f} ({min(ours.times):,.1f}-{max(ours.times):,.1f})",
        f"{peer.median:,.1f} ({min(peer.times):,.1f}-{max(peer.times):,.1f})",
        f"{ours.median / peer.median:.3f}",
        f"{ours.slowest_call:,.1f}",
        f"{ours.read_mb:,.2f} / {peer.read_mb:,.2f}",
        f"{ours.written_mb:,.2f} / {peer.written_mb:,.2f}",
        f"{ours.peak_mb:,.0f} / {peer.peak_mb:,.0f}",
        figure.goal,
        "yes" if figure.met(ours, peer) else "**no**",
    ]
    return f"| {' | '.join(cells)} |"


SIZES = ("read from disk, MB", "written, MB", "peak memory, MB")
HEADINGS = ("ours, ms", "peer, ms", "ratio", "slowest call, ms", *SIZES, "goal", "met")
HEADER = f"| | {' | '.join(HEADINGS)} |\n|{' --- |' * (len(HEADINGS) + 1)}"


def machine() -> str:
    """Where the figures come from."""
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores, {system}; {libraries}"


def as_json(figures: Mapping[str, Figure], results: Mapping[Contender, Result], size: Size, rounds: int) -> str:
    """The results for programs: every round of every contender, times in milliseconds."""

    def values(contender: Contender) -> dict[str, object]:
        result = results[contender]
        numbers = {"median_ms": result.median, "slowest_call_ms": result.slowest_call}
        sizes = {"read_mb": result.read_mb, "written_mb": result.written_mb, "peak_mb": result.peak_mb}
        return {"task": contender.task, "table": contender.table, **numbers, **sizes, "rounds_ms": result.times}

    return json.dumps(
        {
            "format": "tablever.benchmarks/v1",
            "machine": machine(),
            "rows": size.rows,
            "rounds": rounds,
            "figures": {
                name: {
                    "name": figure.name,
                    "ours": values(figure.ours),
                    "peer": values(figure.peer),
                    "ratio": results[figure.ours].median / results[figure.peer].median,
                    "goal": figure.goal,
                    "met": figure.met(results[figure.ours], results[figure.peer]),
                }
                for name, figure in figures.items()
            },
        },
        indent=1,
    )


def main() -> int:
    """Run the figures named, all by default; 0 whatever the times are."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=f"of {', '.join(FIGURES)}; all by default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="small tables, one round, one process: does it run")
    parser.add_argument("--folder", type=Path, help="where the tables are built (8 GB); a temporary one by default")
    options = parser.parse_args()
    unknown = sorted(set(options.figures) - set(FIGURES))
    if unknown:
        parser.error(f"no such figure: {', '.join(unknown)}")
    chosen = {name: figure for name, figure in FIGURES.items() if name in options.figures or not options.figures}
    size, rounds = (QUICK, 1) if options.quick else (Size(), options.rounds)
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="tablever-benchmarks-") as folder:
        needed = {contender.table for figure in chosen.values() for contender in (figure.ours, figure.peer)}
        # Built in another process: a child's peak memory counts from what its parent had when it was started.
        builder = get_context("spawn").Process(target=build, args=(Path(folder), size, needed))
        builder.start()
        builder.join()
        if builder.exitcode:
            return 1
        results = measure(Path(folder), chosen.values(), size, rounds, fresh=not options.quick)
    check(chosen.values(), results)
    table = "\n".join([HEADER, *(row(figure, results) for figure in chosen.values())])
    print(f"{machine()}\n\n{table}")
    if not options.quick and not options.figures:
        (HERE / "results.json").write_text(as_json(chosen, results, size, rounds) + "\n", "utf-8")
        page = HERE / "README.md"
        body = f"{size.rows:,} rows, {rounds} rounds; {machine()}.\n\n{table}\n"
        page.write_text(TABLE.sub(lambda match: f"{match[1]}{body}{match[2]}", page.read_text("utf-8")), "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
