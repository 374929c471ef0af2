"""Diff: what changed from one side to the other; a frozen value whose parts are computed when they are asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Unpack, overload

import pyarrow as pa

from tablever import merge
from tablever.diff.cells import cell_batches, cell_schema, change_batches, change_schema, changed_cells
from tablever.diff.feed import FeedError, feed_batches
from tablever.diff.netting import Parts, check_claim, net_batches
from tablever.diff.planner import Reading, plan_reading
from tablever.diff.sides import Scope, ScopeOptions, Side, Tolerance, schema_changes, scope_of
from tablever.diff.snapshots import row_batches, snapshot_batches
from tablever.errors import (
    InvalidInputError,
    InvalidKeyError,
    TableverError,
    UnsupportedFeatureError,
    VersionVacuumedError,
)
from tablever.findings import ColumnStatistics, Drift, Findings, Plan, SchemaChange, Segments, Summary
from tablever.frames import to_frame
from tablever.incoming import Rows, to_table
from tablever.layout import table_schema
from tablever.log import TableLike, open_log
from tablever.read import check_batch_size
from tablever.refs import Ref
from tablever.texts import plural
from tablever.write import fit_rows

Part = Literal["added", "removed", "updated", "cells"]

QUICK_BYTES = 64 << 20  # up to here a diff shows its counts by itself
BATCH_ROWS = 65_536


@dataclass(frozen=True)
class Diff:
    """What changed from one side to the other; ``bool(diff)`` says whether any row did.

    Versions never change, so each part is a function of these fields: it is computed when it is first asked for, and
    kept. If another tool removes the files in between, that raises VersionVacuumedError.

    Attributes:
        left, right: what is compared: versions, rows that are not committed, or nothing.
        scope: the key, the columns and the tolerances by which they are compared.
    """

    left: Side
    right: Side
    scope: Scope
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False, compare=False)

    # -- what is known from the logs alone

    @cached_property
    def _reading(self) -> Reading:
        return plan_reading(self.left, self.right, self.scope)

    @property
    def plan(self) -> Plan:
        """What is read, and why that: from the logs, and the vectors beside them.

        Only for a column of one side that was asked for are data files opened, for their footers.
        """
        with self._lock:
            return self._reading.plan

    @cached_property
    def schema(self) -> tuple[SchemaChange, ...]:
        """Columns added, removed, retyped, reordered, nullable or not; properties and key."""
        return schema_changes(self.left, self.right)

    @property
    def key(self) -> tuple[str, ...]:
        """The columns by which rows are told apart; empty where rows are a multiset."""
        return self.scope.key

    # -- what is known from the changes

    @cached_property
    def _parts(self) -> Parts:
        try:
            parts = self._net(self._reading)
        except (FeedError, VersionVacuumedError) as error:
            if self._reading.feed is None:
                raise
            reading = plan_reading(self.left, self.right, self.scope, refused=str(error))
            parts = self._net(reading)
            # What was read is told by what was read in the end.
            self.__dict__["_reading"], self.__dict__["_refused"] = reading, error
        if self.scope.given:
            check_claim(self.left, self.right, self.scope, parts)
        return parts

    def _net(self, reading: Reading) -> Parts:
        left, right, scope = self.left, self.right, self.scope
        if reading.feed is not None and left.log is not None and left.snapshot is not None:
            return net_batches(feed_batches(reading, left.log, left.snapshot, scope), scope)
        batches = row_batches if reading.plan.way == "rows" else snapshot_batches
        return net_batches(batches(reading, left, right, scope), scope)

    @property
    def parts(self) -> Parts:
        """All of the following at once.

        Raises:
            DuplicateKeyError, InvalidKeyError: a key given at the call is twice or null in a row that changed;
                ``keys`` holds up to five of them.
            VersionVacuumedError, CorruptionError, StorageError: what is to be read is gone or damaged.
        """
        with self._lock:
            return self._parts

    @property
    def added(self) -> pa.Table:
        """Rows that only the right side has, in its columns; by key, or without one by the columns that sort."""
        return self.parts.added

    @property
    def removed(self) -> pa.Table:
        """Rows that only the left side has, in its columns; ordered as ``added``."""
        return self.parts.removed

    @property
    def updated(self) -> pa.Table:
        """One row a key whose row differs: the key, then ``from_<column>``, ``to_<column>`` for every other column.

        By key. A column that only one side has stands there once. Without a key there are none.
        """
        return self.parts.updated

    @property
    def cells(self) -> pa.Table:
        """One row a changed cell of an updated row: the key, ``column``, ``old``, ``new``; values as text.

        By key, then in the columns' order. A key column of such a name pushes ours to ``_column``.

        Raises:
            InvalidKeyError: the rows are compared without a key.
        """
        return self.batches("cells").read_all()

    @cached_property
    def summary(self) -> Summary:
        """Counts. ``rows_before`` and ``rows_after`` are None where a log does not say."""
        parts, added = self.parts, self.parts.added.num_rows
        removed, updated = parts.removed.num_rows, parts.updated.num_rows
        before, after = self.left.row_count, self.right.row_count
        if self.right.rows is not None and self.left.snapshot is not None:
            after = None if before is None else before + added - removed
        return Summary(
            rows_before=before,
            rows_after=after,
            added=added,
            removed=removed,
            updated=updated,
            unchanged=None if before is None else before - removed - updated,
            cells=parts.cells,
            duplicate_keys=parts.unpaired.num_rows,
            notes=self._notes(parts),
        )

    def _notes(self, parts: Parts) -> tuple[str, ...]:
        notes = []
        refused = self.__dict__.get("_refused")
        if refused is not None:
            why = ": its change rows were not believed, " if isinstance(refused, FeedError) else "; "
            notes.append(f"{refused}{why}the versions were compared instead")
        if parts.unpaired.num_rows:
            count = parts.unpaired.num_rows
            are, whose = ("is", "its") if count == 1 else ("are", "their")
            notes.append(
                f"{plural(count, 'key')} {are} null or not unique: {whose} rows are counted as removed and added, "
                "not as updated"
            )
        torn = [name for name in self.scope.compared if self.scope.types[name] is None]
        notes += [
            f"the types of column '{name}' cannot be compared: every value of it counts as changed" for name in torn
        ]
        if self.scope.carried:
            notes.append("columns that only one side has are not compared: " + ", ".join(self.scope.carried))
        return tuple(notes)

    def batches(self, part: Part, size: int = BATCH_ROWS) -> pa.RecordBatchReader:
        """A part (``added``, ``removed``, ``updated`` or ``cells``) as record batches of at most ``size`` rows.

        Raises:
            InvalidInputError: no such part, or ``size`` below 1.
            InvalidKeyError: cells of rows that are compared without a key.
        """
        check_batch_size("size", size)
        if part == "cells":
            if not self.scope.key:
                raise InvalidKeyError(
                    f"{self.left.name} and {self.right.name} are compared without a key: there are no changed cells",
                    hint="give key= to pair rows; added and removed hold the rows that differ",
                )
            return _reader(cell_schema(self.scope), cell_batches(self.updated, self.scope, size))
        if part not in ("added", "removed", "updated"):
            raise InvalidInputError(
                f"a diff has no part {part!r}", hint="the parts are 'added', 'removed', 'updated' and 'cells'"
            )
        rows: pa.Table = getattr(self.parts, part)
        return _reader(rows.schema, rows.to_batches(max_chunksize=size))

    def changes(self, size: int = BATCH_ROWS) -> pa.RecordBatchReader:
        """The changes as change rows: deletes, then both images of each updated row in turn, then inserts.

        The columns are those of the right side, then those only the left has (null where a side lacks one), then
        ``_change_type`` (``insert``, ``delete``, ``update_preimage``, ``update_postimage``). Retyped columns are in the
        type that holds both sides' values, or as text where there is none. Nothing is computed before the first batch.
        """
        return _reader(change_schema(self.scope), self._change_batches(size))

    def _change_batches(self, size: int) -> Iterator[pa.RecordBatch]:
        yield from change_batches(self.parts, self.scope, size)

    # -- what is known from the tables

    @cached_property
    def statistics(self) -> tuple[ColumnStatistics, ...]:
        """Each compared or shown column on both sides; one pass over the left side, and over the right where needed."""
        from tablever.diff.profiles import compare_profiles

        return compare_profiles(self.left, self.right, self.scope, self.parts)

    @cached_property
    def drift(self) -> tuple[Drift, ...]:
        """How far each column's values moved.

        Raises:
            UnsupportedFeatureError: the extra ``tablever[report]`` is not installed.
        """
        from tablever import drift

        return drift.measure(self.statistics)

    def segments(self, by: str | Sequence[str]) -> Segments:
        """Changed rows by groups of equal values in some columns, most changed first.

        Against what chance would give; those figures are None where the extra ``tablever[report]`` is not installed.

        Raises:
            SchemaMismatchError: a column that is not compared or shown.
        """
        from tablever import drift
        from tablever.diff.segments import count_segments

        counted = count_segments(self.left, self.right, self.scope, self.parts, [by] if isinstance(by, str) else by)
        try:
            return drift.chance(counted)
        except UnsupportedFeatureError:
            return counted

    # -- shown

    def findings(self, *, rows: int = 1000, statistics: bool = False, by: str | Sequence[str] = ()) -> Findings:
        """A frozen extract for reports.

        Args:
            rows: at most so many of each kind; ``left_out`` counts the others.
            statistics: also the columns' statistics, and drift where its extra is installed.
            by: columns by which changes are counted in groups; none by default.
        """
        kept = {name: getattr(self.parts, name).slice(0, rows) for name in ("added", "removed", "updated")}
        left_out = {name: getattr(self.parts, name).num_rows - part.num_rows for name, part in kept.items()}
        same = self.left.log is None or self.right.log is None or self.left.log.uri == self.right.log.uri
        first = self.left.log or self.right.log
        return Findings(
            table="" if first is None else first.name,
            other=None if same or self.right.log is None else self.right.log.name,
            before=self.left.version,
            after=self.right.version,
            key=self.scope.key,
            compared=self.scope.compared,
            columns_before=_declared(self.left, self.scope.before),
            columns_after=_declared(self.right, self.scope.after),
            tolerance=self.scope.tolerance,
            plan=self.plan,
            schema=self.schema,
            summary=self.summary,
            statistics=self.statistics if statistics else None,
            drift=self._drift_if_there() if statistics else None,
            segments=self.segments(by) if by else None,
            changed=changed_cells(kept["updated"], self.scope),
            left_out={name: count for name, count in left_out.items() if count},
            **kept,
        )

    def _drift_if_there(self) -> tuple[Drift, ...] | None:
        try:
            return self.drift
        except UnsupportedFeatureError:
            return None

    def __bool__(self) -> bool:
        return bool(self.summary.changed)

    def __repr__(self) -> str:
        what = f"Diff from {self.left.name} to {self.right.name}"
        if self.plan.bytes > QUICK_BYTES and "_parts" not in self.__dict__:
            return f"<{what}: not computed, {self.plan.bytes / 1e6:.0f} MB to read ({self.plan.why})>"
        try:
            counts = self.summary
        except TableverError as error:  # a notebook shows a value, and must not fail at that
            return f"<{what}: {error}>"
        return f"<{what}: {counts.added} added, {counts.removed} removed, {counts.updated} updated>"

    def _repr_html_(self) -> str | None:
        from tablever.report import page

        if self.plan.bytes > QUICK_BYTES and "_parts" not in self.__dict__:
            return None
        return page.notebook(self.findings(rows=50))


def _declared(side: Side, shown: pa.Schema) -> pa.Schema:
    """The columns of a side's rows as it declares them, nullable or not; none of nothing."""
    names = frozenset(shown.names)
    return pa.schema([item for item in side.schema or () if item.name in names])


