"""The changed cells of updated rows, old beside new, and where within them the texts differ."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tablever.findings import Findings

MOST_DIGITS = 26  # of a difference: the context's 28, less a carry


@dataclass(frozen=True)
class Cell:
    """A value that changed."""

    column: str
    old: Any
    new: Any


@dataclass(frozen=True)
class UpdatedRow:
    """A row that is in both versions by its key, and its changed cells in the columns' order."""

    key: tuple[Any, ...]
    cells: tuple[Cell, ...]


def updated_rows(findings: Findings, rows: pa.Table | pa.RecordBatch, changed: pa.Table) -> Iterator[UpdatedRow]:
    """The rows of ``Diff.updated`` (the key, ``from_<column>``, ``to_<column>``), in their order.

    Args:
        changed: whether each row differs in each column, as the diff found it; a side that lacks a column counts as
            null.
    """
    cells: list[list[Cell]] = [[] for _ in range(rows.num_rows)]
    for column in changed.column_names:
        places = pc.indices_nonzero(changed.column(column))
        sides = (image.take(places).to_pylist() for image in images(findings, rows, column))
        for place, old, new in zip(places.to_pylist(), *sides, strict=True):
            cells[place].append(Cell(column, old, new))
    keys = zip(*(column.to_pylist() for column in rows.columns[: len(findings.key)]), strict=True)
    for key, each in zip(keys, cells, strict=True):
        yield UpdatedRow(key, tuple(each))


def images(findings: Findings, rows: pa.Table | pa.RecordBatch, column: str) -> Iterator[pa.Array | pa.ChunkedArray]:
    """The old and the new values of a column in ``Diff.updated``; nulls of a side that lacks it."""
    for word in ("from_", "to_"):
        name = word + column
        while name in findings.key:  # it goes out of the way of a key column that is called like it
            name = f"_{name}"
        yield rows.column(name) if name in rows.schema.names else pa.nulls(rows.num_rows)


def difference(old: Any, new: Any) -> Decimal | None:
    """New minus old of two finite numbers, exact in the digits that are shown; None for anything else."""
    if not all(isinstance(value, int | float | Decimal) and not isinstance(value, bool) for value in (old, new)):
        return None
    numbers = [Decimal(str(value)) for value in (old, new)]
    if not all(value.is_finite() for value in numbers):
        return None
    lowest = min(int(value.as_tuple().exponent) for value in numbers)
    highest = max(value.adjusted() for value in numbers)
    if highest - lowest > MOST_DIGITS:
        return None
    return numbers[1] - numbers[0]


@dataclass(frozen=True)
class Texts:
    """Two texts as what they begin with in common, where they differ, and what they end with in common."""

    head: str
    old: str
    new: str
    tail: str


def compare_texts(old: str, new: str) -> Texts:
    """The common beginning and end of two texts; a letter is not parted from its accents.

    Example:
        >>> compare_texts("Akiak Airport", "Akiak Regional Airport")
        Texts(head='Akiak ', old='', new='Regional ', tail='Airport')
    """
    shortest = min(len(old), len(new))
    start = next((i for i in range(shortest) if old[i] != new[i]), shortest)
    while start and any(_is_mark(text[start : start + 1]) for text in (old, new)):
        start -= 1
    left = shortest - start
    end = next((i for i in range(left) if old[-1 - i] != new[-1 - i]), left)
    while end and _is_mark(old[len(old) - end]):
        end -= 1
    return Texts(old[:start], old[start : len(old) - end], new[start : len(new) - end], old[len(old) - end :])


def _is_mark(char: str) -> bool:
    return bool(char) and (unicodedata.combining(char) != 0 or char in "\u200d\ufe0f")
