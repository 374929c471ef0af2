"""A diff as JSON Lines, the format ``tablever.diff/v1``: docs/reference/diff-format.md specifies it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tablever.arrow_json import joined, json_objects, json_texts, type_name
from tablever.findings import Drift, Findings, Profile, Segment
from tablever.json_values import JSON, to_json, version_json
from tablever.report import wording
from tablever.report.cells import images

FORMAT = "tablever.diff/v1"
Batches = Iterable[pa.RecordBatch]
Flagged = Iterable[tuple[pa.RecordBatch, pa.Table]]


def records(findings: Findings, removed: Batches, added: Batches, updated: Flagged) -> Iterator[str]:
    """The lines, without their line ends, one after the other as the batches come.

    Args:
        findings: everything but rows is taken from it; rows that it holds are not written.
        removed, added: all rows of each kind, in the columns of ``Diff``'s parts.
        updated: all rows likewise, each batch with what changed in it, as ``Findings.changed``.
    """
    yield from map(JSON.encode, _before(findings))
    for kind, batches in (("removed", removed), ("added", added)):
        for batch in batches:
            yield from joined(f'{{"kind":"{kind}","row":', json_objects(batch), "}").to_pylist()
    for batch, changed in updated:
        yield from _updated(findings, batch, changed).to_pylist()
    yield from map(JSON.encode, _after(findings))


def _before(findings: Findings) -> Iterator[dict[str, Any]]:
    yield _head(findings)
    yield from ({"kind": "commit", "version": version_json(version)} for version in findings.plan.commits)
    yield from ({"kind": "schema", **asdict(change)} for change in findings.schema)


def _after(findings: Findings) -> Iterator[dict[str, Any]]:
    yield from _statistics(findings)
    yield from _segments(findings)
    yield _end(findings)


def _head(findings: Findings) -> dict[str, Any]:
    plan = findings.plan
    return {
        "kind": "diff",
        "format": FORMAT,
        "table": findings.table,
        "other": findings.other,
        "from": None if findings.before is None else version_json(findings.before),
        "to": None if findings.after is None else version_json(findings.after),
        "key": list(findings.key),
        "compared": list(findings.compared),
        "columns": {"from": _columns(findings.columns_before), "to": _columns(findings.columns_after)},
        "tolerance": {
            column: {"absolute": to_json(absolute), "relative": to_json(relative)}
            for column, (absolute, relative) in findings.tolerance.items()
        },
        "plan": {"way": plan.way, "why": plan.why, "bytes": plan.bytes},
    }


def _columns(schema: pa.Schema) -> list[dict[str, Any]]:
    return [{"name": item.name, "type": type_name(item.type), "nullable": item.nullable} for item in schema]


def _updated(findings: Findings, batch: pa.RecordBatch, changed: pa.Table) -> pa.LargeStringArray:
    """A line for each row, its cells column by column: null where one did not change, and then left out."""
    columns = [pa.repeat(pa.scalar("", pa.large_string()), batch.num_rows)]
    for column in changed.column_names:
        flags = changed.column(column).to_numpy()
        old, new = (json_texts(image.filter(flags)) for image in images(findings, batch, column))
        cells = joined(f',{JSON.encode(column)}:{{"old":', old, ',"new":', new, "}")
        columns.append(pc.fill_null(cells.take(pa.array(np.cumsum(flags) - 1, mask=~flags)), ""))
    cells = pc.utf8_slice_codeunits(joined(*columns), start=1)
    keys = json_objects(batch.select(list(findings.key)))
    return joined('{"kind":"updated","key":', keys, ',"cells":{', cells, "}}")


def _statistics(findings: Findings) -> Iterator[dict[str, Any]]:
    drift = {each.column: each for each in findings.drift or ()}
    for each in findings.statistics or ():
        yield {
            "kind": "statistics",
            "column": each.column,
            "type": type_name(each.type),
            "unchanged": each.unchanged,
            "from": _profile(each.before),
            "to": _profile(each.after),
            "drift": _drift(drift.get(each.column)),
        }


def _profile(profile: Profile | None) -> dict[str, Any] | None:
    if profile is None:
        return None
    names = ("count", "nulls", "nans", "distinct", "min", "max", "mean", "deviation")
    return {
        **{name: to_json(getattr(profile, name)) for name in names},
        "quantiles": {f"{share:g}": to_json(value) for share, value in profile.quantiles.items()},
        "top": [[to_json(value), times] for value, times in profile.top],
        "histogram": profile.bins and {"edges": to_json(profile.bins.edges), "counts": list(profile.bins.counts)},
        "values": None if profile.categories is None else _counts(profile.categories),
    }


def _counts(categories: Mapping[Any, int]) -> list[list[Any]]:
    return [[to_json(value), times] for value, times in categories.items()]


def _drift(drift: Drift | None) -> dict[str, Any] | None:
    if drift is None:
        return None
    measures = {name: value for name, value in asdict(drift).items() if name != "column"}
    return {name: to_json(value) for name, value in measures.items()}


def _segments(findings: Findings) -> Iterator[dict[str, Any]]:
    if findings.segments is None:
        return
    by, other = list(findings.segments.by), findings.segments.other
    yield from (_segment(by, [to_json(value) for value in each.group], each) for each in findings.segments.groups)
    if other is not None:
        yield {**_segment(by, None, other), "groups": findings.segments.others}


def _segment(by: list[str], group: list[Any] | None, segment: Segment) -> dict[str, Any]:
    names = ("rows", "changed", "added", "removed", "updated", "lift", "p", "adjusted_p", "concentrated")
    values = {name: to_json(getattr(segment, name)) for name in names}
    return {"kind": "segment", "by": by, "group": group, **values}


def _end(findings: Findings) -> dict[str, Any]:
    summary = findings.summary
    counts = ("rows_before", "rows_after", "added", "removed", "updated", "unchanged", "duplicate_keys")
    values = {name: getattr(summary, name) for name in counts}
    return {"kind": "end", "summary": {**values, "cells": dict(summary.cells)}, "notes": list(wording.notes(findings))}
