"""What a verification found, as frozen values, and where it is gathered while it runs."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

Level = Literal["log", "files", "rows"]
LEVELS: tuple[Level, ...] = ("log", "files", "rows")
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Finding:
    """One object, what is the matter with it, and every version that it touches.

    Attributes:
        object: its path, relative to the table; of a version as such ``version 3``.
        kind: log entry, checkpoint, data file, vector, change file, tag, run, metrics, pin, deletion, journal, version,
            expected.
        problem: missing, changed, unreadable, size, misplaced, inconsistent, other, rolled-back, rows, key; for what
            could not be compared: unrecorded; for what was removed on purpose: vacuumed; for what a repair
            recorded as lost: given-up.
        detail: the same, said to people.
        versions: ascending, among those that were asked for.
    """

    object: str
    kind: str
    problem: str
    detail: str
    versions: tuple[int, ...]


@dataclass(frozen=True)
class Report:
    """What ``verify`` looked at and found. Truth value: whether nothing is damaged.

    Attributes:
        level: how deep it looked.
        versions: the versions that it was about, ascending.
        damaged: what is not as it was committed.
        unrecorded: what had nothing to compare with: not damaged as far as one can see, and not called right.
        vacuumed: what a vacuum removed, on purpose.
        given_up: what a repair moved aside, on the record: versions that are lost, tags, runs and pins.
        keys_checked: the versions whose keys were found unique and not null, or not, in full.
        objects, bytes, rows: how much was looked at.
        seconds: how long it took.
    """

    level: Level
    versions: tuple[int, ...]
    damaged: tuple[Finding, ...]
    unrecorded: tuple[Finding, ...]
    vacuumed: tuple[Finding, ...]
    given_up: tuple[Finding, ...]
    keys_checked: tuple[int, ...]
    objects: int
    bytes: int
    rows: int
    seconds: float

    def __bool__(self) -> bool:
        return not self.damaged


@dataclass
class Notes:
    """A report while it is being made. ``wanted`` are the versions that it is about, ascending."""

    wanted: tuple[int, ...]
    damaged: list[Finding] = field(default_factory=list)
    unrecorded: list[Finding] = field(default_factory=list)
    vacuumed: list[Finding] = field(default_factory=list)
    given_up: list[Finding] = field(default_factory=list)
    objects: int = 0
    bytes: int = 0
    rows: int = 0
    keys_checked: tuple[int, ...] = ()
    _seen: set[Finding] = field(default_factory=set)
    _objects: set[str] = field(default_factory=set)

    def damage(self, path: str, kind: str, problem: str, detail: str, versions: Iterable[int]) -> None:
        """Note damage, unless it touches none of the versions asked for."""
        self._note(self.damaged, Finding(path, kind, problem, detail, self._among(versions)))

    def lost(self, path: str, kind: str, problem: str, detail: str, number: int) -> None:
        """Note a version that is not in the log any more: whichever were asked for, it is told."""
        self._note(self.damaged, Finding(path, kind, problem, detail, (number,)))

    def unknown(self, path: str, kind: str, detail: str, versions: Iterable[int]) -> None:
        """Note what had nothing to compare with."""
        self._note(self.unrecorded, Finding(path, kind, "unrecorded", detail, self._among(versions)))

    def known(self, path: str) -> None:
        """Take back that an object had nothing to compare with."""
        self.unrecorded = [found for found in self.unrecorded if found.object != path]

    def removed(self, path: str, kind: str, detail: str, versions: Iterable[int]) -> None:
        """Note what a vacuum removed."""
        self._note(self.vacuumed, Finding(path, kind, "vacuumed", detail, self._among(versions)))

    def abandoned(self, path: str, kind: str, detail: str, versions: Iterable[int]) -> None:
        """Note what a repair recorded as lost: whichever versions were asked for, it is told."""
        self._note(self.given_up, Finding(path, kind, "given-up", detail, tuple(versions)))

    def is_damaged(self, path: str) -> bool:
        """Whether damage of an object was noted."""
        return path in self._objects

    def touched(self, kinds: Container[str]) -> frozenset[int]:
        """The versions of which objects of some kinds are damaged, or were taken by a vacuum."""
        found = (each for each in (*self.damaged, *self.vacuumed) if each.kind in kinds)
        return frozenset(version for each in found for version in each.versions)

    def _among(self, versions: Iterable[int]) -> tuple[int, ...]:
        return tuple(sorted(self._asked.intersection(versions)))

    @cached_property
    def _asked(self) -> frozenset[int]:
        return frozenset(self.wanted)

    def _note(self, notes: list[Finding], found: Finding) -> None:
        if found.versions and found not in self._seen:
            self._seen.add(found)
            notes.append(found)
            if notes is self.damaged:
                self._objects.add(found.object)
