"""The log of one table: which versions there are, when they were made, what they say, and their snapshots.

A ``Log`` keeps what it has read, and every value it returns is frozen. Log entries never change, so all it has to
watch is the head: whether the next entry is there, and whether the one it knows is still the same file (a table may
be dropped and made anew at the same place).
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

from tablever import witness_files
from tablever.columns import did_you_mean
from tablever.delta import commits, features, replay, seals
from tablever.delta.actions import Action, Add, Remove
from tablever.delta.listing import entry_path
from tablever.errors import (
    CorruptionError,
    InvalidInputError,
    TableverError,
    TagNotFoundError,
    VersionNotFoundError,
    VersionVacuumedError,
)
from tablever.fences import checked_folders
from tablever.logfiles import LogFiles, no_table
from tablever.model import EMPTY, ChangeFile, DataFile, Digest, Signature, Snapshot, Tag, Vacuumed, Version, Witness
from tablever.refs import AsOf, HashPrefix, Number, Ref, Relative, TagName, parse_ref
from tablever.spans import holds, nearest
from tablever.storage import Place, Storage, open_storage, reaching
from tablever.texts import plural

__all__ = ["Entry", "HasLog", "Log", "TableLike", "entry_path", "open_log"]

logger = logging.getLogger("tablever")

KEPT_SNAPSHOTS = 16
VACUUM = "tablever.vacuum"  # the application id under which a snapshot knows the newest vacuum of ours


@dataclass(frozen=True)
class Entry:
    """One log entry: its bytes as they lie on the disk, and its actions in their order."""

    number: int
    data: bytes
    actions: tuple[Action, ...]


@dataclass(frozen=True)
class _Time:
    milliseconds: int
    from_file: bool


@dataclass(frozen=True)
class _Built:
    state: replay.State
    snapshot: Snapshot


class _History:
    """Versions in their order: each is told the rows of the one before, and of the files it removes."""

    def __init__(self) -> None:
        self.versions: dict[int, Version] = {}
        self.newest = -1
        self.rows: int | None = None
        self.files: dict[replay.Identity, int] = {}

    def note(self, version: Version, actions: list[Action]) -> None:
        self.versions[version.number] = version
        self.newest = version.number
        self.rows = version.rows
        for action in actions:
            if isinstance(action, Remove):
                self.files.pop(replay.identity(action.file), None)
        for action in actions:
            if isinstance(action, Add) and action.file.rows is not None:
                self.files[replay.identity(action.file)] = action.file.rows


class _Known:
    """What a handle has read of one table's log.

    Where another table takes the place of that one, a new object takes the place of this, at once and whole. Whoever
    still reads the old table goes on with the object that it began with, and fills what nobody asks any more.
    """

    def __init__(self, files: LogFiles) -> None:
        self.files = files
        self.head: _Built | None = None
        self.snapshots: dict[int, _Built] = {}
        self.times: dict[int, _Time] = {}
        self.versions: dict[int, Version] = {}
        self.history = _History()
        self.digest: tuple[int, Digest | None] | None = None


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
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._known = _Known(LogFiles(self.storage, self.name))

    @property
    def _files(self) -> LogFiles:
        return self._known.files

    def __repr__(self) -> str:
        return f"Log({self.uri!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self.storage, self.uri)

    def head_number(self) -> int:
        """The newest version's number, as the disk has it now. Raises TableNotFoundError."""
        return self._look()[1]

    def _look(self) -> tuple[_Known, int]:
        """What is known of the table that is there now, and its newest version's number."""
        known = self._known  # another thread may forget it at any moment
        number = known.files.head_number()
        if number is None:
            self._forget()
            known = self._known
            number = known.files.head_number()
        if number is None:
            raise no_table(self.uri, self.storage.place)
        return known, number

    def head(self) -> Snapshot:
        """The newest version, as the disk has it now; two looks at the disk where nothing changed.

        Raises TableNotFoundError, CorruptionError, UnsupportedFeatureError.
        """
        known, number = self._look()
        head = known.head  # another thread may set it at any moment
        if head is None or head.snapshot.version != number:
            known.head = head = self._load(known, number)
        return head.snapshot

    def snapshot(self, number: int) -> Snapshot:
        """One version.

        Raises:
            TableNotFoundError: the table is gone.
            VersionNotFoundError: the log has not come that far.
            VersionVacuumedError: its log entries, and the checkpoints that held their content, were removed.
            CorruptionError: an entry is missing, cut, or damaged; ``file`` names it.
            UnsupportedFeatureError: the version needs a feature that we do not read.
        """
        return self._load(self._having(number), number).snapshot

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
        known, newest = self._look()
        return min(known.files.relist().first_readable or 0, newest)

    def version(self, number: int) -> Version:
        """What the log says of one version; its rows from its snapshot where the entry does not say them.

        A version of which only a checkpoint is left has the operation "unknown" and an empty commit hash.
        Raises as ``snapshot``.
        """
        known = self._having(number)
        found = known.versions.get(number)
        if found is None:
            found = known.versions[number] = self._describe(known, number)
        return found

    def versions_of(self, numbers: Sequence[int]) -> Iterator[Version]:
        """What ``version`` says of versions that there are; of an object store, some entries are fetched at once.

        Raises where it comes to one whose entry is gone, or damaged, and ends there.
        """
        known = self._known
        read = {number: version for number in numbers if (version := known.versions.get(number)) is not None}
        # Decided once: what other threads read meanwhile must not shift who gets which entry.
        unread = [number for number in dict.fromkeys(numbers) if number not in read]
        found = zip(unread, known.files.entries(unread), strict=True)
        for number in numbers:
            if number not in read:
                known.versions[number] = read[number] = self._describe_entry(known, *next(found))
            yield read[number]

    def committed(self, number: int, data: bytes) -> Version:
        """What ``version`` says of an entry that was put just now, from its bytes; nobody need read it again."""
        known = self._known
        known.files.keep(number, data)
        values = known.files.decode(number, data)
        info = commits.find_info(values)
        known.files.note_time(number, info)
        known.digest = number, _recorded_digest(commits.own_record(info) or {})
        self._carry(known, number, data, values)
        version = known.versions[number] = self._describe_values(known, number, data, values)
        return version

    def _carry(self, known: _Known, number: int, data: bytes, values: list[dict[str, Any]]) -> None:
        """Make the head of an entry that was put just now, where it is the newest; else the next look reads it."""
        try:
            is_newest = known.files.is_newest(number, data)  # also of a table just made: to know it from another there
            head = known.head
            if is_newest and head is not None and head.snapshot.version == number - 1:
                state = replay.apply(head.state, known.files.actions(number, values))
                known.head = self._built(known, number, state)
        except TableverError:  # the version is in the log: whoever looks next is told
            logger.info("the head of '%s' is read again", self.name, exc_info=True)

    def signature(self, number: int) -> Signature:
        """When a version was made, by whom and why: what ``version`` says, and of its entry no more is read than that.

        Raises as ``snapshot``.
        """
        known = self._having(number)
        try:
            info = known.files.info(number)
        except VersionVacuumedError:
            version = self.version(number)
        else:
            time = commits.to_datetime(self._time(known, number).milliseconds)
            version = commits.to_version(number, info, commits.Counts(), before=None, commit_hash="", timestamp=time)
        return Signature(version.timestamp, version.author, version.message)

    def versions(self) -> list[Version]:
        """Every version whose log entry is there, oldest first.

        Each entry is read once, and no checkpoint: counts that the entries of others do not tell are None here,
        also where ``version`` finds them in a snapshot. Raises TableNotFoundError, and CorruptionError for an entry
        that is damaged, or missing between others.
        """
        known, _ = self._look()
        with self._lock:
            history, entries = known.history, known.files.numbers()
            unread = entries[bisect_right(entries, history.newest) :]
            for number, data in zip(unread, known.files.entries(unread), strict=True):
                self._extend(known, number, data)
            return [history.versions[number] for number in entries]

    def first_readable(self) -> int:
        """The oldest version whose files the log can tell, removed or not. Raises TableNotFoundError."""
        known, newest = self._look()
        oldest = known.files.relist().first_readable
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
        known = self._having(number)
        try:
            return commits.own_record(known.files.info(number)) or {}
        except VersionVacuumedError:
            return EMPTY

    def is_own(self, number: int) -> bool:
        """Whether tablever made a version, as its entry has it. Raises CorruptionError."""
        newest = self._known.digest
        return (newest is not None and newest[0] == number) or bool(self.record(number))

    def digest(self, number: int) -> Digest | None:
        """The digest of a version's rows, as its entry has it; None where that has none, or is not as it was written.

        Raises CorruptionError.
        """
        newest = self._known.digest
        if newest is not None and newest[0] == number:
            return newest[1]
        found = _recorded_digest(self.record(number))
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
        known, newest = self._look()
        entries = known.files.relist().entries
        oldest = entries[0] if entries else newest
        sought = (time - commits.EPOCH) // timedelta(milliseconds=1)
        first = self._sure_time(known, oldest)
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
            if self._sure_time(known, middle) <= sought:
                oldest = middle
            else:
                newest = middle - 1
        return oldest

    def _sure_time(self, known: _Known, number: int) -> int:
        """A version's time in milliseconds. Raises CorruptionError where a damaged entry would have told it."""
        with suppress(VersionVacuumedError):
            known.files.info(number)
        return self._time(known, number).milliseconds

    def _hashed(self, digits: str) -> int:
        for version in reversed(self.versions()):
            if version.content_hash is not None and version.content_hash.startswith(f"sha:{digits}"):
                return version.number
        raise VersionNotFoundError(
            f"version sha:{digits} not found in '{self.name}': no recorded content hash begins so",
            hint=f"tablever log {self.name}",
            version=f"sha:{digits}",
        )

    # -- snapshots and times

    def _load(self, known: _Known, number: int) -> _Built:
        built = known.snapshots.pop(number, None) or self._build(known, number)
        known.snapshots[number] = built
        for oldest in list(known.snapshots)[:-KEPT_SNAPSHOTS]:
            known.snapshots.pop(oldest, None)
        return built

    def _build(self, known: _Known, number: int) -> _Built:
        states = {each: built.state for each, built in list(known.snapshots.items())}
        head = known.head
        if head is not None:
            states[head.snapshot.version] = head.state
        return self._built(known, number, known.files.state(number, states))

    def _built(self, known: _Known, number: int, state: replay.State) -> _Built:
        head = known.head
        time = commits.to_datetime(self._time(known, number).milliseconds)
        snapshot = replay.to_snapshot(state, number=number, timestamp=time, table=self.name)
        features.check_readable(snapshot.protocol, snapshot.metadata)
        if head is not None:
            snapshot.ranges.update(head.snapshot.ranges)
        return _Built(state, snapshot)

    def _time(self, known: _Known, number: int) -> _Time:
        """A version's time: as recorded, raised above its predecessor's.

        Our own entries were made later than their predecessors; those of others make us look further back, to one
        of ours or to the first that is there.
        """
        pending: list[tuple[int, _Time]] = []
        floor: _Time | None = None
        for each in range(number, -1, -1):
            floor = known.times.get(each)
            recorded = None if floor else known.files.recorded(each)
            if floor is not None or (recorded is None and each != number):
                break
            if recorded is not None and recorded.time is not None:
                pending.append((each, _Time(recorded.time, from_file=False)))
            else:
                pending.append((each, _Time(known.files.modified(each), from_file=True)))
            if recorded is None or recorded.later:
                break
        for each, time in reversed(pending):
            later = max(time.milliseconds, -(2**62) if floor is None else floor.milliseconds + 1)
            known.times[each] = floor = _Time(later, time.from_file)
        return known.times[number]

    # -- the words for a version

    def _describe(self, known: _Known, number: int) -> Version:
        try:
            data = known.files.entry(number)
        except VersionVacuumedError:
            return self._describe_checkpoint(known, number)
        return self._describe_entry(known, number, data)

    def _describe_entry(self, known: _Known, number: int, data: bytes) -> Version:
        return self._describe_values(known, number, data, known.files.decode(number, data))

    def _describe_values(self, known: _Known, number: int, data: bytes, values: list[dict[str, Any]]) -> Version:
        before = 0 if number == 0 else None
        version, _ = self._parse(known, number, data, values, before, lambda file: self._rows(known, number - 1, file))
        if version.rows is not None:
            return version
        try:
            return replace(version, rows=self._load(known, number).snapshot.rows)
        except VersionVacuumedError:
            return version

    def _describe_checkpoint(self, known: _Known, number: int) -> Version:
        snapshot = self._load(known, number).snapshot
        counts = commits.Counts()
        version = commits.to_version(number, {}, counts, before=None, commit_hash="", timestamp=snapshot.timestamp)
        return replace(version, rows=snapshot.rows, timestamp_from_file=True)

    def _extend(self, known: _Known, number: int, data: bytes) -> None:
        history = known.history
        before = 0 if number == 0 else history.rows
        rows_of: commits.RowsOf = lambda file: history.files.get(replay.identity(file))  # noqa: E731
        history.note(*self._parse(known, number, data, known.files.decode(number, data), before, rows_of))

    def _parse(
        self,
        known: _Known,
        number: int,
        data: bytes,
        values: list[dict[str, Any]],
        before: int | None,
        rows_of: commits.RowsOf,
    ) -> tuple[Version, list[Action]]:
        """An entry's Version, and its actions where those had to be looked at: not for our own entries."""
        info = commits.find_info(values)
        record = commits.own_record(info)
        actions = [] if record is not None else known.files.actions(number, values)
        counts = commits.own_counts(record) if record is not None else commits.foreign_counts(info, actions, rows_of)
        known.files.note_time(number, info)
        time = self._time(known, number)
        version = commits.to_version(
            number,
            info,
            counts,
            before=before,
            commit_hash=hashlib.sha256(data).hexdigest(),
            timestamp=commits.to_datetime(time.milliseconds),
        )
        return (replace(version, timestamp_from_file=True) if time.from_file else version), actions

    def _rows(self, known: _Known, before: int, file: DataFile) -> int | None:
        """Rows of a file that a version removes, as the version before has it; None where that cannot be read."""
        try:
            found = self._load(known, before).state.index.get(replay.identity(file))
        except (VersionVacuumedError, CorruptionError):
            return None
        return None if found is None else found.rows

    def _having(self, number: int) -> _Known:
        """What is known of the table that has the version. Raises VersionNotFoundError, TableNotFoundError."""
        known = self._known
        if not 0 <= number <= known.files.seen():
            known, newest = self._look()
            if not 0 <= number <= newest:
                raise self._not_found(str(number))
        return known

    def _not_found(self, what: str) -> VersionNotFoundError:
        known, newest = self._look()
        oldest = min(known.files.covering(0).first_readable or 0, newest)
        has = f"version {newest} only" if oldest == newest else f"versions {oldest} to {newest}"
        return VersionNotFoundError(
            f"version {what} not found in '{self.name}': the log has {has}",
            hint=f"tablever log {self.name}",
            version=what,
            oldest=oldest,
            newest=newest,
        )


def _recorded_digest(record: Mapping[str, Any]) -> Digest | None:
    rows, digits = record.get("rows"), record.get("digest")
    return Digest.from_hex(rows, digits) if isinstance(rows, int) and isinstance(digits, str) else None


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
