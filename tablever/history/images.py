"""The change rows of steps, read and netted: what went and what came at each, equal rows cancelled.

Files of many steps that have the same settings are read in one scan, so that a thousand small ones cost little more
than their bytes; which step a row is of is told by the file that it lies in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from tablever.changes import cancel
from tablever.datafiles import CHANGE_TYPE
from tablever.errors import CorruptionError
from tablever.frames import ROW, numbered
from tablever.history.probe import Probe
from tablever.history.steps import Step
from tablever.history.view import View
from tablever.layout import mapping_mode
from tablever.log import Log
from tablever.model import ChangeFile, DataFile, Metadata, Snapshot
from tablever.scan import Positions, Scan, change_scan, open_scan

STEP = "__tv_step"
_CAME, _WENT = ("insert", "update_postimage"), ("delete", "update_preimage")


@dataclass(frozen=True)
class Images:
    """Rows in the view's columns, after ``__tv_step``: the version that their step made; in the order of the steps."""

    view: View
    went: pl.DataFrame
    came: pl.DataFrame


@dataclass(frozen=True)
class _Part:
    """A file of a step: of change rows, or rows (at ``positions``, or all that live) that went or came."""

    step: int
    file: DataFile | ChangeFile
    positions: Positions | None = None
    came: bool = True


def read_images(log: Log, snapshot: Snapshot, steps: Sequence[Step], view: View, probe: Probe | None = None) -> Images:
    """The net change rows of some steps; with a probe, of the rows looked for.

    Args:
        snapshot: any of the table.

    Raises:
        VersionVacuumedError, CorruptionError, StorageError: a file is gone or damaged.
    """
    empty = pl.DataFrame(schema={STEP: pl.Int64(), **view.types})
    sides: dict[bool, list[pl.DataFrame]] = {False: [empty], True: [empty]}
    for metadata, parts in _by_settings(steps):
        settings = replace(snapshot, metadata=metadata, files=())
        for is_new, frame in _read(log, settings, parts, view, probe):
            sides[is_new].append(frame)
    went, came = (pl.concat(frames).sort(STEP, maintain_order=True) for frames in (sides[False], sides[True]))
    return Images(view, *_net(went, came))


def _by_settings(steps: Iterable[Step]) -> Iterable[tuple[Metadata, list[_Part]]]:
    """What can be read in one scan: files of one kind, by the same settings."""
    groups: dict[tuple[object, ...], tuple[Metadata, list[_Part]]] = {}
    for step in steps:
        for metadata, parts in (
            (step.after, [_Part(step.version, file) for file in step.changes]),
            (step.before, [_Part(step.version, piece.file, piece.positions, False) for piece in step.removed]),
            (step.after, [_Part(step.version, piece.file, piece.positions, True) for piece in step.added]),
        ):
            if parts:
                told = isinstance(parts[0].file, ChangeFile)
                name = (told, parts[0].came, metadata.schema_string, metadata.partition_columns, mapping_mode(metadata))
                groups.setdefault(name, (metadata, []))[1].extend(parts)
    return groups.values()


def _read(
    log: Log, snapshot: Snapshot, parts: Sequence[_Part], view: View, probe: Probe | None
) -> Iterable[tuple[bool, pl.DataFrame]]:
    changes = [part.file for part in parts if isinstance(part.file, ChangeFile)]
    if changes:
        scan = change_scan(log, snapshot, changes, CHANGE_TYPE)
    else:
        scan = open_scan(log, snapshot, [part.file for part in parts if isinstance(part.file, DataFile)])
    names = [name for name in scan.schema.names if name in view.types or (changes and name == CHANGE_TYPE)]
    rows = numbered(scan, names, None if probe is None else probe.expression(scan))
    rows, steps = _placed(scan, parts, rows)
    images = view.fit(rows, scan.schema).insert_column(0, pl.Series(STEP, steps, pl.Int64))
    if not changes:
        yield parts[0].came, images if probe is None else probe.select(images)
        return
    kinds = rows[CHANGE_TYPE]
    strange = kinds.filter(~(kinds.is_in([*_CAME, *_WENT])).fill_null(False))
    if strange.len():
        raise CorruptionError(f"'{log.name}' has a change row of the kind {strange[0]!r}")
    for came, words in ((False, _WENT), (True, _CAME)):
        side = images.filter(kinds.is_in(words))
        yield came, side if probe is None else probe.select(side)


def _placed(scan: Scan, parts: Sequence[_Part], rows: pl.DataFrame) -> tuple[pl.DataFrame, np.ndarray]:
    """Those of the rows that are meant, and the step of each."""
    places = rows[ROW].to_numpy()
    files = np.searchsorted(scan.offsets, places, side="right") - 1
    if any(part.positions is not None for part in parts):
        kept = np.ones(len(places), np.bool_)
        for i, part in enumerate(parts):
            if part.positions is not None:
                here = files == i
                kept[here] = np.isin(places[here] - scan.offsets[i], part.positions)
        rows, files = rows.filter(pl.Series(kept)), files[kept]
    return rows, np.array([part.step for part in parts], np.int64)[files]


def _net(went: pl.DataFrame, came: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Equal rows of one step cancel; steps that only have one side are left as they are."""
    both = np.intersect1d(went[STEP].unique().to_numpy(), came[STEP].unique().to_numpy())
    if not len(both):
        return went, came
    mixed = [frame[STEP].is_in(pl.Series(both).implode()) for frame in (went, came)]
    left, right = cancel(went.filter(mixed[0]), came.filter(mixed[1]), went.columns)
    kept = (pl.concat([went.filter(~mixed[0]), left]), pl.concat([came.filter(~mixed[1]), right]))
    return kept[0].sort(STEP, maintain_order=True), kept[1].sort(STEP, maintain_order=True)
