"""JSON as RFC 8259 has it, and no more: what other readers would read otherwise, or not at all, is refused.

Python's own parser takes NaN and Infinity, lets the last of two equal keys win, and fails with a RecursionError on
deep nesting. Here each is a ValueError, as any other damage.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from typing import Any

MOST_NESTED = 100
DEEPEST = 400  # of any text: a column in 64 structs takes 200
_HALF = re.compile(r"\\u[dD][89a-fA-F]")


def no_constant(name: str) -> Any:
    """For ``parse_constant``: raises ValueError."""
    raise ValueError(f"{name} is no JSON")


def no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """For ``object_pairs_hook``: the object; raises ValueError where a key stands twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        repeated, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"the key {repeated!r} stands twice")
    return found


class _Decoder(json.JSONDecoder):
    def __init__(self, parse_float: Callable[[str], Any] | None = None) -> None:
        super().__init__(parse_float=parse_float, parse_constant=no_constant, object_pairs_hook=no_key_twice)

    def decode(self, text: str, *rest: Any) -> Any:
        """The value of a text."""
        try:
            value = super().decode(text, *rest)
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        return _whole(value, text)

    def raw_decode(self, text: str, idx: int = 0) -> tuple[Any, int]:
        """The value that begins at an index, and where it ends."""
        try:
            value, end = super().raw_decode(text, idx)
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        return _whole(value, text), end


def _whole(value: Any, text: str) -> Any:
    """A value whose texts are all Unicode: half of a surrogate pair can be escaped, but no file or column has it."""
    if _HALF.search(text):
        try:
            json.dumps(value, ensure_ascii=False, default=str).encode()
        except (UnicodeEncodeError, RecursionError):
            raise ValueError("it escapes half of a surrogate pair") from None
    return value


DECODER = _Decoder()


@lru_cache(maxsize=4)
def _decoder(parse_float: Callable[[str], Any] | None) -> _Decoder:
    return _Decoder(parse_float)


def loads(text: str | bytes, *, parse_float: Callable[[str], Any] | None = None) -> Any:
    """The value of a JSON text; bytes are UTF-8. Raises ValueError."""
    words = text.decode("utf-8") if isinstance(text, bytes) else text
    value = _decoder(parse_float).decode(words)
    if words.count("{") + words.count("[") > DEEPEST and not is_flat(value, DEEPEST):
        raise ValueError("it is nested too deeply")
    return value


def is_flat(value: Any, most: int = MOST_NESTED) -> bool:
    """Whether objects and lists lie at most so deep in each other: what is deeper cannot be walked or written."""
    level = [value]
    for _ in range(most + 1):
        level = [
            item
            for each in level
            if isinstance(each, dict | list)
            for item in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return True
    return False
