"""Tags: names of versions, each for one version and for ever."""

from __future__ import annotations

from tablever import witness_files, witnesses
from tablever.authorship import check_text, default_author
from tablever.errors import AlreadyExistsError
from tablever.log import Log, TableLike, open_log
from tablever.model import Tag
from tablever.refs import Ref, check_tag_name


def tag(
    table: TableLike, name: str, ref: Ref = "latest", *, message: str | None = None, author: str | None = None
) -> Tag:
    """Give a version a name; from then on the name is a ref. It cannot be moved, and of two who make it, one does.

    Args:
        name: a letter, then letters, digits and ``. _ / -``, at most 80 characters; upper and lower case differ.
        message: why.
        author: who; git's user or the system's by default.

    Raises:
        RefError: the name could be read as another ref, or ``ref`` is none.
        AlreadyExistsError: the name is in use, or was: a deleted tag's name is never used again.
        VersionNotFoundError, VersionVacuumedError, TagNotFoundError: there is no such version to name.
        CorruptionError, UnsupportedFeatureError, StorageError: the table cannot be read right, or not written.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}])
        >>> tag(table, "v1.0", message="what we trained on").version
        0
        >>> read_version(table, "v1.0").num_rows
        1
    """
    log = open_log(table)
    path = witness_files.tag_path(check_tag_name(name))
    check_text("message", message)
    check_text("author", author)
    _check_free(log, name, path)
    values = witnesses.attest(log, log.resolve(ref), author or default_author())
    if not witnesses.put(log, path, {**values, "name": name, "message": message}):
        _check_free(log, name, path)
        return witness_files.read_tag(log.storage, path)
    with witness_files.made(path):
        return witness_files.read_tag(log.storage, path)


def list_tags(table: TableLike) -> list[Tag]:
    """The tags that were not deleted, by version, then by name.

    Raises:
        TableNotFoundError: no table there.
        CorruptionError: a tag is damaged, or remembers a version that is not in the log; ``file`` names it.
        UnsupportedFeatureError, StorageError: a tag cannot be read.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}])
        >>> _ = tag(table, "v1.0")
        >>> [(each.name, each.version) for each in list_tags(table)]
        [('v1.0', 0)]
    """
    log = open_log(table)
    tags = witness_files.read_tags(log.storage)
    witnesses.confirm_all(log, tags)
    return tags


def delete_tag(table: TableLike, name: str, *, reason: str | None = None, author: str | None = None) -> Tag:
    """Delete a tag, and return what it was. A record of who did it stays, and the name is never used again.

    Raises:
        RefError: no tag can have that name.
        TagNotFoundError: there is none, or it was deleted before.
        CorruptionError, UnsupportedFeatureError, StorageError: it cannot be read or not written.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}])
        >>> _ = tag(table, "v1.0")
        >>> delete_tag(table, "v1.0", reason="made by mistake").name
        'v1.0'
        >>> list_tags(table)
        []
    """
    log = open_log(table)
    check_text("reason", reason)
    check_text("author", author)
    found = log.tag(check_tag_name(name))
    if not witnesses.take_away(log, found.object, author or default_author(), reason):
        log.tag(name)
    return found


def _check_free(log: Log, name: str, path: str) -> None:
    deletion = witness_files.deletion_of(log.storage, path)
    number: int | None = None
    try:
        number = witness_files.read_tag(log.storage, path).version
    except FileNotFoundError:
        if deletion is None:
            witness_files.read_deletion(log.storage, path)  # one that is damaged leaves open whether the name is free
            return
    raise AlreadyExistsError(
        f"tag '{name}' of '{log.name}' {deletion.words if deletion else f'is version {number} already'}",
        hint="a tag is never moved, and a deleted one's name never used again: take another name",
        tag=name,
        version=number,
    )
