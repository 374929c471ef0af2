"""Going back: a whole version again, or one version's changes undone on top of the head."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

import numpy as np
import polars as pl
import pyarrow as pa

from tablever import constraints, merge
from tablever.arrow_types import holds_floats
from tablever.batches import text_content
from tablever.changes import net
from tablever.commit import commit
from tablever.datafiles import Staging
from tablever.delta.replay import identity
from tablever.difference import net_difference, shared_key, snapshots_differ
from tablever.errors import ConflictError
from tablever.fitting import check_not_null
from tablever.frames import ROW, find_keys, numbered, polars_types, to_arrow
from tablever.layout import table_schema
from tablever.log import Log, TableLike, open_log
from tablever.model import DataFile, Metadata, Snapshot, Version
from tablever.options import CommitOptions, record
from tablever.plan import Proposal, row_changes, whole_files
from tablever.protocol import protocol_for
from tablever.refs import Ref
from tablever.rows import differs
from tablever.scan import Scan, locate, missing_file, open_scan

VERSIONED_SETTINGS = ("tablever.key", "delta.constraints.")
_LEFT, _FOUND = "__tv_left", "__tv_found"


def restore(table: TableLike, ref: Ref, **options: Unpack[CommitOptions]) -> Version | None:
    """Make the table what it was at a version: rows, schema, key and constraints, in a new version.

    The protocol and the retention settings stay as they are. Counts are of the rows that differ.

    Returns:
        The new Version; None where nothing differs.

    Raises:
        RefError, VersionNotFoundError: no such version.
        VersionVacuumedError: its files are gone.
        ConflictError, UnsupportedFeatureError, StorageError: as ``append``.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}], key="id")
        >>> delete(table, where="true").rows
        0
        >>> restore(table, 0).rows
        1
    """
    log = open_log(table)
    number = log.resolve(ref)
    target = log.snapshot(number)

    def plan(head: Snapshot, staging: Staging) -> Proposal | None:
        metadata = _restored(head.metadata, target.metadata)
        unchanged = metadata == head.metadata
        change = snapshots_differ(log, head, target)
        counted = net_difference(change, head, target, shared_key(head, target))
        if unchanged and not counted:
            return None
        if not counted and metadata.partition_columns == head.metadata.partition_columns:
            proposal = Proposal("restore", metadata=metadata)  # the rows are there: only the rules come back
        else:
            added = _only_in(target, head)
            for file in added:
                if not Path(locate(log.storage, file.path)).exists():
                    raise missing_file(log.name, number, file)
            proposal = whole_files(
                staging,
                "restore",
                head,
                removed=_only_in(head, target),
                added=added,
                went=change.went,
                came=change.came,
                net=counted,
                metadata=None if unchanged else metadata,
            )
        return replace(proposal, protocol=protocol_for(head, metadata), parameters={"version": str(number)})

    return commit(log, plan, record(log, options, text_content("restore", str(number))))


def _only_in(snapshot: Snapshot, other: Snapshot) -> tuple[DataFile, ...]:
    known = {identity(file) for file in other.files}
    return tuple(file for file in snapshot.files if identity(file) not in known)


def _restored(head: Metadata, target: Metadata) -> Metadata:
    """The head's settings with the target's schema, key and constraints."""
    kept = {k: v for k, v in head.configuration.items() if not k.startswith(VERSIONED_SETTINGS)}
    back = {k: v for k, v in target.configuration.items() if k.startswith(VERSIONED_SETTINGS)}
    return replace(
        head,
        schema_string=target.schema_string,
        partition_columns=target.partition_columns,
        configuration={**kept, **back} if {**kept, **back} != dict(head.configuration) else head.configuration,
    )


def revert(table: TableLike, ref: Ref, **options: Unpack[CommitOptions]) -> Version | None:
    """Undo one version's row changes on top of the head, in a new version.

    What the version inserted is deleted, what it deleted comes back, what it updated gets its old values. Columns
    that the version added stay.

    Returns:
        The new Version; None where the version changed no rows.

    Raises:
        RefError, VersionNotFoundError, VersionVacuumedError: no such version to undo.
        ConflictError: the rows are not as that version left them; ``keys`` holds up to five.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}], key="id")
        >>> bad = update(table, {"stars": "1"}, where="true")
        >>> revert(table, bad.number).message is None
        True
        >>> read_version(table).to_pylist()
        [{'id': 1, 'stars': 5}]
    """
    log = open_log(table)
    number = log.resolve(ref)
    undone = _changes_of(log, number)

    def plan(head: Snapshot, staging: Staging) -> Proposal | None:
        if not undone.came.height and not undone.went.height:
            return None
        columns = table_schema(head.metadata)
        theirs = _aligned(log, undone, columns)
        present = _present_by_key if head.metadata.key else _present_by_value
        scan, went = present(log, head, theirs)
        merge.check_keys(log, theirs.went, head.metadata.key)
        change = net(went, theirs.went, columns.names, head.metadata.key)
        came = to_arrow(theirs.went, columns)
        check_not_null(came, columns)
        constraints.check_rows(came, head.metadata)
        return row_changes(staging, "revert", scan, went, came, change, parameters={"version": str(number)})

    return commit(log, plan, record(log, options, text_content("revert", str(number))))


@dataclass(frozen=True)
class _Undone:
    """What a version changed: rows that it took out, and rows that it brought in."""

    version: int
    went: pl.DataFrame
    came: pl.DataFrame


def _changes_of(log: Log, number: int) -> _Undone:
    after = log.snapshot(number)
    before = replace(after, files=()) if number == 0 else log.snapshot(number - 1)
    difference = snapshots_differ(log, before, after)
    change = net_difference(difference, before, after, shared_key(before, after))
    return _Undone(number, difference.went[change.gone], difference.came[change.came])


def _aligned(log: Log, undone: _Undone, columns: pa.Schema) -> _Undone:
    """The rows in the head's columns; those that a row did not have are null."""
    types = polars_types(columns)
    for frame in (undone.went, undone.came):
        for name, kind in frame.schema.items():
            if types.get(name) != kind:
                raise ConflictError(
                    f"cannot revert version {undone.version} of '{log.name}': its column '{name}' ({kind}) is "
                    + (f"{types[name]} now" if name in types else "gone"),
                    hint="restore a version as a whole instead",
                    column=name,
                )
    went, came = (
        frame.with_columns(
            [pl.lit(None, dtype=kind).alias(name) for name, kind in types.items() if name not in frame.columns]
        ).select(columns.names)
        for frame in (undone.went, undone.came)
    )
    return _Undone(undone.version, went, came)


