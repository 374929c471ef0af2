"""Deletion vectors: which rows of a Parquet file are gone (Delta protocol, "Deletion Vectors").

A blob is the magic number 1681511377 (four bytes, little-endian) and the 64-bit portable Roaring bitmap of row
positions from 0. It stands in the log itself (Z85 text) or in a file: one version byte, then for each vector its
size, the blob and the blob's CRC-32, both numbers four bytes, big-endian; a descriptor's offset points at the size.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
import uuid
import zlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Protocol
from urllib.parse import quote

from pyroaring import BitMap64

from tablever.delta import roaring
from tablever.delta.actions import decode_path
from tablever.errors import CorruptionError
from tablever.model import DeletionVector

MAGIC = struct.pack("<I", 1681511377)
FILE_VERSION = b"\x01"
MOST_BYTES = 1 << 29  # a bit for each row of the largest file that is read takes half of that

_Z85 = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_B85 = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
_TO_B85 = bytes.maketrans(_Z85, _B85)
_TO_Z85 = bytes.maketrans(_B85, _Z85)
_NOT_Z85 = re.compile(b"[^" + re.escape(_Z85) + b"]")


class Ranges(Protocol):
    """Where vector files lie: the table's place, and bytes of files in it (fewer at a file's end)."""

    @property
    def uri(self) -> str:
        """What absolute paths in the table's log begin with."""

    @property
    def allowed(self) -> tuple[str, ...]:
        """Folders elsewhere whose files may be read."""

    def get_range(self, path: str, start: int, length: int, /) -> bytes:
        """Bytes of a file below it."""


def encode(positions: Iterable[int]) -> bytes:
    """The blob of a set of row positions (0 to 2^64 - 1; any iterable, NumPy arrays and bitmaps included)."""
    bitmap = BitMap64(positions)
    bitmap.run_optimize()
    return MAGIC + bytes(bitmap.serialize())


def decode(blob: bytes) -> BitMap64:
    """The row positions in a blob; bytes after the bitmap are padding. Raises CorruptionError."""
    if blob[:4] != MAGIC:
        raise CorruptionError(f"a deletion vector begins with {blob[:4].hex()} instead of {MAGIC.hex()}")
    if len(blob) < len(MAGIC) + 8:
        raise CorruptionError(f"a deletion vector has {len(blob)} bytes, too few for a bitmap")
    try:
        roaring.cardinality(blob[4:])
        return BitMap64.deserialize(blob[4:])
    except ValueError as error:
        raise CorruptionError(f"a deletion vector of {len(blob)} bytes holds no Roaring bitmap: {error}") from error


def load(storage: Ranges, vector: DeletionVector) -> BitMap64:
    """The row positions that a descriptor means, checked against its size, checksum and cardinality.

    Raises CorruptionError, UnsupportedFeatureError (a vector outside the table's folder), FileNotFoundError.
    """
    bitmap = decode(read_blob(storage, vector))  # as it lies: a few bytes may be a billion rows
    check_cardinality(bitmap, vector)
    return bitmap


@lru_cache(maxsize=512)
def load_once(storage: Ranges, vector: DeletionVector) -> BitMap64:
    """As ``load``, and kept as it lies, since a few bytes may be millions of positions; for looking only."""
    return load(storage, vector)


def check_cardinality(bitmap: BitMap64, vector: DeletionVector) -> None:
    """A bitmap holds as many rows as its descriptor says. Raises CorruptionError."""
    if len(bitmap) != vector.cardinality:
        raise CorruptionError(
            f"deletion vector '{vector.id[:60]}' holds {len(bitmap)} rows where the log says {vector.cardinality}",
            vector=vector.id,
        )


def read_blob(storage: Ranges, vector: DeletionVector) -> bytes:
    """The blob that a descriptor means, inline or in a file, whose size and checksum fit. Raises as ``load``."""
    if not 0 <= vector.size <= MOST_BYTES or (vector.offset or 0) < 0:
        raise CorruptionError(
            f"deletion vector '{vector.id[:60]}' is said to have {vector.size} bytes at {vector.offset}",
            vector=vector.id,
        )
    if vector.storage_type == "i":
        return parse_inline(vector.path_or_inline, vector.size)
    return _read_file(storage, vector)


def check_range(positions: BitMap64, rows: int, *, path: str) -> None:
    """Every position lies in a file of ``rows`` rows. Raises CorruptionError."""
    if positions and positions.max() >= rows:
        raise CorruptionError(
            f"the deletion vector of '{path}' names row {positions.max()}, the file has {rows} rows",
            path=path,
            rows=rows,
        )


def inline(blob: bytes, cardinality: int) -> DeletionVector:
    """A descriptor that holds the blob itself; for small ones, since every checkpoint repeats it."""
    return DeletionVector("i", render_z85(blob), size=len(blob), cardinality=cardinality)


