"""A row's life by a naive replay: every version is taken whole, and set against the one before it, row by row."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from tablever.arrow_types import common_type
from tests.model import Column, Row, State, canonical, identity

Name = tuple[Hashable, ...]


@dataclass(frozen=True)
class Replay:
    """Versions, each in the same columns: the last one's, or also those that went.

    Attributes:
        key: the columns that name a row; all of them without a key.
    """

    columns: tuple[Column, ...]
    key: tuple[str, ...]
    versions: tuple[tuple[Row, ...], ...]

    def name(self, row: Mapping[str, Any]) -> Name:
        kinds = {column.name: column.type for column in self.columns}
        return tuple(canonical(row[name], kinds[name]) for name in self.key or kinds)

    def cells(self, row: Mapping[str, Any]) -> Hashable:
        return identity(row, self.columns)

    def at(self, number: int) -> Counter[Hashable]:
        return Counter(map(self.cells, self.versions[number]))


def replay(states: Sequence[State], *, gone: bool = False) -> Replay:
    """The versions in the last one's columns; with ``gone`` also in those that it no longer has, as they last were."""
    columns = {column.name: column for column in states[-1].columns}
    for state in states[::-1] if gone else ():
        columns |= {column.name: column for column in state.columns if column.name not in columns}
    versions = tuple(
        tuple({name: seen(state, row, column) for name, column in columns.items()} for row in state.rows)
        for state in states
    )
    return Replay(tuple(columns.values()), states[-1].key, versions)


def seen(state: State, row: Mapping[str, Any], column: Column) -> Any:
    """A version's value in a column of today: null where it had none, or one of a type that today's does not hold."""
    found = next((each for each in state.columns if each.name == column.name), None)
    if found is None or common_type(found.type, column.type) != column.type:
        return None
    value = row.get(column.name)
    return value if found.type == column.type else pa.scalar(value, found.type).cast(column.type).as_py()


@dataclass(frozen=True)
class Change:
    """What a version did to a row."""

    version: int
    change: str
    row: Hashable
    cells: Hashable = ()
    rows: int = 1


def changes(past: Replay) -> Iterator[tuple[Name, Change]]:
    """Every change, by the name of its row, oldest first; of one version deletes, inserts, updates."""
    before: tuple[Row, ...] = ()
    for number, after in enumerate(past.versions):
        sides: tuple[dict[Name, list[Row]], dict[Name, list[Row]]] = (defaultdict(list), defaultdict(list))
        for side, rows, others in ((0, before, after), (1, after, before)):
            left = Counter(map(past.cells, rows)) - Counter(map(past.cells, others))
            samples = {past.cells(row): row for row in rows}
            for cells in left.elements():
                sides[side][past.name(samples[cells])].append(samples[cells])
        for name in {**sides[0], **sides[1]}:
            went, came = sides[0].get(name, []), sides[1].get(name, [])
            if past.key and None not in name and len(went) == len(came) == 1:
                changed = tuple(
                    (c.name, canonical(went[0][c.name], c.type), canonical(came[0][c.name], c.type))
                    for c in past.columns
                    if canonical(went[0][c.name], c.type) != canonical(came[0][c.name], c.type)
                )
                yield name, Change(number, "update", past.cells(came[0]), changed)
                continue
            for word, side in (("delete", went), ("insert", came)):
                for cells, count in Counter(map(past.cells, side)).items():
                    for one in [count] if not past.key else [1] * count:
                        yield name, Change(number, word, cells, rows=one)
        before = after


def lives(past: Replay) -> Counter[tuple[Hashable, int, int | None]]:
    """Lifetimes: (row, the version that brought it, the one that ended it); of equal rows the oldest ends first."""
    alive: dict[Hashable, list[int]] = defaultdict(list)
    found: Counter[tuple[Hashable, int, int | None]] = Counter()
    for number in range(len(past.versions)):
        now = past.at(number)
        for cells in set(alive) | set(now):
            while len(alive[cells]) > now[cells]:
                found[cells, alive[cells].pop(0), number] += 1
            alive[cells] += [number] * (now[cells] - len(alive[cells]))
    for cells, added in alive.items():
        found.update((cells, number, None) for number in added)
    return found
