"""A table in an object store: S3, Google Cloud Storage, Azure Blob Storage, through obstore.

A put there is whole or not at all, durable when it is answered, and seen by all from then on. What has no like on a
disk: an answer that is lost. The client asks again, and may be told of its own object that it is there already.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import random
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Self, TypeVar, cast

from tablever.delta.listing import LOG_FOLDER
from tablever.errors import StorageError, UnsupportedFeatureError
from tablever.storage.bucket import RETRIES, Bucket, retries
from tablever.storage.counted import CountedWriter
from tablever.storage.protocol import Stored, check_size

if TYPE_CHECKING:
    from obstore import ObjectMeta

AT_ONCE = 16
# More objects than this are looked up by listing the table, which names a thousand a request.
LOOKED_UP = 100
PAUSE = 0.1  # seconds, doubled with every try
TRIES = 4
PIECE_BYTES = 8 * 1024 * 1024
# An object that is put once; what is answered to a second put of it tells whether the store keeps conditions.
PROOF = "_tablever/cache/conditional-put"

_T = TypeVar("_T")
_U = TypeVar("_U")

_REGIONS = frozenset(["aws_region", "region", "aws_default_region", "default_region"])
_proven: set[Bucket] = set()


@dataclass(frozen=True)
class ObjectStorage:
    """One table's prefix in a bucket; it has no slash at its ends."""

    bucket: Bucket
    prefix: str
    look_seconds: ClassVar[float] = 1.0
    allowed: ClassVar[tuple[str, ...]] = ()  # a store's tables name nothing outside it

    @property
    def uri(self) -> str:
        """``s3://bucket/prefix``."""
        return self.place.uri

    @property
    def name(self) -> str:
        """The last part of the prefix."""
        return self.place.name

    @property
    def place(self) -> ObjectPlace:
        """The prefix among others."""
        return ObjectPlace(self.bucket, self.prefix)

    def key(self, path: str) -> str:
        """What an object is called in the bucket."""
        return f"{self.prefix}/{path}" if self.prefix else path

    def location(self, path: str) -> str:
        """The URI of an object, not percent-encoded."""
        return f"{self.uri}/{path}"

    # -- reading

    def get(self, path: str) -> bytes:
        """All bytes of an object, of at most MOST_BYTES. Raises FileNotFoundError, StorageError."""
        with self._reading(path):
            found = self.bucket.client.get(self.key(path))
            check_size(found.meta["size"], self.location(path))
            return bytes(found.bytes())

    def get_many(self, paths: Iterable[str]) -> Iterator[bytes]:
        """All bytes of each object, in order; some are fetched at once."""
        return _at_once(self.get, paths)

    def get_range(self, path: str, start: int, length: int) -> bytes:
        """``length`` bytes from ``start``, fewer at the end. Raises FileNotFoundError, StorageError."""
        if not length:
            return b""
        try:
            with self._reading(path):
                found = self.bucket.client.get(self.key(path), options={"range": (start, start + length)})
                return bytes(found.bytes())
        except StorageError as error:
            if "range" in str(error).lower() and start >= (self.sizes([path])[0] or 0):
                return b""  # past the end: refused by each store in its own words
            raise

    def get_starts(self, paths: Iterable[str], length: int) -> Iterator[bytes]:
        """The first ``length`` bytes of each object, in order; some are fetched at once."""
        return _at_once(lambda path: self.get_range(path, 0, length), paths)

    def pieces(self, path: str, size: int) -> Iterator[bytes]:
        """The bytes of an object, in one request. Raises FileNotFoundError, StorageError."""
        with self._reading(path):
            for piece in self.bucket.client.get(self.key(path)).stream(min_chunk_size=size):
                yield bytes(piece)

    def sha256(self, path: str) -> str:
        """Of an object's bytes, in hex, a piece at a time. Raises FileNotFoundError, StorageError."""
        digest = hashlib.sha256()
        for piece in self.pieces(path, PIECE_BYTES):
            digest.update(piece)
        return digest.hexdigest()

    def exists(self, path: str) -> bool:
        """Whether an object is there."""
        return self._find(path) is not None

    def sizes(self, paths: Sequence[str]) -> Sequence[int | None]:
        """The bytes of each object; None for one that is not there."""
        if len(paths) > LOOKED_UP:
            there = {meta["path"]: meta["size"] for meta in self._list("")}
            return [there.get(self.key(path)) for path in paths]
        return [None if meta is None else meta["size"] for meta in _at_once(self._find, paths)]

    def modified(self, path: str) -> float:
        """Seconds since 1970 at which the object was put. Raises FileNotFoundError."""
        with self._reading(path):
            return self.bucket.client.head(self.key(path))["last_modified"].timestamp()

    def is_synced_by_now(self, path: str) -> bool:  # noqa: ARG002
        """Always: what was put is durable."""
        return True

    def fingerprint(self, path: str) -> Hashable:
        """The entity tag and the size; None where there is no object."""
        meta = self._find(path)
        return None if meta is None else _fingerprint(meta)

    def successive(self, paths: Iterator[str]) -> Sequence[Hashable]:
        """The fingerprints of objects in one folder, up to the first that is not there: one listing."""
        first = next(paths)
        folder, _, start = first.rpartition("/")
        there = {meta["path"]: _fingerprint(meta) for meta in self._list(folder, start)}
        found = []
        for path in chain([first], paths):
            if self.key(path) not in there:
                break
            found.append(there[self.key(path)])
        return found

    def list(self, folder: str, start: str = "") -> list[str]:
        """Names (not paths) in a folder, sorted, from ``start`` on; what lies deeper is passed over."""
        below = len(self.key(folder)) + 1
        names = (meta["path"][below:] for meta in self._list(folder, start))
        return sorted(name for name in names if name >= start and "/" not in name)

    def walk(self) -> Iterator[Stored]:
        """Every object below the prefix; not what lies in tables inside it."""
        below = len(self.key("x")) - 1
        found = {meta["path"][below:]: meta for meta in self._list("")}
        log = f"/{LOG_FOLDER}/"
        tables = {path.partition(log)[0] + "/" for path in found if log in path}
        for path, meta in found.items():
            if not any(path[:end] in tables for end in _folder_ends(path)):
                yield Stored(path, meta["size"], meta["last_modified"], path)

    def node(self, path: str) -> Hashable:
        """Its path: an object has one name."""
        return path if self.exists(path) else None

    def _find(self, path: str) -> ObjectMeta | None:
        try:
            with self.bucket.errors(f"look at '{self.location(path)}'"):
                return self.bucket.client.head(self.key(path))
        except FileNotFoundError:
            return None

    def _list(self, folder: str, start: str = "") -> Sequence[ObjectMeta]:
        """What lies below a folder, from names that begin as ``start`` does without its last letter."""
        within = self.key(folder).rstrip("/") or None
        offset = f"{within}/{start[:-1]}" if start[:-1] else None
        for left in reversed(range(TRIES)):
            try:
                with suppress(FileNotFoundError), self.bucket.errors(f"list '{self.location(folder)}'"):
                    return self.bucket.client.list(within, offset=offset).collect()
            except StorageError as error:
                if not left or "response body" not in str(error):  # cut on its way: the client asks no second time
                    raise
            else:
                break
        return []  # no such bucket

    @contextmanager
    def _reading(self, path: str) -> Iterator[None]:
        location = self.location(path)
        try:
            with self.bucket.errors(f"read '{location}'"):
                yield
        except FileNotFoundError:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), location) from None

    # -- how engines reach objects

    def reader(self, path: str, size: int | None = None) -> ObjectReader:
        """An object for random reading, each read a request; and one before, where its size is not known."""
        if size is None:
            with self._reading(path):
                size = self.bucket.client.head(self.key(path))["size"]
        return ObjectReader(self, path, size)

    def open(self, path: str) -> BinaryIO:
        """An object for random reading, buffered."""
        return cast(BinaryIO, io.BufferedReader(self.reader(path), 1024 * 1024))

    def arrow_source(self, path: str, size: int | None = None) -> Any:
        """A file of Arrow's over ``reader``: Arrow itself joins what it reads."""
        import pyarrow as pa

        return pa.PythonFile(self.reader(path, size), mode="r")

    def polars_options(self) -> dict[str, Any]:
        """The options under their names, and no search for others."""
        shared = self.bucket.shared_options
        options: dict[str, Any] = {name: value for name, value in shared.items() if name not in RETRIES}
        for name, value in (retries(dict(self.bucket.options)) or {}).items():
            if name == "max_retries":
                options[name] = value
            else:
                options["retry_timeout_ms"] = int(value.total_seconds() * 1000)
        if (
            self.bucket.scheme == "s3"
            and not _REGIONS & options.keys()
            and not _REGIONS & {n.lower() for n in os.environ}
        ):
            options["aws_region"] = "us-east-1"  # as obstore takes it; Polars would ask the bucket, and warn
        return {"storage_options": options or None, "credential_provider": None}

    def deltalake_options(self) -> dict[str, str]:
        """The options under their names."""
        return self.bucket.shared_options

    def words(self, error: BaseException) -> str:
        """One line, without secrets."""
        return self.bucket.reason(error)

    def cause(self, error: BaseException) -> None:
        """None: it may hold a secret."""

    def duckdb_location(self, path: str) -> str:
        """A name in ``duckdb_filesystem``."""
        from tablever.storage.duckdb_files import name_of

        return name_of(self, path)

    @property
    def duckdb_root(self) -> str:
        """The root of ``duckdb_filesystem``."""
        from tablever.storage.duckdb_files import ROOT

        return ROOT

    def duckdb_filesystem(self) -> Any:
        """One for all tables of the process."""
        from tablever.storage.duckdb_files import filesystem

        return filesystem()

    # -- writing

    def put_if_absent(self, path: str, data: bytes) -> bool:
        """Create an object; False where another of that name is there already.

        Whether a put succeeded whose answer was lost is told by what is there then: the same bytes are ours. Of one
        that is refused (credentials that ran out, a clock that is off) that is no less open: a try before it, or one
        that the client made by itself, may have gone through, or be under way.

        Raises StorageError; its fact ``unsure`` is true where nobody can say whether the object is there, or will be.
        """
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        self._prove_conditions()
        client = self.bucket.client
        failure: Exception | None = None
        for tried in range(TRIES):
            time.sleep(random.uniform(0, PAUSE * (2**tried - 1)))  # another writer's put may be under way
            try:
                client.put(self.key(path), data, mode="create")
            except (AlreadyExistsError, PreconditionError):
                pass
            except (BaseError, OSError, ValueError) as error:
                failure = error
            else:
                return True
            try:
                return self.get(path) == data
            except FileNotFoundError:
                continue  # refused because another one was writing, who then failed; or not arrived
            except StorageError as error:
                failure = failure or error
                break
        lost = failure or OSError("the store says that it is there, and does not give it")
        raise self.bucket.failed(f"write '{self.location(path)}'", lost, unsure=True) from None

    def _prove_conditions(self) -> None:
        """Raise UnsupportedFeatureError where the store takes a second object of one name, though told not to.

        Asked once a process: one request, two the first time. Such stores would let two writers overwrite one another.
        """
        from obstore.exceptions import AlreadyExistsError, GenericError, PreconditionError

        if self.bucket in _proven:
            return
        taken, failure = 0, None
        for _ in range(TRIES):
            with self._writing(PROOF):
                try:
                    self.bucket.client.put(self.key(PROOF), b"", mode="create")
                except (AlreadyExistsError, PreconditionError):
                    _proven.add(self.bucket)
                    return
                except GenericError as error:  # no answer is no proof of anything: it is asked again
                    failure = error
                    continue
            taken += 1
            if taken == 2:
                raise UnsupportedFeatureError(
                    f"cannot write to '{self.uri}': the store ignores the condition of a put, so that two writers "
                    "would overwrite one another",
                    hint="a store with conditional puts (If-None-Match): S3, GCS, Azure, and current servers of "
                    "one's own",
                    feature="conditional put",
                )
        assert failure is not None
        raise self.bucket.failed(f"write '{self.location(PROOF)}'", failure) from None

    def put(self, path: str, data: bytes) -> None:
        """Write an object under a name that nobody else uses."""
        with self._writing(path):
            self.bucket.client.put(self.key(path), data)

    def create(self, path: str) -> Upload:
        """Open a new object for writing; it is there when its ``with`` block ends."""
        return Upload(self, path)

    def move(self, path: str, target: str, data: bytes | None = None) -> bool:
        """Copy an object, where none has the other name, and remove it; False where one has, or there is none.

        With ``data``, an object of other bytes is left. No store removes on a condition: what takes the name between
        the last look and the removal goes.
        """
        try:
            found = self.get(path)
            if data not in (None, found) or not self.put_if_absent(target, found) or self.get(path) != found:
                return False
        except FileNotFoundError:
            return False
        self.remove(path)
        return True

    def alone(self, folder: str) -> AbstractContextManager[None]:  # noqa: ARG002 - there is nothing to hold on to
        """No hindrance: a store has no lock."""
        return nullcontext()

    def remove(self, path: str) -> None:
        """Remove an object that may be gone already. A connection that broke is tried once more: obstore does not."""
        from obstore.exceptions import GenericError

        key = self.key(path)
        with suppress(FileNotFoundError), self.bucket.errors(f"remove '{self.location(path)}'"):
            try:
                self.bucket.client.delete(key)
            except GenericError:
                self.bucket.client.delete(key)

    def remove_many(self, paths: Sequence[str]) -> None:
        """Remove objects that may be gone already, some at once."""
        for _ in _at_once(self.remove, paths):
            pass

    @contextmanager
    def _writing(self, path: str) -> Iterator[None]:
        doing = f"write '{self.location(path)}'"
        try:
            with self.bucket.errors(doing):
                yield
        except FileNotFoundError:
            raise StorageError(f"cannot {doing}: there is no bucket '{self.bucket.uri}'") from None

    # -- what only a disk has

    def set_modified(self, path: str, seconds: float) -> None:
        """Nothing: the store keeps its own time."""

    def sync(self, path: str) -> None:
        """Nothing: what was put is durable."""

    def missing_folders(self) -> tuple[()]:
        """None: there are no folders."""
        return ()

    def remove_empty_folders(self, made: Sequence[Any]) -> None:
        """Nothing."""


