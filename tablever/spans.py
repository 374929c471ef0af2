"""Sets of version numbers, as runs of neighbours: ``((0, 3), (7, 7))`` is 0, 1, 2, 3 and 7."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Any, Literal

Spans = tuple[tuple[int, int], ...]


def spans_of(numbers: Iterable[int]) -> Spans:
    """The runs of some numbers, which need no order and may come twice."""
    return joined((number, number) for number in numbers)


def joined(runs: Iterable[tuple[int, int]]) -> Spans:
    """Runs that may touch, overlap and lack an order, as those that do not."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(runs):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return tuple(found)


def holds(spans: Spans, number: int) -> bool:
    """Whether a number is among them."""
    index = bisect_right(spans, number, key=lambda span: span[0]) - 1
    return index >= 0 and number <= spans[index][1]


def numbers_of(spans: Spans) -> list[int]:
    """All of them, ascending."""
    return [number for first, last in spans for number in range(first, last + 1)]


def parse_spans(value: Any) -> Spans | None:
    """The spans that a JSON list of pairs names; None where it is no such list."""
    if not isinstance(value, list):
        return None
    if not all(isinstance(pair, list) and [type(n) for n in pair] == [int, int] for pair in value):
        return None
    if not all(0 <= first <= last < 2**63 for first, last in value):
        return None
    return joined((first, last) for first, last in value)


def clipped(spans: Spans, first: int, last: int) -> Spans:
    """The part of them that lies from ``first`` to ``last``, both included."""
    return tuple((max(a, first), min(b, last)) for a, b in spans if a <= last and b >= first)


def nearest(spans: Spans, number: int, step: Literal[-1, 1]) -> int:
    """The nearest number that is not among them, below (-1) or above (1)."""
    number += step
    for first, last in spans[::step]:
        if first <= number <= last:
            number = first - 1 if step < 0 else last + 1
    return number


def spans_text(spans: Spans) -> str:
    """``0 to 3, 7``; ``none``."""
    return ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in spans) or "none"
