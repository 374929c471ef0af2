"""Taking rows out of files: by deletion vectors, or by rewriting the file where the table asks for that.

A vector names every deleted row of its file, those deleted before included, and replaces the file's earlier vector.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from tablever.datafiles import Staging, write_rows
from tablever.delta import stats, vectors
from tablever.model import DataFile, Metadata, Snapshot
from tablever.scan import Positions, Scan, ScanFile

INLINE_BYTES = 1024
VECTOR_FOLDER = "_dv"


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
    emptied, thinned = [], []
    for index, gone in sorted(positions.items()):
        file = scan.files[index]
        every = np.union1d(file.deleted(), gone)
        if len(every) == file.rows:
            emptied.append(file.file)
        else:
            thinned.append((file, every))
    removed = (*emptied, *(file.file for file, _ in thinned))
    if uses_vectors(scan.snapshot):
        return Replacement(removed, _with_vectors(staging, thinned))
    return Replacement(removed, _rewritten(staging, metadata, thinned))


def uses_vectors(snapshot: Snapshot) -> bool:
    """Whether the table's rows are deleted by vectors: its settings ask for it, and its readers are told."""
    protocol = snapshot.protocol
    told = all(f and "deletionVectors" in f for f in (protocol.reader_features, protocol.writer_features))
    return told and snapshot.metadata.flag("delta.enableDeletionVectors")


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
        added.append(replace(file_.file, vector=vector, stats=stats.loosened(file_.file, file_.rows)))
    return tuple(added)


def _rewritten(staging: Staging, metadata: Metadata, thinned: list[tuple[ScanFile, Positions]]) -> tuple[DataFile, ...]:
    added: list[DataFile] = []
    for file, every in thinned:
        keep = np.ones(file.rows, np.bool_)
        keep[every] = False
        added.extend(write_rows(staging, metadata, file.read().filter(pa.array(keep))))
    return tuple(added)
