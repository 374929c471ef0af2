"""What the rest of tablever asks of the place where a table's objects lie, be it a folder or a bucket.

Paths are relative to the table, with forward slashes, not percent-encoded. What only a disk has (times that can be
set, folders that can be empty, links) does nothing elsewhere.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, BinaryIO, Protocol, Self

from tablever.errors import StorageError

MOST_BYTES = 1 << 28  # of an object that is read whole: a log entry of half a million files


def check_size(size: int, location: str) -> None:
    """Raises StorageError for an object that is too large to be read whole."""
    if not can_be_read_whole(size):
        raise StorageError(
            f"cannot read '{location}' whole: it has {size:,} bytes, more than any log needs", file=location, size=size
        )


def can_be_read_whole(size: int) -> bool:
    """Whether an object of so many bytes is no larger than what ``get`` reads: a larger one had better not be put."""
    return size <= MOST_BYTES


@dataclass(frozen=True)
class Stored:
    """An object: its path relative to the table, and its bytes.

    Attributes:
        changed: when its bytes or its name last changed (aware, UTC), by the storage's own clock: a copy is new,
            though it was given its original's times.
        node: what all names of one object have in common.
    """

    path: str
    size: int
    changed: datetime
    node: Hashable


class NewObject(Protocol):
    """An object being written: durable, under its name, when its ``with`` block ends; not there if that fails.

    Attributes:
        size: bytes written so far.
        sha256: of the bytes written so far, in hex.
        closed: whether the block has ended.
    """

    size: int
    closed: bool

    @property
    def sha256(self) -> str:
        """Of the bytes written so far, in hex."""

    def write(self, data: bytes) -> int:
        """Write all of some bytes; their number."""

    def tell(self) -> int:
        """Bytes written so far."""

    def flush(self) -> None:
        """Nothing: the end of the block is what counts."""

    def close(self) -> None:
        """Nothing either."""

    def writable(self) -> bool:
        """True."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Place(Protocol):
    """A folder, or a prefix in a bucket, in which tables may lie; it need not exist."""

    @property
    def uri(self) -> str:
        """What names it: an absolute path, or a URI."""

    @property
    def name(self) -> str:
        """The last part of that."""

    def kind(self) -> str | None:
        """``folder``, ``file``, or None where there is nothing."""

    def is_table(self) -> bool:
        """Whether there is a Delta log in it."""

    def child(self, name: str) -> Self:
        """What lies in it under a name."""

    def folders(self) -> Iterator[Self]:
        """The folders in it, but those whose names begin with ``.`` or ``_``."""

    def parents(self) -> Iterator[Self]:
        """The folders around it, innermost first."""

    @property
    def is_link(self) -> bool:
        """Whether it is another name of a folder: one does not look into it for more tables."""

    def storage(self) -> Storage:
        """The storage of the table in it."""


