"""Level "rows": what the files decode to, each once, against the digests that were recorded of files and versions."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import polars as pl
import pyarrow as pa

from tablever.datafiles import CHANGE_TYPE
from tablever.decode import decode_pieces
from tablever.delta.actions import decode_path
from tablever.digests import digest_of, render_hash, row_digests, sum_of
from tablever.errors import CorruptionError, VersionVacuumedError
from tablever.file_digests import DIGEST_TAG
from tablever.frames import batches
from tablever.integrity import second_reader
from tablever.integrity.checkpoints import CHECKPOINT
from tablever.integrity.files import CHANGE_FILE, DATA_FILE, VECTOR, lifetimes, vector_name
from tablever.integrity.history import ENTRY, History, Step
from tablever.integrity.report import Notes
from tablever.layout import fingerprint, mapping_mode, table_schema
from tablever.log import Log
from tablever.model import DataFile, DeletionVector, Digest, Metadata
from tablever.scan import SCHEMA_TAG, Positions, change_scan, deleted_positions, open_scan, read_footer
from tablever.storage import Storage, storage_errors

VERSION = "version"
_NEEDED = frozenset([ENTRY, CHECKPOINT, DATA_FILE, VECTOR, VERSION])  # to say what the rows of a version are

Shape = tuple[tuple[str, str], ...]
"""The columns that a file has of a table, and their types: under equal ones its rows have equal digests."""


@dataclass
class _Work:
    """A file to decode in one shape: which vectors thin it, and in which versions it is needed."""

    file: DataFile
    metadata: Metadata
    vectors: dict[str, DeletionVector] = field(default_factory=dict)
    versions: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class _Decoded:
    """The digest of all rows of a file, and of those that each vector takes out."""

    rows: Digest
    gone: Mapping[str, Digest]

    def live(self, file: DataFile) -> Digest:
        """The digest of a logical file."""
        return self.rows - self.gone[file.vector.id] if file.vector else self.rows


_Key = tuple[str, Shape]


def check_rows(
    log: Log, history: History, wanted: frozenset[int], notes: Notes, advance: Callable[[int], None]
) -> Mapping[int, Digest]:
    """Decode what some versions need and note what is not as recorded; the digest of each version that can be read."""
    work = _gather(log, history, wanted, notes)
    decoded: dict[_Key, _Decoded] = {}
    for key, each in work.items():
        found = _decode(log, each, notes)
        advance(each.file.size)
        if found is not None:
            decoded[key] = found
            _check_tag(log, key, each, found, history, notes)
    digests = dict(_sums(log, history, wanted, decoded))
    unread, told = notes.touched(_NEEDED), notes.touched([CHANGE_FILE])
    for step in history.steps:
        if step.number not in digests or step.number in unread:
            continue
        _check_version(step, digests[step.number], notes)
        if step.number not in told and step.number not in history.vacuumed_changes:
            _check_changes(log, history, step, notes)
    for number in wanted - digests.keys() - unread:
        notes.damage(f"version {number}", VERSION, "unreadable", "its rows cannot be put together", [number])
    return digests


def check_keys(log: Log, history: History, numbers: Iterable[int], notes: Notes) -> None:
    """Note versions in which a key is null, or occurs twice; a version that is damaged already is left out."""
    checked = []
    for step in history.steps:
        key = list(step.metadata.key)
        if step.number not in numbers or not key or step.number in notes.touched(_NEEDED):
            continue
        checked.append(step.number)
        nulls, parts = 0, []
        for batch in batches(open_scan(log, log.snapshot(step.number)), key):
            nulls += sum(batch.null_count().row(0))
            parts.append(row_digests(batch.select(key)))
        keys = pl.concat(parts) if parts else pl.Series([], dtype=pl.UInt128)
        name, twice = ", ".join(key), len(keys) - keys.n_unique()
        if nulls:
            notes.damage(f"version {step.number}", VERSION, "key", f"{nulls} nulls in the key ({name})", [step.number])
        if twice:
            notes.damage(f"version {step.number}", VERSION, "key", f"{twice} keys ({name}) too many", [step.number])
    notes.keys_checked = tuple(checked)


# -- which files, and in which shapes


def _gather(log: Log, history: History, wanted: frozenset[int], notes: Notes) -> dict[_Key, _Work]:
    """The files that versions need and that are whole, by their shape in those versions."""
    eras = _eras(history, wanted)
    vacuumed = {found.object for found in notes.vacuumed}
    work: dict[_Key, _Work] = {}

    def gone(path: str) -> bool:
        return path in vacuumed or notes.is_damaged(path)

    for file, _, span in lifetimes(history):
        path = decode_path(file.path, root=log.storage.uri, allowed=log.storage.allowed)
        if gone(path):
            continue
        for metadata, numbers in eras:
            versions = numbers[bisect_left(numbers, span.start) : bisect_left(numbers, span.stop)]
            if not versions:
                continue
            try:
                key = path, _shape(log, file, metadata)
            except CorruptionError as error:
                notes.damage(path, DATA_FILE, "unreadable", str(error), span)
                break
            each = work.setdefault(key, _Work(file, metadata))
            each.versions.update(versions)
            if file.vector is not None and not gone(vector_name(log.storage, path, file.vector)):
                each.vectors[file.vector.id] = file.vector
    return work


def _eras(history: History, wanted: frozenset[int]) -> list[tuple[Metadata, list[int]]]:
    """The versions asked for, ascending, by the columns and settings that they share with their neighbours."""
    eras: list[tuple[Metadata, list[int]]] = []
    for step in history.steps:
        if step.number in wanted:
            if not eras or eras[-1][0] is not step.metadata:
                eras.append((step.metadata, []))
            eras[-1][1].append(step.number)
    return eras


def _shape(log: Log, file: DataFile, metadata: Metadata) -> Shape:
    if mapping_mode(metadata) != "none":
        return (("mapped", metadata.schema_string),)
    path = decode_path(file.path, root=log.storage.uri, allowed=log.storage.allowed)
    with storage_errors(f"read '{log.storage.location(path)[:200]}'"):
        there = _stored(log.storage, path, file.size)
    return _shape_of(metadata.schema_string, there.union(metadata.partition_columns))


@lru_cache(maxsize=8192)
def _stored(storage: Storage, path: str, size: int) -> frozenset[str]:
    """The columns that lie in a file."""
    schema = read_footer(storage, path, size).schema
    return frozenset(schema.column(i).path.partition(".")[0] for i in range(len(schema)))


@lru_cache(maxsize=4096)
def _shape_of(schema_string: str, there: frozenset[str]) -> Shape:
    columns = table_schema(Metadata("", schema_string))
    return tuple(sorted((each.name, str(each.type)) for each in columns if each.name in there))


# -- decoding


def _decode(log: Log, work: _Work, notes: Notes) -> _Decoded | None:
    path = decode_path(work.file.path, root=log.storage.uri, allowed=log.storage.allowed)
    total, start = Digest(), 0
    schema = table_schema(work.metadata)
    subset = Digest()
    try:
        footer = read_footer(log.storage, path, work.file.size)
        readers = second_reader.columns_of(schema, work.metadata, footer)
        deleted = _deleted(log, path, work, footer.num_rows, notes)
        gone = dict.fromkeys(deleted, Digest())
        for piece in decode_pieces(log.storage, path, work.metadata, work.file.partition_values, schema.names):
            digests = row_digests(piece)
            total += sum_of(digests)
            for name, positions in deleted.items():
                first, last = np.searchsorted(positions, (start, start + piece.num_rows))
                gone[name] += sum_of(digests.gather(positions[first:last] - start))
            start += piece.num_rows
            if readers:
                subset += digest_of(second_reader.comparable(piece, readers))
    except CorruptionError as error:
        notes.damage(path, DATA_FILE, "unreadable", str(error), work.versions)
        return None
    notes.rows += start
    if readers:
        _check_second_reader(log.storage, path, readers, schema, subset, work, notes)
    return _Decoded(total, gone)


def _deleted(log: Log, path: str, work: _Work, rows: int, notes: Notes) -> dict[str, Positions]:
    """What each vector of the file at a path takes out; those that cannot be read are noted, and left out."""
    found: dict[str, Positions] = {}
    for name, vector in work.vectors.items():
        try:
            found[name] = deleted_positions(log.storage, vector, rows)
        except (CorruptionError, VersionVacuumedError) as error:
            notes.damage(vector_name(log.storage, path, vector), VECTOR, "rows", str(error), work.versions)
    return found


def _check_second_reader(
    storage: Storage, path: str, columns: list[str], schema: pa.Schema, ours: Digest, work: _Work, notes: Notes
) -> None:
    theirs = second_reader.digest(storage, path, schema, columns)
    if isinstance(theirs, str):
        notes.unknown(path, DATA_FILE, f"fastparquet does not read it: {theirs}", work.versions)
    elif theirs != ours:
        detail = f"fastparquet reads other values in {', '.join(columns)} than pyarrow"
        notes.damage(path, DATA_FILE, "rows", detail, work.versions)


def _check_tag(log: Log, key: _Key, work: _Work, found: _Decoded, history: History, notes: Notes) -> None:
    """A file's digest, against the one in the log, which is of the columns that it was written with."""
    tags = work.file.tags or {}
    written = next((s.metadata for s in history.steps if fingerprint(s.metadata) == tags.get(SCHEMA_TAG)), None)
    recorded = tags.get(DIGEST_TAG)
    if recorded is None or written is None:
        notes.unknown(key[0], DATA_FILE, "no digest of its rows was recorded", work.versions)
    elif mapping_mode(work.metadata) == "none" and _shape(log, work.file, written) == key[1]:
        physical = work.file.physical_rows
        if found.rows.hex != recorded or (physical is not None and found.rows.rows != physical):
            notes.damage(key[0], DATA_FILE, "rows", "its rows are not those that were committed", work.versions)


