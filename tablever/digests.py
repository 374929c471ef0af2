"""What rows are called by their content: 128 bits a row, their sum for a set of rows, and the content hash.

The bytes are those of docs/reference/content-hash.md. In short: a cell is the XXH3 of its value, seeded by its column's
name, null is 0; a row is the XXH3 of the sum of its cells; a set of rows is the sum of its rows, mod 2^128. Sums
commute, so rows may come in any order and any pieces, and a change adds and subtracts what it changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl
import polars_hash  # noqa: F401 - gives Polars' expressions the namespace "nchash"
import pyarrow as pa
import pyarrow.compute as pc

from tablever.arrow_types import is_bytes, is_list_like, is_text
from tablever.errors import CorruptionError
from tablever.schema import plain_type

BATCH_ROWS = 131_072
BATCH_BYTES = 64 * 1024 * 1024
FORMAT = "tablever.content/v1"
_MODULUS = 1 << 128
_DIGITS = 32

_Words = np.ndarray[Any, np.dtype[np.uint64]]
_Floats = np.ndarray[Any, np.dtype[np.float64]]
_Flags = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class Digest:
    """A multiset of rows, as far as sums tell: how many, and the sum of their digests mod 2^128.

    ``Digest()`` is no rows. Adding is taking two multisets together; subtracting takes rows out again, so that a
    version is its parent + what it added - what it removed. Differences may count fewer than no rows.
    """

    rows: int = 0
    sum: int = 0

    def __add__(self, other: Digest) -> Digest:
        return Digest(self.rows + other.rows, (self.sum + other.sum) % _MODULUS)

    def __sub__(self, other: Digest) -> Digest:
        return Digest(self.rows - other.rows, (self.sum - other.sum) % _MODULUS)

    @property
    def hex(self) -> str:
        """The sum as 32 hexadecimal digits."""
        return f"{self.sum:0{_DIGITS}x}"

    @classmethod
    def from_hex(cls, rows: int, digits: str) -> Digest:
        """The digest of so many rows whose sum has these digits. Raises CorruptionError for other text."""
        if len(digits) != _DIGITS or not set(digits) <= set("0123456789abcdef"):
            raise CorruptionError(f"{digits[:60]!r} is no digest of rows", hint=f"it has {_DIGITS} hexadecimal digits")
        return cls(rows, int(digits, 16))


def digest_of(rows: pa.Table | pa.RecordBatch) -> Digest:
    """The digest of rows in a table's types, in any Arrow layout of them; memory does not grow with the rows."""
    total = 0
    for batch in _batches(rows):
        total += _sum(_row_digests(batch))
    return Digest(rows.num_rows, total % _MODULUS)


def digest_of_batches(batches: Iterable[pa.Table | pa.RecordBatch]) -> Digest:
    """The digest of all rows of some batches."""
    return sum(map(digest_of, batches), Digest())


def row_digests(rows: pa.Table | pa.RecordBatch) -> pl.Series:
    """Each row's digest, UInt128, in their order: equal exactly where rows are, whatever the order of the columns."""
    parts = [_row_digests(batch) for batch in _batches(rows)]
    return pl.concat(parts) if parts else pl.Series("digest", [], pl.UInt128)


def sum_of(digests: pl.Series) -> Digest:
    """The digest of rows by the digests of each, as ``row_digests`` gives them."""
    return Digest(len(digests), _sum(digests))


def content_hash(schema: pa.Schema, digest: Digest) -> str:
    """``sha:`` and 64 digits: what a set of rows under these columns is called. NOT NULL and column order do not count.

    Example:
        >>> content_hash(pa.schema([("id", pa.int64())]), Digest())[:20]
        'sha:84a15d43b27ca479'
    """
    text = f"{FORMAT}\n{_columns(schema)}\n{digest.rows}\n{digest.hex}\n"
    return "sha:" + hashlib.sha256(text.encode("ascii")).hexdigest()


def _columns(schema: pa.Schema) -> str:
    columns = sorted(({"name": f.name, "type": plain_type(f.type)} for f in schema), key=lambda c: c["name"])
    return json.dumps(columns, sort_keys=True, separators=(",", ":"))


# -- rows