@dataclass(frozen=True)
class ObjectPlace:
    """A prefix in a bucket below which tables may lie."""

    bucket: Bucket
    prefix: str

    @property
    def uri(self) -> str:
        """``s3://bucket/prefix``."""
        return f"{self.bucket.uri}/{self.prefix}".rstrip("/")

    @property
    def name(self) -> str:
        """The last part of that."""
        return self.prefix.rpartition("/")[2] or self.bucket.name

    @property
    def is_link(self) -> bool:
        """False: there are no links."""
        return False

    def kind(self) -> str | None:
        """``folder`` where something lies below it."""
        return "folder" if self._holds(self.prefix) else None

    def is_table(self) -> bool:
        """Whether there is a Delta log in it."""
        return self._holds(self.storage().key(LOG_FOLDER))

    def child(self, name: str) -> ObjectPlace:
        """What lies in it under a name."""
        return ObjectPlace(self.bucket, f"{self.prefix}/{name}" if self.prefix else name)

    def folders(self) -> Iterator[ObjectPlace]:
        """The prefixes in it, but those whose names begin with ``.`` or ``_``."""
        with suppress(FileNotFoundError), self.bucket.errors(f"list '{self.uri}'"):
            for prefix in self.bucket.client.list_with_delimiter(self.prefix or None)["common_prefixes"]:
                place = ObjectPlace(self.bucket, prefix.rstrip("/"))
                if place.name[:1] not in (".", "_"):
                    yield place

    def parents(self) -> Iterator[ObjectPlace]:
        """The prefixes around it, innermost first; the bucket last."""
        prefix = self.prefix
        while prefix:
            prefix = prefix.rpartition("/")[0]
            yield ObjectPlace(self.bucket, prefix)

    def storage(self) -> ObjectStorage:
        """The storage of the table in it."""
        return ObjectStorage(self.bucket, self.prefix)

    def _holds(self, prefix: str) -> bool:
        with suppress(FileNotFoundError), self.bucket.errors(f"list '{self.uri}'"):
            return any(self.bucket.client.list(prefix or None, chunk_size=1))
        return False


