"""Which keys a commit changed, in 12 bits each: a Bloom filter that says "no" for sure, or "perhaps".

It holds sums of cells (``digests.cell_sums``): of the key's columns alone, or of whole rows in a table without a key.
Of 1,000 keys that it does not hold it takes about three for held.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from tablever.digests import words_of
from tablever.errors import CorruptionError

MAX_ROWS = 2_048  # a filter of as many keys is 3 KB: an entry stays small enough to be read as one
BITS_PER_KEY = 12
MIN_BYTES = 16  # in fewer, the probes of a key fall together
PROBES = 8

_MASK = 2**64 - 1

Flags = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class KeyFilter:
    """A set of keys, seen through a Bloom filter.

    Attributes:
        columns: the key's columns, in their order; empty where whole rows are held.
        bits: the filter, least bit of the first byte first.
    """

    columns: tuple[str, ...]
    bits: bytes

    @classmethod
    def from_json(cls, value: Any) -> KeyFilter:
        """A filter as an entry has it. Raises CorruptionError for what is none."""
        try:
            columns, bits = value["columns"], base64.b64decode(value["filter"], validate=True)
        except (TypeError, KeyError, ValueError) as error:
            raise CorruptionError(f"an entry's keys are no filter: {str(value)[:60]}") from error
        if not bits or not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
            raise CorruptionError(f"an entry's keys are no filter: {str(value)[:60]}")
        return cls(tuple(columns), bits)

    def to_json(self) -> Mapping[str, Any]:
        """The filter as an entry has it: ``columns``, and ``filter`` in base64."""
        return {"columns": list(self.columns), "filter": base64.b64encode(self.bits).decode("ascii")}


def build(columns: Sequence[str], digests: pl.Series) -> KeyFilter:
    """The filter that holds these sums of cells of the key columns, or of whole rows where ``columns`` is empty."""
    flags = np.zeros(max(MIN_BYTES, -(-len(digests) * BITS_PER_KEY // 8)) * 8, np.bool_)
    flags[_places(digests, len(flags))] = True
    return KeyFilter(tuple(columns), np.packbits(flags, bitorder="little").tobytes())


def may_hold(keys: KeyFilter, digests: pl.Series) -> Flags:
    """For each digest whether the filter may hold it; False is sure."""
    flags = np.unpackbits(np.frombuffer(keys.bits, np.uint8), bitorder="little").astype(np.bool_)
    held: Flags = flags[_places(digests, len(flags))].all(axis=0)
    return held


def holds_any(keys: KeyFilter, words: Sequence[tuple[int, int]]) -> bool:
    """As ``may_hold``, for few digests, given as low and high word: whether the filter may hold any of them.

    A thousand filters are asked about one key in a few milliseconds: most say no at the first bit.
    """
    size = len(keys.bits) * 8
    for low, high in words:
        step = high | 1
        for i in range(PROBES):
            place = ((low + i * step) & _MASK) % size
            if not keys.bits[place >> 3] >> (place & 7) & 1:
                break
        else:
            return True
    return False


def _places(digests: pl.Series, size: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The bits of each digest, a column each: (low + i x (high, made odd)) mod 2^64 mod the size, i from 0."""
    low, high = words_of(digests).T
    steps = np.arange(PROBES, dtype=np.uint64).reshape(-1, 1)
    places: np.ndarray[Any, np.dtype[np.uint64]] = (low + steps * (high | np.uint64(1))) % np.uint64(size)
    return places.astype(np.int64)
