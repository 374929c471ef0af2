"""Go on after a power cut: what cannot be restored is moved aside, never deleted; what is lost is said and recorded.

Moved aside is the torn tail of a log: its newest entries, as far as none of them is whole. Of tags, runs and pins that
are damaged or gone, those that the owner names are given up. The record is an object beside the table
(docs/reference/format.md, "Repairs").
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from tablever import sealed, witness_files, witnesses
from tablever.authorship import check_text, default_author
from tablever.delta import checkpoint, commits
from tablever.delta.entries import salvage
from tablever.delta.listing import LOG_FOLDER, CheckpointFiles, Listing, entry_path, parse_names
from tablever.errors import ConflictError, CorruptionError, InvalidInputError, UnsupportedFeatureError
from tablever.json_values import instant_text
from tablever.log import Log, TableLike, open_log
from tablever.logfiles import POINTER, is_too_large, read_part
from tablever.model import Witness
from tablever.storage import Storage
from tablever.tail import Tail, TornEntry, read_entry, torn_tail
from tablever.witness_files import DELETED, JOURNAL, PINS, REPAIRS, RUNS, TAGS

MOST_MISSING = 1_000
_NUMBERED = re.compile(r"\.?([0-9]{20})\.(?:([0-9]{20})\.compacted\.json|.*)(?<!\.tmp)", re.DOTALL)


@dataclass(frozen=True)
class LostVersion:
    """A version whose entry is torn, and what can be made out of that.

    Attributes:
        problem: what is wrong with the entry: ``is empty``.
        bytes: how much of it is there.
        operation, author, message, time: as far as the entry still tells; else None.
        files: the data files and change files that it named, as far as it still tells: a vacuum takes them for
            leftovers.
        witnesses: the tags, runs and pins that remember the version, in words; they are taken away.
    """

    version: int
    problem: str
    bytes: int
    operation: str | None = None
    author: str | None = None
    message: str | None = None
    time: datetime | None = None
    files: tuple[str, ...] = ()
    witnesses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Aside:
    """An object that is damaged, or of a lost version.

    Attributes:
        object: its path, relative to the table.
        problem: what is the matter with it.
        moved_to: its path from now on; None where there is nothing to move.
    """

    object: str
    problem: str
    moved_to: str | None = None


@dataclass(frozen=True)
class Repair:
    """What a repair did, or for a dry run would do. Truth value: whether there was anything to do.

    Attributes:
        dry_run: whether nothing was done.
        head: the newest version afterwards; None where no version is left.
        lost: the versions that are lost, ascending.
        moved: what is moved aside, in the order of moving.
        taken_away: the paths of the tags, runs and pins that remember lost versions.
        given_up: the tags, runs and pins, their deletions and journal, that were named to be given up.
        left: what is damaged and left as it is: to be restored from a copy, or to be given up.
        record: the path of the record; None for a dry run, and where there was nothing to do.
    """

    dry_run: bool
    head: int | None
    lost: tuple[LostVersion, ...] = ()
    moved: tuple[Aside, ...] = ()
    taken_away: tuple[str, ...] = ()
    given_up: tuple[Aside, ...] = ()
    left: tuple[Aside, ...] = ()
    record: str | None = None

    def __bool__(self) -> bool:
        return bool(self.moved or self.given_up)


def repair(
    table: TableLike,
    *,
    give_up: Sequence[str] = (),
    reason: str | None = None,
    author: str | None = None,
    dry_run: bool = False,
) -> Repair:
    """Move the torn tail of a log aside, so that the table goes on from its last good version.

    Torn is an entry that is empty, cut, or whose digest does not fit its bytes, where no whole one comes after it. It
    goes to ``_tablever/repairs/`` with the checkpoints and checksums of its version; nothing is deleted, and no entry
    that is whole is touched. Tags, runs and pins that remember a lost version are taken away, on the record, since its
    number will be another version's. A torn newest checkpoint, which holds nothing that the entries do not say, goes
    too.

    Args:
        give_up: paths of tags, runs or pins, of deletions or entries of their journal, that are damaged or gone and
            cannot be restored, as ``verify`` names them. What is left of them is moved aside, and ``verify`` then
            knows that you know. A tag's name stays taken.
        reason: why; kept in the record.
        author: who; git's user or the system's by default.
        dry_run: only say what would be done.

    Raises:
        CorruptionError: an entry is damaged, or missing, and later versions are whole: that is no torn tail; ``left``
            says what to restore from a copy of the table.
        InvalidInputError: what is to be given up is whole, or nothing that can be.
        ConflictError: somebody wrote to the table meanwhile, or repaired it.
        TableNotFoundError, UnsupportedFeatureError, StorageError: as ``verify``.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}])
        >>> _ = append(table, [{"id": 2, "stars": 1}])
        >>> _ = (folder / "reviews" / "_delta_log" / f"{1:020}.json").write_bytes(b"")  # as a power cut leaves it
        >>> done = repair(table)
        >>> [(lost.version, lost.problem) for lost in done.lost], done.head
        ([(1, 'is empty')], 0)
        >>> append(table, [{"id": 2, "stars": 1}]).number
        1
    """
    log = open_log(table)
    check_text("reason", reason)
    check_text("author", author)
    if dry_run:
        return _checked(log, _planned(log, give_up, _stamp()))
    with log.storage.alone(LOG_FOLDER):  # of two repairs, the second must not take what was committed after the first
        stamp = _stamp()
        planned = replace(_checked(log, _planned(log, give_up, stamp)), dry_run=False)
        return (
            _done(log, planned, f"{REPAIRS}/{stamp}.json", author or default_author(), reason) if planned else planned
        )


def _stamp() -> str:
    """What names a repair: its time, and chance."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def _checked(log: Log, planned: Repair) -> Repair:
    """Raises CorruptionError where there is damage, and none that this mends."""
    entries = [each for each in planned.left if each.object.startswith(LOG_FOLDER)]
    if planned or not entries:
        return planned
    raise CorruptionError(
        f"'{log.name}' cannot be repaired: '{entries[0].object}' {entries[0].problem}",
        hint=f"restore {entries[0].object} from a copy of the table",
        file=Path(entries[0].object).name,
        left=planned.left,
    )