def _reader(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> pa.RecordBatchReader:
    return pa.RecordBatchReader.from_batches(schema, batches)


@overload
def diff_versions(
    table: TableLike,
    a: Ref,
    b: Ref,
    *,
    preview: Literal[False] = False,
    **scope: Unpack[ScopeOptions],
) -> Diff: ...


@overload
def diff_versions(
    table: TableLike,
    a: Ref,
    b: Ref,
    *,
    preview: Literal[True],
    **scope: Unpack[ScopeOptions],
) -> Plan: ...


def diff_versions(
    table: TableLike,
    a: Ref,
    b: Ref,
    *,
    key: str | Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    exclude: Sequence[str] | None = None,
    tolerance: Tolerance | None = None,
    preview: bool = False,
) -> Diff | Plan:
    """What changed from version ``a`` to version ``b``, which may be the earlier one: the net of all commits between.

    Args:
        key: columns that tell rows apart, for this comparison; by default the table's key, where both versions have
            the same. ``[]``: none, so that rows are a multiset and nothing is updated.
        columns: compare exactly these, and the key's; one that a version lacks is null there. By default those that
            both have; others are shown and decide nothing.
        exclude: compare all that both have but these.
        tolerance: how far floats and decimals may differ and still be alike: an absolute number, a pair (absolute,
            relative) as of ``math.isclose``, or a mapping from column to either. It needs a key.
        preview: return the plan instead: what would be read, and how many rows can differ; reads no data.

    Returns:
        A Diff, of which nothing is computed yet.

    Raises:
        RefError, VersionNotFoundError, VersionVacuumedError: no such version, or no longer.
        InvalidKeyError, SchemaMismatchError, InvalidInputError: a key, columns or tolerances that do not fit.
        TableNotFoundError, UnsupportedFeatureError, CorruptionError: the table cannot be read right.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}, {"id": 2, "stars": 3}], key="id")
        >>> v = upsert(table, [{"id": 2, "stars": 4}, {"id": 3, "stars": 1}])
        >>> diff = diff_versions(table, 0, 1)
        >>> diff.summary.added, diff.summary.removed, diff.summary.updated
        (1, 0, 1)
        >>> diff.updated.to_pylist()
        [{'id': 2, 'from_stars': 3, 'to_stars': 4}]
        >>> diff.cells.to_pylist()
        [{'id': 2, 'column': 'stars', 'old': '3', 'new': '4'}]
    """
    log = open_log(table)
    left, right = (Side(log, log.snapshot(log.resolve(ref))) for ref in (a, b))
    scope = scope_of(left, right, key=key, columns=columns, exclude=exclude, tolerance=tolerance)
    diff = Diff(left, right, scope)
    return diff.plan if preview else diff


@overload
def diff_tables(
    left: TableLike,
    right: TableLike,
    *,
    left_ref: Ref = "latest",
    right_ref: Ref = "latest",
    preview: Literal[False] = False,
    **scope: Unpack[ScopeOptions],
) -> Diff: ...


@overload
def diff_tables(
    left: TableLike,
    right: TableLike,
    *,
    left_ref: Ref = "latest",
    right_ref: Ref = "latest",
    preview: Literal[True],
    **scope: Unpack[ScopeOptions],
) -> Plan: ...


def diff_tables(
    left: TableLike,
    right: TableLike,
    *,
    left_ref: Ref = "latest",
    right_ref: Ref = "latest",
    key: str | Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    exclude: Sequence[str] | None = None,
    tolerance: Tolerance | None = None,
    preview: bool = False,
) -> Diff | Plan:
    """What differs from a version of one table to a version of another.

    Files whose bytes are recorded as the same in both logs are not read. The other arguments and the errors are those
    of ``diff_versions``; the key is by default the one that both tables have.

    Example:
        >>> one = create_table(folder / "one", [{"id": 1, "stars": 5}], key="id")
        >>> two = create_table(folder / "two", [{"id": 1, "stars": 4}], key="id")
        >>> diff_tables(one, two).summary.updated
        1
    """
    logs = (open_log(left), left_ref), (open_log(right), right_ref)
    before, after = (Side(log, log.snapshot(log.resolve(ref))) for log, ref in logs)
    scope = scope_of(before, after, key=key, columns=columns, exclude=exclude, tolerance=tolerance)
    diff = Diff(before, after, scope)
    return diff.plan if preview else diff


def diff_rows(
    table: TableLike,
    rows: Rows,
    *,
    ref: Ref = "latest",
    key: str | Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    exclude: Sequence[str] | None = None,
    tolerance: Tolerance | None = None,
    evolve: bool = False,
) -> Diff:
    """What an upsert of rows would change: rows added and updated by key; none is removed, nothing is written.

    Args:
        rows: as ``upsert`` takes them; they are checked as it checks them.
        evolve: let the rows have columns that the table lacks; they are compared too.

    Raises:
        InvalidKeyError: neither the table nor the call has a key, or a key is null.
        DuplicateKeyError: a key comes twice.
        SchemaMismatchError, ConstraintError, InvalidInputError: rows that do not fit.
        The others of ``diff_versions``.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}, {"id": 2, "stars": 3}], key="id")
        >>> diff_rows(table, [{"id": 2, "stars": 4}, {"id": 3, "stars": 1}])
        <Diff from version 0 of 'reviews' to the rows: 1 added, 0 removed, 1 updated>
    """
    log = open_log(table)
    snapshot = log.snapshot(log.resolve(ref))
    source = to_table(rows, schema=table_schema(snapshot.metadata))
    incoming, _ = fit_rows(log, snapshot, source, evolve)
    left, right = Side(log, snapshot), Side(rows=incoming)
    if evolve and columns is None and exclude is None:
        columns = incoming.column_names
    scope = scope_of(left, right, key=key, columns=columns, exclude=exclude, tolerance=tolerance)
    if not scope.key:
        raise InvalidKeyError(
            f"cannot compare rows with {left.name}: it has no key by which to find them", hint="give key="
        )
    merge.check_keys(log, to_frame(incoming.select(scope.key)), scope.key)
    return Diff(left, right, scope)


def version_changes(table: TableLike, ref: Ref = "latest") -> Diff:
    """What a version changed: against its parent, or, for the first, against nothing.

    Raises: as ``diff_versions``.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}], key="id")
        >>> version_changes(table, 0).summary.added
        1
    """
    log = open_log(table)
    number = log.resolve(ref)
    right = Side(log, log.snapshot(number))
    left = Side(log, log.snapshot(number - 1)) if number else Side()
    return Diff(left, right, scope_of(left, right))
