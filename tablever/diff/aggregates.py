"""The columns of one side, in two passes of SQL aggregates and in bounded memory: figures, then counts.

The second pass needs the first: its bins lie at quantiles, and only values that may be frequent are counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from tablever.diff.counted import (
    BINS,
    MOST_TOP,
    QUANTILES,
    Counted,
    Counts,
    Numbers,
    quantile_edges,
)
from tablever.diff.sides import Side
from tablever.engine import cursor, empty_sql, identifier, query_errors, relation_of, release, scan_errors, sql_type
from tablever.findings import Profile
from tablever.measures import is_discrete, is_measured, is_number, value_at
from tablever.scan import open_scan

if TYPE_CHECKING:
    import duckdb

# Where a first, approximate look says that there are no more values, all are counted.
MOST_COUNTED = 1_200
# Columns are stored apart, so that reading a table in parts costs no more than at once.
COLUMNS_AT_ONCE = 100

_SHARES = (*QUANTILES, *(step / BINS for step in range(1, BINS)))


@dataclass(frozen=True)
class Relation:
    """A SELECT, and the connection that it runs on."""

    connection: duckdb.DuckDBPyConnection
    sql: str

    def rows(self, sql: str) -> pa.Table:
        """What a SELECT on the connection gives."""
        return self.connection.sql(sql).to_arrow_table()

    def register(self, name: str, rows: pa.Table) -> None:
        """Make rows known to the connection's SQL."""
        self.connection.register(name, rows)


@contextmanager
def relation(side: Side, schema: pa.Schema) -> Iterator[Relation]:
    """A side's rows in its columns; for nothing, no rows in those of a schema.

    Raises:
        VersionVacuumedError, CorruptionError, UnsupportedFeatureError: a file cannot be read.
        StorageError: no memory or disk is left.
    """
    with cursor() as connection:
        if side.log is not None and side.snapshot is not None:
            scan = open_scan(side.log, side.snapshot)
            with scan_errors(scan):
                rows = relation_of(connection, scan)
                try:
                    yield Relation(connection, rows.sql)
                finally:
                    release(connection, rows.kept)
            return
        with query_errors("the aggregates"):
            if side.rows is not None:
                connection.register("__tv_side", side.rows)
            yield Relation(connection, empty_sql(schema) if side.rows is None else "SELECT * FROM __tv_side")


@dataclass(frozen=True)
class Scanned:
    """One column of one side.

    Attributes:
        profile: without bins, whose ends depend on the other side.
        counted: all values, where they are few.
        edges, bins: inner edges, and the counts below the first, between them and from the last on; no edges where
            no value has a measure.
        low, high: the least and the greatest measure, None where no value has one.
    """

    profile: Profile
    counted: Counted | None
    edges: Numbers
    bins: Counts
    low: float | None
    high: float | None


def of_counted(counted: Counted, edges: Numbers | None = None) -> Scanned:
    """A column whose values are all counted; its own edges unless some are given."""
    measures, _ = counted.measured()
    inner = edges if edges is not None and len(edges) else counted.edges()
    low, high = (float(measures[0]), float(measures[-1])) if len(measures) else (None, None)
    return Scanned(counted.profile(), counted, inner, counted.binned(inner), low, high)


def scan(rows: Relation, columns: Mapping[str, pa.DataType], edges: Mapping[str, Numbers]) -> dict[str, Scanned]:
    """Columns of a relation, each in a type that holds its values.

    Args:
        edges: inner edges for columns that are to be counted between the same ones as elsewhere.
    """
    names = iter(columns.items())
    found: dict[str, Scanned] = {}
    while some := dict(islice(names, COLUMNS_AT_ONCE)):
        found |= _scan_some(rows, some, edges)
    return found


def _scan_some(rows: Relation, columns: Mapping[str, pa.DataType], edges: Mapping[str, Numbers]) -> dict[str, Scanned]:
    kinds = list(columns.values())
    chosen = ", ".join(_source(i, name, kind) for i, (name, kind) in enumerate(columns.items()))
    source = f"(SELECT {chosen} FROM ({rows.sql}))"
    figures = _first_pass(rows, source, kinds)
    inner = [_edges_before(found, edges.get(name)) for name, found in zip(columns, figures, strict=True)]
    counts = _second_pass(rows, source, figures, inner)
    return {
        name: _scanned(found, own, counted, edges.get(name))
        for name, found, own, counted in zip(columns, figures, inner, counts, strict=True)
    }


def _source(index: int, name: str, kind: pa.DataType) -> str:
    """A column as ``r`` (as it is), ``v`` (no NaN) and, where values have one, ``d`` (the measure)."""
    raw = f"CAST({identifier(name)} AS {sql_type(kind)})"
    value, measure = raw, None
    if pa.types.is_floating(kind):
        value = f"CASE WHEN isnan({raw}) THEN NULL ELSE {raw} END"
        measure = f"CASE WHEN isfinite({raw}) THEN CAST({raw} AS DOUBLE) END"
    elif is_number(kind):
        measure = f"CAST({raw} AS DOUBLE)"
    elif pa.types.is_date(kind):
        measure = f"CAST({raw} - DATE '1970-01-01' AS DOUBLE)"
    elif pa.types.is_timestamp(kind):
        measure = f"CAST(epoch_us({raw}) AS DOUBLE)"
    chosen = [f"{raw} AS r{index}", f"{value} AS v{index}"]
    return ", ".join(chosen if measure is None else [*chosen, f"{measure} AS d{index}"])


