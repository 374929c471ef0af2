"""What rows are called by their content: 128 bits a row, their sum for a set of rows, and the content hash.

The bytes are those of docs/reference/content-hash.md. In short: a cell is the XXH3 of its value, seeded by its column's
name, null is 0; a row is the XXH3 of the sum of its cells; a set of rows is the sum of its rows, mod 2^128. Sums
commute, so rows may come in any order and any pieces, and a change adds and subtracts what it changed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl
import polars_hash  # noqa: F401 - gives Polars' expressions the namespace "nchash"
import pyarrow as pa
import pyarrow.compute as pc

from tablever.arrow_types import is_bytes, is_list_like, is_text
from tablever.model import Digest
from tablever.schema import plain_type

__all__ = [
    "AnyRows",
    "Digest",
    "cell_sums",
    "digest_of",
    "digest_of_batches",
    "render_hash",
    "row_digests",
    "sum_of",
    "words_of",
]

AnyRows: TypeAlias = pa.Table | pa.RecordBatch | pl.DataFrame
"""Rows in a table's types, in whatever layout Arrow or Polars has for them."""

BATCH_ROWS = 131_072
BATCH_BYTES = 64 * 1024 * 1024
FORMAT = "tablever.content/v1"
_VIEW = np.dtype([("length", "<u4"), ("bytes", "<u8"), ("unused", "<u4")])  # Arrow's view of a value of 8 bytes

_Words = np.ndarray[Any, np.dtype[np.uint64]]
_Floats = np.ndarray[Any, np.dtype[np.float64]]
_Flags = np.ndarray[Any, np.dtype[np.uint8]]
_Reader: TypeAlias = Callable[[pa.Array], _Words]
_Result = TypeVar("_Result")


def digest_of(rows: AnyRows) -> Digest:
    """The digest of some rows; what it takes in memory does not grow with them."""
    return sum(_each(rows, lambda batch: sum_of(_row_digests(batch))), Digest())


def digest_of_batches(batches: Iterable[AnyRows]) -> Digest:
    """The digest of all rows of some batches."""
    return sum(map(digest_of, batches), Digest())


def row_digests(rows: AnyRows) -> pl.Series:
    """Each row's digest, UInt128, in their order: equal exactly where rows are, whatever the order of the columns."""
    parts = _each(rows, _row_digests)
    return pl.concat(parts) if parts else pl.Series("digest", [], pl.UInt128)


def cell_sums(rows: AnyRows) -> pl.Series:
    """For each row the sum of its cells, UInt128: tells rows apart as ``row_digests`` do, but must not be added up."""
    parts = _each(rows, lambda batch: _sum_of_cells(batch.schema, batch.columns))
    return pl.concat(parts) if parts else pl.Series("digest", [], pl.UInt128)


def sum_of(digests: pl.Series) -> Digest:
    """The digest of rows by the digests of each, as ``row_digests`` gives them."""
    return Digest(len(digests), int(digests.sum() or 0))


