"""The versions of a table: listed, and named by a ref."""

from __future__ import annotations

from tablever.log import TableLike, open_log
from tablever.model import Version
from tablever.refs import Ref


def list_versions(table: TableLike) -> list[Version]:
    """The versions whose log entries are there, oldest first.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}])
        >>> [version.operation for version in list_versions(table)]
        ['create']
    """
    return open_log(table).versions()


def resolve_version(table: TableLike, ref: Ref = "latest") -> Version:
    """The version that a ref names.

    Raises:
        RefError: the text is no ref.
        VersionNotFoundError, TagNotFoundError, VersionVacuumedError: it names no version of this table.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}])
        >>> resolve_version(table, "latest").number
        0
    """
    log = open_log(table)
    return log.version(log.resolve(ref))
