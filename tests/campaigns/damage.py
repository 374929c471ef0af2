"""Objects of tables damaged at random, one at a time: ``verify`` names each whose damage a reader could see.

    python -m tests.campaigns.damage [--tries 1000] [--seed 1] [--appends 10] [--minutes 8]

Each try is made on a copy of its own. What is done to which object follows from its number (their names and times do
not): one that is wrong is tried again with ``--tries 1 --seed N``. What is not found is read again, all of it, and
compared with what was read before.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import deltalake
import pyarrow as pa

import tablever as tv
from tablever import errors
from tablever.integrity.report import Level, Report

LEVELS: Sequence[Level] = ("files", "files", "files", "rows")
ROWS = 5_000  # what is deleted from so many here and there is a vector of its own file, not one in the log


def rows_of(*ids: int) -> pa.Table:
    """Rows by their key."""
    columns = {
        "id": pa.array(ids, pa.int64()),
        "place": pa.array(["here" if n % 3 else "there" for n in ids]),
        "score": pa.array([n / 7 if n % 5 else None for n in ids], pa.float64()),
        "text": pa.array([f"row {n}" for n in ids]),
    }
    return pa.table(columns)


def remembered(table: tv.Table) -> None:
    """Every kind of witness: tags, runs with metrics, pins, and the record of one that was deleted."""
    for number, ref in enumerate(("latest~2", "latest~1", "latest")):
        table.tag(f"v{number}", ref)
        table.link_run(ref, f"run {number}", metrics={"f1": 0.5})
        table.pin(ref, reason=f"audit {number}")
    table.link_run("latest", "run 2", metrics={"f1": 0.75})
    table.tag("mistaken", "latest")
    table.delete_tag("mistaken")


def plain(path: Path, appends: int, **settings: Any) -> tv.Table:
    """Two stored vectors and an inline one, change files, appends, two checkpoints."""
    table = tv.create_table(path, rows_of(*range(ROWS)), key="id", **settings)
    table.upsert(rows_of(1).set_column(3, "text", pa.array(["new"])))
    for number in (3, 4):
        table.delete(where=f"id % 5 = {number}")
        deltalake.DeltaTable(path).create_checkpoint()
    for number in range(appends):
        table.append(rows_of(ROWS + number))
    return table


def compacted(path: Path, appends: int) -> tv.Table:
    """The same, merged into one file, with other rows deleted since, and the versions before vacuumed."""
    table = plain(path, appends)
    table.compact()
    table.delete(where="id % 5 = 1")
    table.append(rows_of(2 * ROWS))
    table.vacuum(keep=f"{appends // 2 + 3} versions", dry_run=False, safety="0 hours")
    return table


def in_turns(path: Path, appends: int) -> tv.Table:
    """Half of it written by deltalake, which records no digests."""
    table = plain(path, 0, deletes="copy-on-write")
    for number in range(appends):
        if number % 2:
            table.append(rows_of(ROWS + number))
        else:
            deltalake.write_deltalake(path, rows_of(ROWS + number), mode="append")
    deltalake.DeltaTable(path).delete("id = 7")
    table.upsert(rows_of(8).set_column(3, "text", pa.array(["new"])))
    return table


TABLES: Mapping[str, Callable[[Path, int], tv.Table]] = {
    "plain": plain,
    "partitioned": lambda path, appends: plain(path, appends, partition_by="place"),
    "compacted and vacuumed": compacted,
    "written in turns with deltalake": in_turns,
}


def kind_of(name: str) -> str | None:
    """What kind of object a path is; None for what can be derived again."""
    folder, _, rest = name.partition("/")
    if folder == "_tablever":
        kind = "deletion" if "/deleted/" in rest else rest.partition("/")[0]
        return None if kind == "cache" else kind.removesuffix("s")
    if folder == "_delta_log":
        return "checkpoint" if "checkpoint" in rest else "log entry"
    return {"_dv": "vector", "_change_data": "change file"}.get(folder, "data file")


@dataclass(frozen=True)
class Whole:
    """A table as it was made: nobody writes to it."""

    name: str
    path: Path

    @cached_property
    def objects(self) -> Mapping[str, Sequence[str]]:
        """Its objects by kind."""
        found: dict[str, list[str]] = defaultdict(list)
        for name in sorted(path.relative_to(self.path).as_posix() for path in self.path.rglob("*") if path.is_file()):
            kind = kind_of(name)
            if kind is not None:
                found[kind].append(name)
        return found

    @cached_property
    def seen(self) -> Mapping[str, Any]:
        """What readers see of it."""
        return seen(self.path)


def seen(path: Path) -> Mapping[str, Any]:
    """All that readers see of a table: its log, each version's rows, and the witnesses."""
    versions = told(lambda: tv.list_versions(path))
    found: dict[str, Any] = {
        "log": versions,
        "tags": told(lambda: tv.list_tags(path)),
        "runs": told(lambda: [replace(run, table="") for run in tv.runs_of(path)]),
        "pins": told(lambda: tv.list_pins(path)),
    }
    for version in versions if isinstance(versions, list) else ():
        number = version.number
        found[f"version {number}"] = told(lambda number=number: tv.content_hash_of(tv.read_version(path, number)))
    return found


