"""Files that no engine reads right by itself: decoded by pyarrow into the table's columns and types.

Column mapping renames at every depth, types may have been widened since the file was written, INT96 timestamps carry
no zone, fields of structs may be missing or in another order. The checksum of every page that has one is compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tablever.delta import partitions
from tablever.errors import CorruptionError
from tablever.layout import mapping_mode, nullable, physical_name, table_schema
from tablever.model import Metadata
from tablever.schema import DeltaField, fields_by_name
from tablever.storage import Storage

FIELD_ID = b"PARQUET:field_id"


def decode_file(
    storage: Storage, path: str, metadata: Metadata, partition_values: Mapping[str, str | None], columns: Sequence[str]
) -> pa.Table:
    """Every row of a Parquet file, in the named columns of the table and their types; absent columns are null.

    Raises:
        CorruptionError: the file cannot be decoded, a page's checksum differs, or a value does not fit the table's
            type.
    """
    with _errors_of(storage.location(path)):
        file = _open(storage, path)
        sources = _sources(file, metadata, columns)
        return _fitted(file.read(columns=_stored(file, sources)), sources, metadata, partition_values, columns)


def decode_pieces(
    storage: Storage, path: str, metadata: Metadata, partition_values: Mapping[str, str | None], columns: Sequence[str]
) -> Iterator[pa.Table]:
    """The rows of ``decode_file`` a row group at a time. Errors as there."""
    with _errors_of(storage.location(path)):
        file = _open(storage, path)
        sources = _sources(file, metadata, columns)
        for group in range(file.num_row_groups):
            data = file.read_row_group(group, columns=_stored(file, sources))
            yield _fitted(data, sources, metadata, partition_values, columns)


def _open(storage: Storage, path: str) -> pq.ParquetFile:
    source = storage.arrow_source(path)
    return pq.ParquetFile(source, coerce_int96_timestamp_unit="us", page_checksum_verification=True)


@contextmanager
def _errors_of(location: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, OSError, UnicodeDecodeError) as error:
        raise CorruptionError(f"'{location}' cannot be decoded: {error}", file=location) from error


def _sources(file: pq.ParquetFile, metadata: Metadata, columns: Sequence[str]) -> dict[str, int | None]:
    """Which of a file's columns holds each of the table's; None where none does."""
    described = fields_by_name(metadata.schema_string)
    mode, found = mapping_mode(metadata), file.schema_arrow
    return {name: _source(described[name], found, mode) for name in columns if name not in metadata.partition_columns}


def _stored(file: pq.ParquetFile, sources: Mapping[str, int | None]) -> list[str]:
    names = file.schema_arrow.names
    return [names[i] for i in sources.values() if i is not None]


def _fitted(
    data: pa.Table,
    sources: Mapping[str, int | None],
    metadata: Metadata,
    partition_values: Mapping[str, str | None],
    columns: Sequence[str],
) -> pa.Table:
    """Rows as a file has them, in the table's columns and types."""
    schema = nullable(table_schema(metadata))
    described = fields_by_name(metadata.schema_string)
    names = dict(zip([name for name, i in sources.items() if i is not None], data.column_names, strict=True))
    arrays = []
    for name in columns:
        kind = schema.field(name).type
        if name in metadata.partition_columns:
            text = partition_values.get(physical_name(metadata, name))
            arrays.append(pa.repeat(partitions.parse([text], kind)[0], data.num_rows))
        elif name not in names:
            arrays.append(pa.nulls(data.num_rows, kind))
        else:
            arrays.append(_adapt(_whole(data.column(names[name])), described[name], kind, mapping_mode(metadata)))
    return pa.Table.from_arrays(arrays, schema=pa.schema([schema.field(name) for name in columns]))


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _source(field: DeltaField, found: pa.Schema | pa.StructType, mode: str) -> int | None:
    """Which of a file's columns (or a struct's children) holds a field of the table; None where none does."""
    if mode == "id" and "delta.columnMapping.id" in field.metadata:
        wanted = str(field.metadata["delta.columnMapping.id"]).encode()
        ids = [(found.field(i).metadata or {}).get(FIELD_ID) for i in range(_width(found))]
        return ids.index(wanted) if wanted in ids else None
    mapped = field.metadata.get("delta.columnMapping.physicalName", field.name)
    index = found.get_field_index(field.name if mode == "none" else mapped)
    return None if index < 0 else int(index)


def _width(found: pa.Schema | pa.StructType) -> int:
    return len(found) if isinstance(found, pa.Schema) else int(found.num_fields)


def _adapt(array: pa.Array, field: DeltaField, kind: pa.DataType, mode: str) -> pa.Array:
    """An array as a file has it, in the names and type that the table gives it."""
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    if pa.types.is_struct(kind):
        return _adapt_struct(array, field, kind, mode)
    if pa.types.is_list(kind):
        values = _adapt(pc.list_flatten(array), field.children[0], kind.value_type, mode)
        return pa.ListArray.from_arrays(_offsets(array), values, type=kind, mask=array.is_null())
    if pa.types.is_map(kind):
        return _adapt_map(array, field, kind, mode)
    if pa.types.is_timestamp(kind) and kind.tz and pa.types.is_timestamp(array.type) and not array.type.tz:
        return array.cast(pa.timestamp("us")).cast(pa.int64()).cast(kind)
    return array.cast(kind)


def _adapt_struct(array: pa.Array, field: DeltaField, kind: pa.DataType, mode: str) -> pa.Array:
    children = []
    for child in field.children:
        target = kind.field(child.name).type
        index = _source(child, array.type, mode)
        if index is None:
            children.append(pa.nulls(len(array), target))
        else:
            children.append(_adapt(pc.struct_field(array, [index]), child, target, mode))
    return pa.StructArray.from_arrays(children, fields=list(kind), mask=array.is_null())


def _adapt_map(array: pa.Array, field: DeltaField, kind: pa.DataType, mode: str) -> pa.Array:
    pairs = pa.struct([("key", array.type.key_type), ("value", array.type.item_type)])
    entries = array.cast(pa.list_(pairs))
    flat = pc.list_flatten(entries)
    keys = _adapt(pc.struct_field(flat, [0]), field.children[0], kind.key_type, mode)
    items = _adapt(pc.struct_field(flat, [1]), field.children[1], kind.item_type, mode)
    return pa.MapArray.from_arrays(_offsets(entries), keys, items, type=kind, mask=array.is_null())


def _offsets(lists: pa.Array) -> pa.Array:
    lengths = pc.fill_null(pc.list_value_length(lists), 0).cast(pa.int32())
    return pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths).cast(pa.int32())])
