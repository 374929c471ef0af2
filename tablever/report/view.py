"""What the page says, section by section: findings in, plain values for the template out; no markup is made here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tablever.arrow_json import type_name
from tablever.findings import ColumnStatistics, Drift, Findings, Segments
from tablever.model import Version
from tablever.report import charts, wording
from tablever.report.cells import UpdatedRow, compare_texts, difference, updated_rows
from tablever.report.wording import is_number, share
from tablever.texts import cell, count

LONGEST = 500  # characters of a text
WHOLE = 160  # characters of a text that is shown with all that it has in common with another
BESIDE = 50  # characters in common that stay beside what differs of a longer one
MOST_CELLS = 2_000
MOST_VALUES = 20_000  # in a table of whole rows
MOST_COMMITS = 200
MOST_CHARTS = 30
MOST_GROUPS = 1_000
NAMED = 4  # columns or groups in a sentence
LEVELS = {"major": 0, "moderate": 1, "none": 2}


@dataclass(frozen=True)
class Shown:
    """A value on the page.

    Attributes:
        kind: ``null``, ``empty``, ``number`` or ``text``: what looks the same is told apart.
        before, text, after: the value as text; ``text`` is what differs where ``marked``.
        cut: whether something is left out at the beginning and at the end.
        number: what it sorts by, None for texts.
    """

    kind: str
    text: str
    before: str = ""
    after: str = ""
    marked: bool = False
    cut: tuple[bool, bool] = (False, False)
    number: float | None = None


def shown(value: Any) -> Shown:
    """A value by itself, cut at 500 characters."""
    if value is None:
        return Shown("null", "NULL")
    if value == "" and isinstance(value, str):
        return Shown("empty", "empty text")
    if isinstance(value, str):
        return Shown("text", value[:LONGEST], cut=(False, len(value) > LONGEST))
    text = cell(value)
    if (number := _number(value)) is not None:
        return Shown("number", text, number=number)
    return Shown("text", text[:LONGEST], cut=(False, len(text) > LONGEST))


def _number(value: Any) -> float | None:
    try:
        return None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None


def shown_pair(old: Any, new: Any) -> tuple[Shown, Shown]:
    """Old and new side by side: of two texts what differs is marked, and most of what they have in common left out."""
    if not (isinstance(old, str) and isinstance(new, str) and old and new):
        return shown(old), shown(new)
    parts = compare_texts(old, new)
    common, longest = len(parts.head) + len(parts.tail), max(len(old), len(new))
    marked = 3 * common >= longest and common >= 3
    if not marked and longest <= LONGEST:
        return shown(old), shown(new)
    head, tail = parts.head, parts.tail
    before = head if longest <= WHOLE or len(head) <= BESIDE else head[-BESIDE:]
    after = tail if longest <= WHOLE or len(tail) <= BESIDE else tail[:BESIDE]
    return (
        _beside(parts.old, before, after, marked=marked, cut=(before != head, after != tail)),
        _beside(parts.new, before, after, marked=marked, cut=(before != head, after != tail)),
    )


def _beside(text: str, before: str, after: str, *, marked: bool, cut: tuple[bool, bool]) -> Shown:
    if len(text) <= LONGEST:
        return Shown("text", text, before, after, marked, cut)
    return Shown("text", text[:LONGEST], before, "", marked, (cut[0], True))


@dataclass(frozen=True)
class CellRow:
    """A changed cell; ``change`` is new minus old, of numbers."""

    key: tuple[Shown, ...]
    column: str
    old: Shown
    new: Shown
    change: Shown | None


@dataclass(frozen=True)
class Rows:
    """Whole rows, in the columns of their version."""

    columns: tuple[tuple[str, bool], ...]
    rows: tuple[tuple[Shown, ...], ...]


@dataclass(frozen=True)
class Column:
    """A compared column: changed cells, how far it moved, its figures on both sides (name, before, after), its chart.

    Attributes:
        part: its share of the changed cells of the column that has most.
    """

    name: str
    type: str
    cells: int
    part: float
    drift: Drift | None
    figures: tuple[tuple[str, str, str], ...]
    chart: str


@dataclass(frozen=True)
class View:
    """The findings in the shape of the page.

    Attributes:
        points: what matters most, as sentences.
        columns: those of which a value differs; first those that drifted, then by changed cells.
        unchanged: names of the other compared columns.
        left_out: what is not on the page, as sentences.
    """

    points: tuple[str, ...]
    cells: tuple[CellRow, ...]
    added: Rows
    removed: Rows
    columns: tuple[Column, ...]
    unchanged: tuple[str, ...]
    commits: tuple[Version, ...]
    segments: Segments | None
    left_out: tuple[str, ...]


def view(findings: Findings) -> View:
    """What the page shows of the findings, within its limits."""
    updated, cells = _cells(findings)
    added, removed = _rows(findings.added), _rows(findings.removed)
    columns, unchanged, charts_left = _columns(findings)
    summary, commits = findings.summary, findings.plan.commits
    left_out = dict(findings.left_out) | {
        "added": summary.added - len(added.rows),
        "removed": summary.removed - len(removed.rows),
        "updated": summary.updated - updated,
        "cells": max(wording.cells_changed(findings) - len(cells), 0),
        "commits": max(len(commits) - MOST_COMMITS, 0),
        "charts": charts_left,
    }
    return View(
        tuple(_points(findings)),
        tuple(cells),
        added,
        removed,
        columns,
        unchanged,
        commits[-MOST_COMMITS:],
        None if findings.segments is None else wording.leading(findings.segments, MOST_GROUPS),
        wording.left_out(left_out),
    )


def _points(findings: Findings) -> Iterator[str]:
    summary = findings.summary
    if summary.cells:
        column, most = max(summary.cells.items(), key=lambda item: item[1])
        of_rows = share(most, summary.rows_before)
        yield f"Most cells changed in {column}: {count(most)}" + (f", {of_rows} of the rows before" if of_rows else "")
    if findings.drift is not None:
        drifted = sorted((each for each in findings.drift if each.level != "none"), key=lambda d: LEVELS[d.level])
        names = ", ".join(f"{each.column} ({each.level})" for each in drifted[:NAMED])
        more = ", …" if len(drifted) > NAMED else ""
        yield f"Drifted columns: {wording.drift_count(findings.drift)}" + (f": {names}{more}" if drifted else "")
    concentrated = [each for each in findings.segments.groups if each.concentrated] if findings.segments else []
    if findings.segments and concentrated:
        names = "; ".join(
            f"{wording.group_text(findings.segments.by, each)} ({share(each.changed, each.rows)} of its rows)"
            for each in concentrated[:NAMED]
        )
        more = "; …" if len(concentrated) > NAMED else ""
        yield f"More changed than chance would give where {names}{more}"


def _cells(findings: Findings) -> tuple[int, list[CellRow]]:
    """As many whole rows as the limit allows, the first in any case: their number, and their changed cells."""
    counts = np.zeros(findings.updated.num_rows, np.int64)
    for column in findings.changed.columns:
        counts += column.to_numpy()
    fitting = int((np.cumsum(counts) <= MOST_CELLS).sum())
    rows = min(max(fitting, 1), len(counts))
    shown_rows = updated_rows(findings, findings.updated.slice(0, rows), findings.changed.slice(0, rows))
    return rows, [cell for row in shown_rows for cell in _cell_rows(row)]


def _cell_rows(row: UpdatedRow) -> Iterator[CellRow]:
    key = tuple(map(shown, row.key))
    for each in row.cells[:MOST_CELLS]:
        change = difference(each.old, each.new)
        signed = None if change is None else Shown("number", f"{change:+,f}", number=float(change))
        yield CellRow(key, each.column, *shown_pair(each.old, each.new), signed)


def _rows(rows: pa.Table) -> Rows:
    columns = tuple((item.name, is_number(item.type)) for item in rows.schema)
    first = rows.slice(0, MOST_VALUES // max(len(columns), 1))
    values = ([shown(value) for value in column.to_pylist()] for column in first.columns)
    return Rows(columns, tuple(zip(*values, strict=True)))


def _columns(findings: Findings) -> tuple[tuple[Column, ...], tuple[str, ...], int]:
    """The columns that differ, the names of those that do not, and how many charts were left out."""
    by_name = {each.column: each for each in findings.statistics or ()}
    drift = {each.column: each for each in findings.drift or ()}
    cells = findings.summary.cells
    compared = [name for name in findings.compared if name not in findings.key]
    names = [name for name in compared if name in cells or (name in by_name and not by_name[name].unchanged)]
    names.sort(key=lambda name: (LEVELS[drift[name].level] if name in drift else 2, -cells.get(name, 0)))
    drawn = {name: charts.distribution(by_name[name]) for name in names[:MOST_CHARTS] if name in by_name}
    most = max(cells.values(), default=0)
    columns = [
        Column(
            name,
            _type_of(findings, name),
            cells.get(name, 0),
            cells.get(name, 0) / most if most else 0.0,
            drift.get(name),
            _figures(by_name.get(name)),
            drawn.get(name, ""),
        )
        for name in names
    ]
    return (
        tuple(columns),
        tuple(name for name in compared if name not in names),
        sum(name in by_name for name in names[MOST_CHARTS:]),
    )


def _type_of(findings: Findings, column: str) -> str:
    sides = (findings.columns_before, findings.columns_after)
    types = [type_name(side.field(column).type) for side in sides if column in side.names]
    return " → ".join(dict.fromkeys(types))


def _figures(statistics: ColumnStatistics | None) -> tuple[tuple[str, str, str], ...]:
    if statistics is None:
        return ()
    before, after = wording.measured(statistics.before), wording.measured(statistics.after)
    return tuple((name, before.get(name, ""), after.get(name, "")) for name in {**before, **after})
