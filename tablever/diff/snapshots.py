"""Way 2: the rows of files that only one side has, without those that were only rewritten.

Rows of whole files are laid side by side in the order of the files: rewriters keep it more often than not, and then a
row that is equal at its place cancels there, and one that differs is a change. Where most of a stretch differs, its
rows (with a key: those whose keys differ) are remembered by a hash and their place, 16 bytes each; what is left of the
hashes when both sides are set against each other is fetched again. Both only make fewer rows of it: what remains is
compared by value, as ever.

A row that changed is missed only where its images have the same 127 bits of hash: 63 by which rows are matched, and 64
that must add up over all that were.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import polars as pl

from tablever.diff.feed import piece_batches
from tablever.diff.planner import Piece, Reading
from tablever.diff.sides import Scope, Side, read_as
from tablever.frames import BATCH_ROWS, find_keys, to_frame
from tablever.rows import differs
from tablever.scan import Positions, open_scan

MOSTLY = 0.1  # of a stretch: where more differs, its rows are in another order
SAMPLE = 1024
_SEEDS = (0x7AB1E, 0x5EED)
_SIDE = np.uint64(1)

Hashes = np.ndarray[tuple[int], np.dtype[np.uint64]]


def snapshot_batches(reading: Reading, left: Side, right: Side, scope: Scope) -> Iterator[tuple[bool, pl.DataFrame]]:
    """Rows in ``scope.layout``, and whether they are of the right side.

    Raises:
        VersionVacuumedError, CorruptionError, StorageError: a file is gone or damaged.
    """
    whole = []
    for side, pieces, came in ((left, reading.left_files, False), (right, reading.right_files, True)):
        whole.append(tuple(piece for piece in pieces if piece.positions is None))
        some = [piece for piece in pieces if piece.positions is not None]
        for frame in _rows(side, some, scope, came=came):
            yield came, frame
    yield from _rewritten(_Rows(left, whole[0], scope, False), _Rows(right, whole[1], scope, True))


def row_batches(reading: Reading, left: Side, right: Side, scope: Scope) -> Iterator[tuple[bool, pl.DataFrame]]:
    """Rows that are not committed, and those of the version that have their keys."""
    assert left.log is not None
    assert left.snapshot is not None
    assert right.rows is not None
    rows = to_frame(right.rows)
    scan = open_scan(left.log, left.snapshot, [piece.file for piece in reading.left_files])
    found = find_keys(scan, rows.select(scope.key).unique(), [n for n in scan.schema.names if n in scope.types])
    yield False, read_as(scope, found, came=False)
    for start in range(0, rows.height, BATCH_ROWS):
        yield True, read_as(scope, rows[start : start + BATCH_ROWS], came=True)


def _rows(side: Side, pieces: Sequence[Piece], scope: Scope, *, came: bool) -> Iterator[pl.DataFrame]:
    if side.log is not None and side.snapshot is not None and pieces:
        yield from piece_batches(pieces, side.log, side.snapshot, scope, came=came)


@dataclass
class _Rows:
    """One side's rewritten files: their rows in order, and those remembered by hash."""

    side: Side
    pieces: tuple[Piece, ...]
    scope: Scope
    came: bool
    hashes: list[Hashes] = field(default_factory=list)
    places: list[Positions] = field(default_factory=list)
    checksum: int = 0

    def batches(self) -> Iterator[pl.DataFrame]:
        """All of them."""
        return _rows(self.side, self.pieces, self.scope, came=self.came)

    def remember(self, rows: pl.DataFrame, places: Positions) -> None:
        """Rows that differ from those at their place on the other side."""
        deciding = rows.select(self.scope.deciding)
        self.hashes.append(deciding.hash_rows(_SEEDS[0]).to_numpy())
        self.places.append(places)
        self.checksum += self.sum_of(deciding)

    def sum_of(self, rows: pl.DataFrame) -> int:
        """The sum of the other hash over rows."""
        return int(rows.select(self.scope.deciding).hash_rows(_SEEDS[1]).to_numpy().sum(dtype=np.uint64))

    def at(self, places: Positions) -> Iterator[pl.DataFrame]:
        """The rows at places, ascending, in their order."""
        if not len(places):
            return iter(())
        assert self.side.log is not None
        assert self.side.snapshot is not None
        scan = open_scan(self.side.log, self.side.snapshot, [piece.file for piece in self.pieces])
        live = [file.rows - len(file.deleted()) for file in scan.files]
        ends = np.cumsum(live)
        chosen = []
        for file, end, rows in zip(scan.files, ends, live, strict=True):
            here = places[slice(*np.searchsorted(places, (end - rows, end)))] - (end - rows)
            alive = np.setdiff1d(np.arange(file.rows), file.deleted(), assume_unique=True) if rows < file.rows else None
            chosen.append(here if alive is None else alive[here])
        pieces = [Piece(piece.file, some) for piece, some in zip(self.pieces, chosen, strict=True) if len(some)]
        return _rows(self.side, pieces, self.scope, came=self.came)


