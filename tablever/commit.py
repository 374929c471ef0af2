"""The one door through which every version enters the log: plan, compare-and-swap, plan again.

A plan is a function of the head. Its commit is one put of ``_delta_log/<n>.json`` that fails if that name exists; then
the new head is read and the plan is made again. So commits are serializable, without a lock or a server.
"""

from __future__ import annotations

import inspect
import json
import logging
import random
import time
import traceback
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from tablever import __version__
from tablever.authorship import default_author
from tablever.datafiles import UNCOMMITTED, Staging
from tablever.delta import features, seals
from tablever.delta.actions import Action, Add, CommitInfo, Remove, Transaction, render_entry
from tablever.delta.listing import LOG_FOLDER, SIDECAR_FOLDER, parse_names
from tablever.delta.replay import row_order
from tablever.digest_cache import known_digest
from tablever.digests import render_hash
from tablever.errors import (
    ConflictError,
    ConstraintError,
    InvalidInputError,
    StorageError,
    VersionVacuumedError,
)
from tablever.layout import table_schema
from tablever.ledger import needed_objects
from tablever.log import VACUUM, Log, entry_path
from tablever.model import ChangeFile, Digest, Metadata, Snapshot, Version
from tablever.plan import Proposal
from tablever.storage import can_be_read_whole
from tablever.texts import plural

CHECKPOINT_INTERVAL = 50
LONGEST_PAUSE = 0.5  # seconds, after a lost race
BATCH_PREFIX = "tablever:"
DELTA_OPERATIONS = {
    "create": "CREATE TABLE",
    "append": "WRITE",
    "compact": "OPTIMIZE",
    "overwrite": "WRITE",
    "upsert": "MERGE",
    "update": "UPDATE",
    "delete": "DELETE",
    "restore": "RESTORE",
    "set-key": "SET TBLPROPERTIES",
    "add-constraint": "ADD CONSTRAINT",
    "set-not-null": "CHANGE COLUMN",
    "set-retention": "SET TBLPROPERTIES",
    "protect": "SET TBLPROPERTIES",
    "vacuum": "VACUUM START",
}

logger = logging.getLogger("tablever")


Content = Callable[[Metadata], str]


@dataclass(frozen=True)
class Record:
    """What the committer says of a commit.

    Attributes:
        if_version: refuse unless the head is this version.
        batch_id: the load that this commit is; a second commit of the same batch is the first one's Version.
        batch_content: what tells the batch's content from another's, under a table's settings.
    """

    message: str | None = None
    author: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    if_version: int | None = None
    batch_id: str | None = None
    batch_content: Content | None = None


Plan = Callable[[Snapshot, Staging], Proposal | None]


def commit(log: Log, plan: Plan, record: Record) -> Version | None:
    """Commit what ``plan`` makes of the head; None where it makes nothing of it.

    Returns:
        The new Version, or for a batch that is in the table already, the Version of its first load.

    Raises:
        ConflictError: the head is not ``record.if_version``.
        UnsupportedFeatureError: the table needs a feature that we do not write under.
        InvalidInputError: the batch was loaded before with other content, the metadata is not JSON, or the entry would
            be too large to be read.
        StorageError: the disk refused, or somebody removed what was written; the table is as it was.
    """
    _check_metadata(record)
    staging = Staging(log.storage)
    attempt = 0
    vacuum: int | None = None
    while True:
        number, entry, landed, putting = 0, b"", False, False
        proposal: Proposal | None = None
        try:
            head = log.head()
            if attempt and head.transactions.get(VACUUM) != vacuum:
                staging.discard()  # a vacuum may be removing what was staged before it: write it again
            vacuum = head.transactions.get(VACUUM)
            loaded = _batch_loaded(log, head, record)
            if loaded is not None:
                staging.discard()
                return loaded
            _check_head(log, head, record)
            features.check_writable(head.protocol, head.metadata)
            number = head.version + 1
            with suppress(_OvertakenError):
                proposal = _planned(log, head, plan, staging)
                if proposal is None:
                    staging.discard()
                    return None
                _check_append_only(log, head, proposal)
                entry, moment = _entry(log, head, proposal, record)
                staging.settle()
                _check_staged(log, head, staging, proposal)
                _sync_others(log, head)
                putting = True
                landed = log.storage.put_if_absent(entry_path(number), entry)
        except BaseException as error:
            if getattr(error, "unsure", False):  # what it names must stay: it may be there, or come to be there yet
                raise _unknown(log, number, error) from None
            if putting and _may_come_yet(log, error):
                raise
            if not entry or not _is_ours(log, number, entry):
                _give_up(staging)
                raise
            raise _unsure(log, number, error) from error
        # A retransmitted link may say that the name exists, though it was this very call that made it.
        if proposal is not None and (landed or (entry and _is_ours(log, number, entry))):
            return _committed(log, staging, proposal, number, entry, moment)
        attempt += 1
        try:
            with suppress(StorageError):  # what cannot be removed now, a vacuum finds
                staging.discard_but_reusable()
            time.sleep(random.uniform(0, min(LONGEST_PAUSE, 0.002 * 2 ** min(attempt, 10))))
        except BaseException:
            _give_up(staging)
            raise


