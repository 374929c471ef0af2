"""Level "files": every data file, vector and change file that a version needs is there, byte for byte, once for all."""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

from tablever.datafiles import SHA256_TAG
from tablever.deletions import recorded_sha256
from tablever.delta import vectors
from tablever.delta.actions import decode_path
from tablever.errors import CorruptionError, StorageError
from tablever.integrity.history import History, Step
from tablever.integrity.report import Notes
from tablever.model import DataFile, DeletionVector
from tablever.storage import Storage

PIECE = 1 << 20
DATA_FILE, VECTOR, CHANGE_FILE = "data file", "vector", "change file"


@dataclass
class Needed:
    """A file and what the log says of it; of which versions.

    Attributes:
        expected: size and SHA-256 (None where not recorded), for each way in which the log has it.
        last: the version in which it was live last.
    """

    kind: str
    expected: dict[tuple[int, str | None], list[range]] = field(default_factory=dict)

    @property
    def spans(self) -> list[range]:
        """The versions that need it."""
        return [span for spans in self.expected.values() for span in spans]

    @property
    def last(self) -> int:
        """The newest version that needs it."""
        return max(span.stop for span in self.spans) - 1


@dataclass
class NeededVector:
    """A deletion vector, and the SHA-256 of its blob where that is recorded."""

    vector: DeletionVector
    sha256: str | None
    spans: list[range] = field(default_factory=list)


@dataclass(frozen=True)
class Inventory:
    """What the versions asked for need: files by path, vectors by their id and file."""

    files: Mapping[str, Needed]
    vectors: Mapping[tuple[str, str], NeededVector]

    def bytes(self, *kinds: str) -> int:
        """How many bytes the files of some kinds have, as the log says."""
        return sum(next(iter(each.expected))[0] for each in self.files.values() if each.kind in kinds)


def lifetimes(history: History) -> Iterator[tuple[DataFile, Step, range]]:
    """Each logical file, the step that brought it, and the versions in which it is live.

    Where entries are damaged, of what went meanwhile the last version that is known to have it is the last.
    """
    came: dict[int, tuple[DataFile, Step]] = {}
    end = 0
    for step in history.steps:
        for file in step.went:
            old, since = came.pop(id(file))
            yield old, since, range(since.number, end)
        came.update((id(file), (file, step)) for file in step.came)
        end = step.number + 1
    for file, since in came.values():
        yield file, since, range(since.number, end)


def inventory(storage: Storage, history: History, wanted: frozenset[int]) -> Inventory:
    """The files and vectors that some versions need; a change file is needed by its own version."""
    root, asked = storage.uri, sorted(wanted)
    files: dict[str, Needed] = {}
    held: dict[tuple[str, str], NeededVector] = {}
    for file, _, span in lifetimes(history):
        if bisect_left(asked, span.start) == bisect_left(asked, span.stop):
            continue
        tags = file.tags or {}
        path = decode_path(file.path, root=root, allowed=storage.allowed)
        needed = files.setdefault(path, Needed(DATA_FILE))
        needed.expected.setdefault((file.size, tags.get(SHA256_TAG)), []).append(span)
        if file.vector is not None:
            needed_vector = NeededVector(file.vector, recorded_sha256(file))
            held.setdefault((path, file.vector.id), needed_vector).spans.append(span)
    for step in history.steps:
        for change in step.changes if step.number in wanted else ():
            path = decode_path(change.path, root=root, allowed=storage.allowed)
            needed = files.setdefault(path, Needed(CHANGE_FILE))
            expected = change.size, (change.tags or {}).get(SHA256_TAG)
            needed.expected.setdefault(expected, []).append(range(step.number, step.number + 1))
    return Inventory(files, held)


def check_files(
    storage: Storage, history: History, held: Inventory, notes: Notes, advance: Callable[[int], None]
) -> None:
    """Hash each file once, on all cores, and note those that are not what the log says."""
    workers = min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(workers, thread_name_prefix="tablever-verify") as pool:
        found = pool.map(lambda path: _digest_of(storage, path, advance), held.files)
        for (path, needed), seen in zip(held.files.items(), found, strict=True):
            if seen is None:
                _missing(path, needed, history, notes)
                continue
            notes.objects += 1
            if isinstance(seen, StorageError):
                notes.damage(path, needed.kind, "unreadable", str(seen), _kept(needed.kind, needed.spans, history))
                continue
            notes.bytes += seen[0]
            _compare(path, needed, *seen, history, notes)
    for (path, _), vector in held.vectors.items():
        _check_vector(storage, path, vector, history, notes)


