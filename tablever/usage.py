"""What a table's versions and files take on the disk, and what sharing saves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from tablever.delta.listing import LOG_FOLDER
from tablever.freeing import is_leftover
from tablever.ledger import Ledger, as_stored, read_ledger
from tablever.log import TableLike, open_log
from tablever.model import Vacuumed
from tablever.spans import Spans, holds
from tablever.storage import Stored
from tablever.witnesses import witnessed


@dataclass(frozen=True)
class VersionUsage:
    """What a version takes.

    Attributes:
        needs: bytes of the data and vector files that reading it needs, and of its change rows.
        only: bytes of those that no other version needs: what goes with it.
        witnesses: the tags, runs and pins that name it.
        vacuumed: whether a vacuum took its rows.
    """

    version: int
    needs: int
    only: int
    witnesses: tuple[str, ...] = ()
    vacuumed: bool = False


@dataclass(frozen=True)
class FileUsage:
    """An object, and the versions that need it; none for what no version needs."""

    path: str
    kind: str
    bytes: int
    versions: Spans = ()


@dataclass(frozen=True)
class Usage:
    """What a table takes.

    Attributes:
        versions: oldest first.
        files: by path: the data, vector and change files, and leftovers of writers.
        totals: bytes by kind: data, vectors, changes, leftover, log, witnesses and caches (``tablever``), other.
    """

    versions: tuple[VersionUsage, ...]
    files: tuple[FileUsage, ...]
    totals: Mapping[str, int]

    @property
    def bytes(self) -> int:
        """All bytes below the table's folder."""
        return sum(self.totals.values())

    @property
    def saved(self) -> int:
        """The bytes that versions would take more if each had files of its own."""
        return sum(version.needs for version in self.versions) - sum(f.bytes for f in self.files if f.versions)


def du(table: TableLike) -> Usage:
    """Tell what each version and file of a table takes, from the log and the folder; no file is opened.

    Raises:
        CorruptionError: an entry of the log, or a tag, run or pin cannot be read.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}], key="id")
        >>> _ = append(table, [{"id": 2, "stars": 1}])
        >>> usage = du(table)
        >>> [version.needs - version.only > 0 for version in usage.versions]
        [True, True]
        >>> usage.saved == usage.versions[0].needs
        True
    """
    log = open_log(table)
    stored = list(log.storage.walk())
    names = {number: tuple(each.label for each in found) for number, found in witnessed(log).items()}
    return usage_of(as_stored(read_ledger(log), stored, log.storage.node), stored, names, log.vacuumed())


def usage_of(
    ledger: Ledger, stored: Iterable[Stored], witnesses: Mapping[int, tuple[str, ...]], vacuumed: Vacuumed
) -> Usage:
    """The usage of a table whose log and folder say this."""
    totals: Counter[str] = Counter()
    files = []
    steps = np.zeros(len(ledger.times) + 1, np.int64)
    only = np.zeros(len(ledger.times), np.int64)
    for each in stored:
        need = ledger.objects.get(each.path)
        kind = need.kind if need else _kind(each.path)
        totals[kind] += each.size
        if need is None:
            files += [FileUsage(each.path, kind, each.size)] if kind == "leftover" else []
            continue
        files.append(FileUsage(each.path, kind, each.size, need.versions))
        for first, last in need.versions:
            steps[first - ledger.first] += each.size
            steps[last + 1 - ledger.first] -= each.size
        if len(need.versions) == 1 and need.versions[0][0] == need.versions[0][1]:
            only[need.versions[0][0] - ledger.first] += each.size
    return Usage(
        versions=tuple(
            VersionUsage(number, int(needs), int(alone), witnesses.get(number, ()), holds(vacuumed.rows, number))
            for number, (needs, alone) in enumerate(zip(np.cumsum(steps[:-1]), only, strict=True), ledger.first)
        ),
        files=tuple(sorted(files, key=lambda file: file.path)),
        totals=dict(sorted(totals.items())),
    )


def _kind(path: str) -> str:
    """What an object is that no version needs."""
    if is_leftover(path):
        return "leftover"
    top = path.split("/", maxsplit=1)[0]
    return {LOG_FOLDER: "log", "_tablever": "tablever"}.get(top, "other")
