"""Parquet and Arrow files in: their own columns and types, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from tablever.cli.inputs import Source, reading
from tablever.cli.progress import Advance, ignore
from tablever.errors import InvalidInputError

_BATCH = 65_536
_FILE_MAGIC = b"ARROW1"


@contextmanager
def arrow_errors(source: Source) -> Iterator[None]:
    """Turn what Arrow says of a broken file into an InvalidInputError that names the file and its format."""
    try:
        with reading(source):
            yield
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError) as error:  # a name may be no text
        kind = {"parquet": "Parquet", "arrow": "Arrow", "csv": "CSV", "tsv": "TSV", "jsonl": "JSON Lines"}
        raise InvalidInputError(
            f"cannot read '{source.name}' as {kind[source.format]}: {str(error).strip().splitlines()[0]}",
            hint="say --format if the suffix misleads",
            file=source.name,
        ) from error


def arrow_schema(source: Source) -> pa.Schema:
    """The file's columns and types."""
    if source.format == "parquet":
        with pq.ParquetFile(source.path) as file:
            return file.schema_arrow
    with pa.memory_map(str(source.path)) as data, _ipc(source, data) as reader:
        return reader.schema


def read_arrow(source: Source, schema: pa.Schema, advance: Advance = ignore) -> Iterator[pa.RecordBatch]:
    """The file's rows in the columns of ``schema``; a column without any value takes the type that others have.

    Text and bytes come in more than one layout, which are one type here.
    """
    done = rows = 0
    total = _rows(source) if source.format == "parquet" else 0
    for batch in _parquet_batches(source, schema) if source.format == "parquet" else _ipc_batches(source):
        yield pa.RecordBatch.from_arrays([_as(batch.column(item.name), item.type) for item in schema], schema=schema)
        rows += batch.num_rows
        read = source.size * rows // max(total, rows, 1)
        advance(read - done)
        done = read


def _rows(source: Source) -> int:
    with pq.ParquetFile(source.path) as file:
        return int(file.metadata.num_rows)


def _as(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), kind)
    return column if column.type == kind else column.cast(kind)


def _parquet_batches(source: Source, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(source.path, page_checksum_verification=True) as file:
        yield from file.iter_batches(_BATCH, columns=schema.names)


def _ipc_batches(source: Source) -> Iterator[pa.RecordBatch]:
    with pa.memory_map(str(source.path)) as data, _ipc(source, data) as reader:
        if isinstance(reader, pa.RecordBatchFileReader):
            for index in range(reader.num_record_batches):
                yield reader.get_batch(index)
        else:
            yield from reader


def _ipc(source: Source, data: pa.NativeFile) -> pa.RecordBatchFileReader | pa.RecordBatchStreamReader:
    with source.path.open("rb") as file:
        whole_file = file.read(len(_FILE_MAGIC)) == _FILE_MAGIC
    return pa.ipc.open_file(data) if whole_file else pa.ipc.open_stream(data)
