"""fastparquet, where it is installed: another implementation of Parquet, for the columns that it reads right.

Left out are decimals of more than 15 digits (it gives floats), timestamps that lie in a file in other units than
microseconds (it gives nanoseconds, from 1677 to 2262), everything nested, names with a dot (it takes them for a
struct's), and partition and mapped columns.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tablever.digests import digest_of
from tablever.layout import mapping_mode
from tablever.model import Digest, Metadata
from tablever.storage import Storage

NANOSECONDS = np.int64(86_400 * 10**9)
"""Of a day."""
FLOAT_DIGITS = 15
"""So many decimal digits are told apart by a float."""


def columns_of(schema: pa.Schema, metadata: Metadata, footer: pq.FileMetaData) -> list[str]:
    """The columns of a table that lie in a file and that fastparquet reads right; none without it."""
    if not _installed() or mapping_mode(metadata) != "none":
        return []
    stored = {column.path: column for column in map(footer.schema.column, range(len(footer.schema)))}
    asked = [f for f in schema if f.name in stored and f.name not in metadata.partition_columns]
    return [f.name for f in asked if "." not in f.name and _is_read_right(f.type, stored[f.name])]


def comparable(rows: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Our rows in those columns, as fastparquet has them: null for NaN, nanoseconds mod 2^64 for a date.

    Those tell any two dates apart: a day has 2^16 times an odd number of nanoseconds, and dates are 32 bits wide.
    """
    return pa.Table.from_arrays([_ours(rows.column(name)) for name in columns], list(columns))


def digest(storage: Storage, path: str, schema: pa.Schema, columns: Sequence[str]) -> Digest | str:
    """The digest of a file's ``comparable`` rows as fastparquet reads them; what it says where it does not."""
    from fastparquet import ParquetFile
    from fastparquet.converted_types import nullable

    total = Digest()
    try:
        with ExitStack() as opened:  # fastparquet leaves its files open
            file = ParquetFile(
                path,
                open_with=lambda *_: opened.enter_context(storage.open(path)),
                pandas_nulls=True,
            )
            # Of its own choice it gives no text of pages that are encoded otherwise than the first ones (a dictionary
            # grew too large), and beside nested columns stumbles over nulls.
            dtypes = {name: nullable.get(file.dtypes[name], file.dtypes[name]) for name in columns}
            for frame in file.iter_row_groups(columns=list(columns), dtypes=dtypes, index=False):
                arrays = [_theirs(frame[name], schema.field(name).type) for name in columns]
                total += digest_of(pa.Table.from_arrays(arrays, list(columns)))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever another reader says of a file that ours has read
        return f"{type(error).__name__}: {error}"
    return total


@lru_cache(maxsize=1)
def _installed() -> bool:
    return find_spec("fastparquet") is not None


def _is_read_right(kind: pa.DataType, stored: Any) -> bool:
    """Whether fastparquet gives a column of a type the values that it has, as the file says that it is stored."""
    logical = json.loads(stored.logical_type.to_json())
    if pa.types.is_decimal(kind):
        return bool(logical["Type"] == "Decimal" and kind.precision <= FLOAT_DIGITS)
    if pa.types.is_timestamp(kind):
        return bool(logical.get("timeUnit") == "microseconds")
    tests = (
        pa.types.is_integer,
        pa.types.is_boolean,
        pa.types.is_string,
        pa.types.is_floating,
        pa.types.is_date,
        pa.types.is_binary,
    )
    return any(is_kind(kind) for is_kind in tests)


def _ours(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_floating(column.type):
        return pc.if_else(pc.is_nan(column), None, column)
    if pa.types.is_date(column.type):
        return pc.multiply(column.cast(pa.int32()).cast(pa.int64()), NANOSECONDS)  # unchecked: it wraps
    return column


def _theirs(values: Any, kind: pa.DataType) -> pa.Array:
    """A column as pandas has it, in its table's type; dates as ``comparable`` has them."""
    if pa.types.is_date(kind):
        return pa.array(values, pa.timestamp("ns"), from_pandas=True).view(pa.int64())
    if pa.types.is_decimal(kind):
        return pa.array(values, pa.float64(), from_pandas=True).cast(kind)
    return pa.array(values, kind, from_pandas=True)