# -- versions


def _sums(
    log: Log, history: History, wanted: frozenset[int], decoded: Mapping[_Key, _Decoded]
) -> Iterator[tuple[int, Digest]]:
    """The digest of each version whose files were all decoded."""
    live: dict[int, DataFile] = {}
    total: Digest | None = None
    before: Metadata | None = None
    for step in history.steps:
        for file in step.went:
            live.pop(id(file))
        live.update((id(file), file) for file in step.came)
        if step.number not in wanted:
            before, total = None, None
            continue
        anew = total is None or before is not step.metadata
        came, went = (tuple(live.values()), ()) if anew else (step.came, step.went)
        before = step.metadata
        try:
            total = Digest() if anew or total is None else total
            total += sum((_live(log, f, step.metadata, decoded) for f in came), Digest())
            total -= sum((_live(log, f, step.metadata, decoded) for f in went), Digest())
        except (KeyError, CorruptionError, VersionVacuumedError, FileNotFoundError):
            total = None  # noted where it was found
        else:
            yield step.number, total


def _live(log: Log, file: DataFile, metadata: Metadata, decoded: Mapping[_Key, _Decoded]) -> Digest:
    path = decode_path(file.path, root=log.storage.uri, allowed=log.storage.allowed)
    return decoded[path, _shape(log, file, metadata)].live(file)


