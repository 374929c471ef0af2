"""What lies in one table's ``_delta_log``: entries, checkpoints, and the state of a version put together from them."""

from __future__ import annotations

import difflib
import hashlib
import json
import logging
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from tablever.delta import commits, replay
from tablever.delta.actions import Action, build_actions, decode_entry
from tablever.delta.entries import check_seal, decode_whole
from tablever.delta.listing import (
    LOG_FOLDER,
    SIDECAR_FOLDER,
    CheckpointFiles,
    Listing,
    entry_name,
    entry_path,
    parse_names,
)
from tablever.errors import (
    CorruptionError,
    StorageError,
    TableNotFoundError,
    UnsupportedFeatureError,
    VersionVacuumedError,
)
from tablever.storage import Place, Storage
from tablever.tail import torn_tail

POINTER = f"{LOG_FOLDER}/_last_checkpoint"
POINTER_BYTES = 65_536  # of others: it may hold the schema of the checkpoint
START = 16_384  # an entry's commitInfo, the filter of its keys included, and mostly all of it
# what one checkpoint costs to read, in log entries
CHECKPOINT_COST = 32

TOO_LARGE = "a checkpoint of so many bytes in one file"

logger = logging.getLogger("tablever")


@dataclass(frozen=True)
class Anchor:
    """The newest version that was seen, and what tells its entry from another of that name."""

    number: int
    fingerprint: Hashable