# -- the plan


def _planned(log: Log, give_up: Sequence[str], stamp: str) -> Repair:
    storage = log.storage
    listing = parse_names(storage.list(LOG_FOLDER))
    tail = torn_tail(storage, listing)
    whole = [*_readable(storage, listing, tail.lost)] if tail.entries else []
    left = [*_damaged_inside(storage, listing, tail)]
    if whole:
        problem = f"{tail.entries[0].problem}, and a checkpoint of version {whole[0].number} is there"
        left.append(Aside(entry_path(tail.entries[0].number), problem))
        tail = Tail()
    journal, unreadable = _journal(storage)
    abandoned = [_given_up(storage, path, journal, stamp) for path in dict.fromkeys(give_up)]
    remembering, damaged = _remembering(storage, journal, tail.lost)
    named = {each.object for each in abandoned}
    left += [each for each in (*unreadable, *damaged) if each.object not in named]
    moved = [
        Aside(path, problem, f"{REPAIRS}/{stamp}/log/{Path(path).name}")
        for path, problem in (*_of_lost(storage, tail), *_torn_checkpoint(storage, listing, tail))
    ]
    return Repair(
        dry_run=True,
        head=tail.last_good if tail.entries else listing.head,
        lost=tuple(_lost(tail, remembering)),
        moved=tuple(moved),
        taken_away=tuple(witness.object for witness in remembering),
        given_up=tuple(abandoned),
        left=tuple(left),
    )


def _readable(storage: Storage, listing: Listing, numbers: range) -> Iterator[CheckpointFiles]:
    """The checkpoints of some versions that can be read: those versions are not lost."""
    return (each for each in listing.checkpoints if each.number in numbers and not _problem_of(storage, each))


def _problem_of(storage: Storage, files: CheckpointFiles) -> str | None:
    """What keeps a checkpoint from being read; None where nothing does. Its sidecars are not looked at."""
    try:
        paths = {name: f"{LOG_FOLDER}/{name}" for name in files.names}
        parts = [checkpoint.parse_part(read_part(storage, path), name=name) for name, path in paths.items()]
        if not any(part.sidecars for part in parts):
            checkpoint.to_state(parts, name=files.names[0])
    except CorruptionError as error:
        return str(error.facts.get("problem", "cannot be read"))
    except FileNotFoundError:
        return "is gone"
    except UnsupportedFeatureError as error:  # too large for us: others may read it
        if not is_too_large(error):
            raise
        return None
    return None


def _damaged_inside(storage: Storage, listing: Listing, tail: Tail) -> Iterator[Aside]:
    """Entries that are torn or missing below whole ones: no tail, and nothing that leaving them out would mend."""
    entries = [number for number in listing.entries if number not in tail.lost]
    for before, number in zip([None, *entries], entries, strict=False):
        if before is not None and number != before + 1:
            yield Aside(entry_path(before + 1), "is missing, and later ones are there")
        found = read_entry(storage, number)
        if found is not None:
            yield Aside(entry_path(number), f"{found.problem}, and later ones are whole")


