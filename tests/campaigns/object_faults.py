"""Random operations on tables in an object store, over a network that fails at random: what comes of each.

    python -m tests.campaigns.object_faults [--operations N] [--minutes M] [--seed S]

An S3 server is started for it. A plain-Python model knows what each operation must give; after each, with the network
sound again, the table must be what the model says: changed as asked where the operation returned, as it was where it
raised a StorageError, and one of the two where that says that nobody knows (``unsure``). A tag or a run that was made
but not entered into the journal is there, as its error says. At the end of a table's life every version is read again,
and verified.
"""

from __future__ import annotations

import argparse
import copy
import logging
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

import tablever as tv
from tablever import errors
from tests.model import Column, Model
from tests.object_storage.faults import KINDS, Fault, FaultyNetwork, Kind, Request
from tests.object_storage.servers import Server, seaweedfs
from tests.object_storage.tables import HOLD, IMPATIENT, Place, new_place

logger = logging.getLogger(__name__)
COLUMNS = (Column("id", pa.int64()), Column("n", pa.int64()), Column("text", pa.string()))
QUICK: tuple[Kind, ...] = tuple(kind for kind in KINDS if kind not in ("timeout", "latency"))
LIFE = 60  # operations on one table: past its first checkpoint


@dataclass
class Findings:
    """What a campaign saw."""

    operations: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    faults: Counter[Kind] = field(default_factory=Counter)
    versions: int = 0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """A short summary."""
        lines = [
            f"operations: {self.operations.total()} ({told(self.operations)})",
            f"outcomes: {told(self.outcomes)}",
            f"requests: {self.requests}, faults injected: {self.faults.total()} ({told(self.faults)})",
            f"versions read again at the end: {self.versions}",
            f"wrong results: {len(self.wrong)}",
        ]
        return "\n".join([*lines, *self.wrong])


def told(counts: Counter[Any]) -> str:
    """``append 3, read 2``."""
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


@dataclass
class World:
    """What a table must hold, by the model: its versions, and the names beside them."""

    model: Model
    tags: dict[str, int] = field(default_factory=dict)
    runs: set[tuple[str, int]] = field(default_factory=set)


class Wrong(Exception):  # noqa: N818 - a finding, not an error of this program
    """The table is not what it must be."""


Deed = Callable[[tv.Table], Any]
Meaning = Callable[[World], Any]


def draw(chance: random.Random, world: World, count: int) -> tuple[str, Deed, Meaning]:
    """An operation: its name, how the store does it, and what the model says that it returns."""
    ids = [row["id"] for row in world.model.head.rows]
    some = chance.sample(ids, min(len(ids), chance.randint(0, 4)))
    new = [{"id": 1000 * count + n, "n": n, "text": f"new {count}"} for n in range(chance.randint(1, 4))]
    changed = [{"id": i, "n": chance.randint(0, 3), "text": f"up {count}"} for i in some]
    newest = len(world.model.versions) - 1
    a, b = chance.randint(0, newest), chance.randint(0, newest)
    low = chance.choice(ids or [0])
    name = f"t{count}"
    deeds: dict[str, tuple[Deed, Meaning]] = {
        "append": (lambda t: number(tv.append(t, new)), lambda w: w.model.append(new)),
        "upsert": (lambda t: number(tv.upsert(t, changed + new[:1])), lambda w: w.model.upsert(changed + new[:1])),
        "update": (
            lambda t: number(tv.update(t, {"n": "n + 1"}, where=f"id >= {low}")),
            lambda w: w.model.update({"n": lambda row: row["n"] + 1}, lambda row: row["id"] >= low),
        ),
        "delete": (
            lambda t: number(tv.delete(t, where=f"id = {low}")),
            lambda w: w.model.delete(lambda row: row["id"] == low),
        ),
        "overwrite": (lambda t: number(tv.overwrite(t, changed + new)), lambda w: w.model.overwrite(changed + new)),
        "restore": (lambda t: number(tv.restore(t, a)), lambda w: w.model.restore(a)),
        "tag": (lambda t: tv.tag(t, name, a).version, lambda w: w.tags.setdefault(name, a)),
        "link run": (
            lambda t: tv.link_run(t, a, name, metrics={"f1": 0.5}).version,
            lambda w: w.runs.add((name, a)) or a,  # type: ignore[func-returns-value]
        ),
        "read": (lambda t: rows(tv.read_version(t, a)), lambda w: expected(w, a)),
        "query": (
            lambda t: tv.query(f"SELECT count(*) AS c FROM t AT (VERSION => {a})", tables={"t": t}).to_pylist(),
            lambda w: [{"c": len(w.model.versions[a].state.rows)}],
        ),
        "diff": (lambda t: diff(t, a, b), lambda w: model_diff(w, a, b)),
        "log": (lambda t: len(tv.list_versions(t)), lambda w: len(w.model.versions)),
    }
    chosen = chance.choice(sorted(deeds))
    return chosen, *deeds[chosen]


def number(version: tv.Version | None) -> int | None:
    """A version's number."""
    return None if version is None else version.number


def rows(table: pa.Table) -> list[Any]:
    """The rows, sorted."""
    return sorted(tuple(row[column.name] for column in COLUMNS) for row in table.to_pylist())


def expected(world: World, version: int) -> list[Any]:
    """A version's rows by the model, sorted."""
    return sorted(tuple(row[column.name] for column in COLUMNS) for row in world.model.versions[version].state.rows)


