"""The digest of a version where no row need be read for it: from its entry, or from an object kept beside the log.

A kept one names the commit hash that it was made for, so that it is never taken for that of another history. It is a
cache: it may be deleted, one that is damaged is made again, and one that cannot be read stops nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from tablever import sealed
from tablever.errors import CorruptionError, StorageError, UnsupportedFeatureError
from tablever.log import Log
from tablever.model import Digest

FOLDER = "_tablever/cache/digests"
FORMAT = "tablever.digest/v1"

logger = logging.getLogger("tablever")


def known_digest(log: Log, number: int) -> Digest | None:
    """A version's digest, recorded or kept; None where only its rows can tell."""
    recorded = log.digest(number)
    return recorded if recorded is not None else _kept(log, number)


def keep_digest(log: Log, number: int, digest: Digest) -> None:
    """Keep a version's digest. Where the folder cannot be written to, nothing is kept."""
    commit_hash = log.version(number).commit_hash
    if not commit_hash:
        return  # only a checkpoint is left of it: nothing tells it from another of its number
    path = _path(number, commit_hash)
    values = {"version": number, "commitHash": commit_hash, "rows": digest.rows, "sum": digest.hex}
    try:
        log.storage.put_if_absent(path, sealed.render(path, FORMAT, values))
    except StorageError as error:
        logger.info("the digest of version %d of '%s' was not kept: %s", number, log.name, error)


def _kept(log: Log, number: int) -> Digest | None:
    commit_hash = log.version(number).commit_hash
    path = _path(number, commit_hash)
    try:
        return _digest(sealed.parse(log.storage.get(path), path=path, kind=FORMAT), path, commit_hash)
    except FileNotFoundError:
        return None
    except (StorageError, UnsupportedFeatureError) as error:  # a newer release's, say: left to those who can read it
        logger.info("the digest of version %d of '%s' is computed: %s", number, log.name, error)
    except CorruptionError as error:
        logger.warning("%s; it is a cache, and made again", error)
        _remove(log, path)
    return None


def _digest(values: Mapping[str, Any], path: str, commit_hash: str) -> Digest | None:
    """What an object keeps; None where that is for another history."""
    rows, digits = values.get("rows"), values.get("sum")
    if not isinstance(rows, int) or not isinstance(digits, str):
        raise sealed.damaged(path, "it has no rows and sum")
    return Digest.from_hex(rows, digits) if values.get("commitHash") == commit_hash else None


def _remove(log: Log, path: str) -> None:
    try:
        log.storage.remove(path)
    except StorageError as error:
        logger.info("%s", error)


def _path(number: int, commit_hash: str) -> str:
    return f"{FOLDER}/{number:020}-{commit_hash[:16]}.json"