def _digest_of(storage: Storage, path: str, advance: Callable[[int], None]) -> tuple[int, str] | StorageError | None:
    """A file's size and SHA-256; why it cannot be read; None where there is none."""
    digest, size = hashlib.sha256(), 0
    try:
        for piece in storage.pieces(path, PIECE):
            digest.update(piece)
            size += len(piece)
            advance(len(piece))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except StorageError as error:  # a sector of the disk, say: what else is damaged is looked for all the same
        return error
    return size, digest.hexdigest()


def _compare(path: str, needed: Needed, size: int, sha256: str, history: History, notes: Notes) -> None:
    for (expected, recorded), spans in needed.expected.items():
        versions = _kept(needed.kind, spans, history)
        if size != expected:
            notes.damage(path, needed.kind, "size", f"it has {size} bytes, the log says {expected}", versions)
        elif recorded is None:
            notes.unknown(path, needed.kind, "no SHA-256 of it was recorded", versions)
        elif sha256 != recorded:
            notes.damage(path, needed.kind, "changed", "its SHA-256 is not the one that was committed", versions)


def _missing(path: str, needed: Needed, history: History, notes: Notes) -> None:
    """A file that is gone is damage, but for versions that are recorded as vacuumed.

    Those of another tool record nothing: one that came after the last version that needs the file may have taken it.
    What a tag, a run or a pin keeps nobody may take. And where an entry is damaged that may have recorded a vacuum, the
    damage is that one, which is told once.
    """
    kept = _kept(needed.kind, needed.spans, history)
    notes.removed(path, needed.kind, "removed by a vacuum", set(_numbers(needed.spans)).difference(kept))
    named = [number for number in kept if number in history.named and needed.kind != CHANGE_FILE]
    others = [number for number in kept if number not in named]
    by = next((vacuum for vacuum in history.vacuums if vacuum.number > needed.last), None)
    silent = next((number for number in history.silent if number > needed.last), None)
    if by is None and silent is None:
        why = f", and {history.named[named[0]]} keeps it" if named else ""
        notes.damage(path, needed.kind, "missing", f"it is gone{why}", kept)
        return
    for number in named:
        notes.damage(path, needed.kind, "missing", f"it is gone, and {history.named[number]} keeps it", [number])
    if by is not None:
        notes.removed(path, needed.kind, f"removed by {by.tool}, version {by.number}", others)
    else:
        detail = f"it is gone; log entry {silent}, which is damaged, may have recorded that a vacuum took it"
        notes.unknown(path, needed.kind, detail, others)


def vector_name(storage: Storage, path: str, vector: DeletionVector) -> str:
    """What a vector of the file at a path is called: its own file; its id where it lies in the log, or names none."""
    with suppress(CorruptionError):
        if vector.storage_type != "i":
            return vectors.vector_path(vector, root=storage.uri, allowed=storage.allowed)
    return f"{path}#{vector.id}"


def _check_vector(storage: Storage, path: str, needed: NeededVector, history: History, notes: Notes) -> None:
    vector, named = needed.vector, vector_name(storage, path, needed.vector)
    versions = _kept(VECTOR, needed.spans, history)
    try:
        blob = vectors.read_blob(storage, vector)
        vectors.check_cardinality(vectors.decode(blob), vector)
    except FileNotFoundError:
        _missing(named, Needed(VECTOR, {(0, None): needed.spans}), history, notes)
        return
    except (CorruptionError, StorageError) as error:
        notes.damage(named, VECTOR, "changed", f"that of '{path}': {error}", versions)
        return
    notes.objects += 1
    notes.bytes += len(blob)
    if needed.sha256 is None:
        notes.unknown(named, VECTOR, f"no SHA-256 of that of '{path}' was recorded", versions)
    elif hashlib.sha256(blob).hexdigest() != needed.sha256:
        notes.damage(named, VECTOR, "changed", f"that of '{path}' is not the one that was committed", versions)


def _kept(kind: str, spans: Sequence[range], history: History) -> list[int]:
    """The versions that need an object of a kind and are not recorded as vacuumed: what it is to them is no matter."""
    recorded = history.vacuumed_changes if kind == CHANGE_FILE else history.vacuumed
    return [number for number in _numbers(spans) if number not in recorded]


def _numbers(spans: Sequence[range]) -> list[int]:
    return sorted({number for span in spans for number in span})
