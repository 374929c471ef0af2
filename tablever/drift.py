"""How far columns moved, and whether changes concentrate: measures of counts, pure.

Names, formulas, thresholds and sources: docs/reference/statistics.md. scipy computes them, and is loaded when one is
asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tablever.errors import UnsupportedFeatureError
from tablever.findings import ColumnStatistics, Drift, Level, Profile, Segments

PSI_MODERATE = 0.1
PSI_MAJOR = 0.25
PSI_BINS = 10
LEAST_SHARE = 1e-4
KS_LEAST = 0.1
JS_LEAST = 0.1
CRAMERS_V_LEAST = 0.1
LEAST_EXPECTED = 5
SIGNIFICANT = 0.05
LEAST_LIFT = 1.5

Counts = np.ndarray[Any, np.dtype[np.int64]]


def measure(statistics: tuple[ColumnStatistics, ...]) -> tuple[Drift, ...]:
    """The drift of each column, in their order.

    Raises:
        UnsupportedFeatureError: scipy is not installed.
    """
    _require_scipy()
    return tuple(_drift(column) for column in statistics)


def chance(segments: Segments) -> Segments:
    """The segments with p-values: how likely chance alone gives a group as many changed rows, and after adjustment.

    Groups that ``other`` sums count as looked at, with a p-value of 1.

    Raises:
        UnsupportedFeatureError: scipy is not installed.
    """
    _require_scipy()
    from scipy import stats

    every = [*segments.groups, *([segments.other] if segments.other else [])]
    rows, changed = (sum(getattr(group, name) for group in every) for name in ("rows", "changed"))
    if not segments.groups:
        return segments
    counts = np.array([(group.changed, group.rows) for group in segments.groups])
    p = stats.hypergeom.sf(counts[:, 0] - 1, rows, changed, counts[:, 1])
    adjusted = stats.false_discovery_control(np.concatenate([p, np.ones(segments.others)]), method="bh")
    groups = (
        replace(
            group,
            p=float(own),
            adjusted_p=float(among),
            concentrated=bool(among < SIGNIFICANT and (group.lift or 0.0) >= LEAST_LIFT),
        )
        for group, own, among in zip(segments.groups, p, adjusted[: len(p)], strict=True)
    )
    return replace(segments, groups=tuple(groups))


def _require_scipy() -> None:
    try:
        import scipy.stats  # noqa: F401
    except ImportError as error:
        raise UnsupportedFeatureError(
            "drift and chance are computed by scipy, which is not installed",
            hint="pip install 'tablever[report]'",
            feature="scipy",
        ) from error


@dataclass(frozen=True)
class _Groups:
    """The same groups counted on both sides, none empty on both."""

    before: Counts
    after: Counts


def _groups(before: Counts, after: Counts) -> _Groups:
    there = (before + after) > 0
    return _Groups(before[there], after[there])


def _drift(column: ColumnStatistics) -> Drift:
    before, after = column.before, column.after
    if before is None or after is None:
        return Drift(column.column, why="only one side has the column")
    if not before.count or not after.count:
        return Drift(column.column, why=f"there are no rows {'after' if before.count else 'before'}")
    if before.bins is not None and after.bins is not None and before.bins.edges == after.bins.edges:
        return _of_numbers(column.column, before, after)
    if before.categories is not None and after.categories is not None and (before.bins is None) == (after.bins is None):
        return _of_categories(column.column, before, after)
    return Drift(column.column, why=_why_not(before, after))


def _why_not(before: Profile, after: Profile) -> str:
    if (before.bins is None) != (after.bins is None) or before.bins is not None:
        return "its type changed"
    if before.min is None and after.min is None:
        return "values of this type are not measured"
    return "it has more than 1,000 different values"


def _of_numbers(column: str, before: Profile, after: Profile) -> Drift:
    """Measures of a histogram; null is a group of its own, and so are NaN and the infinities."""
    assert before.bins is not None
    assert after.bins is not None
    was, now = np.array(before.bins.counts), np.array(after.bins.counts)
    outside = [[side.nulls, side.count - side.nulls - int(bins.sum())] for side, bins in ((before, was), (after, now))]
    near = _deciles(was)
    tenths = [np.bincount(near, weights=bins, minlength=PSI_BINS).astype(np.int64) for bins in (was, now)]
    groups = _groups(*(np.concatenate([inside, rest]) for inside, rest in zip(tenths, outside, strict=True)))
    psi, js = _stability(groups), _distance(groups)
    ks, ks_p = _kolmogorov(was, now)
    level = _level(psi, js, _independence(groups)[0])
    if level == "none" and ks is not None and ks_p is not None and ks >= KS_LEAST and ks_p < SIGNIFICANT:
        level = "moderate"
    return Drift(column, psi=psi, ks=ks, ks_p=ks_p, js=js, level=level)


def _of_categories(column: str, before: Profile, after: Profile) -> Drift:
    """Measures of the counts of values, null and NaN among them."""
    values = list(dict.fromkeys([*(before.categories or {}), *(after.categories or {})]))
    counts = [
        np.array([*((side.categories or {}).get(value, 0) for value in values), side.nans], np.int64)
        for side in (before, after)
    ]
    groups = _groups(*counts)
    psi, js = _stability(groups), _distance(groups)
    p, v = _independence(groups)
    level = _level(psi, js, p)
    if level == "none" and v >= CRAMERS_V_LEAST and p < SIGNIFICANT:
        level = "moderate"
    return Drift(column, psi=psi, js=js, chi2_p=p, cramers_v=v, level=level)


def _level(psi: float, js: float, p: float) -> Level:
    """What the shares' thresholds give, where a test of the same groups says that it is more than chance."""
    if p >= SIGNIFICANT:
        return "none"
    if psi >= PSI_MAJOR:
        return "major"
    return "moderate" if psi >= PSI_MODERATE or js >= JS_LEAST else "none"


