"""The columns in which the rows of all versions are set against each other.

A column that a version does not have is null there; one that had a type whose values today's does not hold exactly is
null, too. So rows of versions with different columns can be compared, and equal rows are one row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property

import polars as pl
import pyarrow as pa

from tablever.arrow_types import common_type
from tablever.columns import BESIDE, refuse_taken
from tablever.diff.sides import physical_in
from tablever.frames import polars_types
from tablever.layout import mapping_mode, nullable, table_schema
from tablever.model import Metadata


@dataclass(frozen=True)
class View:
    """Columns and key.

    Attributes:
        schema: the columns, all nullable.
        key: those that name a row, in the key's order; empty where a row is named by all of them.
    """

    schema: pa.Schema
    key: tuple[str, ...]

    @cached_property
    def types(self) -> dict[str, pl.DataType]:
        """The Polars type of each column."""
        return polars_types(self.schema)

    @property
    def columns(self) -> list[str]:
        """The columns' names."""
        return list(self.types)

    @property
    def naming(self) -> list[str]:
        """The columns that tell one row from another."""
        return list(self.key) or self.columns

    def holds(self, name: str, kind: pa.DataType) -> bool:
        """Whether every value of another type is exactly one of the column's."""
        wanted = self.schema.field(name).type
        return bool(common_type(kind, wanted) == wanted)

    def fit(self, rows: pl.DataFrame, found: pa.Schema) -> pl.DataFrame:
        """Rows of a version, whose columns are ``found``, in the view's columns and types."""
        columns, there = [], rows.schema
        for name, kind in self.types.items():
            if name not in there or not self.holds(name, found.field(name).type):
                columns.append(pl.Series(name, dtype=kind).clear(rows.height))  # null literals of maps lose their type
            elif there[name] == kind:
                columns.append(rows[name])
            else:
                columns.append(rows[name].cast(kind))
        return pl.DataFrame(columns)

    def torn(self, before: Metadata, after: Metadata, earlier: Collection[str]) -> bool:
        """Whether new settings alone can make rows others: a column went, was made anew or got another type.

        Args:
            earlier: names of columns that some version before had: files may still hold one that comes again.
        """
        left, right = table_schema(before), table_schema(after)
        old, new = set(left.names), set(right.names)
        for name in self.columns:
            if name in old and name in new:
                moved = physical_in(before, name) != physical_in(after, name)
                kinds = [self.holds(name, schema.field(name).type) for schema in (left, right)]
                if moved or kinds[0] != kinds[1]:
                    return True
            elif name in old or (name in new and (name in earlier or mapping_mode(after) != "none")):
                return True
        return False


def view_of(metadata: Metadata, earlier: Iterable[Metadata] = ()) -> View:
    """The columns of a version, then those that only versions before it had, the newest first.

    Raises SchemaMismatchError where one has a name that is used for what is laid beside rows while they are read.
    """
    newest: dict[str, pa.Field] = {}
    for settings in (metadata, *earlier):
        for item in table_schema(settings):
            newest.setdefault(item.name, item)
    refuse_taken(newest, [name for name in newest if name.lower().startswith(BESIDE)], "a row's history")
    return View(nullable(pa.schema(list(newest.values()))), metadata.key)
