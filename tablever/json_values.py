"""Python values as JSON: what Arrow's and SQL's types become, and the words for versions, tags, runs and pins."""

from __future__ import annotations

import base64
import json
from dataclasses import fields
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from tablever.escapes import in_json
from tablever.model import Version, Witness


class _Encoder(json.JSONEncoder):
    """JSON in which letters are letters, and what could steer a terminal is an escape."""

    def encode(self, o: Any) -> str:  # the name is json's
        return in_json(super().encode(o))


JSON = _Encoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def to_json(value: Any) -> Any:
    """A Python value as Arrow gives it, as JSON: decimals, dates and instants as text, bytes in base64.

    Other types that SQL can give (times of day, intervals, UUIDs) are text, too.
    NaN and the infinities, which JSON lacks, are the strings "NaN", "Infinity" and "-Infinity". A map is a list of
    [key, value].
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else {float("inf"): "Infinity", float("-inf"): "-Infinity"}.get(value, "NaN")
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return instant_text(value)
    if isinstance(value, dict):
        return {name: to_json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    return str(value)


def instant_text(value: datetime) -> str:
    """ISO 8601 with a Z where there is a zone; ``2026-11-01T12:00:00Z``."""
    if value.tzinfo is None:
        return value.isoformat()
    return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def version_json(version: Version) -> dict[str, Any]:
    """A version as JSON; times in UTC with a Z."""
    names = ("number", "operation", "message", "author", "rows", "rows_added", "rows_removed", "rows_updated")
    rest = ("content_hash", "commit_hash", "parent")
    values = {name: getattr(version, name) for name in (*names, *rest)}
    time = {"timestamp": instant_text(version.timestamp), "timestamp_from_file": version.timestamp_from_file}
    return {"number": values.pop("number"), **time, **values, "metadata": to_json(dict(version.metadata))}


def witness_json(witness: Witness) -> dict[str, Any]:
    """A tag, run or pin as JSON, by the names of its attributes, and ``kind``; times in UTC with a Z."""
    values = {field.name: to_json(getattr(witness, field.name)) for field in fields(witness)}
    return {"kind": type(witness).__name__.lower(), **values}
