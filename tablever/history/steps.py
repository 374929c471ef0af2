"""What must be read for a row's life: the commits that changed rows, and for each the files that say how.

A step leads from one version to a later one. Nearly every step is one commit, whose change rows lie in files of their
own, or are what its files say: rows of files that went, rows of files that came. Where that cannot be read any more, or
where new settings made other rows of old files, the two versions on either side are compared instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from tablever import strict_json
from tablever.delta.actions import Action, Add, Remove, build_actions, decode_entry, decode_path
from tablever.delta.commits import own_counts, own_record
from tablever.delta.features import check_readable
from tablever.delta.listing import entry_name
from tablever.delta.replay import Identity, identity
from tablever.delta.vectors import vector_path
from tablever.diff.planner import Piece, thin
from tablever.errors import VersionVacuumedError
from tablever.history.probe import Probe
from tablever.history.view import View
from tablever.key_filters import KeyFilter
from tablever.layout import table_schema
from tablever.log import Log
from tablever.logfiles import START
from tablever.model import ChangeFile, DataFile, Metadata, Protocol, Snapshot

_SETTINGS = (b'{"protocol"', b'{"metaData"')  # what the second line of an entry with new settings begins with


@dataclass(frozen=True)
class Step:
    """What made a version of one before it.

    Attributes:
        version: the version that it made.
        earliest: the first version in which it may have been made; the same, but where versions in between are lost.
        before, after: the settings by which files that went, and all others, are read.
        changes: files of change rows; where there are any, they say all of it.
        removed, added: rows of files that went and came.
        lost: whether they cannot be told any more, since a deletion vector is gone.
    """

    version: int
    earliest: int
    before: Metadata
    after: Metadata
    changes: tuple[ChangeFile, ...] = ()
    removed: tuple[Piece, ...] = ()
    added: tuple[Piece, ...] = ()
    lost: bool = False

    @property
    def only_adds(self) -> bool:
        """Whether all it can have done is to bring rows in."""
        return not self.changes and not self.removed

    def __bool__(self) -> bool:
        return bool(self.changes or self.removed or self.added or self.lost)

    def files(self) -> Iterator[DataFile | ChangeFile]:
        """The files that it needs."""
        yield from self.changes
        yield from (piece.file for piece in (*self.removed, *self.added))


@dataclass(frozen=True)
class Told:
    """A commit that may tell something: its actions, and the settings before and after it."""

    number: int
    before: Metadata
    after: Metadata
    actions: tuple[Action, ...]


@dataclass(frozen=True)
class Journal:
    """The log up to a version, as far as it matters.

    Attributes:
        first: the first version that can be built.
        last: the number of the last.
        settings: the number and the settings of each version that changed them, that of the first one included.
        commits: those after the first version that may have changed a row looked for; oldest first.
        probe: what is looked for; None for all rows.
    """

    first: Snapshot
    last: int
    settings: tuple[tuple[int, Metadata], ...]
    commits: tuple[Told, ...]
    probe: Probe | None


@dataclass(frozen=True)
class _Noted:
    """A commit by the start of its entry: what it recorded of itself, or its actions where that does not say it all."""

    number: int
    before: Metadata
    after: Metadata
    record: Mapping[str, Any] | None
    actions: tuple[Action, ...] = ()


def read_journal(log: Log, last: int, look: Callable[[Metadata], Probe | None]) -> Journal:
    """Read the log up to a version, from the first that can be built.

    Of commits of ours only the start is read, until that does not exclude what is looked for: in a table of many
    files with deleted rows, the rest of an entry is many times that.

    Args:
        look: what is looked for, given the last version's settings; None for all rows.

    Raises:
        VersionNotFoundError, VersionVacuumedError, CorruptionError: the log cannot be read.
        UnsupportedFeatureError: the last version needs a feature that we do not read.
    """
    first = log.snapshot(min(log.oldest_number(), last))
    protocol, metadata = first.protocol, first.metadata
    settings, noted = [(first.version, metadata)], []
    if last > first.version:
        log.entry_data(last)  # the newest may be torn behind its first line, which says nothing of that
    for number, data in log.entry_starts(first.version + 1, last):
        before, record = metadata, _record(data)
        if record is None:
            actions = log.entry(number).actions
            protocol = next((action for action in actions if isinstance(action, Protocol)), protocol)
            metadata = next((action for action in actions if isinstance(action, Metadata)), metadata)
            noted.append(_Noted(number, before, metadata, None, actions))
        else:
            noted.append(_Noted(number, before, before, record))
        if metadata is not before:
            settings.append((number, metadata))
    check_readable(protocol, metadata)
    probe = look(metadata)
    told = (
        Told(each.number, each.before, each.after, each.actions or _saying(log, each.number))
        for each in noted
        if each.record is None or _may_matter(each.record, each.before, probe)
    )
    return Journal(first, last, tuple(settings), tuple(told), probe)


def _record(data: bytes) -> Mapping[str, Any] | None:
    """What a commit of ours recorded of itself, by the start of its entry; None where there is more to know.

    That is: of others' entries, and of ours that change the protocol or the settings, which stand in the second line.
    """
    line, end, rest = data.partition(b"\n")
    cut = len(data) == START and len(rest) < max(map(len, _SETTINGS))
    if not end or cut or not line.startswith(b'{"commitInfo":{') or rest.startswith(_SETTINGS):
        return None
    try:
        info = strict_json.loads(line)["commitInfo"]
    except ValueError:  # an object over several lines, or damage: the whole entry will say which
        return None
    return own_record(info)


def _saying(log: Log, number: int) -> tuple[Action, ...]:
    """The actions of an entry of ours that say which rows it changed: its change files alone, where it has any."""
    data, name = log.entry_data(number), entry_name(number)
    changes = b"\n".join(line for line in data.split(b"\n") if line.startswith(b'{"cdc":'))
    return tuple(build_actions(decode_entry(changes or data, name=name), name=name))


def _may_matter(record: Mapping[str, Any], settings: Metadata, probe: Probe | None) -> bool:
    """Whether a commit of ours changed rows, and perhaps those that are looked for."""
    counts = own_counts(record)
    if counts.added == 0 and counts.removed == 0:
        return False
    keys = record.get("keys")
    return probe is None or keys is None or probe.may_have_met(settings, KeyFilter.from_json(keys))


def plan_steps(log: Log, journal: Journal, view: View, probe: Probe | None) -> list[Step]:
    """The steps from nothing to the last version, oldest first: the first brings in the first version's rows."""
    return list(_Planner(log, journal, view, probe).steps())


