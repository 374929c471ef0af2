"""What every write takes besides its rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict, cast

from tablever.authorship import check_text
from tablever.commit import Content, Record
from tablever.errors import InvalidInputError
from tablever.log import Log
from tablever.refs import Ref


class RecordOptions(TypedDict, total=False):
    """Keywords of every commit.

    Attributes:
        message: why; shown in the log.
        author: who; git's user or the system's by default.
        metadata: JSON values kept with the version.
        if_version: refuse with ConflictError unless this is the head.
    """

    message: str | None
    author: str | None
    metadata: Mapping[str, Any] | None
    if_version: Ref | None


class CommitOptions(RecordOptions, total=False):
    """Keywords of every write that may be a load: those of every commit, and its batch.

    Attributes:
        batch_id: names the load: the same batch with the same content again returns the first load's Version and
            commits nothing; with other content it is refused.
    """

    batch_id: str | None


def _resolved(log: Log, ref: Ref | None) -> int | None:
    return None if ref is None else log.resolve(ref)


def record(log: Log, options: CommitOptions | RecordOptions, content: Content | None = None) -> Record:
    """The options as a Record; ``content`` tells one batch's content from another's. Without, it is no load."""
    known = RecordOptions if content is None else CommitOptions
    unknown = options.keys() - known.__annotations__.keys()
    if unknown:  # what Python says of a keyword that a function does not have
        raise TypeError(f"got an unexpected keyword argument '{min(unknown)}'")
    for name in ("message", "author", "batch_id"):
        check_text(name, options.get(name))
    wanted = options.get("if_version")
    batch = cast(CommitOptions, options).get("batch_id")
    if batch == "":
        raise InvalidInputError("batch_id must not be empty")
    return Record(
        message=options.get("message"),
        author=options.get("author"),
        metadata=options.get("metadata") or {},
        # A number past the head is a head that has moved (back), not a version that is not found.
        if_version=wanted if isinstance(wanted, int) and wanted > 0 and wanted is not True else _resolved(log, wanted),
        batch_id=batch,
        batch_content=content,
    )
