"""The newest entries of a log, as far as they are torn: what a power cut leaves of a writer that did not sync."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from tablever.delta.entries import problem_of
from tablever.delta.listing import Listing, entry_name, entry_path
from tablever.storage import Storage


@dataclass(frozen=True)
class TornEntry:
    """An entry that cannot be read, or is not as it was written.

    Attributes:
        problem: ``is empty``, say.
    """

    number: int
    data: bytes
    problem: str


@dataclass(frozen=True)
class Tail:
    """The torn entries after which none is whole.

    Attributes:
        entries: ascending; none where the newest entry is whole.
        last_good: the newest version before them; None where there is none.
    """

    entries: tuple[TornEntry, ...] = ()
    last_good: int | None = None

    @property
    def lost(self) -> range:
        """The versions after the last good one; an entry of one may be missing altogether."""
        if not self.entries:
            return range(0)
        return range(0 if self.last_good is None else self.last_good + 1, self.entries[-1].number + 1)


def read_entry(storage: Storage, number: int) -> TornEntry | None:
    """An entry that is torn; None for one that is whole, or gone. Raises StorageError."""
    try:
        data = storage.get(entry_path(number))
    except FileNotFoundError:
        return None
    problem = problem_of(data, name=entry_name(number))
    return None if problem is None else TornEntry(number, data, problem)


def torn_tail(storage: Storage, listing: Listing) -> Tail:
    """The torn tail of a log: its newest entries are read, back to the first that is whole. Raises StorageError."""
    torn: list[TornEntry] = []
    for number in reversed(listing.entries):
        found = read_entry(storage, number)
        if found is None:
            break
        torn.append(found)
    if not torn:
        return Tail()
    first = torn[-1].number
    before = listing.entries[: bisect_left(listing.entries, first)]
    older = [*before[-1:], *(files.number for files in listing.checkpoints if files.number < first)]
    return Tail(tuple(reversed(torn)), max(older, default=None))
