"""Rows into Parquet: data files and files of change rows, with statistics, checksums and the log's description of them.

Every page carries a checksum, every file a page index and, in its ``add`` action, the SHA-256 of its bytes. Names grow
with time, so that within one commit the order of paths is the order in which rows were written.
"""

from __future__ import annotations

import _thread
import itertools
import os
import threading
import time
import uuid
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from urllib.parse import quote

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tablever.arrow_types import holds_floats
from tablever.delta import partitions, stats
from tablever.delta.actions import decode_path
from tablever.file_digests import DIGEST_TAG, digest_in_file
from tablever.layout import fingerprint, nullable
from tablever.model import ChangeFile, DataFile, Metadata
from tablever.scan import SCHEMA_TAG
from tablever.storage import BUFFER_BYTES, NewObject, Storage

SHA256_TAG = "tablever.sha256"
CHANGE_TYPE = "_change_type"
FILE_BYTES = 256 * 1024 * 1024
ROW_GROUP_ROWS = 131_072
PAGE_BYTES = 32 * 1024  # scattered rows are fetched page by page: at 1 MB, 1,000 of 5 million cost half as much again
COMPRESSION_LEVEL = 3  # zstd's own; Arrow's is 1, whose files are 7 % larger
DICTIONARY_SAMPLE = 10_000
# What may stand in the path of a relative URI; a colon may not, in its first part.
URI_CHARACTERS = frozenset("/=-._~!$&'()+,;@")
UNCOMMITTED = -1
_ROW = "__tv_index"


@dataclass
class Staging:
    """Objects written for a commit that has not happened yet; what no log entry names in the end is removed.

    One object at a time is synced beside what is done next, which mostly is to hash its rows.
    """

    storage: Storage
    paths: list[str] = field(default_factory=list)
    written: dict[Hashable, tuple[DataFile, ...]] = field(default_factory=dict)
    reusable: set[str] = field(default_factory=set)
    _closing: _Aside | None = None

    @contextmanager
    def create(self, path: str) -> Iterator[NewObject]:
        """Open a new object of this commit; it is whole and durable once ``settle`` has returned after the block."""
        self.settle()
        self.paths.append(path)
        with ExitStack() as stack:
            file = stack.enter_context(self.storage.create(path))
            yield file
            self._closing = _Aside(stack.pop_all().close)

    def settle(self) -> None:
        """Wait for the object that is being closed. Raises StorageError where that failed: then it is not there."""
        closing = self._closing
        if closing is not None:
            closing.wait()
            self._closing = None
            if closing.error is not None:
                raise closing.error

    def gone(self, names: Iterable[str]) -> str | None:
        """The first of the objects of these names that was written, and is there no more; None where all are."""
        self.settle()
        ours = sorted(set(self.paths).intersection(names))
        return next((name for name, size in zip(ours, self.storage.sizes(ours), strict=True) if size is None), None)

    def reuse(self, names: Iterable[str]) -> None:
        """Keep objects after a lost race: the next try may use them again."""
        self.reusable.update(names)

    def rows_written(self) -> frozenset[str]:
        """The objects that ``write_rows`` uses again."""
        return frozenset(name for files in self.written.values() for name in names_of(self.storage, files))

    def discard_but_reusable(self) -> None:
        """After a lost race: remove what the next try writes anew."""
        self.discard(frozenset(self.reusable))

    def discard(self, keep: frozenset[str] = frozenset()) -> None:
        """Remove every object but those named."""
        try:
            self.settle()
        finally:
            self.storage.remove_many([path for path in self.paths if path not in keep])
            self.paths = [path for path in self.paths if path in keep]

    def holds(self, names: Iterable[str]) -> bool:
        """Whether all of these are objects of this commit, and were not discarded."""
        return set(names) <= set(self.paths)


