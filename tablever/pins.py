"""Pins: reasons to keep a version that has neither a tag nor a run."""

from __future__ import annotations

from tablever import witness_files, witnesses
from tablever.authorship import check_text, default_author
from tablever.errors import InvalidInputError, NotFoundError
from tablever.log import TableLike, open_log
from tablever.model import Pin
from tablever.refs import Ref


def pin(table: TableLike, ref: Ref, *, reason: str, author: str | None = None) -> Pin:
    """Keep a version, whatever the table's retention says, until it is unpinned. Several pins of one are several.

    Raises:
        InvalidInputError: there is no reason given; RefError: ``ref`` is no ref.
        VersionNotFoundError, VersionVacuumedError, TagNotFoundError: there is no such version.
        CorruptionError, UnsupportedFeatureError, StorageError: the table cannot be read right, or not written.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}])
        >>> pin(table, 0, reason="the auditors' copy").version
        0
    """
    log = open_log(table)
    check_text("reason", reason)
    check_text("author", author)
    if not reason:
        raise InvalidInputError("a pin needs a reason: who comes later must know when it may go")
    number = log.resolve(ref)
    values = witnesses.attest(log, number, author or default_author())
    while not witnesses.put(log, path := witness_files.new_pin_path(number), {**values, "reason": reason}):
        pass  # the name was taken: as likely as two equal random numbers
    with witness_files.made(path):
        return witness_files.read_pin(log.storage, path)


def list_pins(table: TableLike) -> list[Pin]:
    """The pins, by version, then by time.

    Raises:
        TableNotFoundError: no table there.
        CorruptionError: a pin is damaged, or remembers a version that is not in the log; ``file`` names it.
        UnsupportedFeatureError, StorageError: a pin cannot be read.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}])
        >>> _ = pin(table, 0, reason="the auditors' copy")
        >>> [(each.version, each.reason) for each in list_pins(table)]
        [(0, "the auditors' copy")]
    """
    log = open_log(table)
    pins = witness_files.read_pins(log.storage)
    witnesses.confirm_all(log, pins)
    return pins


def unpin(table: TableLike, ref: Ref, *, reason: str | None = None, author: str | None = None) -> list[Pin]:
    """Take away all pins of a version, and return what they were. A record of who did it stays.

    Raises:
        NotFoundError: the version has no pin.
        RefError, VersionNotFoundError, TagNotFoundError: ``ref`` names no version.
        CorruptionError, UnsupportedFeatureError, StorageError: a pin cannot be read or not written.

    Example:
        >>> table = create_table(folder / "reviews", [{"id": 1, "stars": 5}])
        >>> _ = pin(table, 0, reason="the auditors' copy")
        >>> [each.reason for each in unpin(table, 0)]
        ["the auditors' copy"]
    """
    log = open_log(table)
    check_text("reason", reason)
    check_text("author", author)
    number = witnesses.named_version(log, ref)
    pins = witness_files.read_pins(log.storage, number)
    by = author or default_author()
    taken = [each for each in pins if witnesses.take_away(log, each.object, by, reason)]
    if not taken:
        raise NotFoundError(
            f"version {number} of '{log.name}' has no pin", hint=f"tablever pins {log.name}", version=number
        )
    return taken
