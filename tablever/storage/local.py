"""A table on a disk: get, list, put if absent, durable write.

Durable means: the bytes and the directory entry are synced before the call returns. On Linux that is ``fsync`` of
the file and of its directory.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
import time
import uuid
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby, takewhile
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, ClassVar, Self, cast

from tablever.delta.listing import LOG_FOLDER
from tablever.errors import StorageError
from tablever.fences import check_readable, check_regular, check_writable, open_in, open_regular, opened_folder
from tablever.storage.counted import CountedWriter
from tablever.storage.protocol import Stored, check_size

BUFFER_BYTES = 256 * 1024
TRIES = 10  # to link what is removed before it is linked
MOST_SYNCED = 10_000  # folders that are remembered
SYNCED_BY_NOW = 600  # seconds; Linux writes what is dirty after half a minute


@contextmanager
def storage_errors(doing: str) -> Iterator[None]:
    """Turn what the operating system refuses into a StorageError that says what was being done."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        hints = {
            errno.ENOSPC: "free some space and run it again: the table is as it was",
            errno.EROFS: "the file system is read-only",
            errno.EACCES: "check the permissions of the folder",
            errno.EPERM: "check the permissions of the folder",
            errno.EMFILE: "raise the limit of open files (ulimit -n)",
        }
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise StorageError(
            f"cannot {doing}: {reason}", hint=hints.get(error.errno or 0), reason=reason, errno=error.errno
        ) from error


