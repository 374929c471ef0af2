"""A log entry that holds a digest of itself: SHA-256 of its bytes, the digits of the digest taken as zeros.

It stands first in the entry, at a fixed place, so that it cannot be taken for something that a user wrote.
"""

from __future__ import annotations

import hashlib

FIELD = "entryDigest"
UNSEALED = "0" * 64
_START = b'{"commitInfo":{"tablever":{"entryDigest":"'
_END = len(_START) + len(UNSEALED)
_SLIPS = 8  # bytes in which a damaged beginning may differ: one without a digest of that time differs in more


def seal(entry: bytes) -> bytes:
    """An entry whose first field is ``entryDigest``, 64 zeros, with its digest in their place."""
    if entry[:_END] != _START + UNSEALED.encode():
        raise AssertionError(f"an entry begins with its digest, not with {entry[:_END]!r}")
    return _START + digest(entry).encode() + entry[_END:]


def digest(entry: bytes) -> str:
    """The digest that an entry of these bytes must hold."""
    return hashlib.sha256(_START + UNSEALED.encode() + entry[_END:]).hexdigest()


def recorded(entry: bytes) -> str | None:
    """The digest that an entry holds; None for those of others, and of releases that recorded none."""
    return entry[len(_START) : _END].decode("ascii", "replace") if entry.startswith(_START) else None


def is_whole(entry: bytes) -> bool | None:
    """Whether an entry is as it was written; None where it does not say.

    One that begins as ours do but for a few bytes is damaged, and not one of others: nobody else begins so.
    """
    held = recorded(entry)
    if held is not None:
        return held == digest(entry)
    begins_so = sum(a != b for a, b in zip(entry, _START, strict=False)) <= _SLIPS and len(entry) >= len(_START)
    return False if begins_so else None
