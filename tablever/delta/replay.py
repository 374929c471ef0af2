"""Replay of a log: actions into the files, settings and transactions of a version.

A ``State`` is a value: ``apply`` makes a new one and leaves the old as it was. What a commit costs is copying two
flat containers (about 0.1 ms at 10,000 files), not sorting or parsing what was there.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from tablever.delta.actions import Action, Add, DomainMetadata, Remove, Transaction, decode_percent
from tablever.errors import CorruptionError
from tablever.model import EMPTY, DataFile, Metadata, Protocol, Snapshot

Identity = tuple[str, str | None]


@dataclass(frozen=True)
class State:
    """What the log says up to some version.

    Attributes:
        files: the live logical files in row order: by ``(modification_time, path)``.
        index: the same files by ``identity``.
        transactions: application id to its newest version.
        domains: domain name to configuration, removed ones left out.
    """

    protocol: Protocol | None = None
    metadata: Metadata | None = None
    files: tuple[DataFile, ...] = ()
    index: Mapping[Identity, DataFile] = field(default_factory=dict)
    transactions: Mapping[str, int] = field(default_factory=lambda: EMPTY)
    domains: Mapping[str, str] = field(default_factory=lambda: EMPTY)


def identity(file: DataFile) -> Identity:
    """What makes a logical file unique, however its path is percent-encoded."""
    return (decode_percent(file.path), file.vector.id if file.vector else None)


def row_order(file: DataFile) -> tuple[int, str]:
    """The sort key of a snapshot's files."""
    return (file.modification_time, file.path)


def apply(state: State, actions: Iterable[Action]) -> State:
    """The state after one log entry, its actions taken in their order; a remove of what is not there is nothing."""
    protocol, metadata = state.protocol, state.metadata
    moves: list[Add | Remove] = []
    transactions: dict[str, int] = {}
    domains: list[DomainMetadata] = []
    for action in actions:
        match action:
            case Add() | Remove():
                moves.append(action)
            case Protocol():
                protocol = action
            case Metadata():
                metadata = action
            case Transaction(app_id, version):
                transactions[app_id] = version
            case DomainMetadata():
                domains.append(action)
            case _:
                pass
    files, index = _move(state, moves) if moves else (state.files, state.index)
    return State(
        protocol=protocol,
        metadata=metadata,
        files=files,
        index=index,
        transactions={**state.transactions, **transactions} if transactions else state.transactions,
        domains=_apply_domains(state.domains, domains) if domains else state.domains,
    )


def from_files(state: State, files: Iterable[DataFile]) -> State:
    """The state with exactly these files, which need no order."""
    index = {identity(file): file for file in files}
    return replace(state, files=tuple(sorted(index.values(), key=row_order)), index=index)


def to_snapshot(state: State, *, number: int, timestamp: datetime, table: str) -> Snapshot:
    """The version that the state is. Raises CorruptionError where the log has no protocol or no metadata for it."""
    if state.protocol is None or state.metadata is None:
        missing = "protocol" if state.protocol is None else "metaData"
        raise CorruptionError(
            f"version {number} of '{table}' cannot be read: its log has no '{missing}' action",
            version=number,
            missing=missing,
        )
    return Snapshot(
        version=number,
        timestamp=timestamp,
        protocol=state.protocol,
        metadata=state.metadata,
        files=state.files,
        transactions=state.transactions,
        domains=state.domains,
    )


def _move(state: State, moves: Sequence[Add | Remove]) -> tuple[tuple[DataFile, ...], dict[Identity, DataFile]]:
    index = dict(state.index)
    gone: list[DataFile] = []
    fresh: dict[Identity, DataFile] = {}
    for move in moves:
        key = identity(move.file)
        old = index.pop(key, None)
        if old is not None and fresh.pop(key, None) is None:
            gone.append(old)
        if isinstance(move, Add):
            index[key] = fresh[key] = move.file
    return _reorder(state.files, gone, sorted(fresh.values(), key=row_order), index), index


def _reorder(
    files: tuple[DataFile, ...],
    gone: Sequence[DataFile],
    fresh: Sequence[DataFile],
    index: Mapping[Identity, DataFile],
) -> tuple[DataFile, ...]:
    if not gone and fresh and (not files or row_order(files[-1]) <= row_order(fresh[0])):
        return files + tuple(fresh)
    # one search a file beats a sort of all until about a sixteenth of them moves
    if (len(gone) + len(fresh)) * 16 > len(files):
        return tuple(sorted(index.values(), key=row_order))
    result = list(files)
    for file in gone:
        position = bisect_left(result, row_order(file), key=row_order)
        while result[position] is not file:
            position += 1
        del result[position]
    for file in fresh:
        result.insert(bisect_left(result, row_order(file), key=row_order), file)
    return tuple(result)


def _apply_domains(domains: Mapping[str, str], actions: Iterable[DomainMetadata]) -> dict[str, str]:
    result = dict(domains)
    for action in actions:
        if action.removed:
            result.pop(action.domain, None)
        else:
            result[action.domain] = action.configuration
    return result
