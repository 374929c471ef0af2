"""Parquet files written by hand, so that their pages and footers may say anything (parquet-format, parquet.thrift)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

INT64, BYTE_ARRAY = 2, 6
PLAIN, RLE, RLE_DICTIONARY = 0, 3, 8
DATA, DICTIONARY = 0, 2
ZSTD = 6
Field = Any  # int, Long, bytes, a list of one of them, or a dict: a struct's fields by number
_KINDS = {int: 5, bytes: 8, list: 9, dict: 12}


@dataclass(frozen=True)
class Page:
    """A page, and what its header says of it where that is not so."""

    kind: int
    values: int
    encoding: int
    data: bytes
    unpacked: int | None = None
    packed: int | None = None

    def render(self) -> bytes:
        body = pa.compress(self.data, codec="zstd", asbytes=True)
        about = {1: self.values, 2: self.encoding, **({3: RLE, 4: RLE} if self.kind == DATA else {})}
        unpacked = len(self.data) if self.unpacked is None else self.unpacked
        packed = len(body) if self.packed is None else self.packed
        return struct({1: self.kind, 2: unpacked, 3: packed, 5 if self.kind == DATA else 7: about}) + body


@dataclass(frozen=True)
class Column:
    """A column of one row group. Bytes of its name that are no text stand in it as surrogates."""

    name: str
    type: int
    pages: tuple[Page, ...]

    def lying(self, **fields: int) -> Column:
        """The column whose last page says something else."""
        return replace(self, pages=(*self.pages[:-1], replace(self.pages[-1], **fields)))


def zeros(name: str, rows: int) -> Column:
    """Integers, all zero, in one page without a dictionary."""
    return Column(name, INT64, (Page(DATA, rows, PLAIN, bytes(8 * rows)),))


def repeated(name: str, text: bytes, rows: int) -> Column:
    """One text in a dictionary, said so many times by one run."""
    return Column(
        name,
        BYTE_ARRAY,
        (
            Page(DICTIONARY, 1, PLAIN, len(text).to_bytes(4, "little") + text),
            Page(DATA, rows, RLE_DICTIONARY, b"\x01" + varint(rows << 1) + b"\0"),
        ),
    )


def file_of(columns: Sequence[Column], rows: int, *, values: int | None = None) -> bytes:
    """The file; its footer says how many rows there are, and how many values a column has."""
    data, chunks = b"PAR1", []
    for column in columns:
        start = len(data)
        pages = [page.render() for page in column.pages]
        data += b"".join(pages)
        unpacked = sum(len(page.data) if page.unpacked is None else page.unpacked for page in column.pages)
        about: dict[int, Field] = {
            1: column.type,
            2: [PLAIN, RLE, RLE_DICTIONARY],
            3: [column.name.encode(errors="surrogateescape")],
            4: ZSTD,
        }
        about |= {5: Long(rows if values is None else values), 6: Long(unpacked), 7: Long(len(data) - start)}
        about |= {9: Long(start + sum(map(len, pages[:-1])))} | ({11: Long(start)} if len(pages) > 1 else {})
        chunks.append({2: Long(start), 3: about})
    schema: list[Field] = [{4: b"schema", 5: len(columns)}]
    schema += [
        {
            1: column.type,
            3: 0,
            4: column.name.encode(errors="surrogateescape"),
            **({6: 0} if column.type == BYTE_ARRAY else {}),
        }
        for column in columns
    ]
    group: Field = {1: list(chunks), 2: Long(len(data)), 3: Long(rows)}
    footer = struct({1: 2, 2: schema, 3: Long(rows), 4: [group]})
    return data + footer + len(footer).to_bytes(4, "little") + b"PAR1"


# -- Thrift's compact protocol


class Long(int):
    """A number of 64 bits; others have 32."""


def struct(fields: dict[int, Field]) -> bytes:
    """A struct's fields by number."""
    data, last = b"", 0
    for number, value in sorted(fields.items()):
        data += bytes([(number - last) << 4 | _kind(value)]) + _value(value)
        last = number
    return data + b"\0"


def _kind(value: Field) -> int:
    return 6 if isinstance(value, Long) else _KINDS[type(value)]


def _value(value: Field) -> bytes:
    if isinstance(value, int):
        return varint(value << 1 if value >= 0 else (-value << 1) - 1)
    if isinstance(value, bytes):
        return varint(len(value)) + value
    if isinstance(value, dict):
        return struct(value)
    return bytes([0xF0 | _kind(value[0])]) + varint(len(value)) + b"".join(map(_value, value))


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    data = b""
    while value > 127:
        data += bytes([value & 127 | 128])
        value >>= 7
    return data + bytes([value])