@dataclass(frozen=True)
class LocalStorage:
    """One table's folder."""

    root: Path
    allowed: tuple[str, ...] = ()
    look_seconds: ClassVar[float] = 0.0

    @property
    def uri(self) -> str:
        """The folder, with forward slashes."""
        return self.root.as_posix()

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.root.name or str(self.root)

    @property
    def place(self) -> LocalPlace:
        """The folder among others."""
        return LocalPlace(self.root)

    def path(self, relative: str) -> Path:
        """Where an object lies on the disk."""
        return self.root / relative

    def location(self, relative: str) -> str:
        """The absolute path of an object; a path that is absolute stays what it is."""
        return relative if relative.startswith("/") else f"{self.root}/{relative}"

    def _opened(self, relative: str) -> io.FileIO:
        """An object, to be read. Raises FileNotFoundError, StorageError, UnsupportedFeatureError (a link out)."""
        return open_regular(self.location(relative), str(self.root), self.allowed)

    def _writable(self, relative: str) -> Path:
        """Where an object is to be written. Raises UnsupportedFeatureError where a link leads out of the table."""
        check_writable(f"{self.root}/{relative}", str(self.root))
        return self.root / relative

    def get(self, relative: str) -> bytes:
        """All bytes of an object, of at most MOST_BYTES. Raises as ``open``."""
        with storage_errors(f"read '{self.location(relative)}'"), self._opened(relative) as file:
            return self._whole(file, relative)

    def get_range(self, relative: str, start: int, length: int) -> bytes:
        """``length`` bytes from ``start``, fewer at the end. Raises as ``open``."""
        with storage_errors(f"read '{self.location(relative)}'"), self._opened(relative) as file:
            left = max(0, os.fstat(file.fileno()).st_size - start)
            if left:
                file.seek(start)
            return file.read(min(length, left))

    def get_many(self, relatives: Iterable[str]) -> Iterator[bytes]:
        """All bytes of each object, in order. Raises as ``get`` when it comes to one that cannot be read."""
        return self._in_turn(relatives, self._whole)

    def get_starts(self, relatives: Iterable[str], length: int) -> Iterator[bytes]:
        """The first ``length`` bytes of each object, fewer where it has no more, in order. Raises as ``get_many``."""
        return self._in_turn(relatives, lambda file, _: file.read(length))

    def _in_turn(self, relatives: Iterable[str], read: Callable[[io.FileIO, str], bytes]) -> Iterator[bytes]:
        """What is read of each object: half the system calls of one by one, for a thousand entries of a log."""
        for folder, names in groupby(relatives, lambda relative: relative.rpartition("/")[0]):
            with (
                storage_errors(f"read '{self.location(folder)}'"),
                opened_folder(self.location(folder), str(self.root)) as opened,
            ):
                for relative in names:
                    with storage_errors(f"read '{self.location(relative)}'"):
                        descriptor = None if opened is None else open_in(opened, relative.rpartition("/")[2])
                        with self._opened(relative) if descriptor is None else io.FileIO(descriptor, "r") as file:
                            data = read(file, relative)
                    yield data

    def _whole(self, file: io.FileIO, relative: str) -> bytes:
        check_size(os.fstat(file.fileno()).st_size, self.location(relative))
        return file.readall()

    def pieces(self, relative: str, size: int) -> Iterator[bytes]:
        """The bytes of an object, some at a time. Raises FileNotFoundError, StorageError."""
        with storage_errors(f"read '{self.location(relative)}'"), self._opened(relative) as file:
            while piece := file.read(size):
                yield piece

    def sha256(self, relative: str) -> str:
        """Of an object's bytes, in hex, a piece at a time. Raises FileNotFoundError, StorageError."""
        digest = hashlib.sha256()
        for piece in self.pieces(relative, BUFFER_BYTES):
            digest.update(piece)
        return digest.hexdigest()

    def exists(self, relative: str) -> bool:
        """Whether an object is there."""
        with storage_errors(f"look at '{self.path(relative)}'"):
            return self.path(relative).exists()

    def sizes(self, relatives: Sequence[str]) -> Sequence[int | None]:
        """The bytes of each object; None for one that is not there."""
        root, found, known = str(self.root), list[int | None](), set[str]()
        with storage_errors(f"look at files in '{root}'"):
            for relative in relatives:
                path = self.location(relative)
                folder = path.rpartition("/")[0]
                try:  # a tenth of the time of Path.stat, for thousands of files
                    there = os.lstat(path)
                    if folder not in known or stat.S_ISLNK(there.st_mode):
                        check_readable(path, root, self.allowed)
                        there = os.stat(path)  # noqa: PTH116
                        known.add(folder)
                except (FileNotFoundError, NotADirectoryError):
                    found.append(None)
                    continue
                check_regular(there, path)
                found.append(there.st_size)
        return found

    def modified(self, relative: str) -> float:
        """Seconds since 1970 at which the object was last changed. Raises FileNotFoundError."""
        with storage_errors(f"look at '{self.path(relative)}'"):
            return self.path(relative).stat().st_mtime

    def is_synced_by_now(self, relative: str) -> bool:
        """Whether neither an object nor its name changed for so long that the system has written it by itself.

        Not by the time that it was modified, which a copy may keep. Raises FileNotFoundError.
        """
        with storage_errors(f"look at '{self.path(relative)}'"):
            found = self.path(relative).stat()
        return time.time() - max(found.st_ctime, found.st_mtime) > SYNCED_BY_NOW

    def fingerprint(self, relative: str) -> tuple[int, ...] | None:
        """What tells an object from one that took its name later, without reading it; None where there is none."""
        path = f"{self.root}/{relative}"
        with storage_errors(f"look at '{path}'"):
            try:
                found = os.stat(path)  # noqa: PTH116 - asked at every look at the head
            except (FileNotFoundError, NotADirectoryError):
                return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def successive(self, relatives: Iterator[str]) -> Sequence[Hashable]:
        """The fingerprints of objects, up to the first that is not there."""
        return list(takewhile(lambda found: found is not None, map(self.fingerprint, relatives)))

    def set_modified(self, relative: str, seconds: float) -> None:
        """Set that time, for readers that take a version's time from its log file."""
        with storage_errors(f"set the time of '{self.path(relative)}'"):
            whole = round(seconds * 1_000_000) * 1_000  # as a float it would be cut a millisecond short
            os.utime(self.path(relative), ns=(whole, whole))

    def list(self, folder: str, start: str = "") -> list[str]:
        """Names (not paths) in a folder, sorted, from ``start`` on; empty where there is no such folder."""
        with storage_errors(f"list '{self.path(folder)}'"):
            try:
                return sorted(name for name in os.listdir(self.path(folder)) if name >= start)
            except (FileNotFoundError, NotADirectoryError):
                return []

    def walk(self) -> Iterator[Stored]:
        """Every object below the table's folder, in no order; not what lies in tables inside it, nor behind links."""
        with storage_errors(f"list '{self.root}'"):
            for folder, folders, names in os.walk(self.root, onerror=_raise):
                if folder != str(self.root) and LOG_FOLDER in folders:
                    folders.clear()
                    continue
                below = os.path.relpath(folder, self.root)
                for name in names:
                    try:
                        found = os.lstat(f"{folder}/{name}")
                    except FileNotFoundError:  # a writer's temporary file
                        continue
                    if stat.S_ISREG(found.st_mode):
                        path = name if below == "." else f"{below.replace(os.sep, '/')}/{name}"
                        changed = datetime.fromtimestamp(max(found.st_ctime, found.st_mtime), UTC)
                        yield Stored(path, found.st_size, changed, (found.st_dev, found.st_ino))

    def node(self, relative: str) -> tuple[int, ...] | None:
        """What all names of one object have in common; None where there is none."""
        found = self.fingerprint(relative)
        return None if found is None else found[:2]

    def open(self, relative: str) -> BinaryIO:
        """A file for random reading. Raises FileNotFoundError, StorageError, UnsupportedFeatureError (a link out)."""
        with storage_errors(f"read '{self.location(relative)}'"):
            return io.BufferedReader(self._opened(relative))

    def arrow_source(self, relative: str, size: int | None = None) -> str:  # noqa: ARG002
        """The absolute path: Arrow reads disks faster by itself. Raises FileNotFoundError, StorageError (a pipe)."""
        path = self.location(relative)
        with storage_errors(f"read '{path}'"):
            check_regular(os.stat(path), path)  # noqa: PTH116 - Arrow would wait for a pipe's other end
        return path

    def polars_options(self) -> dict[str, Any]:
        """None."""
        return {}

    def deltalake_options(self) -> None:
        """None."""

    def words(self, error: BaseException) -> str:
        """All of it."""
        return str(error)

    def cause(self, error: BaseException) -> BaseException:
        """Itself."""
        return error

    def duckdb_location(self, relative: str) -> str:
        """The absolute path."""
        return self.location(relative)

    @property
    def duckdb_root(self) -> str:
        """Nothing: it reads files."""
        return ""

    def duckdb_filesystem(self) -> None:
        """None: DuckDB reads disks by itself."""

    def put_if_absent(self, relative: str, data: bytes) -> bool:
        """Create an object durably, whole or not at all; False where one of that name is there already.

        The bytes are synced under a temporary name, then linked to the final one: ``link(2)`` fails where the
        name exists, so of two writers exactly one succeeds.
        """
        target = self._writable(relative)
        with storage_errors(f"write '{target}'"):
            for _ in range(TRIES):
                with suppress(FileNotFoundError):  # a vacuum took the temporary file for a dead writer's: write another
                    make_folder(target.parent, self.root)
                    return _linked(target, data)
        raise _removed(target)

    def put(self, relative: str, data: bytes) -> None:
        """Write an object durably under a name that nobody else uses."""
        with self.create(relative) as file:
            file.write(data)

    def create(self, relative: str) -> DurableFile:
        """Open a new object for writing; it is synced when its ``with`` block ends, removed if that fails."""
        path = self._writable(relative)
        with storage_errors(f"write '{path}'"):
            try:
                make_folder(path.parent, self.root)
            except FileNotFoundError as error:
                raise _removed(path) from error
        return DurableFile(path)

    def missing_folders(self) -> tuple[Path, ...]:
        """The table's folder and those above it, as far as they do not exist; the innermost first."""
        return tuple(folder for folder in (self.root, *self.root.parents) if not folder.exists())

    def remove_empty_folders(self, made: Sequence[Path]) -> None:
        """Remove folders that were made for the table, and those in it, as far as they hold nothing."""
        inside = sorted((path for path in self.root.rglob("*") if path.is_dir()), reverse=True) if made else []
        for folder in (*inside, *made):
            with suppress(OSError):
                folder.rmdir()

    def sync(self, relative: str) -> None:
        """Make durable what another library wrote: the object, its folder's entry, and the folders it lies in."""
        path = self.path(relative)
        with storage_errors(f"sync '{path}'"):
            with path.open("rb") as file:
                os.fsync(file.fileno())
            sync_folder(path.parent)
            make_folder(path.parent, self.root)

    def move(self, relative: str, target: str, data: bytes | None = None) -> bool:
        """Give an object another name, durably; False where an object has that one already, or there is none to move.

        With ``data``, an object of other bytes is not moved either. Dying in between leaves it under both.
        """
        source, place = self._writable(relative), self._writable(target)
        if data is not None and not self._holds(relative, data):
            return False
        with storage_errors(f"move '{source}' to '{place}'"):
            make_folder(place.parent, self.root)
            try:
                os.link(source, place)
            except (FileExistsError, FileNotFoundError):
                return False
            sync_folder(place.parent)
            source.unlink()
            sync_folder(source.parent)
        return True

    def _holds(self, relative: str, data: bytes) -> bool:
        try:
            return self.get(relative) == data
        except FileNotFoundError:
            return False

    @contextmanager
    def alone(self, folder: str) -> Iterator[None]:
        """Wait until nobody else is in such a block for the folder, and keep others waiting; a death ends it."""
        with ExitStack() as held:
            with storage_errors(f"lock '{self.path(folder)}'"):
                if os.name != "nt":  # there, nobody is kept waiting
                    import fcntl

                    descriptor = os.open(self.path(folder), os.O_RDONLY)
                    held.callback(os.close, descriptor)
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield

    def remove(self, relative: str) -> None:
        """Remove an object that may be gone already."""
        with storage_errors(f"remove '{self.path(relative)}'"):
            self._writable(relative).unlink(missing_ok=True)

    def remove_many(self, relatives: Sequence[str]) -> None:
        """Remove objects that may be gone already, in their order."""
        for relative in relatives:
            self.remove(relative)