class ObjectReader(io.RawIOBase):
    """An object for random reading; each read is one request for just those bytes."""

    def __init__(self, storage: ObjectStorage, path: str, size: int) -> None:
        super().__init__()
        self.storage = storage
        self.path = path
        self.size = size
        self._at = 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Say where the next read begins."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes; all that are left without a size."""
        left = max(0, self.size - self._at)
        wanted = left if size is None or size < 0 else min(size, left)
        data = self.storage.get_range(self.path, self._at, wanted)
        self._at += len(data)
        return data

    def readall(self) -> bytes:
        """All that are left."""
        return self.read()

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class Upload(CountedWriter):
    """An object being put: counts and hashes its bytes, sends them in parts where they are many.

    After the ``with`` block: ``size`` in bytes and ``sha256`` in hex. A block that fails leaves nothing.
    """

    def __init__(self, storage: ObjectStorage, path: str) -> None:
        super().__init__()
        self.path = path
        self._storage = storage

    def __enter__(self) -> Self:
        import obstore

        self._doing = f"write '{self._storage.location(self.path)}'"
        bucket = self._storage.bucket
        self._file = obstore.open_writer(bucket.client, self._storage.key(self.path), buffer_size=PIECE_BYTES)
        return self

    def _send(self, data: bytes) -> None:
        with self._storage.bucket.errors(self._doing):
            self._file.write(data)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closed = True
        if kind is not None:
            with suppress(Exception):  # the parts that arrived are the bucket's to clear away; the error is another
                self._file.__exit__(kind, error, trace)
            return
        with self._storage.bucket.errors(self._doing):
            self._file.close()


def _fingerprint(meta: ObjectMeta) -> Hashable:
    return (meta["e_tag"] or "").removeprefix("W/").strip('"'), meta["size"]


def _folder_ends(path: str) -> Iterator[int]:
    """Where each folder in a path ends, its slash included."""
    at = path.find("/") + 1
    while at:
        yield at
        at = path.find("/", at) + 1


def _at_once(ask: Callable[[_T], _U], what: Iterable[_T]) -> Iterator[_U]:
    """The answers in order, some asked for at once."""
    left = iter(what)
    while some := list(islice(left, 4 * AT_ONCE)):
        yield from map(ask, some) if len(some) == 1 else _pool().map(ask, some)


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(AT_ONCE, thread_name_prefix="tablever-objects")
