"""A column's figures from how often each value occurs, and the edges of its histogram: pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tablever.findings import Bins, Profile
from tablever.measures import is_discrete, is_measured, is_number, ordinal

MOST_CATEGORIES = 1_000
MOST_TOP = 10
BINS = 256
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)

Numbers = np.ndarray[Any, np.dtype[np.float64]]
Counts = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Counted:
    """How often each value occurs; ``values`` holds neither null nor NaN."""

    kind: pa.DataType
    values: Mapping[Any, int]
    nulls: int = 0
    nans: int = 0

    def plus(self, delta: Iterable[tuple[Any, int]]) -> Counted:
        """With values that came (counts above 0) and went (below); those that are gone are left out."""
        values, nulls, nans = dict(self.values), self.nulls, self.nans
        for value, count in delta:
            if value is None:
                nulls += count
            elif isinstance(value, float) and math.isnan(value):
                nans += count
            else:
                values[value] = values.get(value, 0) + count
        return Counted(self.kind, {value: count for value, count in values.items() if count}, nulls, nans)

    def measured(self) -> tuple[Numbers, Counts]:
        """The finite measures, ascending, and how often each occurs; none of a type that has none."""
        values = self.values.items() if is_measured(self.kind) else ()
        pairs = sorted((float(ordinal(value)), count) for value, count in values)
        finite = [(measure, count) for measure, count in pairs if math.isfinite(measure)]
        return np.array([m for m, _ in finite], np.float64), np.array([c for _, c in finite], np.int64)

    def profile(self) -> Profile:
        """All figures but the bins: exact."""
        ranked = sorted(self.values.items(), key=lambda pair: pair[0])
        ranked.sort(key=lambda pair: -pair[1])
        categories = dict(ranked) | ({None: self.nulls} if self.nulls else {})
        mean, deviation = _moments(*self.measured()) if is_number(self.kind) else (None, None)
        return Profile(
            count=sum(self.values.values()) + self.nulls + self.nans,
            nulls=self.nulls,
            nans=self.nans,
            distinct=len(self.values),
            min=min(self.values, default=None),
            max=max(self.values, default=None),
            mean=mean,
            deviation=deviation,
            quantiles=self._quantiles() if is_measured(self.kind) else {},
            top=tuple(ranked[:MOST_TOP]),
            categories=categories if len(self.values) <= MOST_CATEGORIES else None,
        )

    def _quantiles(self) -> dict[float, Any]:
        """By nearest rank: the least value that at least that share of the finite ones does not exceed."""
        finite = sorted(value for value in self.values if math.isfinite(ordinal(value)))
        if not finite:
            return {}
        reached = np.cumsum([self.values[value] for value in finite])
        ranks = [int(np.searchsorted(reached, share * reached[-1])) for share in QUANTILES]
        return {share: finite[rank] for share, rank in zip(QUANTILES, ranks, strict=True)}

    def edges(self) -> Numbers:
        """Inner edges between its values, so that each lies well inside a bin; at most 257."""
        measures, counts = self.measured()
        if not len(measures):
            return measures
        reached = np.floor(np.cumsum(counts) * BINS / counts.sum())
        kept = np.ones(len(measures) - 1, np.bool_) if len(measures) < BINS else np.diff(reached) > 0
        between = (measures[:-1] / 2 + measures[1:] / 2)[kept]
        return _enclosed(between, measures[0], measures[-1], discrete=is_discrete(self.kind))

    def binned(self, edges: Numbers) -> Counts:
        """How many values lie below the first of the inner edges, between each two, and from the last on."""
        measures, counts = self.measured()
        places = np.searchsorted(edges, measures, side="right")
        return np.bincount(places, weights=counts, minlength=len(edges) + 1).astype(np.int64)


def _moments(measures: Numbers, counts: Counts) -> tuple[float | None, float | None]:
    """Mean and deviation of the sample; None where a double does not hold them."""
    rows = int(counts.sum())
    if not rows:
        return None, None
    with np.errstate(over="ignore", invalid="ignore"):
        mean = float(np.sum(measures * counts) / rows)
        squares = float(np.sum(counts * (measures - mean) ** 2))
    deviation = math.sqrt(squares / (rows - 1)) if rows > 1 and math.isfinite(squares) else None
    return (mean if math.isfinite(mean) else None), deviation


def quantile_edges(quantiles: Numbers, low: float, high: float, *, discrete: bool) -> Numbers:
    """Inner edges at a column's quantiles; a value that fills several of them has a bin of its own."""
    gap = _gap(low, high, discrete=discrete)
    ordered = np.round(quantiles) if discrete else quantiles
    repeats = np.concatenate([[False], np.diff(ordered) <= gap, [False]])
    starts, ends = ordered[~repeats[:-1]], ordered[repeats[:-1] & ~repeats[1:]]
    with np.errstate(over="ignore"):
        return _enclosed(np.concatenate([starts - gap, ends + gap]), low, high, discrete=discrete)


def _gap(low: float, high: float, *, discrete: bool) -> float:
    """Less than what lies between two values that matter, more than what rounding does to one."""
    scale = max(abs(low), abs(high))
    return max(0.5, 1e-15 * scale) if discrete else 1e-12 * scale or 1e-12


def _enclosed(edges: Numbers, low: float, high: float, *, discrete: bool) -> Numbers:
    """The edges with one just below the least value and one just above the greatest: what is new there stands apart."""
    gap = _gap(low, high, discrete=discrete)
    with np.errstate(over="ignore"):
        every = np.unique(np.concatenate([[low - gap], edges, [high + gap]]))
    finite: Numbers = every[np.isfinite(every)]
    return np.unique(np.ceil(finite)) if discrete else finite


def close(edges: Numbers, sides: Iterable[Counts], low: float, high: float, *, discrete: bool) -> list[Bins]:
    """Histograms over the same edges, from the least value of all sides to the greatest; empty ends are cut off.

    Edges of whole numbers are whole, and the last one is past the greatest value.

    Args:
        edges: the inner edges.
        sides: for each side, counts as ``Counted.binned`` gives them.
        low, high: the least and the greatest measure of all sides.
    """
    counts = np.array(list(sides))
    last = max(high + 1 if discrete else high, float(np.nextafter(edges[-1], np.inf)))
    ends = np.concatenate([[min(low, edges[0])], edges, [last]])
    first, stop = (0 if counts[:, 0].any() else 1), (counts.shape[1] if counts[:, -1].any() else counts.shape[1] - 1)
    cut = tuple(float(edge) for edge in ends[first : stop + 1])
    return [Bins(cut, tuple(int(count) for count in row[first:stop])) for row in counts]
