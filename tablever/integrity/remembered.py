"""Tags, runs and pins: their seals, their journal, and whether the log still has what they remember."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import pairwise
from typing import Any

from tablever import sealed, strict_json, witness_files
from tablever.delta.listing import entry_path
from tablever.errors import CorruptionError, StorageError
from tablever.integrity.history import ENTRY, History
from tablever.integrity.report import Notes
from tablever.model import Witness
from tablever.storage import Storage
from tablever.witness_files import DELETED, JOURNAL, PINS, REPAIRS, RUNS, TAGS

_KINDS = {TAGS: "tag", RUNS: "run", PINS: "pin", REPAIRS: "repair", JOURNAL: "journal"}


def check_witnesses(storage: Storage, history: History, notes: Notes) -> list[Witness]:
    """Check every object; the witnesses that stand and can be read. Raises UnsupportedFeatureError of newer formats."""
    given_up = _check_repairs(storage, notes)
    journal = _check_journal(storage, given_up, notes)
    whole: dict[str, dict[str, Any]] = {}
    for folder in (TAGS, RUNS, PINS, REPAIRS):
        for inside in (folder, f"{folder}/{DELETED}"):
            for name in witness_files.names(storage, inside):
                path = f"{inside}/{name}"
                values = _check_object(storage, path, journal.get(path), notes)
                if values is not None:
                    whole[path] = values
                if path not in journal:
                    notes.unknown(path, _kind(path), "the journal does not have it", _versions(path, values, notes))
    for path, entry in journal.items():
        if not storage.exists(path) and path not in given_up:
            notes.damage(
                path, _kind(path), "missing", "it is gone, and the journal has it", _versions(path, entry, notes)
            )
    standing = [path for folder in (TAGS, RUNS, PINS) for path in witness_files.standing(storage, folder)]
    return [_remembers(storage, path, whole[path], history, notes) for path in standing if path in whole]


def _check_repairs(storage: Storage, notes: Notes) -> frozenset[str]:
    """What the records of repairs say was lost; the paths of tags, runs, pins, deletions and journal among it."""
    given_up: set[str] = set()
    for name in witness_files.names(storage, REPAIRS):
        try:
            record = witness_files.read_repair(storage, f"{REPAIRS}/{name}")
        except (CorruptionError, StorageError):
            continue  # noted where every object is
        for number, problem in record.lost:
            notes.abandoned(entry_path(number), ENTRY, f"an earlier one {problem}: {record.words}", [number])
        for path, problem in record.given_up:
            given_up.add(path)
            if not storage.exists(path):
                notes.abandoned(path, _kind(path), f"{problem}: {record.words}", _versions(path, None, notes))
    return frozenset(given_up)


def _check_journal(storage: Storage, given_up: Collection[str], notes: Notes) -> dict[str, dict[str, Any]]:
    """The journal's entries that can be read, by the object that they enter."""
    numbers = witness_files.journal_numbers(storage)
    entries = {witness_files.journal_path(number) for number in numbers}
    for name in witness_files.names(storage, JOURNAL):
        if f"{JOURNAL}/{name}" not in entries:
            notes.damage(f"{JOURNAL}/{name}", "journal", "misplaced", "no entry has such a name", notes.wanted)
    found: dict[str, dict[str, Any]] = {}
    for before, number in pairwise([-1, *numbers]):
        absent = before + 1
        while (path := witness_files.journal_path(absent)) in given_up:
            absent += 1
        if number > absent and not storage.exists(path):  # it may have been put while the folder was listed
            more = f"{number - absent} entries from this one on, and " if number - absent > 1 else ""
            notes.damage(path, "journal", "missing", f"{more}later ones are there", notes.wanted)
        path = witness_files.journal_path(number)
        values = _check_object(storage, path, None, notes)
        if values is not None:
            found[str(values.get("entry"))] = values
    return found


def _check_object(
    storage: Storage, path: str, entered: Mapping[str, Any] | None, notes: Notes
) -> dict[str, Any] | None:
    """The values of an object that is as it was written; else None, and noted."""
    notes.objects += 1
    try:
        data = storage.get(path)
    except StorageError as error:
        notes.damage(path, _kind(path), "unreadable", str(error), _versions(path, entered, notes))
        return None
    notes.bytes += len(data)
    try:
        values = sealed.parse(data, path=path, kind=witness_files.kind_of(path))
    except CorruptionError as error:
        touched = _versions(path, entered or _guess(data), notes)
        notes.damage(path, _kind(path), "changed", error.facts["problem"], touched)
        return None
    if entered is not None and entered.get("entryDigest") != sealed.digest(data):
        detail = "it is whole, but not the one that the journal has"
        notes.damage(path, _kind(path), "changed", detail, _versions(path, entered, notes))
        return None
    return values


def _remembers(storage: Storage, path: str, values: Mapping[str, Any], history: History, notes: Notes) -> Witness:
    """Check a witness that stands against the log."""
    folder = path.rpartition("/")[0]
    witness: Witness
    if folder == TAGS:
        witness = witness_files.read_tag(storage, path)
    elif folder == RUNS:
        witness = witness_files.read_run(storage, path)
    else:
        witness = witness_files.read_pin(storage, path)
    number, entry = witness.version, entry_path(witness.version)
    step = next((step for step in history.steps if step.number == number), None)
    if step is not None and step.metadata.id != values["tableId"]:
        notes.damage(path, _kind(path), "other", "it was made for another table", [number])
    elif number > history.head and storage.exists(entry):
        pass  # committed after the log was listed
    elif number > history.head:
        detail = f"{witness.label} remembers it, and the log ends at version {history.head}: it was rolled back"
        notes.lost(entry, ENTRY, "rolled-back", detail, number)
    elif number not in history.hashes:
        if not notes.is_damaged(entry):
            notes.unknown(path, _kind(path), "the log entry that it remembers is gone", [number])
    elif history.hashes[number] == witness.commit_hash:
        notes.known(entry)
    elif not notes.is_damaged(entry):
        notes.damage(entry, ENTRY, "other", f"it is not the one that {witness.label} remembers", [number])
    return witness


def _kind(path: str) -> str:
    folder, _, name = path.rpartition("/")
    if folder.endswith(f"/{DELETED}"):
        return "deletion"
    return "metrics" if name.endswith(".metrics.json") else _KINDS[folder]


def _versions(path: str, values: Mapping[str, Any] | None, notes: Notes) -> list[int]:
    """The versions that an object is about: what it says, or its name; all where nothing tells."""
    said = (values or {}).get("version")
    if isinstance(said, int):
        return [said]
    number = path.rpartition("/")[2].partition(".")[0]
    return [int(number)] if number.isdecimal() and not path.startswith((JOURNAL, TAGS)) else list(notes.wanted)


def _guess(data: bytes) -> dict[str, Any]:
    """What a damaged object still says, to name the version that it was about."""
    try:
        values = strict_json.loads(data)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}
