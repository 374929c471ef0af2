"""A text that may be a ref, a target of the shell, a policy, a span of time, or a number of bytes."""

from __future__ import annotations

from contextlib import suppress

from tablever.errors import TableverError
from tablever.quantities import parse_bytes, parse_span
from tablever.refs import parse_ref
from tablever.retention import parse_policy


def run(data: bytes) -> None:
    """One input."""
    text = data.decode("utf-8", "surrogateescape")
    for parse in (parse_ref, parse_policy, parse_span, parse_bytes):
        with suppress(TableverError):
            parse(text)