def _check_version(step: Step, found: Digest, notes: Notes) -> None:
    name = f"version {step.number}"
    recorded, rows = step.digest, step.record.get("rows")
    if recorded is None:
        notes.unknown(name, VERSION, "no digest of its rows was recorded", [step.number])
        if isinstance(rows, int) and rows != found.rows:
            notes.damage(name, VERSION, "rows", f"it has {found.rows} rows, {rows} were committed", [step.number])
    elif recorded != found:
        detail = f"its {found.rows} rows are not the {recorded.rows} that were committed"
        notes.damage(name, VERSION, "rows", detail, [step.number])


def _check_changes(log: Log, history: History, step: Step, notes: Notes) -> None:
    """The change rows of a version add up to what it added and removed, where both are of the same types."""
    if not step.changes or step.added is None or step.removed is None:
        return
    before = next((each for each in history.steps if each.number == step.number - 1), None)
    old = table_schema(before.metadata) if before else table_schema(step.metadata)
    new = table_schema(step.metadata)
    there = {each.name: each.type for each in new}
    if any(there.get(each.name) != each.type for each in old):
        return
    sums: dict[bool, Digest] = defaultdict(Digest)
    scan = change_scan(log, log.snapshot(step.number), step.changes, CHANGE_TYPE)
    for part in batches(scan, [*new.names, CHANGE_TYPE]):
        came = part[CHANGE_TYPE].is_in(["insert", "update_postimage"])
        for is_new, rows in ((True, part.filter(came)), (False, part.filter(~came))):
            sums[is_new] += digest_of(rows.select(new.names))
    if (sums[True], sums[False]) != (step.added, step.removed):
        paths = [each.path for each in step.changes]
        detail = "their rows are not what the version added and removed"
        notes.damage(", ".join(paths), CHANGE_FILE, "rows", detail, [step.number])


def hash_of(step: Step, digest: Digest) -> str:
    """The content hash of a version whose rows have a digest."""
    return render_hash(table_schema(step.metadata), digest)
