"""What tells one load's content from another's, so that a repeated batch is known again."""

from __future__ import annotations

import hashlib

import pyarrow as pa

from tablever.commit import Content
from tablever.errors import SchemaMismatchError
from tablever.fitting import normalise
from tablever.layout import nullable, table_schema
from tablever.model import Metadata
from tablever.rows import digest


def rows_content(operation: str, source: pa.Table) -> Content:
    """The content of a load of rows: their values in their order, under the types of the table."""

    def content(metadata: Metadata) -> str:
        columns = table_schema(metadata)
        there = {column.name: column for column in columns}
        target = [there[name] for name in sorted(source.column_names) if name in there]
        if len(target) < source.num_columns:
            raise SchemaMismatchError("the rows have columns that the table did not have")
        return _digest(operation, digest(normalise(source, nullable(pa.schema(target)))))

    return content


def text_content(*parts: str) -> Content:
    """The content of a change that is told in words: expressions, refs, names."""
    return lambda _: _digest(*parts)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
