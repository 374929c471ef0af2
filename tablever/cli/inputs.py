"""Which files a command reads, and their bytes: globs, standard input, compression; a clear error for each failure."""

from __future__ import annotations

import glob
import gzip
import io
import os
import shutil
import sys
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, cast

from tablever.cli.progress import Advance, ignore
from tablever.cli.target import is_uri
from tablever.errors import InvalidInputError, NotFoundError

FORMATS = ("csv", "tsv", "jsonl", "parquet", "arrow")
_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
_COMPRESSED = (".gz", ".zst")
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True)
class Source:
    """One input: what messages call it, where its bytes lie, and its format."""

    name: str
    path: Path
    format: str

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self.path.stat().st_size


def format_of(name: str, given: str | None) -> str:
    """The format asked for, else the one that the suffix tells; InvalidInputError where it tells none."""
    if given:
        return given
    path = Path(name)
    suffixes = [path.suffix.lower(), Path(path.stem).suffix.lower() if path.suffix.lower() in _COMPRESSED else ""]
    for suffix in suffixes:
        if suffix in _SUFFIXES:
            return _SUFFIXES[suffix]
    raise InvalidInputError(
        f"cannot tell the format of '{name}' by its suffix",
        hint=f"say it with --format: {', '.join(FORMATS)}",
        file=name,
    )


def names_file(name: str, folder: str) -> bool:
    """Whether a name that could be a table's, in ``folder``, is that of a file or of several.

    It is, but for a folder or a URI, where such a file is there, or where it is a pattern or ends as a format does.
    """
    if name == "-":
        return True
    if is_uri(name) or Path(folder).is_dir():
        return False
    path = Path(name)
    return (
        path.exists() or glob.has_magic(name) or not {suffix.lower() for suffix in path.suffixes}.isdisjoint(_SUFFIXES)
    )


def find_sources(names: Sequence[str], given: str | None, scratch: ExitStack) -> list[Source]:
    """The files that the names, globs and ``-`` stand for, in that order; a glob's files sorted by name.

    Standard input is copied to a temporary file that goes with ``scratch``, since it can be read only once.
    """
    if list(names).count("-") > 1:
        raise InvalidInputError("standard input ('-') can be read only once", hint=None)
    return [source for name in names for source in _expand(name, given, scratch)]


def _expand(name: str, given: str | None, scratch: ExitStack) -> Iterator[Source]:
    if name == "-":
        if given is None:
            raise InvalidInputError("standard input has no suffix", hint=f"say --format: {', '.join(FORMATS)}")
        yield Source("standard input", _spooled(sys.stdin.buffer, scratch), given)
        return
    if Path(name).exists():
        yield _checked(name, given, scratch)
        return
    found = sorted(glob.glob(name, recursive=True)) if glob.has_magic(name) else []  # noqa: PTH207  # ** and ~ as typed
    if not found:
        what = "no file matches" if glob.has_magic(name) else "there is no file"
        raise NotFoundError(f"{what} '{name}'", hint=f"the current folder is {Path.cwd()}", file=name)
    for match in found:
        yield _checked(match, given, scratch)


def _checked(name: str, given: str | None, scratch: ExitStack) -> Source:
    path = Path(name)
    if path.is_dir():
        hint = f"name the files, for example '{path / '*.parquet'}'"
        if (path / "_delta_log").is_dir():
            hint = f"it is a table: tablever read {path} -o rows.parquet writes its rows to a file"
        raise InvalidInputError(f"'{name}' is a folder, not a file", hint=hint, file=name)
    source = Source(name, path, format_of(name, given))
    with reading(source), path.open("rb") as file:
        if not path.is_file():  # a pipe, as in <(command), can be read only once
            source = replace(source, path=_spooled(file, scratch))
    if source.size == 0:
        raise InvalidInputError(f"'{name}' is empty (0 bytes)", hint=None, file=name)
    return source


def _spooled(stream: BinaryIO, scratch: ExitStack) -> Path:
    target = scratch.enter_context(tempfile.NamedTemporaryFile(prefix="tablever-input-"))  # noqa: SIM115  # scratch closes it
    shutil.copyfileobj(stream, target, 1 << 20)
    target.flush()
    if target.tell() == 0:
        raise InvalidInputError("standard input is empty", hint=None)
    return Path(target.name)


class _Counting(io.RawIOBase):
    """A file whose reads are told to a progress bar."""

    def __init__(self, file: BinaryIO, advance: Advance) -> None:
        self._file = file
        self._advance = advance

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self._advance(len(data))
        return len(data)


@contextmanager
def reading(source: Source) -> Iterator[None]:
    """Turn what goes wrong with a source's bytes into an InvalidInputError that names the file."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InvalidInputError(
            f"cannot read '{source.name}': its compressed data is damaged or cut short ({error})", file=source.name
        ) from error
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise InvalidInputError(f"cannot read '{source.name}': {reason}", file=source.name) from error


@contextmanager
def open_bytes(source: Source, advance: Advance = ignore) -> Iterator[BinaryIO]:
    """The source's bytes from the start, decompressed where they begin as gzip or zstd does."""
    with ExitStack() as stack, reading(source):
        file = stack.enter_context(source.path.open("rb"))
        start = file.read(4)
        file.seek(0)
        counted = io.BufferedReader(_Counting(file, advance), 1 << 20)
        if start.startswith(_GZIP):
            yield cast(BinaryIO, stack.enter_context(gzip.GzipFile(fileobj=counted)))
        elif start == _ZSTD:
            import pyarrow as pa

            stream = pa.CompressedInputStream(pa.PythonFile(counted, mode="r"), "zstd")
            yield cast(BinaryIO, io.BufferedReader(stream, 1 << 20))
        else:
            yield cast(BinaryIO, counted)