def create(log: Log, proposal: Proposal, staging: Staging, record: Record) -> Version | None:
    """Commit version 0; None where another writer made the table first."""
    _check_metadata(record)
    entry, moment = _entry(log, None, proposal, record)
    try:
        staging.settle()
        landed = log.storage.put_if_absent(entry_path(0), entry)
    except BaseException as error:
        if getattr(error, "unsure", False):
            raise _unknown(log, 0, error) from None
        if _may_come_yet(log, error):
            error.__dict__["unsure"] = True  # whoever made the folder must leave it, too
            raise
        if _is_ours(log, 0, entry):
            raise _unsure(log, 0, error) from error
        _give_up(staging)
        raise
    if not landed and not _is_ours(log, 0, entry):
        staging.discard()
        return None
    return _committed(log, staging, proposal, 0, entry, moment)


class _OvertakenError(Exception):
    """The head moved on, and a vacuum took what a plan for the old one was reading, or had written."""


def _planned(log: Log, head: Snapshot, plan: Plan, staging: Staging) -> Proposal | None:
    """What a plan makes of a head.

    Raises:
        _OvertakenError: a file of the head is gone, and the head is another by now.
    """
    try:
        return plan(head, staging)
    except (VersionVacuumedError, FileNotFoundError) as error:
        facts = getattr(error, "facts", {})
        if facts.get("version", head.version) == head.version and log.head_number() > head.version:
            raise _OvertakenError from error
        raise


def _unsure(log: Log, number: int, error: BaseException) -> BaseException:
    """What to raise where the entry is in the log, but its last sync failed or was interrupted."""
    if not isinstance(error, Exception):
        return error
    return StorageError(
        f"version {number} of '{log.name}' is in the log, but may not survive a power cut: {error}",
        hint=f"do not run it again: tablever log {log.name}",
        version=number,
    )


def _unknown(log: Log, number: int, error: BaseException) -> StorageError:
    """What to raise where nobody can say whether the entry is in the log: the store gave no answer."""
    return StorageError(
        f"whether version {number} of '{log.name}' was committed is not known: {error}",
        hint=f"look before running it again: tablever log {log.name}",
        version=number,
        unsure=True,
    )


def _give_up(staging: Staging) -> None:
    """Remove what was staged, as far as that can be done now: why it was given up is what the caller must hear."""
    with suppress(StorageError):
        staging.discard()


def _is_ours(log: Log, number: int, entry: bytes) -> bool:
    """Whether the entry is in the log after all, though the put raised: its last sync may be what failed."""
    try:
        return log.storage.get(entry_path(number)) == entry
    except FileNotFoundError:
        return False
    except StorageError as error:
        raise _unknown(log, number, error) from error


