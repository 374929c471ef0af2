"""A diff on the terminal: lines of spans, each a text with a role; the shell knows which colour a role has.

Texts are safe to print as they are: whatever could steer a terminal is written as an escape.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Literal

import pyarrow as pa

from tablever.escapes import safe
from tablever.findings import Drift, Findings, Plan, SchemaChange, Segments
from tablever.model import Version
from tablever.report import wording
from tablever.report.cells import UpdatedRow, updated_rows
from tablever.texts import GAP, WIDEST_CELL, cell, changes_text, count, cut, plural, size_text, table_lines, time_text
from tablever.texts import width as width_of

Role = Literal["plain", "title", "dim", "name", "added", "removed", "updated", "warning"]
Span = tuple[str, Role]
Line = tuple[Span, ...]
Form = Literal["full", "stat", "names"]

NO_LIMIT = 10_000  # columns of a screen that nobody watches
WIDEST_BAR = 40
MOST_GROUPS = 12
COLUMN_CHANGES = ("added", "removed", "retyped", "nullability")
BLANK: Line = ()


def lines(findings: Findings, *, width: int | None = 80, form: Form = "full") -> Iterator[Line]:
    """The diff, line by line.

    Args:
        findings: what was found, capped already; what was left out is said at the end.
        width: columns of the screen; None for lines of any length, in which values are cut as on a wide screen.
            ``names`` are never cut.
        form: ``full``; ``stat``, one line a column, what drifted, groups, and the schema; ``names``, the columns that
            changed.
    """
    columns = NO_LIMIT if width is None else max(width, 20)
    if form == "names":
        return (((safe(name), "name"),) for name in changed_columns(findings))
    body = _stat(findings, columns) if form == "stat" else _full(findings, columns)
    every = chain(_head(findings, columns), body, _notes(findings, columns, rows=form == "full"))
    return (_fitted(line, columns) for line in every)


def changed_columns(findings: Findings) -> list[str]:
    """Columns with changed cells, and those added, removed, retyped or of other nullability, in the tables' order."""
    told = {change.name for change in findings.schema if change.change in COLUMN_CHANGES}
    told |= set(findings.summary.cells)
    return [name for name in _all_columns(findings) if name in told]


def _all_columns(findings: Findings) -> list[str]:
    schema = [change.name for change in findings.schema if change.change in COLUMN_CHANGES]
    names = [*findings.columns_after.names, *findings.columns_before.names, *findings.compared, *schema]
    return list(dict.fromkeys([*names, *findings.summary.cells]))


def _head(findings: Findings, columns: int) -> Iterator[Line]:
    yield ((safe(wording.title(findings)), "title"),)
    yield from _wrapped(wording.headline(findings), "plain", columns)


def _full(findings: Findings, columns: int) -> Iterator[Line]:
    for part in (
        _commits(findings.plan.commits),
        _schema(findings.schema),
        _cells(findings, columns),
        _statistics(findings.drift, columns),
        _segments(findings.segments, columns),
        _updated(findings, columns),
        _rows("added", findings.added, findings.summary.added, columns),
        _rows("removed", findings.removed, findings.summary.removed, columns),
    ):
        yield from part


def _section(name: str, role: Role = "title", more: str = "") -> Iterator[Line]:
    yield BLANK
    yield ((name, role), (more, "dim")) if more else ((name, role),)


def _commits(commits: Sequence[Version]) -> Iterator[Line]:
    if not commits:
        return
    yield from _section("commits")
    number = max(len(str(version.number)) for version in commits)
    for version in commits:
        start = f"{version.number:>{number}}  {time_text(version.timestamp.replace(microsecond=0))}  "
        facts = [version.operation, changes_text(version), (version.author or "").partition(" <")[0]]
        yield ((start, "dim"), (safe("  ".join(fact for fact in facts if fact)), "plain"))
        if version.message:
            yield (("  " + " " * number + safe(version.message), "plain"),)


def _schema(changes: Sequence[SchemaChange]) -> Iterator[Line]:
    if changes:
        yield from _section("schema")
    for change in changes:
        role: Role = change.change if change.change in ("added", "removed") else "updated"
        sign = wording.SIGNS.get(change.change, "~")
        yield ((f"{sign} {safe(wording.schema_text(change))}", role),)


