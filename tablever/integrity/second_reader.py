"""fastparquet, where it is installed: another implementation of Parquet, for the types that it reads right.

Left out are decimals (it gives floats), dates and times (nanoseconds, from 1677 to 2262), everything nested, and
partition and mapped columns.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import lru_cache
from importlib.util import find_spec

import pyarrow as pa
import pyarrow.compute as pc

from tablever.digests import digest_of
from tablever.layout import mapping_mode
from tablever.model import Digest, Metadata
from tablever.storage import Storage


def columns_of(schema: pa.Schema, metadata: Metadata) -> list[str]:
    """The columns of a table that fastparquet reads right; none without it."""
    if not _installed() or mapping_mode(metadata) != "none":
        return []
    return [f.name for f in schema if _is_read_right(f.type) and f.name not in metadata.partition_columns]


def comparable(rows: pa.Table, columns: list[str]) -> pa.Table:
    """Rows in those columns with NaN as null: fastparquet has one for both."""
    arrays = [rows.column(name) for name in columns]
    arrays = [pc.if_else(pc.is_nan(a), None, a) if pa.types.is_floating(a.type) else a for a in arrays]
    return pa.Table.from_arrays(arrays, columns)


def digest(storage: Storage, path: str, schema: pa.Schema, columns: list[str]) -> Digest | str:
    """The digest of a file's ``comparable`` rows as fastparquet reads them; what it says where it does not.

    Columns that the file lacks are null, which adds nothing.
    """
    from fastparquet import ParquetFile

    total = Digest()
    try:
        with ExitStack() as opened:  # fastparquet leaves its files open
            file = ParquetFile(
                path,
                open_with=lambda *_: opened.enter_context(storage.open(path)),
                pandas_nulls=True,
            )
            stored = set(file.columns)
            there = [name for name in columns if name in stored]
            for frame in file.iter_row_groups(columns=there) if there else ():
                arrays = [pa.array(frame[name], schema.field(name).type, from_pandas=True) for name in there]
                total += digest_of(comparable(pa.Table.from_arrays(arrays, there), there))
    except Exception as error:  # noqa: BLE001 - whatever another reader says of a file that ours has read
        return f"{type(error).__name__}: {error}"
    return total


@lru_cache(maxsize=1)
def _installed() -> bool:
    return find_spec("fastparquet") is not None


def _is_read_right(kind: pa.DataType) -> bool:
    tests = (pa.types.is_integer, pa.types.is_boolean, pa.types.is_string, pa.types.is_floating)
    return any(is_kind(kind) for is_kind in tests)