def _may_come_yet(log: Log, error: BaseException) -> bool:
    """Whether an interrupted put may still be under way to a store: what it names must stay, for a vacuum to find."""
    return not isinstance(error, Exception) and bool(log.storage.look_seconds)


def _check_metadata(record: Record) -> None:
    try:
        json.dumps(dict(record.metadata), ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"metadata must be JSON values: {error}", hint="convert it to str, int, float, bool, list or dict"
        ) from error


def _check_head(log: Log, head: Snapshot, record: Record) -> None:
    if record.if_version is not None and head.version != record.if_version:
        raise ConflictError(
            f"'{log.name}' is at version {head.version}, not {record.if_version}: somebody committed in between",
            hint=f"look at what changed (tablever log {log.name}), then run it again on version {head.version}",
            expected=record.if_version,
            found=head.version,
        )


def _check_append_only(log: Log, head: Snapshot, proposal: Proposal) -> None:
    if proposal.removed and proposal.data_change and head.metadata.flag("delta.appendOnly"):
        raise ConstraintError(
            f"'{log.name}' is append-only (delta.appendOnly): {proposal.operation} would remove "
            f"{len(proposal.removed)} of its files",
            hint="append instead, or unset delta.appendOnly with the tool that set it",
        )


def _check_staged(log: Log, head: Snapshot, staging: Staging, proposal: Proposal) -> None:
    """What a commit names is there: somebody may have taken it for abandoned.

    A vacuum of ours makes a version before it removes anything, so that of a commit and a vacuum that meet, the second
    is planned again. This is for other tools', which make none.

    Raises:
        _OvertakenError: something is gone, and the head has moved on.
        StorageError: something is gone.
    """
    gone = staging.gone(proposal.named(log.storage))
    if gone is None:
        return
    if log.head_number() > head.version:
        raise _OvertakenError
    raise StorageError(
        f"cannot commit to '{log.name}': its new file '{gone}' is gone; another tool took it for abandoned",
        hint="run it again, and let nothing remove files that are younger than a commit takes",
        file=gone,
    )


def _sync_others(log: Log, head: Snapshot) -> None:
    """Make durable what others committed just before: not all of them sync, and ours must not outlive what it rests on.

    Behind the oldest entry that is left stands a checkpoint, and the files that it names.
    """
    storage = log.storage
    if storage.look_seconds:  # what a store has is durable
        return
    for number in range(head.version, -1, -1):
        if log.is_own(number):
            return
        try:
            if storage.is_synced_by_now(entry_path(number)):
                return
            _sync(log, [*_objects(log, log.entry(number).actions), entry_path(number)])
        except (FileNotFoundError, VersionVacuumedError):
            checkpoints = parse_names(storage.list(LOG_FOLDER)).checkpoints
            parts = [f"{LOG_FOLDER}/{name}" for files in checkpoints for name in files.names]
            sidecars = [
                f"{SIDECAR_FOLDER}/{name}" for name in storage.list(SIDECAR_FOLDER) if name.endswith(".parquet")
            ]
            files = _objects(log, map(Add, head.files))
            _sync(log, (path for path in (*files, *sidecars, *parts) if not _synced_or_gone(log, path)))
            return


def _objects(log: Log, actions: Iterable[Action]) -> Iterator[str]:
    """The objects that the files of actions consist of."""
    for action in actions:
        if isinstance(action, Add | ChangeFile):
            yield from needed_objects(action, log.storage.uri, log.storage.allowed)


def _synced_or_gone(log: Log, path: str) -> bool:
    try:
        return log.storage.is_synced_by_now(path)
    except FileNotFoundError:
        return True


def _sync(log: Log, paths: Iterable[str]) -> None:
    for path in paths:
        with suppress(FileNotFoundError):  # what a vacuum took is nothing to be lost
            log.storage.sync(path)


