"""Level "log": every entry, the chain of their hashes, their sums, and every checkpoint against the entries.

On the way the history is replayed once: what each version adds and takes away is what the other levels go by.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tablever.delta import commits, replay, seals
from tablever.delta.actions import Action, build_actions, decode_entry
from tablever.delta.listing import Listing, entry_name, entry_path
from tablever.digests import render_hash
from tablever.errors import CorruptionError, StorageError
from tablever.integrity.checkpoints import CHECKPOINT, check_pointer, differences, reach, read_checkpoints
from tablever.integrity.report import Notes, Progress
from tablever.layout import table_schema
from tablever.model import EMPTY, ChangeFile, DataFile, Digest, Metadata, Protocol, Witness
from tablever.spans import clipped, numbers_of, parse_spans
from tablever.storage import Storage

ENTRY = "log entry"


@dataclass(frozen=True)
class Step:
    """One version, as the log has it: what it adds to the one before, and takes away."""

    number: int
    metadata: Metadata
    protocol: Protocol
    came: tuple[DataFile, ...]
    went: tuple[DataFile, ...]
    changes: tuple[ChangeFile, ...] = ()
    record: Mapping[str, Any] = field(default_factory=lambda: EMPTY)

    @property
    def digest(self) -> Digest | None:
        """The digest that was recorded of the version's rows."""
        return _digest(self.record, "rows", "digest")

    @property
    def added(self) -> Digest | None:
        """The digest that was recorded of the rows that came."""
        return _digest(self.record, "rowsAdded", "digestAdded")

    @property
    def removed(self) -> Digest | None:
        """The digest that was recorded of the rows that went."""
        return _digest(self.record, "rowsRemoved", "digestRemoved")


@dataclass(frozen=True)
class Vacuum:
    """A vacuum that another tool entered into the log."""

    number: int
    tool: str


@dataclass(frozen=True)
class History:
    """The versions that the log can tell.

    Attributes:
        steps: one for each version, ascending.
        hashes: of the entries that are there.
        vacuums: those of other tools.
        vacuumed: the versions whose rows a vacuum of ours has recorded as removed.
        vacuumed_changes: those whose change rows it has.
        silent: the entries that are damaged or gone, and may have recorded what a vacuum took.
        named: the versions that tags, runs and pins keep, and what they are called.
    """

    head: int
    steps: tuple[Step, ...]
    hashes: Mapping[int, str]
    vacuums: tuple[Vacuum, ...] = ()
    vacuumed: frozenset[int] = frozenset()
    vacuumed_changes: frozenset[int] = frozenset()
    silent: tuple[int, ...] = ()
    named: Mapping[int, str] = field(default_factory=dict)

    def keeping(self, witnesses: Iterable[Witness]) -> History:
        """The same where witnesses stand: what they name is kept, whatever a vacuum recorded."""
        named = {witness.version: witness.label for witness in witnesses}
        return replace(self, vacuumed=self.vacuumed - named.keys(), named=named)


@dataclass(frozen=True)
class _Entry:
    """A log entry as it was read; no actions where it cannot be read right."""

    data: bytes
    info: Mapping[str, Any]
    actions: tuple[Action, ...] | None

    @property
    def record(self) -> Mapping[str, Any]:
        return commits.own_record(self.info) or EMPTY


def read_history(
    storage: Storage, listing: Listing, oldest: int, notes: Notes, progress: Progress | None = None
) -> History:
    """Replay the log from its first readable version on, and note what is damaged, or missing since ``oldest``.

    ``progress`` is told of the bytes of entries read, of about how many.
    """
    head = listing.head or 0
    numbers = range(min([oldest, *listing.entries[:1]]), head + 1)  # not from 0: others' logs may begin anywhere
    entries = _read_entries(storage, listing, numbers, notes, progress)
    _check_chain(entries, listing, notes)
    _check_sums(entries, listing, notes)
    check_pointer(storage, listing, notes)
    steps = _replay(storage, entries, range(oldest, head + 1), listing, notes)
    vacuums = [
        Vacuum(number, str(entry.info.get("engineInfo") or "another tool"))
        for number, entry in entries.items()
        if str(entry.info.get("operation", "")).upper().startswith("VACUUM") and not entry.record
    ]
    hashes = {number: hashlib.sha256(entry.data).hexdigest() for number, entry in entries.items()}
    ours = max((n for n, entry in entries.items() if entry.record.get("operation") == "vacuum"), default=None)
    record = EMPTY if ours is None else entries[ours].record  # the newest counts those before it too
    rows, changes = (_numbers(record.get(name), oldest, head) for name in ("vacuumed", "vacuumedChanges"))
    silent = tuple(n for n in numbers if _may_be_silenced(entries.get(n), entry_path(n), notes))
    return History(head, tuple(steps), hashes, tuple(vacuums), rows, changes, silent)


