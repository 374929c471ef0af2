"""A row-level plan that lost a race, made again for the newer head by looking only at what came since.

To plan anew takes as long as the first time. Beside writers that commit faster than that, a large write would never
land. What it was about is looked for in the files that are new, and where its rows lay others may have deleted some
more: if none of the rows that matter is among either, the plan stands, and only its deletion vectors are drawn anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from tablever.datafiles import Staging
from tablever.deletions import delete_positions, takes_vector
from tablever.delta.replay import identity
from tablever.errors import VersionVacuumedError
from tablever.frames import ROW, split_rows
from tablever.log import Log
from tablever.model import DataFile, Snapshot
from tablever.plan import Proposal
from tablever.scan import Positions, Scan, open_scan


@dataclass(frozen=True)
class Subject:
    """The rows that a plan is about, in any version.

    Attributes:
        may_hold: the files of a snapshot that may hold such rows.
        holds: whether files of a scan do.
    """

    may_hold: Callable[[Snapshot], Iterable[DataFile]]
    holds: Callable[[Scan], bool]


NO_ROWS = Subject(lambda _: (), lambda _: False)


@dataclass(frozen=True)
class _Planned:
    """A proposal and what it rests on.

    Attributes:
        looked: the files that were looked into, by their paths, as they were on the newest head on which it stood.
        met: the rows that were found there, as positions by path.
        staged: the objects that were written for it.
    """

    head: Snapshot
    proposal: Proposal
    subject: Subject
    looked: Mapping[str, DataFile]
    met: Mapping[str, Positions]
    staged: frozenset[str]


class Replanning:
    """Remembers one write's last plan."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._last: _Planned | None = None

    def note(
        self,
        head: Snapshot,
        staging: Staging,
        subject: Subject,
        proposal: Proposal | None,
        *,
        scan: Scan | None = None,
        found: pl.DataFrame | None = None,
    ) -> Proposal | None:
        """The proposal itself; it is remembered, with the rows ``found`` (``__tv_row``) in the files of ``scan``.

        Without a scan no file held such rows.
        """
        if self._last is not None:
            staging.reusable -= self._last.staged - staging.rows_written()
            self._last = None
        if proposal is None or proposal.metadata is not None:
            return proposal
        looked = list(subject.may_hold(head)) if scan is None else [file.file for file in scan.files]
        met = {} if scan is None or found is None else split_rows(scan, found[ROW].to_numpy())
        staged = proposal.named(staging.storage) & frozenset(staging.paths)
        staging.reuse(staged)
        self._last = _Planned(
            head,
            proposal,
            subject,
            {file.path: file for file in looked},
            {looked[index].path: rows for index, rows in met.items()},
            staged,
        )
        return proposal

    def again(self, head: Snapshot, staging: Staging) -> Proposal | None:
        """The plan as it stands on another head; None where it has to be made anew."""
        last = self._last
        if last is None or not staging.holds(last.staged):
            return None
        if (head.metadata, head.protocol) != (last.head.metadata, last.head.protocol):
            return None
        try:
            return self._rebased(last, head, staging)
        except VersionVacuumedError:  # a vector of the older head is gone
            return None

    def _rebased(self, last: _Planned, head: Snapshot, staging: Staging) -> Proposal | None:
        log = self._log
        fresh = [file for file in last.subject.may_hold(head) if file.path not in last.looked]
        if fresh and last.subject.holds(open_scan(log, head, fresh)):
            return None
        there = {file.path: file for file in head.files}
        looked = {file.path: file for file in fresh}
        for path, old in last.looked.items():
            met, now = last.met.get(path), there.get(path)
            if now is None and met is not None:
                return None
            if now is None:
                continue
            looked[path] = now
            if identity(now) == identity(old):
                continue
            was, is_now = (open_scan(log, head, [each]).files[0].deleted() for each in (old, now))
            if len(np.setdiff1d(was, is_now)) or (met is not None and len(np.intersect1d(met, is_now))):
                return None  # rows came back, or some of those found are gone
        removed = {file.path: file for file in last.proposal.removed}
        changed = {path: there[path] for path, file in removed.items() if identity(there[path]) != identity(file)}
        proposal = self._redrawn(last.proposal, changed, head, staging)
        if proposal is None:
            return None
        # The next head is compared with this one, and so on, and what was drawn for it is not drawn once more.
        staged = proposal.named(staging.storage) & frozenset(staging.paths)
        staging.reusable -= last.staged - staged - staging.rows_written()
        staging.reuse(staged)
        self._last = replace(last, looked=looked, proposal=proposal, staged=staged)
        return proposal

    def _redrawn(
        self, proposal: Proposal, changed: Mapping[str, DataFile], head: Snapshot, staging: Staging
    ) -> Proposal | None:
        """A proposal with other vectors for the files that others deleted rows from."""
        redrawn = [file for file in proposal.removed if file.path in changed]
        if not redrawn:
            return proposal
        now = [changed[file.path] for file in redrawn]
        if not all(takes_vector(head, file) for file in now):
            return None
        drawn = {file.path: file for file in proposal.added}
        scan = open_scan(self._log, head, now)
        positions = {i: _taken(self._log, head, file, drawn.get(file.path)) for i, file in enumerate(redrawn)}
        replaced = delete_positions(staging, scan, positions)
        kept = [file for file in proposal.added if file.path not in changed]
        stay = [file for file in proposal.removed if file.path not in changed]
        return replace(proposal, added=(*replaced.added, *kept), removed=(*replaced.removed, *stay))


def _taken(log: Log, head: Snapshot, before: DataFile, after: DataFile | None) -> Positions:
    """The rows that a plan took out of a file; without one after it, all that lived."""
    (old,) = open_scan(log, head, [before]).files
    if after is None:
        return np.setdiff1d(np.arange(old.rows), old.deleted(), assume_unique=True)
    (new,) = open_scan(log, head, [after]).files
    return np.setdiff1d(new.deleted(), old.deleted(), assume_unique=True)
