"""What must be read to have a version's rows: files, where they lie, which of their rows live, and how to decode them.

A file is *plain* when an engine reads it right by itself, by top-level column name. The rest (column mapping, INT96
timestamps, widened or evolved types, paths that look like globs) is decoded apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tablever.columns import refuse_taken
from tablever.decode import decode_file
from tablever.delta import partitions, vectors
from tablever.delta.actions import decode_path
from tablever.errors import CorruptionError, UnsupportedFeatureError, VersionVacuumedError
from tablever.layout import fingerprint, is_plain, mapping_mode, physical_name, table_schema
from tablever.log import Log
from tablever.model import ChangeFile, DataFile, DeletionVector, Metadata, Snapshot
from tablever.schema import extend_delta
from tablever.storage import Storage

GLOB_CHARACTERS = frozenset("*?[]{}")
SCHEMA_TAG = "tablever.schema"
MOST_ROWS = 2**31 - 1
_BELIEVED = range(1 << 24)  # counts of rows that need no look at the file: what is laid beside them is small
BELIEVED_DELETED = range(1 << 17)  # and of files with deleted rows, for which bits and positions are laid out

Positions = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class ScanFile:
    """One file of a scan.

    Attributes:
        path: where it lies, relative to the table, decoded.
        rows: rows in the Parquet file, deleted ones included.
        plain: whether Polars and DuckDB read it right by themselves.
    """

    storage: Storage
    metadata: Metadata
    file: DataFile
    path: str
    rows: int
    plain: bool

    @property
    def location(self) -> str:
        """What names it for people, and for Polars."""
        return self.storage.location(self.path)

    @property
    def duckdb_location(self) -> str:
        """What names it for DuckDB."""
        return self.storage.duckdb_location(self.path)

    def exists(self) -> bool:
        """Whether it is still there."""
        return self.storage.exists(self.path)

    @property
    def hides_nan(self) -> bool:
        """Whether the Parquet statistics of float columns may leave NaN out.

        Ours have none for a column that holds NaN; others' bounds look as if it were not there, and an engine that
        trusts them drops rows for which ``NaN > x`` is true.
        """
        return SCHEMA_TAG not in (self.file.tags or {})

    def deleted(self) -> Positions:
        """Positions of the deleted rows, ascending; empty where there is no vector."""
        if self.file.vector is None:
            return np.empty(0, np.int64)
        return deleted_positions(self.storage, self.file.vector, self.rows)

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All physical rows, deleted ones included, in the table's columns (or those named) and types."""
        wanted = table_schema(self.metadata).names if columns is None else columns
        return decode_file(self.storage, self.path, self.metadata, self.file.partition_values, wanted)


@dataclass(frozen=True)
class Scan:
    """A version's rows, not read yet: files in row order."""

    storage: Storage
    snapshot: Snapshot
    files: tuple[ScanFile, ...]

    @cached_property
    def schema(self) -> pa.Schema:
        """The table's columns, in their order and canonical Arrow types."""
        return table_schema(self.snapshot.metadata)

    @property
    def partition_columns(self) -> tuple[str, ...]:
        """The columns that no file holds."""
        return self.snapshot.metadata.partition_columns

    @cached_property
    def offsets(self) -> Positions:
        """Where each file begins when physical rows are numbered through the scan; one more entry for the end."""
        return np.concatenate([[0], np.cumsum([file.rows for file in self.files], dtype=np.int64)]).astype(np.int64)

    def partition_values(self, column: str) -> pa.Array:
        """A partition column's value in each file, typed, in the order of the files."""
        name = physical_name(self.snapshot.metadata, column)
        texts = [file.file.partition_values.get(name) for file in self.files]
        return partitions.parse(texts, self.schema.field(column).type)

    @cached_property
    def has_vectors(self) -> bool:
        """Whether any file has deleted rows."""
        return any(file.file.vector is not None for file in self.files)

    @property
    def live_rows(self) -> int:
        """Rows of the scan without the deleted ones."""
        return sum(file.rows - (file.file.vector.cardinality if file.file.vector else 0) for file in self.files)


def open_scan(log: Log, snapshot: Snapshot, files: Sequence[DataFile] | None = None) -> Scan:
    """Prepare to read a snapshot, or some of its files, in row order.

    Raises:
        VersionVacuumedError: a file is gone; ``older`` and ``newer`` are the nearest versions to be read instead.
        UnsupportedFeatureError: a file lies outside the table's folder.
        CorruptionError: a file has another size than the log says, or a footer cannot be read.
    """
    chosen = snapshot.files if files is None else files
    _check_vectors(log, snapshot, chosen)
    root, allowed = log.storage.uri, log.storage.allowed
    paths = [decode_path(file.path, root=root, allowed=allowed) for file in chosen]
    _check_sizes(log, snapshot, chosen, paths)
    return Scan(
        log.storage, snapshot, tuple(_scan_file(log, snapshot, *each) for each in zip(chosen, paths, strict=True))
    )


def _check_vectors(log: Log, snapshot: Snapshot, files: Sequence[DataFile]) -> None:
    """A vector that is gone must not be found out half-way through a read."""
    stored = [file.vector for file in files if file.vector is not None and file.vector.storage_type != "i"]
    root, allowed = log.storage.uri, log.storage.allowed
    paths = sorted({vectors.vector_path(vector, root=root, allowed=allowed) for vector in stored})
    for path, size in zip(paths, log.storage.sizes(paths), strict=True):
        if size is None:
            raise log.lost(snapshot.version, path)


