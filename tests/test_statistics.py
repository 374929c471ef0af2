"""Statistics of columns, drift and segments: against naive computations, scipy on raw samples, and each other."""

from __future__ import annotations

import math
import random
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

import tablever as tv
from tablever import drift
from tablever.diff import aggregates, profiles
from tablever.diff.netting import Parts, images, updated_schema
from tablever.diff.profiles import compare_profiles
from tablever.diff.segments import count_segments
from tablever.diff.sides import Scope, Side, scope_of
from tablever.errors import InvalidInputError, SchemaMismatchError, UnsupportedFeatureError
from tablever.findings import ColumnStatistics, Drift, Profile, Segment, Segments
from tablever.log import open_log
from tests.model import canonical
from tests.strategies import NESTED, PRIMITIVES, values

NAN, INF = float("nan"), float("inf")


def parts_of(before: pa.Table, after: pa.Table, scope: Scope) -> Parts:
    """The changes by a naive comparison: keys by dictionary, rows without a key as multisets."""
    before, after = before.select(scope.before.names), after.select(scope.after.names)
    shared = [name for name in scope.compared if name in before.column_names and name in after.column_names]

    def image(row: Mapping[str, Any], side: pa.Table, names: Sequence[str]) -> tuple[Any, ...]:
        kinds = [scope.types[name] or side.schema.field(name).type for name in names]
        return tuple((name, str(k), canonical(row[name], k)) for name, k in zip(names, kinds, strict=True))

    if not scope.key:
        left, right = ([image(row, side, shared) for row in side.to_pylist()] for side in (before, after))
        removed = surplus(before, left, Counter(left) - Counter(right))
        added = surplus(after, right, Counter(right) - Counter(left))
        return Parts(added=added, removed=removed, updated=updated_schema(scope).empty_table())
    old, new = ({image(row, side, scope.key): row for row in side.to_pylist()} for side in (before, after))
    pairs = [(old[key], new[key]) for key in old if key in new]
    changed = [[n for n in shared if image(a, before, [n]) != image(b, after, [n])] for a, b in pairs]
    updated = [
        {name: b[name] for name in scope.key} | {i.name: (b if i.came else a)[i.column] for i in images(scope)}
        for (a, b), names in zip(pairs, changed, strict=True)
        if names
    ]
    return Parts(
        added=table([row for key, row in new.items() if key not in old], after.schema),
        removed=table([row for key, row in old.items() if key not in new], before.schema),
        updated=table(updated, updated_schema(scope)),
        cells=Counter(name for names in changed for name in names),
    )


def surplus(rows: pa.Table, images: Sequence[Any], more: Counter[Any]) -> pa.Table:
    found = []
    for number, image in enumerate(images):
        if more[image] > 0:
            more[image] -= 1
            found.append(number)
    return rows.take(pa.array(found, pa.int64()))