class _Aside:
    """Something that is being done in a thread of its own, from the start; here and now where none can be started.

    A bare thread and a bare lock: the locks of a pool, a future or an event may stay held where an interrupt strikes.

    Attributes:
        error: what it raised, once it has been waited for.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        self.error: BaseException | None = None
        self._work, self._ended, self._running = work, False, _thread.allocate_lock()
        self._running.acquire()
        try:
            _thread.start_new_thread(self._run, ())
        except RuntimeError:  # too many, or the interpreter is ending
            self._run()

    def wait(self) -> None:
        """Until it has been done; who is interrupted may wait again."""
        if not self._ended:
            self._running.acquire()

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - who waits for it raises it
            self.error = error
        self._ended = True
        self._running.release()


_stamps = itertools.count()
_newest = 0
_lock = threading.Lock()
if hasattr(os, "register_at_fork"):  # else a child may find it taken by a thread that it does not have
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def _name() -> str:
    """Grows from call to call in a process, also where the clock goes back, and with the clock across processes."""
    global _newest  # noqa: PLW0603 - the clock is the process's, and so is what it said last
    with _lock:
        _newest = max(_newest + 1, time.time_ns())
        return f"{_newest:016x}{next(_stamps):06x}-{uuid.uuid4().hex[:12]}"


def encode_path(path: str) -> str:
    """A relative path as the log has it: percent-encoded (Delta protocol: a URI as in RFC 2396).

    No more is encoded than a URI must: Polars 2.1 finds no vector of a file whose path is.
    """
    return "".join(c if (c.isascii() and c.isalnum()) or c in URI_CHARACTERS else quote(c) for c in path)


def write_rows(
    staging: Staging, metadata: Metadata, rows: pa.Table, *, origin: Hashable = None, file_bytes: int = FILE_BYTES
) -> tuple[DataFile, ...]:
    """Write rows (the table's columns, canonical types) as data files of up to about 256 MB, one or more a partition.

    The files' ``modification_time`` is left open: the commit sets it to its own time. ``origin`` names what the rows
    are made of, so that a commit that is planned again uses the files of its first try.
    """
    if origin is None:
        return tuple(_data_files(staging, metadata, rows, file_bytes))
    again = (origin, metadata.schema_string, metadata.partition_columns)
    if again not in staging.written or not staging.holds(names_of(staging.storage, staging.written[again])):
        staging.written[again] = tuple(_data_files(staging, metadata, rows, file_bytes))
        staging.reuse(names_of(staging.storage, staging.written[again]))
    return staging.written[again]


def names_of(storage: Storage, files: Iterable[DataFile]) -> list[str]:
    """Where data files that were written lie, relative to the table."""
    return [decode_path(file.path, root=storage.uri) for file in files]


def write_in_place_of(
    staging: Staging, metadata: Metadata, rows: pa.Table, first: DataFile, path: str
) -> tuple[DataFile, ...]:
    """Write the rows of neighbours in one partition as files that sort where the ``first`` of them did.

    ``path`` is how their paths begin, as the log has it: what sorts there.
    """
    stored = rows.drop_columns(list(metadata.partition_columns))
    paths = (f"{path}{n:04x}{uuid.uuid4().hex[:8]}.zstd.parquet" for n in itertools.count())
    place = DataFile(path, 0, first.modification_time, first.partition_values)
    return tuple(_part_files(staging, metadata, paths, stored, place))


def _data_files(staging: Staging, metadata: Metadata, rows: pa.Table, file_bytes: int) -> Iterator[DataFile]:
    written = 0
    for values, part in _by_partition(metadata, rows):
        written += part.num_rows
        paths = _fresh(partitions.folder(values) + "part-")
        yield from _part_files(staging, metadata, paths, part, DataFile("", 0, UNCOMMITTED, values), file_bytes)
    _check_written(rows, written)


def _part_files(
    staging: Staging,
    metadata: Metadata,
    paths: Iterator[str],
    rows: pa.Table,
    place: DataFile,
    file_bytes: int = FILE_BYTES,
) -> Iterator[DataFile]:
    """Write a partition's rows, without its columns; ``place`` has the files' time and partition values."""
    tag = fingerprint(metadata)
    written = 0
    for path, file, held in _write_files(staging, paths, rows, file_bytes):
        written += held.num_rows
        yield DataFile(
            path=path,
            size=file.size,
            modification_time=place.modification_time,
            partition_values=place.partition_values,
            stats=stats.gather(held),
            tags={
                SHA256_TAG: file.sha256,
                SCHEMA_TAG: tag,
                DIGEST_TAG: digest_in_file(metadata, held, place.partition_values).hex,
            },
        )
    _check_written(rows, written)


def _check_written(rows: pa.Table, written: int) -> None:
    if written != rows.num_rows:
        raise AssertionError(f"{rows.num_rows} rows were to be written, {written} were")


def _fresh(prefix: str) -> Iterator[str]:
    """Paths that nobody has used, each after those before it, as the log has them."""
    while True:
        yield encode_path(f"{prefix}{_name()}.zstd.parquet")


def write_changes(staging: Staging, metadata: Metadata, rows: pa.Table) -> tuple[ChangeFile, ...]:
    """Write change rows (the table's columns and ``_change_type``); images in different partitions lie apart."""
    written = []
    for values, part in _by_partition(metadata, rows):
        for path, file, _ in _write_files(staging, _fresh("_change_data/" + partitions.folder(values) + "cdc-"), part):
            written.append(ChangeFile(path, file.size, values, {SHA256_TAG: file.sha256}))
    return tuple(written)


def _by_partition(metadata: Metadata, rows: pa.Table) -> Iterator[tuple[Mapping[str, str | None], pa.Table]]:
    """The rows of each partition, in the order in which partitions first come, without the partition columns."""
    columns = list(metadata.partition_columns)
    if not columns:
        if rows.num_rows:
            yield {}, rows
        return
    texts = {name: partitions.render(rows.column(name).combine_chunks(), name) for name in columns}
    frame = pl.DataFrame(texts, schema=dict.fromkeys(columns, pl.String)).with_row_index(_ROW)
    stored = rows.drop_columns(columns)
    for group in frame.partition_by(columns, maintain_order=True):
        values = {name: group[name][0] for name in columns}
        yield values, stored.take(group[_ROW].to_arrow())


def _write_files(
    staging: Staging, paths: Iterator[str], rows: pa.Table, file_bytes: int = FILE_BYTES
) -> Iterator[tuple[str, NewObject, pa.Table]]:
    """Write rows to as many files as they need; yields each file's path in the log, the closed file, its rows."""
    rows = pa.Table.from_arrays(rows.columns, schema=nullable(rows.schema))
    dictionaries, measured = _repetitive(rows), _measured(rows)
    start = 0
    while start < rows.num_rows:
        path = next(paths)
        end = start
        with staging.create(decode_path(path, root=staging.storage.uri)) as file, _buffered(file) as sink:
            writer = pq.ParquetWriter(
                sink,
                rows.schema,
                compression="zstd",
                compression_level=COMPRESSION_LEVEL,
                use_dictionary=dictionaries,
                write_statistics=measured,
                data_page_size=PAGE_BYTES,
                write_page_index=True,
                write_page_checksum=True,
                store_schema=False,
            )
            with writer:
                while end < rows.num_rows and file.size < file_bytes:
                    group = rows.slice(end, ROW_GROUP_ROWS)
                    writer.write_table(group, row_group_size=ROW_GROUP_ROWS)
                    end += group.num_rows
        yield path, file, rows.slice(start, end - start)
        start = end


def _buffered(file: NewObject) -> pa.NativeFile:
    """The file for Arrow to write to; Parquet writes a small one in some fifty pieces, and Python sees one."""
    return pa.BufferedOutputStream(pa.PythonFile(file, "w"), BUFFER_BYTES)


def _measured(rows: pa.Table) -> list[str]:
    """The columns that get Parquet statistics: all but those in which NaN would hide outside the bounds."""
    return [field.name for field in rows.schema if not _may_hold_nan(rows.column(field.name))]


def _may_hold_nan(column: pa.ChunkedArray) -> bool:
    if not holds_floats(column.type):
        return False
    return pa.types.is_nested(column.type) or bool(pc.any(pc.is_nan(column)).as_py())


def _repetitive(rows: pa.Table) -> list[str]:
    """The columns worth a dictionary: text that repeats itself, and in files that are not small whole numbers too."""
    sample = rows.slice(0, DICTIONARY_SAMPLE)
    large = rows.num_rows >= DICTIONARY_SAMPLE
    asked = [
        field.name
        for field in rows.schema
        if pa.types.is_string(field.type)
        or pa.types.is_binary(field.type)
        or (large and pa.types.is_integer(field.type))
    ]
    return [name for name in asked if 10 * pc.count_distinct(sample.column(name), "all").as_py() <= sample.num_rows]