def without_lost(log: Log, journal: Journal, view: View, probe: Probe | None, steps: Sequence[Step]) -> list[Step]:
    """The steps where files of some are gone: versions between two that can be read become one step.

    Raises:
        VersionVacuumedError: the last version cannot be read.
    """
    return _Planner(log, journal, view, probe).mended(steps)


class _Planner:
    def __init__(self, log: Log, journal: Journal, view: View, probe: Probe | None) -> None:
        self.log, self.journal, self.view, self.probe = log, journal, view, probe
        self.known: dict[Identity, DataFile] = {identity(file): file for file in journal.first.files}

    def steps(self) -> Iterator[Step]:
        first = self.journal.first
        if step := self._begin(first):
            yield step
        earlier = set(table_schema(first.metadata).names)
        for commit in self.journal.commits:
            torn = commit.before is not commit.after and self.view.torn(commit.before, commit.after, earlier)
            earlier.update(table_schema(commit.after).names)
            step = self._compared(commit.number - 1, commit.number) if torn else self._told(commit)
            self.known.update((identity(a.file), a.file) for a in commit.actions if isinstance(a, Add))
            if step:
                yield step

    def _begin(self, snapshot: Snapshot) -> Step:
        added = tuple(map(Piece, self._pruned(snapshot, snapshot.files)))
        return Step(snapshot.version, 0, snapshot.metadata, snapshot.metadata, added=added)

    def _told(self, commit: Told) -> Step:
        step = Step(commit.number, commit.number, commit.before, commit.after)
        changes = tuple(action for action in commit.actions if isinstance(action, ChangeFile))
        if changes:
            return replace(step, changes=changes)
        moves = [a for a in commit.actions if isinstance(a, Add | Remove) and a.data_change]
        gone = self._gone(commit, [move for move in moves if isinstance(move, Remove)])
        came = [move.file for move in moves if isinstance(move, Add)]
        old = replace(self.journal.first, metadata=commit.before)
        new = replace(self.journal.first, metadata=commit.after)
        return self._thinned(step, self._pruned(old, gone), self._pruned(new, came))

    def _gone(self, commit: Told, moves: Sequence[Remove]) -> list[DataFile]:
        """The files that a commit removed, as they came, with their statistics where those are at hand."""
        found = [self.known.get(identity(move.file), move.file) for move in moves]
        if all(file.size and (file.partition_values or not commit.before.partition_columns) for file in found):
            return found
        there = {identity(file): file for file in self.log.snapshot(commit.number - 1).files}
        return [there[name] for name in (identity(move.file) for move in moves) if name in there]

    def _compared(self, a: int, b: int) -> Step:
        before, after = self.log.snapshot(a), self.log.snapshot(b)
        between = [settings for number, settings in self.journal.settings if a < number <= b]
        earlier = {
            name for number, settings in self.journal.settings if number <= b for name in table_schema(settings).names
        }
        torn = bool(between) and self.view.torn(before.metadata, after.metadata, earlier)
        theirs, ours = ({} if torn else {identity(f): f for f in s.files} for s in (before, after))
        step = Step(b, a + 1, before.metadata, after.metadata)
        gone = self._pruned(before, [file for file in before.files if identity(file) not in ours])
        came = self._pruned(after, [file for file in after.files if identity(file) not in theirs])
        if torn:
            return replace(step, removed=tuple(map(Piece, gone)), added=tuple(map(Piece, came)))
        return self._thinned(step, gone, came)

    def _thinned(self, step: Step, gone: Sequence[DataFile], came: Sequence[DataFile]) -> Step:
        """The step with the rows in which the files differ."""
        try:
            removed, added = thin(self.log, gone, came)
        except VersionVacuumedError:  # a deletion vector, which says which rows those are
            return replace(step, lost=True)
        return replace(step, removed=removed, added=added)

    def _pruned(self, snapshot: Snapshot, files: Sequence[DataFile]) -> Sequence[DataFile]:
        return files if self.probe is None or not files else self.probe.prune(snapshot, files)

    # -- what is lost

    def mended(self, steps: Sequence[Step]) -> list[Step]:
        @cache
        def exists(path: str) -> bool:
            return self.log.storage.exists(path)

        def there(file: DataFile | ChangeFile) -> bool:
            return all(map(exists, _objects(self.log, file)))

        @cache
        def readable(number: int) -> bool:
            try:
                return all(map(there, self.log.snapshot(number).files))
            except VersionVacuumedError:
                return False

        first, last = self.journal.first.version, self.journal.last
        kept: list[Step] = []
        covered = -1
        for step in steps:
            if step.version <= covered:
                continue
            if not step.lost and all(map(there, step.files())):
                kept.append(step)
                continue
            above = next((n for n in range(step.version, last + 1) if readable(n)), None)
            if above is None:
                raise VersionVacuumedError(
                    f"versions {step.version} to {last} of '{self.log.name}' cannot be read: files of them are gone",
                    hint=f"ask about an older version: tablever log {self.log.name}",
                    version=last,
                )
            below = next((n for n in range(step.version - 1, first - 1, -1) if readable(n)), None)
            kept = [] if below is None else [each for each in kept if each.version <= below]
            bridge = self._begin(self.log.snapshot(above)) if below is None else self._compared(below, above)
            kept += [bridge] if bridge else []
            covered = above
        return kept


def _objects(log: Log, file: DataFile | ChangeFile) -> Iterator[str]:
    """What must be there for a file's rows to be read."""
    root, allowed = log.storage.uri, log.storage.allowed
    yield decode_path(file.path, root=root, allowed=allowed)
    vector = file.vector if isinstance(file, DataFile) else None
    if vector is not None and vector.storage_type != "i":
        yield vector_path(vector, root=root, allowed=allowed)