def table(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist([dict(row) for row in rows], schema=schema)


def compared(before: pa.Table, after: pa.Table, key: Sequence[str] = (), **options: Any) -> dict[str, ColumnStatistics]:
    """The statistics of two sets of rows, by column."""
    left, right = Side(rows=before), Side(rows=after)
    scope = scope_of(left, right, key=list(key), **options)
    found = compare_profiles(left, right, scope, parts_of(before, after, scope))
    assert [column.column for column in found] == list(scope.columns)
    return {column.column: column for column in found}


def one_column(before: Sequence[Any], after: Sequence[Any], kind: pa.DataType) -> ColumnStatistics:
    return compared(*(pa.table({"v": pa.array(side, kind)}) for side in (before, after)))["v"]


# Figures


def finite(values: Sequence[Any]) -> list[Any]:
    return [v for v in values if not isinstance(v, float) or math.isfinite(v)]


def check_figures(profile: Profile | None, column: Sequence[Any], kind: pa.DataType) -> None:
    """The exact figures of a column with few values, worked out anew."""
    assert profile is not None
    known = [v for v in column if v is not None]
    real = [v for v in known if not (isinstance(v, float) and math.isnan(v))]
    assert (profile.count, profile.nulls, profile.nans) == (
        len(column), len(column) - len(known), len(known) - len(real),
    )  # fmt: skip
    if pa.types.is_nested(kind):
        assert (profile.min, profile.top, profile.categories, profile.bins) == (None, (), None, None)
        return
    counts = Counter(real)
    assert profile.distinct == len(counts)
    assert (profile.min, profile.max) == (min(real, default=None), max(real, default=None))
    assert [n for _, n in profile.top] == sorted(counts.values(), reverse=True)[:10]
    assert all(counts[value] == n for value, n in profile.top)
    assert profile.categories == counts | ({None: len(column) - len(known)} if len(known) < len(column) else {})
    numbers = finite(real)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        check_moments(profile, [float(n) for n in numbers])
    else:
        assert (profile.mean, profile.deviation) == (None, None)
    for share, value in profile.quantiles.items():
        assert sum(n <= value for n in numbers) >= share * len(numbers) - 1e-9
        assert sum(n < value for n in numbers) <= share * len(numbers) + 1e-9
    if profile.bins is not None:
        assert sum(profile.bins.counts) == len(numbers)


def check_moments(profile: Profile, numbers: Sequence[float]) -> None:
    try:
        mean = statistics.fmean(numbers) if numbers else None
    except OverflowError:
        mean = None
    if mean is None or profile.mean is None:  # a double may not hold the sum, whichever way it is made
        assert profile.mean is None or max(map(abs, numbers), default=0) > 1e300
        return
    scale = max(abs(n) for n in numbers) or 1.0
    assert profile.mean == pytest.approx(mean, rel=1e-9, abs=1e-9 * scale)
    if len(numbers) > 1 and scale < 1e150:
        deviation = statistics.stdev(numbers)
        assert profile.deviation == pytest.approx(deviation, rel=1e-6, abs=1e-7 * scale + 1e-150)  # squares underflow


@given(data=st.data(), kind=st.sampled_from(PRIMITIVES + NESTED))
def test_figures_of_few_values_are_exact(data: st.DataObject, kind: pa.DataType) -> None:
    """Of every type, with null, NaN, infinities and extremes: each figure is what a naive computation gives."""
    before, after = (data.draw(st.lists(values(kind), max_size=30)) for _ in range(2))
    found = one_column(before, after, kind)
    assert found.type == kind
    sides = [pa.array(side, kind).to_pylist() for side in (before, after)]
    check_figures(found.before, sides[0], kind)
    check_figures(found.after, sides[1], kind)
    if found.before is not None and found.after is not None and found.before.bins and found.after.bins:
        assert found.before.bins.edges == found.after.bins.edges


@given(data=st.data(), kind=st.sampled_from([kind for kind in PRIMITIVES if not pa.types.is_boolean(kind)]))
def test_bins_hold_what_lies_between_their_edges(data: st.DataObject, kind: pa.DataType) -> None:
    """Edges ascend from the least value of both sides to the greatest, and each count is of [edge, next edge)."""
    sides = [data.draw(st.lists(values(kind), max_size=30)) for _ in range(2)]
    found = one_column(sides[0], sides[1], kind)
    for profile, side in zip((found.before, found.after), sides, strict=True):
        assert profile is not None
        if profile.bins is None:
            assert not measures(sides[0] + sides[1], kind)
            continue
        edges, counts = profile.bins.edges, profile.bins.counts
        assert len(edges) == len(counts) + 1
        assert list(edges) == sorted(set(edges))
        below = [sum(m < edge for m in measures(side, kind)) for edge in edges[:-1]]
        assert list(counts) == list(np.diff([*below, len(measures(side, kind))]))
        assert max(measures(side, kind), default=edges[0]) <= edges[-1]
        assert pa.types.is_floating(kind) or pa.types.is_decimal(kind) or all(edge == round(edge) for edge in edges)


def measures(column: Sequence[Any], kind: pa.DataType) -> list[float]:
    """The numbers that stand for the values: days, microseconds, the numbers themselves; none for text."""
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return []
    array = pa.array(column, kind)
    if pa.types.is_date(kind):
        array = array.cast(pa.int32())
    elif pa.types.is_timestamp(kind):
        array = array.cast(pa.int64())
    return [float(v) for v in finite(array.drop_null().to_pylist())]


def many(rows: int = 20_000) -> pa.Table:
    """Columns of many values: even, skewed, with a frequent value, text, decimals, instants."""
    draw = np.random.default_rng(7)
    frequent = draw.random(rows) < 0.3
    return pa.table(
        {
            "id": pa.array(range(rows)),
            "even": draw.random(rows),
            "skewed": np.exp(draw.normal(0, 2, rows)).astype(np.float32),
            "mass": np.where(frequent, 0.1, draw.normal(0, 1, rows)),
            "text": np.where(frequent, "often", np.array([f"text {n}" for n in draw.integers(0, 10**9, rows)])),
            "price": pa.array(
                [Decimal(int(n)).scaleb(-2) for n in draw.integers(0, 10**8, rows)], pa.decimal128(12, 2)
            ),
            "at": pa.array(draw.integers(0, 2**50, rows), pa.timestamp("us", "UTC")),
            "day": pa.array(draw.integers(0, 20_000, rows).astype(np.int32), pa.date32()),
            "holes": pa.array([None if n < 0.2 else NAN if n < 0.3 else n for n in draw.random(rows)]),
        }
    )


def test_figures_of_many_values_are_near() -> None:
    """Counts, extremes, moments, bins and frequent values are exact; quantiles within 1 % in rank, distinct 12 %."""
    rows = many()
    found = compared(rows, rows.slice(0, 0), ["id"])
    for name, kind in zip(rows.column_names, rows.schema.types, strict=True):
        profile = found[name].before
        assert profile is not None
        column = [v for v in rows[name].to_pylist() if v is not None and v == v]
        assert profile.count - profile.nulls - profile.nans == len(column)
        assert (profile.min, profile.max) == (min(column), max(column))
        assert profile.distinct == pytest.approx(len(set(column)), rel=0.12)
        assert profile.categories is None
        numbers = sorted(measures(rows[name].to_pylist(), kind))
        if numbers and profile.mean is not None:
            check_moments(profile, numbers)
        for share, value in profile.quantiles.items():
            low, high = (np.searchsorted(sorted(column), value, side=side) for side in ("left", "right"))
            assert low / len(column) - 0.01 <= share <= high / len(column) + 0.01
        if numbers:
            assert profile.bins is not None
            assert 180 <= len(profile.bins.counts) <= 260
            below = [int(np.searchsorted(numbers, edge)) for edge in profile.bins.edges[:-1]]
            assert list(profile.bins.counts) == list(np.diff([*below, len(numbers)]))
    for name, value in (("text", "often"), ("mass", 0.1)):
        count = rows[name].to_pylist().count(value)
        assert found[name].before.top[:1] == ((value, count),)
    mass = found["mass"].before
    assert mass.bins is not None
    assert mass.top[0][1] in mass.bins.counts, "a frequent value has a bin of its own"


# What b costs


@st.composite
def changing(draw: st.DrawFn) -> tuple[pa.Table, pa.Table, list[str]]:
    """Two sides of a table, keyed or not, with rows in common."""
    kinds = draw(st.lists(st.sampled_from(PRIMITIVES + NESTED), min_size=1, max_size=3))
    schema = pa.schema([("id", pa.int64()), *((f"c{i}", kind) for i, kind in enumerate(kinds))])
    row = st.fixed_dictionaries({"id": st.integers(0, 12), **{f"c{i}": values(kind) for i, kind in enumerate(kinds)}})
    old = draw(st.lists(row, max_size=15, unique_by=lambda r: r["id"]))
    new = draw(st.lists(row, max_size=8, unique_by=lambda r: r["id"]))
    keep = [r for r in old if r["id"] not in {n["id"] for n in new} and r["id"] % 5]
    sides = [pa.Table.from_pylist(rows, schema=schema) for rows in (old, keep + new)]
    return sides[0], sides[1], draw(st.sampled_from([["id"], []]))


@given(case=changing())
def test_b_from_the_changes_equals_b_from_a_scan(case: tuple[pa.Table, pa.Table, list[str]]) -> None:
    """What the changes say of b is what reading b says, in every figure of columns with few values."""
    before, after, key = case
    quick = compared(before, after, key)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(profiles, "MOST_CHANGED", -1)
        read = compared(before, after, key)
    for name, found in quick.items():
        assert found.before == read[name].before
        assert found.after == read[name].after
        assert not read[name].unchanged


def test_columns_read_in_parts_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many columns a pass reads changes no exact figure."""
    draw = random.Random(3)
    rows = pa.table({"id": range(40), **{f"c{n}": [draw.randrange(n + 2) for _ in range(40)] for n in range(7)}})
    after = rows.slice(5).set_column(1, "c0", pa.array([9] * 35))
    whole = compared(rows, after, ["id"])
    monkeypatch.setattr(aggregates, "COLUMNS_AT_ONCE", 3)
    monkeypatch.setattr(profiles, "MOST_CHANGED", -1)
    parted = compared(rows, after, ["id"])
    assert [(c.before, c.after) for c in whole.values()] == [(c.before, c.after) for c in parted.values()]


def test_only_columns_that_changed_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of b, a pass reads columns with many values that changed, and no others."""
    rows = many(3_000)
    text = pa.array(["other" if n < 5 else v for n, v in enumerate(rows["text"].to_pylist())])
    after = rows.set_column(rows.column_names.index("text"), "text", text)
    read: list[list[str]] = []
    scan = profiles.scan
    monkeypatch.setattr(
        profiles, "scan", lambda r, columns, edges: (read.append(list(columns)), scan(r, columns, edges))[1]
    )
    found = compared(rows, after, ["id"])
    assert read == [rows.column_names, ["text"]]
    assert [name for name, column in found.items() if not column.unchanged] == ["text"]
    assert found["even"].before == found["even"].after


def test_values_that_change_places_leave_the_profile() -> None:
    """Two rows that swap their values change no figure, and yet the column is not unchanged."""
    rows = many(3_000)
    swapped = rows["even"].to_pylist()
    swapped[0], swapped[1] = swapped[1], swapped[0]
    found = compared(rows, rows.set_column(1, "even", pa.array(swapped)), ["id"])["even"]
    assert found.before == found.after
    assert not found.unchanged


def test_within_a_tolerance_b_is_read() -> None:
    """A tolerance hides changes from the rows, not from the figures."""
    before = pa.table({"id": [1, 2], "x": [1.0, 2.0]})
    after = pa.table({"id": [1, 2], "x": [1.25, 2.0]})
    left, right = Side(rows=before), Side(rows=after)
    scope = scope_of(left, right, key=["id"], tolerance=0.5)
    nothing = parts_of(before, before, scope)
    found = {s.column: s for s in compare_profiles(left, right, scope, nothing)}
    assert found["x"].after is not None
    assert found["x"].after.mean == 1.625
    assert found["id"].unchanged


def test_sides_that_lack_a_column_or_everything() -> None:
    """A column of one side has no profile on the other; nothing has no profiles; no rows have empty ones."""
    rows = pa.table({"id": [1, 2], "x": [1.0, 2.0]})
    found = compared(rows, rows.drop_columns(["x"]).append_column("y", pa.array(["a", None])), ["id"])
    assert (found["x"].after, found["y"].before) == (None, None)
    assert found["y"].after is not None
    assert found["y"].after.categories == {"a": 1, None: 1}
    left, right = Side(), Side(rows=rows)
    scope = scope_of(left, right)
    for column in compare_profiles(left, right, scope, parts_of(rows.slice(0, 0), rows, scope)):
        assert column.before is None
        assert column.after is not None
    empty = compared(rows.slice(0, 0), rows, ["id"])["x"].before
    assert empty == Profile(count=0, nulls=0, distinct=0, bins=empty and empty.bins, categories={})


def test_a_retyped_column() -> None:
    """Types with a common one are compared in it; others stand side by side, each in its own."""
    before = pa.table({"id": [1, 2, 3], "n": pa.array([1, 2, 3], pa.int32()), "t": ["1", "2", "3"]})
    after = pa.table({"id": [1, 2, 3], "n": [1.0, 2.5, 3.0], "t": pa.array([1, 2, 3])})
    found = compared(before, after, ["id"])
    assert found["n"].type == pa.float64()
    assert found["n"].before.categories == {1.0: 1, 2.0: 1, 3.0: 1}
    assert found["n"].before.bins.edges == found["n"].after.bins.edges
    assert (found["t"].before.max, found["t"].after.max) == ("3", 3)
    assert drift.measure((found["t"],)) == (Drift("t", why="its type changed"),)


def test_versions_of_a_table_and_rows_not_committed(tmp_path: Path) -> None:
    """Statistics of versions are those of their rows; of rows, those of the version that an upsert would make."""
    rows = many(3_000)
    created = tv.create_table(tmp_path / "t", rows, key="id")
    new = rows.slice(2_990, 10).set_column(0, "id", pa.array(range(2_995, 3_005)))
    log = open_log(created)
    left, right = Side(log, log.snapshot(0)), Side(rows=new)
    scope = scope_of(left, right)
    uncommitted = compare_profiles(left, right, scope, parts_of(rows.slice(2_995), new, scope))
    tv.upsert(created, new)
    after = Side(open_log(created), open_log(created).head())
    committed = compare_profiles(left, after, scope_of(left, after), parts_of(rows.slice(2_995), new, scope))
    for one, other in zip(uncommitted, committed, strict=True):
        assert one.after is not None
        assert other.after is not None
        same = ("count", "nulls", "nans", "min", "max", "top", "categories")
        assert [getattr(one.after, name) for name in same] == [getattr(other.after, name) for name in same]
        assert one.after.mean == pytest.approx(other.after.mean)
    column = tv.read_version(created)["even"].to_pylist()
    even = uncommitted[1].after
    assert even is not None
    assert (even.count, even.min, even.max) == (len(column), min(column), max(column))


# Drift


def drift_of(before: Sequence[Any], after: Sequence[Any], kind: pa.DataType | None = None) -> Drift:
    kind = kind or pa.array([*before, *after]).type
    return drift.measure((one_column(before, after, kind),))[0]


def draws(seed: int, rows: int, shift: float = 0.0) -> list[float]:
    return list(np.random.default_rng(seed).normal(shift, 1, rows))


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.5, 2.0])
@pytest.mark.parametrize(("n", "m"), [(500, 700), (5_000, 4_000), (20_000, 20_000)])
def test_kolmogorov_smirnov_against_scipy_on_the_raw_values(shift: float, n: int, m: int) -> None:
    """The statistic is at most the raw one, and lower by no more than the largest share of a bin."""
    before, after = draws(1, n), draws(2, m, shift)
    column = one_column(before, after, pa.float64())
    assert column.before is not None
    assert column.after is not None
    largest = max(max(side.bins.counts) / sum(side.bins.counts) for side in (column.before, column.after))
    raw = stats.ks_2samp(before, after, method="asymp")
    found = drift.measure((column,))[0]
    assert raw.statistic - largest <= found.ks <= raw.statistic + 1e-12
    assert found.ks_p >= stats.kstwobign.sf(raw.statistic * math.sqrt(n * m / (n + m))) - 1e-12


