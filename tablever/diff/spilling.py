"""Rows that are more than memory should hold: scattered over files by a hash, so that equal ones meet in one."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import polars as pl
import pyarrow as pa

from tablever.frames import to_frame
from tablever.storage import storage_errors

PARTITIONS = 64
_SEED = 0x5CA77E
_PLACE = "__tv_partition"


class Scattered:
    """Rows that went and came, in a temporary folder, by partitions; rows alike in some columns are in the same one."""

    def __init__(self, layout: Mapping[str, pl.DataType], by: Sequence[str]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tablever-diff-"))
        self._by = list(by)
        self._schema = _arrow(pl.DataFrame(schema=dict(layout))).schema
        self._open = ExitStack()
        self._writers: dict[tuple[int, bool], pa.ipc.RecordBatchStreamWriter] = {}

    def add(self, came: bool, frame: pl.DataFrame) -> None:
        """Scatter some rows."""
        if not frame.height:
            return
        places = frame.select(self._by).hash_rows(_SEED) % PARTITIONS
        parts = frame.with_columns(places.alias(_PLACE)).partition_by(_PLACE, as_dict=True, include_key=False)
        with storage_errors(f"write to '{self.folder}'"):
            for (number,), part in parts.items():
                self._writer(int(number), came).write_table(_arrow(part))

    def _writer(self, number: int, came: bool) -> pa.ipc.RecordBatchStreamWriter:
        if (number, came) not in self._writers:
            sink = self._open.enter_context(pa.OSFile(str(self._path(number, came)), "wb"))
            self._writers[number, came] = self._open.enter_context(pa.ipc.new_stream(sink, self._schema))
        return self._writers[number, came]

    def _path(self, number: int, came: bool) -> Path:
        return self.folder / f"{number}-{'came' if came else 'went'}.arrows"

    def partitions(self) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
        """The rows that went and came of each partition; each is gone from the disk when it is read."""
        with storage_errors(f"write to '{self.folder}'"):
            self._open.close()
        for number in range(PARTITIONS):
            if (number, False) in self._writers or (number, True) in self._writers:
                yield self._read(number, False), self._read(number, True)

    def _read(self, number: int, came: bool) -> pl.DataFrame:
        if (number, came) not in self._writers:
            return to_frame(self._schema.empty_table())
        path = self._path(number, came)
        with pa.OSFile(str(path)) as source, pa.ipc.open_stream(source) as reader:
            frame = to_frame(reader.read_all())
        path.unlink()
        return frame


class Gathered:
    """A table written piece by piece, and mapped into memory in the end: the system may drop its pages."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path, self._schema = path, schema
        self._open = ExitStack()
        sink = self._open.enter_context(pa.OSFile(str(path), "wb"))
        self._writer = self._open.enter_context(pa.ipc.new_file(sink, schema))

    def add(self, rows: pa.Table) -> None:
        """Rows in the table's columns, at its end."""
        with storage_errors(f"write to '{self._path}'"):
            self._writer.write_table(rows, max_chunksize=1 << 17)

    def table(self) -> pa.Table:
        """All of them."""
        with storage_errors(f"write to '{self._path}'"):
            self._open.close()
        return pa.ipc.open_file(pa.memory_map(str(self._path))).read_all()


def remove_folder(folder: Path) -> None:
    """Take away what a diff spilled."""
    shutil.rmtree(folder, ignore_errors=True)


def _arrow(frame: pl.DataFrame) -> pa.Table:
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())  # views would drag whole buffers along
