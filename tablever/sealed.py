"""Objects that hold a digest of themselves and their own name: what lies below ``_tablever/``.

An object is one JSON object in UTF-8. It begins with ``{"digest":"`` and 64 hex digits: the SHA-256 of all its bytes,
those digits taken as zeros. ``object`` is its path in the table, so that one that lies under another's name is found;
``format`` says what it is, ``tablever.tag/v1``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from tablever import strict_json
from tablever.errors import CorruptionError, UnsupportedFeatureError

_START = b'{"digest":"'
_UNSEALED = b"0" * 64
_END = len(_START) + len(_UNSEALED)


def render(path: str, kind: str, values: Mapping[str, Any]) -> bytes:
    """The bytes of an object.

    Args:
        path: where it will lie, relative to the table.
        kind: ``tablever.tag/v1``, say.
        values: JSON values, without NaN; None is left out.
    """
    body = {"digest": _UNSEALED.decode(), "format": kind, "object": path}
    body |= {name: value for name, value in values.items() if value is not None}
    data = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"
    return data[: len(_START)] + _digest(data) + data[_END:]


def parse(data: bytes, *, path: str, kind: str) -> dict[str, Any]:
    """The values of an object, those of this module among them.

    Raises:
        CorruptionError: the bytes are not what was written under that name; ``file`` is the path.
        UnsupportedFeatureError: a newer version of the format.
    """
    if not data.startswith(_START) or data[len(_START) : _END] != _digest(data):
        raise damaged(path, "its digest does not fit its bytes")
    try:
        values = strict_json.loads(data)
    except ValueError as error:
        raise damaged(path, f"it is no JSON: {error}") from error
    found = values.get("format")
    if values.get("object") != path:
        raise damaged(path, f"it was written as '{values.get('object')}'")
    if found == kind:
        return dict(values)
    if str(found).rpartition("/v")[0] == kind.rpartition("/v")[0]:
        raise UnsupportedFeatureError(
            f"'{path}' has the format {found}; this release reads {kind}", hint="upgrade tablever", feature=str(found)
        )
    raise damaged(path, f"it is a {found}, where a {kind} belongs")


def digest(data: bytes) -> str:
    """The digest that an object's bytes carry."""
    return data[len(_START) : _END].decode("ascii", "replace")


def damaged(path: str, problem: str) -> CorruptionError:
    """The error for an object that is not what was written."""
    return CorruptionError(
        f"'{path}' is damaged: {problem}", hint="restore it from a copy of the table", file=path, problem=problem
    )


def _digest(data: bytes) -> bytes:
    blank = data[: len(_START)] + _UNSEALED + data[_END:]
    return hashlib.sha256(blank).hexdigest().encode()
