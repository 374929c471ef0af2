"""The log of one table: which versions there are, when they were made, what they say, and their snapshots.

A ``Log`` keeps what it has read, and every value it returns is frozen. Log entries never change, so all it has to
watch is the head: whether the next entry is there, and whether the one it knows is still the same file (a table may
be dropped and made anew at the same place).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

from tablever import witness_files
from tablever.delta import commits, seals
from tablever.delta.actions import Action
from tablever.delta.listing import entry_path
from tablever.errors import (
    CorruptionError,
    InvalidInputError,
    TagNotFoundError,
    VersionNotFoundError,
    VersionVacuumedError,
)
from tablever.fences import checked_folders
from tablever.logcache import LogCache, recorded_digest
from tablever.logfiles import LogFiles, no_table
from tablever.model import EMPTY, ChangeFile, Digest, Signature, Snapshot, Tag, Vacuumed, Version, Witness
from tablever.refs import AsOf, HashPrefix, Number, Ref, Relative, TagName, parse_ref
from tablever.spans import holds, nearest
from tablever.storage import Place, Storage, open_storage, reaching
from tablever.texts import did_you_mean, plural

__all__ = ["Entry", "HasLog", "Log", "TableLike", "entry_path", "open_log"]

VACUUM = "tablever.vacuum"  # the application id under which a snapshot knows the newest vacuum of ours


@dataclass(frozen=True)
class Entry:
    """One log entry: its bytes as they lie on the disk, and its actions in their order."""

    number: int
    data: bytes
    actions: tuple[Action, ...]


class Log:
    """A handle on one table's log; making one reads nothing.

    Attributes:
        storage: the table's folder.
        uri: how the table was named.
        name: the folder's name, for messages.
    """

    def __init__(self, storage: Storage, *, uri: str | None = None) -> None:
        self.storage = storage
        self.uri = uri if uri is not None else storage.uri
        self.name = storage.name
        self._forget()

    def _forget(self) -> None:
        # At once and whole: whoever still reads the table that was here goes on with the cache that it began with.
        self._cache = LogCache(self.storage, self.name)

    @property
    def _files(self) -> LogFiles:
        return self._cache.files

    def __repr__(self) -> str:
        return f"Log({self.uri!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.storage, self.uri)

    def head_number(self) -> int:
        """The newest version's number, as the disk has it now. Raises TableNotFoundError."""
        return self._look()[1]

    def _look(self) -> tuple[LogCache, int]:
        """The cache of the table that is there now, and its newest version's number."""
        cache = self._cache  # another thread may forget it at any moment
        number = cache.files.head_number()
        if number is None:
            self._forget()
            cache = self._cache
            number = cache.files.head_number()
        if number is None:
            raise no_table(self.uri, self.storage.place)
        return cache, number

    def head(self) -> Snapshot:
        """The newest version, as the disk has it now; two looks at the disk where nothing changed.

        Raises TableNotFoundError, CorruptionError, UnsupportedFeatureError.
        """
        cache, number = self._look()
        return cache.head(number)

    def snapshot(self, number: int) -> Snapshot:
        """One version.

        Raises:
            TableNotFoundError: the table is gone.
            VersionNotFoundError: the log has not come that far.
            VersionVacuumedError: its log entries, and the checkpoints that held their content, were removed.
            CorruptionError: an entry is missing, cut, or damaged; ``file`` names it.
            UnsupportedFeatureError: the version needs a feature that we do not read.
        """
        return self._having(number).snapshot(number)

    def entry(self, number: int) -> Entry:
        """A version's log entry. Raises as ``snapshot``; other versions' entries play no part."""
        files = self._having(number).files
        data = files.whole_entry(number)
        return Entry(number, data, tuple(files.actions(number, files.decode(number, data))))

    def entry_data(self, number: int) -> bytes:
        """The bytes of a version's log entry, which fit its own digest where it has one. Raises as ``entry``."""
        return self._having(number).files.whole_entry(number)

    def entries(self, numbers: Sequence[int]) -> Iterator[Entry]:
        """The log entries of versions that there are, in that order; of an object store, some are fetched at once.

        Raises as ``entry`` where it comes to one that is gone, and ends there.
        """
        files = self._files
        for number, data in zip(numbers, files.entries(numbers), strict=True):
            yield Entry(number, data, tuple(files.actions(number, files.decode(number, data))))

    def entry_starts(self, first: int, last: int) -> Iterator[tuple[int, bytes]]:
        """The first kilobytes of the log entries ``first`` to ``last``, both included, each with its number.

        Of an entry of ours they hold the first line, and what the second begins with. Each entry fits its own digest.

        Raises VersionVacuumedError, CorruptionError where one is gone, or is not as it was written.
        """
        numbers = range(first, last + 1)
        return zip(numbers, self._files.starts(numbers), strict=True)

    def numbers_between(self, first: int, last: int) -> list[int]:
        """The versions from ``first`` to ``last``, both included, of which an entry or a checkpoint is there."""
        listing = self._files.relist()
        there = {*listing.entries, *(checkpoint.number for checkpoint in listing.checkpoints)}
        return sorted(number for number in there if first <= number <= last)

    def oldest_number(self) -> int:
        """The oldest version that the log still builds. Raises TableNotFoundError."""
        cache, newest = self._look()
        return min(cache.files.relist().first_readable or 0, newest)

    def version(self, number: int) -> Version:
        """What the log says of one version; its rows from its snapshot where the entry does not say them.

        A version of which only a checkpoint is left has the operation "unknown" and an empty commit hash.
        Raises as ``snapshot``.
        """
        return self._having(number).version(number)

    def versions_of(self, numbers: Sequence[int]) -> Iterator[Version]:
        """What ``version`` says of versions that there are; of an object store, some entries are fetched at once.

        Raises where it comes to one whose entry is gone, or damaged, and ends there.
        """
        return self._cache.versions_of(numbers)

    def committed(self, number: int, data: bytes) -> Version:
        """What ``version`` says of an entry that was put just now, from its bytes; nobody need read it again."""
        return self._cache.committed(number, data)

    def signature(self, number: int) -> Signature:
        """When a version was made, by whom and why: what ``version`` says, and of its entry no more is read than that.

        Raises as ``snapshot``.
        """
        return self._having(number).signature(number)

    def versions(self) -> list[Version]:
        """Every version whose log entry is there, oldest first.

        Each entry is read once, and no checkpoint: counts that the entries of others do not tell are None here,
        also where ``version`` finds them in a snapshot. Raises TableNotFoundError, and CorruptionError for an entry
        that is damaged, or missing between others.
        """
        cache, _ = self._look()
        return cache.versions()

    def first_readable(self) -> int:
        """The oldest version whose files the log can tell, removed or not. Raises TableNotFoundError."""
        cache, newest = self._look()
        oldest = cache.files.relist().first_readable
        return newest if oldest is None else oldest

    def vacuumed(self) -> Vacuumed:
        """What vacuums have removed, as the head has it: the newest's record, which counts those before it too."""
        number = self.head().transactions.get(VACUUM)
        return Vacuumed() if number is None else self.vacuum_record(number)

    def vacuum_record(self, number: int) -> Vacuumed:
        """What the entry of a vacuum of ours says; nothing where it is no such entry, or is gone."""
        try:
            return commits.vacuumed(number, self._files.info(number))
        except VersionVacuumedError:  # another tool removed that entry: what is gone is then only gone
            return Vacuumed()

    def check_kept(self, number: int) -> None:
        """Raises VersionVacuumedError where a vacuum took the version's rows, or is about to."""
        if holds(self.vacuumed().rows, number):
            raise self.lost(number)

    def lost(self, number: int, file: str | None = None) -> VersionVacuumedError:
        """The error for a version that cannot be read any more, since objects of it (``file``) are gone.

        Its facts: ``version``, ``file``, ``vacuumed_by`` (the vacuum that took it; None where another tool did), and
        ``older`` and ``newer``, the nearest versions that can still be read as far as the log tells (or None).
        """
        newest = self.vacuumed()
        facts: dict[str, Any] = {"version": number, "file": file, "vacuumed_by": None, "older": None, "newer": None}
        of_rows = file is not None and file not in self._change_files(number)
        if not holds(newest.rows, number) and (of_rows or not holds(newest.changes, number)):
            what = "" if file is None else f": its file '{file}' is gone"
            return VersionVacuumedError(
                f"version {number} of '{self.name}' cannot be read{what}",
                hint=f"another tool may have vacuumed the table; try a later version: tablever log {self.name}",
                **facts,
            )
        took = newest
        while took.before is not None and _tells(before := self.vacuum_record(took.before), number):
            took = before
        facts["vacuumed_by"] = took.by
        if not holds(newest.rows, number):
            return VersionVacuumedError(
                f"what version {number} of '{self.name}' changed was vacuumed by version {took.by}",
                hint="its rows can be read, and compared with another version's",
                **facts,
            )
        older, newer = nearest(newest.rows, number, -1), nearest(newest.rows, number, 1)
        facts["older"] = older if older >= self.first_readable() else None
        facts["newer"] = newer if newer <= self.head_number() else None
        left = [str(facts[name]) for name in ("older", "newer") if facts[name] is not None]
        return VersionVacuumedError(
            f"version {number} of '{self.name}' was vacuumed by version {took.by}",
            hint=f"the nearest versions that can be read: {' and '.join(left)}",
            **facts,
        )

    def _change_files(self, number: int) -> set[str]:
        """The paths of a version's change files, as far as its entry is there."""
        try:
            return {action.path for action in self.entry(number).actions if isinstance(action, ChangeFile)}
        except VersionVacuumedError:
            return set()

    def record(self, number: int) -> Mapping[str, Any]:
        """What tablever wrote into a version's entry (docs/reference/format.md).

        Empty for the entries of others, and where only a checkpoint is left. Raises CorruptionError.
        """
        cache = self._having(number)
        try:
            return commits.own_record(cache.files.info(number)) or {}
        except VersionVacuumedError:
            return EMPTY

    def is_own(self, number: int) -> bool:
        """Whether tablever made a version, as its entry has it. Raises CorruptionError."""
        newest = self._cache.newest_digest
        return (newest is not None and newest[0] == number) or bool(self.record(number))

    def digest(self, number: int) -> Digest | None:
        """The digest of a version's rows, as its entry has it; None where that has none, or is not as it was written.

        Raises CorruptionError.
        """
        newest = self._cache.newest_digest
        if newest is not None and newest[0] == number:
            return newest[1]
        found = recorded_digest(self.record(number))
        return found if found is not None and seals.is_whole(self._files.entry(number)) else None

    def resolve(self, ref: Ref) -> int:
        """The number of the version that a ref names, whether or not that version can still be read.

        Raises RefError, VersionNotFoundError, TagNotFoundError, TableNotFoundError; CorruptionError where a damaged
        entry is in the way of a time or a hash.
        """
        match parse_ref(ref):
            case Number(number):
                self._having(number)
                return number
            case Relative(back):
                return self._before(self.head_number(), back, "latest")
            case AsOf(time):
                return self._as_of(time)
            case TagName(name, back):
                return self._before(self._tagged(name), back, name)
            case HashPrefix(digits):
                return self._hashed(digits)

    # -- refs

    def _before(self, number: int, back: int, name: str) -> int:
        if back > number:
            raise self._not_found(f"'{name}~{back}'")
        return number - back

    def tag(self, name: str) -> Tag:
        """The tag of a name, whether or not its version is still the one that it was given to.

        Raises TagNotFoundError; CorruptionError, UnsupportedFeatureError where its object cannot be read right.
        """
        path = witness_files.tag_path(name)
        try:
            found = witness_files.read_tag(self.storage, path)
        except FileNotFoundError:
            found = None
        deletion = witness_files.deletion_of(self.storage, path)
        if (found is None and deletion is None) or (found is not None and found.name != name):
            raise self._no_tag(name)
        if found is None or deletion is not None:
            assert deletion is not None
            raise TagNotFoundError(f"tag '{name}' of '{self.name}' {deletion.words}", hint=None, tag=name)
        return found

    def confirm(self, witness: Witness) -> None:
        """Check that the version that a tag, run or pin remembers is in this log.

        Raises CorruptionError where it is another or the log ends before it, VersionVacuumedError where its entry
        was removed and nobody can tell.
        """
        head = self.head_number()
        problem = f"the log ends at version {head}: it was rolled back, or is another table's"
        if witness.version <= head:
            found = hashlib.sha256(self._files.entry(witness.version)).hexdigest()
            if found == witness.commit_hash:
                return
            problem = f"the log has another version {witness.version}: {found[:12]}…"
        raise CorruptionError(
            f"{witness.label} of '{self.name}' remembers version {witness.version} with the commit hash "
            f"{witness.commit_hash[:12]}…, but {problem}",
            hint="restore the log from a copy of the table",
            file=witness.object,
            version=witness.version,
            head=head,
        )

    def _tagged(self, name: str) -> int:
        found = self.tag(name)
        self.confirm(found)
        return found.version

    def _no_tag(self, name: str) -> TagNotFoundError:
        names = [unquote(Path(path).stem) for path in witness_files.standing(self.storage, witness_files.TAGS)]
        hint = "write 'latest' in lower case" if name.lower() == "latest" else did_you_mean(name, names)
        has = f"tablever tags {self.name}" if names else "name the version by number or time"
        there = f"it has {plural(len(names), 'tag')}" if names else "it has no tags"
        return TagNotFoundError(f"tag '{name}' not found in '{self.name}': {there}", hint=hint or has, tag=name)

    def _as_of(self, time: datetime) -> int:
        cache, newest = self._look()
        entries = cache.files.relist().entries
        oldest = entries[0] if entries else newest
        sought = (time - commits.EPOCH) // timedelta(milliseconds=1)
        first = cache.sure_time(oldest)
        if first > sought:
            raise VersionNotFoundError(
                f"no version at {time.isoformat()} in '{self.name}': "
                f"its first, {oldest}, is of {commits.to_datetime(first).isoformat()}",
                hint=f"tablever log {self.name}",
                version=time,
                oldest=oldest,
                newest=newest,
            )
        while oldest < newest:
            middle = (oldest + newest + 1) // 2
            if cache.sure_time(middle) <= sought:
                oldest = middle
            else:
                newest = middle - 1
        return oldest

    def _hashed(self, digits: str) -> int:
        for version in reversed(self.versions()):
            if version.content_hash is not None and version.content_hash.startswith(f"sha:{digits}"):
                return version.number
        raise VersionNotFoundError(
            f"version sha:{digits} not found in '{self.name}': no recorded content hash begins so",
            hint=f"tablever log {self.name}",
            version=f"sha:{digits}",
        )

    def _having(self, number: int) -> LogCache:
        """The cache of the table that has the version. Raises VersionNotFoundError, TableNotFoundError."""
        cache = self._cache
        if not 0 <= number <= cache.files.seen():
            cache, newest = self._look()
            if not 0 <= number <= newest:
                raise self._not_found(str(number))
        return cache

    def _not_found(self, what: str) -> VersionNotFoundError:
        cache, newest = self._look()
        oldest = min(cache.files.covering(0).first_readable or 0, newest)
        has = f"version {newest} only" if oldest == newest else f"versions {oldest} to {newest}"
        return VersionNotFoundError(
            f"version {what} not found in '{self.name}': the log has {has}",
            hint=f"tablever log {self.name}",
            version=what,
            oldest=oldest,
            newest=newest,
        )


