"""Digests of rows as they lie in files: one kept with each file, of all its rows; others read from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import pyarrow as pa

from tablever.delta import partitions
from tablever.digests import digest_of, digest_of_batches
from tablever.frames import batches_at
from tablever.layout import fingerprint, mapping_mode, table_schema
from tablever.model import DataFile, Digest, Metadata
from tablever.scan import SCHEMA_TAG, Positions, Scan

DIGEST_TAG = "tablever.digest"


def digest_in_file(metadata: Metadata, rows: pa.Table, values: Mapping[str, str | None]) -> Digest:
    """The digest of a file's rows, which lack the partition columns: ``values`` has what those hold."""
    columns = table_schema(metadata)
    for name in metadata.partition_columns:
        kind = columns.field(name).type
        rows = rows.append_column(name, pa.repeat(partitions.parse([values[name]], kind)[0], rows.num_rows))
    return digest_of(rows)


def recorded(file: DataFile, metadata: Metadata) -> Digest | None:
    """The digest that the log has of all rows in a file, deleted ones included.

    None where it has none, or where the file was written under another schema, in which its rows may mean others.
    """
    tags, rows = file.tags or {}, file.physical_rows
    digits = tags.get(DIGEST_TAG)
    if digits is None or rows is None or mapping_mode(metadata) != "none":
        return None
    return Digest.from_hex(rows, digits) if tags.get(SCHEMA_TAG) == fingerprint(metadata) else None


def recorded_sum(files: Iterable[DataFile], metadata: Metadata) -> Digest | None:
    """The digest that the log has of the rows of whole files; None where one lost rows, or has no digest."""
    total = Digest()
    for file in files:
        found = None if file.vector is not None else recorded(file, metadata)
        if found is None:
            return None
        total += found
    return total


def digest_at(scan: Scan, positions: Mapping[int, Positions]) -> Digest:
    """The digest of live rows of a scan's files, at positions within each, by the file's index.

    A file whose every row is asked for is not read where the log has its digest. Errors as ``frames.batches``.
    """
    total = Digest()
    read: list[tuple[int, Positions | None]] = []
    for index, chosen in positions.items():
        file = scan.files[index]
        whole = len(chosen) == file.rows - (file.file.vector.cardinality if file.file.vector else 0)
        known = recorded_sum([file.file], scan.snapshot.metadata) if whole else None
        if known is None:
            read.append((index, None if whole else chosen))
        else:
            total += known
    wanted = replace(scan, files=tuple(scan.files[index] for index, _ in read))
    rows = batches_at(wanted, [chosen for _, chosen in read], scan.schema.names)
    return total + digest_of_batches(rows)


def digest_of_scan(scan: Scan) -> Digest:
    """The digest of a scan's live rows, every one of them read. Errors as ``frames.batches``."""
    return digest_of_batches(batches_at(scan, [None] * len(scan.files), scan.schema.names))
