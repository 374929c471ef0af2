"""What a version, or a set of rows, is called by its content."""

from __future__ import annotations

import numpy as np

from tablever.columns import canonical_schema
from tablever.creation import empty_or_rows
from tablever.delta.replay import identity
from tablever.digest_cache import keep_digest, known_digest
from tablever.digests import digest_of, render_hash
from tablever.errors import CorruptionError, VersionVacuumedError
from tablever.file_digests import digest_at, digest_of_scan
from tablever.fitting import normalise
from tablever.incoming import Rows
from tablever.layout import mapping_mode, nullable, table_schema
from tablever.log import Log, TableLike, open_log
from tablever.model import DataFile, Digest, Snapshot
from tablever.refs import Ref
from tablever.scan import Positions, Scan, open_scan

NEIGHBOURS = 64  # how far back a version is looked for from which the digest can go on


def content_hash(table: TableLike, ref: Ref = "latest") -> str:
    """What a version is called by its content: ``sha:`` and 64 hex digits.

    Two versions of any tables have the same hash exactly where they have the same columns (names and types, in any
    order) and the same rows (in any order), whatever their files, keys, partitions and settings. It identifies; it
    is no signature. Our own commits record it; of versions by others it is computed at the first call, and kept in
    ``_tablever/cache``.

    Raises:
        TableNotFoundError, RefError, VersionNotFoundError, VersionVacuumedError: nothing to read there.
        UnsupportedFeatureError, CorruptionError, StorageError: the table cannot be read right.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}], key="id")
        >>> content_hash(table) == content_hash_of([{"stars": 5, "id": 1}])
        True
    """
    log = open_log(table)
    number = log.resolve(ref)
    recorded = log.version(number).content_hash
    if recorded is not None and log.digest(number) is not None:
        return recorded
    return render_hash(table_schema(log.snapshot(number).metadata), version_digest(log, number))


def content_hash_of(rows: Rows) -> str:
    """What rows would be called by their content as a version of a table; no table is opened or made.

    Args:
        rows: as ``create_table`` takes them, and fitted to Delta's types as it does.

    Raises:
        SchemaMismatchError, InvalidInputError: rows that no table can hold.

    Example:
        >>> content_hash_of([{"id": 1}])[:20]
        'sha:e3dcd8955b9e5bd3'
    """
    source = empty_or_rows(rows)
    columns = nullable(canonical_schema(source))
    return render_hash(columns, digest_of(normalise(source, columns)))


def version_digest(log: Log, number: int) -> Digest:
    """The digest of a version's rows: as recorded or kept, else computed and kept. Raises as ``content_hash``."""
    known = known_digest(log, number)
    if known is not None:
        return known
    snapshot = log.snapshot(number)
    digest = _from_neighbour(log, snapshot)
    if digest is None:
        digest = digest_of_scan(open_scan(log, snapshot))
    keep_digest(log, number, digest)
    return digest


def _from_neighbour(log: Log, snapshot: Snapshot) -> Digest | None:
    """The digest by that of the nearest version before that has one, where less lies between them than there is."""
    try:
        for number in range(snapshot.version - 1, max(-1, snapshot.version - 1 - NEIGHBOURS), -1):
            digest = known_digest(log, number)
            if digest is not None:
                base = log.snapshot(number)
                between = [*_only_in(base, snapshot), *_only_in(snapshot, base)]
                near = _comparable(base, snapshot) and _size(between) < _size(snapshot.files)
                return _going_on(log, digest, base, snapshot) if near else None
    except (CorruptionError, VersionVacuumedError):
        pass  # what is wrong with an older version is not this one's: its own rows tell
    return None


def _comparable(base: Snapshot, snapshot: Snapshot) -> bool:
    """Whether a file that is in both has the same rows in both: under the same columns, found in the same way."""
    ours, theirs = (
        {(field.name, str(field.type)) for field in table_schema(each.metadata)} for each in (base, snapshot)
    )
    return ours == theirs and mapping_mode(base.metadata) == mapping_mode(snapshot.metadata) == "none"


def _only_in(snapshot: Snapshot, other: Snapshot) -> list[DataFile]:
    known = {identity(file) for file in other.files}
    return [file for file in snapshot.files if identity(file) not in known]


def _size(files: list[DataFile] | tuple[DataFile, ...]) -> int:
    return sum(file.size for file in files)


def _going_on(log: Log, digest: Digest, base: Snapshot, snapshot: Snapshot) -> Digest:
    before = open_scan(log, base, _only_in(base, snapshot))
    after = open_scan(log, snapshot, _only_in(snapshot, base))
    return digest + _digest_beyond(after, before) - _digest_beyond(before, after)


def _digest_beyond(scan: Scan, other: Scan) -> Digest:
    """The digest of a scan's live rows, but for those that live in the same physical file of the other."""
    elsewhere = {file.location: file for file in other.files}
    positions: dict[int, Positions] = {}
    for index, file in enumerate(scan.files):
        same = elsewhere.get(file.location)
        gone = file.deleted()
        candidates = np.arange(file.rows, dtype=np.int64) if same is None else same.deleted()
        positions[index] = np.setdiff1d(candidates, gone, assume_unique=True)
    return digest_at(scan, positions)
