"""What a run found: as JSON, which further runs add to, and as a page with its plots, made from the JSON alone."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure
from benchmarks.plots import draw
from benchmarks.results import Result
from benchmarks.sizes import Size

FORMAT = "tablever.benchmarks/v2"
COLUMNS = ("", "ms", "from-to", "ours / its", "slowest call, ms", "read, MB", "written, MB", "growth, MB", "peak, MB")


def entry(figure: Figure, results: Mapping[str, Result], failed: Mapping[str, str], size: Size) -> dict[str, Any]:
    """A figure's results for programs: every contender in order, times in milliseconds; why others are missing."""
    ours = results[figure.contenders[0].label]
    found: dict[str, Any] = {}
    for contender in figure.contenders:
        label = contender.label
        if label not in results:
            found[label] = {"failed": failed.get(label, "")}
            continue
        result = results[label]
        found[label] = {
            "what": f"{contender.peer}.{contender.verb}",
            "table": f"{contender.table} by {contender.maker}" if contender.table else "",
            "median_ms": result.median,
            "slowest_call_ms": result.slowest_call,
            "ratio": ours.median / result.median,
            "read_mb": result.read_mb,
            "written_mb": result.written_mb,
            "grown_mb": result.grown_mb,
            "peak_mb": result.peak_mb,
            "rounds_ms": result.times,
            "calls_ms": [1_000 * seconds for seconds in result.rounds[0].seconds],
            "libraries": dict(result.rounds[0].libraries),
            "answer": result.answer,
            "same": not contender.same or result.answer == ours.answer,
        }
    return {
        "question": figure.question,
        "name": figure.name,
        "cold": figure.cold,
        "first_call": figure.first,
        "contenders": found,
        "goals": [{"goal": goal.text, "met": goal.met(results)} for goal in figure.goals],
        "machine": machine(),
        "rounds": len(ours.rounds),
        "rows": size.rows,
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def machine() -> str:
    """What it was measured on."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"{platform.system()} {platform.release().partition('-')[0]}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB, {system}"


def keep(folder: Path, entries: Mapping[str, Mapping[str, Any]], size: Size) -> None:
    """Add a run's figures to those of the same number of rows; a figure measured again replaces the older one."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{size.rows}.json"
    known = json.loads(path.read_text("utf-8"))["figures"] if path.exists() else {}
    path.write_text(
        json.dumps({"format": FORMAT, "rows": size.rows, "figures": known | dict(entries)}, indent=1) + "\n"
    )


def render(folder: Path, order: list[str]) -> Path:
    """Write the page, and its plots, from all JSON files of the folder."""
    found = {
        int(path.stem): json.loads(path.read_text("utf-8"))["figures"]
        for path in sorted(folder.glob("*.json"), key=lambda path: int(path.stem))
    }
    pictures = draw(folder, found)
    parts = ["# What tablever costs, beside its peers", INTRODUCTION, *_taken_on(found)]
    parts += [f"![{title}]({name})" for title, name in pictures]
    for rows, figures in found.items():
        parts.append(f"## {rows:,} rows")
        names = sorted(figures, key=lambda name: order.index(name) if name in order else len(order))
        questions = dict.fromkeys(figures[name]["question"] for name in names)
        for question in questions:
            parts.append(f"### {question}")
            for name in names:
                if figures[name]["question"] == question:
                    parts.append(_figure(name, figures[name], rows))
    page = folder / "README.md"
    page.write_text("\n\n".join(parts) + "\n", "utf-8")
    return page


INTRODUCTION = """\
Written by `python -m benchmarks`; how it measures: [the benchmarks](../../docs/explanation/benchmarks.md).
`ms` is the median of the rounds, each in a process of its own, contenders in turn. `ours / its` below 1: tablever is
faster. `read` is what came from the disk, `written` what went there in whole pages, `growth` that of the table's
folder; `peak` the memory of the process, its libraries and what it was given included. A first call has not warmed up;
where nothing is in memory, the table's files were taken out of the page cache."""


def _taken_on(found: Mapping[int, Mapping[str, Any]]) -> list[str]:
    entries = [figure for figures in found.values() for figure in figures.values()]
    machines = sorted({figure["machine"] for figure in entries})
    libraries: dict[str, set[str]] = {}
    for figure in entries:
        for contender in figure["contenders"].values():
            for name, version in contender.get("libraries", {}).items():
                libraries.setdefault(name, set()).add(version)
    listed = ", ".join(f"{name} {' and '.join(sorted(versions))}" for name, versions in sorted(libraries.items()))
    days = sorted({figure["when"][:10] for figure in entries})
    return [f"On {'; '.join(machines)}. {', '.join(days[:1] + days[1:][-1:])}.\n{listed}."]


def _figure(name: str, figure: Mapping[str, Any], rows: int) -> str:
    lines = [f"**{figure['name']}**", "", f"| {' | '.join(COLUMNS)} |", f"|{' --- |' * len(COLUMNS)}"]
    notes = []
    for label, values in figure["contenders"].items():
        if "failed" in values:
            notes.append(f"{label}: {_escaped(values['failed'])}.")
            continue
        times = values["rounds_ms"]
        numbers = [values[key] for key in ("slowest_call_ms", "read_mb", "written_mb", "grown_mb", "peak_mb")]
        cells = [label, _number(values["median_ms"]), f"{_number(min(times))}-{_number(max(times))}"]
        cells += [f"{values['ratio']:.3g}", *map(_number, numbers)]
        lines.append(f"| {' | '.join(cells)} |")
        if not values["same"]:
            notes.append(f"{label} **answers otherwise**: {_escaped(json.dumps(values['answer'])[:200])}.")
    for goal in figure["goals"]:
        met = {True: "met", False: "**missed**", None: "nobody to compare with"}[goal["met"]]
        notes.append(f"Goal: {goal['goal']}: {met}.")
    size = "" if rows == Size().rows else f" --rows {rows}"
    notes.append(f"`python -m benchmarks {name}{size}`, {figure['rounds']} rounds.")
    return "\n".join([*lines, "", "\n".join(notes)])


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1_000 else f"{value:,.1f}" if value >= 10 else f"{value:,.2f}"


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").rstrip(".")