@pytest.mark.parametrize("shift", [0.0, 0.2, 1.0])
def test_shares_against_raw_deciles(shift: float) -> None:
    """The stability index and the Jensen-Shannon distance are those of ten groups at the deciles before."""
    before, after = draws(3, 8_000), draws(4, 6_000, shift)
    cuts = np.quantile(before, np.arange(1, 10) / 10)
    p, q = (np.bincount(np.searchsorted(cuts, side), minlength=10) / len(side) for side in (before, after))
    psi = sum((b - a) * math.log(b / a) for a, b in zip(p, q, strict=True))
    found = drift_of(before, after)
    assert found.psi == pytest.approx(psi, abs=0.01, rel=0.05)
    assert found.js == pytest.approx(float(jensenshannon(p, q, base=2)), abs=0.01, rel=0.05)


def test_categories_against_scipy_on_the_raw_values() -> None:
    """The chi-square test and Cramér's V are scipy's on the table of counts; null is a category."""
    draw = random.Random(5)
    before = draw.choices(["a", "b", "c", None], [5, 3, 1, 1], k=3_000)
    after = draw.choices(["a", "b", "d", None], [4, 3, 1, 2], k=2_000)
    crossed = [[side.count(v) for v in ("a", "b", "c", "d", None)] for side in (before, after)]
    expected = stats.chi2_contingency(np.array(crossed), correction=False)
    found = drift_of(before, after)
    assert found.chi2_p == pytest.approx(expected.pvalue)
    assert found.cramers_v == pytest.approx(stats.contingency.association(np.array(crossed), method="cramer"))
    p, q = (np.maximum(np.array(side) / sum(side), 1e-4) for side in crossed)
    assert found.psi == pytest.approx(float(np.sum((q - p) * np.log(q / p))))
    assert found.js == pytest.approx(float(jensenshannon(*crossed, base=2)))
    assert found.level == "major"


