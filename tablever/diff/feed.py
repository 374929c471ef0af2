"""Way 1: the change rows of the commits between, as rows that went and rows that came.

No step looks at the order of commits: what one brought in and the next took out again cancels. Change files of
neighbouring commits with the same columns are read in one scan.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np
import polars as pl

from tablever.datafiles import CHANGE_TYPE
from tablever.diff.planner import CommitRows, Piece, Reading
from tablever.diff.sides import Scope, read_as
from tablever.frames import batches, batches_at
from tablever.log import Log
from tablever.model import Metadata, Snapshot
from tablever.scan import Scan, ScanFile, change_scan, open_scan

_CAME, _WENT = ("insert", "update_postimage"), ("delete", "update_preimage")


class FeedError(Exception):
    """A commit's change rows are not what its files say; the text says which commit's, and how. Not for callers."""


def feed_batches(reading: Reading, log: Log, snapshot: Snapshot, scope: Scope) -> Iterator[tuple[bool, pl.DataFrame]]:
    """Rows in ``scope.layout``, and whether they came.

    Args:
        snapshot: any of the table; for messages.

    A commit whose change rows do not add up, so that it cannot be believed, ends it with ``FeedError``.

    Raises:
        VersionVacuumedError, CorruptionError, StorageError: a file is gone or damaged.
    """
    commits = reading.feed or ()
    for came, frame in _in_order(commits[::-1] if reading.reversed else commits, log, snapshot, scope):
        if frame.height:
            yield came != reading.reversed, frame


def _in_order(
    commits: Sequence[CommitRows], log: Log, snapshot: Snapshot, scope: Scope
) -> Iterator[tuple[bool, pl.DataFrame]]:
    for _, group in groupby(commits, key=lambda commit: (bool(commit.changes), _settings(commit.after))):
        some = list(group)
        if some[0].changes:
            yield from _told(some, log, _at(snapshot, some[0].after, some[-1].number), scope)
            continue
        for commit in some:
            yield from _implied(commit.removed, log, _at(snapshot, commit.before, commit.number), scope, came=False)
            yield from _implied(commit.added, log, _at(snapshot, commit.after, commit.number), scope, came=True)


def _settings(metadata: Metadata) -> tuple[object, ...]:
    """What a scan of several commits must have in common."""
    mapping = metadata.configuration.get("delta.columnMapping.mode")
    return metadata.schema_string, metadata.partition_columns, mapping


def _at(snapshot: Snapshot, metadata: Metadata, number: int) -> Snapshot:
    return replace(snapshot, version=number, metadata=metadata, files=())


def _told(
    commits: Sequence[CommitRows], log: Log, snapshot: Snapshot, scope: Scope
) -> Iterator[tuple[bool, pl.DataFrame]]:
    """Files of change rows."""
    scan = change_scan(log, snapshot, [file for commit in commits for file in commit.changes], CHANGE_TYPE)
    columns = _columns(scan, scope)
    ends = np.cumsum([sum(file.rows for file in files) for files in _by_commit(scan, commits)])
    balance, seen = np.zeros(len(commits), np.int64), 0
    for batch in batches(scan, [*columns, CHANGE_TYPE]):
        came, went = (batch[CHANGE_TYPE].is_in(kinds) for kinds in (_CAME, _WENT))
        whose = np.searchsorted(ends, np.arange(seen, seen + batch.height), side="right")
        seen += batch.height
        if not (came | went).fill_null(False).all():
            wrong = (came | went).fill_null(False).not_().arg_max()
            kind = batch[CHANGE_TYPE][wrong or 0]
            raise FeedError(f"version {commits[whose[wrong or 0]].number} has a change row of the kind {kind!r}")
        signs = came.cast(pl.Int64).to_numpy() * 2 - 1
        balance += np.bincount(whose, weights=signs, minlength=len(commits)).astype(np.int64)
        yield False, read_as(scope, batch.filter(went), came=False)
        yield True, read_as(scope, batch.filter(came), came=True)
    for commit, found in zip(commits, balance.tolist(), strict=True):
        if commit.balance is not None and commit.balance != found:
            raise FeedError(
                f"the change rows of version {commit.number} make {found:+d} rows, its files {commit.balance:+d}"
            )


def _by_commit(scan: Scan, commits: Sequence[CommitRows]) -> Iterator[Sequence[ScanFile]]:
    files = iter(scan.files)
    for commit in commits:
        yield [next(files) for _ in commit.changes]


def _implied(
    pieces: Sequence[Piece], log: Log, snapshot: Snapshot, scope: Scope, *, came: bool
) -> Iterator[tuple[bool, pl.DataFrame]]:
    """Rows of files that a commit adds or removes."""
    if pieces:
        for frame in piece_batches(pieces, log, snapshot, scope, came=came):
            yield came, frame


def piece_batches(
    pieces: Sequence[Piece], log: Log, snapshot: Snapshot, scope: Scope, *, came: bool
) -> Iterator[pl.DataFrame]:
    """Rows of pieces of a version's files, in ``scope.layout``."""
    scan = open_scan(log, snapshot, [piece.file for piece in pieces])
    columns = _columns(scan, scope)
    for batch in batches_at(scan, [piece.positions for piece in pieces], columns):
        yield read_as(scope, batch, came)


def _columns(scan: Scan, scope: Scope) -> list[str]:
    return [name for name in scan.schema.names if name in scope.types]