def _statistics(drift: Sequence[Drift] | None, columns: int) -> Iterator[Line]:
    moved = [each for each in drift or () if each.level != "none"]
    if drift is None:
        return
    yield from _section("drift", more=f"  {wording.drift_count(drift)}")
    names = _padded([each.column for each in moved], columns // 2)
    for name, each in zip(names, moved, strict=True):
        text = cut(safe(wording.drift_text(each)), max(columns - width_of(name) - 12, 8))
        yield ((f"{name}  ", "name"), (f"{each.level:<8}", "warning"), (f"  {text}", "plain"))


def _segments(segments: Segments | None, columns: int) -> Iterator[Line]:
    if segments is None:
        return
    segments = wording.leading(segments, MOST_GROUPS)
    yield from _section("changes by " + safe(", ".join(segments.by)))
    header = [*segments.by, "rows", "changed", "share", "lift", ""]
    groups = [*segments.groups, *([segments.other] if segments.other else [])]
    rows = []
    for each in groups:
        group = (
            [f"({wording.others_text(segments)})", *[""] * (len(segments.by) - 1)]
            if each is segments.other
            else map(wording.value_text, each.group)
        )
        lift = "" if each.lift is None else f"{each.lift:.2f}"
        mark = "concentrated" if each.concentrated else ""
        rows.append([*group, count(each.rows), count(each.changed), wording.share(each.changed, each.rows), lift, mark])
    right = [*[False] * len(segments.by), True, True, True, True, False]
    for line, each_role in _roles(table_lines(header, rows, right, columns)):
        yield ((line, each_role),)


def _updated(findings: Findings, columns: int) -> Iterator[Line]:
    rows = list(updated_rows(findings, findings.updated, findings.changed))
    if not rows:
        return
    yield from _section("updated", "updated", _of(len(rows), findings.summary.updated))
    keys = list(zip(*([wording.value_text(value) for value in row.key] for row in rows), strict=True))
    right = [wording.is_number(findings.updated.schema.field(place).type) for place in range(len(keys))]
    limit = max(columns // (3 * max(len(keys), 1)), 8)
    padded = [
        _padded([name, *values], limit, to_right)
        for name, values, to_right in zip(findings.key, keys, right, strict=True)
    ]
    every = [each for row in rows for each in row.cells]
    names = max((width_of(cut(safe(each.column), min(columns // 4, WIDEST_CELL))) for each in every), default=0)
    start = sum(width_of(column[0]) + len(GAP) for column in padded)
    room = min(max(columns - start - names - 2 * len(GAP) - len("→ "), 16), 2 * WIDEST_CELL)
    olds = min(max((width_of(wording.old_and_new(each.old, each.new)[0]) for each in every), default=0), room // 2)
    yield ((GAP.join(column[0] for column in padded).rstrip(), "dim"),)
    for index, row in enumerate(rows, start=1):
        yield from _updated_row(row, GAP.join(column[index] for column in padded) + GAP, names, olds, room)


def _updated_row(row: UpdatedRow, key: str, names: int, olds: int, room: int) -> Iterator[Line]:
    if not row.cells:  # what changed lies in columns that are not shown
        yield ((key.rstrip(), "name"),)
    for place, each in enumerate(row.cells):
        start = key if place == 0 else " " * width_of(key)
        old, new = wording.cut_both(*wording.old_and_new(each.old, each.new), olds, room - olds)
        name = cut(safe(each.column), names)
        yield (
            (start, "name"),
            (name + " " * (names - width_of(name)) + GAP, "plain"),
            (old, "removed"),
            (" " * (olds - width_of(old)) + GAP + "→ ", "dim"),
            (new, "added"),
        )


def _rows(kind: Literal["added", "removed"], rows: pa.Table, total: int, columns: int) -> Iterator[Line]:
    if not rows.num_rows:
        return
    yield from _section(kind, kind, _of(rows.num_rows, total))
    right = [wording.is_number(item.type) for item in rows.schema]
    texts = (
        [wording.value_text(value) for value in row] for row in zip(*(c.to_pylist() for c in rows.columns), strict=True)
    )
    shown = table_lines(rows.schema.names, texts, right, columns - 2)
    for place, line in enumerate(shown):
        yield ((f"  {line}", "dim"),) if place < 2 else ((f"{wording.SIGNS[kind]} {line}", kind),)


def _of(shown: int, total: int) -> str:
    return f"  {plural(total)}" if shown >= total else f"  {shown:,} of {plural(total)}"


def _stat(findings: Findings, columns: int) -> Iterator[Line]:
    yield from _cells(findings, columns)
    yield from _statistics(findings.drift, columns)
    yield from _segments(findings.segments, columns)
    yield from _schema(findings.schema)


def _cells(findings: Findings, columns: int) -> Iterator[Line]:
    """One line a column: changed cells, their share of the rows before, a bar."""
    summary = findings.summary
    most = max(summary.cells.values(), default=0)
    changed = [name for name in _all_columns(findings) if name in summary.cells]
    if changed:
        yield from _section("changed cells")
    names = _padded(changed, max(columns // 3, 8))
    counts = _padded([count(summary.cells[name]) for name in changed], 20, to_right=True)
    shares = _padded([wording.share(summary.cells[name], summary.rows_before) for name in changed], 20, to_right=True)
    for name, padded, number, part in zip(changed, names, counts, shares, strict=True):
        start = f"{padded}{GAP}{number}{GAP}{part}{GAP}"
        room = min(WIDEST_BAR, max(columns - width_of(start), 1))
        yield (
            (padded + GAP, "name"),
            (f"{number}{GAP}", "plain"),
            (f"{part}{GAP}", "dim"),
            (bar(summary.cells[name], most, room), "updated"),
        )


def bar(part: int, whole: int, columns: int) -> str:
    """A bar of at most so many columns, in eighths of one; never empty for a part that is not zero.

    Example:
        >>> bar(3, 8, 2), bar(8, 8, 2), bar(1, 1000, 2)
        ('▊', '██', '▏')
    """
    eighths = max(round(8 * columns * part / whole), 1) if part else 0
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def _notes(findings: Findings, columns: int, *, rows: bool) -> Iterator[Line]:
    omitted = {part: number for part, number in findings.left_out.items() if rows or part not in ROW_PARTS}
    said = [(note, "warning") for note in wording.notes(findings)]
    said += [(f"({text})", "dim") for text in wording.left_out(omitted)]
    if said:
        yield BLANK
    for text, role in said:
        yield from _wrapped(safe(text), role, columns)  # type: ignore[arg-type]


ROW_PARTS = ("added", "removed", "updated", "cells")


def plan_lines(plan: Plan, *, width: int | None = 80) -> Iterator[Line]:
    """What a diff would read, and why; nothing of it was read yet."""
    columns = NO_LIMIT if width is None else max(width, 20)
    return (_fitted(line, columns) for line in _plan(plan, columns))


def _plan(plan: Plan, columns: int) -> Iterator[Line]:
    yield (("way      ", "dim"), (plan.way, "title"))
    yield from _hanging("why", plan.why, columns)
    yield (("reads    ", "dim"), (wording.reads(plan), "plain"))
    if plan.at_most_rows is not None:
        yield (("rows     ", "dim"), (f"at most {plural(plan.at_most_rows)} can differ", "plain"))
    yield from _untouched(plan, columns)
    if plan.rejected:
        cost = "not allowed" if plan.rejected.bytes is None else size_text(plan.rejected.bytes)
        yield from _hanging("not", f"{plan.rejected.way} ({cost}): {plan.rejected.why}", columns)
    yield from _commits(plan.commits)
    if plan.files:
        yield from _section("files")
        rows = [[safe(file.path), size_text(file.bytes), size_text(file.size), safe(file.why)] for file in plan.files]
        header = ["path", "read", "size", "why"]
        for line, role in _roles(table_lines(header, rows, [False, True, True, False], columns)):
            yield ((line, role),)


def _untouched(plan: Plan, columns: int) -> Iterator[Line]:
    if plan.shared_files:
        rows = "" if plan.shared_rows is None else f", {plural(plan.shared_rows)}"
        yield from _hanging("same", f"{plural(plan.shared_files, 'file')}{rows}: in both versions", columns)
    if plan.untouched_partitions:
        names = [
            ", ".join(f"{name} = {cell(value)}" for name, value in each.items()) for each in plan.untouched_partitions
        ]
        yield from _hanging("same", f"{plural(len(names), 'partition')} untouched: {'; '.join(names)}", columns)


def _hanging(name: str, text: str, columns: int) -> Iterator[Line]:
    for place, line in enumerate(_wrapped(safe(text), "plain", columns - 9)):
        yield ((f"{'' if place else name:<9}", "dim"), *line)


def _fitted(line: Line, columns: int) -> Line:
    """The line in at most so many columns."""
    kept: list[Span] = []
    for text, role in line:
        if columns > 0:
            kept.append((cut(text, columns), role))
        columns -= width_of(text)
    return tuple(kept)


def _roles(texts: Iterable[str]) -> Iterator[tuple[str, Role]]:
    """A table's header and rule are dim."""
    return ((text, "dim" if place < 2 else "plain") for place, text in enumerate(texts))


def _padded(texts: Sequence[str], limit: int, to_right: bool = False) -> list[str]:
    """The texts, safe, all as wide as the widest, at most ``limit`` and no more than a cell."""
    shown = [cut(safe(text), min(limit, WIDEST_CELL)) for text in texts]
    widest = max(map(width_of, shown), default=0)
    return [
        " " * (widest - width_of(text)) + text if to_right else text + " " * (widest - width_of(text)) for text in shown
    ]


def _wrapped(text: str, role: Role, columns: int) -> Iterator[Line]:
    line = ""
    for word in text.split(" "):
        if line and width_of(line) + 1 + width_of(word) > columns:
            yield ((line, role),)
            line = word
        else:
            line = f"{line} {word}" if line else word
    yield ((line, role),)
