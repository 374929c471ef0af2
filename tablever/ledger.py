"""Which objects of a table which versions need, by its log alone: data files, vector files, change files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from tablever.delta.actions import Action, Add, Remove, decode_path
from tablever.delta.replay import Identity, identity
from tablever.delta.vectors import vector_path
from tablever.log import Log
from tablever.model import ChangeFile
from tablever.spans import Spans, joined
from tablever.storage import Stored

Kind = Literal["data", "vectors", "changes"]
UPKEEP = ("compact", "vacuum", "optimize", "vacuum-start", "vacuum-end")


@dataclass(frozen=True)
class Needed:
    """An object, and the versions that cannot be read without it (of change files: whose changes cannot)."""

    path: str
    kind: Kind
    versions: Spans


@dataclass(frozen=True)
class Ledger:
    """What the log says of objects.

    Attributes:
        first: the oldest version that the log lets one build.
        times: when each version from there to the head was made.
        upkeep: whether each was made by a vacuum or a compaction, ours or another tool's.
        objects: by path, relative to the table and decoded.
    """

    first: int
    times: tuple[datetime, ...]
    upkeep: tuple[bool, ...]
    objects: Mapping[str, Needed]

    @property
    def head(self) -> int:
        """The newest version."""
        return self.first + len(self.times) - 1


def read_ledger(log: Log) -> Ledger:
    """Read every entry of the log once.

    Raises:
        CorruptionError: an entry is damaged, or missing between others: nobody knows then what is needed.
        UnsupportedFeatureError: an object lies outside the table's folder.
    """
    first, head = log.first_readable(), log.head_number()
    known = {version.number: version for version in log.versions() if first <= version.number <= head}
    versions = [known.get(number) or log.version(number) for number in range(first, head + 1)]
    tally = _Tally(log.storage.uri, log.storage.allowed)
    begun: list[Action] = [Add(file) for file in log.snapshot(first).files]
    # A checkpoint says which files live, not which change rows the commit of its version wrote.
    tally.note(first, [*begun, *(log.entry(first).actions if first in known else ())])
    for entry in log.entries(range(first + 1, head + 1)):
        tally.note(entry.number, entry.actions)
    return Ledger(
        first,
        times=tuple(version.timestamp for version in versions),
        upkeep=tuple(version.operation in UPKEEP for version in versions),
        objects=tally.finished(head),
    )


def as_stored(ledger: Ledger, stored: Iterable[Stored], node_of: Callable[[str], Hashable]) -> Ledger:
    """The same, each object under the name that the folder's listing has.

    A log may spell a path otherwise (``./part-1.parquet``), or reach the object through a link inside the folder.
    """
    names: dict[Hashable, list[str]] = {}
    listed = set()
    for each in stored:
        names.setdefault(each.node, []).append(each.path)
        listed.add(each.path)
    objects = dict(ledger.objects)
    for need in ledger.objects.values():
        node = None if need.path in listed else node_of(need.path)
        for name in [] if node is None else names.get(node, []):
            before = objects.get(name)
            known = () if before is None else before.versions
            kind = need.kind if before is None or before.kind == "changes" else before.kind
            objects[name] = Needed(name, kind, joined([*known, *need.versions]))
            objects.pop(need.path, None)
    return replace(ledger, objects=objects)


def needed_objects(action: Add | ChangeFile, root: str, allowed: Sequence[str] = ()) -> tuple[str, ...]:
    """The paths of what an action names: a data file and where it has one its vector's file, or a change file."""
    if isinstance(action, ChangeFile):
        return (decode_path(action.path, root=root, allowed=allowed),)
    path, vector = decode_path(action.file.path, root=root, allowed=allowed), action.file.vector
    if vector is None or vector.storage_type == "i":
        return (path,)
    return path, vector_path(vector, root=root, allowed=allowed)


class _Tally:
    """Counts, version by version, how many logical files rest on each object."""

    def __init__(self, root: str, allowed: Sequence[str]) -> None:
        self._root = root
        self._allowed = allowed
        self._files: dict[Identity, tuple[str, ...]] = {}
        self._uses: Counter[str] = Counter()
        self._since: dict[str, int] = {}
        self._spans: dict[str, list[tuple[int, int]]] = {}
        self._kinds: dict[str, Kind] = {}

    def note(self, number: int, actions: Iterable[Action]) -> None:
        touched: set[str] = set()
        for action in actions:
            if isinstance(action, ChangeFile):
                path = decode_path(action.path, root=self._root, allowed=self._allowed)
                self._kinds.setdefault(path, "changes")
                self._spans.setdefault(path, []).append((number, number))
            elif isinstance(action, Add | Remove):
                name = identity(action.file)
                gone = self._files.pop(name, ())
                self._uses.subtract(gone)
                came = needed_objects(action, self._root, self._allowed) if isinstance(action, Add) else ()
                self._kinds.update(zip(came, ("data", "vectors"), strict=False))  # a change file may be a data file too
                if came:
                    self._files[name] = came
                    self._uses.update(came)
                touched.update(gone, came)
        for path in touched:
            if self._uses[path] and path not in self._since:
                self._since[path] = number
            elif not self._uses[path] and path in self._since:
                self._close(path, number - 1)

    def _close(self, path: str, last: int) -> None:
        first = self._since.pop(path)
        if first <= last:
            self._spans.setdefault(path, []).append((first, last))

    def finished(self, head: int) -> dict[str, Needed]:
        for path in list(self._since):
            self._close(path, head)
        return {path: Needed(path, self._kinds[path], joined(spans)) for path, spans in self._spans.items()}
