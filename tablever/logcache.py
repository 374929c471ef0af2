"""What has been read of one table's log, kept: its head, and each version's snapshot, time and description."""

from __future__ import annotations

import hashlib
import logging
import threading
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from tablever.delta import commits, features, replay
from tablever.delta.actions import Action, Add, Remove
from tablever.errors import CorruptionError, TableverError, VersionVacuumedError
from tablever.logfiles import LogFiles
from tablever.model import DataFile, Digest, Signature, Snapshot, Version
from tablever.storage import Storage

logger = logging.getLogger("tablever")

KEPT_SNAPSHOTS = 16


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


class LogCache:
    """What a handle has read of one table's log.

    Entries never change, so what is kept stays true as long as the table is the same; nothing here looks whether it is.
    Several threads may fill it: what two of them read is the same.

    Attributes:
        files: the log's folder, from which it reads.
        newest_digest: the version that this handle committed last, and the digest of its rows, where it has one.
    """

    def __init__(self, storage: Storage, table: str) -> None:
        self.files = LogFiles(storage, table)
        self._table = table
        self._head: _Built | None = None
        self._snapshots: dict[int, _Built] = {}
        self._times: dict[int, _Time] = {}
        self._versions: dict[int, Version] = {}
        self._history = _History()
        self._lock = threading.Lock()
        self.newest_digest: tuple[int, Digest | None] | None = None

    # -- snapshots and times

    def head(self, number: int) -> Snapshot:
        """The snapshot of the version that is the newest now; the next one is built from it."""
        head = self._head  # another thread may set it at any moment
        if head is None or head.snapshot.version != number:
            self._head = head = self._load(number)
        return head.snapshot

    def snapshot(self, number: int) -> Snapshot:
        """One version's; the last few that were asked for are kept."""
        return self._load(number).snapshot

    def _load(self, number: int) -> _Built:
        built = self._snapshots.pop(number, None) or self._build(number)
        self._snapshots[number] = built
        for oldest in list(self._snapshots)[:-KEPT_SNAPSHOTS]:
            self._snapshots.pop(oldest, None)
        return built

    def _build(self, number: int) -> _Built:
        states = {each: built.state for each, built in list(self._snapshots.items())}
        head = self._head
        if head is not None:
            states[head.snapshot.version] = head.state
        return self._built(number, self.files.state(number, states))

    def _built(self, number: int, state: replay.State) -> _Built:
        head = self._head
        time = commits.to_datetime(self._time(number).milliseconds)
        snapshot = replay.to_snapshot(state, number=number, timestamp=time, table=self._table)
        features.check_readable(snapshot.protocol, snapshot.metadata)
        if head is not None:
            snapshot.ranges.update(head.snapshot.ranges)
        return _Built(state, snapshot)

    def sure_time(self, number: int) -> int:
        """A version's time in milliseconds. Raises CorruptionError where a damaged entry would have told it."""
        with suppress(VersionVacuumedError):
            self.files.info(number)
        return self._time(number).milliseconds

    def _time(self, number: int) -> _Time:
        """A version's time: as recorded, raised above its predecessor's.

        Our own entries were made later than their predecessors; those of others make us look further back, to one
        of ours or to the first that is there.
        """
        pending: list[tuple[int, _Time]] = []
        floor: _Time | None = None
        for each in range(number, -1, -1):
            floor = self._times.get(each)
            recorded = None if floor else self.files.recorded(each)
            if floor is not None or (recorded is None and each != number):
                break
            if recorded is not None and recorded.time is not None:
                pending.append((each, _Time(recorded.time, from_file=False)))
            else:
                pending.append((each, _Time(self.files.modified(each), from_file=True)))
            if recorded is None or recorded.later:
                break
        for each, time in reversed(pending):
            later = max(time.milliseconds, -(2**62) if floor is None else floor.milliseconds + 1)
            self._times[each] = floor = _Time(later, time.from_file)
        return self._times[number]

    # -- what the log says of versions

    def version(self, number: int) -> Version:
        """What the log says of one version; its rows from its snapshot where the entry does not say them."""
        found = self._versions.get(number)
        if found is None:
            found = self._versions[number] = self._describe(number)
        return found

    def versions_of(self, numbers: Sequence[int]) -> Iterator[Version]:
        """What ``version`` says of versions that there are; of an object store, some entries are fetched at once.

        Raises where it comes to one whose entry is gone, or damaged, and ends there.
        """
        read = {number: version for number in numbers if (version := self._versions.get(number)) is not None}
        # Decided once: what other threads read meanwhile must not shift who gets which entry.
        unread = [number for number in dict.fromkeys(numbers) if number not in read]
        found = zip(unread, self.files.entries(unread), strict=True)
        for number in numbers:
            if number not in read:
                self._versions[number] = read[number] = self._describe_entry(*next(found))
            yield read[number]

    def signature(self, number: int) -> Signature:
        """When a version was made, by whom and why; of its entry no more is read than that."""
        try:
            info = self.files.info(number)
        except VersionVacuumedError:
            version = self.version(number)
        else:
            time = commits.to_datetime(self._time(number).milliseconds)
            version = commits.to_version(number, info, commits.Counts(), before=None, commit_hash="", timestamp=time)
        return Signature(version.timestamp, version.author, version.message)

    def versions(self) -> list[Version]:
        """Every version whose log entry is there, oldest first; each entry is read once, and no checkpoint."""
        with self._lock:
            history, entries = self._history, self.files.numbers()
            unread = entries[bisect_right(entries, history.newest) :]
            for number, data in zip(unread, self.files.entries(unread), strict=True):
                self._extend(number, data)
            return [history.versions[number] for number in entries]

    def committed(self, number: int, data: bytes) -> Version:
        """What ``version`` says of an entry that was put just now, from its bytes; nobody need read it again."""
        self.files.keep(number, data)
        values = self.files.decode(number, data)
        info = commits.find_info(values)
        self.files.note_time(number, info)
        self.newest_digest = number, recorded_digest(commits.own_record(info) or {})
        self._carry(number, data, values)
        version = self._versions[number] = self._describe_values(number, data, values)
        return version

    def _carry(self, number: int, data: bytes, values: list[dict[str, Any]]) -> None:
        """Make the head of an entry that was put just now, where it is the newest; else the next look reads it."""
        try:
            is_newest = self.files.is_newest(number, data)  # also of a table just made: to know it from another there
            head = self._head
            if is_newest and head is not None and head.snapshot.version == number - 1:
                state = replay.apply(head.state, self.files.actions(number, values))
                self._head = self._built(number, state)
        except TableverError:  # the version is in the log: whoever looks next is told
            logger.info("the head of '%s' is read again", self._table, exc_info=True)

    def _describe(self, number: int) -> Version:
        try:
            data = self.files.entry(number)
        except VersionVacuumedError:
            return self._describe_checkpoint(number)
        return self._describe_entry(number, data)

    def _describe_entry(self, number: int, data: bytes) -> Version:
        return self._describe_values(number, data, self.files.decode(number, data))

    def _describe_values(self, number: int, data: bytes, values: list[dict[str, Any]]) -> Version:
        before = 0 if number == 0 else None
        version, _ = self._parse(number, data, values, before, lambda file: self._rows(number - 1, file))
        if version.rows is not None:
            return version
        try:
            return replace(version, rows=self._load(number).snapshot.rows)
        except VersionVacuumedError:
            return version

    def _describe_checkpoint(self, number: int) -> Version:
        snapshot = self._load(number).snapshot
        counts = commits.Counts()
        version = commits.to_version(number, {}, counts, before=None, commit_hash="", timestamp=snapshot.timestamp)
        return replace(version, rows=snapshot.rows, timestamp_from_file=True)

    def _extend(self, number: int, data: bytes) -> None:
        history = self._history
        before = 0 if number == 0 else history.rows
        rows_of: commits.RowsOf = lambda file: history.files.get(replay.identity(file))  # noqa: E731
        history.note(*self._parse(number, data, self.files.decode(number, data), before, rows_of))

    def _parse(
        self,
        number: int,
        data: bytes,
        values: list[dict[str, Any]],
        before: int | None,
        rows_of: commits.RowsOf,
    ) -> tuple[Version, list[Action]]:
        """An entry's Version, and its actions where those had to be looked at: not for our own entries."""
        info = commits.find_info(values)
        record = commits.own_record(info)
        actions = [] if record is not None else self.files.actions(number, values)
        counts = commits.own_counts(record) if record is not None else commits.foreign_counts(info, actions, rows_of)
        self.files.note_time(number, info)
        time = self._time(number)
        version = commits.to_version(
            number,
            info,
            counts,
            before=before,
            commit_hash=hashlib.sha256(data).hexdigest(),
            timestamp=commits.to_datetime(time.milliseconds),
        )
        return (replace(version, timestamp_from_file=True) if time.from_file else version), actions

    def _rows(self, before: int, file: DataFile) -> int | None:
        """Rows of a file that a version removes, as the version before has it; None where that cannot be read."""
        try:
            found = self._load(before).state.index.get(replay.identity(file))
        except (VersionVacuumedError, CorruptionError):
            return None
        return None if found is None else found.rows


def recorded_digest(record: Mapping[str, Any]) -> Digest | None:
    """The digest of a version's rows, of what tablever wrote into its entry; None where that tells none."""
    rows, digits = record.get("rows"), record.get("digest")
    return Digest.from_hex(rows, digits) if isinstance(rows, int) and isinstance(digits, str) else None