def _batch_loaded(log: Log, head: Snapshot, record: Record) -> Version | None:
    if record.batch_id is None:
        return None
    number = head.transactions.get(BATCH_PREFIX + record.batch_id)
    if number is None:
        return None
    first = log.version(number)
    digest = log.record(number).get("batchDigest")
    if digest is None or digest != _digest(record, log.snapshot(number).metadata):
        raise InvalidInputError(
            f"batch '{record.batch_id}' was loaded into '{log.name}' as version {number}, with other content",
            hint="a batch id names one content for ever: give the new content another id",
            batch_id=record.batch_id,
            version=number,
        )
    return first


def _digest(record: Record, settings: Metadata) -> str | None:
    if record.batch_id is None or record.batch_content is None:
        return None
    try:
        return record.batch_content(settings)
    except InvalidInputError:  # rows that do not even fit are other content
        return None


def _entry(log: Log, head: Snapshot | None, proposal: Proposal, record: Record) -> tuple[bytes, int]:
    """The log entry's bytes, and its time in milliseconds: later than the head's, whatever the clock says."""
    moment = time.time_ns() // 1_000_000
    if head is not None:
        moment = max(moment, _milliseconds(head.timestamp) + 1)
    added = [replace(f, modification_time=moment) if f.modification_time == UNCOMMITTED else f for f in proposal.added]
    actions: list[Action] = [
        CommitInfo(_commit_info(log, head, proposal, record, moment)),
        *([proposal.protocol] if proposal.protocol else []),
        *([proposal.metadata] if proposal.metadata else []),
        *_transactions(head, record, moment),
        *proposal.transactions,
        *(Remove(file, moment, proposal.data_change) for file in proposal.removed),
        *(Add(file, proposal.data_change) for file in sorted(added, key=row_order)),
        *proposal.changes,
    ]
    entry = seals.seal(render_entry(actions))
    _check_size(log, proposal, record, entry)
    return entry, moment


def _check_size(log: Log, proposal: Proposal, record: Record, entry: bytes) -> None:
    """Raise InvalidInputError for an entry that would be put, and then be too large for any reader of ours."""
    if can_be_read_whole(len(entry)):
        return
    files = len(proposal.removed) + len(proposal.added) + len(proposal.changes)
    said = len(json.dumps(dict(record.metadata))) + len(record.message or "")
    raise InvalidInputError(
        f"cannot commit to '{log.name}': the log entry would have {len(entry):,} bytes, more than is read back; "
        f"{proposal.operation} adds and removes {plural(files, 'file')}",
        hint="keep what is large in a file of its own, and its name in metadata="
        if said > len(entry) // 2
        else "do it in parts, each of fewer files: some of the rows, or partitions, at a time",
        bytes=len(entry),
        files=files,
    )


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000 + moment.microsecond // 1000


def _transactions(head: Snapshot | None, record: Record, moment: int) -> list[Transaction]:
    if record.batch_id is None:
        return []
    number = 0 if head is None else head.version + 1
    return [Transaction(BATCH_PREFIX + record.batch_id, number, moment)]


def _commit_info(log: Log, head: Snapshot | None, proposal: Proposal, record: Record, moment: int) -> dict[str, Any]:
    settings = proposal.metadata or (head.metadata if head else None)
    ours = {
        seals.FIELD: seals.UNSEALED,
        "parentHash": log.version(head.version).commit_hash if head else None,
        "operation": proposal.operation,
        "message": record.message,
        "author": record.author or default_author(),
        "metadata": dict(record.metadata),
        **_content(log, head, proposal, settings),
        "rowsUpdated": proposal.rows_updated,
        "keys": proposal.keys.to_json() if proposal.keys else None,
        "batchDigest": None if settings is None else _digest(record, settings),
        **proposal.record,
    }
    info: dict[str, Any] = {
        "tablever": {name: value for name, value in ours.items() if value not in (None, "", {})},
        "timestamp": moment,
        "operation": DELTA_OPERATIONS.get(proposal.operation, proposal.operation.upper()),
        "operationParameters": dict(proposal.parameters),
        "operationMetrics": {
            "numOutputRows": str(proposal.came.rows),
            "numAddedFiles": str(len(proposal.added)),
            "numRemovedFiles": str(len(proposal.removed)),
        },
        "isolationLevel": "Serializable",
        "isBlindAppend": proposal.operation in ("create", "append") and not (settings and settings.key),
        "engineInfo": f"tablever/{__version__}",
        "txnId": str(uuid.uuid4()),  # two commits that say the same are told apart: only one of them put the entry
    }
    info["userName"] = ours["author"]
    if record.message:
        info["userMetadata"] = record.message
    if head is not None:
        info["readVersion"] = head.version
    if settings is not None and settings.flag("delta.enableInCommitTimestamps"):
        info["inCommitTimestamp"] = moment
    return info


