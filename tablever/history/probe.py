"""What is looked for, and what can hold it: files by their statistics, rows by their values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import polars as pl
import pyarrow as pa

from tablever import merge
from tablever.digests import cell_sums, words_of
from tablever.frames import polars_types
from tablever.history.view import View
from tablever.key_filters import KeyFilter, holds_any, may_hold
from tablever.layout import table_schema
from tablever.model import DataFile, Metadata, Snapshot
from tablever.rows import equal_groups
from tablever.scan import Scan

FEW = 64  # rows whose filters are asked one by one


@dataclass(frozen=True)
class Probe:
    """Some rows that are looked for.

    Attributes:
        rows: their naming columns, in the view's types; no row twice, and with a key no nulls.
    """

    view: View
    rows: pl.DataFrame

    @cached_property
    def _plain(self) -> list[str]:
        """The columns by which statistics and an engine find rows: no nulls among the values, no floats, not nested."""
        kinds = self.rows.schema
        return [
            name
            for name in self.rows.columns
            if not (kinds[name].is_nested() or kinds[name].is_float() or self.rows[name].null_count())
        ]

    def _sought(self, metadata: Metadata) -> pl.DataFrame | None:
        """The values of those columns that a version has, in its types, and those that fit; None: it cannot hold any.

        Values are looked for one column at a time, so that a row stays if each of its values is some row's.
        """
        schema = table_schema(metadata)
        if any(name not in schema.names for name in self.view.key):
            return None
        names = [name for name in self._plain if name in schema.names]
        names = [name for name in names if self.view.holds(name, schema.field(name).type)]
        types = polars_types(pa.schema([schema.field(name) for name in names]))
        found = self.rows.select(pl.col(name).cast(types[name], strict=False) for name in names).drop_nulls()
        return found if found.height or not names else None

    @cached_property
    def _digests(self) -> pl.Series:
        return cell_sums(self.rows)

    @cached_property
    def _words(self) -> list[tuple[int, int]]:
        return [(int(low), int(high)) for low, high in words_of(self._digests).tolist()]

    @cached_property
    def _known(self) -> dict[str, bool]:
        """Whether filters can be asked, by a version's schema."""
        return {}

    def may_have_met(self, metadata: Metadata, keys: KeyFilter) -> bool:
        """Whether a commit, made under some settings, may have changed one of the rows, by the filter it recorded.

        A filter is asked only where the version has the naming columns as they are today (a whole row: no others), so
        that the rows had the digests that they have today.
        """
        if keys.columns != self.view.key:
            return True
        if metadata.schema_string not in self._known:
            self._known[metadata.schema_string] = self._is_as_today(table_schema(metadata))
        if not self._known[metadata.schema_string]:
            return True
        return holds_any(keys, self._words) if len(self._words) <= FEW else bool(may_hold(keys, self._digests).any())

    def _is_as_today(self, schema: pa.Schema) -> bool:
        names = self.view.naming
        there = [name for name in names if name in schema.names]
        alike = all(schema.field(name).type == self.view.schema.field(name).type for name in there)
        return alike and (bool(self.view.key) or not set(schema.names) - set(names))

    def prune(self, snapshot: Snapshot, files: Sequence[DataFile]) -> Sequence[DataFile]:
        """The files, written under the settings of a snapshot, that may hold one of the rows."""
        sought = self._sought(snapshot.metadata)
        if sought is None:
            return ()
        return merge.prune(replace(snapshot, files=tuple(files)), sought)

    def expression(self, scan: Scan) -> pl.Expr | None:
        """What is true of the rows looked for, and perhaps of others, in a scan's stored columns; None: of all."""
        sought = self._sought(scan.snapshot.metadata)
        if sought is None:
            return pl.lit(False)
        stored = [name for name in sought.columns if name not in scan.partition_columns]
        if not stored:
            return None
        return pl.all_horizontal([pl.col(name).is_in(sought[name].unique().implode()) for name in stored])

    def select(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Of rows in the view's columns, those that are looked for."""
        if self.view.key:
            return rows.join(self.rows, on=list(self.view.key), how="semi", maintain_order="left")
        found, sought = equal_groups([rows, self.rows], self.rows.columns)
        return rows.filter(found.is_in(sought.implode()))
