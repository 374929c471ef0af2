"""Where a table's files may lie: in its own folder, and to be read alone, in folders that its user allows.

Tables are made by others. Neither a path in a log nor a link in a folder makes a reader open, or a writer touch, what
lies elsewhere. A file is judged by where it really lies once it is open; what is written, by its folder.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache

from tablever.errors import InvalidInputError, StorageError, UnsupportedFeatureError

OUTSIDE = "paths outside the table"
_allowed_here: ContextVar[tuple[str, ...]] = ContextVar("allowed folders", default=())
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def checked_folders(folders: Sequence[str | os.PathLike[str]]) -> tuple[str, ...]:
    """Folders that a user allows, absolute. Raises InvalidInputError where one is none, or a text stands for a list."""
    if isinstance(folders, str | os.PathLike):
        raise InvalidInputError(
            "allow_folders must be a list of folders", hint=f"allow_folders=['{os.fspath(folders)}']"
        )
    for folder in folders:
        if not os.path.isdir(folder):  # noqa: PTH112
            raise InvalidInputError(f"allow_folders names '{os.fspath(folder)}', which is no folder")
    return tuple(os.path.abspath(folder) for folder in folders)  # noqa: PTH100


@contextmanager
def allowing(folders: Sequence[str | os.PathLike[str]]) -> Iterator[None]:
    """Allow folders to every table that is opened by its name meanwhile: what a user says once, in a shell.

    Raises InvalidInputError as ``checked_folders``.
    """
    token = _allowed_here.set(checked_folders(folders))
    try:
        yield
    finally:
        _allowed_here.reset(token)


def allowed_here() -> tuple[str, ...]:
    """The folders of the ``allowing`` around the caller."""
    return _allowed_here.get()


def outside(path: str, why: str = "the log names a file") -> UnsupportedFeatureError:
    """The error for what lies where the table may not reach."""
    folder = path.rpartition("/")[0] or "/"
    return UnsupportedFeatureError(
        f"{why} outside the table's folder: '{path}'",
        hint=f"if it is yours to read, allow its folder: open_table(…, allow_folders=['{folder}'])",
        feature=OUTSIDE,
        path=path,
    )


def lies_in(path: str, folders: Sequence[str]) -> bool:
    """Whether an absolute path is below one of some folders, by its text alone."""
    return any(path.startswith(folder.rstrip("/") + "/") for folder in folders)


def check_readable(path: str, root: str, allowed: Sequence[str]) -> None:
    """Raise UnsupportedFeatureError where a path leads, through links, out of the table and of what is allowed."""
    _check(os.path.realpath(path), path, root, allowed)


def check_writable(path: str, root: str) -> None:
    """Raise UnsupportedFeatureError where a new file's folder does not lie in the table's, whatever is allowed."""
    folder = os.path.realpath(os.path.dirname(path))  # noqa: PTH120 - what is not there yet has a place, too
    if not lies_in(folder + "/", [os.path.realpath(root)]):
        raise UnsupportedFeatureError(
            f"cannot write '{path}': a link leads out of the table's folder, to '{folder}'",
            hint="a table is written in its own folder only: replace the link by a folder",
            feature=OUTSIDE,
            path=path,
        )


def open_regular(path: str, root: str, allowed: Sequence[str] = ()) -> io.FileIO:
    """Open a file to read it, once it is a regular one, in the table or where it is allowed.

    Raises:
        UnsupportedFeatureError: it lies elsewhere. StorageError: it is a pipe or a device, which could block for ever.
        OSError: as ``open``.
    """
    descriptor = os.open(path, _FLAGS)
    try:
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        check_regular(found, path)
        _check(_opened_path(descriptor, path), path, root, allowed)
    except BaseException:
        os.close(descriptor)
        raise
    return io.FileIO(descriptor, "r")  # not above: from here on the file closes it, and twice might close another's


@contextmanager
def opened_folder(path: str, root: str) -> Iterator[int | None]:
    """A folder of the table, for ``open_in``; None where it leads elsewhere, or where the system has no such call.

    Raises OSError as ``open``.
    """
    if os.open not in os.supports_dir_fd or not hasattr(os, "O_NOFOLLOW"):
        yield None
        return
    folder = os.open(path, _FLAGS | os.O_DIRECTORY)
    try:
        yield folder if _lies_within(_opened_path(folder, path) + "/", root) else None
    finally:
        os.close(folder)


def open_in(folder: int, name: str) -> int | None:
    """A regular file in an open folder of the table, to be read: what lies there lies in the table.

    None where it is a link, a pipe or the like, of which ``open_regular`` says more. Raises OSError as ``open``.
    """
    try:
        descriptor = os.open(name, _FLAGS | os.O_NOFOLLOW, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            return None
        raise
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    return None


def check_regular(found: os.stat_result, path: str) -> None:
    """Raises StorageError for a folder, a pipe or a device where a file belongs: one could wait there for ever."""
    if not stat.S_ISREG(found.st_mode):
        raise StorageError(f"cannot read '{path}': it is no regular file", file=path)


def _check(real: str, path: str, root: str, allowed: Sequence[str]) -> None:
    if not _lies_within(real, root, allowed):
        raise outside(real, f"'{path}' is a link that leads" if real != path else "a file lies")


def _lies_within(real: str, root: str, allowed: Sequence[str] = ()) -> bool:
    """Whether a path without links is below the table's folder or an allowed one."""
    if lies_in(real, [_real_folder(root)]):
        return True
    # a root that is itself a link may point elsewhere by now
    return lies_in(real, [os.path.realpath(folder) for folder in (root, *allowed)])


@lru_cache(maxsize=256)
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


def _opened_path(descriptor: int, path: str) -> str:
    """Where an open file really lies."""
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115 - asked for every entry of a log
    except OSError:  # a system without it
        return os.path.realpath(path)
