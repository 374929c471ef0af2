"""Text to typed values, for CSV cells and for the strings in JSON: strict, by column, the first misfit named.

What a type's text looks like is one regular expression; Arrow parses what fits it. Nothing is trimmed, rounded or
guessed: text that does not fit its column's type is an error, and `guess` picks a type only if every value fits.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from tablever.arrow_json import Misfit, fit, type_name

_NUMBER = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_INTEGER = r"^-?[0-9]+(?:\.0*)?$"
_FLOAT = rf"(?i)^[+-]?(?:{_NUMBER}|nan|inf|infinity)$"
_DECIMAL = rf"^[+-]?{_NUMBER}$"
_BOOLEAN = r"(?i)^(?:true|false|1|0)$"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_CLOCK = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?"
_LOCAL = rf"^(?:{_CLOCK}|[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})$"
_INSTANT = rf"^{_CLOCK}(?:[zZ]|[+-][0-9]{{2}}(?::?[0-9]{{2}})?)$"
_INFINITE = r"(?i)inf"


class BadTextError(Exception):
    """The value at ``index`` of the column does not fit; ``reason`` may say more than that."""

    def __init__(self, index: int, value: str, reason: str | None = None) -> None:
        super().__init__(index, value, reason)
        self.index = index
        self.value = value
        self.reason = reason


def parse_text(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    """The column's texts as values of ``kind``, nulls kept; BadTextError for the first that does not fit."""
    if pa.types.is_string(kind):
        return texts
    parse = _parser(kind)
    try:
        return parse(texts)
    except (pa.ArrowInvalid, BadTextError):
        index = _first_bad(texts, parse)
        value = texts[index].as_py()
        raise BadTextError(index, value, _reason(value, kind)) from None


def _parser(kind: pa.DataType) -> Callable[[pa.Array], pa.Array]:
    if pa.types.is_integer(kind):
        return lambda texts: pc.cast(_without(_matching(texts, _INTEGER), r"\.0*$"), kind)
    if pa.types.is_floating(kind):
        return lambda texts: _finite(_matching(texts, _FLOAT), kind)
    if pa.types.is_decimal(kind):
        return lambda texts: pc.cast(_matching(texts, _DECIMAL), kind)
    if pa.types.is_boolean(kind):
        return lambda texts: pc.cast(_matching(texts, _BOOLEAN), kind)
    if pa.types.is_date(kind):
        return lambda texts: pc.cast(_matching(texts, _DATE), kind)
    if pa.types.is_timestamp(kind):
        pattern = _INSTANT if kind.tz else _LOCAL
        return lambda texts: pc.cast(_microseconds(_matching(texts, pattern)), kind)
    if pa.types.is_binary(kind):
        return lambda texts: _each(texts, lambda text: base64.b64decode(text, validate=True), kind)
    return lambda texts: _each(texts, lambda text: fit(json.loads(text), kind), kind)


def _matching(texts: pa.Array, pattern: str) -> pa.Array:
    if pc.all(pc.match_substring_regex(texts, pattern)).as_py() is False:
        raise pa.ArrowInvalid(f"not {pattern}")
    return texts


def _without(texts: pa.Array, pattern: str) -> pa.Array:
    return pc.replace_substring_regex(texts, pattern, "")


def _microseconds(texts: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(texts, r"(\.[0-9]{6})0+", r"\1")


def _finite(texts: pa.Array, kind: pa.DataType) -> pa.Array:
    values = pc.cast(texts, kind)
    overflown = pc.and_(pc.is_inf(values), pc.invert(pc.match_substring_regex(texts, _INFINITE)))
    if pc.any(overflown).as_py():
        raise pa.ArrowInvalid("too large")
    return values


def _each(texts: pa.Array, parse: Callable[[str], object], kind: pa.DataType) -> pa.Array:
    values = []
    for index, text in enumerate(texts.to_pylist()):
        try:
            values.append(None if text is None else parse(text))
        except (ValueError, binascii.Error, Misfit) as error:
            raise BadTextError(index, text, str(error)) from error
    return pa.array(values, kind)


def _first_bad(texts: pa.Array, parse: Callable[[pa.Array], pa.Array]) -> int:
    """By halving: the first half that fails holds the first misfit."""
    start, length = 0, len(texts)
    while length > 1:
        half = length // 2
        try:
            parse(texts.slice(start, half))
        except (pa.ArrowInvalid, BadTextError):
            length = half
        else:
            start, length = start + half, length - half
    return start


def _reason(value: str, kind: pa.DataType) -> str | None:
    if pa.types.is_timestamp(kind):
        if kind.tz and pc.all(pc.match_substring_regex(pa.array([value]), _LOCAL)).as_py():
            return "the column holds instants: the text needs a zone, as in 2026-11-01T12:00:00Z"
        if not kind.tz and pc.all(pc.match_substring_regex(pa.array([value]), _INSTANT)).as_py():
            return "the column holds times without a zone: the text must have none"
    if value != value.strip():
        return "there is white space around the value"
    return None


_WHOLE = r"(?:0|[1-9][0-9]{0,14})"  # what a float64 holds exactly
_GUESSES: tuple[tuple[pa.DataType, str], ...] = (
    (pa.int64(), r"^(?:0|-?[1-9][0-9]*)$"),
    (pa.float64(), rf"^-?(?:{_WHOLE}?\.[0-9]+|{_WHOLE}\.?)(?:[eE][+-]?[0-9]+)?$|^(?:NaN|nan|-?inf)$"),
    (pa.bool_(), r"^(?:true|false|True|False|TRUE|FALSE)$"),
    (pa.date32(), _DATE),
    (pa.timestamp("us"), rf"^{_CLOCK}$"),
    (pa.timestamp("us", "UTC"), _INSTANT),
)


@dataclass
class Guess:
    """Which type a column of texts has, narrowed batch by batch: the first that every value so far fits, else string.

    A whole number with leading zeros, a plus sign or more digits than 64 bits hold stays text, since as a number it
    would not print as it was written. A column without any value is text.
    """

    left: list[tuple[pa.DataType, str]] = field(default_factory=lambda: list(_GUESSES))
    seen: bool = False

    def narrow(self, texts: pa.Array) -> None:
        """Drop the types that a value of this batch does not fit."""
        if texts.null_count == len(texts):
            return
        self.seen = True
        self.left = [(kind, pattern) for kind, pattern in self.left if _fits(texts, kind, pattern)]

    @property
    def kind(self) -> pa.DataType:
        """The type as far as it is known."""
        return self.left[0][0] if self.seen and self.left else pa.string()


def _fits(texts: pa.Array, kind: pa.DataType, pattern: str) -> bool:
    try:
        _parser(kind)(_matching(texts, pattern))
    except pa.ArrowInvalid:
        return False
    return True


def describe(error: BadTextError, column: str, kind: pa.DataType) -> str:
    """What is wrong, for a message that has said where: ``column 'x': 'abc' is not an int64``."""
    shown = error.value if len(error.value) <= 60 else error.value[:57] + "…"
    more = f" ({error.reason})" if error.reason else ""
    return f"column '{column}': {shown!r} is not of type {type_name(kind)}{more}"
