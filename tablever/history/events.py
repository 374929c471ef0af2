"""The events of one row's life."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

import polars as pl

from tablever.frames import to_arrow
from tablever.history import folds
from tablever.history.images import STEP, read_images
from tablever.history.keys import one_row
from tablever.history.probe import Probe
from tablever.history.reading import read_told
from tablever.history.steps import read_journal
from tablever.history.view import View, view_of
from tablever.log import Log, TableLike, open_log
from tablever.model import EMPTY, Metadata


@dataclass(frozen=True)
class RowEvent:
    """One change in a row's life.

    Attributes:
        version: the version that made it.
        timestamp, author, message: of that version.
        change: what it did to the row.
        cells: of an update, column to (old value, new value), for the columns that changed; empty otherwise.
        row: the row as the version left it; for a delete, as it was.
        rows: how many equal rows came or went; more than one only in tables without a key.
        earliest: the first version that may have made it: ``version``, but where those in between can no longer be
            read, or where it is the oldest that can and the row was in it.
    """

    version: int
    timestamp: datetime
    author: str | None
    message: str | None
    change: Literal["insert", "update", "delete"]
    row: Mapping[str, Any]
    cells: Mapping[str, tuple[Any, Any]] = field(default_factory=lambda: EMPTY)
    rows: int = 1
    earliest: int = 0


def row_history(table: TableLike, key: Any) -> list[RowEvent]:
    """Every version in which a row was inserted, changed or deleted, oldest first.

    Rows are those of the latest version's columns, then the columns that it no longer has; one that a version did not
    have is null. Compaction, and whatever else rewrites a row as it is, is no event. Which commits can hold the row is
    told by what they record of themselves and by the statistics of their files; only what is left is read.

    Args:
        key: the row's key: its value; for a key of several columns a tuple in the key's order; or a mapping. In a
            table without a key a row is named by a mapping of all its columns, and has no updates.

    Returns:
        The events; empty where no version that can be read had the row.

    Raises:
        InvalidKeyError, SchemaMismatchError: the key names no row of this table.
        TableNotFoundError, VersionVacuumedError, UnsupportedFeatureError, CorruptionError: it cannot be read right.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}], key="id")
        >>> v = upsert(table, [{"id": 1, "stars": 4}, {"id": 2, "stars": 1}])
        >>> v = delete(table, where="id = 1")
        >>> [(event.version, event.change, dict(event.cells)) for event in row_history(table, 1)]
        [(0, 'insert', {}), (1, 'update', {'stars': (5, 4)}), (2, 'delete', {})]
    """
    log = open_log(table)

    def look(metadata: Metadata) -> Probe:
        view = view_of(metadata)
        return Probe(view, one_row(log, view, key))

    journal = read_journal(log, log.head_number(), look)
    assert journal.probe is not None
    narrow, newest = journal.probe.view, journal.settings[-1][1]
    # a row without a key is all its columns: those that went tell none apart
    view = view_of(newest, [settings for _, settings in journal.settings[::-1]]) if narrow.key else narrow
    probe = Probe(view, journal.probe.rows)
    steps, images = read_told(
        log, journal, view, probe, lambda told: (told, read_images(log, journal.first, told, view, probe))
    )
    earliest = {step.version: step.earliest for step in steps}
    return _events(log, folds.writes(images), view, earliest)


def _events(log: Log, done: folds.Writes, view: View, earliest: Mapping[int, int]) -> list[RowEvent]:
    found: list[tuple[int, int, str, dict[str, Any], dict[str, tuple[Any, Any]]]] = []
    for rank, (word, rows) in enumerate((("delete", done.deleted), ("insert", done.inserted))):
        found += [(step, rank, word, row, {}) for step, row in _records(rows, view)]
    flags = {name: changed.to_list() for name, changed in done.changed.items()}
    for i, ((step, old), (_, new)) in enumerate(
        zip(_records(done.before, view), _records(done.after, view), strict=True)
    ):
        cells = {name: (old[name], new[name]) for name in view.columns if name in flags and flags[name][i]}
        found.append((step, 2, "update", new, cells))
    signatures = {step: log.signature(step) for step in {step for step, *_ in found}}
    events: list[RowEvent] = []
    for step, _, word, row, cells in sorted(found, key=lambda each: each[:2]):
        signed = signatures[step]
        if not view.key and events and (events[-1].version, events[-1].change) == (step, word):
            events[-1] = replace(events[-1], rows=events[-1].rows + 1)
            continue
        events.append(
            RowEvent(
                version=step,
                timestamp=signed.timestamp,
                author=signed.author,
                message=signed.message,
                change=word,  # type: ignore[arg-type]
                row=row,
                cells=cells,
                earliest=earliest[step],
            )
        )
    return events


def _records(rows: pl.DataFrame, view: View) -> Iterator[tuple[int, dict[str, Any]]]:
    return zip(rows[STEP].to_list(), to_arrow(rows, view.schema).to_pylist(), strict=True)