class Storage(Protocol):
    """Where one table's objects lie. Equal storages are the same place, reached in the same way; they can be pickled.

    What cannot be done raises StorageError, which says what it was; what is not there, FileNotFoundError.
    """

    def __hash__(self) -> int: ...

    @property
    def uri(self) -> str:
        """The table's place, without a slash at its end: what absolute paths in its log begin with."""

    @property
    def name(self) -> str:
        """The table's name, for messages."""

    @property
    def place(self) -> Place:
        """The table's place among others."""

    def location(self, path: str) -> str:
        """What names an object for people, and for Polars."""

    @property
    def allowed(self) -> tuple[str, ...]:
        """Folders elsewhere, by absolute paths, whose files may be read; nothing is ever written there."""

    @property
    def look_seconds(self) -> float:
        """How long what was seen of the head may be relied on for versions that were there: a look costs that much."""

    # -- reading

    def get(self, path: str) -> bytes:
        """All bytes of an object. Raises FileNotFoundError, StorageError."""

    def get_many(self, paths: Iterable[str]) -> Iterator[bytes]:
        """All bytes of each object, in order; raises as ``get`` when it comes to one that cannot be read."""

    def get_range(self, path: str, start: int, length: int) -> bytes:
        """``length`` bytes from ``start``, fewer at the object's end. Raises FileNotFoundError, StorageError."""

    def get_starts(self, paths: Iterable[str], length: int) -> Iterator[bytes]:
        """The first ``length`` bytes of each object, fewer where it has no more, in order; raises as ``get_many``."""

    def pieces(self, path: str, size: int) -> Iterator[bytes]:
        """The bytes of an object, some ``size`` at a time. Raises FileNotFoundError, StorageError."""

    def sha256(self, path: str) -> str:
        """Of an object's bytes, in hex, a piece at a time. Raises FileNotFoundError, StorageError."""

    def exists(self, path: str) -> bool:
        """Whether an object is there."""

    def sizes(self, paths: Sequence[str]) -> Sequence[int | None]:
        """The bytes of each object; None for one that is not there."""

    def modified(self, path: str) -> float:
        """Seconds since 1970 at which the object was last changed. Raises FileNotFoundError."""

    def is_synced_by_now(self, path: str) -> bool:
        """Whether an object has been as it is for so long that it is durable, whoever wrote it.

        Raises FileNotFoundError.
        """

    def fingerprint(self, path: str) -> Hashable:
        """What tells an object from one that took its name later, without reading it; None where there is none."""

    def successive(self, paths: Iterator[str]) -> Sequence[Hashable]:
        """The fingerprints of objects in one folder, at ascending paths, up to the first that is not there."""

    def list(self, folder: str, start: str = "") -> list[str]:
        """Names (not paths) in a folder, sorted, from ``start`` on; empty where there is no such folder."""

    def walk(self) -> Iterator[Stored]:
        """Every object below the table's place, in no order; not what lies in tables inside it, nor behind links."""

    def node(self, path: str) -> Hashable:
        """What all names of one object have in common; None where there is none."""

    # -- how engines reach objects

    def open(self, path: str) -> BinaryIO:
        """An object for random reading. Raises FileNotFoundError, StorageError."""

    def arrow_source(self, path: str, size: int | None = None) -> Any:
        """What pyarrow opens to read an object, whose bytes may be known."""

    def polars_options(self) -> Mapping[str, Any]:
        """What Polars must be told to scan ``location``."""

    def deltalake_options(self) -> dict[str, str] | None:
        """What deltalake must be told to open ``uri``."""

    def words(self, error: BaseException) -> str:
        """What an engine said that read objects by itself, without what must not be shown."""

    def cause(self, error: BaseException) -> BaseException | None:
        """The same as the cause of an error of ours; None where its words must not be shown."""

    def duckdb_location(self, path: str) -> str:
        """What names an object for DuckDB, in a ``duckdb_filesystem`` where there is one."""

    @property
    def duckdb_root(self) -> str:
        """What a session of DuckDB must be allowed, beside the table's folder, to read it; empty where nothing."""

    def duckdb_filesystem(self) -> Any:
        """The fsspec file system through which DuckDB reads; None where it needs none."""

    # -- writing

    def put_if_absent(self, path: str, data: bytes) -> bool:
        """Create an object durably, whole or not at all; False where another of that name is there already.

        Raises StorageError; its fact ``unsure`` is true where nobody can say whether the object is there, or will be.
        """

    def put(self, path: str, data: bytes) -> None:
        """Write an object durably under a name that nobody else uses."""

    def create(self, path: str) -> NewObject:
        """Open a new object for writing."""

    def move(self, path: str, target: str, data: bytes | None = None) -> bool:
        """Give an object another name, durably; False where an object has that one already, or there is none to move.

        With ``data``, an object of other bytes is not moved either; in an object store, where another may take its name
        at any moment, as far as a look just before it is removed can tell. Dying in between leaves it under both.
        """

    def alone(self, folder: str) -> AbstractContextManager[None]:
        """Wait until no other process is in such a block for the folder, and keep others waiting; a death ends it.

        Where nothing like that can be had, as in object stores, it is no hindrance.
        """

    def remove(self, path: str) -> None:
        """Remove an object that may be gone already."""

    def remove_many(self, paths: Sequence[str]) -> None:
        """Remove objects that may be gone already; raises where it comes to one that cannot be removed."""

    # -- what only a disk has

    def set_modified(self, path: str, seconds: float) -> None:
        """Set that time, for readers that take a version's time from its log file."""

    def sync(self, path: str) -> None:
        """Make durable what another library wrote."""

    def missing_folders(self) -> tuple[Any, ...]:
        """The folders that making the table will make."""

    def remove_empty_folders(self, made: Sequence[Any]) -> None:
        """Remove folders that were made for the table, and those in it, as far as they hold nothing."""
