"""From the net of a change to what a commit says: files out, files in, change rows, counts.

A version's change rows are written when what its files say by themselves would be wrong or wasteful to read: Delta's
readers take a version's ``cdc`` files instead of its adds and removes, so where one is written it covers everything.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from tablever import key_filters
from tablever.changes import Net
from tablever.datafiles import CHANGE_TYPE, Staging, write_changes, write_rows
from tablever.deletions import Replacement, delete_positions
from tablever.delta.actions import Transaction, decode_path
from tablever.delta.vectors import vector_path
from tablever.digests import cell_sums, digest_of
from tablever.file_digests import digest_at, recorded_sum
from tablever.frames import ROW, split_rows, to_arrow
from tablever.key_filters import KeyFilter
from tablever.layout import nullable, table_schema
from tablever.model import ChangeFile, DataFile, Digest, Metadata, Protocol, Snapshot
from tablever.scan import Scan
from tablever.storage import Storage

NOTHING = Digest()
MAX_DELETED_CHANGE_ROWS = 100_000
LEGACY_CHANGE_FEED = 4  # the writer version from which the feed is part of the protocol


@dataclass(frozen=True)
class Proposal:
    """What a commit is to say.

    Attributes:
        added, removed: logical files.
        came, went: the net change, whatever the files hold besides: rows that are new, rows that are gone.
        rows_updated: keys whose row has other values; such rows are in both.
        keys: those of all rows of the net change, where they are few.
        data_change: whether rows change; False where they only come to lie in other files.
        transactions: besides that of a batch.
        record: what the entry says besides, below ``tablever``.
    """

    operation: str
    added: tuple[DataFile, ...] = ()
    removed: tuple[DataFile, ...] = ()
    changes: tuple[ChangeFile, ...] = ()
    metadata: Metadata | None = None
    protocol: Protocol | None = None
    came: Digest = NOTHING
    went: Digest = NOTHING
    rows_updated: int = 0
    keys: KeyFilter | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    data_change: bool = True
    transactions: tuple[Transaction, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)

    def named(self, storage: Storage) -> frozenset[str]:
        """The objects that it needs to be there: data files, change files, files of vectors."""
        paths = [*(file.path for file in self.added), *(file.path for file in self.changes)]
        stored = [file.vector for file in self.added if file.vector and file.vector.storage_type == "u"]
        data = (decode_path(path, root=storage.uri, allowed=storage.allowed) for path in paths)
        return frozenset([*data, *map(vector_path, stored)])


def insertion(
    staging: Staging, operation: str, settings: Metadata, rows: pa.Table, *, origin: Hashable = None
) -> Proposal:
    """Commit rows in the table's columns and types, at the end; ``settings`` are the table's from now on."""
    added = write_rows(staging, settings, rows, origin=origin)
    return Proposal(
        operation,
        added=added,
        came=_digest(added, settings, rows),
        keys=_keys(settings.key, [rows]),
        parameters={"mode": "Append"},
    )


def _digest(files: Sequence[DataFile], settings: Metadata, rows: pa.Table | pl.DataFrame) -> Digest:
    """The digest of rows, as the log has it where they are all that lies in some files."""
    recorded = recorded_sum(files, settings)
    return recorded if recorded is not None and recorded.rows == len(rows) else digest_of(rows)


def _keys(key: Sequence[str], changed: Sequence[pa.Table | pl.DataFrame]) -> KeyFilter | None:
    """The filter of the keys of a net change, or without a key of its rows; None where they are many."""
    if not 0 < sum(map(len, changed)) <= key_filters.MAX_ROWS:
        return None
    digests = [cell_sums(rows.select(key) if key else rows) for rows in changed]
    return key_filters.build(key, pl.concat(digests))


def row_changes(
    staging: Staging,
    operation: str,
    scan: Scan,
    went: pl.DataFrame,
    came: pa.Table,
    net: Net,
    *,
    metadata: Metadata | None = None,
    parameters: Mapping[str, str] | None = None,
    origin: Hashable = None,
) -> Proposal:
    """Commit a net change row by row: vectors (or rewritten files) for what is gone, new files for what came.

    ``went`` holds rows of the scan with ``__tv_row``; ``came`` the new rows in the table's columns and types, those
    of ``metadata`` where the schema changes with it.
    """
    settings = metadata or scan.snapshot.metadata
    gone = went[net.gone]
    positions = split_rows(scan, gone[ROW].to_numpy())
    replaced = delete_positions(staging, scan, positions) if positions else Replacement((), ())
    in_hand = set(went.columns).issuperset(scan.schema.names)
    old, new = gone.select(scan.schema.names) if in_hand else None, came.take(pa.array(net.came))
    added: tuple[DataFile, ...] = ()
    if len(net.came):
        source = None if origin is None else (origin, net.came.tobytes())
        added = write_rows(staging, settings, new, origin=source)
    return Proposal(
        operation,
        added=(*replaced.added, *added),
        removed=replaced.removed,
        changes=_change_files(staging, scan.snapshot, settings, went, came, net, replaced),
        metadata=metadata,
        came=_digest(added, settings, new),
        went=digest_at(scan, positions) if old is None else digest_of(old),
        rows_updated=net.rows_updated,
        keys=None if old is None else _keys(settings.key, [old, new]),
        parameters=parameters or {},
    )


def feeds_changes(snapshot: Snapshot) -> bool:
    """Whether the table keeps a change data feed: its settings ask for it, and its protocol knows it."""
    protocol = snapshot.protocol
    if protocol.writer_features is None:
        known = protocol.min_writer >= LEGACY_CHANGE_FEED
    else:
        known = "changeDataFeed" in protocol.writer_features
    return known and snapshot.metadata.flag("delta.enableChangeDataFeed")


def _change_files(
    staging: Staging,
    head: Snapshot,
    metadata: Metadata,
    went: pl.DataFrame,
    came: pa.Table,
    net: Net,
    replaced: Replacement,
) -> tuple[ChangeFile, ...]:
    if not feeds_changes(head) or not net.rows_removed:
        return ()  # rows that only came are in the added files, and nowhere else
    vectors_say_it = not net.rows_added and all(file.vector for file in replaced.added)
    if vectors_say_it and net.rows_removed > MAX_DELETED_CHANGE_ROWS:
        return ()
    return write_changes(staging, metadata, change_rows(metadata, went, came, net))


def change_rows(metadata: Metadata, went: pl.DataFrame, came: pa.Table, net: Net) -> pa.Table:
    """A net change as change rows: deletes, then each update's images one after the other, then inserts.

    Rows that went lack the columns that the change adds: those are null.
    """
    schema = table_schema(metadata)
    old = to_arrow(_with_missing(went, schema), schema)
    deletes = _typed(old.take(pa.array(net.deleted)), "delete")
    images = pa.concat_tables(
        [
            _typed(old.take(pa.array(net.before)), "update_preimage"),
            _typed(came.take(pa.array(net.after)), "update_postimage"),
        ]
    )
    pairs = len(net.before)
    interleaved = np.arange(2 * pairs).reshape(2, pairs).T.reshape(-1)
    inserts = _typed(came.take(pa.array(net.inserted)), "insert")
    return pa.concat_tables([deletes, images.take(pa.array(interleaved)), inserts])


def _with_missing(frame: pl.DataFrame, schema: pa.Schema) -> pl.DataFrame:
    there = set(frame.columns)
    return frame.with_columns(pl.lit(None).alias(name) for name in schema.names if name not in there)


def _typed(rows: pa.Table, change: str) -> pa.Table:
    plain = pa.Table.from_arrays(rows.columns, schema=nullable(rows.schema))
    return plain.append_column(CHANGE_TYPE, pa.array([change] * rows.num_rows, pa.string()))


def whole_files(
    staging: Staging,
    operation: str,
    head: Snapshot,
    *,
    removed: tuple[DataFile, ...],
    added: tuple[DataFile, ...],
    went: pl.DataFrame,
    came: pl.DataFrame,
    net: Net,
    metadata: Metadata | None,
) -> Proposal:
    """Commit a change that swaps files: what they hold in common, row by row, is no change and is not counted.

    Without updates the files say it: readers see rows go and come. Only where that would list rows that a restore
    carries over are the net change rows written.
    """
    settings = metadata or head.metadata
    gone, new = went[net.gone], came[net.came]
    carried = len(net.deleted) < went.height and operation != "overwrite"
    files_say_it = not net.rows_updated and not carried
    changes: tuple[ChangeFile, ...] = ()
    if feeds_changes(head) and not files_say_it and net:
        schema = table_schema(settings)
        arrived = to_arrow(_with_missing(came, schema), schema)
        changes = write_changes(staging, settings, change_rows(settings, went, arrived, net))
    return Proposal(
        operation,
        added=added,
        removed=removed,
        changes=changes,
        metadata=metadata,
        came=_digest(added, settings, new),
        went=_digest(removed, head.metadata, gone),
        rows_updated=net.rows_updated,
        keys=_keys(settings.key, [gone, new]) if settings.key == head.metadata.key else None,
    )