def _of_lost(storage: Storage, tail: Tail) -> Iterator[tuple[str, str]]:
    """What the log's folder has of lost versions: the oldest entry last, since without it writers go on."""
    problems = {entry_path(entry.number): entry.problem for entry in tail.entries}
    others = []
    for name in storage.list(LOG_FOLDER):
        found = _NUMBERED.fullmatch(name)
        path = f"{LOG_FOLDER}/{name}"
        if found and int(found[2] or found[1]) in tail.lost and path not in problems:
            others.append(path)
    pointed = _pointed(storage)
    if pointed is not None and pointed in tail.lost:
        yield POINTER, "names a checkpoint of a lost version"
    yield from ((path, "is of a lost version") for path in others)
    yield from reversed(problems.items())


def _torn_checkpoint(storage: Storage, listing: Listing, tail: Tail) -> Iterator[tuple[str, str]]:
    """The newest checkpoint, where it cannot be read and the entries say all that it would."""
    kept = [each for each in listing.checkpoints if each.number not in tail.lost]
    if not kept or (problem := _problem_of(storage, kept[-1])) is None:
        return
    base = next((each.number for each in reversed(kept[:-1]) if _problem_of(storage, each) is None), -1)
    if listing.missing(base, kept[-1].number) is None:
        if _pointed(storage) == kept[-1].number:
            yield POINTER, "names a torn checkpoint"
        yield from ((f"{LOG_FOLDER}/{name}", problem) for name in kept[-1].names)