def change_scan(log: Log, snapshot: Snapshot, files: Sequence[ChangeFile], change_type: str) -> Scan:
    """Prepare to read files of change rows: the table's columns, and the one that says what each row is.

    Raises SchemaMismatchError where the table has that one, too.
    """
    columns = table_schema(snapshot.metadata)
    refuse_taken(columns.names, [change_type], f"the change feed of '{log.name}'")
    columns = columns.append(pa.field(change_type, pa.string()))
    schema_string = extend_delta(snapshot.metadata.schema_string, columns)
    widened = replace(snapshot, metadata=replace(snapshot.metadata, schema_string=schema_string))
    return open_scan(log, widened, [DataFile(f.path, f.size, 0, f.partition_values) for f in files])


def _scan_file(log: Log, snapshot: Snapshot, file: DataFile, path: str) -> ScanFile:
    globs = not GLOB_CHARACTERS.isdisjoint(log.storage.location(path))
    ours = (file.tags or {}).get(SCHEMA_TAG)
    unmapped = mapping_mode(snapshot.metadata) == "none"  # another tool may map our columns: to others of their names
    rows = file.physical_rows
    told = unmapped and ours is not None and ours == fingerprint(snapshot.metadata)
    believed = _BELIEVED if file.vector is None else BELIEVED_DELETED
    if told and rows is not None and rows in believed:
        return ScanFile(log.storage, snapshot.metadata, file, path, rows, not globs)
    try:
        footer = read_footer(log.storage, path, file.size)
    except FileNotFoundError as error:  # a vacuum was between the two looks
        raise log.lost(snapshot.version, file.path) from error
    if not 0 <= footer.num_rows <= MOST_ROWS:
        raise UnsupportedFeatureError(
            f"'{file.path}' says that it has {footer.num_rows} rows; up to {MOST_ROWS} are read from one file",
            feature="rows of a file",
            file=file.path,
        )
    plain = not globs and is_plain(footer, snapshot.metadata)
    return ScanFile(log.storage, snapshot.metadata, file, path, footer.num_rows, plain)


def _check_sizes(log: Log, snapshot: Snapshot, files: Sequence[DataFile], paths: Sequence[str]) -> None:
    """A file of another size is another file: its rows would not lie where vectors and partitions expect them."""
    for file, size in zip(files, log.storage.sizes(paths), strict=True):
        if size is None:
            raise log.lost(snapshot.version, file.path)
        if size != file.size:
            raise CorruptionError(
                f"version {snapshot.version} of '{log.name}' is damaged: its file '{file.path}' has {size} bytes, "
                f"the log says {file.size}",
                hint="restore the file from a copy",
                version=snapshot.version,
                file=file.path,
            )


def missing_file(table: str, version: int, file: DataFile) -> VersionVacuumedError:
    """The error for a version whose data file went while it was read."""
    return VersionVacuumedError(
        f"version {version} of '{table}' cannot be read: its file '{file.path}' is gone",
        hint=f"another tool may have vacuumed the table; try a later version: tablever log {table}",
        version=version,
        file=file.path,
    )


def deleted_positions(storage: Storage, vector: DeletionVector, rows: int) -> Positions:
    """The positions that a vector deletes, ascending.

    Raises:
        VersionVacuumedError: the vector's file is gone.
        CorruptionError: the vector is damaged, or deletes rows past the file's end.
    """
    if not 0 <= vector.cardinality <= rows:
        raise _misfit(vector, f"the log says that it deletes {vector.cardinality} of {rows} rows")
    try:
        bitmap = vectors.load_once(storage, vector)
    except FileNotFoundError as error:
        table = storage.name
        raise VersionVacuumedError(
            f"a version of '{table}' cannot be read: the file of its deletion vector '{vector.path_or_inline}' is gone",
            hint=f"another tool may have vacuumed the table; try a later version: tablever log {table}",
            vector=vector.path_or_inline,
        ) from error
    if len(bitmap) and bitmap.max() >= rows:
        raise _misfit(vector, f"it deletes position {bitmap.max()} of {rows} rows")
    return np.frombuffer(bitmap.to_array(), np.int64) if len(bitmap) else np.empty(0, np.int64)


def _misfit(vector: DeletionVector, what: str) -> CorruptionError:
    name = vector.path_or_inline[:60]
    return CorruptionError(f"deletion vector '{name}' does not fit its file: {what}", vector=vector.path_or_inline)


def only_in(storage: Storage, file: DataFile, other: DataFile | None, rows: int) -> Positions | None:
    """The rows that live in one logical file and not in another over the same physical file of so many rows.

    Returns:
        Their positions, ascending; None for all that live, where there is no other.

    Raises:
        VersionVacuumedError, CorruptionError: as ``deleted_positions``.
    """
    if other is None:
        return None
    if other.vector is None:
        return np.empty(0, np.int64)
    theirs = deleted_positions(storage, other.vector, rows)
    if file.vector is None:
        return theirs
    return np.setdiff1d(theirs, deleted_positions(storage, file.vector, rows), assume_unique=True)


@lru_cache(maxsize=8192)
def read_footer(storage: Storage, path: str, size: int) -> pq.FileMetaData:
    """A Parquet file's footer; the size is part of the cache's key, since a path may be used again by others."""
    try:
        return pq.read_metadata(storage.arrow_source(path, size))
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # a column's name may be no text
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's; Arrow's own words for a damaged footer are an OSError without a number
        location = storage.location(path)
        raise CorruptionError(f"'{location}' is not a readable Parquet file: {error}", file=location) from error
