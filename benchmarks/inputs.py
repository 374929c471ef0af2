"""What every contender is fed: Parquet files, each made once a run, named by what is in them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import chain
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import data
from benchmarks.sizes import EACH, Size

CHUNK = 10_000_000  # rows


def write(folder: Path, names: Collection[str], size: Size) -> None:
    """Make the files that are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in sorted(names):
        path = folder / f"{name}.parquet"
        if path.exists():
            continue
        part = path.with_suffix(".part")
        if name == "base" and size.rows > CHUNK:
            _write_large(part, size)
        else:
            frame = pl.from_arrow(rows_of(name, size))
            assert isinstance(frame, pl.DataFrame)
            frame.write_parquet(part)
        part.rename(path)


def _write_large(path: Path, size: Size) -> None:
    """The base in pieces, for tables that are larger than memory likes."""
    pieces = (data.reviews(min(CHUNK, size.rows - start), start=start) for start in range(0, size.rows, CHUNK))
    first = next(pieces)
    with pq.ParquetWriter(path, first.schema, compression="zstd") as writer:
        for piece in chain([first], pieces):
            writer.write_table(piece)


def rows_of(name: str, size: Size) -> pa.Table:
    """The rows of the file of that name; numbers in a name stand behind hyphens.

    ``base``: the table's first version. ``more-N``: as many again. ``scattered-N-SEED`` and ``clustered-N``: N of them
    corrected. ``after-N-SEED`` and ``shuffled-N-SEED``: all of them, those N corrected, in the old order or another.
    ``keys-N``: N of their keys. ``lots-N-TIMES``: so many lots of N corrected. ``new-N``: N that are not among them.
    ``filler-M-N``: rows of the small appends M to N. ``early``, ``early-N-TIMES``: the first rows, and lots of
    corrections of them.
    """
    kind, *numbers = name.split("-")
    return KINDS[kind](size, *map(int, numbers))


def _early(size: Size, count: int = 0, times: int = 0) -> pa.Table:
    if not count:
        return data.reviews(size.history_rows)
    return data.corrections(size.history_rows, count, times=times)


def _after(size: Size, count: int, seed: int) -> pa.Table:
    return data.with_corrections(data.reviews(size.rows), data.corrected(size.rows, count, seed=seed))


KINDS: dict[str, Callable[..., pa.Table]] = {
    "base": lambda size: data.reviews(size.rows),
    "more": lambda size, n: data.reviews(size.rows, start=n * size.rows),
    "scattered": lambda size, count, seed: data.corrected(size.rows, count, seed=seed),
    "clustered": lambda size, count: data.clustered(size.rows, count),
    "after": _after,
    "shuffled": lambda size, count, seed: data.shuffled(_after(size, count, seed)),
    "keys": lambda size, count: data.scattered(size.rows, count).to_frame().to_arrow(),
    "lots": lambda size, count, times: data.corrections(size.rows, count, times=times),
    "new": lambda size, count: data.reviews(count, start=100 * size.rows),
    "filler": lambda size, first, last: data.reviews((last - first) * EACH, start=50 * size.rows + first * EACH),
    "early": _early,
}