def _batches(rows: pa.Table | pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The rows in pieces of one chunk each, small enough whatever their values weigh."""
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_batches([rows])
    if not table.num_rows:
        return
    size = min(BATCH_ROWS, max(1, BATCH_BYTES * table.num_rows // max(1, table.nbytes)))
    for start in range(0, table.num_rows, size):
        yield from table.slice(start, size).combine_chunks().to_batches()


def _row_digests(batch: pa.RecordBatch) -> pl.Series:
    cells = _sum_of_cells(batch.schema, batch.columns)
    return _hashed(_wide(_words(cells), None), 0).alias("digest")


def _sum(digests: pl.Series) -> int:
    return int(digests.sum() or 0)


def _sum_of_cells(fields: Iterable[pa.Field], arrays: Iterable[pa.Array]) -> pl.Series:
    """For each row the sum of its cells. Columns are hashed beside each other, on Polars' threads."""
    named = zip(fields, arrays, strict=True)
    values, hashes = [], []
    for i, (field, array) in enumerate(named):
        values.append(_bytes(array).alias(str(i)))
        hashes.append(pl.col(str(i)).nchash.xxh3_128(seed=_seed(field.name)))  # type: ignore[attr-defined]
    return pl.DataFrame(values).select(pl.sum_horizontal(hashes).fill_null(0).alias("cells")).to_series()


@lru_cache(maxsize=4096)
def _seed(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")


def _hashed(values: pl.Series, seed: int) -> pl.Series:
    """XXH3 of each value, null where it is null."""
    expression = pl.col("v").nchash.xxh3_128(seed=seed)  # type: ignore[attr-defined]
    return pl.DataFrame([values.alias("v")]).select(expression).to_series()


# -- values as bytes


def _bytes(array: pa.Array) -> pl.Series:
    """The bytes that stand for each value of a column, as Polars strings or binary; null where it is null."""
    kind = array.type
    if is_text(kind) or is_bytes(kind):
        return pl.Series(array)
    if pa.types.is_null(kind):
        return pl.Series([None] * len(array), dtype=pl.Binary)
    if is_list_like(kind) or pa.types.is_map(kind):
        return _wide(_list_words(array), array)
    words = _fixed_words(array)
    return _narrow(words[:, 0], array) if words.shape[1] == 1 else _wide(words, array)


def _fixed_words(array: pa.Array) -> _Words:
    """Values of one width as one or two words each; what stands under a null is any."""
    kind = array.type
    if pa.types.is_struct(kind):
        return _words(_sum_of_cells(kind, array.flatten()))
    if pa.types.is_decimal128(kind):
        pairs: _Words = _buffer(array, np.uint64, 2)
        return pairs.reshape(-1, 2)
    return _word(array).reshape(-1, 1)


def _word(array: pa.Array) -> _Words:
    kind = array.type
    if pa.types.is_floating(kind):
        numbers: _Floats = _buffer(array.cast(pa.float64()), np.float64) + 0.0  # -0.0 becomes 0.0
        numbers[np.isnan(numbers)] = np.nan
        return numbers.view(np.uint64)
    if pa.types.is_date32(kind):
        array = array.view(pa.int32())
    elif pa.types.is_timestamp(kind) and kind.unit == "us":
        array = array.view(pa.int64())
    elif not (pa.types.is_signed_integer(kind) or pa.types.is_boolean(kind)):
        raise TypeError(f"{kind} is no type of a table: fit the rows to its types first")
    words: _Words = _buffer(array.cast(pa.int64()), np.uint64)
    return words


def _buffer(array: pa.Array, kind: type, per_value: int = 1) -> Any:
    """The values' own memory as an array of numbers."""
    start, size = array.offset * per_value, len(array) * per_value
    buffer = array.buffers()[1]
    return np.frombuffer(buffer, kind)[start : start + size] if size and buffer is not None else np.zeros(size, kind)


def _list_words(array: pa.Array) -> _Words:
    """For each list the hash of its elements, one after the other, and of which of them are null: four words."""
    if pa.types.is_map(array.type):
        entry = pa.struct([pa.field("key", array.type.key_type), pa.field("value", array.type.item_type)])
        array = array.cast(pa.list_(entry))
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    ends = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    elements = array.flatten()
    valid = _valid(elements)
    slots = _slots(elements, valid)
    hashes = [_hashed(_slices(part, ends * part.itemsize * part.shape[1]), 0) for part in (slots, valid.reshape(-1, 1))]
    return np.hstack([_words(each) for each in hashes])


def _slots(elements: pa.Array, valid: _Flags) -> _Words:
    """One or two words for each element; zeros for a null."""
    kind = elements.type
    if pa.types.is_nested(kind) or is_text(kind) or is_bytes(kind) or pa.types.is_null(kind):
        return _words(_hashed(_bytes(elements), 0).fill_null(0))
    words = _fixed_words(elements)
    return words if not elements.null_count else np.where(valid.reshape(-1, 1) != 0, words, np.uint64(0))


def _valid(array: pa.Array) -> _Flags:
    """One byte an element: 1, or 0 for null."""
    if not array.null_count:
        return np.ones(len(array), np.uint8)
    flags: _Flags = array.is_valid().to_numpy(zero_copy_only=False).view(np.uint8)
    return flags


# -- between Polars, NumPy and Arrow, without copying values


def _words(numbers: pl.Series) -> _Words:
    """128-bit numbers as their low and high words."""
    low = numbers.cast(pl.UInt64, wrap_numerical=True).to_numpy()
    high = (numbers // (1 << 64)).cast(pl.UInt64).to_numpy()
    return np.stack([low, high], axis=1)


def _narrow(words: _Words, array: pa.Array) -> pl.Series:
    """Values of 8 bytes as binary views: length and bytes in the view itself."""
    views = np.empty((len(words), 2), np.uint64)
    np.left_shift(words, np.uint64(32), out=views[:, 0])
    np.bitwise_or(views[:, 0], np.uint64(8), out=views[:, 0])
    np.right_shift(words, np.uint64(32), out=views[:, 1])
    return _binary(pa.binary_view(), [_validity(array), pa.py_buffer(views)], len(words))


def _wide(words: _Words, array: pa.Array | None) -> pl.Series:
    """Values of more bytes than a view holds, as binary slices of their own memory."""
    words = np.ascontiguousarray(words)
    width = words.shape[1] * words.itemsize
    return _slices(words, np.arange(len(words) + 1, dtype=np.int64) * width, array)


def _slices(memory: np.ndarray[Any, Any], ends: np.ndarray[Any, Any], array: pa.Array | None = None) -> pl.Series:
    held = pa.py_buffer(np.ascontiguousarray(memory)) if memory.size else pa.py_buffer(b"")
    validity = None if array is None else _validity(array)
    return _binary(pa.large_binary(), [validity, pa.py_buffer(ends.astype(np.int64, copy=False)), held], len(ends) - 1)


def _validity(array: pa.Array) -> pa.Buffer | None:
    return array.is_valid().buffers()[1] if array.null_count else None


def _binary(kind: pa.DataType, buffers: list[pa.Buffer | None], length: int) -> pl.Series:
    return pl.Series(pa.Array.from_buffers(kind, length, buffers))
