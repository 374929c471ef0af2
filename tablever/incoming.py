"""Rows from anywhere as one pyarrow.Table: Arrow's PyCapsule interface, pandas, Polars, DuckDB, a list of dicts.

What is read once is kept: in memory up to a limit, beyond it in a temporary file that has no name from the start, so
that nothing is left behind however the process ends.
"""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa

from tablever.arrow_types import is_bytes, is_list_like
from tablever.conversion import convert
from tablever.errors import InvalidInputError, SchemaMismatchError
from tablever.inference import inferred_type, plain
from tablever.records import from_records
from tablever.storage import storage_errors

if TYPE_CHECKING:
    import polars as pl

Rows: TypeAlias = Any
"""Anything with the Arrow PyCapsule interface (Polars, pandas, pyarrow, DuckDB relations), or a list of dicts."""

MEMORY_LIMIT = 256 << 20
_ACCEPTED = "give a Polars or pandas DataFrame, a pyarrow Table, a DuckDB relation, or a list of dicts"


def to_table(rows: Rows, *, schema: pa.Schema | None = None, memory_limit: int = MEMORY_LIMIT) -> pa.Table:
    """All the rows, in the columns and types in which they came.

    A pandas index with a name becomes a column, and NaN in a pandas column is null, as pandas has it. A stream is
    read to its end; what fails in it surfaces as it is where it is Python's, else as InvalidInputError.

    Args:
        rows: see ``Rows``. A LazyFrame is collected.
        schema: the table's, by which dicts are parsed; other rows carry their own.
        memory_limit: bytes of a stream that are held in memory; more go to a temporary file.

    Raises:
        InvalidInputError: not rows at all, no columns, a stream that fails.
        SchemaMismatchError: a column that Arrow cannot hold, or values of several types in one column.
        StorageError: the temporary file cannot be written.
    """
    if isinstance(rows, pa.Table):
        return rows
    if isinstance(rows, list | tuple):
        return from_records(rows, schema)
    library, name = type(rows).__module__.partition(".")[0], type(rows).__name__
    if name in ("Series", "Array", "ChunkedArray") or isinstance(rows, pa.Array | pa.ChunkedArray):
        advice = "pa.table({'name': array})" if library == "pyarrow" else "series.to_frame('name')"
        raise InvalidInputError(f"a {library} {name} is one column, not rows", hint=f"give a table, e.g. {advice}")
    if library == "polars" and name == "LazyFrame":
        return _from_polars(rows.collect(engine="streaming"))
    if library == "polars" and name == "DataFrame":
        return _from_polars(rows)
    if library == "pandas" and name == "DataFrame":
        return _from_pandas(rows)
    if isinstance(rows, pa.RecordBatchReader):
        return _spooled(rows, memory_limit)
    if hasattr(rows, "__arrow_c_stream__"):
        with _arrow_errors():
            reader = pa.RecordBatchReader.from_stream(rows)
        return _spooled(reader, memory_limit)
    if hasattr(rows, "__arrow_c_array__"):
        with _arrow_errors():
            return pa.Table.from_batches([pa.record_batch(rows)])
    kind = type(rows)
    named = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    raise InvalidInputError(f"an object of type {named} is not rows", hint=_ACCEPTED)


@contextmanager
def _arrow_errors() -> Iterator[None]:
    """Arrow's errors, which come from the rows' producer, as an error of the input."""
    try:
        yield
    except MemoryError:
        raise
    except (pa.ArrowException, OSError) as error:
        reason = str(error).split(". Detail: Python exception:")[0]  # a traceback, which the cause shows
        raise InvalidInputError(f"the rows cannot be read: {reason}") from error


def _from_polars(frame: pl.DataFrame) -> pa.Table:
    import polars as pl

    for column, kind in frame.schema.items():
        if kind in (pl.Object, pl.Int128, pl.UInt128):  # Arrow gets the addresses of objects, and has no such integers
            advice = "a type of values" if kind == pl.Object else "pl.Int64 or pl.Decimal(38, 0)"
            raise SchemaMismatchError(
                f"column '{column}' has the Polars type {kind}, which no table holds",
                hint=f"cast it to {advice}",
                column=column,
                found=kind,
            )
    with _arrow_errors():
        # Polars turns its views of text into plain text four times as fast as pyarrow does.
        return frame.to_arrow(compat_level=pl.CompatLevel.oldest())


