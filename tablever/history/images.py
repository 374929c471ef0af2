"""The change rows of steps, read and netted: what went and what came at each, equal rows cancelled.

Files of many steps that have the same settings are read in one scan, so that a thousand small ones cost little more
than their bytes; which step a row is of is told by the file that it lies in, or by its place there where deletion
vectors say it. Steps that rewrote files are netted some at a time: what is held is what they changed, not the files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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
ROWS_AT_ONCE = 1 << 20  # of rewritten files: one step's are netted together, however many
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
    blocks = [(empty, empty), *(_net(*_sides(log, snapshot, block, view, probe, empty)) for block in _blocks(steps))]
    went, came = (pl.concat(frames) for frames in zip(*blocks, strict=True))
    return Images(view, went, came)


def _blocks(steps: Sequence[Step]) -> Iterator[Sequence[Step]]:
    """The steps in their order, so many at a time that the files that came in others' place are no more than fit."""
    start = rows = 0
    for i, step in enumerate(steps):
        whole = [piece.rows for piece in (*step.removed, *step.added) if piece.positions is None]
        weight = sum(ROWS_AT_ONCE if count is None else count for count in whole) if step.removed and step.added else 0
        if rows and rows + weight > ROWS_AT_ONCE:
            yield steps[start:i]
            start, rows = i, 0
        rows += weight
    yield steps[start:]


def _sides(
    log: Log, snapshot: Snapshot, steps: Sequence[Step], view: View, probe: Probe | None, empty: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows that went and those that came, by step."""
    sides: dict[bool, list[pl.DataFrame]] = {False: [empty], True: [empty]}
    for metadata, parts in _by_settings(steps):
        settings = replace(snapshot, metadata=metadata, files=())
        for is_new, frame in _read(log, settings, parts, view, probe):
            sides[is_new].append(frame)
    went, came = (pl.concat(frames).sort(STEP, maintain_order=True) for frames in (sides[False], sides[True]))
    return went, came


def _by_settings(steps: Iterable[Step]) -> Iterable[tuple[Metadata, list[_Part]]]:
    """What can be read in one scan: files of one kind, by the same settings, whole or at positions."""
    groups: dict[tuple[object, ...], tuple[Metadata, list[_Part]]] = {}
    for step in steps:
        for metadata, part in (
            *((step.after, _Part(step.version, file)) for file in step.changes),
            *((step.before, _Part(step.version, piece.file, piece.positions, False)) for piece in step.removed),
            *((step.after, _Part(step.version, piece.file, piece.positions, True)) for piece in step.added),
        ):
            kind = isinstance(part.file, ChangeFile), part.positions is None, part.came
            name = (*kind, metadata.schema_string, metadata.partition_columns, mapping_mode(metadata))
            groups.setdefault(name, (metadata, []))[1].append(part)
    return groups.values()


def _read(
    log: Log, snapshot: Snapshot, parts: Sequence[_Part], view: View, probe: Probe | None
) -> Iterable[tuple[bool, pl.DataFrame]]:
    changes = [part.file for part in parts if isinstance(part.file, ChangeFile)]
    scan = change_scan(log, snapshot, changes, CHANGE_TYPE) if changes else open_scan(log, snapshot, _files(parts))
    names = [name for name in scan.schema.names if name in view.types or (changes and name == CHANGE_TYPE)]
    sought = None if probe is None else probe.expression(scan)
    rows, steps = (_whole if parts[0].positions is None else _picked)(scan, parts, names, sought)
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


def _files(parts: Sequence[_Part]) -> list[DataFile]:
    """The files of some parts; those of which there are positions once each, and with the rows that vectors delete.

    A table whose every commit deleted some rows of the same large file would else be read as often as that.
    """
    files = [part.file for part in parts if isinstance(part.file, DataFile)]
    if parts[0].positions is None:
        return files
    return list({file.path: replace(file, vector=None) for file in files}.values())


def _whole(
    scan: Scan, parts: Sequence[_Part], names: Sequence[str], sought: pl.Expr | None
) -> tuple[pl.DataFrame, np.ndarray]:
    """The live rows of the parts' files, and the step of each."""
    rows = numbered(scan, names, sought)
    files = np.searchsorted(scan.offsets, rows[ROW].to_numpy(), side="right") - 1
    return rows, np.array([part.step for part in parts], np.int64)[files]


def _picked(
    scan: Scan, parts: Sequence[_Part], names: Sequence[str], sought: pl.Expr | None
) -> tuple[pl.DataFrame, np.ndarray]:
    """The rows at the parts' positions, and the step of each; a row may have gone, or come, at more than one."""
    starts = {file.file.path: start for file, start in zip(scan.files, scan.offsets[:-1], strict=True)}
    places = [starts[part.file.path] + part.positions for part in parts if part.positions is not None]
    steps = np.repeat([part.step for part in parts], [len(some) for some in places])
    wanted = pl.DataFrame({ROW: np.concatenate(places), STEP: steps}, schema={ROW: pl.Int64, STEP: pl.Int64})
    chosen = pl.col(ROW).is_in(wanted[ROW].unique().implode())
    rows = numbered(scan, names, chosen if sought is None else sought & chosen)
    rows = wanted.join(rows, on=ROW, how="inner", maintain_order="left")
    return rows, rows[STEP].to_numpy()


def _net(went: pl.DataFrame, came: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Equal rows of one step cancel; steps that only have one side are left as they are."""
    both = np.intersect1d(went[STEP].unique().to_numpy(), came[STEP].unique().to_numpy())
    if not len(both):
        return went, came
    mixed = [frame[STEP].is_in(pl.Series(both).implode()) for frame in (went, came)]
    left, right = cancel(went.filter(mixed[0]), came.filter(mixed[1]), went.columns)
    kept = (pl.concat([went.filter(~mixed[0]), left]), pl.concat([came.filter(~mixed[1]), right]))
    return kept[0].sort(STEP, maintain_order=True), kept[1].sort(STEP, maintain_order=True)