def diff(table: tv.Table, a: int, b: int) -> tuple[int, int, int]:
    """How many rows came, went and changed."""
    found = tv.diff_versions(table, a, b).summary
    return found.added, found.removed, found.updated


def model_diff(world: World, a: int, b: int) -> tuple[int, int, int]:
    """The same by the model."""
    old, new = ({row[0]: row for row in expected(world, number)} for number in (a, b))
    both = old.keys() & new.keys()
    return len(new.keys() - both), len(old.keys() - both), sum(old[key] != new[key] for key in both)


def check(place: Place, world: World, *, whole: bool = False) -> None:
    """Compare the table, over a sound network, with the model. Raises Wrong."""
    table = place.open()
    versions = tv.list_versions(table)
    if [v.number for v in versions] != list(range(len(world.model.versions))):
        raise Wrong(f"{len(versions)} versions, not {len(world.model.versions)}")
    for each in range(len(versions)) if whole else [len(versions) - 1]:
        if rows(tv.read_version(table, each)) != expected(world, each):
            raise Wrong(f"version {each} has other rows")
    if {tag.name: tag.version for tag in tv.list_tags(table)} != world.tags:
        raise Wrong("other tags")
    if {(run.run_id, run.version) for run in tv.runs_of(table)} != world.runs:
        raise Wrong("other runs")
    if whole:
        report = tv.verify(table, level="rows")
        if report.damaged:
            raise Wrong(f"damaged: {report.damaged}")


def network_of(chance: random.Random) -> Callable[[Request], Fault | None]:
    """How the network is for one operation: now and then a fault, often one, or all of one kind."""
    storms = [(0.03, KINDS)] * 4 + [(0.1, KINDS)] * 3 + [(0.3, KINDS)] * 2 + [(1.0, (chance.choice(QUICK),))]
    rate, kinds = chance.choice(storms)
    only = chance.random() < 0.3

    def decide(request: Request) -> Fault | None:
        kind = chance.choice(kinds)
        if chance.random() > rate or (kind == "conflict" and not request.conditional):
            return None
        if only and request.method != "PUT":
            return None
        return Fault(kind, seconds=HOLD.get(kind, 0.0))

    return decide


def campaign(server: Server, seed: int, *, operations: int, until: float | None = None) -> Findings:
    """Do that many operations, or as many as there is time for."""
    chance, weather = random.Random(seed), random.Random(seed + 1)
    found = Findings()
    with FaultyNetwork(server.address) as network:
        behind = server.through(network.address)
        while found.operations.total() < operations and (until is None or time.monotonic() < until):
            live(server, behind, network, chance, weather, found, min(LIFE, operations - found.operations.total()))
        found.requests = len(network.requests)
        for (kind, _), count in network.injected.items():
            found.faults[kind] += count
    return found


def live(
    server: Server,
    behind: Server,
    network: FaultyNetwork,
    chance: random.Random,
    weather: random.Random,
    found: Findings,
    operations: int,
) -> None:
    """One table's life."""
    place = new_place(server)
    first = [{"id": n, "n": n % 3, "text": "first"} for n in range(8)]
    tv.create_table(place.uri, first, key="id", storage_options=place.options)
    world = World(Model.create(COLUMNS, ("id",), first))
    for _ in range(operations):
        name, deed, meaning = draw(chance, world, found.operations.total() + 1)
        found.operations[name] += 1
        network.decide(network_of(weather))
        after = copy.deepcopy(world)
        answer = meaning(after)
        try:
            outcome, world = attempt(place.through(behind, **IMPATIENT), network, deed, answer, place, world, after)
        except Wrong as error:
            found.wrong.append(f"{place.uri} operation {found.operations.total()} {name}: {error}")
            return
        found.outcomes[outcome] += 1
        if found.operations.total() % 100 == 0:
            logger.info("%s", found)
    try:
        check(place, world, whole=True)
    except (Wrong, errors.TableverError) as error:
        found.wrong.append(f"{place.uri} at the end: {error}")
    found.versions += len(world.model.versions)


def attempt(
    through: Place, network: FaultyNetwork, deed: Deed, answer: Any, place: Place, world: World, after: World
) -> tuple[str, World]:
    """Do it over the faulty network; how it ended, and what the table holds now. Raises Wrong."""
    try:
        got = deed(through.open())
    except errors.StorageError as error:
        network.heal()
        if "made" in error.facts:
            verified(place, after, f"made ({error}), yet")
            return "made, not in the journal", after
        if "unsure" not in error.facts:
            verified(place, world, f"StorageError ({error}), yet")
            return "refused", world
        try:
            check(place, world)
        except Wrong:
            verified(place, after, f"unsure ({error}), and neither;")
            return "unsure, done", after
        return "unsure, not done", world
    except Exception as error:
        network.heal()
        raise Wrong(f"{type(error).__name__}: {error}") from error
    network.heal()
    if got != answer:
        raise Wrong(f"returned {got}, not {answer}")
    verified(place, after, "returned, yet")
    return "done", after


def verified(place: Place, world: World, what: str) -> None:
    """As ``check``, with what happened before."""
    try:
        check(place, world)
    except (Wrong, errors.TableverError) as error:
        raise Wrong(f"{what} {error}") from error


def main() -> None:
    """Read the arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operations", type=int, default=1_000)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    until = None if given.minutes is None else time.monotonic() + 60 * given.minutes
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder, seaweedfs(Path(folder)) as server:
        print(campaign(server, given.seed, operations=given.operations, until=until))


if __name__ == "__main__":
    main()