def stored(folder: str, name: uuid.UUID, offset: int, size: int, cardinality: int) -> DeletionVector:
    """A descriptor of a blob of ``size`` bytes at ``offset`` in ``<folder>/deletion_vector_<name>.bin``.

    ``folder`` is relative to the table, "" for its root.
    """
    return DeletionVector("u", folder + render_z85(name.bytes), size=size, cardinality=cardinality, offset=offset)


def file_bytes(blobs: Sequence[bytes]) -> bytes:
    """A vector file that holds these blobs."""
    parts = [FILE_VERSION]
    for blob in blobs:
        parts += [struct.pack(">I", len(blob)), blob, struct.pack(">I", zlib.crc32(blob))]
    return b"".join(parts)


def file_offsets(blobs: Sequence[bytes]) -> list[int]:
    """Where each blob's size stands in ``file_bytes(blobs)``."""
    return list(accumulate((len(blob) + 8 for blob in blobs[:-1]), initial=len(FILE_VERSION))) if blobs else []


def vector_path(vector: DeletionVector, *, root: str | None = None, allowed: Sequence[str] = ()) -> str:
    """The path, relative to the table, of the file that a descriptor of type ``u`` or ``p`` points into.

    ``root`` is the table's absolute folder, for descriptors that name an absolute path. Raises CorruptionError for
    other types and for what is no uuid, UnsupportedFeatureError outside the table.
    """
    if vector.storage_type == "p":
        return decode_path(vector.path_or_inline, root=root, allowed=allowed)
    if vector.storage_type != "u" or len(vector.path_or_inline) < 20:
        raise CorruptionError(f"deletion vector '{vector.id}' has no known storage type", vector=vector.id)
    prefix, text = vector.path_or_inline[:-20], vector.path_or_inline[-20:]
    name = f"deletion_vector_{uuid.UUID(bytes=parse_z85(text))}.bin"
    return decode_path(quote(f"{prefix}/{name}" if prefix else name))


def parse_inline(text: str, size: int) -> bytes:
    """The ``size`` bytes of an inline descriptor, whichever padding they have. Raises CorruptionError."""
    blob = parse_z85(text)
    if not size <= len(blob) < size + 4:
        raise CorruptionError(f"an inline deletion vector has {len(blob)} bytes where the log says {size}")
    return blob[:size]


def parse_z85(text: str) -> bytes:
    """Z85 (ZeroMQ RFC 32) to bytes.

    A last group that begins with n ``#`` lacks n of its four bytes: the padding of the Rust library that delta-rs
    uses, which cannot be mistaken for data since such a group would exceed 2^32. Raises CorruptionError.
    """
    data = text.encode("utf-8", "surrogatepass")
    tail = data[-5:]
    missing = len(tail) - len(tail.lstrip(b"#"))
    if len(data) % 5 or missing > 3 or _NOT_Z85.search(data):
        raise CorruptionError(f"'{text[:60]}' is not Z85")
    data = data[:-5] + b"0" * missing + tail[missing:]
    try:
        decoded = base64.b85decode(data.translate(_TO_B85))
    except (ValueError, binascii.Error) as error:
        raise CorruptionError(f"'{text[:60]}' is not Z85") from error
    return decoded if not missing else decoded[:-4] + decoded[missing - 4 :]


def render_z85(data: bytes) -> str:
    """Bytes as Z85, filled up to a multiple of four with zeros (as Spark does: a vector's size says where it ends)."""
    padded = data + b"\0" * (-len(data) % 4)
    return base64.b85encode(padded).translate(_TO_Z85).decode("ascii")


def _read_file(storage: Ranges, vector: DeletionVector) -> bytes:
    path = vector_path(vector, root=storage.uri, allowed=storage.allowed)
    version = storage.get_range(path, 0, len(FILE_VERSION))
    if version != FILE_VERSION:
        raise CorruptionError(
            f"deletion vector file '{path}' has format version {version.hex() or 'none'}, not 01", path=path
        )
    offset = len(FILE_VERSION) if vector.offset is None else vector.offset
    data = storage.get_range(path, offset, vector.size + 8)
    if len(data) < vector.size + 8:
        raise CorruptionError(f"deletion vector file '{path}' ends before byte {offset + vector.size + 8}", path=path)
    size, checksum = struct.unpack_from(">I", data)[0], struct.unpack_from(">I", data, vector.size + 4)[0]
    blob = data[4:-4]
    if size != vector.size:
        raise CorruptionError(
            f"deletion vector file '{path}' has {size} bytes at {offset} where the log says {vector.size}", path=path
        )
    if zlib.crc32(blob) != checksum:
        raise CorruptionError(f"deletion vector file '{path}' is damaged: its checksum at {offset} differs", path=path)
    return blob