def told(ask: Callable[[], Any]) -> Any:
    """What is answered, or the kind of error that it is refused with."""
    try:
        return ask()
    except errors.TableverError as error:
        return type(error).__name__


@dataclass(frozen=True)
class Damage:
    """What was done to which objects of a kind."""

    kind: str
    how: str
    objects: tuple[str, ...]


def flipped(chance: random.Random, data: bytes) -> bytes:
    place = chance.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]


def zeroed(chance: random.Random, data: bytes) -> bytes:
    place = chance.randrange(len(data))
    return data[:place] + bytes(len(data[place : place + 512])) + data[place + 512 :]


HARM: Mapping[str, Callable[[random.Random, bytes], bytes | None]] = {
    "flipped": flipped,
    "cut": lambda chance, data: data[: chance.randrange(1, len(data))],
    "emptied": lambda _, __: b"",
    "zeroed": zeroed,
    "deleted": lambda _, __: None,
}
HOW = (*["flipped"] * 6, *HARM, "swapped", "swapped")


def damage(path: Path, objects: Mapping[str, Sequence[str]], chance: random.Random) -> Damage:
    """Damage one object of the table at a path, two that are swapped, or all of the log from a version on."""
    kind = chance.choice([*objects, "log, rolled back"])
    if kind == "log, rolled back":
        return rolled_back(path, objects["log entry"], chance)
    how = chance.choice(HOW)
    if how == "swapped" and len(objects[kind]) > 1:
        return swapped(path, kind, chance.sample(objects[kind], 2))
    how = how if how in HARM else "flipped"
    name = chance.choice(objects[kind])
    before = (path / name).read_bytes()
    data = HARM[how](chance, before)
    if data == before:
        how, data = "flipped", flipped(chance, before)
    if data is None:
        (path / name).unlink()
    else:
        (path / name).write_bytes(data)
    return Damage(kind, how, (name,))


def swapped(path: Path, kind: str, names: Sequence[str]) -> Damage:
    """Each of two under the other's name."""
    first, second = ((path / name).read_bytes() for name in names)
    (path / names[0]).write_bytes(second)
    (path / names[1]).write_bytes(first)
    return Damage(kind, "swapped", tuple(names))


def rolled_back(path: Path, entries: Sequence[str], chance: random.Random) -> Damage:
    """The newest entries and what was made of them are gone, and sometimes another version has come since."""
    gone = sorted(entries)[-chance.randint(1, 3) :]
    for each in (path / "_delta_log").iterdir():
        if each.name >= Path(gone[0]).name:
            each.unlink()
    if chance.random() < 0.5:
        with suppress(errors.TableverError):
            tv.delete(path, where="id >= 0")
    return Damage("log, rolled back", "rolled back", tuple(gone))


def verified(path: Path, level: Level) -> Report | errors.TableverError:
    """What ``verify`` says: a report, or why it cannot look."""
    try:
        return tv.verify(path, level=level)
    except errors.CorruptionError as error:
        return error.report if isinstance(error.report, Report) else error
    except errors.TableverError as error:
        return error


FOUND = "found"
FOREIGN = "listed as not recorded"
REFUSED = "refused as a whole"
UNSEEN = "nothing that is read changed"
MISSED = "missed"


