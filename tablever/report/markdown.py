"""A diff as GitHub-flavoured Markdown, for a pull request: counts, schema, and rows folded away.

Texts from data are code, so that nothing in them is markup, a mention or a link; where a code span cannot hold them,
they are HTML with every character that means something as a reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from tablever.escapes import safe
from tablever.findings import Findings, SchemaChange, Segments
from tablever.report import wording
from tablever.report.cells import Cell, updated_rows
from tablever.texts import changes_text, count, cut, time_text

WIDEST = 500
MOST_GROUPS = 20
_PLAIN = re.compile(r"[^`|\\\s](?: ?[^`|\\\s])*")  # what a code span shows as it stands, in a table too
# Words and numbers in which nobody finds emphasis, a link, a mention or an emoji.
_WORD = re.compile(r"\(?[+-]?(?:[0-9][0-9,.]*|[^\W\d_]+(?:['-][^\W\d_]+)*)?%?[,.;:)]*")
_SIGNS = {"→": "→", "=": "=", "<": "&lt;", ">": "&gt;", "%": "%", "": ""}


def render(findings: Findings) -> str:
    """The diff; ends with a line end."""
    parts = (
        [f"### {_title(findings)}", _words(wording.headline(findings))],
        [f"> **Note:** {_words(note)}" for note in wording.notes(findings)],
        _schema(findings.schema),
        _cells_by_column(findings),
        _drift(findings),
        _segments(findings.segments),
        _commits(findings),
        _updated(findings),
        _rows("Added", findings.added, findings.summary.added),
        _rows("Removed", findings.removed, findings.summary.removed),
        [f"*{_words(text)}*" for text in wording.left_out(findings.left_out)],
    )
    return "\n\n".join(block for part in parts for block in part) + "\n"


def code(text: str) -> str:
    """A text as code that shows exactly it, on one line, in a table or outside of one.

    Example:
        >>> code("tz_name"), code("a|b")
        ('`tz_name`', '<code>a&#124;b</code>')
    """
    shown = cut(safe(text), WIDEST)
    if _PLAIN.fullmatch(shown):
        return f"`{shown}`"
    return f"<code>{_references(shown)}</code>" if shown else "*empty*"


def _references(text: str) -> str:
    """Letters and digits as they are, all else as references; spaces that a browser would join stay apart."""
    spaces = re.sub(r"(?<= ) |^ | $", "\u00a0", text)
    return "".join(char if char == " " or char.isalnum() else f"&#{ord(char)};" for char in spaces)


def _words(text: str) -> str:
    """A sentence that may quote names from data: words and numbers as they are, all else as code."""
    return " ".join(
        _SIGNS.get(word) or (word if _WORD.fullmatch(word) else code(word)) for word in safe(text).split(" ")
    )


def _value(value: Any) -> str:
    return _shown(value, wording.value_text(value))


def _shown(value: Any, text: str) -> str:
    return "*null*" if value is None else code(text)


def _title(findings: Findings) -> str:
    before, after = wording.before_name(findings), wording.after_name(findings)
    if findings.other is None:
        return f"{code(findings.table)}: {before} → {after}"
    return f"{code(findings.table)} {before} → {code(findings.other)} {after}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool] = ()) -> str:
    aligned = [*right, *[False] * (len(header) - len(right))]
    lines = [header, ["---:" if to_right else "---" for to_right in aligned], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _folded(summary: str, content: str) -> str:
    return f"<details>\n<summary>{summary}</summary>\n\n{content}\n\n</details>"


def _schema(changes: Sequence[SchemaChange]) -> Iterator[str]:
    rows = [
        [each.change, code(each.name), *("" if text is None else code(text) for text in (each.old, each.new))]
        for each in changes
    ]
    if rows:
        yield "**Schema**"
        yield _table(["change", "name", "old", "new"], rows)


def _cells_by_column(findings: Findings) -> Iterator[str]:
    summary = findings.summary
    rows = [
        [code(name), count(number), wording.share(number, summary.rows_before)]
        for name, number in sorted(summary.cells.items(), key=lambda item: -item[1])
    ]
    if rows:
        yield "**Changed cells**"
        yield _table(["column", "cells", "of rows"], rows, [False, True, True])


def _drift(findings: Findings) -> Iterator[str]:
    if findings.drift is None:
        return
    rows = [
        [code(each.column), each.level, _words(wording.drift_text(each))]
        for each in findings.drift
        if each.level != "none"
    ]
    yield f"**Drift**: {wording.drift_count(findings.drift)}"
    if rows:
        yield _table(["column", "drift", "measures"], rows)


def _segments(segments: Segments | None) -> Iterator[str]:
    if segments is None:
        return
    segments = wording.leading(segments, MOST_GROUPS)
    header = [*map(code, segments.by), "rows", "changed", "of rows", "lift", ""]
    rows = [
        [
            *map(_value, each.group),
            count(each.rows),
            count(each.changed),
            wording.share(each.changed, each.rows),
            "" if each.lift is None else f"{each.lift:.2f}",
            "concentrated" if each.concentrated else "",
        ]
        for each in segments.groups
    ]
    if segments.other:
        rest = segments.other
        name = [wording.others_text(segments), *[""] * (len(segments.by) - 1)]
        rows.append([*name, count(rest.rows), count(rest.changed), wording.share(rest.changed, rest.rows), "", ""])
    yield f"**Changes by {', '.join(map(code, segments.by))}**"
    yield _table(header, rows, [*[False] * len(segments.by), True, True, True, True])


def _commits(findings: Findings) -> Iterator[str]:
    commits = findings.plan.commits
    rows = [
        [
            str(each.number),
            time_text(each.timestamp.replace(microsecond=0)),
            code(each.operation),
            code(changes_text(each)),
            "" if each.author is None else code(each.author.partition(" <")[0]),
            "" if each.message is None else code(each.message),
        ]
        for each in commits
    ]
    if rows:
        header = ["version", "time", "operation", "changes", "author", "message"]
        yield _folded(f"Commits between: {len(commits):,}", _table(header, rows, [True]))


def _updated(findings: Findings) -> Iterator[str]:
    rows = [
        [*map(_value, row.key), code(each.column), *_old_new(each)]
        for row in updated_rows(findings, findings.updated, findings.changed)
        for each in row.cells
    ]
    if rows:
        of = _of(findings.updated.num_rows, findings.summary.updated)
        yield _folded(f"Updated rows: {of}", _table([*map(code, findings.key), "column", "old", "new"], rows))


def _old_new(each: Cell) -> tuple[str, str]:
    old, new = wording.cut_both(*wording.old_and_new(each.old, each.new), WIDEST, WIDEST)
    return _shown(each.old, old), _shown(each.new, new)


def _rows(kind: str, rows: pa.Table, total: int) -> Iterator[str]:
    if rows.num_rows:
        header = [code(name) for name in rows.column_names]
        right = [wording.is_number(item.type) for item in rows.schema]
        values = [[_value(value) for value in row] for row in zip(*(c.to_pylist() for c in rows.columns), strict=True)]
        yield _folded(f"{kind} rows: {_of(rows.num_rows, total)}", _table(header, values, right))


def _of(shown: int, total: int) -> str:
    return f"{total:,}" if shown >= total else f"{shown:,} of {total:,}"