def _content(log: Log, head: Snapshot | None, proposal: Proposal, settings: Metadata | None) -> dict[str, Any]:
    """What an entry says of its version's rows: the share of this commit, and where the parent's are known, the sum."""
    came, went = proposal.came, proposal.went
    before = Digest() if head is None else known_digest(log, head.version)
    after = None if before is None else before + came - went
    rows = before.rows if before is not None else head.rows if head is not None else None
    return {
        "rows": None if rows is None else rows + came.rows - went.rows,
        "rowsAdded": came.rows,
        "rowsRemoved": went.rows,
        "digestAdded": came.hex,
        "digestRemoved": went.hex,
        "digest": None if after is None else after.hex,
        "contentHash": render_hash(table_schema(settings), after) if after and settings else None,
    }


def _committed(log: Log, staging: Staging, proposal: Proposal, number: int, entry: bytes, moment: int) -> Version:
    """What is left to do once a version is in the log; none of it can undo the commit, so none of it may fail it."""
    try:
        with _in_the_log(log, number):  # first: its entry is not touched any more once the log has seen it
            log.storage.set_modified(entry_path(number), moment / 1000)
        version = log.committed(number, entry)
    finally:  # also where Ctrl-C strikes
        with _in_the_log(log, number):
            staging.discard(proposal.named(log.storage))
    with _in_the_log(log, number):
        if number and number % CHECKPOINT_INTERVAL == 0:
            _checkpoint(log, number)
            _warn_of_cleanup(log, number)  # last: whoever makes warnings errors has the checkpoint
    return version


@contextmanager
def _in_the_log(log: Log, number: int) -> Iterator[None]:
    try:
        yield
    except Exception:
        logger.warning("version %d of '%s' is committed; work after it failed", number, log.name, exc_info=True)


def _checkpoint(log: Log, number: int) -> None:
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    storage = log.storage
    try:
        DeltaTable(storage.uri, version=number, storage_options=storage.deltalake_options()).create_checkpoint()
    except (DeltaError, OSError, ValueError) as error:  # its words are logged
        raise StorageError(f"deltalake: {storage.words(error)}") from storage.cause(error)
    for name in (f"{LOG_FOLDER}/{number:020}.checkpoint.parquet", f"{LOG_FOLDER}/_last_checkpoint"):
        log.storage.sync(name)


def _warn_of_cleanup(log: Log, number: int) -> None:
    settings = log.snapshot(number).metadata.configuration
    if settings.get("delta.enableExpiredLogCleanup", "true") != "false":
        warnings.warn(
            f"'{log.name}' lets other Delta writers delete log entries older than "
            f"{settings.get('delta.logRetentionDuration', 'interval 30 days')} once a checkpoint exists: versions "
            "will vanish; set delta.logRetentionDuration = 'interval 36500 days' and "
            "delta.enableExpiredLogCleanup = 'false'",
            stacklevel=_level_of_caller(),
        )


def _level_of_caller() -> int:
    """The ``stacklevel`` at which a warning names the line that called this package."""
    package = Path(__file__).parent
    frames = enumerate(traceback.walk_stack(inspect.currentframe()))
    return next((n for n, (frame, _) in frames if not Path(frame.f_code.co_filename).is_relative_to(package)), 1)