def _pointed(storage: Storage) -> int | None:
    """The checkpoint that ``_last_checkpoint`` names; None where it names none."""
    try:
        number = json.loads(storage.get(POINTER))["version"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    return number if isinstance(number, int) else None


def _lost(tail: Tail, remembering: Sequence[Witness]) -> Iterator[LostVersion]:
    """The lost versions; of a log with a hole of many, the first of those."""
    torn = {entry.number: entry for entry in tail.entries}
    for number in sorted({*torn, *islice(tail.lost, MOST_MISSING)}):
        known = _told(torn[number]) if number in torn else LostVersion(number, "is missing", 0)
        labels = tuple(witness.label for witness in remembering if witness.version == number)
        yield replace(known, witnesses=labels)


def _told(entry: TornEntry) -> LostVersion:
    values = salvage(entry.data)
    info = commits.find_info(values)
    known = LostVersion(entry.number, entry.problem, len(entry.data), files=tuple(_files(values)))
    if info:
        time = commits.recorded_time(info).time
        when = commits.to_datetime(0 if time is None else time)
        said = commits.to_version(entry.number, info, commits.Counts(), before=None, commit_hash="", timestamp=when)
        known = replace(
            known,
            operation=None if said.operation == "unknown" else said.operation,
            author=said.author,
            message=said.message,
            time=None if time is None else when,
        )
    return known


def _files(values: Sequence[dict[str, Any]]) -> Iterator[str]:
    for value in values:
        for kind in ("add", "cdc"):
            path = value[kind].get("path") if isinstance(value.get(kind), dict) else None
            if isinstance(path, str):
                yield path


# -- tags, runs and pins


def _journal(storage: Storage) -> tuple[dict[str, dict[str, Any]], list[Aside]]:
    """The journal's entries by the object that they enter; and those that cannot be read."""
    entries, damaged = {}, []
    for number in witness_files.journal_numbers(storage):
        path = witness_files.journal_path(number)
        try:
            values = witness_files.read(storage, path)
        except CorruptionError as error:
            damaged.append(Aside(path, error.facts["problem"]))
        else:
            entries[str(values.get("entry"))] = values
    return entries, damaged


def _remembering(
    storage: Storage, journal: dict[str, dict[str, Any]], lost: range
) -> tuple[list[Witness], list[Aside]]:
    """The witnesses of lost versions that stand; what is damaged, or gone though the journal has it."""
    witnesses_: list[Witness] = []
    given_up = witness_files.given_up(storage)
    damaged = [
        Aside(path, "is gone, and the journal has it")
        for path in journal
        if path not in given_up and not storage.exists(path)
    ]
    for folder, read in (
        (TAGS, witness_files.read_tag),
        (RUNS, witness_files.read_run),
        (PINS, witness_files.read_pin),
    ):
        standing = frozenset(witness_files.standing(storage, folder))
        for inside in (folder, f"{folder}/{DELETED}"):
            for path in (f"{inside}/{name}" for name in witness_files.names(storage, inside)):
                try:
                    witness_files.read(storage, path)
                    witness = read(storage, path) if path in standing else None
                except CorruptionError as error:
                    damaged.append(Aside(path, error.facts["problem"]))
                    continue
                if witness is not None and witness.version in lost:
                    witnesses_.append(witness)
    return witnesses_, damaged


def _given_up(storage: Storage, path: str, journal: dict[str, dict[str, Any]], stamp: str) -> Aside:
    """An object that is named to be given up. Raises InvalidInputError where it is whole, or nothing of the kind."""
    folder, _, name = path.rpartition("/")
    if folder.removesuffix(f"/{DELETED}") not in (TAGS, RUNS, PINS, JOURNAL) or not name.endswith(".json"):
        raise InvalidInputError(
            f"'{path}' is no tag, run or pin, and none of their journal", hint="tablever verify names what is damaged"
        )
    try:
        data = storage.get(path)
    except FileNotFoundError:
        numbers = witness_files.journal_numbers(storage)
        is_known = path in journal or path in map(witness_files.journal_path, range(max(numbers, default=0)))
        if not is_known or path in witness_files.given_up(storage):
            raise InvalidInputError(f"'{path}' is not there, and the journal does not miss it") from None
        return Aside(path, "is gone")
    try:
        sealed.parse(data, path=path, kind=witness_files.kind_of(path))
    except CorruptionError as error:
        problem = str(error.facts["problem"])
    else:
        entered = journal.get(path)
        if entered is None or entered.get("entryDigest") == sealed.digest(data):
            raise InvalidInputError(
                f"'{path}' is as it was written: there is nothing to give up",
                hint="tablever delete-tag, unlink-run and unpin take away what is whole",
            )
        problem = "it is whole, but not the one that the journal has"
    return Aside(path, problem, f"{REPAIRS}/{stamp}/{path.partition('/')[2]}")


# -- the work


def _done(log: Log, planned: Repair, record: str, author: str, reason: str | None) -> Repair:
    """Do it: the record first, the log last, so that dying in between leaves what the next repair finishes."""
    storage = log.storage
    entries = [aside for aside in planned.moved if _number_of(aside) is not None]
    for newest in entries[:1]:  # before anything is done: in a store, nothing keeps others out
        _still_torn(log, newest)
    said = {"author": author, "time": instant_text(datetime.now(UTC)), "reason": reason}
    witness_files.put(storage, record, {**said, **_as_record(planned)})
    for aside in planned.given_up:
        if aside.moved_to is not None:
            storage.move(aside.object, aside.moved_to)
        folder = aside.object.rpartition("/")[0]
        if folder != JOURNAL:
            gone = aside.object if folder.endswith(f"/{DELETED}") else witness_files.deleted_path(aside.object)
            witness_files.put(storage, gone, {**said, "reason": reason or f"{aside.problem}: given up"})
    for path in planned.taken_away:
        witnesses.take_away(log, path, author, "its version was lost: the log entry was torn")
    for aside in planned.moved:
        if aside.moved_to is None:
            continue
        if aside not in entries:
            storage.move(aside.object, aside.moved_to)
            continue
        torn = _still_torn(log, aside)
        if torn is not None and not storage.move(aside.object, aside.moved_to, torn.data):
            _still_torn(log, aside)
    return replace(planned, record=record)


def _number_of(aside: Aside) -> int | None:
    """The version whose entry an object is; None where it is none."""
    return next(iter(parse_names([Path(aside.object).name]).entries), None)


def _still_torn(log: Log, aside: Aside) -> TornEntry | None:
    """An entry that is to be moved, looked at again; None where it is gone: another repair was faster.

    Raises ConflictError where it is whole by now, or others come after it: writers went on.
    """
    number = _number_of(aside)
    assert number is not None
    path = Path(aside.object)
    there = parse_names(log.storage.list(LOG_FOLDER, path.name)).entries
    torn = read_entry(log.storage, number) if number in there else None
    if there and (torn is None or there[-1] > number) and log.storage.exists(entry_path(there[-1])):
        raise ConflictError(
            f"'{log.name}' was written to while it was repaired: '{path}' is not the newest entry, torn, any more",
            hint=f"run it again: tablever repair {log.name}",
            file=str(path),
        )
    return torn


def _as_record(planned: Repair) -> dict[str, Any]:
    return {
        "head": planned.head,
        "lost": [
            {"version": lost.version, "problem": lost.problem, "operation": lost.operation, "author": lost.author}
            for lost in planned.lost
        ],
        "moved": [{"object": each.object, "problem": each.problem, "to": each.moved_to} for each in planned.moved],
        "takenAway": list(planned.taken_away),
        "givenUp": [{"object": each.object, "problem": each.problem, "to": each.moved_to} for each in planned.given_up],
    }