@dataclass(frozen=True)
class LocalPlace:
    """A folder in which tables may lie."""

    path: Path
    is_link: bool = False

    @property
    def uri(self) -> str:
        """The absolute path."""
        return str(self.path)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    def kind(self) -> str | None:
        """``folder``, ``file``, or None where there is nothing."""
        with storage_errors(f"look at '{self.path}'"):
            if self.path.is_dir():
                return "folder"
            return "file" if self.path.exists() else None

    def is_table(self) -> bool:
        """Whether there is a Delta log in it."""
        with storage_errors(f"look at '{self.path}'"):
            return (self.path / LOG_FOLDER).is_dir()

    def child(self, name: str) -> LocalPlace:
        """What lies in it under a name."""
        return LocalPlace(self.path / name)

    def folders(self) -> Iterator[LocalPlace]:
        """The folders in it, but those whose names begin with ``.`` or ``_``; none of one that cannot be read."""
        try:
            with os.scandir(self.path) as entries:
                found = [entry for entry in entries if entry.name[:1] not in (".", "_") and entry.is_dir()]
        except (PermissionError, FileNotFoundError, NotADirectoryError):
            return
        for entry in found:
            yield LocalPlace(Path(entry.path), entry.is_symlink())

    def parents(self) -> Iterator[LocalPlace]:
        """The folders around it, innermost first."""
        return map(LocalPlace, self.path.parents)

    def storage(self) -> LocalStorage:
        """The storage of the table in it."""
        return LocalStorage(self.path)