def _rewritten(left: _Rows, right: _Rows) -> Iterator[tuple[bool, pl.DataFrame]]:
    """The rows of both sides, without those that cancel by their place or by their hash."""
    if not left.pieces or not right.pieces:
        for rows in (left, right):
            for frame in rows.batches():
                yield rows.came, frame
        return
    for start, one, other in _side_by_side(left.batches(), right.batches()):
        here, elsewhere = _differing(one, other, left.scope)
        for rows, stretch in ((left, one), (right, other)):
            if stretch is not None and len(here):
                yield rows.came, stretch[here]
            if stretch is not None and len(elsewhere):
                rows.remember(stretch if len(elsewhere) == stretch.height else stretch[elsewhere], start + elsewhere)
    yield from _unmatched(left, right)


def _side_by_side(
    left: Iterator[pl.DataFrame], right: Iterator[pl.DataFrame]
) -> Iterator[tuple[int, pl.DataFrame | None, pl.DataFrame | None]]:
    """Stretches of equal length, with the place of the first row; at the end what only one side has."""
    start = 0
    one: pl.DataFrame | None = next(left, None)
    other: pl.DataFrame | None = next(right, None)
    while one is not None and other is not None:
        rows = min(one.height, other.height)
        yield start, one[:rows], other[:rows]
        start += rows
        one = one[rows:] if rows < one.height else next(left, None)
        other = other[rows:] if rows < other.height else next(right, None)
    for rest in chain([] if one is None else [one], left):
        yield start, rest, None
        start += rest.height
    for rest in chain([] if other is None else [other], right):
        yield start, None, rest
        start += rest.height


def _differing(one: pl.DataFrame | None, other: pl.DataFrame | None, scope: Scope) -> tuple[Positions, Positions]:
    """Places in a stretch where the sides differ: those of rows that changed there, and those of rows to look for.

    Where a sample says that most rows are in another order, all are to be looked for.
    """
    nowhere = np.empty(0, np.int64)
    if one is None or other is None:
        return nowhere, np.arange(max(frame.height for frame in (one, other) if frame is not None))
    by, step = scope.key or scope.deciding, max(1, one.height // SAMPLE)
    samples = [frame.select(by).gather_every(step) for frame in (one, other)]
    if int(differs(samples[0], samples[1], by).sum()) > samples[0].height / 2:
        return nowhere, np.arange(one.height)
    places = np.flatnonzero(differs(one, other, scope.deciding).to_numpy())
    if len(places) <= one.height * MOSTLY:
        return places, nowhere
    if not scope.key:
        return nowhere, places
    moved = differs(one[places], other[places], scope.key).to_numpy()
    return places[~moved], places[moved]


def _unmatched(left: _Rows, right: _Rows) -> Iterator[tuple[bool, pl.DataFrame]]:
    """The rows remembered whose hash one side has more often; the others too where the checksums disagree."""
    hashes = [np.concatenate([np.empty(0, np.uint64), *rows.hashes]) for rows in (left, right)]
    odd = pl.Series(_odd(*hashes)).implode()
    alike = []
    balance = left.checksum - right.checksum
    for rows, own in zip((left, right), hashes, strict=True):
        kept = pl.Series(own | _SIDE).is_in(odd).to_numpy()
        places = np.concatenate([np.empty(0, np.int64), *rows.places])
        alike.append(places[~kept])
        for frame in rows.at(places[kept]):
            balance += (1 if rows.came else -1) * rows.sum_of(frame)
            yield rows.came, frame
    if balance % 2**64:
        for rows, places in zip((left, right), alike, strict=True):
            for frame in rows.at(places):
                yield rows.came, frame


def _odd(left: Hashes, right: Hashes) -> Hashes:
    """The hashes that one side has more often, each once; the last bit is given up to say whose a hash is."""
    every = np.concatenate([left & ~_SIDE, right | _SIDE])
    every.sort()
    if not len(every):
        return every
    starts = np.flatnonzero(np.concatenate([[True], (every[1:] ^ every[:-1]) > _SIDE]))
    theirs = np.add.reduceat((every & _SIDE).astype(np.int64), starts)
    lengths = np.diff(np.append(starts, len(every)))
    odd: Hashes = every[starts[lengths != 2 * theirs]] | _SIDE
    return odd
