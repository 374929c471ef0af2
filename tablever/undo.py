"""Going back: a whole version again, or one version's changes undone on top of the head."""

from __future__ import annotations

from dataclasses import replace
from typing import Unpack

from tablever.batches import text_content
from tablever.commit import commit
from tablever.datafiles import Staging
from tablever.delta.actions import decode_path
from tablever.delta.replay import identity
from tablever.difference import Difference, files_differ, net_difference, shared_key, snapshots_differ
from tablever.log import Log, TableLike, open_log
from tablever.model import DataFile, Metadata, Snapshot, Version
from tablever.options import CommitOptions, record
from tablever.plan import Proposal, whole_files
from tablever.protocol import protocol_for
from tablever.refs import Ref
from tablever.replay_changes import plan_changes

VERSIONED_SETTINGS = ("tablever.key", "delta.constraints.")


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
        log.check_kept(number)  # of the head: a vacuum may have come in between
        metadata = _restored(head.metadata, target.metadata)
        unchanged = metadata == head.metadata
        removed, added = _only_in(head, target), _only_in(target, head)
        change = files_differ(log, head, removed, target, added)
        counted = net_difference(change, head, target, shared_key(head, target))
        if unchanged and not counted:
            return None
        if not counted and metadata.partition_columns == head.metadata.partition_columns:
            proposal = Proposal("restore", metadata=metadata)  # the rows are there: only the rules come back
        else:
            paths = [decode_path(file.path, root=log.storage.uri, allowed=log.storage.allowed) for file in added]
            for file, size in zip(added, log.storage.sizes(paths), strict=True):
                if size is None:
                    raise log.lost(number, file.path)
            proposal = whole_files(
                staging,
                "restore",
                head,
                removed=removed,
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
        return plan_changes(
            log,
            head,
            staging,
            undone.came,
            undone.went,
            operation="revert",
            what=f"revert version {number} of '{log.name}'",
            hint="revert the later versions first, or restore a version as a whole",
            parameters={"version": str(number)},
        )

    return commit(log, plan, record(log, options, text_content("revert", str(number))))


def _changes_of(log: Log, number: int) -> Difference:
    """What a version changed: rows that it took out, and rows that it brought in."""
    after = log.snapshot(number)
    before = replace(after, files=()) if number == 0 else log.snapshot(number - 1)
    difference = snapshots_differ(log, before, after)
    change = net_difference(difference, before, after, shared_key(before, after))
    return Difference(difference.went[change.gone], difference.came[change.came])
