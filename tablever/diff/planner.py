"""Which rows must be read to tell two sides apart, and which of the two ways to them is right and cheaper.

Both ways are planned from the logs alone: way 1 (``changes``) nets the change rows of the commits between, way 2
(``snapshots``) reads what only one side's files hold. Where both are right the cheaper is taken; at a tie way 2, which
trusts nobody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from tablever import merge
from tablever.arrow_types import common_type
from tablever.datafiles import PAGE_BYTES, SHA256_TAG
from tablever.delta.actions import Action, Add, Remove, decode_path
from tablever.delta.commits import total
from tablever.delta.listing import entry_path
from tablever.delta.replay import Identity, identity
from tablever.delta.vectors import vector_path
from tablever.diff.sides import Scope, Side, physical, physical_in
from tablever.errors import CorruptionError, InvalidInputError, VersionVacuumedError
from tablever.findings import Plan, PlannedFile, Rejected, Way
from tablever.frames import to_frame
from tablever.layout import physical_name, table_schema
from tablever.log import Log
from tablever.model import ChangeFile, DataFile, DeletionVector, Metadata, Snapshot, Version
from tablever.scan import BELIEVED_DELETED, SCHEMA_TAG, Positions, missing_file, only_in, read_footer
from tablever.spans import holds
from tablever.texts import plural, size_text

OPENING = 64 * 1024  # what opening an object costs, in bytes read: ten thousand tiny commits are not free
ROW_GROUP_BYTES = 128 << 20  # of files that others wrote: what must be decoded to have one row
KEY_BYTES = 16  # of a row, where only its key is read
VECTOR_FRAME = 8  # beside a vector's bytes in its file: their count and their checksum
UNKNOWN = 1 << 62


@dataclass(frozen=True)
class Piece:
    """Rows of one logical file that must be read: those at ``positions``, or (None) all that live.

    Attributes:
        other: the vector of the other side's file, where positions are those in which the two differ.
    """

    file: DataFile
    positions: Positions | None = field(default=None, compare=False)
    other: DeletionVector | None = field(default=None, compare=False)

    @property
    def rows(self) -> int | None:
        """How many there are; None where the log does not say."""
        return self.file.rows if self.positions is None else len(self.positions)

    @property
    def bytes(self) -> int:
        """How much of the file is read for them: whole pages (Cardenas 1975: pages hit by k scattered rows)."""
        if self.positions is None:
            return self.file.size
        page = PAGE_BYTES if SCHEMA_TAG in (self.file.tags or {}) else ROW_GROUP_BYTES
        pages = max(1, self.file.size // page)
        return int(self.file.size * (1 - (1 - 1 / pages) ** len(self.positions)))


@dataclass(frozen=True)
class CommitRows:
    """A commit's change rows: in files of their own, or what its added and removed files say.

    Attributes:
        before, after: the settings before and after it, by which files that it removes, and all others, are read.
        balance: rows of its added files less those of its removed ones, which its change rows must add up to; None
            where the log does not count them.
    """

    number: int
    before: Metadata
    after: Metadata
    changes: tuple[ChangeFile, ...] = ()
    removed: tuple[Piece, ...] = ()
    added: tuple[Piece, ...] = ()
    balance: int | None = None


@dataclass(frozen=True)
class Reading:
    """A plan, and what it reads.

    Attributes:
        feed: the commits whose change rows are netted, oldest first; None on the other way.
        left_files, right_files: of either side, what is read to compare the two.
        reversed: whether the left side is the later version, so that what came in the commits went in the diff.
    """

    plan: Plan
    feed: tuple[CommitRows, ...] | None = None
    left_files: tuple[Piece, ...] = ()
    right_files: tuple[Piece, ...] = ()
    reversed: bool = False


class _NotAllowed(Exception):  # noqa: N818 - a finding of the planner
    """The way would give a wrong answer; the text says why."""


def plan_reading(
    left: Side, right: Side, scope: Scope, *, way: Way | None = None, refused: str | None = None
) -> Reading:
    """What to read for a diff.

    Args:
        way: take this one; InvalidInputError where it is not allowed.
        refused: why the change rows of the commits between may not be netted, where reading them has shown it.

    Raises:
        VersionVacuumedError, CorruptionError: a side's settings cannot be read.
    """
    if right.rows is not None or left.rows is not None:
        return _plan_rows(left, right, scope)
    compared = _plan_snapshots(left, right, scope)
    if compared.plan.way == "nothing" and way is None:
        return compared
    try:
        if refused is not None:
            raise _NotAllowed(refused)
        netted = _plan_changes(left, right, scope, compared.plan, UNKNOWN if way == "changes" else compared.plan.bytes)
    except _NotAllowed as reason:
        if way == "changes":
            raise InvalidInputError(f"the change rows between cannot be netted: {reason}") from reason
        why = f"{compared.plan.why}; the changes of the commits between cannot be netted: {reason}"
        return replace(compared, plan=replace(compared.plan, why=why, rejected=Rejected("changes", None, str(reason))))
    return _chosen(compared, netted, way)


def _chosen(compared: Reading, netted: Reading, way: Way | None) -> Reading:
    cheaper = netted.plan.bytes < compared.plan.bytes
    at_most = [n for n in (netted.plan.at_most_rows, compared.plan.at_most_rows) if n is not None]
    one, other = (netted, compared) if (cheaper if way is None else way == "changes") else (compared, netted)
    counted = [size_text(each.plan.bytes) for each in (one, other)]
    comparison = f"{counted[0]} to read, with what opening files costs, against {counted[1]}"
    why = {
        "changes": f"the commits between say what they changed: {comparison} to compare the files of both versions",
        "snapshots": f"the files that only one version has: {comparison} to net the changes of the commits between",
    }.get(one.plan.way, one.plan.why)
    rejected = Rejected(other.plan.way, other.plan.bytes, "it would read no less")
    return replace(one, plan=replace(one.plan, why=why, rejected=rejected, at_most_rows=min(at_most, default=None)))


# -- rows that are not committed


def _plan_rows(left: Side, right: Side, scope: Scope) -> Reading:
    """A version against rows: only the files that may hold one of their keys matter."""
    assert left.snapshot is not None
    assert right.rows is not None
    found = merge.prune(left.snapshot, to_frame(right.rows.select(scope.key)))
    pieces = tuple(Piece(file) for file in found)
    read = [*_planned(pieces, "may hold a key of the rows"), *_vectors(left, pieces)]
    if scope.given:
        read += _looked_up(found)
    plan = Plan(
        way="rows",
        why="the rows are looked up by their keys",
        files=tuple(read),
        bytes=_cost(read),
        table_bytes=sum(file.size for file in left.snapshot.files),
        at_most_rows=2 * right.rows.num_rows,
        shared_files=len(left.snapshot.files) - len(found),
    )
    return Reading(plan, left_files=pieces)


# -- way 2


def _plan_snapshots(left: Side, right: Side, scope: Scope) -> Reading:
    apart, before, after = _told_apart(left, right, scope)
    shared: list[DataFile] = []
    for name_of in (identity, _content) if _same_table(left, right) else (_content,):
        before, after, met = _met(before, after, name_of)
        shared += met
    if left.log is not None and _same_table(left, right):
        removed, added = thin(left.log, before, after)
    else:
        removed, added = tuple(map(Piece, before)), tuple(map(Piece, after))
    removed, added = (removed + tuple(map(Piece, apart[0])), added + tuple(map(Piece, apart[1])))
    read = [*_planned(removed, f"only in {left.name}"), *_planned(added, f"only in {right.name}")]
    read += [*_vectors(left, removed), *_vectors(right, added)]
    if read and scope.given:
        read += _looked_up(_files(left))
    plan = Plan(
        way="snapshots" if read else "nothing",
        why="rows of files that only one side has" if read else "both sides have the same files, with the same rows",
        commits=_commits(left, right),
        files=tuple(read),
        bytes=_cost(read),
        table_bytes=max(sum(file.size for file in _files(side)) for side in (left, right)),
        at_most_rows=total(piece.rows for piece in (*removed, *added)),
        shared_files=len(shared),
        shared_rows=total(file.rows for file in shared),
        untouched_partitions=_untouched(left, right, {id(piece.file) for piece in (*removed, *added)}),
    )
    return Reading(plan, left_files=removed, right_files=added)


def _torn(left: Side, right: Side, scope: Scope) -> bool:
    """Whether files in common must be read: a compared column is another one, or of a type not comparable."""
    if left.snapshot is None or right.snapshot is None:
        return False
    both = [name for name in scope.compared if name in scope.shared]
    return any(scope.types[name] is None or physical(left, name) != physical(right, name) for name in both)


def _met(
    before: Sequence[DataFile],
    after: Sequence[DataFile],
    name_of: Callable[[DataFile], Hashable | None],
) -> tuple[list[DataFile], list[DataFile], list[DataFile]]:
    """Files of either side without those of a name that both have, as often as both have it; and those of the second.

    A file without a name stays.
    """
    names = [[name_of(file) for file in files] for files in (before, after)]
    common = Counter(names[0]) & Counter(names[1])
    del common[None]
    rest: list[list[DataFile]] = []
    met: list[DataFile] = []
    for files, called in zip((before, after), names, strict=True):
        due, left_over, met = Counter(common), list[DataFile](), []
        for file, name in zip(files, called, strict=True):
            (met if due[name] > 0 else left_over).append(file)
            due[name] -= 1
        rest.append(left_over)
    return rest[0], rest[1], met


def _content(file: DataFile) -> Hashable | None:
    """What two logical files have in common that hold the same rows; None where the log does not say."""
    digest = (file.tags or {}).get(SHA256_TAG)
    if digest is None:
        return None
    return digest, file.vector.id if file.vector else None, tuple(sorted(file.partition_values.items()))


def _told_apart(
    left: Side, right: Side, scope: Scope
) -> tuple[tuple[list[DataFile], list[DataFile]], list[DataFile], list[DataFile]]:
    """The files of either side that must be read whole, whatever the other has; and the other files of either.

    Those are the files that hold a compared column only one side sees; or all.
    """
    torn = _torn(left, right, scope)
    lone = [(side.snapshot.metadata, n) for side in (left, right) if side.snapshot for n in _lone(side, scope)]
    apart: tuple[list[DataFile], list[DataFile]] = ([], [])
    others: tuple[list[DataFile], list[DataFile]] = ([], [])
    for side, mine, rest in zip((left, right), apart, others, strict=True):
        for file in _files(side):
            (mine if torn or any(_holds(side, file, *column) for column in lone) else rest).append(file)
    return apart, *others


def _lone(side: Side, scope: Scope) -> list[str]:
    """The compared columns that only this side has."""
    there = set() if side.schema is None else {*side.schema.names}
    return [name for name in scope.compared if name in there and name not in scope.shared]


def _holds(side: Side, file: DataFile, metadata: Metadata, column: str) -> bool:
    """Whether a file of a side holds a column of some settings, which may be those of the other side."""
    assert side.log is not None
    assert side.snapshot is not None
    if column in metadata.partition_columns:
        return True
    try:
        storage = side.log.storage
        footer = read_footer(storage, decode_path(file.path, root=storage.uri, allowed=storage.allowed), file.size)
    except FileNotFoundError as error:
        raise missing_file(side.log.name, side.snapshot.version, file) from error
    return physical_name(metadata, column) in footer.schema.to_arrow_schema().names


def thin(
    log: Log, removed: Sequence[DataFile], added: Sequence[DataFile]
) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """The rows of files that leave and of files that come; not those of a physical file that live before and after."""
    gone = {identity(file)[0]: file for file in removed}
    came = {identity(file)[0]: file for file in added}
    pieces = (
        [_only_here(log, file, came.get(identity(file)[0])) for file in removed],
        [_only_here(log, file, gone.get(identity(file)[0])) for file in added],
    )
    left, right = (tuple(piece for piece in each if piece.rows != 0) for each in pieces)
    return left, right


def _only_here(log: Log, file: DataFile, other: DataFile | None) -> Piece:
    gone = only_in(log.storage, file, other, _physical_rows(log, file, other))
    return Piece(file, gone, None if other is None else other.vector)


def _physical_rows(log: Log, file: DataFile, other: DataFile | None) -> int:
    """How many rows a vector can delete: as the log says where that is small, else as the file does.

    Raises VersionVacuumedError where it is gone.
    """
    deleted = [each.vector.cardinality for each in (file, other) if each is not None and each.vector is not None]
    if other is None or other.vector is None or max(deleted) in BELIEVED_DELETED:
        return UNKNOWN if file.physical_rows is None else file.physical_rows
    root, allowed = log.storage.uri, log.storage.allowed
    try:
        return int(read_footer(log.storage, decode_path(file.path, root=root, allowed=allowed), file.size).num_rows)
    except FileNotFoundError as error:
        raise VersionVacuumedError(
            f"a version of '{log.name}' cannot be read: its file '{file.path}' is gone", file=file.path
        ) from error


def _untouched(left: Side, right: Side, read: set[int]) -> tuple[Mapping[str, str | None], ...]:
    """Partitions of which no file is read, by their texts."""
    if left.snapshot is None or right.snapshot is None:
        return ()
    columns = right.snapshot.metadata.partition_columns
    if not columns or left.snapshot.metadata.partition_columns != columns:
        return ()
    touched: dict[tuple[str | None, ...], bool] = {}
    for snapshot in (left.snapshot, right.snapshot):
        names = [physical_name(snapshot.metadata, column) for column in columns]
        for file in snapshot.files:
            values = tuple(file.partition_values.get(name) for name in names)
            touched[values] = touched.get(values, False) or id(file) in read
    kept = sorted((values for values, changed in touched.items() if not changed), key=lambda v: [t or "" for t in v])
    return tuple(dict(zip(columns, values, strict=True)) for values in kept)


# -- way 1


def _plan_changes(left: Side, right: Side, scope: Scope, other: Plan, budget: int) -> Reading:
    if left.snapshot is None or right.snapshot is None or left.log is None or not _same_table(left, right):
        raise _NotAllowed("no one log leads from one side to the other")
    for name in scope.compared:
        if name not in scope.shared:
            raise _NotAllowed(f"only one side has column '{name}'")
        if scope.types[name] is None:
            raise _NotAllowed(f"column '{name}' has types that cannot be compared")
        if physical(left, name) != physical(right, name):
            raise _NotAllowed(f"column '{name}' was made anew in between")
    first, last = sorted([left.snapshot, right.snapshot], key=lambda snapshot: snapshot.version)
    numbers = range(first.version + 1, last.version + 1)
    if len(numbers) * OPENING > budget:
        raise _NotAllowed(f"to read the {len(numbers)} log entries between costs more than to compare the files")
    feed, read = _feed(left.log, first, numbers)
    moved = [piece for commit in feed for piece in (*commit.removed, *commit.added)]
    read += _vectors(left, moved)
    if scope.given:
        read += _looked_up(_files(left))
    columns = {name: physical(right, name) or physical(left, name) for name in scope.columns}
    _check_columns(feed, scope, columns, {*table_schema(first.metadata).names})
    plan = replace(
        other,
        way="changes",
        why="the commits between say what they changed",
        files=tuple(read),
        bytes=_cost(read),
        at_most_rows=total(n for version in other.commits for n in (version.rows_added, version.rows_removed)),
    )
    return Reading(plan, feed=tuple(feed), reversed=left.snapshot.version > right.snapshot.version)


def _feed(log: Log, first: Snapshot, numbers: Sequence[int]) -> tuple[list[CommitRows], list[PlannedFile]]:
    files = {identity(file): file for file in first.files}
    metadata = first.metadata
    feed, read = [], []
    vacuumed, entries = log.vacuumed(), log.entries(numbers)
    for number in numbers:
        if any(holds(gone, n) for gone, n in ((vacuumed.changes, number), (vacuumed.rows, number))):
            raise _NotAllowed(f"what version {number} changed was vacuumed")
        try:
            entry = next(entries)
        except (VersionVacuumedError, CorruptionError) as error:
            raise _NotAllowed(f"the log entry of version {number} cannot be read") from error
        size = len(entry.data)
        read.append(PlannedFile(entry_path(number), size, size, "the log between"))
        before = metadata
        metadata = next((action for action in entry.actions if isinstance(action, Metadata)), metadata)
        gone, came = _moved(files, entry.actions)
        commit = _commit_rows(log, number, entry.actions, gone, came, before, metadata)
        if commit.changes or commit.removed or commit.added:
            feed.append(commit)
            why = f"change rows of version {number}"
            read += [PlannedFile(file.path, file.size, file.size, why) for file in commit.changes]
            read += _planned(commit.removed, f"removed by version {number}")
            read += _planned(commit.added, f"added by version {number}")
    return feed, read


def _moved(files: dict[Identity, DataFile], actions: Iterable[Action]) -> tuple[list[DataFile], list[DataFile]]:
    """The files that a commit takes out and puts in; ``files``, those there before, become those there after."""
    gone: dict[Identity, DataFile] = {}
    came: dict[Identity, DataFile] = {}
    for action in actions:
        if isinstance(action, Remove):
            name = identity(action.file)
            old = files.pop(name, None)
            if old is not None and came.pop(name, None) is None:
                gone[name] = old
        elif isinstance(action, Add):
            name = identity(action.file)
            if name not in files and gone.pop(name, None) is None:
                came[name] = action.file
            files[name] = action.file
    return list(gone.values()), list(came.values())


def _commit_rows(
    log: Log,
    number: int,
    actions: Sequence[Action],
    gone: Sequence[DataFile],
    came: Sequence[DataFile],
    before: Metadata,
    after: Metadata,
) -> CommitRows:
    balance = _minus(total(file.rows for file in came), total(file.rows for file in gone))
    changes = tuple(action for action in actions if isinstance(action, ChangeFile))
    if changes:
        return CommitRows(number, before, after, changes, balance=balance)
    moves = [action for action in actions if isinstance(action, Add | Remove)]
    changing = {identity(move.file) for move in moves if move.data_change}
    said = [[file for file in files if identity(file) in changing] for files in (gone, came)]
    try:
        removed, added = thin(log, said[0], said[1])
    except VersionVacuumedError as error:
        raise _NotAllowed(f"the deletion vectors of version {number} are gone") from error
    net = _minus(total(piece.rows for piece in added), total(piece.rows for piece in removed))
    if None not in (balance, net) and balance != net:
        raise _NotAllowed(f"version {number} replaces files by others that it says hold the same rows, but not as many")
    return CommitRows(number, before, after, removed=removed, added=added, balance=balance)


def _check_columns(feed: Iterable[CommitRows], scope: Scope, columns: Mapping[str, str], first: set[str]) -> None:
    """Each column is one physical column, of types that fit, wherever change rows are read.

    Args:
        columns: the physical column of each.
        first: the columns of the earlier version: change rows that lack one of them lost its values.
    """
    used: dict[str, tuple[int, Metadata]] = {}
    for commit in feed:
        if commit.removed:
            used.setdefault(commit.before.schema_string, (commit.number, commit.before))
        if commit.changes or commit.added:
            used.setdefault(commit.after.schema_string, (commit.number, commit.after))
    for number, metadata in used.values():
        there = {field.name: field.type for field in table_schema(metadata)}
        for name in scope.columns:
            kind = scope.types[name]
            if name not in there:
                if name in scope.compared or name in first:  # else it came later, and is null in these rows
                    raise _NotAllowed(f"version {number} has no column '{name}'")
            elif physical_in(metadata, name) != columns[name]:
                raise _NotAllowed(f"column '{name}' is another one in version {number}")
            elif kind is None or common_type(there[name], kind) != kind:
                raise _NotAllowed(f"column '{name}' has another type in version {number}")


# -- words for both


def _same_table(left: Side, right: Side) -> bool:
    return left.log is not None and right.log is not None and left.log.storage.uri == right.log.storage.uri


def _files(side: Side) -> tuple[DataFile, ...]:
    return () if side.snapshot is None else side.snapshot.files


def _commits(left: Side, right: Side) -> tuple[Version, ...]:
    """The versions between whose log entries are there, oldest first."""
    if right.log is None or right.snapshot is None or not (left.is_nothing or _same_table(left, right)):
        return ()
    ends = sorted([-1 if left.snapshot is None else left.snapshot.version, right.snapshot.version])
    numbers, found = right.log.numbers_between(ends[0] + 1, ends[1]), list[Version]()
    with suppress(VersionVacuumedError, CorruptionError):
        found.extend(right.log.versions_of(numbers))
    for number in numbers[len(found) :]:
        with suppress(VersionVacuumedError, CorruptionError):  # what is gone is not among "those that are there"
            found.append(right.log.version(number))
    return tuple(found)


def _planned(pieces: Iterable[Piece], why: str) -> list[PlannedFile]:
    return [PlannedFile(piece.file.path, piece.file.size, piece.bytes, f"{why}, {_share(piece)}") for piece in pieces]


def _vectors(side: Side, pieces: Iterable[Piece]) -> list[PlannedFile]:
    """The files of the vectors that tell which rows of some pieces are read; each once."""
    if side.log is None:
        return []
    storage, sizes = side.log.storage, dict[str, dict[str, int]]()
    for piece in pieces:
        for vector in (piece.file.vector, piece.other):
            if vector is not None and vector.storage_type != "i":
                path = vector_path(vector, root=storage.uri, allowed=storage.allowed)
                sizes.setdefault(path, {})[vector.id] = vector.size + VECTOR_FRAME
    read = {path: sum(each.values()) for path, each in sizes.items()}
    return [PlannedFile(path, size, size, "vectors of the files above") for path, size in read.items()]


def _looked_up(files: Iterable[DataFile]) -> list[PlannedFile]:
    """Files in which the keys of changed rows are looked up, for a key that the table does not promise."""
    read = ((file, file.size if file.physical_rows is None else file.physical_rows * KEY_BYTES) for file in files)
    return [PlannedFile(file.path, file.size, min(file.size, size), "its keys, at most") for file, size in read]


def _share(piece: Piece) -> str:
    return "the whole file" if piece.positions is None else f"{plural(len(piece.positions))} of it"


def _cost(files: Sequence[PlannedFile]) -> int:
    return sum(file.bytes + OPENING for file in files)


def _minus(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one - other