class DurableFile(CountedWriter):
    """A file being written: counts and hashes its bytes, syncs file and folder at the end.

    After the ``with`` block: ``size`` in bytes and ``sha256`` in hex.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def __enter__(self) -> Self:
        with storage_errors(f"write '{self.path}'"):
            try:
                self._raw = self.path.open("xb", buffering=0)
            except FileNotFoundError as error:
                raise _removed(self.path) from error
            self._file = io.BufferedWriter(self._raw, BUFFER_BYTES)
        return self

    def _send(self, data: bytes) -> None:
        with storage_errors(f"write '{self.path}'"):
            self._file.write(data)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closed = True
        synced = False
        try:
            with storage_errors(f"write '{self.path}'"):
                if kind is None:
                    self._file.flush()
                    os.fsync(self._raw.fileno())
                self._raw.close()
                synced = kind is None
        finally:
            if not synced:
                with suppress(OSError):  # not the buffer: what a full disk refused once is not tried again
                    self._raw.close()
                _remove_if_possible(self.path)
        if synced:
            with storage_errors(f"write '{self.path}'"):
                sync_folder(self.path.parent)


@contextmanager
def whole_file(name: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file anywhere that takes its name when its ``with`` block ends: one that fails leaves what was there.

    Raises:
        StorageError: there is no such folder, a folder has the name, or the disk refuses.
    """
    path = Path(name)
    parent = path.absolute().parent
    if path.is_dir():
        raise StorageError(f"cannot write '{path}': it is a folder", hint="give a file's name", file=str(path))
    if not parent.is_dir():
        raise StorageError(f"cannot write '{path}': there is no folder '{parent}'", file=str(path))
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with DurableFile(temporary) as file:
            yield cast(BinaryIO, file)  # as much of one as writers ask for
        with storage_errors(f"write '{path}'"):
            temporary.replace(path)
            sync_folder(parent)
    finally:
        _remove_if_possible(temporary)


