"""What a log entry says about its version: who, when, what, and how many rows came and went.

Our own entries record it under ``commitInfo.tablever``. Of others' entries we take what is exact without reading
data, and None for the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tablever.delta.actions import Action, Add, Remove
from tablever.model import EMPTY, DataFile, Vacuumed, Version
from tablever.spans import clipped, parse_spans

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
RowsOf = Callable[[DataFile], int | None]


@dataclass(frozen=True)
class Recorded:
    """A version's time as its entry has it: milliseconds since 1970, or None where the entry carries none.

    ``later`` says that its writer made it later than the version before (our own entries).
    """

    time: int | None
    later: bool


@dataclass(frozen=True)
class Counts:
    """Net row counts of one version, None where the entry does not say; ``change`` is added minus removed."""

    added: int | None = None
    removed: int | None = None
    updated: int | None = None
    change: int | None = None


def find_info(values: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The ``commitInfo`` among an entry's JSON objects; empty where it has none."""
    for value in values:
        info = value.get("commitInfo")
        if isinstance(info, dict):
            return info
    return EMPTY


def own_record(info: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What tablever wrote into a commitInfo; None for the entries of others."""
    record = info.get("tablever")
    return record if isinstance(record, dict) else None


def recorded_time(info: Mapping[str, Any]) -> Recorded:
    """``inCommitTimestamp`` where the entry has it, else ``timestamp``; what is no instant of this era is none."""
    for key in ("inCommitTimestamp", "timestamp"):
        time = info.get(key)
        if isinstance(time, int) and not isinstance(time, bool) and -62_135_596_800_000 <= time < 253_402_300_800_000:
            return Recorded(time, own_record(info) is not None)
    return Recorded(None, False)


def to_datetime(milliseconds: int) -> datetime:
    """Milliseconds since 1970 as an aware UTC time."""
    return EPOCH + timedelta(milliseconds=milliseconds)


def to_version(
    number: int, info: Mapping[str, Any], counts: Counts, *, before: int | None, commit_hash: str, timestamp: datetime
) -> Version:
    """The Version of an entry; ``before`` is the rows of the version before, None where not known."""
    rows = None if before is None or counts.change is None else before + counts.change
    operation = str(info.get("operation") or "unknown").strip().lower().replace(" ", "-")
    record = own_record(info)
    if record is None:
        record = {"message": info.get("userMetadata"), "author": info.get("userName")}
    metadata = record.get("metadata")
    return Version(
        number=number,
        timestamp=timestamp,
        operation=_text(record.get("operation")) or operation,
        message=_text(record.get("message")),
        author=_text(record.get("author")),
        rows=_count(record.get("rows"), rows),
        rows_added=counts.added,
        rows_removed=counts.removed,
        rows_updated=counts.updated,
        content_hash=_text(record.get("contentHash")),
        commit_hash=commit_hash,
        parent=number - 1 if number else None,
        metadata=metadata if isinstance(metadata, dict) else {},
    )


def vacuumed(number: int, info: Mapping[str, Any]) -> Vacuumed:
    """What the entry of a vacuum records, ours; nothing where it is no such entry."""
    record = own_record(info) or {}
    rows, changes = (parse_spans(record.get(key, [])) for key in ("vacuumed", "vacuumedChanges"))
    if record.get("operation") != "vacuum" or rows is None or changes is None:
        return Vacuumed()
    before = _count(record.get("lastVacuum"))
    older = before if before is not None and 0 <= before < number else None  # so that a walk back ends
    return Vacuumed(number, clipped(rows, 0, number), clipped(changes, 0, number), older)


def own_counts(record: Mapping[str, Any]) -> Counts:
    """The counts that tablever recorded."""
    added, removed, updated = (_count(record.get(key)) for key in ("rowsAdded", "rowsRemoved", "rowsUpdated"))
    change = None if added is None or removed is None else added - removed
    return Counts(added, removed, updated, change)


def foreign_counts(info: Mapping[str, Any], actions: Iterable[Action], rows_of: RowsOf) -> Counts:
    """The counts of another writer's entry.

    Exact without a scan are: entries that move no rows; that only add files; that only remove files; and deletes,
    which only take rows away. ``rows_of`` tells the rows of a file that is removed, where its remove does not.
    """
    moves = [action for action in actions if isinstance(action, Add | Remove)]
    if not any(move.data_change for move in moves):
        return Counts(0, 0, 0, 0)
    came = total(move.file.rows for move in moves if isinstance(move, Add))
    went = total(_rows(move.file, rows_of) for move in moves if isinstance(move, Remove))
    change = None if came is None or went is None else came - went
    if all(isinstance(move, Add) for move in moves):
        return Counts(came, 0, 0, came)
    if all(isinstance(move, Remove) for move in moves):
        return Counts(0, went, 0, change)
    if info.get("operation") == "DELETE":
        removed = -change if change is not None else _deleted(info)
        return Counts(0, removed, 0, None if removed is None else -removed)
    return Counts(change=change)


def _rows(file: DataFile, rows_of: RowsOf) -> int | None:
    return file.rows if file.rows is not None else rows_of(file)


def total(counts: Iterable[int | None]) -> int | None:
    """The sum of counts; None where one of them is not known."""
    known = list(counts)
    return None if None in known else sum(count for count in known if count is not None)


def _deleted(info: Mapping[str, Any]) -> int | None:
    """Deleted rows by the writer's own metrics: Spark's name, as text, and delta-rs's."""
    metrics = info.get("operationMetrics")
    if not isinstance(metrics, dict):
        return None
    found = metrics.get("numDeletedRows", metrics.get("num_deleted_rows"))
    return int(str(found)) if str(found).isdecimal() else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _count(value: Any, default: int | None = None) -> int | None:
    fits = isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
    return value if fits else default
