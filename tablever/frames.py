"""The Polars door: a scan as a LazyFrame in row order, and rows found in it by key.

Deleted rows are masked by one boolean column laid beside the files, which keeps the order and streams; partition
columns are laid beside them in the same way. That rests on where rows lie: a file of another size than the log says is
refused when a scan is opened, and rows that are not as many as the log says are an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby

import numpy as np
import polars as pl
import pyarrow as pa

from tablever.arrow_types import holds_floats
from tablever.errors import CorruptionError, StorageError
from tablever.layout import nullable
from tablever.scan import Positions, Scan, ScanFile, missing_file

ROW = "__tv_row"
_KEEP = "__tv_keep"
BATCH_ROWS = 1 << 19  # fewer cost narrow reads time, more cost wide ones memory
SCATTERED = 0.01  # of a file's rows: fewer are looked for, more are what a mask leaves


def to_frame(rows: pa.Table) -> pl.DataFrame:
    """Arrow rows as a Polars frame, sharing memory where the types allow it."""
    plain = pa.Table.from_arrays(rows.columns, rows.column_names)  # metadata that is no text ends Polars with a panic
    frame = pl.from_arrow(plain)
    assert isinstance(frame, pl.DataFrame)
    return frame


def to_arrow(frame: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    """A frame's columns that a schema names, in its order and types; nothing is cast but sizes of offsets."""
    rows = frame.select(schema.names).to_arrow()
    return pa.Table.from_arrays(
        [_retyped(rows.column(field.name), field.type) for field in schema], schema=nullable(schema)
    )


