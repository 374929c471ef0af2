"""Taking rows out of files: by deletion vectors, or by rewriting the file where the table asks for that.

A vector names every deleted row of its file, those deleted before included, and replaces the file's earlier vector.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from tablever.datafiles import SHA256_TAG, Staging, write_rows
from tablever.delta import stats, vectors
from tablever.delta.actions import decode_path
from tablever.errors import CorruptionError
from tablever.model import DataFile, DeletionVector, Metadata, Snapshot
from tablever.scan import Positions, Scan, ScanFile

INLINE_BYTES = 1024
VECTOR_FOLDER = "_dv"
VECTOR_SHA256_TAG = "tablever.vector.sha256"
VECTOR_TAG = "tablever.vector"  # which vector that is of: other writers keep a file's tags and give it another


@dataclass(frozen=True)
class Replacement:
    """Logical files that leave a version, and those that take their place."""

    removed: tuple[DataFile, ...]
    added: tuple[DataFile, ...]


def delete_positions(staging: Staging, scan: Scan, positions: Mapping[int, Positions]) -> Replacement:
    """Take rows out of a scan's files; ``positions`` are live rows within each file, by the file's index.

    A file that loses its last row leaves without a successor.
    """
    metadata = scan.snapshot.metadata
    emptied, marked, rewritten = [], [], []
    for index, gone in sorted(positions.items()):
        file = scan.files[index]
        every = np.union1d(file.deleted(), gone)
        if len(every) == file.rows:
            emptied.append(file.file)
        elif takes_vector(scan.snapshot, file.file):
            marked.append((file, every))
        else:
            rewritten.append((file, every))
    removed = (*emptied, *(file.file for file, _ in [*marked, *rewritten]))
    for file, _ in rewritten:
        refuse_damaged(scan, file)
    return Replacement(removed, (*_with_vectors(staging, marked), *_rewritten(staging, metadata, rewritten)))


def refuse_damaged(scan: Scan, file: ScanFile) -> None:
    """Check a file's bytes before its rows are written into another: there nothing would tell any more.

    Raises:
        CorruptionError: they are not those that were committed.
    """
    path = decode_path(file.file.path, root=scan.storage.uri, allowed=scan.storage.allowed)
    recorded = (file.file.tags or {}).get(SHA256_TAG)
    if recorded is not None and scan.storage.sha256(path) != recorded:
        raise CorruptionError(
            f"'{path}' of '{scan.storage.name}' is damaged: its bytes are not those that were committed",
            hint="restore it from a copy of the table; tablever verify names every version that it touches",
            file=path,
            version=scan.snapshot.version,
        )


def recorded_sha256(file: DataFile) -> str | None:
    """The SHA-256 that was recorded of the blob of a file's vector; None where none was of this one."""
    tags = file.tags or {}
    if file.vector is None or tags.get(VECTOR_TAG, _fingerprint(file.vector)) != _fingerprint(file.vector):
        return None
    return tags.get(VECTOR_SHA256_TAG)


def uses_vectors(snapshot: Snapshot) -> bool:
    """Whether the table's rows are deleted by vectors: its settings ask for it, and its readers are told."""
    protocol = snapshot.protocol
    told = all(f and "deletionVectors" in f for f in (protocol.reader_features, protocol.writer_features))
    return told and snapshot.metadata.flag("delta.enableDeletionVectors")


def takes_vector(snapshot: Snapshot, file: DataFile) -> bool:
    """Whether rows are deleted from a file by a vector.

    Not where the file's path is percent-encoded, as those of some partition values are: Polars 2.1 does not find the
    vectors of such files, and would bring the deleted rows back without a word.
    """
    return uses_vectors(snapshot) and "%" not in file.path


def _fingerprint(vector: DeletionVector) -> str:
    return hashlib.sha256(vector.id.encode()).hexdigest()[:16]


def _with_vectors(staging: Staging, thinned: list[tuple[ScanFile, Positions]]) -> tuple[DataFile, ...]:
    blobs = [vectors.encode(every) for _, every in thinned]
    large = [blob for blob in blobs if len(blob) > INLINE_BYTES]
    name = uuid.uuid4()
    if large:
        with staging.create(f"{VECTOR_FOLDER}/deletion_vector_{name}.bin") as file:
            file.write(vectors.file_bytes(large))
    offsets = iter(vectors.file_offsets(large))
    added = []
    for (file_, every), blob in zip(thinned, blobs, strict=True):
        if len(blob) > INLINE_BYTES:
            vector = vectors.stored(VECTOR_FOLDER, name, next(offsets), len(blob), len(every))
        else:
            vector = vectors.inline(blob, len(every))
        of_vector = {VECTOR_SHA256_TAG: hashlib.sha256(blob).hexdigest(), VECTOR_TAG: _fingerprint(vector)}
        tags = {**(file_.file.tags or {}), **of_vector}
        added.append(replace(file_.file, vector=vector, stats=stats.loosened(file_.file, file_.rows), tags=tags))
    return tuple(added)


def _rewritten(staging: Staging, metadata: Metadata, thinned: list[tuple[ScanFile, Positions]]) -> tuple[DataFile, ...]:
    added: list[DataFile] = []
    for file, every in thinned:
        keep = np.ones(file.rows, np.bool_)
        keep[every] = False
        added.extend(write_rows(staging, metadata, file.read().filter(pa.array(keep))))
    return tuple(added)