class LogFiles:
    """One table's log folder. It remembers the last listing, and the times that entries record.

    A listing may begin at a checkpoint: who asks for what came before gets a whole one.

    ``table`` is the table's name, for messages. Versions that cannot be read raise CorruptionError (an entry is
    damaged, or missing between others) or VersionVacuumedError (it was removed with all before it).
    """

    def __init__(self, storage: Storage, table: str) -> None:
        self.storage = storage
        self.table = table
        self.listing = Listing()
        self._since = 0
        self._looked = 0.0
        self._anchor: Anchor | None = None
        self._digest: tuple[int, bytes] | None = None
        self._kept: tuple[int, bytes] | None = None
        self._recorded: dict[int, commits.Recorded] = {}

    def relist(self) -> Listing:
        """What the folder holds now."""
        self.listing, self._since = parse_names(self.storage.list(LOG_FOLDER)), 0
        return self.listing

    def covering(self, number: int) -> Listing:
        """A listing in which a version and what came after it would be found."""
        return self.listing if self._since <= number else self.relist()

    def seen(self) -> int:
        """The newest version that may be relied on without another look; -1 where one must look."""
        if self._anchor is None or not self.storage.look_seconds:
            return -1
        return self._anchor.number if time.monotonic() - self._looked < self.storage.look_seconds else -1

    def head_number(self) -> int | None:
        """The newest version on the disk now; None for an empty log, or where the log is another than before."""
        self._looked, anchor = time.monotonic(), self._anchor
        if anchor is None:
            return self._find_head()
        there = self.storage.successive(map(entry_path, count(anchor.number)))
        if not there or not self._unchanged(anchor, there[0]):
            return None
        self._anchor = Anchor(anchor.number + len(there) - 1, there[-1])
        return self._anchor.number

    def _find_head(self) -> int | None:
        number = self._list_from_checkpoint().head
        if number is not None:
            self._anchor = Anchor(number, self.storage.fingerprint(entry_path(number)))
        return number

    def _list_from_checkpoint(self) -> Listing:
        """What the folder holds from the checkpoint on that the pointer names; all of it where that is not there."""
        since = self._pointed()
        if since is not None:
            listing = parse_names(self.storage.list(LOG_FOLDER, f"{since:020d}."))
            if any(files.number == since for files in listing.checkpoints):
                self.listing, self._since = listing, since
                return listing
        return self.relist()

    def _pointed(self) -> int | None:
        try:
            value = json.loads(self.storage.get_range(POINTER, 0, POINTER_BYTES))["version"]
        except (FileNotFoundError, StorageError, ValueError, KeyError, TypeError, RecursionError):
            return None  # it is a hint: what it is worth, the listing tells
        return value if type(value) is int and 0 <= value < 10**20 else None

    def _unchanged(self, anchor: Anchor, found: Hashable) -> bool:
        if found == anchor.fingerprint:
            return True
        # a committer sets its entry's time just after making it: the same bytes are the same entry
        data = self.storage.get(entry_path(anchor.number))
        return self._digest == (anchor.number, hashlib.sha256(data).digest())

    # -- entries

    def numbers(self) -> tuple[int, ...]:
        """The numbers of the log entries that are there now, ascending.

        Raises CorruptionError where one is missing between others.
        """
        self.listing = filled(self.relist(), self.storage)
        entries = self.listing.entries
        missing = self.listing.missing(entries[0] - 1, entries[-1]) if entries else None
        if missing is not None:
            raise self.missing(missing)
        return entries

    def entry(self, number: int) -> bytes:
        """The bytes of a version's log entry."""
        kept = self._kept
        if kept is not None and kept[0] == number:
            return kept[1]
        try:
            return self.storage.get(entry_path(number))
        except FileNotFoundError as error:
            self.relist()
            raise self._gone(number) from error

    def entries(self, numbers: Sequence[int]) -> Iterator[bytes]:
        """The bytes of versions' log entries, in that order."""
        found = self.storage.get_many(map(entry_path, numbers))
        for number in numbers:
            try:
                yield next(found)
            except FileNotFoundError as error:
                self.relist()
                raise self._gone(number) from error

    def whole_entry(self, number: int) -> bytes:
        """The bytes of a version's log entry; one that holds another digest than its own is corrupt."""
        data = self.entry(number)
        with self._told(number):
            check_seal(data, name=entry_name(number))
        return data

    def start(self, number: int) -> bytes:
        """The first START bytes of a version's log entry, which as a whole fits its own digest."""
        return next(self.starts([number]))

    def starts(self, numbers: Sequence[int]) -> Iterator[bytes]:
        """The same of each of several versions, in that order."""
        kept = dict([self._kept] if self._kept else [])
        found = self.storage.get_starts((entry_path(number) for number in numbers if number not in kept), START)
        for number in numbers:
            if number in kept:
                yield kept[number][:START]
                continue
            try:
                data = next(found)
            except FileNotFoundError as error:
                self.relist()
                raise self._gone(number) from error
            if len(data) == START:
                yield self.whole_entry(number)[:START]
                continue
            with self._told(number):
                check_seal(data, name=entry_name(number))
            yield data

    def _values(self, number: int, data: bytes) -> list[dict[str, Any]]:
        """The JSON objects of a version's log entry."""
        values = self.decode(number, data)
        self.note_time(number, commits.find_info(values))
        if self._anchor is not None and self._anchor.number == number:
            self._digest = (number, hashlib.sha256(data).digest())
            self.keep(number, data)
        return values

    def is_newest(self, number: int, data: bytes) -> bool:
        """Whether an entry that was put just now, of these bytes, is the head; False where a look is a request."""
        if self.storage.look_seconds or self.head_number() != number:
            return False
        self._digest = number, hashlib.sha256(data).digest()
        return True

    def keep(self, number: int, data: bytes) -> None:
        """Have the newest entry at hand where another look is a request; whether it is still there, the head tells."""
        if self.storage.look_seconds:
            self._kept = number, data

    def decode(self, number: int, data: bytes) -> list[dict[str, Any]]:
        """The JSON objects of a version's entry, whose bytes these are."""
        with self._told(number):
            return decode_whole(data, name=entry_name(number))

    def actions(self, number: int, values: list[dict[str, Any]]) -> list[Action]:
        """The actions among the JSON objects of a version's entry."""
        with self._told(number):
            return build_actions(values, name=entry_name(number))

    def info(self, number: int) -> Mapping[str, Any]:
        """An entry's commitInfo, from its first line where that is all it takes."""
        line, end, _ = self.start(number).partition(b"\n")
        if end and line.startswith(b'{"commitInfo":{') and line.rstrip().endswith(b"}}"):
            with self._told(number):
                return commits.find_info(decode_entry(line, name=entry_name(number)))
        return commits.find_info(self.decode(number, self.entry(number)))

    def note_time(self, number: int, info: Mapping[str, Any]) -> None:
        """Remember the time that an entry, read elsewhere, records."""
        self._recorded.setdefault(number, commits.recorded_time(info))

    def recorded(self, number: int) -> commits.Recorded | None:
        """What an entry says of its time; None where there is no such entry, or it is damaged."""
        if number not in self._recorded:
            try:
                self._recorded[number] = commits.recorded_time(self.info(number))
            except (CorruptionError, VersionVacuumedError):
                return None
        return self._recorded[number]

    def modified(self, number: int) -> int:
        """Milliseconds since 1970 at which a version's entry, or what is left of it, was last changed."""
        left = [name for files in self.covering(number).checkpoints if files.number == number for name in files.names]
        for name in (entry_name(number), *left):
            try:
                return int(self.storage.modified(f"{LOG_FOLDER}/{name}") * 1000)
            except FileNotFoundError:
                continue
        raise self._gone(number)

    # -- states

    def state(self, number: int, known: Mapping[int, replay.State]) -> replay.State:
        """The state of a version, from the newest usable checkpoint or known state at or before it."""
        try:
            return self._replay(number, known)
        except FileNotFoundError:
            # another tool cleaned the log while we read it, or the list of the folder is old
            self.relist()
        except CorruptionError:  # of an entry on the way from a known state: a checkpoint may lie behind it
            if not known:
                raise
        try:
            return self._replay(number, {})
        except FileNotFoundError as error:
            raise self._unreadable(number) from error

    def _replay(self, number: int, known: Mapping[int, replay.State]) -> replay.State:
        base, state = self._base(number, known)
        for each, data in self._after(base, number):
            state = replay.apply(state, self.actions(each, self._values(each, data)))
        return state

    def _after(self, base: int, number: int) -> Iterator[tuple[int, bytes]]:
        """The log entries after a version, up to another, with their numbers."""
        kept = self._kept
        if kept is not None and kept[0] == number == base + 1:
            return iter([kept])
        numbers = range(base + 1, number + 1)
        return zip(numbers, self.storage.get_many(map(entry_path, numbers)), strict=True)

    def _base(self, number: int, known: Mapping[int, replay.State]) -> tuple[int, replay.State]:
        newest = max((each for each in known if each <= number), default=-1)
        near = newest >= 0 and number - newest <= CHECKPOINT_COST
        for files in self._checkpoints_before(number):
            if near or files.number <= newest:
                break
            try:
                return files.number, self._checkpoint(files)
            except (CorruptionError, UnsupportedFeatureError) as error:
                if not (isinstance(error, CorruptionError) or is_too_large(error)):
                    raise
                logger.warning("'%s': %s; reading what is older", self.table, error)
        return newest, known[newest] if newest >= 0 else replay.State()

    def _checkpoints_before(self, number: int) -> Iterator[CheckpointFiles]:
        """Newest first; the folder is listed whole only for one who wants them all."""
        yield from self.covering(number).checkpoints_before(number)
        if self._since:
            since = self._since
            yield from self.relist().checkpoints_before(since - 1)

    def _checkpoint(self, files: CheckpointFiles) -> replay.State:
        from tablever.delta import checkpoint  # with Arrow, which takes longer to import than a short log to read

        parts = [
            checkpoint.parse_part(read_part(self.storage, f"{LOG_FOLDER}/{name}"), name=name) for name in files.names
        ]
        for sidecar in checkpoint.sidecars_of(parts, name=files.names[0]):
            try:
                data = read_part(self.storage, f"{SIDECAR_FOLDER}/{sidecar}")
            except FileNotFoundError as error:
                message = f"checkpoint '{files.names[0]}' cannot be read: its sidecar '{sidecar}' is missing"
                raise CorruptionError(message, file=sidecar) from error
            parts.append(checkpoint.parse_part(data, name=sidecar))
        return checkpoint.to_state(parts, name=files.names[0])

    # -- what to say where something is missing

    def _unreadable(self, number: int) -> CorruptionError | UnsupportedFeatureError | VersionVacuumedError:
        base, _ = self._base(number, {})
        for files in self.listing.checkpoints_before(number)[:1]:
            try:
                if files.number > base:
                    self._checkpoint(files)
            except (CorruptionError, UnsupportedFeatureError) as error:
                return error
        missing = self.listing.missing(base, number)
        if missing is None:
            return self._gone(number)
        later = any(files.number > number for files in self.listing.checkpoints)
        entries = self.listing.entries
        if later and (not entries or missing < entries[0]):
            return self._vacuumed(number)
        return self.missing(missing)

    def _gone(self, number: int) -> CorruptionError | VersionVacuumedError:
        entries = self.listing.entries
        return self.missing(number) if entries and entries[0] < number else self._vacuumed(number)

    def _vacuumed(self, number: int) -> VersionVacuumedError:
        oldest = self.listing.first_readable
        rest = "" if oldest is None else f"; the oldest version that can be read is {oldest}"
        return VersionVacuumedError(
            f"version {number} of '{self.table}' cannot be read: its log entry was removed{rest}",
            hint="another tool cleaned the log: delta.logRetentionDuration says after how long",
            version=number,
            oldest=oldest,
        )

    def missing(self, number: int) -> CorruptionError:
        """The error for a hole in the log."""
        return self._damaged(number, "is missing, and later ones are there")

    @contextmanager
    def _told(self, number: int) -> Iterator[None]:
        """What is wrong with a version's entry, told with the last good version and what to do about it."""
        try:
            yield
        except CorruptionError as error:
            raise self._damaged(number, error.facts["problem"]) from error

    def _damaged(self, number: int, problem: str) -> CorruptionError:
        name, before = entry_name(number), number - 1 if number else None
        tail = torn_tail(self.storage, parse_names(self.storage.list(LOG_FOLDER)))
        is_torn = number in tail.lost
        last_good = tail.last_good if is_torn else before
        said = "" if last_good is None else f"; the last good version is {last_good}"
        return CorruptionError(
            f"log entry '{name}' of '{self.table}' {problem}{said}",
            hint=f"tablever repair {self.table}"
            if is_torn
            else f"restore {LOG_FOLDER}/{name} from a copy of the table",
            file=name,
            problem=problem,
            last_good=last_good,
        )


