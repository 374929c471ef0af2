"""Time travel: any version's rows, as Arrow, as a Polars LazyFrame, or batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from tablever import engine, frames
from tablever.columns import unknown_column
from tablever.errors import CorruptionError, InvalidInputError, SchemaMismatchError
from tablever.layout import nullable, table_schema
from tablever.log import Log, TableLike, open_log
from tablever.model import Snapshot
from tablever.refs import Ref
from tablever.scan import Scan, open_scan

if TYPE_CHECKING:
    import polars as pl


def read_version(
    table: TableLike, ref: Ref = "latest", *, columns: Sequence[str] | None = None, where: str | None = None
) -> pa.Table:
    """All rows of one version.

    Args:
        columns: which columns, in this order; all by default.
        where: a DuckDB expression over the table's columns; rows for which it is true. Files and row groups whose
            statistics exclude it are not read.

    Returns:
        A table in the columns' order and types at that version, without view types. Rows come in the order in
        which they were added, the same at every read.

    Raises:
        TableNotFoundError, RefError, VersionNotFoundError, VersionVacuumedError: nothing to read there.
        SchemaMismatchError: a column that the version does not have.
        QueryError: ``where`` is no expression over the version's columns.
        UnsupportedFeatureError, CorruptionError, StorageError: the table cannot be read right.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}, {"id": 2, "stars": 3}], key="id")
        >>> read_version(table, 0, columns=["stars"], where="id = 2").to_pylist()
        [{'stars': 3}]
    """
    log = open_log(table)
    scan = _scan(log, ref)
    wanted = check_columns(log, scan.snapshot, columns)
    if where is not None:
        return engine.find_rows(scan, where, wanted)
    schema = nullable(pa.schema([scan.schema.field(name) for name in wanted]))
    # Batch by batch: texts become Arrow's on this thread while others decode what follows.
    parts = [frames.to_arrow(frame, schema) for frame in frames.batches(scan, wanted)]
    rows = pa.concat_tables(parts) if parts else schema.empty_table()
    if rows.num_rows != scan.live_rows:
        raise CorruptionError(
            f"version {scan.snapshot.version} of '{log.name}' has {scan.live_rows} rows, its files gave {rows.num_rows}"
        )
    return rows


def scan_version(table: TableLike, ref: Ref = "latest") -> pl.LazyFrame:
    """One version as a Polars LazyFrame, which streams: nothing is read until it is collected.

    The files are those of the version when it was called; later commits do not change it. Columns and rows come in
    the order of ``read_version``.

    Raises:
        TableNotFoundError, RefError, VersionNotFoundError, VersionVacuumedError, UnsupportedFeatureError,
        CorruptionError: as ``read_version``.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}, {"id": 2, "stars": 3}], key="id")
        >>> scan_version(table).select("stars").sum().collect().item()
        8
    """
    return frames.lazy(_scan(open_log(table), ref))


def iter_batches(
    table: TableLike,
    ref: Ref = "latest",
    *,
    batch_size: int = 65_536,
    columns: Sequence[str] | None = None,
    where: str | None = None,
) -> Iterator[pa.RecordBatch]:
    """One version's rows in batches of ``batch_size`` rows, in bounded memory.

    The last batch may be smaller, and one with over 2 GiB of text in a column comes in pieces.

    Arguments, order and errors are those of ``read_version``; the arguments are checked at the call, not at the
    first batch.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}, {"id": 2, "stars": 3}], key="id")
        >>> [batch.num_rows for batch in iter_batches(table, batch_size=1)]
        [1, 1]
    """
    check_batch_size("batch_size", batch_size)
    log = open_log(table)
    scan = _scan(log, ref)
    wanted = check_columns(log, scan.snapshot, columns)
    schema = nullable(pa.schema([scan.schema.field(name) for name in wanted]))
    if where is not None:
        return _exact_batches(engine.stream_rows(scan, where, wanted), batch_size)
    decoded = min(max(batch_size, engine.BATCH_ROWS), frames.BATCH_ROWS)  # small batches are cut, not decoded, small
    parts = frames.batches(scan, wanted, decoded)
    return _exact_batches((batch for part in parts for batch in frames.to_arrow(part, schema).to_batches()), batch_size)


def check_batch_size(name: str, size: int) -> None:
    """Refuse a number of rows that is no batch's, given as the argument of that name.

    Raises:
        InvalidInputError: it is no whole number, or below 1.
    """
    if type(size) is not int or size < 1:
        raise InvalidInputError(f"{name} must be a whole number of at least 1, not {size!r}")


def _exact_batches(batches: Iterable[pa.RecordBatch], batch_size: int) -> Iterator[pa.RecordBatch]:
    waiting: list[pa.RecordBatch] = []
    held = 0
    for batch in batches:
        waiting.append(batch)
        held += batch.num_rows
        while held >= batch_size:
            rows = pa.Table.from_batches(waiting)
            yield from _combined(rows.slice(0, batch_size))
            waiting = rows.slice(batch_size).to_batches()
            held -= batch_size
    if held:
        yield from _combined(pa.Table.from_batches(waiting))


def _combined(rows: pa.Table) -> list[pa.RecordBatch]:
    """One batch; more where a column has over 2 GiB of text, which one array cannot hold."""
    batches: list[pa.RecordBatch] = rows.combine_chunks().to_batches()
    return batches


def _scan(log: Log, ref: Ref) -> Scan:
    return open_scan(log, log.snapshot(log.resolve(ref)))


def check_columns(log: Log, snapshot: Snapshot, columns: Sequence[str] | None) -> list[str]:
    """The columns asked for, or all.

    Raises:
        SchemaMismatchError: a column is not in that version, is named twice, or none is named.
    """
    names = table_schema(snapshot.metadata).names
    if columns is None:
        return list(names)
    if isinstance(columns, str):
        raise InvalidInputError(f"columns must be a list of names, not the text {columns!r}", hint=f"[{columns!r}]")
    wanted = list(columns)
    for name in wanted:
        if name not in names:
            raise unknown_column(name, names, f"no column '{name}' in version {snapshot.version} of '{log.name}'")
    if len(set(wanted)) < len(wanted) or not wanted:
        raise SchemaMismatchError(f"columns must name each column once, and at least one: {wanted}")
    return wanted