def _remove_if_possible(leftover: Path) -> None:
    """Why something was given up is what the caller must hear; what cannot be removed now, a vacuum finds."""
    with suppress(OSError):
        leftover.unlink(missing_ok=True)


def _linked(target: Path, data: bytes) -> bool:
    """Give a new file of these bytes a name, durably; False where the name is taken.

    Raises FileNotFoundError where the folder, or the file before it had its name, was removed meanwhile; StorageError
    where what has the name is nothing.
    """
    temporary = target.with_name(f".{uuid.uuid4().hex}.tmp")  # not the target's name, which may be long
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, target)
        except FileExistsError:
            if temporary.stat().st_nlink > 1:  # it has the name: NFS asked twice, and tells what came of the second
                sync_folder(target.parent)
                return True
            if target.is_symlink() and not target.exists():  # no reader finds anything there, and no writer comes past
                raise StorageError(
                    f"cannot write '{target}': a link that leads nowhere has that name",
                    hint="remove the link",
                    file=str(target),
                ) from None
            return False
    finally:
        _remove_if_possible(temporary)
    sync_folder(target.parent)
    return True


def _raise(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _removed(path: Path) -> StorageError:
    return StorageError(
        f"cannot write '{path}': what was written, or its folder, was removed while it was written",
        hint="was the table dropped, or does something remove files as they are written?",
        file=str(path),
    )


def make_folder(folder: Path, table: Path) -> None:
    """Have a folder, and those above it, durably.

    One of the table that is there may have been made by a writer that died before it synced the folder around it. So
    up to the table's own, the folder around each is synced, unless no name in it has changed since this process did so.
    """
    if not folder.exists():
        make_folder(folder.parent, table)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)
    elif folder == table:
        around = Path(os.path.realpath(table)).parent  # the table may be named by a link
        with suppress(PermissionError):  # a folder that may not be read cannot be synced
            _sync_changed(around)
    elif folder.is_relative_to(table):
        make_folder(folder.parent, table)
        _sync_changed(folder.parent)


_synced: dict[str, tuple[int, int, int]] = {}  # the state of folders in which all names are on the disk


def _state(folder: int | Path) -> tuple[int, int, int]:
    found = os.stat(folder)  # noqa: PTH116 - of an open one, too
    return found.st_dev, found.st_ino, found.st_mtime_ns


def _sync_changed(folder: Path) -> None:
    if _synced.get(str(folder)) != _state(folder):
        sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Sync a directory's entries. Windows has no such call and needs none: its journal orders the entries."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        before = _state(descriptor)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if len(_synced) >= MOST_SYNCED:
        _synced.clear()
    _synced[str(folder)] = before