@pytest.mark.parametrize("rows", [20, 100, 1_000, 10_000])
def test_samples_of_one_population_are_seldom_flagged(rows: int) -> None:
    """What chance gives is no drift: of 60 pairs of samples of numbers and of categories, at most a few are flagged."""
    flagged = 0
    for seed in range(30):
        flagged += drift_of(draws(2 * seed, rows), draws(2 * seed + 1, rows)).level != "none"
        one, other = (random.Random(seed + offset).choices("abcde", k=rows) for offset in (1_000, 2_000))
        flagged += drift_of(one, other).level != "none"
    assert flagged <= 12


@pytest.mark.parametrize(
    ("before", "after", "level"),
    [
        (draws(1, 2_000), draws(2, 2_000, 0.4), "moderate"),
        (draws(1, 2_000), draws(2, 2_000, 1.0), "major"),
        ([5.0] * 500, [5.0] * 250 + [7.0] * 250, "major"),
        ([0.0] * 900 + draws(1, 100), [0.0] * 500 + draws(1, 500), "major"),
        (draws(1, 500), [*draws(1, 500)[:250], *[None] * 250], "major"),
        (draws(1, 500), [*draws(1, 500)[:250], *[NAN] * 250], "major"),
        (["a"] * 500, ["b"] * 500, "major"),
        ([True] * 600 + [False] * 400, [True] * 450 + [False] * 550, "moderate"),
        ([date(2024, 1, 1 + n % 28) for n in range(500)], [date(2025, 1, 1 + n % 28) for n in range(500)], "major"),
    ],
)
def test_what_moved_is_flagged(before: list[Any], after: list[Any], level: str) -> None:
    """A shift, a new value, a frequent value that becomes rare, nulls, NaN, other categories: each has its level."""
    assert drift_of(before, after).level == level


