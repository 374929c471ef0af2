"""What a figure is: a piece of work, who is measured at it on which table, and the goals of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.results import Result

LABELS = {
    "ours": "tablever",
    "deltalake": "deltalake",
    "lance": "Lance",
    "iceberg": "PyIceberg",
    "ducklake": "DuckLake",
    "arcticdb": "ArcticDB",
    "doltlite": "DoltLite",
    "datacompy": "datacompy",
    "diffly": "diffly",
    "lakesift": "lake-sift",
    "oxen": "Oxen",
    "mlflow": "MLflow",
}


@dataclass(frozen=True)
class Contender:
    """A verb of a script (benchmarks.peers) on a table (benchmarks.recipes).

    Attributes:
        table: the recipe; empty where the verb needs no table, or makes one.
        maker: whose script made the table.
        same: its answer is to be that of ours.
    """

    label: str
    peer: str
    verb: str
    table: str
    maker: str
    parameters: Mapping[str, Any]
    same: bool = True


@dataclass(frozen=True)
class Goal:
    """What ours is to reach against the fastest of those named that took part; against nobody, by itself."""

    text: str
    against: tuple[str, ...]
    reached: Callable[[Result, Result], bool]

    def met(self, results: Mapping[str, Result]) -> bool | None:
        """Whether it is reached; ``None`` where none of those took part."""
        ours = results[LABELS["ours"]]
        rivals = [results[label] for label in self.against if label in results]
        if self.against and not rivals:
            return None
        return self.reached(ours, min(rivals, key=lambda result: result.median, default=ours))


@dataclass(frozen=True)
class Figure:
    """One piece of work; the first contender is ours.

    Attributes:
        writes: the answer is what the table holds afterwards.
        cold: the table's files are taken out of the page cache before.
        first: the first call of a process is measured; it has not done the same on a small table before.
        rounds: no more than these, for work that takes long.
    """

    question: str
    name: str
    contenders: tuple[Contender, ...]
    goals: tuple[Goal, ...] = ()
    writes: bool = False
    cold: bool = False
    first: bool = False
    rounds: int = field(default=1_000)


def by(
    peer: str,
    verb: str,
    table: str = "base",
    *,
    label: str = "",
    maker: str = "",
    same: bool = True,
    **parameters: Any,
) -> Contender:
    """A contender."""
    return Contender(label or LABELS[peer], peer, verb, table, maker or peer, parameters, same)


def at_most(ratio: float, *against: str, more_ms: float = 0) -> Goal:
    """Ours takes at most ``ratio`` times as long, or at most ``more_ms`` more."""
    words = f"at most {ratio:g}x {_listed(against)}" + (f", or {more_ms:g} ms more" if more_ms else "")
    return Goal(words, against, lambda o, p: o.median <= ratio * p.median or o.median - p.median <= more_ms)


def faster(times: float, *against: str) -> Goal:
    """Ours takes at most the ``times``-th part of the time."""
    return Goal(
        f"at least {times:g}x as fast as {_listed(against)}", against, lambda o, p: times * o.median <= p.median
    )


def under_ms(limit: float) -> Goal:
    """Ours takes less than that."""
    return Goal(f"under {limit:g} ms", (), lambda o, _: o.median < limit)


def under_mb(limit: float) -> Goal:
    """The table's folder grows by less than that."""
    return Goal(f"grows by less than {limit:g} MB", (), lambda o, _: o.grown_mb < limit)


def under_peak_mb(limit: float) -> Goal:
    """The process holds less than that."""
    return Goal(f"peak under {limit:,g} MB", (), lambda o, _: o.peak_mb < limit)


def grows_at_most(ratio: float, *against: str) -> Goal:
    """The table's folder grows by at most ``ratio`` times as much."""
    return Goal(
        f"grows by at most {ratio:g}x {_listed(against)}", against, lambda o, p: o.grown_mb <= ratio * p.grown_mb
    )


def _listed(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"the fastest of {', '.join(names)}"