def _may_be_silenced(entry: _Entry | None, path: str, notes: Notes) -> bool:
    """Whether an entry that is noted as damaged may be the record of a vacuum."""
    if not notes.is_damaged(path):
        return False
    if entry is None or entry.actions is None:
        return entry is None or b"vacuum" in entry.data.lower()
    return entry.record.get("operation") == "vacuum"


def _numbers(value: Any, oldest: int, head: int) -> frozenset[int]:
    """The versions of the log that pairs of the first and the last name; none where they are no such pairs."""
    return frozenset(numbers_of(clipped(parse_spans(value) or (), oldest, head)))


# -- entries


def _read_entries(
    storage: Storage, listing: Listing, numbers: range, notes: Notes, progress: Progress | None
) -> dict[int, _Entry]:
    entries: dict[int, _Entry] = {}
    done = 0
    there, first = frozenset(listing.entries), listing.first_readable
    for number in numbers:
        path, touched = entry_path(number), reach(listing, number)
        if number not in there:
            if number != first:  # a checkpoint may be all that a log begins with
                notes.damage(path, ENTRY, "missing", "it is gone, and later ones are there", touched)
            continue
        notes.objects += 1
        try:
            data = storage.get(path)
        except StorageError as error:
            notes.damage(path, ENTRY, "unreadable", str(error), touched)
            continue
        notes.bytes += len(data)
        done += len(data)
        entries[number] = _parsed(data, number, notes, touched)
        if progress is not None:
            progress(done, done * len(numbers) // (number - numbers.start + 1))
    return entries


def _parsed(data: bytes, number: int, notes: Notes, touched: range) -> _Entry:
    path, name = entry_path(number), entry_name(number)
    try:
        values = decode_entry(data, name=name)
        entry = _Entry(data, commits.find_info(values), tuple(build_actions(values, name=name)))
    except CorruptionError as error:
        notes.damage(path, ENTRY, "unreadable", str(error), touched)
        return _Entry(data, EMPTY, None)
    whole = seals.is_whole(data)
    if whole is False:
        notes.damage(path, ENTRY, "changed", "its digest does not fit its bytes", touched)
    before = entry.info.get("readVersion", number - 1) if entry.record else number - 1
    if whole is not False and before != number - 1:
        notes.damage(path, ENTRY, "misplaced", f"it was written on top of version {before}", touched)
    return entry


def _check_chain(entries: Mapping[int, _Entry], listing: Listing, notes: Notes) -> None:
    """Each entry of ours names the hash of the one before: so the ones before are what they were."""
    for number, entry in entries.items():
        path, after = entry_path(number), entries.get(number + 1)
        named = after.record.get("parentHash") if after else None
        if named is not None and not notes.is_damaged(entry_path(number + 1)):
            if named != hashlib.sha256(entry.data).hexdigest() and not notes.is_damaged(path):
                detail = f"version {number + 1} was committed on top of another one"
                notes.damage(path, ENTRY, "changed", detail, reach(listing, number))
        elif named is None and seals.is_whole(entry.data) is None and entry.actions is not None:
            notes.unknown(path, ENTRY, "it holds no digest, and no later entry names one", [number])


def _check_sums(entries: Mapping[int, _Entry], listing: Listing, notes: Notes) -> None:
    """Rows and digests of a version are its parent's, plus what it added, less what it removed."""
    for number, entry in entries.items():
        before, record = None if notes.is_damaged(entry_path(number - 1)) else entries.get(number - 1), entry.record
        share = _digest(record, "rowsAdded", "digestAdded"), _digest(record, "rowsRemoved", "digestRemoved")
        parent = Digest() if number == 0 else _digest(before.record, "rows", "digest") if before else None
        after = _digest(record, "rows", "digest")
        wrong = None
        if after is not None and parent is not None and None not in share:
            came, went = (each for each in share if each is not None)
            wrong = "its rows and digest are" if parent + came - went != after else None
        elif number and before is not None and _counts_differ(before.record, record):
            wrong = "its number of rows is"
        if wrong and not notes.is_damaged(entry_path(number)):
            detail = f"{wrong} not its parent's plus what it added less what it removed"
            notes.damage(entry_path(number), ENTRY, "inconsistent", detail, reach(listing, number))


def _counts_differ(before: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    said = [before.get("rows"), record.get("rowsAdded"), record.get("rowsRemoved"), record.get("rows")]
    counts = [each for each in said if isinstance(each, int)]
    return len(counts) == len(said) and counts[0] + counts[1] - counts[2] != counts[3]


def _digest(record: Mapping[str, Any], rows: str, digits: str) -> Digest | None:
    count, text = record.get(rows), record.get(digits)
    if not isinstance(count, int) or not isinstance(text, str):
        return None
    try:
        return Digest.from_hex(count, text)
    except CorruptionError:
        return Digest(-1, -1)  # no digest at all: equal to none


# -- replay


def _replay(
    storage: Storage, entries: Mapping[int, _Entry], numbers: Iterable[int], listing: Listing, notes: Notes
) -> list[Step]:
    steps: list[Step] = []
    last, state = replay.State(), replay.State() if 0 in entries else None
    rows: int | None = 0
    for number in numbers:
        entry = entries.get(number)
        actions = None if entry is None or notes.is_damaged(entry_path(number)) else entry.actions
        told = None if actions is None or state is None else replay.apply(state, actions)
        held = read_checkpoints(storage, number, listing, notes)
        for path, found in held:
            touched = reach(listing, number)
            if told is None:
                detail = "the entries before it are damaged or gone: nothing to compare it with"
                notes.unknown(path, CHECKPOINT, detail, touched)
            elif other := differences(told, found):
                notes.damage(path, CHECKPOINT, "changed", f"other {', '.join(other)} than the entries say", touched)
        state = told if told is not None else held[0][1] if held else None
        if state is None:
            continue
        if state.metadata is None or state.protocol is None:
            lacks = "schema" if state.metadata is None else "protocol"
            notes.damage(entry_path(number), ENTRY, "unreadable", f"no entry up to it has a {lacks}", [number])
            continue
        step = _step(number, last, state, entry)
        rows = _sum_of_rows(rows, step)
        _check_step(step, rows, listing, notes)
        steps.append(step)
        last = state
    return steps


def _step(number: int, before: replay.State, state: replay.State, entry: _Entry | None) -> Step:
    assert state.metadata is not None
    assert state.protocol is not None
    actions = (entry.actions or ()) if entry else ()
    return Step(
        number=number,
        metadata=state.metadata,
        protocol=state.protocol,
        came=tuple(file for key, file in state.index.items() if before.index.get(key) is not file),
        went=tuple(file for key, file in before.index.items() if state.index.get(key) is not file),
        changes=tuple(action for action in actions if isinstance(action, ChangeFile)),
        record=entry.record if entry else EMPTY,
    )


def _sum_of_rows(rows: int | None, step: Step) -> int | None:
    counts = [*(file.rows for file in step.came), *(None if f.rows is None else -f.rows for f in step.went)]
    return None if rows is None or None in counts else rows + sum(count for count in counts if count is not None)


def _check_step(step: Step, rows: int | None, listing: Listing, notes: Notes) -> None:
    """What an entry says of its version's content, against its files and its columns."""
    path, recorded, digest = entry_path(step.number), step.record.get("rows"), step.digest
    wrong = None
    if rows is not None and isinstance(recorded, int) and recorded != rows:
        wrong = f"it says {recorded} rows, its files have {rows}"
    named = step.record.get("contentHash")
    if named is not None and digest is not None and render_hash(table_schema(step.metadata), digest) != named:
        wrong = "its content hash is not that of its columns, rows and digest"
    if wrong and not notes.is_damaged(path):
        notes.damage(path, ENTRY, "inconsistent", wrong, reach(listing, step.number))