@dataclass
class Tally:
    """What was tried, and what came of it."""

    outcomes: dict[tuple[str, str], Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    wrong: list[str] = field(default_factory=list)

    @property
    def tries(self) -> int:
        """How many objects were damaged."""
        return sum(outcomes.total() for outcomes in self.outcomes.values())

    def note(self, damage: Damage, outcome: str) -> None:
        """Count a try."""
        self.outcomes[damage.kind, damage.how].update([outcome])

    def of(self, outcome: str) -> int:
        """How many tries came to that."""
        return sum(outcomes[outcome] for outcomes in self.outcomes.values())

    def lines(self) -> Iterator[str]:
        """A table: of each kind, found of tried in each way, and what became of the rest."""
        ways = list(dict.fromkeys((*HARM, "swapped", "rolled back")))
        rest = [FOREIGN, REFUSED, UNSEEN, MISSED]
        yield "| object | " + " | ".join((*ways, *rest)) + " |"
        yield "|" + " --- |" * (1 + len(ways) + len(rest))
        for kind in sorted({kind for kind, _ in self.outcomes}):
            each = [self.outcomes[kind, way] if (kind, way) in self.outcomes else Counter() for way in ways]
            found = [f"{counts[FOUND]} of {counts.total()}" if counts else "" for counts in each]
            left = [str(sum(counts[outcome] for counts in each) or "") for outcome in rest]
            yield "| " + " | ".join((kind, *found, *left)) + " |"
        sums = ", ".join(f"{outcome} {self.of(outcome)}" for outcome in (FOUND, *rest) if self.of(outcome))
        yield f"{self.tries:,} tried: {sums}"


def outcome_of(done: Damage, path: Path, whole: Whole, level: Level) -> tuple[str, str | None]:
    """What came of a damage, and what is wrong with that."""
    report = verified(path, level)
    if not isinstance(report, Report):
        return REFUSED, None
    named = {found.object for found in report.damaged}
    if named.intersection(done.objects):
        return FOUND, None if done.how == "rolled back" else accused(named.difference(done.objects))
    if {found.object for found in report.unrecorded}.intersection(done.objects):
        return FOREIGN, None
    now = seen(path)
    changed = [what for what in whole.seen.keys() | now.keys() if whole.seen.get(what) != now.get(what)]
    if changed:
        return MISSED, f"{', '.join(sorted(changed)[:9])} not as before, and it is not named"
    return UNSEEN, accused(named)


def accused(others: AbstractSet[str]) -> str | None:
    return f"{', '.join(sorted(others)[:9])} accused" if others else None


def tries(
    count: int, seed: int, *, appends: int = 10, minutes: float = float("inf"), say: Callable[[str], object] = print
) -> Tally:
    """Damage so many objects, from a number on, of four tables with so many appends each."""
    tally, end = Tally(), time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory(prefix="tablever-damage-") as folder:
        tables = []
        for number, (name, make) in enumerate(TABLES.items()):
            remembered(make(Path(folder) / str(number), appends))
            tables.append(Whole(name, Path(folder) / str(number)))
        for number in range(seed, seed + count):
            if time.monotonic() > end:
                break
            chance = random.Random(number)
            whole, level = chance.choice(tables), chance.choice(LEVELS)
            copy = Path(shutil.copytree(whole.path, Path(folder) / f"copy {number}"))  # no cache knows it
            done = damage(copy, whole.objects, chance)
            try:
                outcome, wrong = outcome_of(done, copy, whole, level)
            except Exception as error:  # noqa: BLE001 - none is right
                outcome, wrong = MISSED, f"{type(error).__name__}: {error}"
            tally.note(done, outcome)
            if wrong:
                what = f"{done.kind} {', '.join(done.objects)} {done.how}, level {level}"
                tally.wrong.append(f"{number}: the table that is {whole.name}, {what}: {wrong}")
                say(tally.wrong[-1])
            shutil.rmtree(copy)
    return tally


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--appends", type=int, default=10, help="to each table, besides its other versions")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="no more tries after so many")
    said = parser.parse_args(arguments)
    tally = tries(said.tries, said.seed, appends=said.appends, minutes=said.minutes)
    print("\n".join(tally.lines()))
    print(f"{len(tally.wrong)} wrong")
    return min(len(tally.wrong), 1)


if __name__ == "__main__":
    sys.exit(main())
