"""What every report says in the same words: what was compared, how much differs, what a reader must know."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite
from typing import Any

import pyarrow as pa

from tablever.findings import Drift, Findings, Plan, Profile, SchemaChange, Segment, Segments, Summary
from tablever.model import Version
from tablever.texts import NULL, cell, count, cut, plural, size_text
from tablever.texts import width as width_of

WIDEST_FIGURE = 30
SIGNS: Mapping[str, str] = {"added": "+", "removed": "-"}
# Characters that nobody sees: joiners, fillers, choices between two forms of a letter.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u200d\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_COUNTS = ("rows", "changed", "added", "removed", "updated")
_PARTS = {"added": "added row", "removed": "removed row", "updated": "updated row", "cells": "changed cell"}


def title(findings: Findings) -> str:
    """``airports: version 5 → version 6``; where two tables are compared ``left version 5 → right version 2``."""
    before, after = before_name(findings), after_name(findings)
    if findings.other is None:
        return f"{findings.table}: {before} → {after}"
    return f"{findings.table} {before} → {findings.other} {after}"


def before_name(findings: Findings) -> str:
    """``version 5``, or ``nothing`` where there was no table."""
    return _side(findings.before)


def after_name(findings: Findings) -> str:
    """``version 6``, ``rows not committed``, or ``nothing`` where there is no table."""
    if findings.after is None and findings.plan.way == "rows":
        return "rows not committed"
    return _side(findings.after)


def _side(version: Version | None) -> str:
    return "nothing" if version is None else f"version {version.number}"


def headline(findings: Findings) -> str:
    """The counts of rows and cells, as a sentence."""
    summary = findings.summary
    rows = f"{plural(summary.rows_before)} → {plural(summary.rows_after)}"
    if not summary.changed:
        changes = f"; {plural(len(findings.schema), 'schema change')}" if findings.schema else ""
        return f"{rows}: no row differs{changes}"
    kinds = {"added": summary.added, "removed": summary.removed, "updated": summary.updated}
    said = f"{rows}: " + ", ".join(f"{number:,} {kind}" for kind, number in kinds.items() if number)
    if summary.unchanged is not None and summary.rows_before:
        said += f", {summary.unchanged:,} unchanged"
    changed = cells_changed(findings)
    if changed:
        said += f"; {plural(changed, 'cell')} changed in {plural(len(summary.cells), 'column')}"
    return said


def cells_changed(findings: Findings) -> int:
    """Changed cells of all updated rows."""
    return sum(findings.summary.cells.values())


def share(part: int, whole: int | None) -> str:
    """A share as a percentage; nothing where the whole is unknown or zero."""
    return percent(part / whole) if whole else ""


def percent(share: float) -> str:
    """``4.2 %``; never 0 or 100 % by rounding.

    Example:
        >>> [percent(share) for share in (0, 0.00001, 0.0419, 0.9999, 1)]
        ['0 %', '< 0.1 %', '4.2 %', '> 99.9 %', '100 %']
    """
    if 0 < share < 0.001:
        return "< 0.1 %"
    if 0.999 < share < 1:
        return "> 99.9 %"
    return f"{100 * share:.1f} %" if 0 < share < 1 else f"{100 * share:.0f} %"


def schema_text(change: SchemaChange) -> str:
    """What became of a column or a setting, in one line: ``elevation: int32 → int64``."""
    if change.change == "added":
        return f"{change.name}: {change.new or ''}"
    if change.change == "removed":
        return f"{change.name}: {change.old or ''}"
    what = {"nullability": "nullable ", "property": "property ", "key": "", "reordered": "order "}
    name = change.name or change.change
    return f"{what.get(change.change, '')}{name}: {change.old or 'none'} → {change.new or 'none'}"


def reads(plan: Plan) -> str:
    """What is read, beside what the table has: ``1.7 MB of 12 files; the table has 2.1 MB``."""
    read = size_text(sum(file.bytes for file in plan.files))
    return f"{read} of {plural(len(plan.files), 'file')}; the table has {size_text(plan.table_bytes)}"


def notes(findings: Findings) -> tuple[str, ...]:
    """What a reader must know to read the counts right, as sentences."""
    said = list(findings.summary.notes)
    for (absolute, relative), columns in _by_tolerance(findings.tolerance).items():
        said.append(f"counted as alike within {absolute:g} absolute or {relative:g} relative: {', '.join(columns)}")
    return tuple(said)


def _by_tolerance(tolerance: Mapping[str, tuple[float, float]]) -> dict[tuple[float, float], list[str]]:
    columns: dict[tuple[float, float], list[str]] = {}
    for column, pair in tolerance.items():
        columns.setdefault(pair, []).append(column)
    return columns


def left_out(parts: Mapping[str, int]) -> tuple[str, ...]:
    """What is not shown, a sentence a part: ``8,962 updated rows are not shown here``."""
    return tuple(
        f"{plural(number, _PARTS.get(part, part.removesuffix('s')))} {'is' if number == 1 else 'are'} not shown here"
        for part, number in parts.items()
        if number
    )


def leading(segments: Segments, most: int) -> Segments:
    """The first ``most`` groups in which anything changed; all others are summed."""
    kept = [each for each in segments.groups[:most] if each.changed]
    rest = segments.groups[len(kept) :]
    if not rest:
        return segments
    summed = [*rest, *([segments.other] if segments.other else [])]
    counts = {name: sum(getattr(each, name) for each in summed) for name in _COUNTS}
    return replace(segments, groups=tuple(kept), other=Segment((), **counts), others=segments.others + len(rest))


def others_text(segments: Segments) -> str:
    """What the groups that were left out are called."""
    return f"{plural(segments.others, 'other group')}" if segments.others else "other groups"


def group_text(by: tuple[str, ...], segment: Segment) -> str:
    """``country = US, type = heliport``."""
    return ", ".join(f"{name} = {cell(value)}" for name, value in zip(by, segment.group, strict=True))


def drift_text(drift: Drift) -> str:
    """The measures that apply, with their names: ``PSI 0.312, KS 0.14 (p < 0.001)``; else why there is none."""
    measures = [
        ("PSI", drift.psi, None),
        ("KS", drift.ks, drift.ks_p),
        ("JS", drift.js, None),
        ("Cramér's V", drift.cramers_v, drift.chi2_p),
    ]
    said = [f"{name} {value:.3f}{probability(p)}" for name, value, p in measures if value is not None]
    return ", ".join(said) or drift.why


def is_measured(drift: Drift) -> bool:
    """Whether a measure of drift applied to the column: else it is not known to be steady."""
    return any(measure is not None for measure in (drift.psi, drift.ks, drift.js, drift.cramers_v))


def drift_count(drift: Sequence[Drift]) -> str:
    """``2 of 5 measured``, ``none of 1 measured; 2 not measured``: columns that drifted."""
    measured = sum(map(is_measured, drift))
    drifted = sum(each.level != "none" for each in drift)
    said = [f"{count(drifted) if drifted else 'none'} of {count(measured)} measured"] if measured else []
    return "; ".join([*said, *([f"{count(len(drift) - measured)} not measured"] if measured < len(drift) else [])])


def value_text(value: Any) -> str:
    """As a cell, and a text in quotes that would read as nothing, as NULL, or without the space at its ends.

    Example:
        >>> [value_text(value) for value in (None, "NULL", "", "a ", "a b")]
        ['NULL', "'NULL'", "''", "'a '", 'a b']
    """
    text = cell(value)
    is_read_otherwise = isinstance(value, str) and (value != value.strip() or value.upper() in ("", NULL))
    return f"'{text}'" if is_read_otherwise else text


def old_and_new(old: Any, new: Any) -> tuple[str, str]:
    r"""Two values that differ, as texts that look different: where cells look alike, as Python writes the values.

    Example:
        >>> old_and_new("caf\u00e9", "cafe"), old_and_new("a b", "a\u00a0b")
        (('café', 'cafe'), ("'a b'", "'a\\xa0b'"))
    """
    texts = value_text(old), value_text(new)
    return (ascii(old), ascii(new)) if _look(texts[0]) == _look(texts[1]) else texts


def _look(text: str) -> str:
    spaced = "".join(" " if unicodedata.category(char) == "Zs" else char for char in text)
    return unicodedata.normalize("NFC", _UNSEEN.sub("", spaced))


def cut_both(old: str, new: str, olds: int, news: int) -> tuple[str, str]:
    """Two texts in so many columns; where the cut would hide the difference, their common beginning goes instead."""
    same = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    if width_of(old[: same + 1]) >= olds < width_of(old) or width_of(new[: same + 1]) >= news < width_of(new):
        skipped = max(same - min(olds, news) // 4, 0)
        old, new = (f"…{text[skipped:]}" for text in (old, new)) if skipped > 1 else (old, new)
    return cut(old, olds), cut(new, news)


def p_text(p: float | None) -> str:
    """``0.032``, ``< 0.001``; nothing where there is none."""
    if p is None:
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def rows_text(summary: Summary) -> str:
    """``28,130 → 28,185``, or one number where it stayed."""
    if summary.rows_before == summary.rows_after:
        return count(summary.rows_after)
    return f"{count(summary.rows_before)} → {count(summary.rows_after)}"


def growth(summary: Summary) -> str:
    """``+55``: rows more or fewer than before; nothing where there are as many, or it is not known."""
    if summary.rows_before is None or summary.rows_after is None or summary.rows_before == summary.rows_after:
        return ""
    return f"{summary.rows_after - summary.rows_before:+,}".replace("-", "\u2212")


def probability(p: float | None) -> str:
    """`` (p = 0.032)`` behind a measure; nothing where there is none."""
    if p is None:
        return ""
    return f" (p {p_text(p)})" if p < 0.001 else f" (p = {p_text(p)})"


def number(value: Any) -> str:
    """A statistic: means and the like to six digits, other values as cells show them."""
    return f"{value:,.6g}" if isinstance(value, float) and isfinite(value) else cell(value)


def is_number(kind: pa.DataType) -> bool:
    """Whether columns of the type are aligned to the right."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def measured(profile: Profile | None) -> dict[str, str]:
    """The figures of one side by name, those that there are."""
    if profile is None:
        return {}
    figures = {
        "rows": f"{profile.count:,}",
        "null": f"{profile.nulls:,}",
        "NaN": f"{profile.nans:,}" if profile.nans else None,
        "distinct": None if profile.distinct is None else f"≈ {profile.distinct:,}",
        "min": _figure(profile.min),
        "median": _figure(profile.quantiles.get(0.5)),
        "mean": _figure(profile.mean),
        "deviation": _figure(profile.deviation),
        "max": _figure(profile.max),
    }
    return {name: text for name, text in figures.items() if text is not None}


def _figure(value: Any) -> str | None:
    return None if value is None else cut(number(value), WIDEST_FIGURE) or "(empty)"