def _deciles(counts: Counts) -> Counts:
    """For each bin, the tenth of the values before in which its middle lies."""
    reached = np.cumsum(counts)
    if not counts.sum():
        return np.zeros(len(counts), np.int64)
    tenths: Counts = np.floor((reached - counts / 2) / reached[-1] * PSI_BINS).astype(np.int64)
    return np.minimum(tenths, PSI_BINS - 1)


def _stability(groups: _Groups) -> float:
    """The population stability index: the sum of (q - p) ln(q / p) over the groups."""
    from scipy.special import rel_entr

    p, q = (np.maximum(side / side.sum(), LEAST_SHARE) for side in (groups.before, groups.after))
    return float(np.sum(rel_entr(p, q) + rel_entr(q, p)))


def _distance(groups: _Groups) -> float:
    """The Jensen-Shannon distance in base 2: from 0 to 1."""
    from scipy.spatial.distance import jensenshannon

    with np.errstate(invalid="ignore"):  # of equal shares, rounding may leave a square below zero
        distance = float(jensenshannon(groups.before, groups.after, base=2))
    return 0.0 if np.isnan(distance) else distance


def _kolmogorov(before: Counts, after: Counts) -> tuple[float | None, float | None]:
    """The Kolmogorov-Smirnov statistic at the bins' edges, and its asymptotic p-value; None without any number."""
    from scipy import stats

    n, m = int(before.sum()), int(after.sum())
    if not n or not m:
        return None, None
    statistic = float(np.max(np.abs(np.cumsum(before) / n - np.cumsum(after) / m)))
    return statistic, float(stats.kstwobign.sf(statistic * np.sqrt(n * m / (n + m))))


def _independence(groups: _Groups) -> tuple[float, float]:
    """Pearson's chi-square p-value and Cramér's V; categories too rare for the test are taken together."""
    from scipy import stats

    table = np.array([groups.before, groups.after])
    expected = table.sum(axis=0) * table.sum(axis=1, keepdims=True).min() / table.sum()
    rare = expected < LEAST_EXPECTED
    kept = np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)]) if rare.any() else table
    if kept.shape[1] < 2:
        return 1.0, 0.0
    found = stats.chi2_contingency(kept, correction=False)
    return float(found.pvalue), float(np.sqrt(found.statistic / table.sum()))