@given(data=st.data(), kind=st.sampled_from([k for k in PRIMITIVES if not pa.types.is_nested(k)]))
def test_nothing_moved_is_zero(data: st.DataObject, kind: pa.DataType) -> None:
    """A column against itself in another order: every measure is zero, every p-value 1."""
    before = data.draw(st.lists(values(kind), min_size=1, max_size=30))
    found = drift_of(before, data.draw(st.permutations(before)), kind)
    assert (found.psi, found.js, found.level) == (0.0, 0.0, "none")
    assert found.ks in (None, 0.0)
    assert found.chi2_p in (None, 1.0)


@given(data=st.data(), kind=st.sampled_from(PRIMITIVES))
def test_measures_are_in_their_ranges(data: st.DataObject, kind: pa.DataType) -> None:
    """Whatever the values: distances and p-values from 0 to 1, the index from 0 and finite, or why there is none."""
    sides = [data.draw(st.lists(values(kind), max_size=30)) for _ in range(2)]
    found = drift_of(*sides, kind)
    assert (found.psi is None) == bool(found.why)
    assert found.psi is None or 0 <= found.psi < INF
    for share in (found.js, found.ks, found.ks_p, found.chi2_p, found.cramers_v):
        assert share is None or 0 <= share <= 1 + 1e-12