def _present_by_key(log: Log, head: Snapshot, undone: _Undone) -> tuple[Scan, pl.DataFrame]:
    """The head's rows with the keys that the version changed; they must be as the version left them."""
    key = head.metadata.key
    left = undone.came
    keys = pl.concat([left.select(key), undone.went.select(key)]).unique()
    scan = merge.candidates(log, head, keys)
    found = find_keys(scan, keys, scan.schema.names)
    pairs = left.select(key).with_row_index(_LEFT)
    pairs = pairs.join(found.select(key).with_row_index(_FOUND), on=list(key), how="full", coalesce=True)
    both = pairs.drop_nulls([_LEFT, _FOUND])
    changed = differs(left[both[_LEFT].to_numpy()], found[both[_FOUND].to_numpy()], scan.schema.names)
    broken = pl.concat([pairs.filter(pl.any_horizontal(pl.col(_LEFT, _FOUND).is_null())), both.filter(changed)])
    if broken.height:
        raise _not_as_left(log, undone.version, broken.height, merge.show_keys(broken.select(key)))
    return scan, found


def _present_by_value(log: Log, head: Snapshot, undone: _Undone) -> tuple[Scan, pl.DataFrame]:
    """The head's rows that equal those the version brought in, of equal ones the earliest."""
    flat = [f.name for f in table_schema(head.metadata) if not holds_floats(f.type) and not pa.types.is_nested(f.type)]
    firm = [name for name in flat if not undone.came[name].has_nulls()]
    if firm:  # what can be looked up as a key is, so that a few rows do not cost the table
        keys = undone.came.select(firm).unique()
        scan = merge.candidates(log, head, keys)
        present = find_keys(scan, keys, scan.schema.names).select(*scan.schema.names, ROW)
    else:
        scan = open_scan(log, head)
        present = numbered(scan, scan.schema.names)
    change = net(present, undone.came, scan.schema.names)
    if len(change.inserted):
        missing = undone.came[change.inserted]
        raise _not_as_left(log, undone.version, missing.height, list(missing.head(merge.SHOWN_KEYS).rows()))
    staying = np.isin(np.arange(present.height), change.deleted)
    return scan, present.filter(pl.Series(~staying))


def _not_as_left(log: Log, number: int, count: int, shown: list[object]) -> ConflictError:
    return ConflictError(
        f"cannot revert version {number} of '{log.name}': {count} of its rows are not as it left them: "
        + ", ".join(map(repr, shown))
        + (", …" if count > len(shown) else ""),
        hint="revert the later versions first, or restore a version as a whole",
        version=number,
        keys=shown,
    )
