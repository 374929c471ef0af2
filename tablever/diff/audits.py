"""What a job did to a table, whatever it wrote with: the head before it, against the head after it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tablever.diff.sides import Side, scope_of
from tablever.errors import ConflictError, InvalidInputError, TableNotFoundError, VersionVacuumedError
from tablever.log import Log, TableLike, open_log
from tablever.model import Snapshot, Version

if TYPE_CHECKING:
    from tablever.diff.value import Diff


class Audit:
    """What a block of work does to a table: a context manager that ``audit`` makes."""

    def __init__(self, table: TableLike) -> None:
        self._table = table
        self._first: _Head | None = None
        self._last: _Head | None = None
        self._over = False

    def __enter__(self) -> Self:
        self._first, self._last, self._over = _head(self._table), None, False
        self.__dict__.pop("diff", None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._last, self._over = _head(self._table), True

    @property
    def before(self) -> Version | None:
        """The head when the block began; None where there was no table."""
        return self._first.version if self._first else None

    @property
    def after(self) -> Version | None:
        """The head when the block ended; None inside it, and where there was no table."""
        return self._last.version if self._last else None

    @cached_property
    def diff(self) -> Diff:
        """What changed between the two, whoever committed it; a table that was not there is compared with nothing.

        Raises:
            InvalidInputError: the block is not over.
            TableNotFoundError: there is no table, or no longer.
            ConflictError: the table was dropped and made anew.
        """
        from tablever.diff.value import Diff

        first, last = self._first, self._last
        if not self._over:
            raise InvalidInputError("the audit is not over", hint="ask for its diff after the with block")
        if last is None:
            name = os.fspath(self._table) if isinstance(self._table, str | os.PathLike) else repr(self._table)
            was = f"it was at version {first.version.number} before" if first else "there was none before"
            raise TableNotFoundError(f"no table at '{name}' after the audit: {was}", hint=None, uri=name)
        if first is not None and not _continues(first, last):
            raise ConflictError(
                f"'{last.log.name}' was dropped and made anew during the audit: its version {first.version.number} is "
                "not the one from before",
                hint="compare the tables themselves: diff_tables(left, right)",
                version=first.version.number,
            )
        left, right = Side() if first is None else Side(last.log, first.snapshot), Side(last.log, last.snapshot)
        return Diff(left, right, scope_of(left, right))


@dataclass(frozen=True)
class _Head:
    log: Log
    snapshot: Snapshot
    version: Version


def _head(table: TableLike) -> _Head | None:
    try:
        log = open_log(table)
        log = Log(log.storage, uri=log.uri)  # what a handle remembers must not hide a table made anew
        snapshot = log.head()
        return _Head(log, snapshot, log.version(snapshot.version))
    except TableNotFoundError:
        return None


def _continues(first: _Head, last: _Head) -> bool:
    """Whether the table that there is now has the head from before in its history."""
    if last.version.number < first.version.number:
        return False
    known = _commit_hash(last.log, first.version.number) if first.version.commit_hash else ""
    if not known:  # at most a checkpoint is left of that version
        return last.snapshot.metadata.id == first.snapshot.metadata.id
    return known == first.version.commit_hash


def _commit_hash(log: Log, number: int) -> str:
    """That of a version's log entry; empty where writers cleaned the log of it."""
    try:
        return log.version(number).commit_hash
    except VersionVacuumedError:
        return ""


def audit(table: TableLike) -> Audit:
    """Watch what a block of work does to a table; it may write with any tool.

    Args:
        table: it need not exist yet.

    Returns:
        A context manager: ``with audit(table) as job:`` notes the head, before and after; ``job.diff`` is the Diff.

    Raises:
        CorruptionError, UnsupportedFeatureError, StorageError: when the block begins or ends, a table that cannot be
            read right.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}], key="id")
        >>> with audit(table) as job:
        ...     v = upsert(table, [{"id": 2, "stars": 3}])
        >>> job.before.number, job.after.number, job.diff.summary.added
        (0, 1, 1)
    """
    return Audit(table)
