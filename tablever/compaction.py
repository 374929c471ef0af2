"""Many small files into few: the same rows, in the same order, in files of a good size."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Unpack

import numpy as np
import polars as pl

from tablever.commit import commit
from tablever.datafiles import Staging, names_of, write_in_place_of, write_rows
from tablever.deletions import delete_positions, refuse_damaged, takes_vector
from tablever.delta.actions import decode_path, decode_percent
from tablever.delta.replay import identity
from tablever.errors import CorruptionError, InvalidInputError
from tablever.frames import load, split_rows, to_arrow
from tablever.log import Log, TableLike, open_log
from tablever.merge import require_key
from tablever.model import DataFile, Snapshot, Version
from tablever.options import RecordOptions, record
from tablever.packing import Packing, Run, by_partition, choose_runs, is_worn, place_of, standing
from tablever.plan import Proposal
from tablever.quantities import parse_bytes
from tablever.scan import Positions, Scan, open_scan

CLUSTERED_TAG = "tablever.clustered"


@dataclass(frozen=True)
class Merged:
    """Files that hold the live rows of a run; ``schema`` is the table's, as it was then."""

    sources: Run
    files: tuple[DataFile, ...]
    schema: str


def compact(
    table: TableLike,
    *,
    target: str | int = "256 MB",
    min_files: int = 2,
    deleted: float = 0.2,
    cluster: bool = False,
    **options: Unpack[RecordOptions],
) -> Version | None:
    """Merge small files, and rewrite files that lost many rows. Rows, their order and every hash stay as they are.

    Safe beside writers: it never makes their commits fail, and what they change meanwhile is kept. The old files stay,
    since earlier versions need them, until a ``vacuum`` frees those versions. It holds a run's rows in memory, about
    ``target`` once decoded.

    Args:
        target: the size of a file, as ``"256 MB"`` or in bytes. Neighbours of less than half of it are merged. In a
            partitioned table, each partition by itself: the order of rows within one stays.
        min_files: so many small neighbours are needed.
        deleted: a file is rewritten that lost at least this share of its rows.
        cluster: sort every partition's rows by key, so that rows of near keys lie together. This changes the order of
            rows, and holds a partition in memory.

    Returns:
        The new Version, of the operation ``compact``, whose counts are 0; None where nothing is worth it.

    Raises:
        InvalidInputError: a target, a number or a share that makes no sense.
        InvalidKeyError: ``cluster`` for a table without a key.
        CorruptionError: a file that would be merged is not as it was committed.
        ConflictError, UnsupportedFeatureError, StorageError: as ``append``.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}], key="id")
        >>> for n in range(2, 10):
        ...     _ = append(table, [{"id": n, "stars": 3}])
        >>> v = compact(table)
        >>> v.operation, v.rows, v.rows_added
        ('compact', 9, 0)
        >>> compact(table) is None
        True
    """
    packing = _packing(target, min_files, deleted)
    log = open_log(table)
    rewrite = _clustered if cluster else _merged
    done: list[Merged] = []

    def plan(head: Snapshot, staging: Staging) -> Proposal | None:
        # What is merged already counts before what could be merged besides: so a compaction beside writers ends.
        there = [merged for merged in done if staging.holds(names_of(staging.storage, merged.files))]
        kept = [again for merged in there if (again := _again(log, head, staging, merged, in_order=not cluster))]
        stand = {identity(run[0]) for run in standing(head.files, [merged.sources for merged in kept])}
        kept = [merged for merged in kept if cluster or identity(merged.sources[0]) in stand]
        if not kept:
            done[:] = kept = rewrite(log, head, staging, packing)
        if not kept:
            return None
        return Proposal(
            "compact",
            added=tuple(file for merged in kept for file in merged.files),
            removed=tuple(file for merged in kept for file in merged.sources),
            parameters={"targetSize": str(packing.target), "predicate": "[]", "zOrderBy": "[]"},
            data_change=False,
        )

    return commit(log, plan, record(log, options))


def _packing(target: str | int, min_files: int, deleted: float) -> Packing:
    size = parse_bytes(target)
    if size < 1:
        raise InvalidInputError("target must be at least one byte", hint="'256 MB' suits most tables")
    if type(min_files) is not int or min_files < 1:
        raise InvalidInputError(f"min_files must be a whole number of at least 1, not {min_files!r}")
    if type(deleted) not in (int, float) or not 0 < deleted <= 1:
        raise InvalidInputError(f"deleted must be a share of the rows, above 0 and at most 1, not {deleted!r}")
    return Packing(size, min_files, deleted)


def _merged(log: Log, head: Snapshot, staging: Staging, packing: Packing) -> list[Merged]:
    return [_merge(log, head, staging, run) for run in choose_runs(head.files, packing)]


