"""Which versions are remembered from outside the log, and by what; how a new witness is made and taken away.

Making one and deleting a version can meet: a vacuum commits what it will remove and then lists the witnesses again; a
maker puts its object and then looks whether its version is lost. In every order the files stay or the maker is told,
or both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from tablever import witness_files
from tablever.delta.actions import decode_path
from tablever.errors import StorageError, VersionVacuumedError
from tablever.json_values import instant_text
from tablever.log import Log
from tablever.model import Witness
from tablever.refs import Number, Ref, parse_ref


def witnessed(log: Log) -> Mapping[int, tuple[Witness, ...]]:
    """The versions that tags, runs or pins remember, ascending, each with what remembers it: tags, runs, pins.

    One listing a folder, and each object once.

    Raises:
        CorruptionError, UnsupportedFeatureError: one of them cannot be read, or remembers another history.
        StorageError: the disk refused.
    """
    storage = log.storage
    found: dict[int, list[Witness]] = defaultdict(list)
    for witness in (
        *witness_files.read_tags(storage),
        *witness_files.read_runs(storage),
        *witness_files.read_pins(storage),
    ):
        found[witness.version].append(witness)
    for witnesses in found.values():
        confirm_all(log, witnesses)
    return {version: tuple(found[version]) for version in sorted(found)}


def confirm_all(log: Log, witnesses: Iterable[Witness]) -> None:
    """Check that each remembers a version of this log; one whose entry another tool removed is passed over.

    Raises:
        CorruptionError: the log was rolled back, or the witness is of another.
    """
    hashes: dict[int, str] = {}
    for witness in witnesses:
        if hashes.get(witness.version) != witness.commit_hash:
            with suppress(VersionVacuumedError):
                log.confirm(witness)
                hashes[witness.version] = witness.commit_hash


def attest(log: Log, number: int, author: str) -> dict[str, Any]:
    """What every witness says of its version.

    Raises:
        VersionNotFoundError: there is no such version.
        VersionVacuumedError: it cannot be read any more.
        CorruptionError, UnsupportedFeatureError: it cannot be read right.
    """
    _check_there(log, number)
    version = log.version(number)
    snapshot = log.snapshot(number)
    if not version.commit_hash:
        raise VersionVacuumedError(
            f"version {number} of '{log.name}' cannot be named: its log entry, and so its commit hash, is gone",
            version=number,
        )
    return {
        "tableId": snapshot.metadata.id,
        "version": number,
        "commitHash": version.commit_hash,
        "contentHash": version.content_hash,
        "author": author,
        "time": instant_text(datetime.now(UTC)),
    }


def put(log: Log, path: str, values: Mapping[str, Any]) -> bool:
    """Put a witness made of ``attest``'s and its own values; False where one of that name is there.

    Raises:
        VersionVacuumedError: the version was removed meanwhile; the witness is taken away again.
        StorageError: the disk refused; where the witness was made, its fact ``made`` is its path.
    """
    if not witness_files.put(log.storage, path, values):
        return False
    try:
        with witness_files.made(path, "whether its version is still there could not be looked at"):
            _check_there(log, values["version"])
    except VersionVacuumedError as gone:
        try:
            take_away(log, path, values["author"], "its version was removed while this was made")
        except StorageError as error:
            raise StorageError(
                f"'{path}' was made, its version was removed meanwhile, and it could not be taken away again: {error}",
                hint="take it away: what it names cannot be read",
                made=path,
                reason=error.facts.get("reason"),
            ) from gone
        raise
    return True


def _check_there(log: Log, number: int) -> None:
    """Raises VersionVacuumedError where a vacuum of ours has recorded the version, or another tool took some of it."""
    from tablever.delta import vectors  # with bitmaps, for whoever only asks what is remembered

    log.check_kept(number)
    log.entry_data(number)
    storage, paths = log.storage, list[str]()
    for file in log.snapshot(number).files:
        paths.append(decode_path(file.path, root=storage.uri, allowed=storage.allowed))
        if file.vector is not None and file.vector.storage_type != "i":
            paths.append(vectors.vector_path(file.vector, root=storage.uri, allowed=storage.allowed))
    for path, size in zip(paths, storage.sizes(paths), strict=True):
        if size is None:
            raise log.lost(number, path)


def take_away(log: Log, path: str, author: str, reason: str | None) -> bool:
    """Record that the witness at a path counts no more; False where that was recorded before. Its object stays.

    Raises:
        CorruptionError: there is such a record, and it is damaged.
    """
    values = {"author": author, "time": instant_text(datetime.now(UTC)), "reason": reason}
    if witness_files.put(log.storage, witness_files.deleted_path(path), values):
        return True
    witness_files.read_deletion(log.storage, path)
    return False


def named_version(log: Log, ref: Ref) -> int:
    """The version that a ref names; a number as it is, also past the end of a log that was rolled back."""
    parsed = parse_ref(ref)
    return parsed.number if isinstance(parsed, Number) else log.resolve(ref)
