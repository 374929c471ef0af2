"""A write that loses several races in a row, to commits of ours and of deltalake: it is as if it came after them all.

    python -m tests.campaigns.races [--minutes 5] [--seed 1]

Everything in one process: before each of a write's tries is put, another commit is. What they are follows from a case's
number, so that a case that is wrong can be run again: ``--minutes 0 --seed N``.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tablever as tv
from tablever import errors
from tablever.storage.local import LocalStorage
from tests.test_races import DELTALAKE, RIVALS, WRITES, change_rows, done

KINDS: Mapping[str, dict[str, Any]] = {
    "keyed": {"key": "id"},
    "keyed, copy-on-write": {"key": "id", "deletes": "copy-on-write"},
    "keyed, partitioned": {"key": "id", "partition_by": "text"},
    "keyless": {},
    "keyless, copy-on-write, partitioned": {"partition_by": "text", "deletes": "copy-on-write"},
}
MORE: Mapping[str, Callable[[Path], object]] = {
    "restore": lambda t: tv.restore(t, 1),
    "revert": lambda t: tv.revert(t, 1),
    "compact": lambda t: tv.compact(t, deleted=0.01),
    "append a column": lambda t: tv.append(t, [{"id": 100, "text": "mine", "other": "m"}], evolve=True),
    "upsert a column": lambda t: tv.upsert(t, [{"id": 2, "text": "mine", "other": "m"}], evolve=True),
    "set key": lambda t: tv.set_key(t, "id"),
    "constrain": lambda t: tv.add_constraint(t, "others", "text <> 'rival'"),
}
LATE = {**WRITES, **MORE}
BETWEEN = {
    **{f"our {name}": deed for name, deed in RIVALS.items()},
    **{f"deltalake's {name}": deed for name, deed in DELTALAKE.items()},
}
# Of rows of one key, which counts as updated depends on the names that deltalake draws for its files.
BETWEEN.pop("deltalake's append keys that are there")


@contextlib.contextmanager
def overtaken(by: Sequence[Callable[[], object]]) -> Iterator[None]:
    """Before each of the next log entries is put, one of these happens; what it puts itself is not overtaken."""
    put, left, inside = LocalStorage.put_if_absent, list(by), [False]

    def late(self: LocalStorage, relative: str, data: bytes) -> bool:
        if left and not inside[0] and relative.startswith("_delta_log/"):
            inside[0] = True
            left.pop(0)()
            inside[0] = False
        return put(self, relative, data)

    LocalStorage.put_if_absent = late  # type: ignore[method-assign]
    try:
        yield
    finally:
        LocalStorage.put_if_absent = put  # type: ignore[method-assign]


def made(path: Path, **settings: Any) -> Path:
    """Three files of ten rows; version 1 deleted two rows of them."""
    tv.create_table(path, [{"id": n, "text": "old"} for n in range(10)], **settings)
    tv.delete(path, where="id IN (4, 9)")
    for low in (10, 20):
        tv.append(path, [{"id": n, "text": "old" if n % 3 else "mine"} for n in range(low, low + 10)])
    return path


def attempted(name: str, path: Path) -> None:
    """What comes in between may be refused: then nothing did."""
    with contextlib.suppress(Exception):
        BETWEEN[name](path)


def outcome(path: Path, deed: Callable[[Path], object]) -> dict[str, Any]:
    """What a deed gave, and all that can be seen of the table then."""
    gave = done(deed, path)
    rows = tv.read_version(path)
    return {
        "gave": gave,
        "damage": damage(path),
        "rows": sorted(map(repr, rows.to_pylist())),
        "columns": rows.schema.names,
        "content hash": tv.content_hash(path),
        "change rows": change_rows(path),
    }


def damage(path: Path) -> str | None:
    """What ``verify`` says, but for the table's name."""
    try:
        tv.verify(path, level="rows")
    except errors.CorruptionError as error:
        return str(error).replace(path.name, "t")
    return None


def has_twice(path: Path) -> bool:
    """Whether deltalake, which knows no key, has brought one twice: which of its rows counts is then open."""
    ids = tv.read_version(path)["id"]
    return len(ids.unique()) < len(ids)


def one(folder: Path, seed: int) -> tuple[str, list[str] | None]:
    """A case: what it was, and what was wrong; None where it cannot be judged."""
    chance = random.Random(seed)
    kind, verb = chance.choice(list(KINDS)), chance.choice(list(LATE))
    drawn, came = [chance.choice(list(BETWEEN)) for _ in range(chance.randint(1, 5))], []
    raced = made(folder / "raced", **KINDS[kind])
    alone = shutil.copytree(raced, folder / "alone")

    def comes(name: str) -> None:
        came.append(name)
        attempted(name, raced)

    with overtaken([lambda name=name: comes(name) for name in drawn]):
        found = outcome(raced, LATE[verb])
    for name in came:
        attempted(name, alone)
    case = f"case {seed}: {verb} on a table that is {kind}, after {', '.join(came) or 'nothing'}"
    if has_twice(alone):
        return case, None
    expected = outcome(alone, LATE[verb])
    wrong = [f"{what}: {found[what]}, not {expected[what]}" for what in found if found[what] != expected[what]]
    if expected["damage"]:
        wrong.append(f"damage: {expected['damage']}")
    return case, wrong


def cases(seconds: float, seed: int, say: Callable[[str], object] = print) -> tuple[Counter[str], list[str]]:
    """Cases from a number on, for so long, one at least: how many there were, and were wrong; and what was."""
    counted: Counter[str] = Counter()
    wrong, end = [], time.monotonic() + seconds
    for number in itertools.count(seed):
        with tempfile.TemporaryDirectory(prefix="tablever-races-") as folder:
            case, found = f"case {number}", None
            try:
                case, found = one(Path(folder), number)
            except Exception as error:  # noqa: BLE001 - none is right
                found = [f"{type(error).__name__}: {error}"]
        counted["cases"] += 1
        counted["wrong"] += bool(found)
        counted["not judged"] += found is None
        for each in found or ():
            wrong.append(f"{case}: {each}")
            say(wrong[-1])
        if time.monotonic() >= end:
            break
    return counted, wrong


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seed", type=int, default=1)
    said = parser.parse_args(arguments)
    counted, wrong = cases(said.minutes * 60, said.seed)
    print(
        f"{counted['cases']:,} cases from {said.seed} on: {counted['wrong']} wrong, {counted['not judged']} not judged"
    )
    return min(len(wrong), 1)


if __name__ == "__main__":
    sys.exit(main())
