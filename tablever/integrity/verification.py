"""verify: whether a table is what was committed, from the log down to the rows."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from tablever.delta import features
from tablever.delta.listing import Listing, entry_name
from tablever.errors import CorruptionError, InvalidInputError, VersionVacuumedError
from tablever.integrity.checkpoints import list_log
from tablever.integrity.files import CHANGE_FILE, DATA_FILE, VECTOR, Inventory, check_files, inventory
from tablever.integrity.history import History, read_history
from tablever.integrity.remembered import check_witnesses
from tablever.integrity.report import LEVELS, Level, Notes, Progress, Report
from tablever.integrity.rows import check_keys, check_rows, hash_of
from tablever.log import Log, TableLike, open_log
from tablever.model import Digest, Witness
from tablever.refs import Ref

MOST_MISSING = 100_000
_HASH = re.compile("sha:[0-9a-f]{64}")


def verify(
    table: TableLike,
    ref: Ref | None = None,
    *,
    level: Level = "files",
    expect: str | None = None,
    progress: Progress | None = None,
) -> Report:
    """Check that a version, or every version that can be read, is what was committed.

    The levels are cumulative. ``log``: every entry and checkpoint, the chain of their hashes, their sums; tags, runs
    and pins, and that the log still has what they remember. ``files``: every data file, deletion vector and change
    file, byte for byte. ``rows``: what the files decode to, against the recorded digests; keys. The bytes of a file
    are read once for all versions, and once more to decode them.

    Args:
        ref: the version; every version that can be read, by default.
        expect: the content hash that the version must have, ``sha:`` and 64 digits: a gate in front of a training.
        progress: told now and then how many bytes of how many are done; at level ``log`` of about how many.

    Returns:
        The report of a table that is not damaged. What had nothing to compare with is listed in ``unrecorded``.

    Raises:
        CorruptionError: something is damaged, or the version has another hash; ``report`` says all that was found.
        RefError, VersionNotFoundError, TagNotFoundError, TableNotFoundError: there is no such version.
        VersionVacuumedError: the version was removed, or is recorded as removed.
        UnsupportedFeatureError: the table needs a feature that we do not read.
        InvalidInputError: ``level`` or ``expect`` is none, or a hash is expected without a ref.
        StorageError: the disk refused.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}], key="id")
        >>> report = verify(table, "latest", level="rows", expect=resolve_version(table).content_hash)
        >>> report.versions, report.rows, report.damaged
        ((0,), 1, ())
    """
    _check_arguments(ref, level, expect)
    started = time.monotonic()
    log = open_log(table)
    listing = list_log(log.storage)
    oldest = _oldest(log, listing)
    _check_holes(log, listing, oldest)
    wanted = tuple(range(oldest, (listing.head or 0) + 1)) if ref is None else (log.resolve(ref),)
    notes = Notes(wanted)
    history = read_history(log.storage, listing, oldest, notes, progress if level == "log" else None)
    witnesses = check_witnesses(log.storage, history, notes)
    history = history.keeping(witnesses)
    if ref is not None and wanted[0] in history.vacuumed and not notes.damaged:
        raise log.lost(wanted[0])
    digests: Mapping[int, Digest] = {}
    if level != "log":
        for step in history.steps:
            if step.number in wanted:
                features.check_readable(step.protocol, step.metadata)
        asked = frozenset(wanted)
        held = inventory(log.storage, history, asked)
        reads_rows = level == "rows" or _must_read(history, wanted, expect)
        advance = _counted(progress, held, twice=reads_rows)
        check_files(log.storage, history, held, notes, advance)
        if _vacuumed_since(log, history, notes):
            return verify(log, ref, level=level, expect=expect, progress=progress)
        if ref is not None:
            _check_kept(log, notes)
        if reads_rows:
            digests = check_rows(log, history, asked - history.vacuumed, notes, advance)
        if level == "rows":
            check_keys(log, history, _in_full(ref, _kept(wanted, history, notes), witnesses), notes)
    if expect is not None:
        _check_expected(history, wanted, expect, digests, notes)
    return _told(log, expect, _report(level, _kept(wanted, history, notes), notes, time.monotonic() - started))


def _check_arguments(ref: Ref | None, level: str, expect: str | None) -> None:
    if level not in LEVELS:
        raise InvalidInputError(f"there is no level {level!r}", hint=f"one of {', '.join(LEVELS)}")
    if expect is None:
        return
    if not _HASH.fullmatch(str(expect)):
        raise InvalidInputError(f"{expect!r} is no content hash", hint="it is 'sha:' and 64 hexadecimal digits")
    if ref is None:
        raise InvalidInputError("expect is the hash of one version", hint="name it: verify(table, 'v2.0', expect=…)")


def _oldest(log: Log, listing: Listing) -> int:
    """The oldest version that should be there: a log may be cut at its beginning only where its table allows that."""
    first = listing.first_readable
    if not first:
        return 0
    try:
        settings = log.snapshot(first).metadata.configuration
    except CorruptionError:
        return 0  # nothing says that it was allowed
    return 0 if settings.get("delta.enableExpiredLogCleanup", "true").lower() == "false" else first


def _check_holes(log: Log, listing: Listing, oldest: int) -> None:
    """Raises CorruptionError where so many entries are gone that they are not listed: a name that is made up."""
    head = listing.head or 0
    missing = head + 1 - oldest - len(listing.entries)
    if missing > MOST_MISSING:
        first = listing.missing(oldest - 1, head) or oldest
        raise CorruptionError(
            f"'{log.name}' is damaged: {missing:,} log entries are missing, the first is '{entry_name(first)}'",
            hint="the newest entries have names that do not follow on the others: look whose they are",
            file=entry_name(first),
            last_good=first - 1 if first else None,
        )


def _vacuumed_since(log: Log, history: History, notes: Notes) -> bool:
    """Whether files are missing, and a vacuum was recorded after the log was read: it may have taken them."""
    if not any(
        found.problem == "missing" and found.kind in (DATA_FILE, VECTOR, CHANGE_FILE) for found in notes.damaged
    ):
        return False
    with suppress(CorruptionError):
        return (log.vacuumed().by or 0) > history.head
    return False


def _kept(wanted: Sequence[int], history: History, notes: Notes) -> tuple[int, ...]:
    """The versions whose rows no vacuum took."""
    taken = {number for found in notes.vacuumed if found.kind != CHANGE_FILE for number in found.versions}
    return tuple(number for number in wanted if number not in taken | history.vacuumed)


def _check_kept(log: Log, notes: Notes) -> None:
    """Raises VersionVacuumedError where the one version that is asked for was taken by a vacuum."""
    taken = next((found for found in notes.vacuumed if found.kind != CHANGE_FILE), None)
    if taken is not None and not notes.damaged:
        raise VersionVacuumedError(
            f"version {taken.versions[0]} of '{log.name}' cannot be verified: '{taken.object}' was {taken.detail}",
            hint=f"tablever log {log.name}",
            version=taken.versions[0],
            file=taken.object,
        )


def _must_read(history: History, wanted: Sequence[int], expect: str | None) -> bool:
    """Whether a hash is expected of a version that has none recorded."""
    return expect is not None and any(s.number in wanted and s.record.get("contentHash") is None for s in history.steps)


def _counted(progress: Progress | None, held: Inventory, *, twice: bool) -> Callable[[int], None]:
    total = held.bytes(DATA_FILE, CHANGE_FILE) + (held.bytes(DATA_FILE) if twice else 0)
    done, lock = 0, threading.Lock()

    def advance(amount: int) -> None:
        nonlocal done
        with lock:
            done += amount
            if progress is not None:
                progress(min(done, total), total)

    return advance


def _in_full(ref: Ref | None, wanted: Sequence[int], witnesses: Sequence[Witness]) -> frozenset[int]:
    """The versions whose keys are checked: the one asked for, or the oldest, the newest and those remembered."""
    if ref is not None:
        return frozenset(wanted)
    return frozenset([*wanted[:1], *wanted[-1:], *(each.version for each in witnesses)])


def _check_expected(
    history: History, wanted: Sequence[int], expect: str, digests: Mapping[int, Digest], notes: Notes
) -> None:
    for step in history.steps:
        if step.number not in wanted:
            continue
        read = digests.get(step.number)
        found = step.record.get("contentHash") if read is None else hash_of(step, read)
        if found is not None and found != expect:
            detail = f"its content hash is {found}, expected was {expect}"
            notes.damage(f"version {step.number}", "expected", "other", detail, [step.number])
        elif found is None and not notes.damaged:
            detail = "it has no recorded content hash: level 'files' reads its rows"
            notes.damage(f"version {step.number}", "expected", "unrecorded", detail, [step.number])


def _report(level: Level, wanted: tuple[int, ...], notes: Notes, seconds: float) -> Report:
    found = (tuple(sorted(each, key=lambda f: (f.versions, f.object))) for each in (notes.damaged, notes.unrecorded))
    damaged, unrecorded = found
    return Report(
        level=level,
        versions=wanted,
        damaged=damaged,
        unrecorded=unrecorded,
        vacuumed=tuple(notes.vacuumed),
        given_up=tuple(notes.given_up),
        keys_checked=notes.keys_checked,
        objects=notes.objects,
        bytes=notes.bytes,
        rows=notes.rows,
        seconds=seconds,
    )


def _told(log: Log, expect: str | None, report: Report) -> Report:
    if report:
        return report
    if all(found.kind == "expected" for found in report.damaged):
        raise CorruptionError(
            f"{report.damaged[0].object} of '{log.name}' is not the one expected: {report.damaged[0].detail}",
            hint=f"nothing is damaged; if a version has that hash, its ref is '{str(expect)[:12]}'",
            report=report,
        )
    first, more = report.damaged[0], len(report.damaged) - 1
    others = f", and {more} more" if more else ""
    raise CorruptionError(
        f"'{log.name}' is damaged: {first.kind} '{first.object}': {first.detail}{others}",
        hint="restore what is named from a copy of the table",
        report=report,
        file=first.object,
    )
