"""Checkpoints: whether each can be read, and holds what the entries before it say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tablever import strict_json
from tablever.delta import checkpoint, replay
from tablever.delta.listing import LOG_FOLDER, SIDECAR_FOLDER, CheckpointFiles, Listing, parse_names
from tablever.errors import CorruptionError, StorageError, UnsupportedFeatureError
from tablever.integrity.report import Notes
from tablever.logfiles import filled, is_too_large, read_part
from tablever.model import DataFile
from tablever.storage import Storage

CHECKPOINT = "checkpoint"
POINTER = f"{LOG_FOLDER}/_last_checkpoint"


def list_log(storage: Storage) -> Listing:
    """What lies in the log's folder."""
    return filled(parse_names(storage.list(LOG_FOLDER)), storage)


def reach(listing: Listing, number: int) -> range:
    """The versions that are read through a version's entry, or its checkpoint: from it to the next checkpoint."""
    after = [each.number for each in listing.checkpoints if each.number > number]
    return range(number, min(after) if after else (listing.head or number) + 1)


def read_checkpoints(storage: Storage, number: int, listing: Listing, notes: Notes) -> list[tuple[str, replay.State]]:
    """The path of each checkpoint of a version, and the state that it holds; those that cannot be read are noted."""
    states = []
    for files in (each for each in listing.checkpoints if each.number == number):
        path, touched = f"{LOG_FOLDER}/{files.names[0]}", reach(listing, number)
        try:
            states.append((path, _state(storage, files, notes)))
        except UnsupportedFeatureError as error:
            if not is_too_large(error):
                raise
            notes.unknown(path, CHECKPOINT, str(error), touched)
        except (CorruptionError, StorageError) as error:
            notes.damage(path, CHECKPOINT, "unreadable", str(error), touched)
        except FileNotFoundError as error:
            lost = f"{SIDECAR_FOLDER}/{Path(str(error.filename)).name}"
            notes.damage(lost, CHECKPOINT, "missing", f"'{path}' needs it", touched)
    return states


def _state(storage: Storage, files: CheckpointFiles, notes: Notes) -> replay.State:
    def part(folder: str, name: str) -> checkpoint.Part:
        data = read_part(storage, f"{folder}/{name}")
        notes.objects += 1
        notes.bytes += len(data)
        return checkpoint.parse_part(data, name=name)

    parts = [part(LOG_FOLDER, name) for name in files.names]
    sidecars = checkpoint.sidecars_of(parts, name=files.names[0])
    return checkpoint.to_state([*parts, *(part(SIDECAR_FOLDER, name) for name in sidecars)], name=files.names[0])


def check_pointer(storage: Storage, listing: Listing, notes: Notes) -> None:
    """``_last_checkpoint``, by which other readers find the newest checkpoint."""
    try:
        data = storage.get(POINTER)
    except FileNotFoundError:
        return
    notes.objects += 1
    notes.bytes += len(data)
    head = listing.head or 0
    try:
        number = strict_json.loads(data)["version"]
    except (ValueError, KeyError, TypeError):
        notes.damage(POINTER, CHECKPOINT, "unreadable", "it is not what says which checkpoint is the newest", [head])
        return
    if number not in {each.number for each in (*listing.checkpoints, *list_log(storage).checkpoints)}:  # or just made
        detail = f"the whole checkpoint of version {number}, which '{POINTER}' names, is not there"
        made = isinstance(number, int) and 0 <= number <= head
        lost = f"{LOG_FOLDER}/{number:020d}.checkpoint.parquet" if made else POINTER
        notes.damage(lost, CHECKPOINT, "missing", detail, [head])


def differences(ours: replay.State, theirs: replay.State) -> list[str]:
    """What of a checkpoint is not what the entries say."""
    left, right = ({replay.identity(f): _comparable(f) for f in state.files} for state in (ours, theirs))
    pairs = [(file, theirs.index[key]) for key, file in ours.index.items() if key in right]
    parts = {
        "files": left == right,
        "statistics": all(_same_statistics(a, b) for a, b in pairs),
        "settings": ours.metadata == theirs.metadata,
        "protocol": ours.protocol == theirs.protocol,
        "transactions": dict(ours.transactions) == dict(theirs.transactions),
        "domains": dict(ours.domains) == dict(theirs.domains),
    }
    return [name for name, same in parts.items() if not same]


def _same_statistics(ours: DataFile, theirs: DataFile) -> bool:
    """Whether a checkpoint has nothing of a file but what the entries say: it may leave out any of it."""
    if not theirs.stats or theirs.stats == ours.stats:
        return True
    is_read = bool(theirs.parsed_stats) or theirs.stats.strip() == "{}"
    return is_read and _says_no_more(ours.parsed_stats, theirs.parsed_stats)


def _says_no_more(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        return all(_says_no_more(ours.get(name), value) for name, value in theirs.items())
    return theirs is None or theirs == {} or ours == theirs


def _comparable(file: DataFile) -> DataFile:
    """A file without what a checkpoint may say in another way or leave out."""
    tags = {name: value for name, value in (file.tags or {}).items() if value is not None}
    return replace(file, path="", stats=None, tags=tags, partition_values=dict(file.partition_values))