def test_why_there_is_no_measure() -> None:
    """Too many values, nested values, one side alone, no rows: the column says so and is not flagged."""
    texts = [f"text {n}" for n in range(3_000)]
    assert drift_of(texts, [*texts[:-1], "other"]).why == "it has more than 1,000 different values"
    assert drift_of([[1]], [[2]]).why == "values of this type are not measured"
    assert drift_of([], [1.0]).why == "there are no rows before"
    assert drift_of([1.0], [], pa.float64()).why == "there are no rows after"
    alone = ColumnStatistics("x", pa.int64(), None, Profile(count=1, nulls=0))
    assert drift.measure((alone,)) == (Drift("x", why="only one side has the column"),)


# Segments


def segments_of(before: pa.Table, after: pa.Table, by: Sequence[str], key: Sequence[str] = ()) -> Segments:
    left, right = Side(rows=before), Side(rows=after)
    scope = scope_of(left, right, key=list(key))
    return count_segments(left, right, scope, parts_of(before, after, scope), by)


@given(case=changing())
def test_segments_count_each_row_in_its_group(case: tuple[pa.Table, pa.Table, list[str]]) -> None:
    """Rows of a and rows that came, by group; an updated row in its old group; the most changed first."""
    before, after, key = case
    scope = scope_of(Side(rows=before), Side(rows=after), key=key)
    parts = parts_of(before, after, scope)
    name = next((n for n in before.column_names[1:] if not pa.types.is_nested(before.schema.field(n).type)), "id")
    kind = before.schema.field(name).type
    old = name if name in key else f"from_{name}"

    def counted(rows: pa.Table, column: str) -> Counter[Any]:
        values = rows[column].to_pylist() if column in rows.column_names else []
        return Counter(canonical(value, kind) for value in values)

    found = segments_of(before, after, [name], key)
    expected = {
        "rows": counted(before, name) + counted(parts.added, name),
        "added": counted(parts.added, name),
        "removed": counted(parts.removed, name),
        "updated": counted(parts.updated, old),
    }
    for quantity, counts in expected.items():
        shown = {canonical(g.group[0], kind): getattr(g, quantity) for g in found.groups if getattr(g, quantity)}
        assert shown == {group: n for group, n in counts.items() if n}
    assert [g.changed for g in found.groups] == sorted((g.changed for g in found.groups), reverse=True)
    assert all(g.changed == g.added + g.removed + g.updated for g in found.groups)