def is_too_large(error: UnsupportedFeatureError) -> bool:
    """Whether what is not supported is the size of a checkpoint's file: entries may lead to its version, too."""
    return error.facts.get("feature") == TOO_LARGE


def read_part(storage: Storage, path: str) -> bytes:
    """The bytes of a checkpoint's file.

    Raises FileNotFoundError, StorageError; UnsupportedFeatureError for one that is too large to be read whole.
    """
    try:
        return storage.get(path)
    except StorageError as error:
        if "size" not in error.facts:
            raise
        raise UnsupportedFeatureError(
            f"checkpoint '{path}' has {error.facts['size']:,} bytes in one file, more than is read",
            hint="have its writer make checkpoints in parts (Spark: "
            "spark.databricks.delta.checkpoint.partSize = 100000), or compact the table: fewer files, smaller ones",
            feature=TOO_LARGE,
            file=path,
        ) from error


def filled(listing: Listing, storage: Storage) -> Listing:
    """A listing of a log's folder with the entries that it lacks, though they are there.

    A folder that grows while it is listed may be told with holes: of two names put meanwhile the later may be among
    those told, and the earlier not. So what lies between entries and seems to be missing is looked for by its name.
    """
    entries = listing.entries
    while entries and (missing := listing.missing(entries[0] - 1, entries[-1])) is not None:
        if not storage.exists(entry_path(missing)):
            break
        entries = tuple(sorted([*entries, missing]))
        listing = replace(listing, entries=entries)
    return listing


