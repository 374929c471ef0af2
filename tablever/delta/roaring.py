"""The shape of a 64-bit Roaring bitmap, checked before any library follows it.

Source: RoaringFormatSpec, with its extension for 64-bit implementations. The C library reads within the bytes that it
is given, but promises nothing of a bitmap whose parts contradict each other. Here every count, order and length is
compared first, and nothing is expanded.
"""

from __future__ import annotations

import struct

import numpy as np

WITH_RUNS = 12347
WITHOUT_RUNS = 12346
OFFSETS_FROM = 4  # so many containers and more have offsets where there are runs
MOST_CONTAINERS = 1 << 20  # 68 billion rows: above that a bitmap is an attack on whoever reads it
_LARGEST_ARRAY = 4096
_BITMAP_BYTES = 8192


def cardinality(data: bytes) -> int:
    """How many numbers a bitmap holds; bytes after it are padding. Raises ValueError where it is not well formed."""
    (buckets,) = _unpack("<Q", data, 0)
    position, total, last, left = 8, 0, -1, MOST_CONTAINERS
    if buckets > left:
        raise ValueError(f"it has {buckets} parts")
    for _ in range(buckets):
        (high,) = _unpack("<I", data, position)
        if high <= last:
            raise ValueError("its parts are not in order")
        last = high
        position, count, containers = _bucket(data, position + 4, left)
        total, left = total + count, left - containers
    return total


def _bucket(data: bytes, position: int, most: int) -> tuple[int, int, int]:
    """Where a 32-bit bitmap ends, its numbers, and its containers."""
    (cookie,) = _unpack("<I", data, position)
    start = position + 4
    if cookie & 0xFFFF == WITH_RUNS:
        containers = (cookie >> 16) + 1
        flags = _piece(data, start, (containers + 7) // 8)
        runs = np.unpackbits(np.frombuffer(flags, np.uint8), bitorder="little")[:containers].astype(bool).tolist()
        start += len(flags)
        offsets = containers >= OFFSETS_FROM
    elif cookie == WITHOUT_RUNS:
        (containers,) = _unpack("<I", data, start)
        start += 4
        runs, offsets = None, True
    else:
        raise ValueError(f"a part begins with {cookie}")
    if containers > min(most, 1 << 16):
        raise ValueError(f"it has {containers} containers")
    header = np.frombuffer(_piece(data, start, 4 * containers), "<u2").reshape(-1, 2).astype(np.int64)
    if (np.diff(header[:, 0]) <= 0).any():
        raise ValueError("its containers are not in order")
    counts = (header[:, 1] + 1).tolist()
    start += 4 * containers * (2 if offsets else 1)
    for index, count in enumerate(counts):
        start = _run(data, start, count) if runs is not None and runs[index] else _set(data, start, count)
    return start, sum(counts), containers


def _set(data: bytes, start: int, count: int) -> int:
    """Where an array or a bitset of so many numbers ends."""
    if count <= _LARGEST_ARRAY:
        values = np.frombuffer(_piece(data, start, 2 * count), "<u2")
        if count > 1 and (values[1:] <= values[:-1]).any():
            raise ValueError("an array is not in order")
        return start + 2 * count
    bits = int.from_bytes(_piece(data, start, _BITMAP_BYTES), "little").bit_count()
    if bits != count:
        raise ValueError(f"a bitset holds {bits} numbers, it says {count}")
    return start + _BITMAP_BYTES


def _run(data: bytes, start: int, count: int) -> int:
    """Where runs of so many numbers end."""
    (number,) = _unpack("<H", data, start)
    values = np.frombuffer(_piece(data, start + 2, 4 * number), "<u2").reshape(-1, 2).astype(np.int64)
    first, last = values[:, 0], values[:, 0] + values[:, 1]
    if (last > 0xFFFF).any() or (first[1:] <= last[:-1]).any():
        raise ValueError("runs overlap or are not in order")
    if int((last - first + 1).sum()) != count:
        raise ValueError("runs hold other numbers than their count")
    return start + 2 + 4 * number


def _piece(data: bytes, start: int, length: int) -> bytes:
    piece = data[start : start + length]
    if len(piece) < length:
        raise ValueError(f"it ends after {len(data)} bytes")
    return piece


def _unpack(form: str, data: bytes, start: int) -> tuple[int, ...]:
    return struct.unpack(form, _piece(data, start, struct.calcsize(form)))
