"""Rows that are more than memory should hold: scattered over files by a hash, so that equal ones meet in one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import polars as pl
import pyarrow as pa

from tablever.errors import StorageError
from tablever.frames import to_frame

PARTITIONS = 64
_SEED = 0x5CA77E
_PLACE = "__tv_partition"


@contextmanager
def _temporary(folder: str | Path) -> Iterator[None]:
    """What the system refuses of temporary files, as an error of ours; also that they are not there."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise StorageError(
            f"the rows that changed are too many for memory, and cannot be held in '{folder}': {reason}",
            hint="free some space there, or name another folder in the environment as TMPDIR",
            reason=reason,
            errno=error.errno,
        ) from error


class Scattered:
    """Rows that went and came, in a temporary folder, by partitions; rows alike in some columns are in the same one.

    Without such columns there is one partition. Every method raises StorageError where the folder cannot be used.
    """

    def __init__(self, layout: Mapping[str, pl.DataType], by: Sequence[str]) -> None:
        with _temporary("a temporary folder"):
            self.folder = Path(tempfile.mkdtemp(prefix="tablever-diff-"))
        self._by = list(by)
        self._schema = _arrow(pl.DataFrame(schema=dict(layout))).schema
        self._open = ExitStack()
        self._writers: dict[tuple[int, bool], pa.ipc.RecordBatchStreamWriter] = {}

    def add(self, came: bool, frame: pl.DataFrame) -> None:
        """Scatter some rows."""
        if not frame.height:
            return
        with _temporary(self.folder):
            for number, part in self._parts(frame):
                self._writer(number, came).write_table(_arrow(part))

    def _parts(self, frame: pl.DataFrame) -> Iterator[tuple[int, pl.DataFrame]]:
        if not self._by:
            yield 0, frame
            return
        places = frame.select(self._by).hash_rows(_SEED) % PARTITIONS
        parts = frame.with_columns(places.alias(_PLACE)).partition_by(_PLACE, as_dict=True, include_key=False)
        for (number,), part in parts.items():
            yield int(number), part

    def _writer(self, number: int, came: bool) -> pa.ipc.RecordBatchStreamWriter:
        if (number, came) not in self._writers:
            sink = self._open.enter_context(pa.OSFile(str(self._path(number, came)), "wb"))
            self._writers[number, came] = self._open.enter_context(pa.ipc.new_stream(sink, self._schema))
        return self._writers[number, came]

    def _path(self, number: int, came: bool) -> Path:
        return self.folder / f"{number}-{'came' if came else 'went'}.arrows"

    def partitions(self) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
        """The rows that went and came of each partition; each is gone from the disk when it is read."""
        with _temporary(self.folder):
            self._open.close()
        for number in range(PARTITIONS):
            if (number, False) in self._writers or (number, True) in self._writers:
                yield self._read(number, False), self._read(number, True)

    def _read(self, number: int, came: bool) -> pl.DataFrame:
        if (number, came) not in self._writers:
            return to_frame(self._schema.empty_table())
        path = self._path(number, came)
        with _temporary(self.folder):
            with pa.OSFile(str(path)) as source, pa.ipc.open_stream(source) as reader:
                frame = to_frame(reader.read_all())
            path.unlink()
        return frame


class Gathered:
    """A table written piece by piece, and mapped into memory in the end: the system may drop its pages.

    Every method raises StorageError where its folder cannot be used.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path, self._schema = path, schema
        self._open = ExitStack()
        with _temporary(path.parent):
            sink = self._open.enter_context(pa.OSFile(str(path), "wb"))
            self._writer = self._open.enter_context(pa.ipc.new_file(sink, schema))

    def add(self, rows: pa.Table) -> None:
        """Rows in the table's columns, at its end."""
        with _temporary(self._path.parent):
            self._writer.write_table(rows, max_chunksize=1 << 17)

    def table(self) -> pa.Table:
        """All of them."""
        with _temporary(self._path.parent):
            self._open.close()
            return pa.ipc.open_file(pa.memory_map(str(self._path))).read_all()


def remove_folder(folder: Path) -> None:
    """Take away what a diff spilled."""
    shutil.rmtree(folder, ignore_errors=True)


def _arrow(frame: pl.DataFrame) -> pa.Table:
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())  # views would drag whole buffers along
