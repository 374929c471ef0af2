"""Values as text for people: one line, safe on a terminal, aligned in columns. Values in, text out.

Text from data never reaches a screen raw: control characters and escape sequences are written as escapes.
"""

from __future__ import annotations

import difflib
import json
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from heapq import heapify, heapreplace
from itertools import accumulate, takewhile
from math import isfinite, isnan
from typing import TYPE_CHECKING, Any

from tablever.escapes import safe

if TYPE_CHECKING:
    from tablever.model import Run, Version

GAP = "  "
WIDEST_CELL = 50
NARROWEST_CELL = 8
NULL = "NULL"
MOST_IN_COLUMN = 8  # code points: a letter with its marks, an emoji of a family


def width(text: str) -> int:
    """The columns that the text takes on a terminal."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    marks = sum(unicodedata.combining(char) != 0 or char in "\u200d\ufe0f" for char in text)
    return len(text) + wide - marks


def cut(text: str, columns: int) -> str:
    """The text in at most that many columns, with … where something was left out; marks without end are some of it."""
    if len(text) <= columns and text.isascii():
        return text
    start = text[: MOST_IN_COLUMN * max(columns, 0)]
    if len(start) == len(text) and width(text) <= columns:
        return text
    ends = accumulate(map(width, start))
    return start[: sum(1 for _ in takewhile(lambda end: end < columns, ends))] + "…"


def cell(value: Any) -> str:
    """A value on the screen, on one line: NULL for null, ISO 8601 for times, NaN, Infinity, JSON for nested values."""
    if value is None:
        return NULL
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return safe(value)
    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, bytes):
        return "x'" + value[:32].hex() + ("…'" if len(value) > 32 else "'")
    if isinstance(value, float) and not isfinite(value):
        return "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, int | float | Decimal | date):
        return str(value)
    from tablever.json_values import to_json

    return safe(json.dumps(to_json(value), ensure_ascii=False))


def time_text(value: datetime) -> str:
    """``2026-11-01 12:00:00.5``, with a Z where the time is an instant."""
    if value.tzinfo is None:
        return value.isoformat(" ")
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ") + "Z"


def table_lines(
    header: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[bool], columns: int | None = None
) -> list[str]:
    """The rows as aligned lines under a header and a rule, at most ``columns`` wide.

    The widest columns of text give way first; where that is not enough, columns in the middle are left out. A
    number is never cut.

    Args:
        header: the names.
        rows: the cells, one text a column.
        right: for each column, whether it is aligned to the right, as numbers are.
        columns: the width, None for no limit.
    """
    return fitted_table(header, rows, right, columns)[0]


def fitted_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[bool], columns: int | None = None
) -> tuple[list[str], int]:
    """As ``table_lines``, and how many columns are shown."""
    cells = [[safe(name) for name in header], *([cut(text, WIDEST_CELL) for text in row] for row in rows)]
    widths = [max(width(row[index]) for row in cells) for index in range(len(header))]
    shown = list(range(len(header)))
    if columns:
        widths = _narrowed(widths, right, columns)
        shown = _fitting(widths, columns)
    lines = [_line(row, shown, widths, right) for row in cells]
    rule = GAP.join("─" * widths[index] if index >= 0 else "…" for index in shown)
    return [lines[0], rule, *lines[1:]], sum(index >= 0 for index in shown)


def _narrowed(widths: list[int], rigid: Sequence[bool], limit: int) -> list[int]:
    """The widths with the widest of text made narrower, one column at a time, until they fit or none can give way."""
    widths, over = list(widths), _total(widths) - limit
    soft = [(-widths[index], index) for index, is_rigid in enumerate(rigid) if not is_rigid]
    heapify(soft)
    while over > 0 and soft and -soft[0][0] > NARROWEST_CELL:
        narrower, index = soft[0][0] + 1, soft[0][1]
        heapreplace(soft, (narrower, index))
        widths[index], over = -narrower, over - 1
    return widths


def _fitting(widths: list[int], limit: int) -> list[int]:
    """The indices of the columns to show, -1 for the gap in the middle where some are left out."""
    if _total(widths) <= limit:
        return list(range(len(widths)))
    left = (len(widths) + 1) // 2  # the first that is left out; they end before ``right``
    right, wide = left, _total([*widths, 1])
    while left + len(widths) - right > 1 and wide > limit:
        if left > len(widths) - right:
            left -= 1
            wide -= widths[left] + len(GAP)
        else:
            wide -= widths[right] + len(GAP)
            right += 1
    return [*range(left), -1, *range(right, len(widths))]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _line(row: Sequence[str], shown: Sequence[int], widths: Sequence[int], right: Sequence[bool]) -> str:
    return GAP.join(_padded(row[index], widths[index], right[index]) if index >= 0 else "…" for index in shown).rstrip()


def _padded(text: str, columns: int, to_right: bool) -> str:
    text = cut(text, columns)
    space = " " * (columns - width(text))
    return space + text if to_right else text + space


def count(number: int | None, sign: str = "") -> str:
    """``+1,234``; 0 has no sign, and a count that nobody recorded is a question mark."""
    return "?" if number is None else f"{sign if number else ''}{number:,}"


def plural(number: int | None, noun: str = "row") -> str:
    """``1 row``, ``28,225 rows``."""
    return f"{count(number)} {noun}" + ("" if number == 1 else "s")


def size_text(number: int) -> str:
    """``812 bytes``, ``3.4 MB``: decimal units."""
    if number < 1000:
        return plural(number, "byte")
    value = float(number)
    for unit in ("kB", "MB", "GB", "TB"):  # noqa: B007
        value /= 1000
        if value < 999.95:
            break
    return f"{value:.1f} {unit}"


def changes_text(version: Version) -> str:
    """``+12 -10 ~10``: rows added, removed, updated, as the version counts them; those that are none left out."""
    counts = {"+": version.rows_added, "-": version.rows_removed, "~": version.rows_updated}
    return " ".join(
        f"{sign}?" if number is None else count(number, sign) for sign, number in counts.items() if number != 0
    )


def metrics_text(run: Run) -> str:
    """``f1=0.91 loss=0.2``, by name."""
    return safe(" ".join(f"{name}={value:g}" for name, value in sorted(run.metrics.items())))


def run_text(run: Run) -> str:
    """``f3a9 (train), baseline, f1=0.91 loss=0.2``."""
    return safe(", ".join(text for text in (f"{run.run_id} ({run.role})", run.name, metrics_text(run)) if text))


def did_you_mean(name: str, names: Sequence[str]) -> str | None:
    """A hint with the nearest of the names there are, or None."""
    lower = {other.lower(): other for other in names}
    near = difflib.get_close_matches(name.lower(), list(lower), n=1)
    return f"did you mean '{lower[near[0]]}'?" if near else None


def listed(names: Iterable[str]) -> str:
    """Names in quotes for a message, at most ten."""
    quoted = [f"'{name}'" for name in names]
    return ", ".join(quoted[:10]) + (f" and {len(quoted) - 10} more" if len(quoted) > 10 else "")
