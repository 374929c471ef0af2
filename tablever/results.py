"""What a SQL statement gives, in the forms that people work with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tablever import engine
from tablever.model import Version

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    from duckdb import DuckDBPyRelation


class Result:
    """What a statement gives. Read it before the next statement of its session; it runs when it is first read."""

    def __init__(self, relation: DuckDBPyRelation | None, errors: Callable[[], AbstractContextManager[None]]) -> None:
        self._errors = errors
        self._relation = relation
        self._table: pa.Table | None = None

    @property
    def columns(self) -> list[str]:
        """The columns' names; empty where the statement gives nothing."""
        return [] if self._relation is None else list(self._relation.columns)

    def to_arrow_table(self) -> pa.Table:
        """All rows. Raises QueryError where the statement fails on a row."""
        if self._table is None:
            with self._errors():
                self._table = pa.table({}) if self._relation is None else self._relation.to_arrow_table()
        return self._table

    def to_arrow_reader(self, batch_size: int = engine.BATCH_ROWS) -> pa.RecordBatchReader:
        """The rows batch by batch, in bounded memory."""
        if self._relation is None or self._table is not None:
            return self.to_arrow_table().to_reader()
        with self._errors():
            reader = self._relation.to_arrow_reader(batch_size)
        return pa.RecordBatchReader.from_batches(reader.schema, self._batches(reader))

    def _batches(self, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        with self._errors():
            yield from reader

    def fetchall(self) -> list[tuple[Any, ...]]:
        """All rows as tuples of Python values."""
        table = self.to_arrow_table()
        return list(zip(*(column.to_pylist() for column in table.columns), strict=True))

    def fetchone(self) -> tuple[Any, ...] | None:
        """The first row; None where there is none."""
        rows = self.to_arrow_table().slice(0, 1)
        return tuple(column[0].as_py() for column in rows.columns) if rows.num_rows else None

    def pl(self) -> pl.DataFrame:
        """All rows as a Polars frame."""
        import polars as pl

        return pl.DataFrame(self.to_arrow_table())

    def df(self) -> pd.DataFrame:
        """All rows as a pandas frame."""
        return self.to_arrow_table().to_pandas()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.to_arrow_table().__arrow_c_stream__(requested_schema)

    def show(self) -> None:
        """Print the rows as DuckDB does."""
        if self._relation is not None:
            with self._errors():
                self._relation.show()

    def __repr__(self) -> str:
        with self._errors():
            return "" if self._relation is None else str(self._relation)


_VERSION_FIELDS = pa.schema(
    [
        ("number", pa.int64()),
        ("timestamp", pa.timestamp("us", "UTC")),
        ("operation", pa.string()),
        ("message", pa.string()),
        ("author", pa.string()),
        ("rows", pa.int64()),
        ("rows_added", pa.int64()),
        ("rows_removed", pa.int64()),
        ("rows_updated", pa.int64()),
        ("content_hash", pa.string()),
        ("commit_hash", pa.string()),
        ("parent", pa.int64()),
        ("metadata", pa.string()),
        ("timestamp_from_file", pa.bool_()),
    ]
)


def versions_table(versions: Sequence[Version]) -> pa.Table:
    """Versions as rows: their fields as columns, ``metadata`` as JSON text."""
    rows = [
        {
            name: json.dumps(dict(version.metadata), ensure_ascii=False, default=str)
            if name == "metadata"
            else getattr(version, name)
            for name in _VERSION_FIELDS.names
        }
        for version in versions
    ]
    return pa.Table.from_pylist(rows, schema=_VERSION_FIELDS)