def words_of(digests: pl.Series) -> _Words:
    """128-bit numbers as two columns of 64 bits: the low word, the high word."""
    words = _array(2 * len(digests), np.uint64).reshape(-1, 2)
    words[:, 0] = digests.cast(pl.UInt64, wrap_numerical=True).to_numpy()
    words[:, 1] = (digests // _HIGH).cast(pl.UInt64).to_numpy()
    return words


def render_hash(schema: pa.Schema, digest: Digest) -> str:
    """``sha:`` and 64 digits: what a set of rows under these columns is called. NOT NULL and column order do not count.

    Example:
        >>> render_hash(pa.schema([("id", pa.int64())]), Digest())[:20]
        'sha:84a15d43b27ca479'
    """
    text = f"{FORMAT}\n{_columns(schema)}\n{digest.rows}\n{digest.hex}\n"
    return "sha:" + hashlib.sha256(text.encode("ascii")).hexdigest()


@lru_cache(maxsize=64)
def _columns(schema: pa.Schema) -> str:
    columns = sorted(({"name": f.name, "type": plain_type(f.type)} for f in schema), key=lambda c: c["name"])
    return json.dumps(columns, sort_keys=True, separators=(",", ":"))


# -- rows


def _each(rows: AnyRows, work: Callable[[pa.RecordBatch], _Result]) -> list[_Result]:
    """What ``work`` makes of the rows, piece by piece in their order; several pieces on as many threads as cores."""
    pieces = list(_pieces(pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows))
    if len(pieces) < 2:
        return [work(_batch(piece)) for piece in pieces]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return list(threads.map(lambda piece: work(_batch(piece)), pieces))


def _pieces(rows: pa.Table | pl.DataFrame) -> Iterator[pa.Table | pl.DataFrame]:
    """The rows in pieces that are small enough wherever the long values stand. Nothing is copied."""
    # Arrow takes the memory that views share for the weight of each slice of them; Polars counts what they show.
    weight = int(rows.estimated_size() if isinstance(rows, pl.DataFrame) else rows.nbytes)
    if len(rows) > BATCH_ROWS or (len(rows) > 1 and weight > 2 * BATCH_BYTES):
        size = -(-len(rows) // max(-(-len(rows) // BATCH_ROWS), weight // BATCH_BYTES))
        for start in range(0, len(rows), size):
            yield from _pieces(rows.slice(start, size))
    elif len(rows):
        yield rows


def _batch(rows: pa.Table | pl.DataFrame) -> pa.RecordBatch:
    """Rows as one chunk."""
    whole = _arrow(rows) if isinstance(rows, pl.DataFrame) else rows
    return whole.combine_chunks().to_batches()[0]


def _arrow(rows: pl.DataFrame) -> pa.Table:
    """A frame as Arrow has it, its text not copied, but in lists: there Polars 2.1 makes views that are not valid."""
    nested = any(kind.is_nested() for kind in rows.dtypes)
    return rows.to_arrow(compat_level=pl.CompatLevel.oldest() if nested else pl.CompatLevel.newest())


def _row_digests(batch: pa.RecordBatch) -> pl.Series:
    cells = _sum_of_cells(batch.schema, batch.columns)
    return _hashed(_wide(words_of(cells), None)).alias("digest")


def _sum_of_cells(fields: Iterable[pa.Field], arrays: Iterable[pa.Array]) -> pl.Series:
    """For each row the sum of its cells."""
    return _frame([_bytes(array) for array in arrays]).select_seq(_hashes(tuple(f.name for f in fields))).to_series()


def _frame(columns: list[pa.Array]) -> pl.DataFrame:
    """Text and binary as a frame, its columns called by their place."""
    return pl.DataFrame(pa.RecordBatch.from_arrays(columns, [str(i) for i in range(len(columns))]))


@lru_cache(maxsize=256)
def _hashes(names: tuple[str, ...]) -> pl.Expr:
    """The sum of the cells of columns of these names, which are called by their place; null is 0."""
    return pl.sum_horizontal([_hash(str(i), _seed(name)) for i, name in enumerate(names)])


def _hash(column: str, seed: int) -> pl.Expr:
    hashed: pl.Expr = pl.col(column).nchash.xxh3_128(seed=seed)  # type: ignore[attr-defined]
    return hashed


@lru_cache(maxsize=4096)
def _seed(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")


def _hashed(values: pa.Array) -> pl.Series:
    """XXH3 of each value with seed 0, null where it is null."""
    return _frame([values]).select_seq(_UNSEEDED).to_series()


_UNSEEDED = _hash("0", 0)
_HIGH = pl.Series([1 << 64], dtype=pl.UInt128)


# -- values as bytes


def _bytes(array: pa.Array) -> pa.Array:
    """The bytes that stand for each value of a column, as text or binary; null where it is null."""
    read = _reader(array.type)
    if read is None:
        return array
    words = read(array)
    return _narrow(words[:, 0], array) if words.shape[1] == 1 else _wide(words, array)


@lru_cache(maxsize=1024)
def _reader(kind: pa.DataType) -> _Reader | None:
    """What reads values of a type as 64-bit words; None for text and binary, which stand for themselves."""
    types = pa.types
    if is_text(kind) or is_bytes(kind):
        return None
    if is_list_like(kind) or types.is_map(kind):
        return _list_words
    if types.is_timestamp(kind) and kind.unit != "us":
        raise _not_fitted(kind)
    readers: dict[Callable[[pa.DataType], bool], _Reader] = {
        types.is_struct: _struct_words,
        types.is_decimal128: lambda array: _own_words(array, 2),
        types.is_floating: _float_words,
        types.is_date32: lambda array: _integer_words(array.view(pa.int32())),
        types.is_timestamp: lambda array: _own_words(array, 1),
        types.is_signed_integer: _integer_words,
        types.is_boolean: _integer_words,
        types.is_null: _integer_words,
    }
    for is_kind, read in readers.items():
        if is_kind(kind):
            return read
    raise _not_fitted(kind)


def _not_fitted(kind: pa.DataType) -> TypeError:
    return TypeError(f"{kind} is no type of a table: fit the rows to its types first")


# Each gives one row of words a value; what stands under a null is any.


def _integer_words(array: pa.Array) -> _Words:
    return _own_words(array if array.type == pa.int64() else array.cast(pa.int64()), 1)


def _float_words(array: pa.Array) -> _Words:
    doubles = array if array.type == pa.float64() else array.cast(pa.float64())
    numbers: _Floats = _array(len(array), np.float64)
    np.add(_own_words(doubles, 1)[:, 0].view(np.float64), 0.0, out=numbers)  # -0.0 becomes 0.0
    numbers[np.isnan(numbers)] = np.nan
    return numbers.view(np.uint64).reshape(-1, 1)


def _struct_words(array: pa.Array) -> _Words:
    return words_of(_sum_of_cells(array.type, array.flatten()))


def _own_words(array: pa.Array, per_value: int) -> _Words:
    """The values' own memory, so many words a value."""
    start, size = array.offset * per_value, len(array) * per_value
    buffer = array.buffers()[1]
    if not size or buffer is None:
        return np.zeros((len(array), per_value), np.uint64)
    words: _Words = np.frombuffer(buffer, np.uint64, size, 8 * start)
    return words.reshape(-1, per_value)


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
    hashes = [_hashed(_slices(part, ends * part.itemsize * part.shape[1])) for part in (slots, valid.reshape(-1, 1))]
    return np.hstack([words_of(each) for each in hashes])


def _slots(elements: pa.Array, valid: _Flags) -> _Words:
    """One or two words for each element; zeros for a null."""
    read = _reader(elements.type)
    if read is None or read in (_list_words, _struct_words):
        return words_of(_hashed(_bytes(elements)).fill_null(0))
    words = read(elements)
    return words if not elements.null_count else np.where(valid.reshape(-1, 1) != 0, words, np.uint64(0))


def _valid(array: pa.Array) -> _Flags:
    """One byte an element: 1, or 0 for null."""
    if not array.null_count:
        return np.ones(len(array), np.uint8)
    flags: _Flags = array.is_valid().to_numpy(zero_copy_only=False).view(np.uint8)
    return flags


# -- between Polars, NumPy and Arrow, without copying values


def _array(count: int, kind: npt.DTypeLike) -> np.ndarray[Any, Any]:
    """Memory for so many values, from Arrow's pool.

    The pool keeps what is given back. NumPy's memory would come new from the system for each column of each piece,
    and its first touch costs twice what hashing does.
    """
    memory = pa.allocate_buffer(count * np.dtype(kind).itemsize)
    return np.frombuffer(memory, kind)


def _narrow(words: _Words, array: pa.Array) -> pa.Array:
    """Values of 8 bytes as binary views: length and bytes in the view itself."""
    views = _array(len(words), _VIEW)
    views["length"] = 8
    views["bytes"] = words
    views["unused"] = 0
    return pa.Array.from_buffers(pa.binary_view(), len(words), [_validity(array), pa.py_buffer(views)])


def _wide(words: _Words, array: pa.Array | None) -> pa.Array:
    """Values of more bytes than a view holds, as binary slices of their own memory."""
    words = np.ascontiguousarray(words)
    width = words.shape[1] * words.itemsize
    ends = _array(len(words) + 1, np.int64)
    np.multiply(np.arange(len(words) + 1), width, out=ends)
    return _slices(words, ends, array)


def _slices(memory: np.ndarray[Any, Any], ends: np.ndarray[Any, Any], array: pa.Array | None = None) -> pa.Array:
    validity = None if array is None else _validity(array)
    buffers = [validity, pa.py_buffer(ends), pa.py_buffer(np.ascontiguousarray(memory) if memory.size else b"")]
    return pa.Array.from_buffers(pa.large_binary(), len(ends) - 1, buffers)


def _validity(array: pa.Array) -> pa.Buffer | None:
    return array.is_valid().buffers()[1] if array.null_count else None