def _tells(record: Vacuumed, number: int) -> bool:
    """Whether the record of a vacuum says that a version lost something."""
    return holds(record.rows, number) or holds(record.changes, number)


class HasLog(Protocol):
    """What holds a table's log: a Table."""

    @property
    def log(self) -> Log:
        """The log."""


TableLike = str | os.PathLike[str] | Log | HasLog


def open_log(
    target: TableLike,
    storage_options: Mapping[str, str] | None = None,
    *,
    allow_folders: Sequence[str | os.PathLike[str]] = (),
) -> Log:
    """The log of a table that is given as a path, a URI, a Table, or a Log; options are for paths and URIs.

    ``allow_folders``: where files of the table may lie besides its own folder, to be read.

    Raises TableNotFoundError, with what is there instead as the hint; UnsupportedFeatureError for unknown schemes.
    """
    if isinstance(target, Log):
        return target
    if not isinstance(target, str | os.PathLike):
        held = getattr(target, "log", None)
        if isinstance(held, Log):
            return held
        raise InvalidInputError(f"a {type(target).__name__} is no table", hint="give a Table, a path or a URI")
    storage = open_storage(target, storage_options, checked_folders(allow_folders))
    log = Log(storage, uri=os.fspath(target))
    log.head_number()
    return log


def log_at(place: Place, allowed: Sequence[str] = ()) -> Log:
    """The log of the table at a place; files of it may lie in allowed folders, too. Raises TableNotFoundError."""
    log = Log(reaching(place.storage(), allowed), uri=place.uri)
    log.head_number()
    return log


def _reopen(storage: Storage, uri: str) -> Log:
    return Log(storage, uri=uri)