def _from_pandas(frame: Any) -> pa.Table:
    frame = _with_index(frame)
    wrong = [name for name in frame.columns if not isinstance(name, str)]
    if wrong:
        raise InvalidInputError(
            f"the pandas frame has a column named {wrong[0]!r}, which is no text",
            hint="name the columns, e.g. frame.columns = ['a', 'b']",
        )
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise SchemaMismatchError(f"the rows: two fields named '{twice}'", hint="rename one", column=twice)
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
    except MemoryError:
        raise
    except (pa.ArrowException, TypeError, OverflowError) as error:
        reason = "; ".join(str(part) for part in error.args)
        raise SchemaMismatchError(
            f"the pandas frame has a column that Arrow cannot hold: {reason}",
            hint="give the column one type, e.g. frame.astype({'column': 'string'})",
        ) from error
    _check_objects(frame, table)
    return table.replace_schema_metadata(None)


def _check_objects(frame: Any, table: pa.Table) -> None:
    """Refuse what pyarrow mends in silence in columns of Python objects: naive and aware times, text and bytes."""
    for index, field in enumerate(table.schema):
        values = frame.iloc[:, index]
        if values.dtype == object and (pa.types.is_temporal(field.type) or is_bytes(field.type)):
            plain_values = [plain(value) for value in values]
            inferred_type([None if value != value else value for value in plain_values], field.name)


def _with_index(frame: Any) -> Any:
    """The frame with its index as columns where it has names; numbers of rows are not data."""
    names = list(frame.index.names)
    if names == [None] and type(frame.index).__name__ == "RangeIndex":
        return frame
    if None in names:
        raise InvalidInputError(
            "the pandas frame has an index without a name, so it is unclear whether it is data",
            hint="frame.reset_index(drop=True) leaves it out; frame.rename_axis('id') makes it the column 'id'",
        )
    clash = [name for name in names if name in frame.columns]
    if clash:
        raise InvalidInputError(
            f"the pandas frame has both an index and a column named {clash[0]!r}",
            hint="frame.reset_index(drop=True) leaves the index out; frame.rename_axis(…) renames it",
        )
    return frame.reset_index()


def _spooled(reader: pa.RecordBatchReader, memory_limit: int) -> pa.Table:
    with _arrow_errors():
        schema = pa.schema([field.with_type(_without_views(field.type)) for field in reader.schema])
    batches, size = [], 0
    stream = _batches(reader, schema)
    for batch in stream:
        batches.append(batch)
        size += batch.nbytes
        if size > memory_limit:
            return _on_disk(schema, chain(batches, stream))
    return pa.Table.from_batches(batches, schema)


def _batches(reader: pa.RecordBatchReader, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    while True:
        with _arrow_errors():
            try:
                batch = reader.read_next_batch()
            except StopIteration:
                return
        if batch.schema != schema:
            columns = [convert(c, f.type, f.name) for c, f in zip(batch.columns, schema, strict=True)]
            batch = pa.RecordBatch.from_arrays(columns, schema=schema)
        yield batch


def _without_views(kind: pa.DataType) -> pa.DataType:
    """The type with views as plain arrays: a batch of views drags along whole buffers that it shares with others."""
    if pa.types.is_string_view(kind):
        return pa.large_string()
    if pa.types.is_binary_view(kind):
        return pa.large_binary()
    if pa.types.is_dictionary(kind):
        plain = _without_views(kind.value_type)
        return kind if plain == kind.value_type else plain
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_without_views(field.type)) for field in kind])
    if is_list_like(kind):
        inner = kind.value_field.with_type(_without_views(kind.value_type))
        views = pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind)
        return kind if inner == kind.value_field and not views else pa.large_list(inner)
    return kind


def _on_disk(schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> pa.Table:
    with storage_errors("spool the rows to a temporary file"), tempfile.TemporaryFile(prefix="tablever-") as file:
        with pa.ipc.new_stream(file, schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
        file.flush()
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return pa.ipc.open_stream(pa.py_buffer(mapped)).read_all()