def _retyped(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if column.type == kind:
        return column
    try:
        return column.cast(kind)
    except pa.ArrowInvalid:  # over 2 GiB of text in one chunk: 32-bit offsets need smaller ones
        halves = [part for chunk in column.chunks for part in (chunk[: len(chunk) // 2], chunk[len(chunk) // 2 :])]
        return pa.chunked_array([c for half in halves for c in _retyped(pa.chunked_array([half]), kind).chunks], kind)


def polars_types(schema: pa.Schema) -> dict[str, pl.DataType]:
    """The Polars type of each column."""
    return dict(to_frame(pa.Table.from_batches([], schema)).schema)  # empty_table() imports pandas


def lazy(scan: Scan, columns: Sequence[str] | None = None) -> pl.LazyFrame:
    """The live rows, in row order, with the table's columns or those named, in their order."""
    wanted = list(scan.schema.names if columns is None else columns)
    runs = [_run(scan, first, files, wanted) for first, files in _runs(scan)]
    if not runs:
        return _nothing(scan, wanted).lazy()
    return pl.concat(runs) if len(runs) > 1 else runs[0]


def _nothing(scan: Scan, columns: list[str]) -> pl.DataFrame:
    types = polars_types(scan.schema)
    return pl.DataFrame(schema={name: types[name] for name in columns})


def load(scan: Scan, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """The rows of ``lazy``, read. Errors as ``batches``."""
    wanted = list(scan.schema.names if columns is None else columns)
    return pl.concat([_nothing(scan, wanted), *batches(scan, wanted)])


def batches(scan: Scan, columns: Sequence[str], batch_size: int = BATCH_ROWS) -> Iterator[pl.DataFrame]:
    """The rows of ``lazy`` in turn, at most ``batch_size`` at a time; no batch is empty.

    Faster than to collect ``lazy``: what a caller does with a batch is done while the engine decodes what follows,
    and the rows that stay are copied once, in the cache's reach.

    Raises:
        CorruptionError: a file is damaged, or holds other rows than the log says.
        VersionVacuumedError: a file is gone.
        StorageError: a file cannot be read.
    """
    with _errors_of(scan):
        for first, files in _runs(scan):
            if files[0].plain:
                yield from _batches_of_run(scan, first, files, list(columns), batch_size)
            else:
                for index, file in enumerate(files, first):
                    yield from _batches_of_run(scan, index, [file], list(columns), batch_size)


def batches_at(
    scan: Scan, positions: Sequence[Positions | None], columns: Sequence[str], batch_size: int = BATCH_ROWS
) -> Iterator[pl.DataFrame]:
    """Some rows of a scan's files, in turn: those at each file's positions (ascending, live), or where None all live.

    Whole files come first. Errors as ``batches``.
    """
    whole = tuple(file for file, chosen in zip(scan.files, positions, strict=True) if chosen is None)
    yield from batches(replace(scan, files=whole), columns, batch_size)
    for file, chosen in zip(scan.files, positions, strict=True):
        if chosen is None or not len(chosen):
            continue
        one = replace(scan, files=(file,))
        if len(chosen) < file.rows * SCATTERED:
            yield numbered(one, columns, pl.col(ROW).is_in(pl.Series(chosen).implode())).drop(ROW)
        else:
            others = np.setdiff1d(np.arange(file.rows), chosen, assume_unique=True)
            with _errors_of(one):
                yield from _batches_of_run(one, 0, [file], list(columns), batch_size, without=others)


def _batches_of_run(
    scan: Scan,
    first: int,
    files: list[ScanFile],
    columns: list[str],
    batch_size: int,
    without: Positions | None = None,
) -> Iterator[pl.DataFrame]:
    """Rows of neighbours but the deleted ones, or those at other positions."""
    stored = [name for name in columns if name not in scan.partition_columns]
    values, deleted = _partition_values(scan, columns), _deleted(files) if without is None else without
    first_row, rows, read = int(scan.offsets[first]), sum(file.rows for file in files), 0
    decoded: Iterable[pl.DataFrame]
    if stored:
        frame = _stored(scan, files, stored)
        decoded = frame.collect_batches(chunk_size=batch_size, maintain_order=True, engine="streaming")
    else:
        decoded = (pl.DataFrame(height=min(batch_size, rows - start)) for start in range(0, rows, batch_size))
    for batch in decoded:
        start = first_row + read
        live = batch.with_columns(_spread(scan, values, start, batch.height))
        if _any_between(deleted, read, read + batch.height):
            live = live.filter(_keep(deleted, read, batch.height))
        read += batch.height
        if live.height:
            yield live.select(columns)
    if read != rows:
        raise CorruptionError(
            f"version {scan.snapshot.version} of '{scan.storage.name}' is damaged: its files hold {read} rows, "
            f"the log says {rows}",
            version=scan.snapshot.version,
        )


def _collect(frame: pl.LazyFrame, scan: Scan) -> pl.DataFrame:
    with _errors_of(scan):
        return frame.collect(engine="streaming")


@contextmanager
def _errors_of(scan: Scan) -> Iterator[None]:
    """Polars' complaints about a scan's files, as errors of ours that name the table, the version and the file."""
    name, version, storage = scan.storage.name, scan.snapshot.version, scan.storage
    try:
        yield
    except (pl.exceptions.ComputeError, pl.exceptions.ShapeError, pl.exceptions.SchemaError) as error:
        raise CorruptionError(
            f"version {version} of '{name}' is damaged: a data file is not what was committed: {storage.words(error)}",
            hint=f"restore the files from a copy; earlier versions may still read: tablever log {name}",
            version=version,
        ) from storage.cause(error)
    except pl.exceptions.PanicException as error:
        raise CorruptionError(f"version {version} of '{name}' is damaged: {error}", version=version) from error
    except OSError as error:
        for file in scan.files:
            if not file.exists():
                raise missing_file(name, version, file.file) from storage.cause(error)
        message = f"version {version} of '{name}' cannot be read: {storage.words(error)}"
        raise StorageError(message, version=version) from storage.cause(error)


def _runs(scan: Scan) -> Iterator[tuple[int, list[ScanFile]]]:
    """Neighbours that one Polars scan can read together, with the index of the first."""
    first = 0
    for _, group in groupby(scan.files, key=lambda file: file.plain):
        files = list(group)
        yield first, files
        first += len(files)


def _run(scan: Scan, first: int, files: list[ScanFile], columns: list[str]) -> pl.LazyFrame:
    stored = [name for name in columns if name not in scan.partition_columns]
    start, rows, deleted = int(scan.offsets[first]), sum(file.rows for file in files), _deleted(files)
    beside = _spread(scan, _partition_values(scan, columns), start, rows)
    if len(deleted):
        beside.append(_keep(deleted, 0, rows))
    parts = [_stored(scan, files, stored)] if stored else []
    if beside:
        parts.append(pl.DataFrame(beside).lazy())
    frame = pl.concat(parts, how="horizontal") if len(parts) > 1 else parts[0]
    return (frame.filter(pl.col(_KEEP)) if len(deleted) else frame).select(columns)


def _stored(scan: Scan, files: list[ScanFile], columns: list[str]) -> pl.LazyFrame:
    if not files[0].plain:
        return pl.concat([to_frame(file.read(columns)).lazy() for file in files])
    types = polars_types(scan.schema)
    return pl.scan_parquet(
        [file.location for file in files],
        schema={name: types[name] for name in columns},
        missing_columns="insert",
        extra_columns="ignore",
        hive_partitioning=False,
        glob=False,
        **files[0].storage.polars_options(),
        use_statistics=not (
            any(file.hides_nan for file in files) and any(holds_floats(scan.schema.field(n).type) for n in columns)
        ),
    )


def _partition_values(scan: Scan, columns: Sequence[str]) -> list[pl.Series]:
    """The partition columns among ``columns``, which no file holds: each file's value."""
    return [pl.Series(name, scan.partition_values(name)) for name in columns if name in scan.partition_columns]


def _spread(scan: Scan, values: list[pl.Series], start: int, count: int) -> list[pl.Series]:
    """Values of files, for so many physical rows from ``start`` on, numbered through the scan."""
    return _spread_at(scan, values, np.arange(start, start + count)) if values else []


def _spread_at(scan: Scan, values: list[pl.Series], rows: Positions) -> list[pl.Series]:
    files = np.searchsorted(scan.offsets, rows, side="right") - 1
    return [series.gather(files) for series in values]


def _deleted(files: list[ScanFile]) -> Positions:
    """The deleted rows of files, numbered through them, ascending."""
    starts = np.cumsum([0, *(file.rows for file in files)])
    return np.concatenate([start + file.deleted() for start, file in zip(starts[:-1], files, strict=True)])


def _any_between(deleted: Positions, start: int, end: int) -> bool:
    first, last = np.searchsorted(deleted, (start, end))
    return bool(first < last)


def _keep(deleted: Positions, start: int, rows: int) -> pl.Series:
    """For each of ``rows`` rows from ``start`` on, whether it is not deleted."""
    keep = np.ones(rows, np.bool_)
    keep[deleted[slice(*np.searchsorted(deleted, (start, start + rows)))] - start] = False
    return pl.Series(_KEEP, keep)


def split_rows(scan: Scan, rows: Positions) -> dict[int, Positions]:
    """Physical rows numbered through the scan, as positions within each file, ascending, by the file's index."""
    ordered = np.sort(rows)
    files = np.searchsorted(scan.offsets, ordered, side="right") - 1
    return {int(i): ordered[files == i] - scan.offsets[i] for i in np.unique(files)}


def live(scan: Scan, rows: Positions) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """For each physical row, numbered through the scan, whether no vector deletes it."""
    alive = np.ones(len(rows), np.bool_)
    if not scan.has_vectors or not len(rows):
        return alive
    files = np.searchsorted(scan.offsets, rows, side="right") - 1
    for i in np.unique(files):
        if scan.files[i].file.vector is not None:
            here = files == i
            alive[here] = ~np.isin(rows[here] - scan.offsets[i], scan.files[i].deleted(), assume_unique=False)
    return alive


def numbered(scan: Scan, columns: Sequence[str], keep: pl.Expr | None = None) -> pl.DataFrame:
    """Live rows for which ``keep`` holds, in row order, with ``__tv_row``: the physical row, numbered in the scan.

    ``keep`` may use stored columns and ``__tv_row``.
    """
    found = [_numbered_run(scan, first, files, list(columns), keep) for first, files in _runs(scan)]
    if not found:
        types = {n: t for n, t in polars_types(scan.schema).items() if n in columns}
        return pl.DataFrame(schema={**types, ROW: pl.Int64()}).select([*columns, ROW])
    frame = pl.concat(found)
    return frame.filter(pl.Series(live(scan, frame[ROW].to_numpy())))


def _numbered_run(
    scan: Scan, first: int, files: list[ScanFile], columns: list[str], keep: pl.Expr | None
) -> pl.DataFrame:
    start = int(scan.offsets[first])
    stored = [name for name in columns if name not in scan.partition_columns]
    if stored:
        frame = _stored(scan, files, stored).with_row_index(ROW, offset=start)
        found = _collect(frame if keep is None else frame.filter(keep), scan)
    else:
        found = pl.DataFrame({ROW: np.arange(start, start + sum(file.rows for file in files))})
        found = found if keep is None else found.filter(keep)
    found = found.with_columns(pl.col(ROW).cast(pl.Int64))
    beside = _spread_at(scan, _partition_values(scan, columns), found[ROW].to_numpy())
    return found.with_columns(beside).select([*columns, ROW])


def find_keys(scan: Scan, keys: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Live rows whose key is among ``keys`` (its columns are the key's; no duplicates), as ``numbered`` gives them.

    Key columns are matched by value; they hold no nulls.
    """
    stored = [name for name in keys.columns if name not in scan.partition_columns]
    keep = pl.all_horizontal([pl.col(name).is_in(keys[name].unique().implode()) for name in stored]) if stored else None
    wanted = [*dict.fromkeys([*keys.columns, *columns])]
    found = numbered(scan, wanted, keep)
    if len(keys.columns) > 1 or not stored:
        found = found.join(keys, on=keys.columns, how="semi", maintain_order="left")
    return found
