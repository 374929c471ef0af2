"""What names a table in the shell: its folder, with ``@ref`` behind it where a version is meant."""

from __future__ import annotations

import re
from pathlib import Path

from tablever.errors import RefError

LATEST = "latest"
_BEFORE_HEAD = re.compile(r"-([1-9][0-9]*)")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^@]")


def split_target(text: str) -> tuple[str, str]:
    """``data/reviews@v2.0`` as (``data/reviews``, ``v2.0``); a folder whose whole name is that wins.

    Without a ref it is ``latest``. Where no reading names a folder that exists, the last @ separates; so it does in a
    URI, which is not looked at.
    """
    if "@" in text and is_uri(text):
        uri, _, ref = text.rpartition("@")
        if not ref:
            raise _no_ref(text)
        return uri, ref
    if "@" not in text or Path(text).exists():
        return text, LATEST
    if text.endswith("@") and Path(text[:-1]).exists():
        raise _no_ref(text)
    places = [place for place, char in enumerate(text) if char == "@" and 0 < place < len(text) - 1]
    for place in reversed(places):
        if Path(text[:place]).exists():
            return text[:place], text[place + 1 :]
    return (text[: places[-1]], text[places[-1] + 1 :]) if places else (text, LATEST)


def _no_ref(text: str) -> RefError:
    return RefError(
        f"the ref after @ is empty in '{text}'",
        hint=f"leave the @ out for the latest version, or: {text}-1, {text}3",
    )


def is_uri(text: str) -> bool:
    """Whether a table is named by a URI, not by a folder's path."""
    return _URI.match(text) is not None


def as_ref(argument: str) -> str:
    """A ref that an option parser would take for an option: ``-1`` is ``latest``, ``-2`` is ``latest~1``."""
    found = _BEFORE_HEAD.fullmatch(argument)
    if not found:
        return argument
    steps = int(found[1]) - 1
    return f"{LATEST}~{steps}" if steps else LATEST
