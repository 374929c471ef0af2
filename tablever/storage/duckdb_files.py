"""Objects in stores as files of DuckDB: one read-only fsspec file system for all tables of the process.

A name begins with a token of its table's storage, made by chance, so that tables with other options join in one query,
and SQL that somebody else wrote names no object.
"""

from __future__ import annotations

import errno
import io
import os
import secrets
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Protocol

from fsspec import AbstractFileSystem

PROTOCOL = "tablever"
ROOT = f"{PROTOCOL}://objects/"  # what a session is allowed, as a folder


class Reached(Protocol):
    """What is needed of a table's storage."""

    def __hash__(self) -> int: ...

    def location(self, path: str) -> str:
        """What names an object for people."""

    def sizes(self, paths: Sequence[str]) -> Sequence[int | None]:
        """The bytes of each object; None for one that is not there."""

    def reader(self, path: str, size: int | None = None) -> io.RawIOBase:
        """An object for random reading."""


_lock = threading.Lock()
if hasattr(os, "register_at_fork"):  # else a child may find it taken by a thread that it does not have
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)
_storages: dict[str, Reached] = {}
_tokens: dict[Reached, str] = {}


def name_of(storage: Reached, path: str) -> str:
    """What DuckDB is to call an object."""
    with _lock:
        if storage not in _tokens:
            _tokens[storage] = secrets.token_hex(8)
            _storages[_tokens[storage]] = storage
        return f"{ROOT}{_tokens[storage]}/{path}"


@lru_cache(maxsize=1)
def filesystem() -> Objects:
    """The file system."""
    return Objects()


class Objects(AbstractFileSystem):  # type: ignore[misc]
    """What DuckDB asks of a file system to read from it. Objects never change, so that they have one time."""

    protocol = PROTOCOL
    cachable = False

    def open(self, path: str, mode: str = "rb", **_: Any) -> io.RawIOBase:
        """An object for reading."""
        if mode != "rb":
            raise PermissionError(f"'{path}' is only read")
        storage, name = _named(path)
        return storage.reader(name, _size(storage, name))

    def glob(self, path: str, **_: Any) -> list[str]:
        """The object of that very name."""
        return [path]

    def exists(self, path: str, **_: Any) -> bool:
        """Whether it is there."""
        try:
            return bool(self.info(path))
        except FileNotFoundError:
            return False

    def isfile(self, path: str) -> bool:
        """Whether it is there."""
        return self.exists(path)

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Its size."""
        return {"name": path, "size": _size(*_named(path)), "type": "file"}

    def modified(self, path: str) -> datetime:  # noqa: ARG002
        """Always the same."""
        return datetime(2000, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=65_536)
def _size(storage: Reached, name: str) -> int:
    """An object's bytes, asked once: DuckDB asks again and again, and objects never change."""
    (size,) = storage.sizes([name])
    if size is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), storage.location(name))
    return size


def _named(path: str) -> tuple[Reached, str]:
    token, _, name = path.removeprefix(ROOT).partition("/")
    try:
        return _storages[token], name
    except KeyError:
        raise FileNotFoundError(path) from None