def _merge(log: Log, head: Snapshot, staging: Staging, run: Run) -> Merged:
    scan = open_scan(log, head, run)
    rows = to_arrow(_rows(scan), scan.schema)
    files = write_in_place_of(staging, head.metadata, rows, run[0], _place_in(log, run[0]))
    return _reusable(staging, Merged(run, files, head.metadata.schema_string))


def _place_in(log: Log, first: DataFile) -> str:
    """How the paths of files begin that take a run's place: in the table, also where the first lies elsewhere."""
    place, storage = place_of(first), log.storage
    if not decode_path(first.path, root=storage.uri, allowed=storage.allowed).startswith("/"):
        return place
    return f"{storage.uri}/{place.rpartition('/')[2]}"


def _clustered(log: Log, head: Snapshot, staging: Staging, packing: Packing) -> list[Merged]:
    key = require_key(log, head, "cluster")
    tag = json.dumps(list(key), ensure_ascii=False)
    groups = [group for group in by_partition(head.files) if not _is_clustered(group, tag, packing)]
    return [_sort(log, head, staging, group, key, tag, packing.target) for group in groups]


def _is_clustered(group: Run, tag: str, packing: Packing) -> bool:
    """Whether one clustering wrote all of a partition's files, and they hold most of their rows still."""
    sorted_so = all((file.tags or {}).get(CLUSTERED_TAG) == tag for file in group)
    return sorted_so and len({f.modification_time for f in group}) == 1 and not any(is_worn(f, packing) for f in group)


def _sort(log: Log, head: Snapshot, staging: Staging, group: Run, key: Sequence[str], tag: str, target: int) -> Merged:
    scan = open_scan(log, head, group)
    rows = to_arrow(_rows(scan).sort(key, maintain_order=True), scan.schema)
    files = write_rows(staging, head.metadata, rows, file_bytes=target)
    return _reusable(staging, Merged(group, _tagged(files, tag), head.metadata.schema_string))


def _tagged(files: Iterable[DataFile], tag: str) -> tuple[DataFile, ...]:
    return tuple(replace(file, tags={**(file.tags or {}), CLUSTERED_TAG: tag}) for file in files)


def _rows(scan: Scan) -> pl.DataFrame:
    """A scan's live rows. What a damaged file holds would be whole in the new one, and nothing would tell any more."""
    for each in scan.files:
        refuse_damaged(scan, each)
    rows = load(scan)
    if rows.height != scan.live_rows:
        raise CorruptionError(
            f"version {scan.snapshot.version} of '{scan.storage.name}' is damaged: {scan.live_rows} rows were to "
            f"be merged, its files gave {rows.height}",
            version=scan.snapshot.version,
        )
    return rows


def _reusable(staging: Staging, merged: Merged) -> Merged:
    """The same; its files outlive a lost race."""
    staging.reuse(names_of(staging.storage, merged.files))
    return merged


def _again(log: Log, head: Snapshot, staging: Staging, merged: Merged, *, in_order: bool) -> Merged | None:
    """What was merged from an earlier head, as it stands on this one; None where its sources have changed too much.

    Rows that others deleted from the sources by vectors meanwhile are deleted from the merged files in the same way.
    """
    there = {decode_percent(file.path): file for file in head.files}
    sources = tuple(there[name] for name, _ in map(identity, merged.sources) if name in there)
    if len(sources) < len(merged.sources) or head.metadata.schema_string != merged.schema:
        return None
    if list(map(identity, sources)) == list(map(identity, merged.sources)):
        return merged
    if not in_order or not all(takes_vector(head, file) for file in merged.files):
        return None
    gone = _deleted_since(open_scan(log, head, merged.sources), open_scan(log, head, sources))
    if gone is None:
        return None
    scan = open_scan(log, head, merged.files)
    replaced = delete_positions(staging, scan, split_rows(scan, gone))
    left = {identity(file) for file in replaced.removed}
    files = (*(file for file in merged.files if identity(file) not in left), *replaced.added)
    return Merged(sources, files, merged.schema)


def _deleted_since(before: Scan, after: Scan) -> Positions | None:
    """Which of the live rows of a scan were deleted since, numbered from 0; None where a row came back."""
    found, first = [], 0
    for old, new in zip(before.files, after.files, strict=True):
        was, now = old.deleted(), new.deleted()
        if len(np.setdiff1d(was, now, assume_unique=True)):
            return None
        fresh = np.setdiff1d(now, was, assume_unique=True)
        found.append(first + fresh - np.searchsorted(was, fresh))
        first += old.rows - len(was)
    return np.concatenate(found)
