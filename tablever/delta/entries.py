"""Log entries as they lie on a disk: whole, or torn by a power cut; what a torn one still tells."""

from __future__ import annotations

import json
from typing import Any

from tablever.delta import seals
from tablever.delta.actions import Action, build_actions, damaged_entry, decode_entry
from tablever.errors import CorruptionError


def decode_whole(data: bytes, *, name: str) -> list[dict[str, Any]]:
    """The JSON objects of a log entry that is as it was written, as far as it says so.

    Raises CorruptionError, as ``decode_entry``, and where the entry's own digest does not fit its bytes: an entry that
    was cut behind a line is JSON, and lacks what stood after it.
    """
    values = decode_entry(data, name=name)
    check_seal(data, name=name)
    return values


def check_seal(data: bytes, *, name: str) -> None:
    """Raises CorruptionError where an entry holds a digest, and not that of its bytes."""
    if seals.is_whole(data) is False:
        raise damaged_entry(name, "is not as it was written: its digest does not fit its bytes")


def parse_whole(data: bytes, *, name: str) -> list[Action]:
    """The actions of such an entry. Raises CorruptionError."""
    return build_actions(decode_whole(data, name=name), name=name)


def problem_of(data: bytes, *, name: str) -> str | None:
    """What keeps an entry from being read, ``is empty``, say; None where nothing does."""
    try:
        parse_whole(data, name=name)
    except CorruptionError as error:
        return str(error.facts["problem"])
    return None


def salvage(data: bytes) -> list[dict[str, Any]]:
    """The JSON objects that can be made out of a torn entry; of one that is cut, what stands before the cut."""
    found = []
    for line in data.rstrip(b"\0").decode("utf-8", "ignore").split("\n"):
        for text in (line, _closed(line)):
            try:
                value = json.loads(text)
            except (ValueError, RecursionError):
                continue
            if isinstance(value, dict):
                found.append(value)
                break
    return found


def _closed(text: str) -> str:
    """JSON that is cut, without its last member, which may be cut too, and with what is open closed."""
    closing: list[str] = []
    sound = 0  # so far it can be kept; after that no bracket opens or closes
    inside, escaped = False, False
    for place, character in enumerate(text):
        if inside:
            inside = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            inside = True
        elif character == ",":
            sound = place
        elif character in "{[":
            closing.append("}" if character == "{" else "]")
            sound = place + 1
        elif character in "}]" and closing:
            closing.pop()
            sound = place + 1
    return text[:sound] + "".join(reversed(closing))
