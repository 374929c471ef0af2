"""Amounts as people write them: ``"256 MB"``, ``"90 days"``. Text in, numbers out."""

from __future__ import annotations

import re
from datetime import timedelta

from tablever.errors import InvalidInputError

_BYTES: dict[str, int] = {
    "b": 1,
    "byte": 1,
    "bytes": 1,
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)},
    **{f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", 1)},
}
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}
_AMOUNT = re.compile(r"\s*([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*([A-Za-z]*)\s*", re.ASCII)
_LONGEST = timedelta(days=36_500)


def parse_bytes(text: str | int) -> int:
    """Bytes: a whole number, or text with a unit (B, KB, MB, GB, TB by thousands; KiB, MiB, GiB, TiB by 1,024).

    Raises:
        InvalidInputError: no such amount.
    """
    if isinstance(text, int) and not isinstance(text, bool) and text >= 0:
        return text
    found = _AMOUNT.fullmatch(text) if isinstance(text, str) else None
    scale = _BYTES.get(found[2].lower() or "b") if found else None
    if found is None or scale is None:
        raise InvalidInputError(f"{text!r} is no amount of bytes", hint="write it so: '256 MB', '64 MiB', or a number")
    return round(float(found[1]) * scale)


def parse_span(text: str | timedelta) -> timedelta:
    """A span of time: a timedelta, or text with a unit (seconds, minutes, hours, days, weeks).

    Raises:
        InvalidInputError: no such span, a negative one, or one of over 36,500 days.
    """
    span = text if isinstance(text, timedelta) else _span(text)
    if span is None or span < timedelta():
        raise InvalidInputError(f"{text!r} is no span of time", hint="write it so: '1 day', '90 days', '12 hours'")
    if span > _LONGEST:
        raise InvalidInputError(f"{text!r} is longer than 36,500 days", hint="to keep everything, say 'all'")
    return span


def _span(text: object) -> timedelta | None:
    found = _AMOUNT.fullmatch(text) if isinstance(text, str) else None
    seconds = _SECONDS.get(found[2].lower().removesuffix("s")) if found else None
    if found is None or seconds is None or float(found[1]) * seconds > 10**12:
        return None
    return timedelta(seconds=float(found[1]) * seconds)