def test_changes_that_concentrate(tmp_path: Path) -> None:
    """A group with far more changes than its share is concentrated; the p-value is the hypergeometric tail."""
    rows = pa.table({"id": range(4_000), "source": ["web", "app", "mail", "shop"] * 1_000, "x": [0] * 4_000})
    created = tv.create_table(tmp_path / "t", rows, key="id")
    changed = [*range(0, 1_200, 4), *range(1, 100, 2)]
    new = rows.take(changed).set_column(2, "x", pa.array([1] * len(changed)))
    tv.upsert(created, new)
    log = open_log(created)
    left, right = Side(log, log.snapshot(0)), Side(log, log.snapshot(1))
    scope = scope_of(left, right)
    counted = count_segments(left, right, scope, parts_of(rows.take(changed), new, scope), ["source"])
    found = {s.group[0]: s for s in drift.chance(counted).groups}
    assert {name: s.changed for name, s in found.items()} == {"web": 300, "app": 25, "shop": 25, "mail": 0}
    assert {name for name, s in found.items() if s.concentrated} == {"web"}
    assert found["web"].lift == pytest.approx((300 / 1_000) / (350 / 4_000))
    tail = sum(math.comb(1_000, k) * math.comb(3_000, 350 - k) for k in range(25, 351)) / math.comb(4_000, 350)
    assert found["app"].p == pytest.approx(tail)
    assert found["mail"].p == 1.0
    assert found["web"].adjusted_p == pytest.approx(4 * found["web"].p)


