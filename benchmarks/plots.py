"""One picture for each question of scale: how a cost grows with the change, the commits, the versions, the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.sizes import FULL

Found = Mapping[int, Mapping[str, Any]]


@dataclass(frozen=True)
class Plot:
    """A line for each contender: its time in a figure over what the figures differ by."""

    name: str
    title: str
    axis: str
    points: Mapping[str, int]  # figure -> where it stands; 0: the rows of the table, and one point a size


def plots(rows: int) -> list[Plot]:
    """All of them, for a table of so many rows."""
    size = FULL.with_rows(rows)
    changed = {"": size.changed, "-many": size.many}
    versions = dict(zip(("few", "some", "most"), size.versions, strict=True))
    commits = {f"diff-commits-{number}": number for number in (1, 10, 100)}
    return [
        Plot("upsert", "upsert", "rows changed", {f"upsert{name}": n for name, n in changed.items()}),
        Plot(
            "diff", "diff", "rows changed", {f"diff{name}": n for name, n in (changed | {"-half": rows // 2}).items()}
        ),
        Plot("commits", "diff", "commits between the versions", commits),
        *(
            Plot(
                f"{verb}-versions",
                title,
                "versions of the table",
                {f"{verb}-{name}": n for name, n in versions.items()},
            )
            for verb, title in (
                ("append", "append"),
                ("open", "open by number"),
                ("time", "resolve a time"),
                ("log", "list"),
            )
        ),
    ]


OF_ROWS = {"read": "read whole", "upsert": "upsert few rows", "diff": "diff of few rows", "hash-files": "content hash"}


def draw(folder: Path, found: Found) -> list[tuple[str, str]]:
    """Draw what there are at least two points for; titles, and names of the files."""
    pictures = []
    for rows, figures in found.items():
        for plot in plots(rows):
            lines = _lines({x: figures[name] for name, x in plot.points.items() if name in figures})
            if lines:
                title = f"{plot.title}, {rows:,} rows"
                pictures.append((title, _save(folder / f"{plot.name}-{rows}.svg", lines, title, plot.axis, "ms")))
        if "upserts" in figures:
            pictures.append(_growth(folder / f"growth-{rows}.svg", figures["upserts"], rows))
    for name, title in OF_ROWS.items():
        lines = _lines({rows: figures[name] for rows, figures in found.items() if name in figures})
        if lines:
            pictures.append((title, _save(folder / f"{name}-rows.svg", lines, title, "rows of the table", "ms")))
    return pictures


def _lines(figures: Mapping[int, Mapping[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    """Points by contender, of those that have two at least."""
    lines: dict[str, list[tuple[int, float]]] = {}
    for x, figure in sorted(figures.items()):
        for label, values in figure["contenders"].items():
            if "median_ms" in values:
                lines.setdefault(label, []).append((x, values["median_ms"]))
    return {label: points for label, points in lines.items() if len(points) > 1}


def _save(path: Path, lines: Mapping[str, list[tuple[int, float]]], title: str, x: str, y: str) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for label, points in lines.items():
        ours = label == "tablever"
        axes.plot(*zip(*points, strict=True), marker="o", label=label, linewidth=2.5 if ours else 1.2, zorder=2 + ours)
    axes.set(title=title, xlabel=x, ylabel=y, xscale="log", yscale="log")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="small", frameon=False)
    figure.savefig(path, metadata={"Date": None})
    return path.name


def _growth(path: Path, figure: Mapping[str, Any], rows: int) -> tuple[str, str]:
    from matplotlib.figure import Figure

    grown = {label: values["grown_mb"] for label, values in figure["contenders"].items() if "grown_mb" in values}
    drawn = Figure(figsize=(7, 3.2), layout="constrained")
    axes = drawn.subplots()
    bars = axes.barh(list(grown), list(grown.values()), log=True)
    axes.bar_label(bars, fmt="{:,.1f}", padding=3)
    axes.margins(x=0.15)
    axes.invert_yaxis()
    title = f"growth of the folder, {rows:,} rows"
    axes.set(title=title, xlabel="MB")
    drawn.savefig(path, metadata={"Date": None})
    return title, path.name
