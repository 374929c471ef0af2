"""What a chart of a column shows: a histogram over slots of one width, or bars of values. Profiles in, numbers out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import isfinite
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tablever.findings import ColumnStatistics, Profile
from tablever.measures import is_discrete, ordinal
from tablever.texts import cell, count

SLOTS = 48
RARE = 0.001  # the share below which a value has no bar of its own
FEW = 12  # different numbers or times that are shown one by one
TAIL = 0.01
LONG = 3.0  # the tails are left out where the whole range is so many times what is between them
DAY = 86_400_000_000  # in microseconds
TINY, HUGE = 1e-300, 1e300  # beyond which a plotting library's own arithmetic fails

Numbers = NDArray[np.float64]
Cumulated = tuple[Numbers, Numbers]


@dataclass(frozen=True)
class Histogram:
    """Shares of each side's values in slots of equal width; None for a side without values.

    Attributes:
        edges: one more than slots; of times and dates in days since 1970.
        beyond: the share that lies outside of the slots, of the side where it is larger.
    """

    edges: Numbers
    before: Numbers | None
    after: Numbers | None
    beyond: float


@dataclass(frozen=True)
class Bar:
    """A value, or all others together, and its share of the rows on each side; None for a side without the column."""

    label: str
    before: float | None
    after: float | None
    others: bool = False

    @property
    def longest(self) -> float:
        """The larger share."""
        return max(self.before or 0.0, self.after or 0.0)


def histogram(statistics: ColumnStatistics) -> Histogram | None:
    """Both sides' bins as slots of one width; None for a column without bins or without a range.

    Between what is known of a side (its bins, quantiles and ends) values are taken as evenly spread. Where a few lie
    far out, up to one percent at each end is left out.
    """
    sides = [_cumulated(side, statistics.type) for side in (statistics.before, statistics.after)]
    there = [side for side in sides if side is not None]
    edges = _slots(there, whole=pa.types.is_integer(statistics.type)) if there else None
    if edges is None:
        return None
    shares = [None if side is None else np.diff(np.interp(edges, *side)) / side[1][-1] for side in sides]
    beyond = max(1 - float(part.sum()) for part in shares if part is not None)
    return Histogram(edges, shares[0], shares[1], max(beyond, 0.0))


def _cumulated(profile: Profile | None, kind: pa.DataType) -> Cumulated | None:
    """Edges between the first and the last value, and how many values lie below each; None where there are none."""
    bins = profile.bins if profile else None
    if bins is None or not any(bins.counts):
        return None
    edges = np.array(bins.edges, np.float64)
    below = np.concatenate([[0.0], np.cumsum(bins.counts, dtype=np.float64)])
    places, shares = _known(profile, kind) if profile else (edges[:0], below[:0])
    first = np.clip(np.searchsorted(edges, places, side="right") - 1, 0, len(edges) - 2)
    last = np.clip(np.searchsorted(edges, places, side="left"), 0, len(edges) - 1)
    known = np.clip(shares * below[-1], below[first], below[last])  # quantiles may be approximate, bins are not
    every, heights = np.concatenate([edges, places]), np.concatenate([below, known])
    order = np.lexsort((heights, every))
    every, heights = every[order], np.maximum.accumulate(heights[order])
    if pa.types.is_timestamp(kind):
        every /= DAY
    for place in np.flatnonzero(np.diff(every) <= 0) + 1:  # a value that many rows have is a step
        every[place] = np.nextafter(every[place - 1], np.inf)
    start, stop = np.searchsorted(heights, 0, side="right") - 1, np.searchsorted(heights, heights[-1])
    return every[start : stop + 1], heights[start : stop + 1]


def _known(profile: Profile, kind: pa.DataType) -> Cumulated:
    """Measures that a side's ends and quantiles give, and the share of its values that lies below each.

    Bins are cut where the other side's values lie; these are where its own do.
    """
    whole = is_discrete(kind)
    known = [(float(ordinal(value)) + (0.5 if whole else 0.0), share) for share, value in profile.quantiles.items()]
    if profile.min is not None:
        known.append((float(ordinal(profile.min)), 0.0))
    if profile.max is not None:
        greatest = float(ordinal(profile.max))
        known.append((greatest + 1 if whole else float(np.nextafter(greatest, np.inf)), 1.0))
    known = [(place, share) for place, share in known if isfinite(place)]
    return np.array([place for place, _ in known]), np.array([share for _, share in known])


def _slots(sides: Sequence[Cumulated], *, whole: bool) -> Numbers | None:
    with np.errstate(over="ignore", invalid="ignore"):
        (first, last), (low, high) = _span(sides, 0.0), _span(sides, TAIL)
        if low < high and last - first > LONG * (high - low):
            first, last = low, high
        width = last - first
    if not TINY < width < HUGE or max(abs(first), abs(last)) > HUGE:
        return None
    if whole:
        step = max(np.ceil(width / SLOTS), 1.0)
        edges = np.arange(np.floor(first), last + step, step)
    else:
        edges = np.linspace(first, last, SLOTS + 1)
    return edges if len(edges) > 1 and bool(np.all(np.diff(edges) > 0)) else None


def _span(sides: Sequence[Cumulated], tail: float) -> tuple[float, float]:
    """From the lowest to the highest value of both sides, each less its tails."""
    ends = [np.interp([tail * below[-1], (1 - tail) * below[-1]], below, edges) for edges, below in sides]
    return min(float(low) for low, _ in ends), max(float(high) for _, high in ends)


def bars(statistics: ColumnStatistics, most: int) -> list[Bar]:
    """The values that most rows have, at most ``most``, and a bar for the others; few numbers or times in their order.

    Empty where it is not known of any value how often both sides have it, or where all values are rare.
    """
    sides = (statistics.before, statistics.after)
    complete = all(side is None or side.categories is not None for side in sides)
    counts = [None if side is None else _counts(side, complete=complete) for side in sides]
    there = [each for each in counts if each is not None]
    found = [value for value in dict.fromkeys(chain(*there)) if complete or all(value in each for each in there)]
    shown = [
        Bar(_label(value), _share(counts[0], value, sides[0]), _share(counts[1], value, sides[1])) for value in found
    ]
    if complete and len(shown) <= FEW and _is_ordered(statistics.type):
        by_value = sorted(range(len(found)), key=lambda place: (found[place] is None, found[place] or 0))
        return [shown[place] for place in by_value]
    first = [bar for bar in sorted(shown, key=lambda bar: -bar.longest)[:most] if bar.longest >= RARE]
    others = _others(first, f"{count(len(shown) - len(first))} other values" if complete else "other values")
    return [*first, others] if first and others.longest > 1e-9 else first


def _counts(profile: Profile, *, complete: bool) -> Mapping[Any, int]:
    if complete and profile.categories is not None:
        return profile.categories
    return {**dict(profile.top), **({None: profile.nulls} if profile.nulls else {})}


def _share(counts: Mapping[Any, int] | None, value: Any, profile: Profile | None) -> float | None:
    if counts is None or profile is None:
        return None
    return counts.get(value, 0) / profile.count if profile.count else 0.0


def _others(first: Sequence[Bar], label: str) -> Bar:
    def rest(shares: Sequence[float | None]) -> float | None:
        known = [share for share in shares if share is not None]
        return max(1 - sum(known), 0.0) if known else None

    return Bar(label, rest([bar.before for bar in first]), rest([bar.after for bar in first]), others=True)


def _label(value: Any) -> str:
    return "(empty)" if value == "" else cell(value)


def _is_ordered(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_temporal(kind))