def test_at_most_a_thousand_groups_are_shown() -> None:
    """The groups with fewer changed rows are summed, and count as looked at."""
    rows = pa.table({"id": range(1_500), "user": range(1_500), "x": [0] * 1_500})
    after = rows.set_column(2, "x", pa.array([1] * 3 + [0] * 1_497))
    found = drift.chance(segments_of(rows, after, ["user"], ["id"]))
    assert len(found.groups) == 1_000
    assert [s.changed for s in found.groups[:4]] == [1, 1, 1, 0]
    assert (found.others, found.other.rows, found.other.changed) == (500, 500, 0)
    assert found.groups[0].adjusted_p == pytest.approx(3 / 1_500 * 1_500 / 3)


def test_groups_are_null_where_a_side_lacks_the_column() -> None:
    """By a column that only one side has, the other's rows are one group."""
    before = pa.table({"id": [1, 2, 3]})
    after = pa.table({"id": [2, 3, 4], "source": ["a", "b", "b"]})
    found = segments_of(before, after, ["source"], ["id"])
    assert {s.group: (s.rows, s.added, s.removed) for s in found.groups} == {(None,): (3, 0, 1), ("b",): (1, 1, 0)}


def test_nothing_changed_has_no_lift() -> None:
    """Without changes there is nothing to concentrate."""
    rows = pa.table({"id": [1, 2], "source": ["a", "b"]})
    found = drift.chance(segments_of(rows, rows, ["source"], ["id"]))
    assert [(s.changed, s.lift, s.p, s.concentrated) for s in found.groups] == [(0, None, 1.0, False)] * 2
    assert drift.chance(segments_of(rows.slice(0, 0), rows.slice(0, 0), ["source"])).groups == ()


@pytest.mark.parametrize(
    ("by", "error", "words"),
    [
        ([], InvalidInputError, "a list of different columns"),
        ("source", InvalidInputError, "a list of different columns"),
        (["source", "source"], InvalidInputError, "a list of different columns"),
        (["sauce"], SchemaMismatchError, "'sauce', which neither side has"),
        (["tags"], InvalidInputError, "by 'tags': its type is list"),
        (["torn"], InvalidInputError, "by 'torn': its types on the two sides have none in common"),
    ],
)
def test_groups_that_cannot_be(by: Any, error: type[Exception], words: str) -> None:
    """A group is of columns that are there, once each, and of simple types."""
    before = pa.table({"id": [1], "source": ["a"], "tags": [["x"]], "torn": ["1"]})
    after = before.set_column(3, "torn", pa.array([1]))
    with pytest.raises(error, match=words):
        segments_of(before, after, by, ["id"])


def test_a_column_left_out_of_the_comparison_is_no_group() -> None:
    """Changes are counted by columns that are compared: of others, the changed rows do not know the values."""
    rows = pa.table({"id": [1], "source": ["a"]})
    scope = scope_of(Side(rows=rows), Side(rows=rows), key=["id"], exclude=["source"])
    with pytest.raises(InvalidInputError, match="which is not compared: 'id'"):
        count_segments(Side(rows=rows), Side(rows=rows), scope, parts_of(rows, rows, scope), ["source"])


# Without the extra


def test_without_scipy_counts_work_and_measures_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Profiles and counts need no scipy; drift and chance refuse with the line to install."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "scipy"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "scipy", None)
    column = one_column([1], [2], pa.int64())
    segments = Segments(("g",), (Segment(("a",), 1, 1, 1, 0, 0),))
    for call in (lambda: drift.measure((column,)), lambda: drift.chance(segments)):
        with pytest.raises(UnsupportedFeatureError, match="scipy") as caught:
            call()
        assert caught.value.hint == "pip install 'tablever[report]'"


def test_importing_drift_does_not_load_scipy() -> None:
    """scipy takes a second to load: it is loaded when a measure is asked for."""
    code = "import sys, tablever.drift; print(any(n.partition('.')[0] == 'scipy' for n in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "False\n"
