"""What a comparison found, in words that every report shares: frozen values, no engine, no disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

from tablever.model import EMPTY, Version

SchemaKind = Literal["added", "removed", "retyped", "reordered", "nullability", "property", "key"]
Way = Literal["nothing", "changes", "snapshots", "rows"]
Level = Literal["none", "moderate", "major"]


@dataclass(frozen=True)
class SchemaChange:
    """One difference in columns or settings; ``old`` and ``new`` are texts, None where that side has none.

    Attributes:
        name: the column, or the property.
        old, new: type names for types, ``true`` or ``false`` for nullability, columns in order for a key.
    """

    change: SchemaKind
    name: str
    old: str | None
    new: str | None


@dataclass(frozen=True)
class Summary:
    """Counts of a diff. A row counts once: added, removed, or (with a key) updated.

    Attributes:
        rows_before, rows_after: None where a log does not say.
        unchanged: rows of both versions that are alike in the compared columns; None where the counts are unknown.
        cells: changed cells by column, of updated rows; columns without one are left out.
        duplicate_keys: keys of the table that were not single, so that their rows could not be paired.
        notes: what a reader must know, as sentences.
    """

    rows_before: int | None
    rows_after: int | None
    added: int
    removed: int
    updated: int
    unchanged: int | None
    cells: Mapping[str, int] = field(default_factory=lambda: EMPTY)
    duplicate_keys: int = 0
    notes: tuple[str, ...] = ()

    @property
    def changed(self) -> int:
        """Rows added, removed and updated."""
        return self.added + self.removed + self.updated


@dataclass(frozen=True)
class PlannedFile:
    """An object that a diff reads.

    Attributes:
        size: bytes of the object.
        bytes: how many of them are expected to be read.
    """

    path: str
    size: int
    bytes: int
    why: str


@dataclass(frozen=True)
class Rejected:
    """The way that was not taken: what it would have cost, or (``bytes`` None) why it is not allowed."""

    way: Way
    bytes: int | None
    why: str


@dataclass(frozen=True)
class Plan:
    """What a diff reads, and why; made from the logs alone.

    Attributes:
        way: ``changes`` nets the change rows of the commits between; ``snapshots`` compares the two versions;
            ``rows`` compares a version with rows not committed; ``nothing``: the versions are alike.
        commits: the versions after a up to b, oldest first (for b before a, those after b up to a).
        bytes: of all files, as counted.
        table_bytes: of the larger version's data files.
        at_most_rows: how many rows can differ at most, each side's counted; None where the log does not say.
        shared_files, shared_rows: data files that both versions have with the same vector, and their rows.
        untouched_partitions: partitions in which nothing can differ.
    """

    way: Way
    why: str
    commits: tuple[Version, ...] = ()
    files: tuple[PlannedFile, ...] = ()
    bytes: int = 0
    table_bytes: int = 0
    rejected: Rejected | None = None
    at_most_rows: int | None = None
    shared_files: int = 0
    shared_rows: int | None = None
    untouched_partitions: tuple[Mapping[str, str | None], ...] = ()


@dataclass(frozen=True)
class Bins:
    """A histogram: ``counts[i]`` values lie in ``[edges[i], edges[i + 1])``, the last bin closed on both sides.

    Edges of instants are microseconds since 1970, of dates days.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Profile:
    """One column on one side.

    Attributes:
        count: rows, nulls included.
        nans: NaN values, which no other figure but ``count`` includes.
        distinct: approximate.
        min, max, quantiles: the column's Python values; quantiles by share (0.01 to 0.99).
        mean, deviation: of numbers; the deviation of a sample (n - 1).
        top: the most frequent values with their counts, most frequent first.
        bins: over the same edges on both sides; numbers and times only.
        categories: counts of every value (None: null), where there are at most 1,000.
    """

    count: int
    nulls: int
    nans: int = 0
    distinct: int | None = None
    min: Any = None
    max: Any = None
    mean: float | None = None
    deviation: float | None = None
    quantiles: Mapping[float, Any] = field(default_factory=dict)
    top: tuple[tuple[Any, int], ...] = ()
    bins: Bins | None = None
    categories: Mapping[Any, int] | None = None


@dataclass(frozen=True)
class ColumnStatistics:
    """One column on both sides; a side that lacks the column is None. ``unchanged``: no value of it differs."""

    column: str
    type: pa.DataType
    before: Profile | None
    after: Profile | None
    unchanged: bool = False


@dataclass(frozen=True)
class Drift:
    """How far a column's values moved; a measure that does not apply is None, and ``why`` says why.

    Attributes:
        psi: population stability index.
        ks, ks_p: Kolmogorov-Smirnov statistic and p-value.
        js: Jensen-Shannon distance, base 2.
        chi2_p, cramers_v: chi-square's p-value and the effect's size.
        level: the highest that a measure's threshold gives.
    """

    column: str
    psi: float | None = None
    ks: float | None = None
    ks_p: float | None = None
    js: float | None = None
    chi2_p: float | None = None
    cramers_v: float | None = None
    level: Level = "none"
    why: str = ""


@dataclass(frozen=True)
class Segment:
    """A group of rows and how many of them changed.

    Attributes:
        group: its values, in the order of the columns asked for.
        rows: rows of the group before, and those that came to it.
        changed: how many of them were added, removed or updated.
        lift: the group's share of changed rows against the share in all rows; 1 is what chance gives.
        p: chance of at least as many changes.
        adjusted_p: the same, for having looked at all groups.
        concentrated: whether more changed than chance would give; None where that was not computed.
    """

    group: tuple[Any, ...]
    rows: int
    changed: int
    added: int
    removed: int
    updated: int
    lift: float | None = None
    p: float | None = None
    adjusted_p: float | None = None
    concentrated: bool | None = None


@dataclass(frozen=True)
class Segments:
    """Changes by group, most changed rows first; ``other`` sums the groups that were left out, ``others`` of them."""

    by: tuple[str, ...]
    groups: tuple[Segment, ...]
    other: Segment | None = None
    others: int = 0


@dataclass(frozen=True)
class Findings:
    """A diff as reports show it: capped, complete in itself, frozen.

    Attributes:
        table: the table's name, of a's side where two tables are compared.
        other: b's side's name where two tables are compared, else None.
        before, after: the versions; None: no version (nothing, or rows not committed).
        columns_before, columns_after: the columns of the rows shown.
        added, removed, updated: the first rows of each, in the columns of ``Diff``'s parts.
        changed: of each row of ``updated``, whether it differs in each compared column outside the key.
        statistics, drift, segments: None where they were not asked for or could not be had.
        left_out: what is not in here, by part: ``added``, ``removed``, ``updated`` count rows.
    """

    table: str
    other: str | None
    before: Version | None
    after: Version | None
    key: tuple[str, ...]
    compared: tuple[str, ...]
    columns_before: pa.Schema
    columns_after: pa.Schema
    tolerance: Mapping[str, tuple[float, float]]
    plan: Plan
    schema: tuple[SchemaChange, ...]
    summary: Summary
    added: pa.Table
    removed: pa.Table
    updated: pa.Table
    changed: pa.Table
    statistics: tuple[ColumnStatistics, ...] | None = None
    drift: tuple[Drift, ...] | None = None
    segments: Segments | None = None
    left_out: Mapping[str, int] = field(default_factory=lambda: EMPTY)