def no_table(uri: str, place: Place) -> TableNotFoundError:
    """The error for a place without a Delta table; its hint says which table may have been meant."""
    kind = place.kind()
    if kind == "folder":
        what = "has no log entries" if place.is_table() else f"is a folder without {LOG_FOLDER}"
    else:
        what = "does not exist" if kind is None else "is a file"
    meant = _meant(place)
    hint = f"did you mean {' or '.join(meant)}?" if meant else f"make one: tablever create {uri} FILE"
    return TableNotFoundError(f"no table at '{uri}': it {what}", hint=hint, uri=uri)


def _meant(place: Place) -> list[str]:
    """Tables near a place: the one around it, those in it, those beside it with a like name; three at most."""
    for parent in place.parents():
        if _has_log(parent):
            return [f"'{parent.uri}'"]
    inside = _tables(place)
    if inside:
        return [f"'{place.child(name).uri}'" for name in inside[:3]]
    around = next(place.parents(), None)
    beside = [] if around is None else difflib.get_close_matches(place.name, _tables(around))
    return [f"'{around.child(name).uri}'" for name in beside if around is not None]


def _has_log(place: Place) -> bool:
    return any(name.startswith("0") for name in place.storage().list(LOG_FOLDER))


def _tables(place: Place) -> list[str]:
    try:
        return sorted(each.name for each in place.folders() if _has_log(each))
    except StorageError:
        return []
