"""How a table's columns lie in its files: what they are called there, and whether an engine finds them by itself."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache

import pyarrow as pa
import pyarrow.parquet as pq

from tablever.arrow_types import is_bytes, is_text
from tablever.model import Metadata
from tablever.schema import delta_to_arrow, fields, fields_by_name


def table_schema(metadata: Metadata) -> pa.Schema:
    """A table's columns in canonical Arrow types."""
    return delta_to_arrow(metadata.schema_string)


def nullable(schema: pa.Schema) -> pa.Schema:
    """The schema of rows to hand out or to write: NOT NULL is the table's rule, not the rows' type."""
    return pa.schema([field.with_nullable(True) for field in schema])


@lru_cache(maxsize=64)
def _fingerprint(schema_string: str, partition_columns: tuple[str, ...]) -> str:
    columns = [[field.name, field.type, field.name in partition_columns] for field in fields(schema_string)]
    return hashlib.sha256(json.dumps(columns, sort_keys=True).encode()).hexdigest()[:16]


def fingerprint(metadata: Metadata) -> str:
    """Names the columns of a file written under these settings, their types, and which of them only the log has.

    It is kept with our files, so that reading them needs no look at the footer, and their digest is known for theirs.
    """
    return _fingerprint(metadata.schema_string, metadata.partition_columns)


def mapping_mode(metadata: Metadata) -> str:
    """``none``, ``name`` or ``id`` (Delta protocol, "Column Mapping")."""
    return metadata.configuration.get("delta.columnMapping.mode", "none")


def physical_name(metadata: Metadata, column: str) -> str:
    """What a top-level column is called in files and partition values."""
    if mapping_mode(metadata) != "none":
        field = fields_by_name(metadata.schema_string).get(column)
        if field is not None:
            return str(field.metadata.get("delta.columnMapping.physicalName", column))
    return column


def is_plain(footer: pq.FileMetaData, metadata: Metadata) -> bool:
    """Whether a file's columns are named and typed as the table's; columns it lacks count as fitting."""
    physical = footer.schema
    if mapping_mode(metadata) != "none":
        return False
    if any(physical.column(i).physical_type == "INT96" for i in range(len(physical))):
        return False
    try:
        found = physical.to_arrow_schema()
        names = set(found.names)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError):  # a name may be no text
        return False
    if len(names) < len(found):
        return False
    present = [field for field in table_schema(metadata) if field.name in names]
    return all(_same_type(found.field(field.name).type, field.type) for field in present)


def _same_type(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Equal but for the sizes of offsets, dictionaries, and the names that lists and maps give their parts."""
    if pa.types.is_dictionary(found):
        found = found.value_type
    if pa.types.is_string(wanted):
        return is_text(found)
    if pa.types.is_binary(wanted):
        return is_bytes(found) and not pa.types.is_fixed_size_binary(found)
    if pa.types.is_list(wanted):
        lists = pa.types.is_list(found) or pa.types.is_large_list(found)
        return lists and _same_type(found.value_type, wanted.value_type)
    if pa.types.is_map(wanted):
        maps = pa.types.is_map(found) and _same_type(found.key_type, wanted.key_type)
        return maps and _same_type(found.item_type, wanted.item_type)
    if pa.types.is_struct(wanted):
        structs = pa.types.is_struct(found) and [f.name for f in found] == [f.name for f in wanted]
        return structs and all(_same_type(found.field(f.name).type, f.type) for f in wanted)
    return bool(found == wanted)
