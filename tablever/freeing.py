"""What a vacuum removes: a pure function of the log, the disk, the policy, what is pinned, and the clock."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np

from tablever.delta.listing import entry_path
from tablever.ledger import Ledger, Needed
from tablever.model import Vacuumed
from tablever.retention import Flags, Policy
from tablever.spans import Spans, holds, joined, spans_of
from tablever.storage import Stored

_LEFTOVER = re.compile(r"(part-|cdc-).*\.parquet|deletion_vector_.*\.bin", re.DOTALL)
_TEMPORARY = re.compile(r"\.(.+\.)?[0-9a-f]{32}\.tmp", re.DOTALL)
_OUR_FOLDERS = ("_change_data", "_dv")


@dataclass(frozen=True)
class Removal:
    """An object that goes.

    Attributes:
        kind: data, vectors, changes; or leftover: what no version needs.
        versions: those that needed it.
    """

    path: str
    kind: Literal["data", "vectors", "changes", "leftover"]
    bytes: int
    versions: Spans = ()


@dataclass(frozen=True)
class VacuumPlan:
    """What a vacuum would remove, and what that means for the versions.

    Attributes:
        policy: what is kept, in words.
        kept: the versions that the policy, or what is pinned, keeps.
        removals: the objects that go, by path.
        spared: objects that nothing kept needs, and that stay until they are older than the safety interval.
        lost: the versions that cannot be read afterwards, those that earlier vacuums took included.
        lost_changes: the versions whose change rows are gone afterwards.
    """

    policy: str
    kept: Spans
    removals: tuple[Removal, ...]
    spared: tuple[Removal, ...]
    lost: Spans
    lost_changes: Spans

    @property
    def bytes(self) -> int:
        """The bytes that are freed."""
        return sum(removal.bytes for removal in self.removals)

    @property
    def by_version(self) -> Mapping[int | None, int]:
        """The bytes that are freed, by the newest version that needed them; None for leftovers."""
        found: dict[int | None, int] = {}
        for removal in self.removals:
            newest = removal.versions[-1][1] if removal.versions else None
            found[newest] = found.get(newest, 0) + removal.bytes
        return dict(sorted(found.items(), key=lambda item: (item[0] is None, item[0] or 0)))


def plan_vacuum(
    ledger: Ledger,
    stored: Iterable[Stored],
    *,
    policy: Policy,
    pinned: Collection[int],
    vacuumed: Vacuumed,
    unfinished: Vacuumed,
    now: datetime,
    safety: timedelta,
) -> VacuumPlan:
    """Plan.

    Args:
        ledger: which objects the versions need.
        stored: what is on the disk.
        policy: what is kept; the head and what is pinned is anyway.
        pinned: the versions that tags, runs and pins name.
        vacuumed: what earlier vacuums took: kept by no policy, so that a vacuum that died is finished.
        unfinished: what others of them may be removing right now: lost, though everything is there still.
        now, safety: objects that left the head, or were written, less than ``safety`` ago stay: a reader may be in
            them, a writer about to commit them.
    """
    span = range(ledger.first, ledger.head + 1)
    chosen = policy.keeps(ledger.times, now, ledger.upkeep)
    sure = np.array([number in pinned or number == ledger.head for number in span], np.bool_)
    rows = sure | (chosen & ~_flags(span, vacuumed.rows))
    changes = sure | (chosen & ~_flags(span, vacuumed.rows) & ~_flags(span, vacuumed.changes))
    on_disk = {each.path: each for each in stored}
    removals: list[Removal] = []
    spared: list[Removal] = []
    kept_rows, kept_changes = np.concatenate([[0], np.cumsum(rows)]), np.concatenate([[0], np.cumsum(changes)])
    for need in ledger.objects.values():
        object_ = on_disk.get(need.path)
        counted = kept_changes if need.kind == "changes" else kept_rows
        if object_ is None or any(counted[b - ledger.first + 1] > counted[a - ledger.first] for a, b in need.versions):
            continue
        recent = _left_at(need, ledger, on_disk) > now - safety
        (spared if recent else removals).append(Removal(need.path, need.kind, object_.size, need.versions))
    for path in on_disk.keys() - ledger.objects.keys():
        if is_leftover(path):
            recent = on_disk[path].changed > now - safety
            (spared if recent else removals).append(Removal(path, "leftover", on_disk[path].size))
    lost, lost_changes = _losses(ledger, on_disk, removals, vacuumed, unfinished)
    return VacuumPlan(
        policy=policy.text,
        kept=spans_of(number for number, flag in zip(span, rows, strict=True) if flag),
        removals=tuple(sorted(removals, key=lambda removal: removal.path)),
        spared=tuple(sorted(spared, key=lambda removal: removal.path)),
        lost=lost,
        lost_changes=lost_changes,
    )


def is_leftover(path: str) -> bool:
    """Whether an object that no version needs is what a writer left behind, by its name: another file is the user's."""
    if is_temporary(path):
        return True
    *folders, name = path.split("/")
    hidden = [folder for folder in folders if folder[:1] in ("_", ".") and "=" not in folder]
    return bool(_LEFTOVER.fullmatch(name)) and all(folder in _OUR_FOLDERS for folder in hidden)


def is_temporary(path: str) -> bool:
    """Whether an object is one that a writer was about to give its name; no log entry names it."""
    return bool(_TEMPORARY.fullmatch(path.rpartition("/")[2]))


def _left_at(need: Needed, ledger: Ledger, on_disk: Mapping[str, Stored]) -> datetime:
    """When an object left the head; change rows are new with their version.

    Not before the disk says that the entry came: what the entry records may be of a clock that was behind.
    """
    number = need.versions[-1][1] + (need.kind != "changes")
    entry = on_disk.get(entry_path(number))
    recorded = ledger.times[number - ledger.first]
    return recorded if entry is None else max(recorded, entry.changed)


def _flags(span: range, numbers: Spans) -> Flags:
    return np.array([holds(numbers, number) for number in span], np.bool_)


def _losses(
    ledger: Ledger,
    on_disk: Mapping[str, Stored],
    removals: Iterable[Removal],
    vacuumed: Vacuumed,
    unfinished: Vacuumed,
) -> tuple[Spans, Spans]:
    """The versions that lose rows and those that lose change rows: by this, or by a vacuum of ours before.

    A version that one before meant to take, but that lost nothing, is not lost, once that one has surely ended.
    """
    going = {removal.path for removal in removals}
    span = range(ledger.first, ledger.head + 1)
    rows, changes = _flags(span, unfinished.rows), _flags(span, unfinished.changes)
    earlier_rows, earlier_changes = _flags(span, vacuumed.rows), _flags(span, vacuumed.changes)
    for need in ledger.objects.values():
        if need.path not in going and need.path in on_disk:
            continue
        lost, earlier = (changes, earlier_changes) if need.kind == "changes" else (rows, earlier_rows)
        for first, last in need.versions:
            part = slice(first - ledger.first, last + 1 - ledger.first)
            lost[part] |= True if need.path in going else earlier[part]
    return _with_older(rows, vacuumed.rows, ledger.first), _with_older(changes, vacuumed.changes, ledger.first)


def _with_older(lost: Flags, earlier: Spans, first: int) -> Spans:
    """The versions that are lost, and those that were before, and of which the log no longer tells."""
    older = [(a, min(b, first - 1)) for a, b in earlier if a < first]
    return joined([*older, *((int(n) + first, int(n) + first) for n in np.flatnonzero(lost))])