@dataclass(frozen=True)
class _Figures:
    """What the first pass finds of a column; ``known`` counts NaN, ``valued`` does not."""

    kind: pa.DataType
    total: int
    known: int
    valued: int
    distinct: int
    least: Any = None
    most: Any = None
    top: Sequence[Any] | None = None
    low: float | None = None
    high: float | None = None
    quantiles: Sequence[float] | None = None
    mean: float | None = None
    deviation: float | None = None

    @property
    def few(self) -> bool:
        """Whether all values are counted."""
        return self.distinct <= MOST_COUNTED and not pa.types.is_nested(self.kind)


def _first_pass(rows: Relation, source: str, kinds: Sequence[pa.DataType]) -> list[_Figures]:
    """The figures of each column; what may be top stays on the connection, for the second pass to look for."""
    columns = []
    for i, kind in enumerate(kinds):
        wanted = {"total": "count(*)", "known": f"count(r{i})", "valued": f"count(v{i})"}
        wanted["distinct"] = f"approx_count_distinct(v{i})"
        if not pa.types.is_nested(kind):
            wanted |= {"least": f"min(v{i})", "most": f"max(v{i})", "top": f"approx_top_k(v{i}, {MOST_TOP})"}
        if is_measured(kind):
            wanted |= {"low": f"min(d{i})", "high": f"max(d{i})"}
            wanted["quantiles"] = f"approx_quantile(d{i}, {list(_SHARES)})"
        if is_number(kind):
            wanted |= {"mean": f"favg(d{i})", "deviation": f"stddev_samp(d{i})"}
        fields = ", ".join(f"{identifier(name)} := {sql}" for name, sql in wanted.items())
        columns.append(f"struct_pack({fields}) AS c{i}")
    rows.connection.execute(f"CREATE OR REPLACE TEMP TABLE __tv_figures AS SELECT {', '.join(columns)} FROM {source}")
    for i, kind in enumerate(kinds):
        if not pa.types.is_nested(kind):
            rows.connection.execute(f"SET VARIABLE __tv_top{i} = (SELECT c{i}.top FROM temp.__tv_figures)")
    found = rows.rows("FROM temp.__tv_figures")
    return [_Figures(kind, **found.column(f"c{i}")[0].as_py()) for i, kind in enumerate(kinds)]


def _edges_before(found: _Figures, given: Numbers | None) -> Numbers:
    """The inner edges between which the second pass counts."""
    if given is not None and len(given):
        return given
    if found.quantiles is None or found.low is None or found.high is None:
        return np.empty(0)
    at = np.array(found.quantiles[len(QUANTILES) :])
    return quantile_edges(at, found.low, found.high, discrete=is_discrete(found.kind))


@dataclass(frozen=True)
class _Counts:
    """What the second pass finds of a column: pairs of a value and its count, of a bin's end and its count; counts."""

    all: Sequence[tuple[Any, int]]
    bins: Sequence[tuple[float, int]]
    top: Sequence[int]


def _second_pass(rows: Relation, source: str, figures: Sequence[_Figures], edges: Sequence[Numbers]) -> list[_Counts]:
    """All values of each column where they are few; else its bins, and the values that may be frequent."""
    wanted = ["count(*) AS total"]  # without an aggregate, no rows would give no row
    for i, (found, inner) in enumerate(zip(figures, edges, strict=True)):
        parts = dict.fromkeys(("all", "bins", "top"), "NULL")
        if found.few:
            parts["all"] = f"histogram(v{i})"
        else:
            candidates = (f"getvariable('__tv_top{i}')[{n + 1}]" for n in range(len(found.top or ())))
            parts["top"] = f"[{', '.join(f'count(*) FILTER (v{i} = {value})' for value in candidates)}]"
            # DuckDB's bins are open below and closed above; ours are the other way round.
            ends = ", ".join(f"'{np.nextafter(edge, -np.inf)}'" for edge in inner)
            parts["bins"] = f"histogram(d{i}, CAST([{ends}] AS DOUBLE[]))" if len(inner) else "NULL"
        wanted += [f"{sql} AS {name}{i}" for name, sql in parts.items()]
    row = rows.rows(f"SELECT {', '.join(wanted)} FROM {source}")
    columns = ({name: row.column(f"{name}{i}")[0].as_py() or [] for name in parts} for i in range(len(figures)))
    return [_Counts(**found) for found in columns]


def _scanned(found: _Figures, edges: Numbers, counts: _Counts, given: Numbers | None) -> Scanned:
    nulls, nans = found.total - found.known, found.known - found.valued
    if found.few:
        return of_counted(Counted(found.kind, dict(counts.all), nulls, nans), given)
    bins = np.zeros(len(edges) + 1, np.int64)
    bins[: len(counts.bins)] = [count for _, count in counts.bins]
    ranked = sorted(zip(found.top or (), counts.top, strict=True), key=lambda pair: -pair[1])
    profile = Profile(
        count=found.total,
        nulls=nulls,
        nans=nans,
        distinct=min(found.distinct, found.valued),
        min=found.least,
        max=found.most,
        mean=_finite(found.mean),
        deviation=_finite(found.deviation),
        quantiles=_quantiles(found),
        top=tuple((value, count) for value, count in ranked if count > 1),
    )
    return Scanned(profile, None, edges, bins, found.low, found.high)


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None


def _quantiles(found: _Figures) -> dict[float, Any]:
    measures = (found.quantiles or ())[: len(QUANTILES)]
    values = [value_at(measure, found.kind, found.least, found.most) for measure in measures]
    return dict(zip(QUANTILES, values, strict=bool(values)))
