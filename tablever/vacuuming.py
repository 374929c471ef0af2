"""Free the space of versions that nobody keeps. What is lost is recorded in the log before it goes."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Unpack

from tablever.commit import commit
from tablever.datafiles import Staging
from tablever.delta import features
from tablever.delta.actions import Add, Transaction
from tablever.freeing import Removal, VacuumPlan, is_temporary, plan_vacuum
from tablever.ledger import as_stored, needed_objects, read_ledger
from tablever.log import VACUUM, Log, TableLike, open_log
from tablever.model import ChangeFile, Snapshot, Vacuumed, Version
from tablever.options import RecordOptions, record
from tablever.plan import Proposal
from tablever.quantities import parse_span
from tablever.retention import KEEP_ALL, Policy, parse_policy, stored_policy
from tablever.spans import clipped, holds, numbers_of, spans_of
from tablever.witness_files import missing_versions
from tablever.witnesses import witnessed

EVERYTHING = parse_policy(KEEP_ALL)
LONGEST = timedelta(days=1)  # so long a vacuum may still be removing what it recorded


@dataclass(frozen=True)
class Vacuum(VacuumPlan):
    """What a vacuum removed, or for a dry run would remove.

    Attributes:
        dry_run: whether nothing was removed.
        version: the commit that recorded it; None where there was nothing new to record.
    """

    dry_run: bool = field(default=True, kw_only=True)
    version: Version | None = field(default=None, kw_only=True)


def vacuum(
    table: TableLike,
    *,
    keep: str | None = None,
    dry_run: bool = True,
    safety: str | timedelta = "1 day",
    **options: Unpack[RecordOptions],
) -> Vacuum:
    """Remove the files that only versions need which nobody keeps.

    The head, and every version that a tag, a run or a pin names, is kept whatever the policy. A version that loses
    files stays in the log, with its counts and hashes; reading it raises VersionVacuumedError, which names the nearest
    versions that can be read. Log entries, checkpoints, tags, runs, pins, and files that no Delta writer makes are
    never removed.

    Args:
        keep: what is kept: ``"all"``, ``"pinned"``, ``"90 days"`` (versions that were the head then or later),
            ``"10 versions"``, or several with commas between. By default what ``set_retention`` stored, else
            everything: then only what crashed writers and an unfinished vacuum left goes.
        dry_run: only say what would go.
        safety: what left the head, or was written (or copied here) and never committed, less than this ago stays:
            somebody may be reading it, or about to commit it.

    Returns:
        What went, or would go: objects, bytes, and the versions that cannot be read afterwards.

    Raises:
        InvalidInputError: a policy or a span that is none.
        CorruptionError: an entry of the log, or a tag, run or pin cannot be read: nothing is removed then. (One that
            was removed by hand keeps its version still.)
        ConflictError, UnsupportedFeatureError, StorageError: as ``append``.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}], key="id")
        >>> _ = overwrite(table, [{"id": 2, "stars": 1}])
        >>> _ = tag(table, "v1.0", 1)
        >>> _ = overwrite(table, [{"id": 3, "stars": 2}])
        >>> vacuum(table, keep="0 days", safety="0 days").lost
        ((0, 0),)
        >>> vacuum(table, keep="0 days", safety="0 days", dry_run=False).version.operation
        'vacuum'
        >>> read_version(table, "v1.0").to_pylist()
        [{'id': 2, 'stars': 1}]
    """
    span = parse_span(safety)
    policy = None if keep is None else parse_policy(keep)
    log = open_log(table)
    now = _now()
    if dry_run:
        record(log, options)
        return _as_report(_planned(log, policy or stored_policy(log.head().metadata.configuration), now, span))
    said = record(log, options)
    made: list[_Made] = []

    def plan(head: Snapshot, _: Staging) -> Proposal | None:
        chosen = policy or stored_policy(head.metadata.configuration)
        if not made or not _stands(log, made[0], head, chosen):
            made[:] = [_Made(head, chosen, _planned(log, chosen, now, span))]
        return _recorded(log, head, made[0].plan, always=bool(_abandoned(made[0].plan)))

    version = commit(log, plan, said)
    first = made[0].plan
    mine = {version.number} if version else set()
    while True:  # what was named while the record was made is spared, and another record takes it back
        head = log.head()
        features.check_writable(head.protocol, head.metadata)
        left = _planned(log, EVERYTHING, now, span, mine)
        if _recorded(log, head, left) is None:
            break
        again = commit(
            log,
            lambda head, _: _recorded(log, head, _planned(log, EVERYTHING, now, span, mine)),
            replace(said, if_version=None),
        )
        mine.update({again.number} if again else ())
        version = version or again
    seen = _abandoned(first)  # what came since was written on top of the record, or may have been
    going = tuple(each for each in left.removals if not _may_be_staged(each) or each.path in seen)
    log.storage.remove_many([removal.path for removal in going])
    done = VacuumPlan(first.policy, first.kept, going, first.spared, left.lost, left.lost_changes)
    return _as_report(done, version=version, dry_run=False)


@dataclass(frozen=True)
class _Made:
    """A plan, and the head and policy that it was made for."""

    head: Snapshot
    policy: Policy
    plan: VacuumPlan


def _stands(log: Log, made: _Made, head: Snapshot, policy: Policy) -> bool:
    """Whether a plan for an older head holds for this one: so a vacuum beside steady writers ends.

    It does where no vacuum came since, and no commit brought back what it would remove.
    """
    if policy != made.policy or head.transactions.get(VACUUM) != made.head.transactions.get(VACUUM):
        return False
    root, going = log.storage.uri, {removal.path for removal in made.plan.removals}
    for number in range(made.head.version + 1, head.version + 1):
        if not log.record(number):
            return False  # of another tool, which may name an object in another way
        for action in log.entry(number).actions:
            if isinstance(action, Add | ChangeFile) and not going.isdisjoint(
                needed_objects(action, root, log.storage.allowed)
            ):
                return False
    return True


def _may_be_staged(removal: Removal) -> bool:
    """Whether an object is what a writer may have written for a commit that is still to come."""
    return removal.kind == "leftover" and not is_temporary(removal.path)


def _abandoned(plan: VacuumPlan) -> frozenset[str]:
    return frozenset(removal.path for removal in plan.removals if _may_be_staged(removal))


def _now() -> datetime:
    return datetime.now(UTC)


def _planned(
    log: Log, policy: Policy, now: datetime, safety: timedelta, mine: Collection[int] = frozenset()
) -> VacuumPlan:
    """The plan as everything stands now; ``mine`` are the records that this vacuum made."""
    stored = list(log.storage.walk())  # before the log: what a commit adds meanwhile is not taken for a leftover
    ledger = as_stored(read_ledger(log), stored, log.storage.node)
    return plan_vacuum(
        ledger,
        stored,
        policy=policy,
        pinned=witnessed(log).keys() | missing_versions(log.storage),
        vacuumed=log.vacuumed(),
        unfinished=_unfinished(log, now, mine),
        now=now,
        safety=safety,
    )


def _unfinished(log: Log, now: datetime, mine: Collection[int]) -> Vacuumed:
    """What other vacuums recorded lately. They may still be removing it, so no version of it is handed back."""
    rows: set[int] = set()
    changes: set[int] = set()
    current = newer = log.vacuumed()
    first, head = log.first_readable(), log.head_number()
    while newer.by is not None and log.version(newer.by).timestamp > now - LONGEST:
        older = Vacuumed() if newer.before is None else log.vacuum_record(newer.before)
        if newer.by not in mine:
            rows |= {n for n in numbers_of(clipped(newer.rows, first, head)) if not holds(older.rows, n)}
            changes |= {n for n in numbers_of(clipped(newer.changes, first, head)) if not holds(older.changes, n)}
        newer = older
    # What is not recorded any more was handed back by the one that had recorded it.
    return Vacuumed(
        rows=spans_of(number for number in rows if holds(current.rows, number)),
        changes=spans_of(number for number in changes if holds(current.changes, number)),
    )


def _recorded(log: Log, head: Snapshot, planned: VacuumPlan, *, always: bool = False) -> Proposal | None:
    """The commit that says what is lost; None where the log says so already, unless one is made ``always``.

    It is where files go that a slow writer may have staged: of it and that writer the second is planned again.
    """
    before = log.vacuumed()
    if not always and (planned.lost, planned.lost_changes) == (before.rows, before.changes):
        return None
    ours = {
        "vacuumed": [list(span) for span in planned.lost],
        "vacuumedChanges": [list(span) for span in planned.lost_changes],
        "lastVacuum": before.by,
    }
    return Proposal(
        "vacuum",
        parameters={"keep": planned.policy, "objects": str(len(planned.removals)), "bytes": str(planned.bytes)},
        transactions=(Transaction(VACUUM, head.version + 1, None),),
        record={name: value for name, value in ours.items() if value is not None},
    )


def _as_report(planned: VacuumPlan, *, version: Version | None = None, dry_run: bool = True) -> Vacuum:
    return Vacuum(
        planned.policy,
        planned.kept,
        planned.removals,
        planned.spared,
        planned.lost,
        planned.lost_changes,
        dry_run=dry_run,
        version=version,
    )
